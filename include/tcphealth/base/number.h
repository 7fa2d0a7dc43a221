/*
 * number: reads and writes whole decimal numbers. Digits only: no sign, no blank, no other base.
 *
 * Pure; any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Reads the digits at `*at`, up to the first other byte or `end` (NULL: the text ends with a NUL),
 * and moves `*at` behind them. 0 and *ret_value, -ERANGE if the number is larger than `max`, or
 * -EINVAL if there is no digit.
 */
int number_take(const char **at, const char *end, uint64_t max, uint64_t *ret_value);

/* Reads a text that is a number as a whole: 0 and *ret_value, -EINVAL or -ERANGE. */
int number_parse(const char *text, uint64_t max, uint64_t *ret_value);

#define NUMBER_DIGITS 20 /* of UINT64_MAX */

/* "00" to "99", and a NUL. */
extern const char number_pairs[201];

/*
 * Writes the digits at `to`, NUMBER_DIGITS at most and no NUL; returns their end. Inline: a page
 * has tens of thousands of numbers.
 */
static inline char *number_put(char *to, uint64_t value)
{
	size_t digits = 1;

	for (uint64_t rest = value; rest >= 10; rest /= 100)
		digits += rest >= 100 ? 2 : 1;
	char *end = to + digits, *at = end;
	for (; value >= 100; value /= 100) {
		at -= 2;
		memcpy(at, &number_pairs[value % 100 * 2], 2);
	}
	if (value >= 10)
		memcpy(at - 2, &number_pairs[value * 2], 2);
	else
		at[-1] = (char)('0' + value);
	return end;
}
