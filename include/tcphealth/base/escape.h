/*
 * escape: makes hostile text safe for a format.
 *
 * Names of processes, units and namespaces may hold anything but NUL. What is no UTF-8 becomes
 * U+FFFD, byte by byte. One rule decides for all formats what may not be shown: controls (terminals
 * obey U+009B), U+2028 and U+2029 (which end a line for some readers), and what turns the direction
 * of writing (which makes one name look like another). Must not know which formats there are. Pure;
 * any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* What a format writes instead of characters. */
struct escape {
	/*
	 * Of 128 texts, what stands for a character of ASCII; NULL: itself, or if there are no
	 * texts.
	 */
	const char *const *ascii;
	/* What may not be shown becomes \uXXXX, not U+FFFD. */
	bool coded;
};

struct escape_piece {
	const char *text; /* not NUL terminated */
	size_t len;
	char code[8]; /* where `text` may lie */
};

/*
 * Takes the next character off the text, which ends at `end`, and says what to write for it. False
 * at the end.
 */
bool escape_next(const struct escape *escape, const char **at, const char *end,
		 struct escape_piece *ret_piece);

/*
 * Copies `src` into `dst` (NUL terminated, at most `size` bytes with the NUL), U+FFFD for what is
 * no UTF-8 or may not be shown, never ending inside a character. Returns the bytes written without
 * the NUL.
 */
size_t escape_clean(char *dst, size_t size, const char *src, size_t len);
