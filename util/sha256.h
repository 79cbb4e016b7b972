/* SPDX-License-Identifier: Apache-2.0 */
/* sha256.h - the SHA-256 of FIPS 180-4, for checksums of files. Not in constant time: nothing secret goes in.
 *
 * With the SHA instructions of x86 where the CPU has them, five times as fast; in C elsewhere. */
#ifndef UTIL_SHA256_H
#define UTIL_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

enum { SHA256_BYTES = 32, SHA256_TEXT_BYTES = 65, SHA256_BLOCK_BYTES = 64 };

struct sha256 {
	uint32_t h[8];
	int by_cpu; /* it has instructions for it; asked once, since the question is a trap in a guest */
	uint64_t total_bytes;
	uint8_t block
		[SHA256_BLOCK_BYTES]; /* total_bytes % SHA256_BLOCK_BYTES of them are waiting */
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t len);
/* The sum as 64 lower-case hex digits and a NUL. The structure is used up. */
void sha256_end(struct sha256 *s, char ret[SHA256_TEXT_BYTES]);
/* Whether s begins with such digits, and has no more of them behind. */
must_check int sha256_is_at(const char *s);

#endif
