/*
 * serve: starts everything, waits for signals, ends everything. Must not know what is
 * sampled, nor how it is served.
 */
#include "tcphealth/app/serve.h"

#include "tcphealth/app/api.h"
#include "tcphealth/app/collector.h"
#include "tcphealth/app/routes.h"
#include "tcphealth/base/await.h"
#include "tcphealth/base/clock.h"
#include "tcphealth/base/log.h"
#include "tcphealth/base/sandbox.h"
#include "tcphealth/base/shortage.h"
#include "tcphealth/base/systemd.h"
#include "tcphealth/web/httpd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EXIT_FAILED       1
#define REQUEST_TIMEOUT_S 10u
#define WATCH_MS          200  /* between checks of the watchdog */
#define START_MS          10   /* the same before the first page */
#define SETTLE_MS         300u /* for a password being checked */
#define STOP_WAIT_MS      400u /* for the sampling thread */

_Static_assert(OPTIONS_LISTEN_MAX <= HTTPD_LISTENERS_MAX &&
		       SYSTEMD_SOCKETS_MAX <= HTTPD_LISTENERS_MAX,
	       "httpd has room for every address and socket");

struct service {
	const struct options *options;
	struct systemd systemd;
	int signal_fd;
	struct publisher *publisher;
	struct mailbox *mailbox;
	struct collector *collector;
	struct api *api;
	struct httpd *httpd;
	struct routes routes;
	/*
	 * What the service manager was told: that we are ready, and when it was to be told
	 * that we are alive.
	 */
	bool ready;
	uint64_t alive_ms;
};

/*
 * Signals are blocked before any thread starts, and read from a descriptor: works as
 * process 1, too.
 */
static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	(void)signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/*
 * Uses the listeners of the service manager, if asked to. False, and logs why, if there
 * are none.
 */
static bool use_sockets(const struct service *service, struct httpd_config *serving)
{
	const struct systemd *systemd = &service->systemd;

	if (!service->options->systemd_socket)
		return true;
	if (systemd->sockets_error)
		log_error("the service manager passed no usable socket", "err",
			  systemd->sockets_error == -ENOTSOCK ? "one of them is not a TCP listener"
							      : strerror(-systemd->sockets_error),
			  NULL);
	else if (systemd->socket_count == 0)
		log_error("the service manager passed no socket (--web.systemd-socket)", NULL);
	serving->sockets = systemd->sockets;
	serving->socket_count = systemd->socket_count;
	return systemd->socket_count > 0;
}

static bool start_httpd(struct service *service)
{
	struct web_error error = { { 0 } };
	struct httpd_config serving = {
		.routes = service->routes.table,
		.route_count = ROUTES_COUNT,
		.listen = service->options->listen,
		.listen_count = service->options->listen_count,
		.web_config = service->options->web_config_file,
		.max_requests = service->options->max_requests,
		.timeout_s = REQUEST_TIMEOUT_S,
	};

	if (!use_sockets(service, &serving))
		return false;
	if (httpd_start(&serving, &service->httpd, &error) == 0)
		return true;
	log_error(error.text, NULL);
	return false;
}

/*
 * Before the first thread, so that all inherit it. Everything works without it, and false: nothing
 * would within.
 */
static bool enter_sandbox(const struct options *options)
{
	struct sandbox_config config = { .namespaces = strcmp(options->netns, "own") != 0 };
	const char *forbidden = NULL;
	int err = options->sandbox ? sandbox_enter(&config, &forbidden) : 0;

	if (err < 0 && err != -ENOTSUP)
		log_warn("running without a sandbox", "err", strerror(-err), NULL);
	if (forbidden)
		log_error("the sandbox forbids what serving needs; see --no-sandbox", "call",
			  forbidden, NULL);
	return forbidden == NULL;
}

/*
 * Makes everything but the server and the first sample, which is to see the exporter's
 * own listeners.
 */
static int prepare(struct service *service)
{
	const struct options *options = service->options;
	struct publisher_config publishing = { .options = options, .microhttpd = httpd_version() };

	errno = 0;
	service->signal_fd = open_signals();
	service->mailbox = mailbox_new();
	if (service->signal_fd < 0 || !service->mailbox)
		return shortage();
	service->publisher = publisher_new(&publishing);
	service->api = api_new(options, service->publisher, service->mailbox);
	if (!service->publisher || !service->api)
		return shortage();
	routes_init(&service->routes, options, publisher_pages(service->publisher),
		    service->publisher, service->api);
	return collector_new(options, service->publisher, service->mailbox, &service->collector);
}

static bool start(struct service *service)
{
	int err = prepare(service);

	if (!err) {
		if (!enter_sandbox(service->options) || !start_httpd(service))
			return false;
		err = collector_start(service->collector);
	}
	if (err < 0)
		log_error("start failed", "err", strerror(-err), NULL);
	return err == 0;
}

static void log_addresses(const struct service *service)
{
	const char *tls = httpd_has_tls(service->httpd) ? "on" : "off";
	bool sockets = service->options->systemd_socket;
	size_t count = sockets ? service->systemd.socket_count : service->options->listen_count;

	for (size_t i = 0; i < count; i++)
		log_info("listening", "address",
			 sockets ? "socket of the service manager" : service->options->listen[i],
			 "port", LOG_U64(httpd_port(service->httpd, i)), "tls", tls, NULL);
}

