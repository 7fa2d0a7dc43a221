/*
 * values: one flag and its value, NAME=VALUE; where there is no such flag the first byte chooses one, so that each parser of
 * values gets its share. Sets of ports are read a second time in another way.
 */
#include "options.h"

#define FLAGS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *names[FLAGS_MAX];
static size_t name_count;

static void note_name(void *arg, const char *name, const char *values, const char *def,
		      const char *help)
{
	(void)arg, (void)values, (void)def, (void)help;
	require(name_count < FLAGS_MAX);
	names[name_count++] = name;
}

/* Of a list that was taken: numbers, commas and dashes alone. */
static bool is_listed(const char *list, unsigned long port)
{
	while (*list) {
		char *end;
		unsigned long low = strtoul(list, &end, 10), high = low;

		if (*end == '-')
			high = strtoul(end + 1, &end, 10);
		if (low <= port && port <= high)
			return true;
		list = *end ? end + 1 : end;
	}
	return false;
}

static void check_ports(const struct portset *set, const char *list)
{
	require(list[strspn(list, "0123456789,-")] == '\0');
	require(!portset_has(set, 0));
	for (unsigned long port = 1; port <= UINT16_MAX; port = port * 9 / 8 + 1)
		require(portset_has(set, (uint16_t)port) == is_listed(list, port));
}

static void check_value(const struct options *options, const char *name, const char *value)
{
	check_options(options);
	if (strcmp(name, "ports.include") == 0)
		check_ports(&options->ports_include, value);
	if (strcmp(name, "ports.exclude") == 0)
		check_ports(&options->ports_exclude, value);
	if (strcmp(name, "web.telemetry-path") == 0)
		require(strcmp(options->telemetry_path, value) == 0);
}

/* Cuts the name off. */
static const char *choose_name(char **value)
{
	char *equals = strchr(*value, '=');

	for (size_t i = 0; equals && i < name_count; i++) {
		if (strlen(names[i]) == (size_t)(equals - *value) &&
		    strncmp(names[i], *value, strlen(names[i])) == 0) {
			*value = equals + 1;
			return names[i];
		}
	}
	return names[(uint8_t) * (*value)++ % name_count];
}

static void try_value(const char *name, char *value)
{
	static struct options options;
	struct options_error error = { "" };
	char flag[64] = "--";

	require(strlen(name) < sizeof(flag) - 2);
	strcpy(flag + 2, name);
	char *const argv[] = { "tcphealth_exporter", flag, value, NULL };
	if (options_parse(3, argv, &options, &error) == 0)
		check_value(&options, name, value);
	else
		require_printable(error.text, strnlen(error.text, sizeof(error.text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_copy(data, size), *value = text;

	if (name_count == 0)
		options_each(note_name, NULL);
	require(name_count > 0);
	if (text[0] != '\0') {
		const char *name = choose_name(&value);
		try_value(name, value);
	}
	free(text);
	return 0;
}
