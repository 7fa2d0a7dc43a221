/*
 * httpd: starts and ends the server.
 *
 * Owns libmicrohttpd's daemon and the gate in front of it. Must not know what is asked or
 * answered. One daemon without a listener of its own serves every address: the gate
 * accepts connections and hands them over.
 */
#include "httpd-internal.h"

#include "tcphealth/base/clock.h"
#include "tcphealth/base/shortage.h"
#include "tcphealth/web/listenaddr.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WORKERS         4u
#define CONNECTIONS_MAX 256u
#define PER_SHARE_MAX   16u
#define FD_RESERVE      64u         /* descriptors for everything else */
#define REQUEST_MEMORY  (16 * 1024) /* bytes for a connection */
#define TIMEOUT_S       10u
#define LOG_LINES       10u /* a minute */
#define REST_MS         50  /* of a thread that cannot poll */
#define SETTLE_MS       5u  /* between checks of httpd_settle() */
#define PRIORITIES      "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

static void report_held_back(struct httpd *httpd, uint64_t now_ms, bool final)
{
	uint64_t count = loglimit_report(&httpd->log_limit, now_ms, final);

	if (count)
		log_warn("http log lines suppressed", "count", LOG_U64(count), NULL);
}

void httpd_log(struct httpd *httpd, enum log_level level, const char *msg, const char *key,
	       const char *value)
{
	uint64_t now_ms = clock_mono_ms();

	pthread_mutex_lock(&httpd->log_lock);
	report_held_back(httpd, now_ms, false);
	if (loglimit_pass(&httpd->log_limit, now_ms))
		log_event(level, msg, key, value, NULL);
	pthread_mutex_unlock(&httpd->log_lock);
}

/* Called with every request, so that the count appears even if nothing more goes wrong. */
void httpd_log_overdue(struct httpd *httpd, bool final)
{
	pthread_mutex_lock(&httpd->log_lock);
	report_held_back(httpd, clock_mono_ms(), final);
	pthread_mutex_unlock(&httpd->log_lock);
}

/*
 * A thread of the library that cannot poll, by the kernel or for lack of memory, says so and tries again at once: it rests
 * here, or it would take a CPU for as long as that lasts.
 */
static void rest_if_it_cannot_poll(const char *complaint)
{
	static const char *const complaints[] = { "poll failed", "Error allocating memory" };
	const struct timespec rest = { .tv_nsec = REST_MS * 1000000L };

	for (size_t i = 0; i < sizeof(complaints) / sizeof(complaints[0]); i++) {
		if (!strncmp(complaint, complaints[i], strlen(complaints[i])))
			nanosleep(&rest, NULL);
	}
}

__attribute__((format(printf, 2, 0))) static void log_library(void *arg, const char *fmt,
							      va_list args)
{
	char text[256];

	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	/* The library has no levels, and nearly all of it is about clients. */
	httpd_log(arg, LOG_LEVEL_INFO, "http", "detail", text);
	rest_if_it_cannot_poll(text);
}

static void on_complaint(void *arg, const char *what, const char *key, const char *value)
{
	httpd_log(arg, LOG_LEVEL_WARN, what, key, value);
}

void httpd_renew(struct httpd *httpd)
{
	struct web_error error = { "" };

	if (!httpd->guard)
		return;
	switch (guard_renew(httpd->guard, clock_mono_ms(), &error)) {
	case GUARD_RENEWED:
		log_info("web configuration renewed", NULL);
		break;
	case GUARD_FAILED:
		log_error("web configuration not renewed, keeping the old one", "err", error.text,
			  NULL);
		break;
	case GUARD_NOTHING:
		break;
	}
}

int httpd_fd(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info ? info->connect_fd : -1;
}

/*
 * Prepares a session by the current policy, before its handshake. The connection keeps a
 * reference to the policy until it ends, which the library reports after the session is
 * gone.
 */
static void begin_tls(struct httpd *httpd, struct MHD_Connection *connection, void **socket_context)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	const struct policy *policy;

	httpd_renew(httpd);
	if (!info || !info->tls_session)
		return;
	policy = guard_policy(httpd->guard);
	*socket_context = (void *)(uintptr_t)policy;
	if (tls_attach(policy->tls, info->tls_session) < 0)
		httpd_log(httpd, LOG_LEVEL_WARN, "tls connection not set up", "err",
			  "out of memory");
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct httpd *httpd = arg;
	int fd = httpd_fd(connection);

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		gate_connected(httpd->gate, fd);
		if (httpd_has_tls(httpd))
			begin_tls(httpd, connection, socket_context);
		return;
	}
	gate_closed(httpd->gate, fd);
	policy_unref(*socket_context);
	*socket_context = NULL;
}

