/*
 * answer: hands an answer to libmicrohttpd, with the headers that every answer has. Must
 * not know who asked for what.
 */
#include "httpd-internal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool add_header(struct MHD_Response *response, const char *name, const char *value)
{
	return !name || !value || MHD_add_response_header(response, name, value) == MHD_YES;
}

/* A header of the web configuration replaces the default. */
static bool add_policies(const struct request *request, struct MHD_Response *response,
			 const char *content_policy)
{
	const char *values[WEBCONFIG_HEADERS] = {
		[WEBCONFIG_X_CONTENT_TYPE_OPTIONS] = "nosniff",
		[WEBCONFIG_CONTENT_SECURITY_POLICY] = content_policy,
	};
	bool good = true;

	for (unsigned int i = 0; i < WEBCONFIG_HEADERS; i++) {
		const char *given = request->config ? request->config->headers[i] : NULL;
		good &= add_header(response, webconfig_header_name(i), given ? given : values[i]);
	}
	return good;
}

/* False when out of memory. */
static bool add_headers(const struct request *request, struct MHD_Response *response,
			const struct httpd_answer *answer)
{
	const char *vary = answer->negotiated ? "Accept, Accept-Encoding" : NULL;
	/* Whoever is refused starts again, and waits for a place with all others. */
	const char *connection = answer->status >= 400 ? "close" : NULL;

	return add_header(response, MHD_HTTP_HEADER_VARY, vary) &&
	       add_header(response, MHD_HTTP_HEADER_CONNECTION, connection) &&
	       add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type) &&
	       add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") &&
	       add_policies(request, response, answer->policy) &&
	       add_header(response, answer->name, answer->value);
}

/* Sends a body, which is released in either case. */
static enum MHD_Result send_bytes(struct request *request, const struct httpd_answer *answer,
				  const struct httpd_bytes *bytes)
{
	enum MHD_Result result = MHD_NO;
	/* The library does not write to it, though its prototype has no const. */
	struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
		bytes->len, (void *)(uintptr_t)bytes->data, bytes->release, bytes->owner);

	if (!response) {
		if (bytes->release)
			bytes->release(bytes->owner);
		return MHD_NO;
	}
	if (add_headers(request, response, answer))
		result = MHD_queue_response(request->connection, answer->status, response);
	MHD_destroy_response(response);
	return result;
}

enum MHD_Result answer_line(struct request *request, unsigned int status, const char *name,
			    const char *value, const char *line)
{
	const struct httpd_answer answer = {
		.status = status, .type = TEXT_TYPE, .name = name, .value = value
	};
	const struct httpd_bytes bytes = { .data = line, .len = strlen(line) };

	return send_bytes(request, &answer, &bytes);
}

enum MHD_Result answer_later(struct request *request, unsigned int status, const char *line)
{
	return answer_line(request, status, MHD_HTTP_HEADER_RETRY_AFTER, "1", line);
}

enum MHD_Result answer_send(struct request *request, struct httpd_answer *answer)
{
	struct buf *text = &answer->text;

	if (answer->bytes.data) {
		buf_done(text);
		return send_bytes(request, answer, &answer->bytes);
	}
	if (text->err) {
		buf_done(text);
		return answer_line(request, MHD_HTTP_INTERNAL_SERVER_ERROR, NULL, NULL,
				   "Out of memory.\n");
	}
	answer->bytes = (struct httpd_bytes){ text->data, text->len, free, text->data };
	return send_bytes(request, answer, &answer->bytes);
}
