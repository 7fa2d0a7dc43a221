/*
 * webconfig: reads the file of --web.config.file into a struct webconfig.
 *
 * Owns the tables of what may stand in the file. Must not know what is done with it, nor how YAML is written.
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

/* A key of a mapping and how its value is read. */
struct field {
	const char *name;
	int (*read)(struct reader *reader, struct fy_node *node, void *target);
	size_t offset; /* of the target in struct webconfig */
};

struct fields {
	const struct field *fields;
	size_t count;
};

struct word {
	const char *text;
	unsigned char value;
};

static int read_field(struct reader *reader, const struct scalar *key, struct fy_node *value,
		      const void *arg)
{
	const struct fields *fields = arg;
	char room[SHOWN_MAX + 4];

	for (size_t i = 0; i < fields->count; i++) {
		const struct field *field = &fields->fields[i];
		if (scalar_is(key, field->name))
			return field->read(reader, value, (char *)reader->config + field->offset);
	}
	return reader_fail(reader, "unknown key \"%s\"", scalar_show(key, room));
}

static int read_fields(struct reader *reader, struct fy_node *node, const struct field *fields,
		       size_t count)
{
	const struct fields all = { fields, count };

	return reader_mapping(reader, node, read_field, &all);
}

/* Kinds of values. */

static int read_bool(struct reader *reader, struct fy_node *node, void *target)
{
	bool *value = target;
	struct scalar scalar;
	char room[SHOWN_MAX + 4];
	int err = reader_scalar(reader, node, &scalar);

	if (err)
		return err;
	if (scalar.is_null) {
		*value = false;
		return 0;
	}
	if (!scalar.is_plain || !scalar_bool(&scalar, value))
		return reader_fail(reader, "\"%s\" is not a boolean (allowed: true, false)",
				   scalar_show(&scalar, room));
	return 0;
}

/* A path is read as text; at the end it is made absolute. An empty one is none. */
static int read_file(struct reader *reader, struct fy_node *node, void *target)
{
	struct webconfig_file *file = target;
	struct scalar scalar;
	int err = reader_scalar(reader, node, &scalar);

	if (err)
		return err;
	free(file->path);
	file->path = NULL;
	file->place = reader->place;
	return scalar.is_null || scalar.len == 0 ? 0 : reader_copy(reader, &scalar, &file->path);
}

static const struct word *find_word(const struct scalar *scalar, const struct word *words,
				    size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (scalar_is(scalar, words[i].text))
			return &words[i];
	}
	return NULL;
}

/* "a, b, c": what is allowed. */
static const char *list_words(const struct word *words, size_t count, char *room, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < count && used < size; i++)
		used += (size_t)snprintf(room + used, size - used, "%s%s", i ? ", " : "",
					 words[i].text);
	return room;
}

static int read_word(struct reader *reader, const struct scalar *scalar, const char *what,
		     const struct word *words, size_t count, unsigned char *ret)
{
	char allowed[256], room[SHOWN_MAX + 4];
	const struct word *word = find_word(scalar, words, count);

	if (!word)
		return reader_fail(reader, "unknown %s \"%s\" (allowed: %s)", what,
				   scalar_show(scalar, room),
				   list_words(words, count, allowed, sizeof(allowed)));
	*ret = word->value;
	return 0;
}

static const struct word client_auths[] = {
	{ "NoClientCert", WEBCONFIG_CLIENT_NONE },
	{ "RequestClientCert", WEBCONFIG_CLIENT_REQUEST },
	{ "RequireAnyClientCert", WEBCONFIG_CLIENT_REQUIRE_ANY },
	{ "VerifyClientCertIfGiven", WEBCONFIG_CLIENT_VERIFY_IF_GIVEN },
	{ "RequireAndVerifyClientCert", WEBCONFIG_CLIENT_REQUIRE_AND_VERIFY },
	{ "RequireClientCert", WEBCONFIG_CLIENT_REQUIRE_ANY }, /* its name of old */
};

/*
 * Told apart from "not given": even NoClientCert asks for TLS. The target's place is where it stands; whether the word is a
 * good one matters only then.
 */
static int read_client_auth(struct reader *reader, struct fy_node *node, void *target)
{
	enum webconfig_client_auth *value = target;
	unsigned char word = WEBCONFIG_CLIENT_NONE;
	struct scalar scalar;
	int err = reader_scalar(reader, node, &scalar);

	if (!err && !scalar.is_null && scalar.len > 0) {
		err = read_word(reader, &scalar, "client_auth_type", client_auths,
				COUNT(client_auths), &word);
		reader->config->tls = true;
	}
	*value = word;
	return err;
}

