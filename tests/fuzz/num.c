/* SPDX-License-Identifier: Apache-2.0 */
/* num - any text in any base: a number is what is printed as the same digits; the end and the limit are kept. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/num.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Without leading zeroes, in lower case, it is the text that was read. */
static void prints_the_same(const char *s, size_t len, unsigned base, uint64_t n)
{
	char text[32];
	int k = snprintf(text, sizeof(text),
			 base == 8    ? "%llo"
			 : base == 10 ? "%llu"
				      : "%llx",
			 (unsigned long long)n);

	while (len > 1 && *s == '0')
		s++, len--;
	assert((size_t)k == len && strncasecmp(text, s, len) == 0);
}

static void take(const char *s, size_t len, unsigned base, uint64_t max)
{
	const char *at = s, *end = s + len;
	uint64_t n, all;
	int r = num_take(&at, end, base, max, &n);
	int whole = num_parse(s, len, base, max, &all);

	assert(at >= s && at <= end && n <= max);
	assert(at == end || num_digit(*at, base) < 0);
	assert(r == (at == s ? -EINVAL : n < max ? 0 : r));
	assert(whole == (at == end ? r : -EINVAL));
	if (r == 0)
		prints_the_same(s, (size_t)(at - s), base, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned bases[] = {8, 10, 16};
	uint64_t max;
	double v;

	if (size < sizeof(max))
		return 0;
	memcpy(&max, data, sizeof(max));
	size -= sizeof(max);
	char *text = malloc(size + 1);
	assert(text);
	memcpy(text, data + sizeof(max), size);
	text[size] = 0;
	for (size_t i = 0; i < countof(bases); i++) {
		take(text, size, bases[i], max);
		take(text, size, bases[i], UINT64_MAX);
	}
	if (num_fraction(text, size, &v) == 0) {
		double want = strtod(text, NULL);

		assert(v >= 0 && (v == want || size > 300 || fabs(v - want) <= want * 1e-12));
	}
	(void)num_at(text);
	free(text);
	return 0;
}