/* A session that begin_tls() could not prepare gets no certificate, and ends. */
static int refuse_certificate(gnutls_session_t session, const gnutls_datum_t *authorities,
			      int authority_count, const gnutls_pk_algorithm_t *algorithms,
			      int algorithm_count, gnutls_pcert_st **certificate,
			      unsigned int *length, gnutls_privkey_t *key)
{
	(void)session;
	(void)authorities;
	(void)authority_count;
	(void)algorithms;
	(void)algorithm_count;
	(void)certificate;
	(void)length;
	(void)key;
	return -1;
}

static void on_refused(void *arg, const char *why)
{
	httpd_log(arg, LOG_LEVEL_WARN, "tls client certificate refused", "why", why);
}

static int on_admit(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
	struct httpd *httpd = arg;

	return MHD_add_connection(httpd->daemon, fd, peer, peer_len) == MHD_YES ? 0 : -ECONNABORTED;
}

/*
 * Leaves descriptors for the rest of the program: without any, the collector could not
 * work.
 */
static unsigned int connection_limit(void)
{
	struct rlimit files;
	unsigned int soft, limit;

	if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur >= CONNECTIONS_MAX + FD_RESERVE)
		return CONNECTIONS_MAX;
	soft = (unsigned int)files.rlim_cur;
	limit = soft > 2 * FD_RESERVE ? soft - FD_RESERVE : soft / 2;
	return limit > WORKERS ? limit : WORKERS;
}

/* Opens all addresses, unless listeners were handed over. */
static int open_listeners(struct httpd *httpd, const struct httpd_config *config,
			  struct web_error *ret_error)
{
	char why[128];

	for (size_t i = 0; !config->sockets && i < config->listen_count; i++) {
		int fd = listenaddr_open(config->listen[i], why, sizeof(why));
		if (fd < 0) {
			(void)snprintf(ret_error->text, sizeof(ret_error->text),
				       "listen tcp %.100s: %s", config->listen[i], why);
			return fd;
		}
		httpd->listeners[httpd->listener_count++] = fd;
	}
	for (size_t i = 0; i < httpd->listener_count; i++) {
		/* The library asks this of each connection, and serves none where it fails. */
		if (fcntl(httpd->listeners[i], F_GETFL) < 0)
			return web_fail(ret_error, "start http", -errno);
		httpd->ports[i] = listenaddr_port(httpd->listeners[i]);
	}
	return 0;
}

static struct gate *make_gate(struct httpd *httpd)
{
	unsigned int limit = connection_limit();
	struct gate_config config = {
		.listeners = httpd->listeners,
		.listener_count = httpd->listener_count,
		.max_connections = limit,
		.max_per_share = limit / 2 < PER_SHARE_MAX ? limit / 2 : PER_SHARE_MAX,
		.timeout_s = httpd->timeout_s,
		.admit = on_admit,
		.complain = on_complaint,
		.arg = httpd,
	};

	return gate_new(&config);
}

/*
 * The gate bounds the connections. The library would divide its own by the number of
 * threads, and drop connections whenever one thread had more than its share.
 *
 * poll(2), not epoll: with TLS the library's epoll loop takes a connection for ready as long as the client says nothing, and
 * spins.
 */
static struct MHD_Daemon *start_daemon(struct httpd *httpd)
{
	unsigned int flags = MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET |
			     MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
			     (httpd_has_tls(httpd) ? (unsigned int)MHD_USE_TLS : 0);
	const struct MHD_OptionItem tls_options[] = {
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)PRIORITIES },
		{ MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(intptr_t)refuse_certificate },
		{ MHD_OPTION_END, 0, NULL },
	};
	const struct MHD_OptionItem options[] = {
		/* First, because the others may log. */
		{ MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)log_library, httpd },
		{ MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL },
		{ MHD_OPTION_CONNECTION_LIMIT, (intptr_t)(WORKERS * CONNECTIONS_MAX), NULL },
		{ MHD_OPTION_CONNECTION_MEMORY_LIMIT, REQUEST_MEMORY, NULL },
		{ MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)httpd->timeout_s, NULL },
		{ MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)request_completed, httpd },
		{ MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, httpd },
		{ MHD_OPTION_THREAD_POOL_SIZE, WORKERS, NULL },
		{ MHD_OPTION_END, 0, NULL },
	};

	return MHD_start_daemon(flags, 0, NULL, NULL, request_handle, httpd, MHD_OPTION_ARRAY,
				options, httpd_has_tls(httpd) ? MHD_OPTION_ARRAY : MHD_OPTION_END,
				tls_options, MHD_OPTION_END);
}

/*
 * A scraper that vanished is noticed within half a minute: connections inherit it from their listener, one that a service
 * manager made as well. It is no reason not to serve if the kernel refuses.
 */
