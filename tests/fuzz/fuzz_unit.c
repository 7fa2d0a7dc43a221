/* unit: whatever a path is, the name is valid UTF-8 without control characters, and fits; it reads no byte past its end. */
#include "tcphealth/base/utf8.h"
#include "tcphealth/source/unit.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
	if (!truth)
		abort();
}

static void check_text(const char *name)
{
	size_t len = strnlen(name, UNIT_NAME_MAX);

	require(len < UNIT_NAME_MAX);
	for (size_t at = 0, step; at < len; at += step) {
		uint8_t byte = (uint8_t)name[at];

		step = utf8_sequence(name + at, len - at);
		require(step > 0 && byte >= 0x20 && byte != 0x7f);
		require(step != 2 || byte != 0xc2 || (uint8_t)name[at + 1] >= 0xa0);
	}
}

/* Slashes at the end change nothing but the path itself, as which an absolute one is known by its first slash. */
static void check_slashes(const char *path, size_t len)
{
	char name[UNIT_NAME_MAX], again[UNIT_NAME_MAX];
	char *absolute = malloc(len + sizeof("///"));

	if (!absolute)
		return;
	absolute[0] = '/';
	memcpy(absolute + 1, path, len + 1);
	unit_name(name, absolute);
	check_text(name);
	require(strcmp(name, "init.scope") != 0);
	strcpy(absolute + 1 + len, "//");
	unit_name(again, absolute);
	require(name[0] == '/' || strcmp(name, again) == 0);
	free(absolute);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of the exact size, so that a sanitizer sees what is read past it. */
	char *path = malloc(size + 1);
	char name[UNIT_NAME_MAX];

	if (!path)
		return 0;
	if (size > 0)
		memcpy(path, data, size);
	path[size] = '\0';
	memset(name, 0x01, sizeof(name));
	require(unit_name(name, path) == name);
	check_text(name);
	check_slashes(path, strlen(path));
	free(path);
	return 0;
}
