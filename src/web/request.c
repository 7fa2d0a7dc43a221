/*
 * request: handles one request: whether it is accepted, who may ask and how often, which
 * route answers. Must not know what a route answers.
 */
#include "httpd-internal.h"

#include "tcphealth/base/clock.h"
#include "tcphealth/web/origin.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static const char *request_header(const struct request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

/* False if too many are under way. request_completed() takes the request off again. */
static bool count_request(struct request *request)
{
	struct httpd *httpd = request->httpd;

	if (atomic_fetch_add(&httpd->answering, 1) >= httpd->max_requests &&
	    httpd->max_requests > 0) {
		atomic_fetch_sub(&httpd->answering, 1);
		return false;
	}
	*request->mark = &httpd->counted;
	return true;
}

static const char *request_arg(const struct httpd_request *asked, const char *key)
{
	const struct request *request = (const struct request *)asked;
	const char *value = NULL;

	if (MHD_lookup_connection_value_n(request->connection, MHD_GET_ARGUMENT_KIND, key,
					  strlen(key), &value, NULL) != MHD_YES)
		return NULL;
	return value ? value : "";
}

/* What the headers say together. One of a kind must not hide a second behind it. */
struct headers {
	bool has_body;
	bool proxied;
	unsigned int hosts; /* Host headers */
};

static enum MHD_Result note_header(void *arg, enum MHD_ValueKind kind, const char *name,
				   const char *value)
{
	struct headers *headers = arg;

	(void)kind;
	headers->has_body |= strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
	if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0)
		headers->has_body |= !value || strcmp(value, "0") != 0;
	headers->proxied |= origin_is_proxy_header(name);
	headers->hosts += strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0;
	return MHD_YES;
}

static struct headers headers_of(const struct request *request)
{
	struct headers headers = { 0 };

	MHD_get_connection_values(request->connection, MHD_HEADER_KIND, note_header, &headers);
	return headers;
}

/* The client's address, or NULL if it is not known. */
static const struct sockaddr *client_of(const struct request *request)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	return info ? info->client_addr : NULL;
}

static bool is_local(const struct request *request)
{
	const struct sockaddr *client = client_of(request);
	struct headers headers;

	if (!client || !origin_is_loopback(client))
		return false;
	headers = headers_of(request);
	return !headers.proxied && headers.hosts == 1 &&
	       origin_host_is_own(request_header(request, MHD_HTTP_HEADER_HOST));
}

static enum MHD_Result answer_route(struct request *request, const struct httpd_route *route)
{
	struct httpd_answer answer = { .status = MHD_HTTP_OK, .type = TEXT_TYPE };

	if (route->limited && !count_request(request))
		return answer_later(request, MHD_HTTP_SERVICE_UNAVAILABLE,
				    "Too many requests at once (--web.max-requests).\n");
	request->asked = (struct httpd_request){
		.arg = request_arg,
		.accept = request_header(request, MHD_HTTP_HEADER_ACCEPT),
		.accept_encoding = request_header(request, MHD_HTTP_HEADER_ACCEPT_ENCODING),
		.local = is_local(request),
	};
	buf_init(&answer.text, 0);
	route->fn(route->arg, &request->asked, &answer);
	return answer_send(request, &answer);
}

static enum MHD_Result answer_path(struct request *request, const char *path)
{
	const struct httpd *httpd = request->httpd;

	for (size_t i = 0; i < httpd->route_count; i++) {
		if (strcmp(path, httpd->routes[i].path) == 0)
			return answer_route(request, &httpd->routes[i]);
	}
	return answer_line(request, MHD_HTTP_NOT_FOUND, NULL, NULL, "404 page not found\n");
}

static bool rate_allows(struct httpd *httpd, const struct webconfig *config)
{
	bool allowed;

	pthread_mutex_lock(&httpd->rate_lock);
	allowed = ratelimit_take(&httpd->rate, config->rate_interval_ns, config->rate_burst,
				 clock_mono_ns());
	pthread_mutex_unlock(&httpd->rate_lock);
	return allowed;
}

static void log_refusal(const struct request *request)
{
	const struct sockaddr *client = client_of(request);
	char peer[NI_MAXHOST] = "";
	socklen_t len = sizeof(struct sockaddr_in);

	if (client && client->sa_family == AF_INET6)
		len = sizeof(struct sockaddr_in6);
	if (client)
		getnameinfo(client, len, peer, sizeof(peer), NULL, 0, NI_NUMERICHOST);
	httpd_log(request->httpd, LOG_LEVEL_WARN, "http authentication failed", "peer", peer);
}

/* On a password. The request is suspended until it is there. */
struct verdict {
	struct MHD_Connection *connection;
	enum auth_result result;
};

/* The verdict a request was marked with, or NULL. */
static struct verdict *verdict_of(struct httpd *httpd, void *mark)
{
	return mark == &httpd->known || mark == &httpd->counted ? NULL : mark;
}

static void on_verdict(void *arg, enum auth_result result)
{
	struct verdict *verdict = arg;

	verdict->result = result;
	MHD_resume_connection(verdict->connection);
}

