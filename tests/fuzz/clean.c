/* SPDX-License-Identifier: Apache-2.0 */
/* clean - any bytes: fit when they were made so, the same once more, and the same in pieces as whole. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/clean.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_done(const char *was, const char *is, size_t len)
{
	assert(clean_is_fit(is, len) && utf8_is_valid(is, len));
	assert(!clean_is_fit(was, len) == (memcmp(was, is, len) != 0));
	for (size_t i = 0; i < len; i++)
		assert(is[i] == was[i] || is[i] == '?');
}

/* As who prints a stream does it: what is held back comes first in the next piece. */
static void in_pieces(const char *was, const char *is, size_t len, size_t piece)
{
	char *s = malloc(piece + 1);

	assert(s);
	for (size_t at = 0, n; at < len; at += n) {
		size_t have = min_(len - at, piece);

		memcpy(s, was + at, have);
		n = clean_piece(s, have, "", have < len - at);
		assert(n <= have && n + 3 >= have && n > 0);
		assert(memcmp(s, is + at, n) == 0);
	}
	free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	size_t len = size - 1;
	char *was = malloc(len + 1), *is = malloc(len + 1);

	assert(was && is);
	memcpy(was, data + 1, len);
	memcpy(is, was, len);
	assert(clean_piece(is, len, "", 0) == len);
	is_done(was, is, len);
	in_pieces(was, is, len, 4 + data[0] % 64u);
	free(was);
	free(is);
	return 0;
}
