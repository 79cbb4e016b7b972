/* SPDX-License-Identifier: Apache-2.0 */
/* Split virtqueues, device side: what goes back: notifications, used entries, the cursor. */
#include "tests/unit/queue.h"

#include <signal.h>
#include <sys/mman.h>

TestSuite(vq_out, .init = setup, .fini = teardown);

/* ---- notifications ---- */

static uint16_t avail_event(void)
{
	return fake_used_ring(&f, 0)[2 + 4 * f.q[0].size];
}

static void set_used_event(uint16_t v)
{
	fake_avail(&f, 0)[2 + f.q[0].size] = v;
}

static void serve(unsigned n)
{
	while (n--) {
		ADD(in(0, 1));
		cr_assert_eq(vq_pop(&q, &c), 1);
		vq_push(&q, &c, 0);
	}
}

Test(vq_out, an_empty_ring_asks_for_the_next_kick)
{
	make(SIZE, EVENT_IDX);
	for (uint16_t i = 0; i < 20; i++) {
		cr_assert_eq(vq_pop(&q, &c), 0);
		cr_assert_eq(avail_event(), i);
		ADD(out(0, 1));
		cr_assert_eq(vq_pop(&q, &c), 1);
		cr_assert_eq(avail_event(), i, "a busy ring asks for nothing");
	}
}

Test(vq_out, without_event_idx_the_event_field_is_not_ours)
{
	make(SIZE, 0);
	serve(5);
	cr_assert_eq(vq_pop(&q, &c), 0);
	cr_assert_eq(avail_event(), 0);
	cr_assert_eq(fake_used_ring(&f, 0)[0], 0, "and kicks are never silenced");
}

Test(vq_out, interrupts_follow_the_flag)
{
	serve(1);
	cr_assert(vq_needs_irq(&q));
	fake_avail(&f, 0)[0] = VRING_AVAIL_F_NO_INTERRUPT;
	serve(1);
	cr_assert_not(vq_needs_irq(&q));
	fake_avail(&f, 0)[0] = 0;
	serve(1);
	cr_assert(vq_needs_irq(&q));
}

Test(vq_out, the_flag_means_nothing_with_event_idx)
{
	make(SIZE, EVENT_IDX);
	fake_avail(&f, 0)[0] = VRING_AVAIL_F_NO_INTERRUPT;
	serve(1);
	cr_assert(vq_needs_irq(&q));
}

Test(vq_out, no_interrupt_without_a_push)
{
	cr_assert_not(vq_needs_irq(&q));
	serve(1);
	cr_assert(vq_needs_irq(&q));
	cr_assert_not(vq_needs_irq(&q));
}

Test(vq_out, interrupts_when_used_event_is_passed)
{
	make(SIZE, EVENT_IDX);
	set_used_event(2);
	serve(1);
	cr_assert_not(vq_needs_irq(&q));
	serve(1);
	cr_assert_not(vq_needs_irq(&q));
	serve(1); /* entry 2 itself */
	cr_assert(vq_needs_irq(&q));
	serve(5);
	cr_assert_not(vq_needs_irq(&q), "once only");
	set_used_event(10);
	serve(4); /* 8 to 11, in one batch */
	cr_assert(vq_needs_irq(&q));
}

Test(vq_out, used_event_works_across_the_wrap)
{
	make(SIZE, EVENT_IDX);
	for (unsigned i = 0; i < 65535; i++) {
		serve(1);
		(void)!vq_needs_irq(&q);
	}
	set_used_event(65535);
	serve(1);
	cr_assert(vq_needs_irq(&q));
	set_used_event(1);
	serve(1);
	cr_assert_not(vq_needs_irq(&q));
	serve(1);
	cr_assert(vq_needs_irq(&q));
}

Test(vq_out, an_interrupt_is_not_lost_after_a_long_silence)
{
	make(SIZE, EVENT_IDX);
	for (unsigned i = 0; i < 65536; i++) {
		set_used_event((uint16_t)(i - 1)); /* a driver that polls */
		serve(1);
		cr_assert_not(vq_needs_irq(&q));
	}
	set_used_event(q.next_used);
	serve(1);
	cr_assert(vq_needs_irq(&q));
}

/* The race of "empty, so ask for a kick" with "not asked, so no kick", made certain: our write of
 * avail_event faults, and in that moment the driver queues a chain. */
static void *used_page;

static void driver_is_faster(int sig)
{
	(void)sig;
	fake_expose(&f, 0, 0);
	mprotect(used_page, 4096, PROT_READ | PROT_WRITE);
}

Test(vq_out, a_chain_queued_while_we_ask_for_kicks_is_found)
{
	make(SIZE, EVENT_IDX);
	struct vq_layout l = layout();
	l.used = fake_alloc(&f, 4096, 4096);
	(void)fake_alloc(&f, 4096, 4096); /* nothing else on that page */
	cr_assert_eq(vq_init(&q, &f.mem, &l, EVENT_IDX), 0);
	*fake_desc(&f, 0, 0) = (struct vring_desc){.addr = buf.raw, .len = 1};
	used_page = fake_ptr(&f, l.used);
	cr_assert_eq(mprotect(used_page, 4096, PROT_READ), 0);
	signal(SIGSEGV, driver_is_faster);
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(f.q[0].avail_idx, 1);
}

