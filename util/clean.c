/* SPDX-License-Identifier: Apache-2.0 */
/* clean.c - see clean.h. */
#include "util/clean.h"

#include <string.h>

enum { UTF8_MAX = 4 };

/* What the first byte promises; 0: it begins nothing. */
static size_t promised(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Of n >= 2 bytes that there are: whether they may begin a sequence. Too long forms, surrogates and what lies above
 * U+10FFFF show in the second byte. */
static int is_sequence(const unsigned char *s, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return !((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		 (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f));
}

size_t utf8_length(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t n = promised(p[0]);

	if (n > len || (n > 1 && !is_sequence(p, n)))
		return 0;
	return n;
}

int utf8_is_valid(const char *s, size_t len)
{
	while (len > 0) {
		size_t n = utf8_length(s, len);

		if (n == 0)
			return 0;
		s += n;
		len -= n;
	}
	return 1;
}

int clean_is_control(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;

	return n == 1 ? p[0] < 0x20 || p[0] == 0x7f : n == 2 && p[0] == 0xc2 && p[1] < 0xa0;
}

int clean_is_fit(const char *s, size_t len)
{
	while (len > 0) {
		size_t n = utf8_length(s, len);

		if (n == 0 || clean_is_control(s, n))
			return 0;
		s += n;
		len -= n;
	}
	return 1;
}

/* Whether all of (s, len) may be the beginning of a sequence that goes on behind it. */
static int is_cut_off(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;

	return len < promised(p[0]) && (len == 1 || is_sequence(p, len));
}

size_t clean_piece(char *s, size_t len, const char *keep, int more)
{
	for (size_t i = 0; i < len;) {
		size_t n = utf8_length(s + i, len - i);

		if (n == 0 && more && len - i < UTF8_MAX && is_cut_off(s + i, len - i))
			return i;
		if (n == 0 || (clean_is_control(s + i, n) && !(s[i] && strchr(keep, s[i])))) {
			n = n ? n : 1;
			memset(s + i, '?', n);
		}
		i += n;
	}
	return len;
}

void clean_text(char *s)
{
	(void)clean_piece(s, strlen(s), "", 0);
}
