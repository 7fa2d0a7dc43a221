/* query: the words of a question for connections: what is taken is within its bounds, what is not is told in one line. */
#include "tcphealth/app/connections.h"
#include "text.h"

#define WORDS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct words {
	char *key[WORDS_MAX];
	char *value[WORDS_MAX];
	size_t count;
};

/* As the server does it: the first of a key counts. */
static const char *find(void *arg, const char *key)
{
	const struct words *words = arg;

	for (size_t i = 0; i < words->count; i++)
		if (strcmp(words->key[i], key) == 0)
			return words->value[i];
	return NULL;
}

static void split(char *text, struct words *words)
{
	char *word;

	words->count = 0;
	while ((word = strsep(&text, "&")) && words->count < WORDS_MAX) {
		words->key[words->count] = strsep(&word, "=");
		words->value[words->count++] = word ? word : "";
	}
}

static void check(const struct connections_query *query)
{
	require(query->limit >= 1 && query->limit <= CONNECTIONS_LIMIT_MAX);
	require((query->states & TCP_STATE_BIT(TCP_STATE_LISTEN)) == 0);
	require(query->states != 0 && (query->states & ~(uint32_t)TCP_STATES_ALL) == 0);
	require(!query->has_role || (unsigned int)query->role < ROLE_COUNT);
	require(!query->has_reason ||
		(query->reason > STALE_NONE && (unsigned int)query->reason < STALE_REASONS));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_copy(data, size);
	struct connections_query query;
	struct words words;
	struct buf why;

	buf_init(&why, 1024);
	split(text, &words);
	if (connections_parse(find, &words, &query, &why) == 0) {
		require(why.len == 0);
		check(&query);
	} else {
		require(why.len > 0);
		require_printable(why.data, why.len);
	}
	buf_done(&why);
	free(text);
	return 0;
}
