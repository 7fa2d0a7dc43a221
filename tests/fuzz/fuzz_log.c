/* log: whatever a message and a value are, there is one line, printable, with no more pairs than were given. */
#include "tcphealth/base/log.h"
#include "text.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The line goes to a file in memory instead of standard error, which is put back before anything is checked. */
static size_t write_line(enum log_format format, const char *text, char *line, size_t size)
{
	static int memory = -1;
	int saved = dup(STDERR_FILENO);
	ssize_t len;

	if (memory < 0)
		memory = memfd_create("fuzz_log", MFD_CLOEXEC);
	require(memory >= 0 && saved >= 0 && ftruncate(memory, 0) == 0);
	require(lseek(memory, 0, SEEK_SET) == 0 && dup2(memory, STDERR_FILENO) >= 0);
	log_setup(LOG_LEVEL_INFO, format);
	log_info(text, "first", text, "second", text, "last", "end", NULL);
	require(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	len = pread(memory, line, size, 0);
	require(len > 0);
	return (size_t)len;
}

/* Ends of quoted strings, which are all that could end early. */
static size_t count_quotes(const char *line, size_t len)
{
	size_t quotes = 0;

	for (size_t i = 0; i < len; i++) {
		if (line[i] == '\\')
			i++;
		else
			quotes += line[i] == '"';
	}
	return quotes;
}

static void check_line(enum log_format format, const char *text)
{
	char line[8192];
	size_t len = write_line(format, text, line, sizeof(line));

	require(len < sizeof(line) && line[len - 1] == '\n');
	require_printable(line, len - 1);
	if (format == LOG_FORMAT_JSON) {
		require(line[0] == '{' && line[len - 2] == '}');
		require(count_quotes(line, len) == 24); /* 6 pairs */
		require(memmem(line, len, ",\"last\":\"end\"}", 14) == line + len - 15);
	} else {
		require(count_quotes(line, len) % 2 == 0 && count_quotes(line, len) <= 6);
		require(memcmp(line + len - 10, " last=end\n", 10) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_copy(data, size);

	check_line(LOG_FORMAT_LOGFMT, text);
	check_line(LOG_FORMAT_JSON, text);
	free(text);
	return 0;
}
