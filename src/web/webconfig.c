/*
 * webconfig: reads the file of --web.config.file.
 *
 * Owns the tables of keys and values. Must not know what they are used for, nor the
 * syntax of YAML.
 */
#include "tcphealth/web/webconfig.h"

#include "tcphealth/base/file.h"
#include "tcphealth/base/number.h"
#include "tcphealth/web/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BURST_MAX 999999999

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A key, and the function that reads its value. The last in a table has no name. */
struct field {
	const char *name;
	int (*read)(struct yaml *yaml, struct fy_node *node, void *target);
	/* Of the target in struct webconfig; 0: the whole struct. */
	size_t offset;
};

/* The last in a table has no text. */
struct word {
	const char *text;
	unsigned char value;
};

struct words {
	const char *what;
	const struct word *all;
	/* In errors; NULL: all of them. */
	const char *allowed;
};

static int read_fields(struct yaml *yaml, struct fy_node *node, struct webconfig *config,
		       const struct field *fields)
{
	const struct field *field;
	struct yaml_scalar key;
	struct fy_node *value;
	void *at = NULL;
	int more, err;

	while ((more = yaml_pair(yaml, node, &at, &key, &value)) > 0) {
		for (field = fields; field->name && strcmp(field->name, key.text) != 0; field++)
			;
		if (!field->name)
			return yaml_fail(yaml, "unknown key \"%.60s\"", key.text);
		err = field->read(yaml, value, (char *)config + field->offset);
		if (err)
			return err;
	}
	return more;
}

/* Kinds of values. */

/* To be freed; NULL when out of memory, which is noted. */
static char *copy(struct yaml *yaml, const char *text)
{
	char *copied = strdup(text);

	if (!copied)
		web_note(yaml->error, yaml->name, -ENOMEM);
	return copied;
}

static int read_bool(struct yaml *yaml, struct fy_node *node, void *target)
{
	bool *value = target;
	struct yaml_scalar scalar;
	int err = yaml_scalar(yaml, node, &scalar);

	*value = false;
	if (err || scalar.is_null || yaml_bool(&scalar, value))
		return err;
	return yaml_fail(yaml, "\"%.60s\" is not a boolean (allowed: true, false)", scalar.text);
}

/* For a key that is accepted and ignored. */
static int check_bool(struct yaml *yaml, struct fy_node *node, void *target)
{
	bool ignored;

	(void)target;
	return read_bool(yaml, node, &ignored);
}

/* A path, relative to the directory of the configuration. An empty one means none. */
static int read_file(struct yaml *yaml, struct fy_node *node, void *target)
{
	const char *slash = strrchr(yaml->name, '/');
	struct webconfig_file *file = target;
	struct yaml_scalar scalar;
	int err = yaml_scalar(yaml, node, &scalar), directory = 0;

	if (err || scalar.text[0] == '\0')
		return err;
	if (slash && scalar.text[0] != '/')
		directory = (int)(slash + 1 - yaml->name);
	file->place = yaml->place;
	if (asprintf(&file->path, "%.*s%s", directory, yaml->name, scalar.text) >= 0)
		return 0;
	file->path = NULL;
	return web_fail(yaml->error, yaml->name, -ENOMEM);
}

/* "a, b, c" */
static const char *list_words(const struct word *words, char *room, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; words[i].text && used < size; i++)
		used += (size_t)snprintf(room + used, size - used, "%s%s", i ? ", " : "",
					 words[i].text);
	return room;
}

static int find_word(struct yaml *yaml, const char *text, const struct words *words,
		     unsigned char *ret)
{
	const struct word *word = words->all;
	char room[256];

	while (word->text && strcmp(word->text, text) != 0)
		word++;
	if (!word->text)
		return yaml_fail(yaml, "unknown %s \"%.60s\" (allowed: %s)", words->what, text,
				 words->allowed ? words->allowed
						: list_words(words->all, room, sizeof(room)));
	*ret = word->value;
	return 0;
}

