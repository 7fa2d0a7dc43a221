/* auth: any header is understood or refused, and what is understood is what its base64 says. Likewise any stored hash. */
#include "tcphealth/web/auth.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_pair(const struct auth_pair *pair)
{
	size_t name_len = strlen(pair->name);

	if (pair->name != pair->text || pair->password != pair->name + name_len + 1)
		abort();
	if (strlen(pair->password) != pair->password_len ||
	    name_len + 1 + pair->password_len > AUTH_TEXT_MAX)
		abort();
	if (strchr(pair->name, ':'))
		abort();
}

static void check_hash(const struct bcrypt_hash *hash)
{
	if (hash->cost < BCRYPT_COST_MIN || hash->cost > BCRYPT_COST_MAX)
		abort();
	if (hash->salt[BCRYPT_SALT_LEN] || hash->digest[BCRYPT_DIGEST_LEN])
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(
		size + 1); /* of the exact size, so that a sanitizer sees what is read past it */
	struct auth_pair pair;
	struct bcrypt_hash hash;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (auth_parse(text, &pair))
		check_pair(&pair);
	if (!bcrypt_parse(text, strlen(text), &hash))
		check_hash(&hash);
	free(text);
	return 0;
}
