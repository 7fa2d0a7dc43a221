/*
 * unit: whatever a path is, what is told of it is valid UTF-8 without control characters, and fits;
 * no byte past its end is read, and nobody but root has a say in the first part of a name. Input:
 * what root named, a NUL, and the rest of the path.
 */
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

static void check_text(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	require(len < size);
	for (size_t at = 0, step; at < len; at += step) {
		uint8_t byte = (uint8_t)text[at];

		step = utf8_sequence(text + at, len - at);
		require(step > 0 && byte >= 0x20 && byte != 0x7f);
		require(step != 2 || byte != 0xc2 || (uint8_t)text[at + 1] >= 0xa0);
	}
}

static struct unit name_of(const char *path, size_t owned)
{
	struct unit unit;

	memset(&unit, 0x01, sizeof(unit));
	unit_name(&unit, path, owned);
	check_text(unit.name, sizeof(unit.name));
	check_text(unit.instance, sizeof(unit.instance));
	check_text(unit.claimed, sizeof(unit.claimed));
	require(strcmp(unit.name, "init.scope") != 0);
	require(unit.instance[0] == '\0' || unit_kind(unit.name) != UNIT_SERVICE);
	require(unit_name_scope(unit.name) == 0 || unit_kind(unit.name) == UNIT_OTHER);
	return unit;
}

/* Of the exact size, so that a sanitizer sees what is read past it. */
static char *copy_path(const uint8_t *data, size_t size, size_t owned)
{
	char *path = malloc(size + 1), *to = path;

	for (size_t i = 0; path && i < size; i++)
		if (data[i] != '\0')
			*to++ = (char)data[i];
	require(!path || to >= path + owned);
	if (path)
		*to = '\0';
	return path;
}

static void check_rest(const char *path, size_t owned)
{
	struct unit unit = name_of(path, owned), alone;
	char *prefix = strndup(path, owned);
	size_t len = unit_name_scope(unit.name);

	if (!prefix)
		return;
	alone = name_of(prefix, SIZE_MAX);
	if (len == 0)
		len = strlen(unit.name);
	require(strncmp(unit.name, alone.name, len) == 0);
	require(alone.name[len] == '\0' || alone.name[len] == '/' || len == sizeof(unit.name) - 1);
	free(prefix);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t owned = size > 0 ? strnlen((const char *)data, size) : 0;
	char *path = copy_path(data, size, owned);

	if (!path)
		return 0;
	check_rest(path, owned);
	name_of(path, 0);
	free(path);
	return 0;
}
