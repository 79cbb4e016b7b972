/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of util/sha256.h. */
#include "tests/lib/test.h"
#include "util/sha256.h"

static void sum_of(const void *p, size_t len, size_t piece, int by_cpu, char ret[SHA256_TEXT_BYTES])
{
	struct sha256 s;

	sha256_init(&s);
	s.by_cpu = s.by_cpu && by_cpu;
	for (size_t at = 0; at < len; at += piece)
		sha256_add(&s, (const char *)p + at, piece < len - at ? piece : len - at);
	sha256_end(&s, ret);
}

Test(sha256, sums_are_those_of_fips_180)
{
	static const struct {
		const char *text, *sum;
	} known[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	};
	char sum[SHA256_TEXT_BYTES];

	for (size_t i = 0; i < 3; i++)
		for (int by_cpu = 0; by_cpu < 2; by_cpu++) {
			sum_of(known[i].text, strlen(known[i].text), 1000, by_cpu, sum);
			cr_assert_str_eq(sum, known[i].sum);
		}
}

Test(sha256, the_cpu_says_the_same_as_c_for_any_length_in_any_pieces)
{
	static unsigned char data[1000];
	char in_c[SHA256_TEXT_BYTES], by_cpu[SHA256_TEXT_BYTES];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 131 >> 2);
	for (size_t len = 0; len < sizeof(data); len += 7) {
		sum_of(data, len, 1 + len % 150, 0, in_c);
		sum_of(data, len, 1000, 1, by_cpu);
		cr_assert_str_eq(in_c, by_cpu);
		sum_of(data, len, 1 + len % 67, 1, by_cpu);
		cr_assert_str_eq(in_c, by_cpu);
	}
}
