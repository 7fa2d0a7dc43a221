/*
 * main: the process. Reads the command line and does what it says; what only prints and ends is here, serving is in serve.c.
 */
#include "tcphealth/app/collector.h"
#include "tcphealth/app/connections.h"
#include "tcphealth/app/options.h"
#include "tcphealth/app/serve.h"
#include "tcphealth/base/buf.h"
#include "tcphealth/base/log.h"
#include "tcphealth/base/version.h"
#include "tcphealth/web/httpd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_FAILED 1
#define EXIT_USAGE  2

#define HOLDERS_BUDGET_MS 10000u /* a person waits: some million descriptors */

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
	struct publisher_config config = { .options = options, .microhttpd = httpd_version() };
	const char *where = options->output != NULL ? options->output : "standard output";
	struct collector *collector = NULL;
	struct buf page;
	int r = collector_new(options, NULL, NULL, &collector);

	buf_init(&page, 0);
	if (r == 0)
		r = collector_once(collector, &config, &page);
	if (r < 0)
		log_error("sample failed", "err", strerror(-r), NULL);
	if (r == 0) {
		r = options->output != NULL ? replace_file(options->output, &page)
					    : write_all(STDOUT_FILENO, page.data, page.len);
		if (r < 0)
			log_error("writing failed", "to", where, "err", strerror(-r), NULL);
	}
	buf_done(&page);
	collector_stop(collector, 0);
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

static void note(const char *text)
{
	if (text[0] != '\0')
		(void)fprintf(stderr, "tcphealth_exporter: %s\n", text);
}

/* Where no exporter runs here, or it does not tell, the rest is listed all the same. */
static void add_dead(const struct options *options, struct dead *dead,
		     struct connections_result *result)
{
	int err = dead_ask(options, dead);

	if (err == 0)
		result->dead = dead;
	else
		(void)fprintf(
			stderr,
			"tcphealth_exporter: connections that were reset or timed out are not "
			"known, as no exporter tells them at %s: %s\n",
			options->listen[0], strerror(-err));
}

static size_t count_stale(const struct connections_result *result)
{
	return result->count + (result->dead != NULL ? result->dead->count : 0);
}

static void print_stale(const struct options *options, const struct connections_result *result,
			const struct connections_holders *holders, struct buf *text)
{
	if (options->list_format == OPTIONS_LIST_JSON) {
		connections_render_json(result, holders, text);
		return;
	}
	if (result->partial)
		note(connections_partial_note);
	if (!(result->source->can & SOURCE_INFO))
		note("read from /proc: ages count from first sight, and some reasons cannot be "
		     "found");
	if (count_stale(result) == 0)
		return;
	connections_render_table(result, holders, terminal_width(), text);
	if (result->matched > result->count)
		buf_printf(text, "%llu more\n",
			   (unsigned long long)(result->matched - result->count));
	note(connections_holders_note(result, holders));
}

/* 0 and what is stale, written to standard output; or -errno. */
static int print_all_stale(struct collector *collector, const struct options *options,
			   struct dead *dead, struct connections_result *ret_result)
{
	struct connections_holders holders = { 0 };
	struct buf text;
	int r = collector_list_stale(collector, CONNECTIONS_LIMIT_MAX, ret_result);

	buf_init(&text, 0);
	if (r == 0)
		r = connections_find_holders(ret_result, options->path_procfs,
					     options->path_cgroupfs, HOLDERS_BUDGET_MS, &holders);
	if (r == 0) {
		add_dead(options, dead, ret_result);
		print_stale(options, ret_result, &holders, &text);
		r = text.err != 0 ? text.err : write_all(STDOUT_FILENO, text.data, text.len);
	}
	connections_holders_done(&holders);
	buf_done(&text);
	return r;
}

/* Whether what is not listed is not stale. */
static bool sees_all(const struct connections_result *result)
{
	return !result->partial && result->source->can & SOURCE_INFO;
}

/* As grep does: 0 and 1 tell whether there was something, 2 that it is not known. */
static int list_stale(const struct options *options)
{
	struct connections_result result = { 0 };
	struct collector *collector = NULL;
	struct dead dead = { 0 };
	int status, r = collector_new(options, NULL, NULL, &collector);

	if (r == 0)
		r = print_all_stale(collector, options, &dead, &result);
	if (r != 0)
		log_error("listing failed", "err", strerror(-r), NULL);
	if (r != 0 || (count_stale(&result) == 0 && !sees_all(&result)))
		status = EXIT_USAGE;
	else
		status = count_stale(&result) != 0;
	connections_done(&result);
	dead_done(&dead);
	collector_stop(collector, 0);
	return status;
}

/*
 * Opens standard descriptors that are closed, so that no file of ours gets their numbers. Standard
 * output only for reading: writing the result must still fail.
 */
static bool open_standard_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
		    open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR) != fd)
			return false;
	}
	return true;
}

int main(int argc, char *argv[])
{
	static struct options options; /* port sets of 16 KiB: not for the stack */
	struct options_error error;

	if (!open_standard_fds())
		return EXIT_FAILED;
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
	case OPTIONS_CHECK:
		return serve_check(&options);
	case OPTIONS_SERVE:
		break;
	}
	log_open();
	log_info("starting tcphealth_exporter", "version", version_number, "revision",
		 version_revision, NULL);
	return serve_run(&options);
}