static enum MHD_Result answer_busy(struct request *request)
{
	return answer_later(request, MHD_HTTP_SERVICE_UNAVAILABLE,
			    "Other passwords are being checked.\n");
}

static enum MHD_Result wait_for_verdict(struct request *request, const char *header)
{
	const struct sockaddr *client = client_of(request);
	struct verdict *verdict = client ? malloc(sizeof(*verdict)) : NULL;
	struct share share;

	if (!verdict)
		return answer_busy(request);
	share = share_of(client);
	verdict->connection = request->connection;
	*request->mark = verdict;
	MHD_suspend_connection(request->connection);
	auth_ask(request->httpd->auth, request->config, header, &share, on_verdict, verdict);
	return MHD_YES;
}

/* A request without a password is not logged: a browser first tries without. */
static enum MHD_Result refuse(struct request *request, const char *header)
{
	if (header)
		log_refusal(request);
	return answer_line(request, MHD_HTTP_UNAUTHORIZED, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
			   "Basic realm=\"tcphealth_exporter\", charset=\"UTF-8\"",
			   "Unauthorized\n");
}

static enum MHD_Result answer_verdict(struct request *request, const char *path,
				      enum auth_result result)
{
	const char *header = request_header(request, MHD_HTTP_HEADER_AUTHORIZATION);

	switch (result) {
	case AUTH_RIGHT:
		return answer_path(request, path);
	case AUTH_WRONG:
		return refuse(request, header);
	case AUTH_UNKNOWN:
		return wait_for_verdict(request, header);
	case AUTH_NOT_YOUR_TURN:
		return answer_later(request, MHD_HTTP_TOO_MANY_REQUESTS,
				    "Another password from this address is being checked.\n");
	case AUTH_BUSY:
		break;
	}
	return answer_busy(request);
}

/* After its turn: the verdict stands, even if the users have changed meanwhile. */
static enum MHD_Result answer_after_turn(struct request *request, const char *path,
					 struct verdict *verdict)
{
	enum auth_result result = verdict->result;

	free(verdict);
	*request->mark = &request->httpd->known;
	return answer_verdict(request, path, result);
}

static enum MHD_Result authenticate(struct request *request, const char *path)
{
	const char *header = request_header(request, MHD_HTTP_HEADER_AUTHORIZATION);
	struct httpd *httpd = request->httpd;

	if (header && atomic_load(&httpd->ending))
		return answer_later(request, MHD_HTTP_SERVICE_UNAVAILABLE, "Ending.\n");
	return answer_verdict(request, path, auth_check(httpd->auth, request->config, header));
}

static enum MHD_Result answer(struct request *request, const char *path)
{
	const struct webconfig *config = request->config;
	struct verdict *verdict = verdict_of(request->httpd, *request->mark);

	if (verdict)
		return answer_after_turn(request, path, verdict);
	if (config && config->rate_interval_ns && !rate_allows(request->httpd, config))
		return answer_later(request, MHD_HTTP_TOO_MANY_REQUESTS, "Too Many Requests\n");
	return config && config->user_count ? authenticate(request, path)
					    : answer_path(request, path);
}

/*
 * After the headers: refuses a request that cannot be served, before any of its body is
 * read; the library then closes the connection. Any other request is answered at the
 * second call.
 */
static enum MHD_Result receive(struct request *request, const char *method)
{
	*request->mark = &request->httpd->known;
	gate_asked(request->httpd->gate, httpd_fd(request->connection));
	httpd_log_overdue(request->httpd, false);
	httpd_renew(request->httpd);
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer_line(request, MHD_HTTP_METHOD_NOT_ALLOWED, MHD_HTTP_HEADER_ALLOW,
				   "GET, HEAD", "Only GET and HEAD are allowed.\n");
	if (headers_of(request).has_body)
		return answer_line(request, MHD_HTTP_CONTENT_TOO_LARGE, NULL, NULL,
				   "Requests with a body are refused.\n");
	return MHD_YES;
}

enum MHD_Result request_handle(void *arg, struct MHD_Connection *connection, const char *url,
			       const char *method, const char *version, const char *upload,
			       size_t *upload_size, void **mark)
{
	struct httpd *httpd = arg;
	const struct policy *policy = httpd->guard ? guard_policy(httpd->guard) : NULL;
	struct request request = {
		.httpd = httpd,
		.config = policy ? policy->config : NULL,
		.connection = connection,
		.mark = mark,
	};
	enum MHD_Result result = *mark ? answer(&request, url) : receive(&request, method);

	(void)version;
	(void)upload;
	(void)upload_size;
	policy_unref(policy);
	return result;
}

void request_completed(void *arg, struct MHD_Connection *connection, void **mark,
		       enum MHD_RequestTerminationCode code)
{
	struct httpd *httpd = arg;

	(void)code;
	if (*mark == &httpd->counted)
		atomic_fetch_sub(&httpd->answering, 1);
	free(*mark ? verdict_of(httpd, *mark) : NULL);
	*mark = NULL;
	gate_answered(httpd->gate, httpd_fd(connection));
}
