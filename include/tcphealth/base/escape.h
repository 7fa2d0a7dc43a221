/*
 * escape: makes hostile text fit for a format.
 *
 * Names of processes, units and namespaces may hold anything but NUL. What is no UTF-8 becomes U+FFFD, byte by byte, whatever the format. Must
 * not know which formats there are. Pure; any thread.
 */
#ifndef TCPHEALTH_BASE_ESCAPE_H
#define TCPHEALTH_BASE_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

/* Kinds of characters that are not seen as what they are. */
enum escape_kind {
	/* C0, DEL and C1: terminals obey U+009B. */
	ESCAPE_CONTROL = 1 << 0,
	/* U+2028 and U+2029, which end a line for some readers. */
	ESCAPE_SEPARATOR = 1 << 1,
	/* What turns the direction of writing makes one name look like another. */
	ESCAPE_TURNING = 1 << 2,
};

/* The characters that a format has to replace, and by what. */
struct escape {
	/* Of 128 texts, what stands for a character of ASCII; NULL: itself, or if there are no texts. */
	const char *const *ascii;
	/* Bits of enum escape_kind: what becomes U+FFFD, and what becomes \uXXXX. */
	unsigned int replaced, coded;
};

struct escape_piece {
	const char *text; /* not NUL terminated */
	size_t len;
	char code[8]; /* where `text` may lie */
};

/* Takes the next character off the text, which ends at `end`: what is to be written for it. False at the end. */
bool escape_next(const struct escape *escape, const char **at, const char *end,
		 struct escape_piece *ret_piece);

/*
 * Copies `src` into `dst` (NUL terminated, at most `size` bytes with the NUL), U+FFFD for what is `replaced` or no UTF-8, never ending inside a
 * character. Returns the bytes written without the NUL.
 */
size_t escape_clean(char *dst, size_t size, const char *src, size_t len, unsigned int replaced);

#endif