/* Any given type requires TLS, even NoClientCert. */
static int read_client_auth(struct yaml *yaml, struct fy_node *node, void *target)
{
	static const struct word types[] = {
		{ "NoClientCert", WEBCONFIG_CLIENT_NONE },
		{ "RequestClientCert", WEBCONFIG_CLIENT_REQUEST },
		{ "RequireAnyClientCert", WEBCONFIG_CLIENT_REQUIRE_ANY },
		{ "VerifyClientCertIfGiven", WEBCONFIG_CLIENT_VERIFY_IF_GIVEN },
		{ "RequireAndVerifyClientCert", WEBCONFIG_CLIENT_REQUIRE_AND_VERIFY },
		{ "RequireClientCert", WEBCONFIG_CLIENT_REQUIRE_ANY }, /* former name */
		{ NULL, 0 },
	};
	static const struct words words = { "client_auth_type", types, NULL };
	struct webconfig *config = target;
	unsigned char word = WEBCONFIG_CLIENT_NONE;
	struct yaml_scalar scalar;
	int err = yaml_scalar(yaml, node, &scalar);

	if (err || scalar.text[0] == '\0')
		return err;
	config->tls = true;
	err = find_word(yaml, scalar.text, &words, &word);
	config->client_auth = word;
	return err;
}

static int read_version(struct yaml *yaml, struct fy_node *node, void *target)
{
	static const struct word versions[] = {
		{ "TLS13", WEBCONFIG_TLS13 },
		{ "TLS12", WEBCONFIG_TLS12 },
		{ "TLS11", WEBCONFIG_TLS11 },
		{ "TLS10", WEBCONFIG_TLS10 },
		{ NULL, 0 },
	};
	static const struct words words = { "TLS version", versions, NULL };
	enum webconfig_version *version = target;
	unsigned char word = 0;
	struct yaml_scalar scalar;
	int err = yaml_scalar(yaml, node, &scalar);

	if (err || scalar.is_null)
		return err;
	err = find_word(yaml, scalar.text, &words, &word);
	*version = word;
	return err;
}

static int add_id(struct yaml *yaml, struct webconfig_list *list, unsigned char id)
{
	unsigned char *ids = realloc(list->ids, list->count + 1);

	if (!ids)
		return web_fail(yaml->error, yaml->name, -ENOMEM);
	list->ids = ids;
	list->ids[list->count++] = id;
	return 0;
}

static int read_words(struct yaml *yaml, struct fy_node *node, const struct words *words,
		      struct webconfig_list *list)
{
	struct yaml_scalar item;
	void *at = NULL;
	unsigned char id;
	int more, err;

	while ((more = yaml_item(yaml, node, &at, &item)) > 0) {
		if (item.is_null)
			continue;
		err = find_word(yaml, item.text, words, &id);
		if (!err)
			err = add_id(yaml, list, id);
		if (err)
			return err;
	}
	return more;
}

#define CIPHER(ID, name) { name, WEBCONFIG_##ID },

static int read_ciphers(struct yaml *yaml, struct fy_node *node, void *target)
{
	static const struct word ciphers[WEBCONFIG_CIPHERS + 1] = { WEBCONFIG_CIPHER_LIST(CIPHER) };
	static const struct words words = { "cipher suite", ciphers,
					    "Go's names of secure cipher suites" };

	return read_words(yaml, node, &words, target);
}

static int read_curves(struct yaml *yaml, struct fy_node *node, void *target)
{
	static const struct word curves[] = {
		{ "CurveP256", WEBCONFIG_P256 },
		{ "CurveP384", WEBCONFIG_P384 },
		{ "CurveP521", WEBCONFIG_P521 },
		{ "X25519", WEBCONFIG_X25519 },
		{ NULL, 0 },
	};
	static const struct words words = { "curve", curves, NULL };

	return read_words(yaml, node, &words, target);
}

static int add_san(struct yaml *yaml, struct webconfig *config, const char *name)
{
	size_t count = config->allowed_san_count;
	char **sans = reallocarray(config->allowed_sans, count + 1, sizeof(*sans));

	if (!sans)
		return web_fail(yaml->error, yaml->name, -ENOMEM);
	config->allowed_sans = sans;
	sans[count] = copy(yaml, name);
	if (!sans[count])
		return -ENOMEM;
	config->allowed_san_count++;
	return 0;
}

