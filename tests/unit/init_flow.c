/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of guest-init/exec/credit.h. */
#include "guest-init/exec/credit.h"
#include "tests/lib/test.h"

enum { SIZE = 16 };

static uint8_t mem[SIZE];

static struct in_flow fresh(void)
{
	struct in_flow f;

	in_flow_init(&f, mem, SIZE);
	return f;
}

Test(init_flow, credit_saturates)
{
	uint32_t credit = credit_add(93, 7);

	cr_assert_eq(credit, 100);
	for (int i = 0; i < 10; i++)
		credit = credit_add(credit, UINT32_MAX);
	cr_assert_eq(credit, 1U << 30);
}

static int is_credit(struct in_credit c, uint32_t bytes, uint32_t opened)
{
	return c.bytes == bytes && c.opened == opened;
}

Test(init_flow, the_next_sender_has_all_of_the_window_but_what_is_queued)
{
	struct in_flow f = fresh();

	cr_assert_eq(in_flow_receive(&f, SIZE), 0);
	in_flow_pass(&f, SIZE - 10);
	in_flow_queue(&f, (const uint8_t *)"0123456789", 10);
	in_flow_reopen(&f);
	cr_assert_eq(f.open_bytes, SIZE - 10);
	cr_assert(is_credit(in_flow_take_all(&f), 0, 0), "what went before is nobody's any more");
	in_flow_drop(&f, 10);
	cr_assert(is_credit(in_flow_take_all(&f), 0, 10));
	cr_assert_eq(f.open_bytes, SIZE);
}

Test(init_flow, credit_counts_the_bytes_of_the_one_who_sends_now)
{
	struct in_flow f = fresh();

	cr_assert_eq(in_flow_receive(&f, SIZE), 0);
	in_flow_queue(&f, (const uint8_t *)"0123456789abcdef", SIZE);
	in_flow_reopen(&f);
	cr_assert_eq(in_flow_receive(&f, 1), -EPROTO, "the queue is full of another's");
	in_flow_drop(&f, 6);
	cr_assert(is_credit(in_flow_take_credit(&f), 0, 6), "a quarter of the window");
	cr_assert_eq(in_flow_receive(&f, 6), 0);
	in_flow_queue(&f, (const uint8_t *)"mine..", 6);
	in_flow_drop(&f, 12);
	cr_assert(is_credit(in_flow_take_credit(&f), 2, 10));
	in_flow_reopen(&f);
	in_flow_drop(&f, 4);
	cr_assert(is_credit(in_flow_take_all(&f), 0, 4), "a third one");
	cr_assert_eq(f.open_bytes, SIZE);
}

Test(init_flow, window_takes_its_size_and_refuses_one_more)
{
	struct in_flow f = fresh();

	cr_assert_eq(in_flow_receive(&f, SIZE), 0);
	cr_assert_eq(in_flow_receive(&f, 1), -EPROTO);
	cr_assert_eq(in_flow_receive(&f, 0), 0);
}

Test(init_flow, window_opens_only_by_what_was_granted)
{
	struct in_flow f = fresh();

	cr_assert_eq(in_flow_receive(&f, SIZE), 0);
	in_flow_pass(&f, 5);
	cr_assert_eq(in_flow_receive(&f, 1), -EPROTO, "done, but not granted yet");
	cr_assert(is_credit(in_flow_take_credit(&f), 5, 0));
	cr_assert_eq(in_flow_receive(&f, 5), 0);
	cr_assert_eq(in_flow_receive(&f, 1), -EPROTO);
}

Test(init_flow, credit_waits_for_a_quarter_of_the_window)
{
	struct in_flow f = fresh();

	cr_assert_eq(in_flow_receive(&f, SIZE), 0);
	in_flow_pass(&f, SIZE / 4 - 1);
	cr_assert(is_credit(in_flow_take_credit(&f), 0, 0));
	in_flow_pass(&f, 1);
	cr_assert(is_credit(in_flow_take_credit(&f), SIZE / 4, 0));
	cr_assert(is_credit(in_flow_take_credit(&f), 0, 0));
}

Test(init_flow, queue_keeps_order_across_its_seam)
{
	struct in_flow f = fresh();
	const uint8_t *p;

	cr_assert_eq(in_flow_receive(&f, 12), 0);
	in_flow_queue(&f, (const uint8_t *)"0123456789ab", 12);
	in_flow_drop(&f, 10);
	(void)!in_flow_take_all(&f).bytes;
	cr_assert_eq(in_flow_receive(&f, 14), 0);
	in_flow_queue(&f, (const uint8_t *)"cdefghijklmnop", 14);
	cr_assert_eq(f.len, SIZE);
	cr_assert_eq(in_flow_peek(&f, &p), 6);
	cr_assert_arr_eq(p, "abcdef", 6);
	in_flow_drop(&f, 6);
	cr_assert_eq(in_flow_peek(&f, &p), 10);
	cr_assert_arr_eq(p, "ghijklmnop", 10);
	in_flow_drop(&f, 10);
	cr_assert_eq(in_flow_peek(&f, &p), 0);
}

Test(init_flow, any_chunking_carries_the_bytes_unchanged)
{
	struct in_flow f = fresh();
	unsigned sent = 0, taken = 0;

	for (unsigned step = 0; taken < 5000; step++) {
		uint8_t chunk[SIZE];
		unsigned n = step % 7 + 1;
		const uint8_t *p;

		if (in_flow_receive(&f, n) == 0) {
			for (unsigned i = 0; i < n; i++)
				chunk[i] = (uint8_t)sent++;
			in_flow_queue(&f, chunk, n);
		}
		size_t have = in_flow_peek(&f, &p);
		have = min_(have, (size_t)(step % 5));
		for (size_t i = 0; i < have; i++)
			cr_assert_eq(p[i], (uint8_t)taken++);
		in_flow_drop(&f, have);
		(void)!in_flow_take_credit(&f).bytes;
	}
}
