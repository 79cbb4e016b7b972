/* SPDX-License-Identifier: Apache-2.0 */
/* num.c - see num.h. */
#include "util/num.h"

#include <errno.h>
#include <string.h>

int num_digit(char c, unsigned base)
{
	unsigned v = (unsigned char)c - (unsigned)'0';

	if (v > 9)
		v = (unsigned)(c | 0x20) - 'a' < 6 ? (unsigned)(c | 0x20) - 'a' + 10 : base;
	return v < base ? (int)v : -1;
}

int num_append(uint64_t *n, unsigned base, char c)
{
	int digit = num_digit(c, base);

	if (digit < 0)
		return -EINVAL;
	if (!__builtin_mul_overflow(*n, base, n) && !__builtin_add_overflow(*n, (unsigned)digit, n))
		return 0;
	*n = UINT64_MAX;
	return -ERANGE;
}

int num_take(const char **at, const char *end, unsigned base, uint64_t max, uint64_t *ret)
{
	const char *from = *at;
	uint64_t n = 0;
	int r, over = 0;

	for (; *at != end && (r = num_append(&n, base, **at)) != -EINVAL; (*at)++)
		over |= r < 0 || n > max;
	*ret = over ? max : n;
	if (*at == from)
		return -EINVAL;
	return over ? -ERANGE : 0;
}

int num_parse(const char *s, size_t len, unsigned base, uint64_t max, uint64_t *ret)
{
	const char *end = s + len;
	int r = num_take(&s, end, base, max, ret);

	return s == end ? r : -EINVAL;
}

int num_fraction(const char *s, size_t len, double *ret)
{
	double v = 0, scale = 1;
	size_t digits = 0, points = 0;

	for (size_t i = 0; i < len; i++) {
		int digit = num_digit(s[i], 10);

		if (digit < 0 && (s[i] != '.' || points++))
			return -EINVAL;
		if (digit < 0)
			continue;
		v = v * 10 + digit;
		scale *= points ? 10 : 1;
		digits++;
	}
	*ret = v / scale;
	return digits ? 0 : -EINVAL;
}

uint64_t num_at(const char *s)
{
	uint64_t n;

	s += strspn(s, " ");
	(void)!num_take(&s, NULL, 10, UINT64_MAX, &n);
	return n;
}