static int read_sans(struct yaml *yaml, struct fy_node *node, void *target)
{
	struct webconfig *config = target;
	struct yaml_scalar item;
	void *at = NULL;
	int more, err;

	config->has_allowed_sans = yaml_is_list(node);
	while ((more = yaml_item(yaml, node, &at, &item)) > 0) {
		err = add_san(yaml, config, item.text);
		if (err)
			return err;
	}
	return more;
}

/* Headers. */

static const struct {
	const char *name;
	const char *allowed[2]; /* none: any value */
} headers[WEBCONFIG_HEADERS] = {
	[WEBCONFIG_CONTENT_SECURITY_POLICY] = { "Content-Security-Policy", { NULL } },
	[WEBCONFIG_X_FRAME_OPTIONS] = { "X-Frame-Options", { "deny", "sameorigin" } },
	[WEBCONFIG_X_CONTENT_TYPE_OPTIONS] = { "X-Content-Type-Options", { "nosniff" } },
	[WEBCONFIG_X_XSS_PROTECTION] = { "X-XSS-Protection", { NULL } },
	[WEBCONFIG_STRICT_TRANSPORT_SECURITY] = { "Strict-Transport-Security", { NULL } },
};

/*
 * Makes control characters spaces, as a line end would end the header, and trims. As Go's
 * server does.
 */
static void make_fit(char *value)
{
	size_t skipped = strspn(value, " \t\r\n");
	size_t len = strlen(value) - skipped;

	memmove(value, value + skipped, len + 1);
	for (char *c = value; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	}
	while (len > 0 && value[len - 1] == ' ')
		value[--len] = '\0';
}

static bool is_allowed(enum webconfig_header header, const char *value)
{
	const char *const *allowed = headers[header].allowed;

	return !allowed[0] || strcmp(value, allowed[0]) == 0 ||
	       (allowed[1] && strcmp(value, allowed[1]) == 0);
}

static int read_header(struct yaml *yaml, struct fy_node *node, enum webconfig_header header,
		       char **value)
{
	const char *const *allowed = headers[header].allowed;
	struct yaml_scalar scalar;
	int err = yaml_scalar(yaml, node, &scalar);

	if (err)
		return err;
	if (!is_allowed(header, scalar.text))
		return yaml_fail(yaml, "%s: \"%.60s\" is not allowed (allowed: %s%s%s)",
				 headers[header].name, scalar.text, allowed[0],
				 allowed[1] ? ", " : "", allowed[1] ? allowed[1] : "");
	*value = copy(yaml, scalar.text);
	if (!*value)
		return -ENOMEM;
	make_fit(*value);
	if ((*value)[0] == '\0') {
		free(*value);
		*value = NULL;
	}
	return 0;
}

static int read_headers(struct yaml *yaml, struct fy_node *node, void *target)
{
	char **values = target;
	struct yaml_scalar key;
	struct fy_node *value;
	void *at = NULL;
	unsigned int i;
	int more, err;

	while ((more = yaml_pair(yaml, node, &at, &key, &value)) > 0) {
		for (i = 0; i < WEBCONFIG_HEADERS && strcmp(key.text, headers[i].name) != 0; i++)
			;
		if (i == WEBCONFIG_HEADERS)
			return yaml_fail(yaml, "HTTP header \"%.60s\" cannot be configured",
					 key.text);
		err = read_header(yaml, value, i, &values[i]);
		if (err)
			return err;
	}
	return more;
}

/* Users. */

static int add_user(struct yaml *yaml, struct webconfig *config, const char *name,
		    struct fy_node *node)
{
	struct webconfig_user user = { 0 }, *users;
	struct yaml_scalar stored;
	const char *wrong;
	int err = yaml_scalar(yaml, node, &stored);

