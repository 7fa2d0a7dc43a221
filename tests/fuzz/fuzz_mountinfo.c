/* mountinfo: lines of it; a mount point is what the line holds between two blanks, with its escapes undone. */
#include "../../src/source/cgroupfs-internal.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_line(const char *begin, size_t len, enum cgroupfs_hierarchy hierarchy,
		       const char *type)
{
	char *line = text_copy((const uint8_t *)begin, len);
	char *root = NULL, *point = NULL;

	if (cgroupfs_parse_mount(line, hierarchy, &root, &point)) {
		require(strstr(begin, type) != NULL);
		require(root > line && point > root && point < line + len);
		require(root + strlen(root) < point);
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
		parse_line(line, len, CGROUPFS_UNIFIED, " - cgroup2 ");
		parse_line(line, len, CGROUPFS_SYSTEMD, " - cgroup ");
	}
	free(text);
	return 0;
}
