/* webconfig: any file is either taken or refused with a place, and what is taken holds what the rest of the program relies on. */
#include "tcphealth/web/webconfig.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_error(const struct web_error *error)
{
	if (strncmp(error->text, "dir/web.yml:", 12) != 0 || strpbrk(error->text, "\r\n"))
		abort();
}

static void check_config(const struct webconfig *config)
{
	if (config->tls && (!config->cert.path || !config->key.path))
		abort();
	if (config->client_auth == WEBCONFIG_CLIENT_NONE && config->client_ca.path)
		abort();
	for (size_t i = 0; i < config->user_count; i++) {
		unsigned int cost = config->users[i].hash.cost;
		if (!config->users[i].name || cost < BCRYPT_COST_MIN || cost > BCRYPT_COST_MAX)
			abort();
	}
	for (size_t i = 0; i < WEBCONFIG_HEADERS; i++) {
		if (config->headers[i] &&
		    (strpbrk(config->headers[i], "\r\n\t") || config->headers[i][0] == '\0'))
			abort();
	}
	for (size_t i = 0; i < config->ciphers.count; i++) {
		if (config->ciphers.ids[i] >= WEBCONFIG_CIPHERS)
			abort();
	}
	if (config->rate_interval_ns && config->rate_burst == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct webconfig *config = NULL;
	struct web_error error = { "" };

	if (webconfig_parse("dir/web.yml", (const char *)data, size, &config, &error) == 0)
		check_config(config);
	else
		check_error(&error);
	webconfig_free(config);
	return 0;
}
