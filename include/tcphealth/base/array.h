/*
 * array: room for one more element, of any type.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Makes room for more than `count` elements of `size` bytes in `*array` (NULL: none yet), by
 * doubling `*cap`. False when out of memory: nothing has changed.
 */
bool array_room(void **array, size_t *cap, size_t count, size_t size);
