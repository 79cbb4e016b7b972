/* SPDX-License-Identifier: Apache-2.0 */
/* sha256.c - see sha256.h; names are those of FIPS 180-4, section 6.2. */
#include "util/sha256.h"

#include <stdio.h>
#include <string.h>
#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

#include "util/util.h"

static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
				  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static const uint32_t k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2};

static uint32_t rotr(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The next word of the schedule, which only ever looks back at 16: they lie in a ring. */
static inline uint32_t next_word(uint32_t w[16], int t)
{
	uint32_t a = w[(t + 1) & 15], b = w[(t + 14) & 15];

	w[t & 15] += (rotr(a, 7) ^ rotr(a, 18) ^ a >> 3) + w[(t + 9) & 15] +
		     (rotr(b, 17) ^ rotr(b, 19) ^ b >> 10);
	return w[t & 15];
}

/* One round. The eight variables do not move, their names do: v[(0 - t) & 7] is "a" of round t. */
static inline void round_of(uint32_t v[8], int t, uint32_t kw)
{
	uint32_t a = v[(0 - t) & 7], b = v[(1 - t) & 7], c = v[(2 - t) & 7], e = v[(4 - t) & 7],
		 f = v[(5 - t) & 7], g = v[(6 - t) & 7];
	uint32_t t1 = v[(7 - t) & 7] + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) +
		      (g ^ (e & (f ^ g))) + kw;

	v[(3 - t) & 7] += t1;
	v[(7 - t) & 7] = t1 + (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) | (c & (a | b)));
}

static void compress_in_c(struct sha256 *s, const uint8_t *block)
{
	uint32_t w[16], v[8];

	memcpy(v, s->h, sizeof(v));
	for (int t = 0; t < 16; t++)
		w[t] = be32(block + (ptrdiff_t)4 * t);
#pragma GCC unroll 16
	for (int t = 0; t < 16; t++)
		round_of(v, t, k[t] + w[t]);
	for (int base = 16; base < 64; base += 16)
#pragma GCC unroll 16
		for (int t = 0; t < 16; t++)
			round_of(v, t, k[base + t] + next_word(w, t));
	for (int i = 0; i < 8; i++)
		s->h[i] += v[i];
}

#ifdef __x86_64__
static int cpu_can(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1) &&
	       __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

/* Four rounds with the words w of the schedule. The instructions keep the variables as (a, b, e, f) and (c, d, g, h). */
__attribute__((target("sha,sse4.1"))) static inline void four_rounds(__m128i *abef, __m128i *cdgh,
								     __m128i w, int t)
{
	__m128i kw = _mm_add_epi32(w, _mm_loadu_si128((const __m128i *)&k[t]));

	*cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, kw);
	*abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(kw, 0x0e));
}

/* The next four words of the schedule, from the last sixteen. */
__attribute__((target("sha,sse4.1"))) static inline __m128i next_four(__m128i w0, __m128i w1,
								      __m128i w2, __m128i w3)
{
	return _mm_sha256msg2_epu32(
		_mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4)), w3);
}

__attribute__((target("sha,sse4.1"))) static void compress_by_cpu(struct sha256 *s,
								  const uint8_t *block, size_t n)
{
	const __m128i bytes = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i dcba = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)s->h), 0xb1);
	__m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(s->h + 4)), 0x1b);
	__m128i abef = _mm_alignr_epi8(dcba, hgfe, 8), cdgh = _mm_blend_epi16(hgfe, dcba, 0xf0);

	for (; n > 0; n--, block += SHA256_BLOCK_BYTES) {
		__m128i abef_was = abef, cdgh_was = cdgh, w[4];

		for (int i = 0; i < 4; i++)
			w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)block + i), bytes);
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) {
			four_rounds(&abef, &cdgh, w[i & 3], 4 * i);
			if (i < 12)
				w[i & 3] = next_four(w[i & 3], w[(i + 1) & 3], w[(i + 2) & 3],
						     w[(i + 3) & 3]);
		}
		abef = _mm_add_epi32(abef, abef_was);
		cdgh = _mm_add_epi32(cdgh, cdgh_was);
	}
	__m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((__m128i *)s->h, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)(s->h + 4), _mm_alignr_epi8(dchg, feba, 8));
}
#else
static int cpu_can(void)
{
	return 0;
}

static void compress_by_cpu(struct sha256 *s, const uint8_t *block, size_t n)
{
	(void)s, (void)block, (void)n;
}
#endif

static void compress(struct sha256 *s, const uint8_t *block, size_t n)
{
	if (s->by_cpu)
		compress_by_cpu(s, block, n);
	else
		for (size_t i = 0; i < n; i++)
			compress_in_c(s, block + i * SHA256_BLOCK_BYTES);
}

void sha256_init(struct sha256 *s)
{
	s->by_cpu = cpu_can();
	memcpy(s->h, first, sizeof(s->h));
	s->total_bytes = 0;
}

void sha256_add(struct sha256 *s, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0) {
		size_t at = s->total_bytes % SHA256_BLOCK_BYTES;
		size_t n = at == 0 && len >= SHA256_BLOCK_BYTES
				   ? len - len % SHA256_BLOCK_BYTES
				   : min_(len, SHA256_BLOCK_BYTES - at);

		s->total_bytes += n;
		if (n >= SHA256_BLOCK_BYTES) {
			compress(s, p, n / SHA256_BLOCK_BYTES);
		} else {
			memcpy(s->block + at, p, n);
			if (at + n == SHA256_BLOCK_BYTES)
				compress(s, s->block, 1);
		}
		p += n;
		len -= n;
	}
}

void sha256_end(struct sha256 *s, char ret[SHA256_TEXT_BYTES])
{
	static const uint8_t padding[SHA256_BLOCK_BYTES] = {0x80};
	uint64_t bits = s->total_bytes * 8;
	uint8_t length[8];

	for (int i = 0; i < 8; i++)
		length[i] = (uint8_t)(bits >> (56 - 8 * i));
	/* To 8 bytes before the end of a block: of this one if there is room, else of the next. */
	sha256_add(s, padding,
		   1 + (2 * SHA256_BLOCK_BYTES - 9 - s->total_bytes % SHA256_BLOCK_BYTES) %
				   SHA256_BLOCK_BYTES);
	sha256_add(s, length, sizeof(length));
	for (int i = 0; i < 8; i++)
		(void)snprintf(ret + (ptrdiff_t)8 * i, 9, "%08x", s->h[i]);
}

int sha256_is_at(const char *s)
{
	return strspn(s, "0123456789abcdef") == SHA256_TEXT_BYTES - 1;
}
