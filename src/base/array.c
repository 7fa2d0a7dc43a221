/*
 * array: grown by doubling.
 */
#include "tcphealth/base/array.h"

#include <stdlib.h>

#define SMALLEST 64u

bool array_room(void **array, size_t *cap, size_t count, size_t size)
{
	size_t more = *cap ? *cap * 2 : SMALLEST;
	void *p;

	if (count < *cap)
		return true;
	p = reallocarray(*array, more, size);
	if (p == NULL)
		return false;
	*array = p;
	*cap = more;
	return true;
}