/* ---- pushing ---- */

Test(vq_out, chains_may_come_back_in_any_order)
{
	struct vq_chain a, b;
	uint32_t head, len;

	ADD(in(0, 1));
	ADD(in(0, 1));
	cr_assert_eq(vq_pop(&q, &a), 1);
	cr_assert_eq(vq_pop(&q, &b), 1);
	vq_push(&q, &b, 20);
	vq_push(&q, &a, 10);
	cr_assert(fake_used(&f, 0, &head, &len));
	cr_assert_eq(head, b.head);
	cr_assert_eq(len, 20);
	cr_assert(fake_used(&f, 0, &head, &len));
	cr_assert_eq(head, a.head);
	cr_assert_eq(len, 10);
	cr_assert_not(fake_used(&f, 0, &head, &len));
}

Test(vq_out, the_guests_copy_of_used_idx_is_not_believed)
{
	serve(1);
	fake_used_ring(&f, 0)[1] = 12345;
	serve(1);
	cr_assert_eq(fake_used_ring(&f, 0)[1], 2);
}

/* ---- the cursor ---- */

static void fill(uint64_t off, const char *text)
{
	memcpy(fake_ptr(&f, at(off)), text, strlen(text));
}

static void three_and_three(void)
{
	fill(0, "abc");
	fill(100, "d");
	fill(200, "ef");
	ADD(out(0, 3), out(100, 1), out(200, 2), in(300, 3), in(400, 2));
	cr_assert_eq(vq_pop(&q, &c), 1);
}

Test(vq_out, get_crosses_segments_and_goes_on_where_it_stopped)
{
	char b[8] = "";

	three_and_three();
	cr_assert_eq(chain_get(&c, b, 2), 0);
	cr_assert_str_eq(b, "ab");
	cr_assert_eq(chain_get(&c, b, 4), 0);
	cr_assert_str_eq(b, "cdef");
	cr_assert_eq(chain_get(&c, b, 0), 0);
	cr_assert_eq(chain_get(&c, b, 1), -EPROTO);
}

Test(vq_out, get_of_too_much_moves_nothing)
{
	char b[8] = "";

	three_and_three();
	cr_assert_eq(chain_get(&c, b, 1), 0);
	cr_assert_eq(chain_get(&c, b, 6), -EPROTO);
	cr_assert_eq(chain_get(&c, b, 5), 0);
	cr_assert_str_eq(b, "bcdef");
}

Test(vq_out, put_starts_at_the_writable_part_wherever_the_cursor_is)
{
	char b[2];

	three_and_three();
	cr_assert_eq(chain_get(&c, b, 2), 0);
	cr_assert_eq(chain_put(&c, "wxyz", 4), 0);
	cr_assert_arr_eq(fake_ptr(&f, at(300)), "wxy", 3);
	cr_assert_arr_eq(fake_ptr(&f, at(400)), "z", 2);
	cr_assert_eq(chain_get(&c, b, 1), -EPROTO, "the readable part is behind us");
}

Test(vq_out, put_of_too_much_moves_and_writes_nothing)
{
	char b[8] = "";

	three_and_three();
	cr_assert_eq(chain_put(&c, "123456", 6), -EPROTO);
	cr_assert_arr_eq(fake_ptr(&f, at(300)), "\0\0\0", 3);
	cr_assert_eq(chain_get(&c, b, 6), 0, "the cursor is still in the readable part");
	cr_assert_eq(chain_put(&c, "12345", 5), 0);
	cr_assert_eq(chain_put(&c, "6", 1), -EPROTO);
}

Test(vq_out, rest_names_what_is_left_up_to_a_limit)
{
	struct iovec v[VQ_SEGS];
	char b[8];

	three_and_three();
	cr_assert_eq(chain_get(&c, b, 2), 0);
	cr_assert_eq(chain_rest_out(&c, SIZE_MAX, v), 3);
	cr_assert_eq(v[0].iov_base, fake_ptr(&f, at(2)));
	cr_assert_eq(v[0].iov_len, 1);
	cr_assert_eq(v[2].iov_len, 2);
	cr_assert_eq(chain_rest_out(&c, 3, v), 3);
	cr_assert_eq(v[2].iov_len, 1);
	cr_assert_eq(chain_rest_out(&c, 2, v), 2);
	cr_assert_eq(chain_rest_out(&c, 0, v), 0);
	cr_assert_eq(chain_rest_in(&c, SIZE_MAX, v), 2);
	cr_assert_eq(v[0].iov_base, fake_ptr(&f, at(300)));
	cr_assert_eq(v[0].iov_len + v[1].iov_len, 5);

	cr_assert_eq(chain_put(&c, "1", 1), 0);
	cr_assert_eq(chain_rest_out(&c, SIZE_MAX, v), 0);
	cr_assert_eq(chain_rest_in(&c, 3, v), 2);
	cr_assert_eq(v[0].iov_len, 2);
	cr_assert_eq(v[1].iov_len, 1);
}