	if (err)
		return err;
	users = reallocarray(config->users, config->user_count + 1, sizeof(*users));
	if (!users)
		return web_fail(yaml->error, yaml->name, -ENOMEM);
	config->users = users;
	wrong = bcrypt_parse(stored.text, strlen(stored.text), &user.hash);
	/* Does not show the value: it may be a password. */
	if (wrong)
		return yaml_fail(yaml, "user \"%.60s\": %s", name, wrong);
	user.name = copy(yaml, name);
	if (!user.name)
		return -ENOMEM;
	users[config->user_count++] = user;
	return 0;
}

static int read_users(struct yaml *yaml, struct fy_node *node, void *target)
{
	struct yaml_scalar name;
	struct fy_node *value;
	void *at = NULL;
	int more, err;

	while ((more = yaml_pair(yaml, node, &at, &name, &value)) > 0) {
		err = add_user(yaml, target, name.text, value);
		if (err)
			return err;
	}
	return more;
}

/* Rate limit. */

static const struct {
	const char *name;
	double ns;
} time_units[] = {
	{ "ns", 1 },  { "us", 1e3 }, { "\xc2\xb5s", 1e3 }, { "ms", 1e6 },
	{ "s", 1e9 }, { "m", 60e9 }, { "h", 3600e9 },
};

static double unit_of(const char *text, size_t *ret_len)
{
	*ret_len = strcspn(text, "0123456789.");
	for (size_t i = 0; i < COUNT(time_units); i++) {
		if (strlen(time_units[i].name) == *ret_len &&
		    strncmp(time_units[i].name, text, *ret_len) == 0)
			return time_units[i].ns;
	}
	return 0;
}

/* A duration as in Go, in ns: "1.5s", "1m30s", "0". -1 if it is not one. */
static double parse_duration(const char *text)
{
	double total = 0, number, ns;
	size_t len, digits;
	char *end;

	if (strcmp(text, "0") == 0)
		return 0;
	for (size_t parts = 0; *text || parts == 0; parts++) {
		digits = strspn(text, "0123456789.");
		if (digits == 0 || digits > 24)
			return -1;
		number = strtod(text, &end);
		if (end != text + digits)
			return -1;
		ns = unit_of(end, &len);
		if (ns <= 0)
			return -1;
		total += number * ns;
		text = end + len;
	}
	return total;
}

static int read_interval(struct yaml *yaml, struct fy_node *node, void *target)
{
	uint64_t *ns = target;
	struct yaml_scalar scalar;
	int err = yaml_scalar(yaml, node, &scalar);
	double value;

	if (err || scalar.is_null)
		return err;
	value = parse_duration(scalar.text);
	if (value < 0 || value > 86400e9)
		return yaml_fail(yaml,
				 "\"%.60s\" is not a duration (allowed: 0 to 24h, such as 100ms)",
				 scalar.text);
	*ns = (uint64_t)value;
	return 0;
}

static int read_burst(struct yaml *yaml, struct fy_node *node, void *target)
{
	struct yaml_scalar scalar;
	int err = yaml_scalar(yaml, node, &scalar);

	if (err || scalar.is_null)
		return err;
	if (scalar.is_plain && number_parse(scalar.text, BURST_MAX, target) == 0)
		return 0;
	return yaml_fail(yaml, "\"%.60s\" is not a whole number (allowed: 0 to %d)", scalar.text,
			 BURST_MAX);
}

/* The format. */

#define FIELD(name, read, member)                                                                  \
	{                                                                                          \
		name, read, offsetof(struct webconfig, member)                                     \
	}

static int read_tls(struct yaml *yaml, struct fy_node *node, void *target)
{
	static const struct field fields[] = {
		FIELD("cert_file", read_file, cert),
		FIELD("key_file", read_file, key),
		{ "client_auth_type", read_client_auth, 0 },
		FIELD("client_ca_file", read_file, client_ca),
		{ "client_allowed_sans", read_sans, 0 },
		FIELD("cipher_suites", read_ciphers, ciphers),
		FIELD("curve_preferences", read_curves, curves),
		FIELD("min_version", read_version, min_version),
		FIELD("max_version", read_version, max_version),
		FIELD("prefer_server_cipher_suites", read_bool, prefer_server_ciphers),
		{ NULL, NULL, 0 },
	};
	struct webconfig *config = target;
	struct web_place place = yaml->place;
	int err = read_fields(yaml, node, config, fields);

	if (err)
		return err;
	config->tls |= config->cert.path || config->key.path || config->client_ca.path;
	yaml->place = place;
	if (config->tls && !config->cert.path)
		return yaml_fail(yaml, "tls_server_config: cert_file is missing");
	if (config->tls && !config->key.path)
		return yaml_fail(yaml, "tls_server_config: key_file is missing");
	yaml->place = config->client_ca.place;
	if (config->client_ca.path && config->client_auth == WEBCONFIG_CLIENT_NONE)
		return yaml_fail(
			yaml, "client_ca_file needs a client_auth_type that requests certificates");
	return 0;
}

