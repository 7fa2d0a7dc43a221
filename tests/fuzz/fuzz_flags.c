/* flags: command lines, a word a line: what is taken is within its bounds, what is not is told in one line. */
#include "tcphealth/app/options.h"
#include "text.h"

#include <errno.h>

#define WORDS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct options *options)
{
	if (options->mode == OPTIONS_HELP || options->mode == OPTIONS_VERSION)
		return; /* the rest was not looked at */
	require(options->listen_count >= 1 && options->listen_count <= OPTIONS_LISTEN_MAX);
	for (size_t i = 0; i < options->listen_count; i++)
		require(strchr(options->listen[i], ':') != NULL);
	require(options->telemetry_path[0] == '/' && options->telemetry_path[1] != '\0');
	require(options->max_requests <= 10000);
	require(options->interval_ms >= 100 && options->interval_ms <= 3600000);
	require(options->ports_max >= 1 && options->ports_max <= 65536);
	require(options->stale_keepalive_probes >= 1 && options->stale_keepalive_probes <= 255);
	require(options->cpu_budget >= 0 && options->cpu_budget <= 1);
	require(options->netns[0] != '\0');
	require(options->path_procfs[0] != '\0');
}

static void check_duration(const char *text)
{
	uint64_t ms = UINT64_MAX;
	int r = options_duration_ms(text, &ms);

	require(r == 0 || ms == UINT64_MAX);
	require(r == 0 || r == -EINVAL || r == -ERANGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct options options;
	char *text = text_copy(data, size), *rest = text;
	char *argv[WORDS_MAX + 2] = { "tcphealth_exporter" };
	struct options_error error;
	int argc = 1;

	while (argc <= WORDS_MAX && (argv[argc] = strsep(&rest, "\n"))) {
		check_duration(argv[argc]);
		argc++;
	}
	argv[argc] = NULL;
	memset(&error, 0xff, sizeof(error));
	if (options_parse(argc, argv, &options, &error) == 0) {
		check(&options);
	} else {
		require(strnlen(error.text, sizeof(error.text)) < sizeof(error.text));
		require(error.text[0] != '\0' && strchr(error.text, '\n') == NULL);
	}
	free(text);
	return 0;
}
