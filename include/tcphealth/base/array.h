/*
 * array: room for one more element. Knows no element.
 */
#ifndef TCPHEALTH_BASE_ARRAY_H
#define TCPHEALTH_BASE_ARRAY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Makes sure that the `*cap` elements of `size` bytes behind `*array` (NULL: none yet) are more than `count`: grows by doubling.
 * False when out of memory: nothing has changed.
 */
bool array_room(void **array, size_t *cap, size_t count, size_t size);

#endif