/* Ready means that a scrape is answered. A failed sample is an answer, too. */
static void tell_ready(struct service *service)
{
	if (service->ready || !publisher_answers(service->publisher))
		return;
	service->ready = true;
	(void)systemd_ready(&service->systemd, "Serving");
}

/* Accepting and sampling go on. What the kernel holds shows in the metrics: no restart would end it. */
static bool is_alive(struct service *service)
{
	bool accepts = httpd_is_alive(service->httpd);
	bool samples = collector_is_alive(service->collector, service->systemd.watchdog_ms);

	if (!accepts || !samples)
		log_error("a thread hangs, so the service manager gets no sign of life", "thread",
			  accepts ? "sampling" : "accepting", NULL);
	return accepts && samples;
}

/* A sign of life also says that this thread runs and just got the publisher's lock. */
static void tell_alive(struct service *service)
{
	uint64_t now_ms = clock_mono_ms();

	if (service->systemd.watchdog_ms == 0 ||
	    now_ms - service->alive_ms < service->systemd.watchdog_ms / 2)
		return;
	service->alive_ms = now_ms;
	if (is_alive(service))
		(void)systemd_alive(&service->systemd);
}

static void reload(struct service *service)
{
	struct web_error error = { { 0 } };
	int err;

	if (service->ready)
		(void)systemd_reloading(&service->systemd);
	err = httpd_reload(service->httpd, &error);
	if (err == -ENOENT && error.text[0] == '\0')
		log_info("nothing to reload", NULL);
	else if (err < 0)
		log_error("web configuration not reloaded, keeping the old one", "err", error.text,
			  NULL);
	else
		log_info("web configuration reloaded", NULL);
	if (service->ready)
		(void)systemd_ready(&service->systemd,
				    err < 0 && error.text[0] != '\0'
					    ? "Serving with the old web configuration"
					    : "Serving");
}

static int poll_ms(const struct service *service)
{
	uint64_t half_ms = service->systemd.watchdog_ms / 2;

	if (!service->ready)
		return START_MS;
	return half_ms > 0 && half_ms < WATCH_MS ? (int)half_ms : WATCH_MS;
}

/* Watches the collector until a signal ends the program. */
static void watch(struct service *service)
{
	struct pollfd fd = { .fd = service->signal_fd, .events = POLLIN };
	struct signalfd_siginfo info;

	for (;;) {
		if (await_fds(&fd, 1, poll_ms(service)) > 0 &&
		    read(service->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
			if (info.ssi_signo != SIGHUP)
				break;
			reload(service);
		}
		publisher_web_config(service->publisher, httpd_reload_failed(service->httpd));
		publisher_watch(service->publisher);
		tell_ready(service);
		tell_alive(service);
	}
	log_info("stopping", "signal", strsignal((int)info.ssi_signo), NULL);
	(void)systemd_stopping(&service->systemd);
}

/*
 * Ends the serving threads. One that checks a password cannot be interrupted, so it is
 * not waited for.
 */
static void end_httpd(struct service *service, int status)
{
	if (!service->httpd)
		return;
	httpd_quiesce(service->httpd);
	mailbox_interrupt(service->mailbox);
	if (!httpd_settle(service->httpd, SETTLE_MS)) {
		log_warn("a password is still being checked, exiting without waiting", NULL);
		_exit(status);
	}
	httpd_stop(service->httpd);
}

/*
 * Closes the listeners first, so that a successor can start; then ends the requests, then
 * the collector, unless the kernel holds its thread. Takes less than a second.
 */
static int end(struct service *service, int status)
{
	end_httpd(service, status);
	api_free(service->api);
	if (service->collector && !collector_stop(service->collector, STOP_WAIT_MS)) {
		log_warn(collector_is_in_kernel(service->collector)
				 ? "the kernel still holds the sampling thread, exiting without "
				   "waiting"
				 : "the sampling thread is still busy, exiting without waiting",
			 NULL);
		_exit(status);
	}
	publisher_free(service->publisher);
	mailbox_free(service->mailbox);
	systemd_done(&service->systemd);
	if (service->signal_fd >= 0)
		close(service->signal_fd);
	return status;
}

int serve_run(const struct options *options)
{
	struct service service = { .options = options, .signal_fd = -1 };

	systemd_init(&service.systemd);
	if (!start(&service))
		return end(&service, EXIT_FAILED);
	log_addresses(&service);
	watch(&service);
	return end(&service, EXIT_SUCCESS);
}

int serve_check(const struct options *options)
{
	const char *file = options->web_config_file;
	struct web_error error = { { 0 } };

	if (file[0] == '\0') {
		(void)printf("flags SUCCESS\n");
		return EXIT_SUCCESS;
	}
	if (httpd_check(file, &error) < 0) {
		(void)fprintf(stderr, "%s\n", error.text);
		return EXIT_FAILED;
	}
	(void)printf("%s SUCCESS\n", file);
	return EXIT_SUCCESS;
}
