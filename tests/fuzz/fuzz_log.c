/* log: whatever a message and a value are, there is one line, printable, with no more pairs than were given. */
#include "tcphealth/base/log.h"
#include "text.h"

#include <limits.h>
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

/* A line that would be too long loses its last pairs, as a whole. */
static void check_line(enum log_format format, const char *text)
{
	static const char json_end[] = ",\"last\":\"end\"}\n", logfmt_end[] = " last=end\n";
	const char *end = format == LOG_FORMAT_JSON ? json_end : logfmt_end;
	char line[8192];
	size_t len = write_line(format, text, line, sizeof(line));

	require(len <= PIPE_BUF && line[len - 1] == '\n');
	require_printable(line, len - 1);
	require(count_quotes(line, len) % 2 == 0);
	require(format != LOG_FORMAT_JSON || (line[0] == '{' && line[len - 2] == '}'));
	require(format != LOG_FORMAT_JSON || count_quotes(line, len) % 4 == 0);
	require(count_quotes(line, len) <= (format == LOG_FORMAT_JSON ? 24 : 6));
	require(len > 2000 || memcmp(line + len - strlen(end), end, strlen(end)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_copy(data, at_most(size, 300)); /* values are cut at 256 */

	check_line(LOG_FORMAT_LOGFMT, text);
	check_line(LOG_FORMAT_JSON, text);
	free(text);
	return 0;
}
