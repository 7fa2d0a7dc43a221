/*
 * fetch: see the header. Owns a socket and a TLS session for one request; must not know what is asked for.
 */
#include "tcphealth/web/fetch.h"

#include "tcphealth/base/clock.h"
#include "tcphealth/web/listenaddr.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct line {
	int fd;
	gnutls_session_t session; /* NULL: no TLS */
	gnutls_certificate_credentials_t credentials;
	uint64_t deadline_ms;
};

/* The next call may take what is left of the time. 0 or -ETIMEDOUT. */
static int limit(const struct line *line)
{
	uint64_t now_ms = clock_mono_ms(), left_ms;
	struct timeval left;

	if (now_ms >= line->deadline_ms)
		return -ETIMEDOUT;
	left_ms = line->deadline_ms - now_ms;
	left.tv_sec = (time_t)(left_ms / 1000);
	left.tv_usec = (suseconds_t)(left_ms % 1000 * 1000);
	if (setsockopt(line->fd, SOL_SOCKET, SO_RCVTIMEO, &left, sizeof(left)) < 0 ||
	    setsockopt(line->fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof(left)) < 0)
		return -errno;
	return 0;
}

/* -errno of a call that was limited. */
static int failure(void)
{
	return errno == EAGAIN || errno == EINPROGRESS ? -ETIMEDOUT : -errno;
}

static int dial_one(struct line *line, const struct addrinfo *to)
{
	int err;

	line->fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (line->fd < 0)
		return -errno;
	err = limit(line);
	if (!err && connect(line->fd, to->ai_addr, to->ai_addrlen) < 0)
		err = failure();
	if (err) {
		close(line->fd);
		line->fd = -1;
	}
	return err;
}

static int dial(struct line *line, const char *address)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *list;
	struct listenaddr parts;
	int err = -ECONNREFUSED;
	bool any;

	if (listenaddr_parse(address, &parts))
		return -EINVAL;
	any = !*parts.host || strcmp(parts.host, "::") == 0 || strcmp(parts.host, "0.0.0.0") == 0;
	if (getaddrinfo(any ? NULL : parts.host, parts.port, &hints, &list))
		return -EADDRNOTAVAIL;
	for (const struct addrinfo *to = list; to && err; to = to->ai_next)
		err = dial_one(line, to);
	freeaddrinfo(list);
	return err;
}

static int begin_tls(struct line *line)
{
	int r, err = limit(line);

	if (err)
		return err;
	if (gnutls_init(&line->session, GNUTLS_CLIENT) < 0)
		return -ENOMEM;
	if (gnutls_certificate_allocate_credentials(&line->credentials) < 0 ||
	    gnutls_set_default_priority(line->session) < 0 ||
	    gnutls_credentials_set(line->session, GNUTLS_CRD_CERTIFICATE, line->credentials) < 0)
		return -ENOMEM;
	gnutls_transport_set_int(line->session, line->fd);
	do
		r = gnutls_handshake(line->session);
	while (r == GNUTLS_E_INTERRUPTED || r == GNUTLS_E_WARNING_ALERT_RECEIVED);
	if (r == GNUTLS_E_AGAIN)
		return -ETIMEDOUT;
	return r < 0 ? -EPROTO : 0;
}

static void hang_up(struct line *line)
{
	if (line->session)
		gnutls_deinit(line->session);
	if (line->credentials)
		gnutls_certificate_free_credentials(line->credentials);
	if (line->fd >= 0)
		close(line->fd);
}

static int send_all(const struct line *line, const char *text, size_t len)
{
	while (len > 0) {
		int err = limit(line);
		ssize_t n;

		if (err)
			return err;
		n = line->session ? gnutls_record_send(line->session, text, len)
				  : send(line->fd, text, len, MSG_NOSIGNAL);
		if (n <= 0)
			return line->session ? -EPROTO : failure();
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Bytes that came, 0 at the end, or -errno. */
static ssize_t receive(const struct line *line, char *to, size_t size)
{
	int err = limit(line);
	ssize_t n;

	if (err)
		return err;
	if (!line->session) {
		n = recv(line->fd, to, size, 0);
		return n < 0 ? failure() : n;
	}
	n = gnutls_record_recv(line->session, to, size);
	if (n == GNUTLS_E_PREMATURE_TERMINATION)
		return 0;
	if (n == GNUTLS_E_AGAIN)
		return -ETIMEDOUT;
	/* A server that wants our certificate says so after the handshake. */
	return n < 0 ? -EACCES : n;
}

static int receive_all(const struct line *line, struct buf *text)
{
	char part[16384];
	ssize_t n;

	while ((n = receive(line, part, sizeof(part))) > 0 && !text->err)
		buf_put(text, part, (size_t)n);
	buf_putc(text, '\0');
	return n < 0 ? (int)n : text->err;
}

static int ask(const struct line *line, const struct fetch *fetch, struct buf *ret_text)
{
	char request[1024];
	int len = snprintf(request, sizeof(request),
			   "GET %s HTTP/1.0\r\nHost: localhost\r\nAccept: %s\r\n\r\n", fetch->path,
			   fetch->accept);
	int err;

	if (len < 0 || (size_t)len >= sizeof(request))
		return -ENAMETOOLONG;
	err = send_all(line, request, (size_t)len);
	return err ? err : receive_all(line, ret_text);
}

/* The text ends with a NUL. */
static int take_body(const struct buf *text, struct buf *ret_body)
{
	const char *body = strstr(text->data, "\r\n\r\n");
	const char *status = strchr(text->data, ' ');

	if (strncmp(text->data, "HTTP/1.", strlen("HTTP/1.")) != 0 || !status || !body)
		return -EPROTO;
	if (strncmp(status, " 401 ", 5) == 0 || strncmp(status, " 403 ", 5) == 0)
		return -EACCES;
	if (strncmp(status, " 200 ", 5) != 0)
		return -EPROTO;
	body += strlen("\r\n\r\n");
	buf_put(ret_body, body, text->len - (size_t)(body - text->data));
	return ret_body->err;
}

int fetch_page(const struct fetch *fetch, struct buf *ret_body)
{
	struct line line = { .fd = -1, .deadline_ms = clock_mono_ms() + fetch->wait_ms };
	struct buf text;
	int err = dial(&line, fetch->address);

	buf_init(&text, ret_body->limit);
	if (!err && fetch->tls)
		err = begin_tls(&line);
	if (!err)
		err = ask(&line, fetch, &text);
	if (!err)
		err = take_body(&text, ret_body);
	buf_done(&text);
	hang_up(&line);
	return err;
}