static int read_version(struct reader *reader, struct fy_node *node, void *target)
{
	static const struct word versions[] = {
		{ "TLS13", WEBCONFIG_TLS13 },
		{ "TLS12", WEBCONFIG_TLS12 },
		{ "TLS11", WEBCONFIG_TLS11 },
		{ "TLS10", WEBCONFIG_TLS10 },
	};
	enum webconfig_version *value = target;
	unsigned char word = 0;
	struct scalar scalar;
	int err = reader_scalar(reader, node, &scalar);

	if (err || scalar.is_null)
		return err;
	err = read_word(reader, &scalar, "TLS version", versions, COUNT(versions), &word);
	*value = word;
	return err;
}

static const char *const cipher_names[WEBCONFIG_CIPHERS] = {
	[WEBCONFIG_RSA_AES_128_CBC_SHA] = "TLS_RSA_WITH_AES_128_CBC_SHA",
	[WEBCONFIG_RSA_AES_256_CBC_SHA] = "TLS_RSA_WITH_AES_256_CBC_SHA",
	[WEBCONFIG_RSA_AES_128_GCM_SHA256] = "TLS_RSA_WITH_AES_128_GCM_SHA256",
	[WEBCONFIG_RSA_AES_256_GCM_SHA384] = "TLS_RSA_WITH_AES_256_GCM_SHA384",
	[WEBCONFIG_AES_128_GCM_SHA256] = "TLS_AES_128_GCM_SHA256",
	[WEBCONFIG_AES_256_GCM_SHA384] = "TLS_AES_256_GCM_SHA384",
	[WEBCONFIG_CHACHA20_POLY1305_SHA256] = "TLS_CHACHA20_POLY1305_SHA256",
	[WEBCONFIG_ECDHE_ECDSA_AES_128_CBC_SHA] = "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
	[WEBCONFIG_ECDHE_ECDSA_AES_256_CBC_SHA] = "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
	[WEBCONFIG_ECDHE_RSA_AES_128_CBC_SHA] = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
	[WEBCONFIG_ECDHE_RSA_AES_256_CBC_SHA] = "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
	[WEBCONFIG_ECDHE_ECDSA_AES_128_GCM_SHA256] = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
	[WEBCONFIG_ECDHE_ECDSA_AES_256_GCM_SHA384] = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
	[WEBCONFIG_ECDHE_RSA_AES_128_GCM_SHA256] = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	[WEBCONFIG_ECDHE_RSA_AES_256_GCM_SHA384] = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	[WEBCONFIG_ECDHE_RSA_CHACHA20_POLY1305_SHA256] =
		"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	[WEBCONFIG_ECDHE_ECDSA_CHACHA20_POLY1305_SHA256] =
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
};

static int add_id(struct reader *reader, struct webconfig_list *list, unsigned char id)
{
	unsigned char *ids = realloc(list->ids, list->count + 1);

	if (!ids)
		return reader_fail_memory(reader);
	list->ids = ids;
	list->ids[list->count++] = id;
	return 0;
}

static int add_cipher(struct reader *reader, const struct scalar *scalar, void *target)
{
	char room[SHOWN_MAX + 4];

	if (scalar->is_null)
		return 0;
	for (unsigned int i = 0; i < WEBCONFIG_CIPHERS; i++) {
		if (scalar_is(scalar, cipher_names[i]))
			return add_id(reader, target, (unsigned char)i);
	}
	return reader_fail(
		reader,
		"unknown cipher suite \"%s\" (allowed: the names of Go's crypto/tls that are "
		"secure)",
		scalar_show(scalar, room));
}

static int add_curve(struct reader *reader, const struct scalar *scalar, void *target)
{
	static const struct word curves[] = {
		{ "CurveP256", WEBCONFIG_P256 },
		{ "CurveP384", WEBCONFIG_P384 },
		{ "CurveP521", WEBCONFIG_P521 },
		{ "X25519", WEBCONFIG_X25519 },
	};
	unsigned char word = 0;

	if (scalar->is_null)
		return 0;
	int err = read_word(reader, scalar, "curve", curves, COUNT(curves), &word);
	return err ? err : add_id(reader, target, word);
}