static int read_http(struct yaml *yaml, struct fy_node *node, void *target)
{
	/* httpd serves HTTP/1.1, which every client of HTTP/2 speaks as well. */
	static const struct field fields[] = {
		{ "http2", check_bool, 0 },
		FIELD("headers", read_headers, headers),
		{ NULL, NULL, 0 },
	};

	return read_fields(yaml, node, target, fields);
}

static int read_rate_limit(struct yaml *yaml, struct fy_node *node, void *target)
{
	static const struct field fields[] = {
		FIELD("interval", read_interval, rate_interval_ns),
		FIELD("burst", read_burst, rate_burst),
		{ NULL, NULL, 0 },
	};
	struct webconfig *config = target;
	struct web_place place = yaml->place;
	int err = read_fields(yaml, node, config, fields);

	yaml->place = place;
	if (!err && config->rate_interval_ns && config->rate_burst == 0)
		return yaml_fail(yaml, "rate_limit: a burst of 0 would refuse every request");
	return err;
}

int webconfig_parse(const char *name, const char *text, size_t len, struct webconfig **ret_config,
		    struct web_error *ret_error)
{
	static const struct field sections[] = {
		{ "tls_server_config", read_tls, 0 },
		{ "http_server_config", read_http, 0 },
		{ "basic_auth_users", read_users, 0 },
		{ "rate_limit", read_rate_limit, 0 },
		{ NULL, NULL, 0 },
	};
	struct webconfig *config = calloc(1, sizeof(*config));
	struct fy_node *root;
	struct yaml yaml;
	int err;

	if (!config)
		return web_fail(ret_error, name, -ENOMEM);
	config->min_version = WEBCONFIG_TLS12;
	config->max_version = WEBCONFIG_TLS13;
	config->prefer_server_ciphers = true;
	err = yaml_open(&yaml, name, text, len, ret_error, &root);
	if (!err) {
		config->name = copy(&yaml, name);
		err = config->name ? read_fields(&yaml, root, config, sections) : -ENOMEM;
	}
	yaml_close(&yaml);
	if (err)
		webconfig_free(config);
	else
		*ret_config = config;
	return err;
}

int webconfig_load(const char *path, struct webconfig **ret_config, struct web_error *ret_error)
{
	const size_t size = WEBCONFIG_SIZE_MAX + 1;
	char *text = malloc(size);
	ssize_t len = text ? file_read(AT_FDCWD, path, text, size) : -ENOMEM;
	int err = len < 0 ? (int)len : 0;

	if (err)
		web_fail(ret_error, path, err);
	else
		err = webconfig_parse(path, text, (size_t)len, ret_config, ret_error);
	if (text)
		explicit_bzero(text, size);
	free(text);
	return err;
}

void webconfig_free(struct webconfig *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->user_count; i++)
		free(config->users[i].name);
	if (config->users)
		explicit_bzero(config->users, config->user_count * sizeof(*config->users));
	for (size_t i = 0; i < WEBCONFIG_HEADERS; i++)
		free(config->headers[i]);
	for (size_t i = 0; i < config->allowed_san_count; i++)
		free(config->allowed_sans[i]);
	free(config->users);
	free(config->allowed_sans);
	free(config->ciphers.ids);
	free(config->curves.ids);
	free(config->cert.path);
	free(config->key.path);
	free(config->client_ca.path);
	free(config->name);
	free(config);
}

const char *webconfig_header_name(enum webconfig_header header)
{
	return headers[header].name;
}
