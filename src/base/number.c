/*
 * number: digits by hand, as strtoull() takes signs and blanks and needs a NUL.
 */
#include "tcphealth/base/number.h"

#include <errno.h>

const char number_pairs[201] = "00010203040506070809101112131415161718192021222324"
			       "25262728293031323334353637383940414243444546474849"
			       "50515253545556575859606162636465666768697071727374"
			       "75767778798081828384858687888990919293949596979899";

int number_take(const char **at, const char *end, uint64_t max, uint64_t *ret_value)
{
	const char *start = *at;
	uint64_t value = 0;
	int err = 0;

	for (; *at != end && **at >= '0' && **at <= '9'; (*at)++) {
		if (__builtin_mul_overflow(value, 10U, &value) ||
		    __builtin_add_overflow(value, (unsigned int)(**at - '0'), &value) ||
		    value > max)
			err = -ERANGE;
	}
	if (*at == start)
		return -EINVAL;
	if (!err)
		*ret_value = value;
	return err;
}

int number_parse(const char *text, uint64_t max, uint64_t *ret_value)
{
	const char *at = text;
	uint64_t value = 0;
	int err = number_take(&at, NULL, max, &value);

	if (*at)
		return -EINVAL;
	if (!err)
		*ret_value = value;
	return err;
}
