/* mountinfo: lines of it; a mount point is what the line holds between two blanks, with its escapes undone. */
#include "../../src/source/cgroups-internal.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_line(const char *begin, size_t len)
{
	char *line = text_copy((const uint8_t *)begin, len);
	char *root = NULL, *point = NULL;

	if (cgroups_parse_mount(line, &root, &point)) {
		require(strstr(begin, " - cgroup2 ") != NULL);
		require(root > line && point > root && point < line + len);
		require(strchr(root, ' ') == NULL && root + strlen(root) < point);
		require(point + strlen(point) <= line + len);
	}
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_copy(data, size);

	for (char *line = text, *next; *line; line = next) {
		size_t len = strcspn(line, "\n");

		next = line + len + (line[len] == '\n');
		parse_line(line, len);
	}
	free(text);
	return 0;
}