static void watch_clients(const struct httpd *httpd)
{
	static const struct {
		int level, option, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_KEEPIDLE, 15 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 5 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 3 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
	};

	for (size_t i = 0; i < httpd->listener_count; i++) {
		for (size_t j = 0; j < sizeof(options) / sizeof(options[0]); j++)
			(void)setsockopt(httpd->listeners[i], options[j].level, options[j].option,
					 &options[j].value, sizeof(options[j].value));
	}
}

static int start(struct httpd *httpd, const struct httpd_config *config,
		 struct web_error *ret_error)
{
	const char *file = config->web_config;
	int err =
		file && file[0] ? guard_new(file, on_refused, httpd, &httpd->guard, ret_error) : 0;

	if (!err)
		err = open_listeners(httpd, config, ret_error);
	if (err)
		return err;
	watch_clients(httpd);
	errno = 0;
	httpd->gate = make_gate(httpd);
	if (!httpd->gate)
		return web_fail(ret_error, "start http", shortage());
	httpd->daemon = start_daemon(httpd);
	err = httpd->daemon ? gate_start(httpd->gate) : shortage();
	return err ? web_fail(ret_error, "start http", err) : 0;
}

int httpd_start(const struct httpd_config *config, struct httpd **ret_httpd,
		struct web_error *ret_error)
{
	struct httpd *httpd = calloc(1, sizeof(*httpd));
	int err;

	if (!httpd)
		return web_fail(ret_error, "start http", -ENOMEM);
	httpd->routes = config->routes;
	httpd->route_count = config->route_count;
	httpd->max_requests = config->max_requests;
	httpd->timeout_s = config->timeout_s ? config->timeout_s : TIMEOUT_S;
	if (config->sockets) {
		httpd->listener_count = config->socket_count;
		memcpy(httpd->listeners, config->sockets, config->socket_count * sizeof(int));
	}
	pthread_mutex_init(&httpd->log_lock, NULL);
	pthread_mutex_init(&httpd->rate_lock, NULL);
	loglimit_init(&httpd->log_limit, LOG_LINES);
	httpd->auth = auth_new();
	err = httpd->auth ? start(httpd, config, ret_error)
			  : web_fail(ret_error, "start http", -ENOMEM);
	if (err)
		httpd_stop(httpd);
	else
		*ret_httpd = httpd;
	return err;
}

int httpd_reload(struct httpd *httpd, struct web_error *ret_error)
{
	return httpd->guard ? guard_reload(httpd->guard, ret_error) : -ENOENT;
}

bool httpd_reload_failed(const struct httpd *httpd)
{
	return httpd->guard && guard_has_failed(httpd->guard);
}

bool httpd_is_alive(struct httpd *httpd)
{
	return gate_is_alive(httpd->gate);
}

int httpd_check(const char *web_config, struct web_error *ret_error)
{
	struct guard *guard = NULL;
	int err = guard_new(web_config, NULL, NULL, &guard, ret_error);

	guard_free(guard);
	return err;
}

void httpd_quiesce(struct httpd *httpd)
{
	if (!httpd)
		return;
	atomic_store(&httpd->ending, true);
	auth_quiesce(httpd->auth);
	gate_quiesce(httpd->gate);
}

bool httpd_settle(struct httpd *httpd, unsigned int wait_ms)
{
	const struct timespec pause = { .tv_nsec = SETTLE_MS * 1000000L };
	uint64_t until_ms = clock_mono_ms() + wait_ms;

	while (auth_is_busy(httpd->auth)) {
		if (clock_mono_ms() >= until_ms)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

void httpd_stop(struct httpd *httpd)
{
	if (!httpd)
		return;
	if (httpd->gate)
		gate_stop(httpd->gate);
	/* The library must not be stopped while a request waits for a verdict. */
	if (httpd->auth)
		auth_stop(httpd->auth);
	if (httpd->daemon)
		MHD_stop_daemon(httpd->daemon);
	for (size_t i = 0; !httpd->gate && i < httpd->listener_count; i++)
		close(httpd->listeners[i]);
	gate_free(httpd->gate);
	guard_free(httpd->guard);
	auth_free(httpd->auth);
	httpd_log_overdue(httpd, true);
	pthread_mutex_destroy(&httpd->log_lock);
	pthread_mutex_destroy(&httpd->rate_lock);
	free(httpd);
}

bool httpd_has_tls(const struct httpd *httpd)
{
	return httpd->guard && guard_has_tls(httpd->guard);
}

const char *httpd_version(void)
{
	return MHD_get_version();
}

unsigned int httpd_port(const struct httpd *httpd, size_t i)
{
	return i < httpd->listener_count ? httpd->ports[i] : 0;
}
