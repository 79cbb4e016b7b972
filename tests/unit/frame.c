/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of proto/frame.h. */
#include "proto/frame.h"
#include "tests/lib/test.h"

static int peek(const uint8_t *buf, size_t len, size_t max, size_t *ret_used)
{
	const uint8_t *msg;
	size_t msg_len;

	return frame_peek(buf, len, max, &msg, &msg_len, ret_used);
}

Test(frame, header_is_little_endian)
{
	uint8_t b[FRAME_HEADER_BYTES];

	frame_header(b, 0x010203);
	cr_assert_arr_eq(b, ((uint8_t[]){3, 2, 1, 0}), sizeof(b));
}

Test(frame, asks_for_the_header_first)
{
	uint8_t b[] = {5, 0, 0};
	size_t used;

	for (size_t n = 0; n <= sizeof(b); n++) {
		cr_assert_eq(peek(b, n, 100, &used), 0);
		cr_assert_eq(used, FRAME_HEADER_BYTES);
	}
}

Test(frame, asks_for_the_whole_frame_once_its_length_is_known)
{
	uint8_t b[8] = {5};
	size_t used;

	for (size_t n = FRAME_HEADER_BYTES; n < 9 && n <= sizeof(b); n++) {
		cr_assert_eq(peek(b, n, 100, &used), 0);
		cr_assert_eq(used, 9);
	}
}

Test(frame, finds_the_first_of_two)
{
	uint8_t b[] = {2, 0, 0, 0, 'a', 'b', 1, 0, 0, 0, 'c'};
	const uint8_t *msg;
	size_t len, used;

	cr_assert_eq(frame_peek(b, sizeof(b), 100, &msg, &len, &used), 1);
	cr_assert_eq(used, 6);
	cr_assert_eq(len, 2);
	cr_assert_arr_eq(msg, "ab", 2);
	cr_assert_eq(frame_peek(b + 6, sizeof(b) - 6, 100, &msg, &len, &used), 1);
	cr_assert_eq(used, 5);
	cr_assert_eq(msg[0], 'c');
}

Test(frame, refuses_length_zero)
{
	uint8_t b[] = {0, 0, 0, 0, 1};
	size_t used;

	cr_assert_eq(peek(b, sizeof(b), 100, &used), -EPROTO);
}

Test(frame, takes_the_limit_and_refuses_one_more)
{
	uint8_t b[4 + 100] = {100};
	size_t used;

	cr_assert_eq(peek(b, sizeof(b), 100, &used), 1);
	b[0] = 101;
	cr_assert_eq(peek(b, sizeof(b), 100, &used), -EPROTO);
}

Test(frame, refuses_a_length_with_the_top_bit)
{
	uint8_t b[] = {1, 0, 0, 0x80};
	size_t used;

	cr_assert_eq(peek(b, sizeof(b), FRAME_MAX_BYTES, &used), -EPROTO);
}
