/*
 * keyed: an array, and a hash of its keys.
 */
#include "tcphealth/base/keyed.h"

#include <stdlib.h>

void keyed_reset(struct keyed *keyed)
{
	hash_reset(&keyed->hash);
	keyed->count = 0;
}

void keyed_done(struct keyed *keyed)
{
	hash_done(&keyed->hash);
	free(keyed->elements);
	*keyed = (struct keyed){ 0 };
}