static int add_san(struct reader *reader, const struct scalar *scalar, void *target)
{
	struct webconfig *config = reader->config;
	char **sans =
		reallocarray(config->allowed_sans, config->allowed_san_count + 1, sizeof(*sans));

	(void)target;
	if (!sans)
		return reader_fail_memory(reader);
	config->allowed_sans = sans;
	sans[config->allowed_san_count] = NULL;
	int err = reader_copy(reader, scalar, &sans[config->allowed_san_count]);
	config->allowed_san_count += err == 0;
	return err;
}

static int read_ciphers(struct reader *reader, struct fy_node *node, void *target)
{
	struct webconfig_list *list = target;

	list->count = 0;
	return reader_list(reader, node, add_cipher, list);
}

static int read_curves(struct reader *reader, struct fy_node *node, void *target)
{
	struct webconfig_list *list = target;

	list->count = 0;
	return reader_list(reader, node, add_curve, list);
}

static void drop_sans(struct webconfig *config)
{
	for (size_t i = 0; i < config->allowed_san_count; i++)
		free(config->allowed_sans[i]);
	config->allowed_san_count = 0;
}

static int read_sans(struct reader *reader, struct fy_node *node, void *target)
{
	bool *given = target;

	drop_sans(reader->config);
	*given = reader_is_list(reader, node);
	return reader_list(reader, node, add_san, NULL);
}

/* Headers. */

static const struct {
	const char *name;
	const char *allowed[3]; /* none: anything */
} headers[WEBCONFIG_HEADERS] = {
	[WEBCONFIG_CONTENT_SECURITY_POLICY] = { "Content-Security-Policy", { NULL } },
	[WEBCONFIG_X_FRAME_OPTIONS] = { "X-Frame-Options", { "deny", "sameorigin", NULL } },
	[WEBCONFIG_X_CONTENT_TYPE_OPTIONS] = { "X-Content-Type-Options", { "nosniff", NULL } },
	[WEBCONFIG_X_XSS_PROTECTION] = { "X-XSS-Protection", { NULL } },
	[WEBCONFIG_STRICT_TRANSPORT_SECURITY] = { "Strict-Transport-Security", { NULL } },
};

/* A line end would end the header, and white space around it is not part of it. Go's server makes it so, too. */
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

static int set_header(struct reader *reader, enum webconfig_header header, struct fy_node *node)
{
	char **target = &reader->config->headers[header];
	char room[SHOWN_MAX + 4];
	struct scalar scalar;
	int err = reader_scalar(reader, node, &scalar);

	if (err)
		return err;
	if (headers[header].allowed[0] && !scalar_is_one_of(&scalar, headers[header].allowed))
		return reader_fail(reader, "%s: \"%s\" is not allowed (allowed: %s%s%s)",
				   headers[header].name, scalar_show(&scalar, room),
				   headers[header].allowed[0],
				   headers[header].allowed[1] ? ", " : "",
				   headers[header].allowed[1] ? headers[header].allowed[1] : "");
	err = reader_copy(reader, &scalar, target);
	if (err)
		return err;
	make_fit(*target);
	if ((*target)[0] == '\0') {
		free(*target);
		*target = NULL;
	}
	return 0;
}

static int read_header(struct reader *reader, const struct scalar *key, struct fy_node *value,
		       const void *arg)
{
	char room[SHOWN_MAX + 4];

	(void)arg;
	for (unsigned int i = 0; i < WEBCONFIG_HEADERS; i++) {
		if (scalar_is(key, headers[i].name))
			return set_header(reader, (enum webconfig_header)i, value);
	}
	return reader_fail(reader, "HTTP header \"%s\" can not be configured",
			   scalar_show(key, room));
}

static int read_headers(struct reader *reader, struct fy_node *node, void *target)
{
	(void)target;
	return reader_mapping(reader, node, read_header, NULL);
}

/* Users. */

static struct webconfig_user *find_user(struct webconfig *config, const struct scalar *name)
{
	for (size_t i = 0; i < config->user_count; i++) {
		if (scalar_is(name, config->users[i].name))
			return &config->users[i];
	}
	return NULL;
}

static int add_user(struct reader *reader, const struct scalar *name,
		    const struct bcrypt_hash *hash)
{
	struct webconfig *config = reader->config;
	struct webconfig_user *user = find_user(config, name);

	if (user) {
		user->hash = *hash; /* from a merge */
		return 0;
	}
	struct webconfig_user *users =
		reallocarray(config->users, config->user_count + 1, sizeof(*users));
	if (!users)
		return reader_fail_memory(reader);
	config->users = users;
	user = &users[config->user_count];
	user->name = NULL;
	int err = reader_copy(reader, name, &user->name);
	if (err)
		return err;
	user->hash = *hash;
	config->user_count++;
	return 0;
}

