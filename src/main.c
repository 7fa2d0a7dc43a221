/*
 * main: the process. Owns signals, configuration and the order of start and end; wires collector and httpd.
 */
#include "tcphealth/app/api.h"
#include "tcphealth/app/collector.h"
#include "tcphealth/app/drilldown.h"
#include "tcphealth/app/options.h"
#include "tcphealth/base/buf.h"
#include "tcphealth/base/clock.h"
#include "tcphealth/base/log.h"
#include "tcphealth/base/version.h"
#include "tcphealth/render/html.h"
#include "tcphealth/render/page.h"
#include "tcphealth/web/httpd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define REQUEST_TIMEOUT_S 10u
#define ASSETS_MAX 8
#define WATCH_MS 200      /* how often the watchdog looks */
#define STOP_WAIT_MS 400u /* for the sampling thread: the whole end takes less than a second */

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A reader of the file sees the old content or the new, never a part. */
static int replace_file(const char *path, const struct buf *page)
{
	char temp[PATH_MAX];
	int n = snprintf(temp, sizeof(temp), "%s.XXXXXX", path);
	int fd, r;

	if (n < 0 || (size_t)n >= sizeof(temp))
		return -ENAMETOOLONG;
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write_all(fd, page->data, page->len);
	if (r == 0 && fchmod(fd, 0644) < 0)
		r = -errno;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(temp, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(temp);
	return r;
}

static int run_once(const struct options *options)
{
	struct collector_config config = { .options = options, .microhttpd = httpd_version() };
	const char *where = options->output != NULL ? options->output : "standard output";
	struct buf page;
	int r;

	buf_init(&page, 0);
	r = collector_once(&config, &page);
	if (r < 0)
		log_error("sample failed", "err", strerror(-r), NULL);
	if (r == 0) {
		r = options->output != NULL ? replace_file(options->output, &page) :
					      write_all(STDOUT_FILENO, page.data, page.len);
		if (r < 0)
			log_error("writing failed", "to", where, "err", strerror(-r), NULL);
	}
	buf_done(&page);
	return r < 0 ? EXIT_FAILED : EXIT_SUCCESS;
}

/* Columns of the terminal that standard output is; 0 for a pipe or a file. */
static unsigned int terminal_width(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_col;
}

static void print_stale(const struct options *options, const struct drilldown *result,
			const struct drilldown_holders *holders, struct buf *text)
{
	const char *note = drilldown_holders_note(result, holders);

	if (options->list_format == OPTIONS_LIST_JSON) {
		drilldown_render_json(result, holders, text);
		return;
	}
	if (result->count == 0)
		return;
	drilldown_render_table(result, holders, terminal_width(), text);
	if (result->matched > result->count)
		buf_printf(text, "%llu more\n", (unsigned long long)(result->matched - result->count));
	if (note[0] != '\0')
		(void)fprintf(stderr, "tcphealth_exporter: %s\n", note);
}

/* As grep does: 0 and 1 tell whether there was something, 2 that it is not known. */
static int list_stale(const struct options *options)
{
	struct collector_config config = { .options = options, .microhttpd = httpd_version() };
	struct drilldown_holders holders = { 0 };
	struct drilldown result;
	struct buf text;
	int r = collector_list_stale(&config, DRILLDOWN_LIMIT_MAX, &result);

	buf_init(&text, 0);
	if (r == 0)
		r = drilldown_find_holders(&result, options->path_procfs, &holders);
	if (r == 0) {
		print_stale(options, &result, &holders, &text);
		r = text.err != 0 ? text.err : write_all(STDOUT_FILENO, text.data, text.len);
	}
	if (r < 0)
		log_error("listing failed", "err", strerror(-r), NULL);
	else
		r = result.count != 0;
	drilldown_holders_done(&holders);
	drilldown_done(&result);
	buf_done(&text);
	return r < 0 ? EXIT_USAGE : r;
}

/* Blocked before any thread starts, read from a descriptor: no handler, and works as process 1, too. */
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

/* Until a signal says to end; looks after the collector meanwhile. */
static void watch(struct collector *collector, int signal_fd)
{
	struct pollfd fd = { .fd = signal_fd, .events = POLLIN };
	struct signalfd_siginfo info;

	for (;;) {
		if (poll(&fd, 1, WATCH_MS) > 0 &&
		    read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
			if (info.ssi_signo != SIGHUP)
				break;
			log_info("nothing to reload", NULL);
		}
		collector_watch(collector);
	}
	log_info("ending", "signal", strsignal((int)info.ssi_signo), NULL);
}

static void log_addresses(const struct options *options, const struct httpd *httpd)
{
	for (size_t i = 0; i < options->listen_count; i++)
		log_info("listening", "address", options->listen[i], "port", LOG_U64(httpd_port(httpd, i)),
			 NULL);
}

/*
 * Listening sockets first, so that a successor can start; then the requests; then the collector, which is not waited for if the kernel
 * holds it.
 */
static int end(struct httpd *httpd, struct api *api, struct collector *collector, struct pageslot *pages)
{
	httpd_quiesce(httpd);
	collector_interrupt(collector);
	httpd_stop(httpd);
	api_free(api);
	if (!collector_stop(collector, STOP_WAIT_MS)) {
		log_warn("the kernel still holds the sampling thread, ending without it", NULL);
		_exit(EXIT_SUCCESS);
	}
	pageslot_free(pages);
	return EXIT_SUCCESS;
}

/* The files of the page at /. */
static size_t list_assets(struct httpd_asset assets[ASSETS_MAX])
{
	struct html_asset asset;
	size_t n = 0;

	for (; n < ASSETS_MAX && html_asset_at(n, &asset); n++)
		assets[n] = (struct httpd_asset){ asset.path, asset.content_type, asset.data, asset.len };
	return n;
}

static int serve(const struct options *options)
{
	struct httpd_handler handlers[API_HANDLERS];
	struct httpd_asset assets[ASSETS_MAX];
	struct api *api;
	struct pageslot *pages = pageslot_new();
	struct collector_config collecting = { options, pages, httpd_version() };
	struct httpd_config serving = {
		.listen = options->listen,
		.listen_count = options->listen_count,
		.telemetry_path = options->telemetry_path,
		.max_requests = options->max_requests,
		.timeout_s = REQUEST_TIMEOUT_S,
		.pages = pages,
		.ready = collector_ready,
	};
	struct collector *collector = NULL;
	struct httpd *httpd = NULL;
	struct httpd_error error = { { 0 } };
	int signal_fd = open_signals();
	int r = pages != NULL && signal_fd >= 0 ? collector_start(&collecting, &collector) : -ENOMEM;

	if (r < 0) {
		log_error("start failed", "err", strerror(-r), NULL);
		return EXIT_FAILED;
	}
	api = api_new(options, collector);
	if (api == NULL) {
		log_error("start failed", "err", strerror(ENOMEM), NULL);
		return EXIT_FAILED;
	}
	api_handlers(api, handlers);
	serving.handlers = handlers;
	serving.handler_count = API_HANDLERS;
	serving.assets = assets;
	serving.asset_count = list_assets(assets);
	serving.ready_arg = collector;
	r = httpd_start(&serving, &httpd, &error);
	if (r < 0) {
		log_error(error.text, NULL);
		(void)collector_stop(collector, STOP_WAIT_MS);
		return EXIT_FAILED;
	}
	log_addresses(options, httpd);
	watch(collector, signal_fd);
	return end(httpd, api, collector, pages);
}

int main(int argc, char *argv[])
{
	static struct options options; /* port sets of 16 KiB: not for the stack */
	struct options_error error;

	if (options_parse(argc, argv, &options, &error) < 0) {
		(void)fprintf(stderr, "tcphealth_exporter: %s\n", error.text);
		return EXIT_USAGE;
	}
	log_setup(options.log_level, options.log_format);
	switch (options.mode) {
	case OPTIONS_HELP:
		options_help(stdout);
		return EXIT_SUCCESS;
	case OPTIONS_VERSION:
		version_print(stdout);
		return EXIT_SUCCESS;
	case OPTIONS_ONCE:
		return run_once(&options);
	case OPTIONS_LIST_STALE:
		return list_stale(&options);
	case OPTIONS_SERVE:
		break;
	}
	log_info("starting tcphealth_exporter", "version", version_number(), "revision",
		 version_revision(), NULL);
	return serve(&options);
}
