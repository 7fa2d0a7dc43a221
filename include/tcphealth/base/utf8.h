/*
 * utf8: finds what is valid UTF-8.
 *
 * One invalid byte in one label makes Prometheus refuse a whole page. Pure; any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Length in bytes (1..4) of the valid UTF-8 sequence at `s`, or 0 if the bytes
 * there are not one (overlong forms, surrogates and values above U+10FFFF are invalid: RFC 3629).
 * `len` >= 1 bytes may be read.
 */
size_t utf8_sequence(const char *s, size_t len);