static int read_user(struct reader *reader, const struct scalar *key, struct fy_node *value,
		     const void *arg)
{
	struct bcrypt_hash hash = { 0 };
	struct scalar stored = { 0 }, name = *key;
	char room[SHOWN_MAX + 4];
	int err = reader_scalar(reader, value, &stored);

	(void)arg;
	if (err)
		return err;
	if (name.is_null)
		name.len = 0;
	const char *wrong = bcrypt_parse(stored.text, stored.is_null ? 0 : stored.len, &hash);
	/* Neither the hash nor what may be a password in its place is shown. */
	if (wrong)
		return reader_fail(reader, "user \"%s\": %s", scalar_show(&name, room), wrong);
	err = add_user(reader, &name, &hash);
	explicit_bzero(&hash, sizeof(hash));
	return err;
}

static int read_users(struct reader *reader, struct fy_node *node, void *target)
{
	(void)target;
	return reader_mapping(reader, node, read_user, NULL);
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

/* Go's durations: "1.5s", "1m30s"; a bare number only if it is 0. Negative, or with an error: -1. */
static double parse_duration(const char *text)
{
	double total = 0;
	size_t len;

	if (strcmp(text, "0") == 0)
		return 0;
	for (size_t parts = 0; *text || parts == 0; parts++) {
		size_t digits = strspn(text, "0123456789.");
		char *end;
		if (digits == 0 || digits > 24)
			return -1;
		double number = strtod(text, &end);
		if (end != text + digits)
			return -1;
		double ns = unit_of(end, &len);
		if (ns <= 0)
			return -1;
		total += number * ns;
		text = end + len;
	}
	return total;
}

static int read_interval(struct reader *reader, struct fy_node *node, void *target)
{
	uint64_t *ns = target;
	char room[SHOWN_MAX + 4];
	struct scalar scalar;
	int err = reader_scalar(reader, node, &scalar);

	*ns = 0;
	if (err || scalar.is_null)
		return err;
	double value = scalar.len <= SHOWN_MAX ? parse_duration(scalar_show(&scalar, room)) : -1;
	if (value < 0 || value > 86400e9)
		return reader_fail(reader,
				   "\"%s\" is not a duration (allowed: 0 to 24h, such as 100ms)",
				   scalar_show(&scalar, room));
	*ns = (uint64_t)value;
	return 0;
}

static int read_burst(struct reader *reader, struct fy_node *node, void *target)
{
	uint64_t *burst = target;
	char room[SHOWN_MAX + 4];
	struct scalar scalar;
	int err = reader_scalar(reader, node, &scalar);

	*burst = 0;
	if (err || scalar.is_null)
		return err;
	const char *at = scalar.text, *end = at + scalar.len;
	if (!scalar.is_plain || number_take(&at, end, BURST_MAX, burst) || at != end)
		return reader_fail(reader, "\"%s\" is not a whole number (allowed: 0 to %d)",
				   scalar_show(&scalar, room), BURST_MAX);
	return 0;
}

/* The format. */

#define FIELD(name, read, member)                                                                  \
	{                                                                                          \
		name, read, offsetof(struct webconfig, member)                                     \
	}

static int read_tls(struct reader *reader, struct fy_node *node, void *target)
{
	static const struct field fields[] = {
		FIELD("cert_file", read_file, cert),
		FIELD("key_file", read_file, key),
		FIELD("client_auth_type", read_client_auth, client_auth),
		FIELD("client_ca_file", read_file, client_ca),
		FIELD("client_allowed_sans", read_sans, has_allowed_sans),
		FIELD("cipher_suites", read_ciphers, ciphers),
		FIELD("curve_preferences", read_curves, curves),
		FIELD("min_version", read_version, min_version),
		FIELD("max_version", read_version, max_version),
		FIELD("prefer_server_cipher_suites", read_bool, prefer_server_ciphers),
	};
	struct webconfig *config = reader->config;
	struct webconfig_place place = reader->place;

	(void)target;
	int err = read_fields(reader, node, fields, COUNT(fields));
	if (err)
		return err;
	config->tls |= config->cert.path || config->key.path || config->client_ca.path;
	reader->place = place;
	if (config->tls && !config->cert.path)
		return reader_fail(reader, "tls_server_config: cert_file is missing");
	if (config->tls && !config->key.path)
		return reader_fail(reader, "tls_server_config: key_file is missing");
	reader->place = config->client_ca.place;
	if (config->client_ca.path && config->client_auth == WEBCONFIG_CLIENT_NONE)
		return reader_fail(
			reader,
			"client_ca_file without a client_auth_type that asks for certificates");
	return 0;
}

static int read_http(struct reader *reader, struct fy_node *node, void *target)
{
	/* HTTP/1.1 is served in any case: a client that could speak HTTP/2 speaks it as well. */
	static const struct field fields[] = {
		FIELD("http2", read_bool, http2),
		FIELD("headers", read_headers, headers),
	};

	(void)target;
	return read_fields(reader, node, fields, COUNT(fields));
}

static int read_rate_limit(struct reader *reader, struct fy_node *node, void *target)
{
	static const struct field fields[] = {
		FIELD("interval", read_interval, rate_interval_ns),
		FIELD("burst", read_burst, rate_burst),
	};
	struct webconfig_place place = reader->place;
	int err = read_fields(reader, node, fields, COUNT(fields));

	(void)target;
	reader->place = place;
	if (!err && reader->config->rate_interval_ns && reader->config->rate_burst == 0)
		return reader_fail(reader, "rate_limit: a burst of 0 would refuse every request");
	return err;
}

static int read_root(struct reader *reader, struct fy_node *node)
{
	static const struct field fields[] = {
		FIELD("tls_server_config", read_tls, tls),
		FIELD("http_server_config", read_http, http2),
		FIELD("basic_auth_users", read_users, users),
		FIELD("rate_limit", read_rate_limit, rate_interval_ns),
	};

	return read_fields(reader, node, fields, COUNT(fields));
}

/* Makes a path that is relative one from the directory of the configuration. */
static int resolve_path(struct reader *reader, struct webconfig_file *file)
{
	const char *name = reader->config->name;
	const char *slash = strrchr(name, '/');
	char *path;

	if (!file->path || file->path[0] == '/' || !slash)
		return 0;
	if (asprintf(&path, "%.*s/%s", (int)(slash - name), name, file->path) < 0)
		return reader_fail_memory(reader);
	free(file->path);
	file->path = path;
	return 0;
}

static int resolve_paths(struct reader *reader)
{
	int err = resolve_path(reader, &reader->config->cert);

	if (!err)
		err = resolve_path(reader, &reader->config->key);
	if (!err)
		err = resolve_path(reader, &reader->config->client_ca);
	return err;
}

int webconfig_parse(const char *name, const char *text, size_t len, struct webconfig **ret_config,
		    struct web_error *ret_error)
{
	struct webconfig *config = calloc(1, sizeof(*config));
	struct reader reader = {
		.config = config,
		.root = read_root,
		.error = ret_error,
		.source = text,
		.len = len,
		.place = { 1, 1 },
	};

	(void)snprintf(ret_error->text, sizeof(ret_error->text), "%.300s: out of memory", name);
	if (config)
		config->name = strdup(name);
	if (!config || !config->name) {
		free(config);
		return -ENOMEM;
	}
	config->min_version = WEBCONFIG_TLS12;
	config->max_version = WEBCONFIG_TLS13;
	config->prefer_server_ciphers = true;
	int err = len ? reader_text(&reader, text, len) : 0;
	if (!err)
		err = resolve_paths(&reader);
	if (err) {
		webconfig_free(config);
		return err;
	}
	*ret_config = config;
	return 0;
}

int webconfig_load(const char *path, struct webconfig **ret_config,
		   struct web_error *ret_error)
{
	const size_t size = WEBCONFIG_SIZE_MAX + 1;
	char *text = malloc(size);
	ssize_t len = text ? file_read(AT_FDCWD, path, text, size) : -ENOMEM;
	int err = len < 0 ? (int)len : 0;

	if (err)
		(void)snprintf(ret_error->text, sizeof(ret_error->text), "%.300s: %s", path,
			       strerror(-err));
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
	drop_sans(config);
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

const char *webconfig_cipher_name(enum webconfig_cipher cipher)
{
	return cipher_names[cipher];
}

const char *webconfig_header_name(enum webconfig_header header)
{
	return headers[header].name;
}
