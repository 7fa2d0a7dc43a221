/* flags: command lines, a word a line: what is taken is within its bounds, what is not is told in one line. */
#include "options.h"

#include <errno.h>

#define WORDS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
		check_options(&options);
	} else {
		require(strnlen(error.text, sizeof(error.text)) < sizeof(error.text));
		require(error.text[0] != '\0' && strchr(error.text, '\n') == NULL);
	}
	free(text);
	return 0;
}
