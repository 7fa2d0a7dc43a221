/*
 * number: reads whole decimal numbers, of digits and nothing else: no sign, no blank, no other base.
 *
 * Pure; any thread.
 */
#ifndef TCPHEALTH_BASE_NUMBER_H
#define TCPHEALTH_BASE_NUMBER_H

#include <stdint.h>

/*
 * Reads the digits at `*at`, which end at the first byte that is none, or at `end` (NULL: the text ends with a NUL), and moves `*at` behind
 * them. 0 and *ret_value, -ERANGE if the number is larger than `max`, or -EINVAL if there is no digit.
 */
int number_take(const char **at, const char *end, uint64_t max, uint64_t *ret_value);

/* The number that the text is as a whole: 0 and *ret_value, -EINVAL or -ERANGE. */
int number_parse(const char *text, uint64_t max, uint64_t *ret_value);

#endif
