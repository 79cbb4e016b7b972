/* SPDX-License-Identifier: Apache-2.0 */
/* Split virtqueues, device side: what may be popped, each rule of queue.h at its limit and one past. */
#include "tests/unit/queue.h"

#include <pthread.h>
#include <stdatomic.h>

enum { RAM_END = FAKE_RAM_BASE + FAKE_RAM_BYTES };

TestSuite(vq, .init = setup, .fini = teardown);

/* ---- vq_init ---- */

static int init_with(struct vq_layout l)
{
	struct vq v;
	int r = vq_init(&v, &f.mem, &l, 0);

	cr_assert_eq(v.broken, r < 0, "a queue that was refused must not be usable");
	return r;
}

Test(vq, sizes_are_powers_of_two_up_to_the_limit)
{
	fake_make_rings(&f, 0, VQ_MAX);
	struct vq_layout l = layout();

	for (uint32_t size = 0; size <= UINT16_MAX; size++) {
		l.size = (uint16_t)size;
		bool legal = size && size <= VQ_MAX && !(size & (size - 1));
		cr_assert_eq(init_with(l), legal ? 0 : -EINVAL, "size %u", size);
	}
}

Test(vq, parts_must_be_aligned)
{
	for (unsigned off = 1; off <= 16; off++) {
		struct vq_layout d = layout(), a = layout(), u = layout();

		d.desc.raw += off;
		a.avail.raw += off;
		u.used.raw += off;
		cr_assert_eq(init_with(d), off % 16 ? -EINVAL : 0);
		cr_assert_eq(init_with(a), off % 2 ? -EINVAL : 0);
		cr_assert_eq(init_with(u), off % 4 ? -EINVAL : 0);
	}
}

Test(vq, parts_may_end_with_ram_and_not_one_step_later)
{
	struct vq_layout l = layout();

	l.desc.raw = RAM_END - SIZE * 16;
	cr_assert_eq(init_with(l), 0);
	l.desc.raw += 16;
	cr_assert_eq(init_with(l), -EFAULT);

	l = layout();
	l.avail.raw = RAM_END - (6 + SIZE * 2);
	cr_assert_eq(init_with(l), 0);
	l.avail.raw += 2;
	cr_assert_eq(init_with(l), -EFAULT);

	l = layout();
	l.used.raw = RAM_END - (6 + 2 + SIZE * 8);
	cr_assert_eq(init_with(l), 0);
	l.used.raw += 4;
	cr_assert_eq(init_with(l), -EFAULT);
}

Test(vq, parts_must_lie_in_ram)
{
	const uint64_t bad[] = {0, FAKE_RAM_BASE - 16, RAM_END, UINT64_MAX - 15, UINT64_C(1) << 63};

	for (size_t i = 0; i < countof(bad); i++) {
		struct vq_layout d = layout(), a = layout(), u = layout();

		d.desc.raw = a.avail.raw = u.used.raw = bad[i];
		cr_assert_eq(init_with(d), -EFAULT);
		cr_assert_eq(init_with(a), -EFAULT);
		cr_assert_eq(init_with(u), -EFAULT);
	}
}

/* ---- popping ---- */

Test(vq, empty_ring_pops_nothing)
{
	cr_assert_eq(vq_pop(&q, &c), 0);
	cr_assert_eq(vq_pop(&q, &c), 0);
}

Test(vq, pops_a_chain_with_its_segments_in_order)
{
	ADD(out(0, 10), out(100, 20), in(200, 30), in(300, 40));
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(c.head, 0);
	cr_assert_eq(c.nout, 2);
	cr_assert_eq(c.nin, 2);
	cr_assert_eq(c.out_len, 30);
	cr_assert_eq(c.in_len, 70);
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(c.seg[i].iov_base, fake_ptr(&f, at(100 * i)));
		cr_assert_eq(c.seg[i].iov_len, 10 * (i + 1));
	}
	cr_assert_eq(vq_pop(&q, &c), 0);
}

Test(vq, pops_in_order_and_past_the_wrap_of_every_index)
{
	for (uint32_t i = 0; i < 3 * 65536; i++) {
		uint32_t head, len;

		uint16_t added =
			fake_add(&f, 0, (struct fake_seg[]){out(i % 1000, 1 + i % 100)}, 1);
		cr_assert_eq(vq_pop(&q, &c), 1);
		cr_assert_eq(c.head, added);
		cr_assert_eq(c.out_len, 1 + i % 100);
		vq_push(&q, &c, i);
		cr_assert(fake_used(&f, 0, &head, &len));
		cr_assert_eq(head, added);
		cr_assert_eq(len, i);
	}
}

Test(vq, a_queue_of_one_works)
{
	make(1, 0);
	for (int i = 0; i < 5; i++) {
		ADD(in(0, 1));
		cr_assert_eq(vq_pop(&q, &c), 1);
		vq_push(&q, &c, 1);
		cr_assert_eq(vq_pop(&q, &c), 0);
	}
}

Test(vq, a_full_ring_is_legal)
{
	for (unsigned i = 0; i < SIZE; i++)
		ADD(out(0, 1));
	for (unsigned i = 0; i < SIZE; i++)
		cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(vq_pop(&q, &c), 0);
}

Test(vq, one_more_than_a_full_ring_is_not)
{
	for (unsigned i = 0; i < SIZE + 1; i++)
		ADD(out(0, 1));
	assert_broken();
}

Test(vq, an_index_that_goes_back_breaks_it)
{
	ADD(out(0, 1));
	cr_assert_eq(vq_pop(&q, &c), 1);
	fake_avail(&f, 0)[1] = 0;
	assert_broken();
}

/* A queue of SIZE whose table is followed by descriptors that would be legal. */
static void make_with_more_behind(void)
{
	fake_make_rings(&f, 0, 2 * SIZE);
	struct vq_layout l = layout();
	l.size = f.q[0].size = SIZE;
	cr_assert_eq(vq_init(&q, &f.mem, &l, 0), 0);
	for (uint16_t i = 0; i < 2 * SIZE; i++)
		*fake_desc(&f, 0, i) = (struct vring_desc){.addr = buf.raw, .len = 1};
}

Test(vq, head_must_be_inside_the_table)
{
	make_with_more_behind();
	fake_expose(&f, 0, SIZE - 1);
	cr_assert_eq(vq_pop(&q, &c), 1);
	fake_expose(&f, 0, SIZE);
	assert_broken();
}

Test(vq, next_must_be_inside_the_table)
{
	make_with_more_behind();
	fake_desc(&f, 0, 0)->flags = VRING_DESC_F_NEXT;
	fake_desc(&f, 0, 0)->next = SIZE - 1;
	fake_expose(&f, 0, 0);
	cr_assert_eq(vq_pop(&q, &c), 1);
	fake_desc(&f, 0, 0)->next = SIZE;
	fake_expose(&f, 0, 0);
	assert_broken();
}

Test(vq, next_is_ignored_without_its_flag)
{
	ADD(out(0, 1));
	fake_desc(&f, 0, 0)->next = 999;
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(c.nout, 1);
}

Test(vq, a_chain_may_use_every_descriptor)
{
	struct fake_seg s[SIZE];

	for (unsigned i = 0; i < SIZE; i++)
		s[i] = out(i, 1);
	fake_add(&f, 0, s, SIZE);
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(c.nout, SIZE);
}

Test(vq, rejects_self_linked_descriptor)
{
	ADD(out(0, 1), out(0, 1));
	fake_desc(&f, 0, 0)->next = 0;
	assert_broken();
}

Test(vq, rejects_a_loop_of_two)
{
	ADD(out(0, 1), out(0, 1), out(0, 1));
	fake_desc(&f, 0, 2)->flags = VRING_DESC_F_NEXT;
	fake_desc(&f, 0, 2)->next = 1;
	assert_broken();
}

static void add_long(unsigned n)
{
	struct fake_seg s[VQ_SEGS + 1];

	for (unsigned i = 0; i < n; i++)
		s[i] = in(i, 1);
	fake_add(&f, 0, s, n);
}

Test(vq, takes_as_many_segments_as_it_says)
{
	make(VQ_MAX, 0);
	add_long(VQ_SEGS);
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(c.nin, VQ_SEGS);
}

Test(vq, rejects_one_segment_more)
{
	make(VQ_MAX, 0);
	add_long(VQ_SEGS + 1);
	assert_broken();
}

Test(vq, rejects_readable_after_writable)
{
	ADD(out(0, 1), in(0, 1), out(0, 1));
	assert_broken();
}

Test(vq, takes_chains_of_one_direction_only)
{
	ADD(in(0, 1), in(0, 1));
	ADD(out(0, 1), out(0, 1));
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(c.nin, 2);
	cr_assert_eq(c.nout, 0);
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(c.nin, 0);
	cr_assert_eq(c.nout, 2);
}

Test(vq, rejects_an_empty_segment)
{
	ADD(out(0, 1), out(0, 0));
	assert_broken();
}

Test(vq, a_segment_may_end_with_ram)
{
	ADD({{RAM_END - 100}, 100, true}, {{FAKE_RAM_BASE}, 1, true});
	cr_assert_eq(vq_pop(&q, &c), 1);
}

Test(vq, a_segment_may_not_end_one_byte_later)
{
	ADD({{RAM_END - 100}, 101, true});
	assert_broken();
}

Test(vq, a_segment_may_not_start_one_byte_earlier)
{
	ADD({{FAKE_RAM_BASE - 1}, 2, true});
	assert_broken();
}

Test(vq, a_segment_that_wraps_the_address_space_is_rejected)
{
	ADD({{UINT64_MAX - 1}, 4, true});
	assert_broken();
}

Test(vq, a_segment_may_not_span_two_regions)
{
	/* the same bytes as one region and as two that touch */
	f.mem.nregions = 2;
	f.mem.region[1] = f.mem.region[0];
	f.mem.region[0].size_bytes = buf.raw + 4096 - FAKE_RAM_BASE;
	f.mem.region[1].gpa = buf.raw + 4096;
	f.mem.region[1].host += f.mem.region[0].size_bytes;
	f.mem.region[1].size_bytes -= f.mem.region[0].size_bytes;
	make(SIZE, 0);
	ADD(out(0, 4096), out(4096, 1));
	cr_assert_eq(vq_pop(&q, &c), 1);
	ADD(out(0, 4097));
	assert_broken();
}

/* 1 GiB of address space, of which nothing is touched. */
static void pretend_a_gib(void)
{
	f.mem.region[0].size_bytes = 1 << 30;
}

Test(vq, lengths_add_up_to_the_last_u32)
{
	pretend_a_gib();
	ADD({{FAKE_RAM_BASE}, 1 << 30, false}, {{FAKE_RAM_BASE}, 1 << 30, false},
	    {{FAKE_RAM_BASE}, 1 << 30, false}, {{FAKE_RAM_BASE}, (1 << 30) - 1, false});
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(c.out_len, UINT32_MAX);
	f.mem.region[0].size_bytes = FAKE_RAM_BYTES;
}

Test(vq, readable_lengths_may_not_overflow)
{
	pretend_a_gib();
	ADD({{FAKE_RAM_BASE}, 1 << 30, false}, {{FAKE_RAM_BASE}, 1 << 30, false},
	    {{FAKE_RAM_BASE}, 1 << 30, false}, {{FAKE_RAM_BASE}, 1 << 30, false});
	assert_broken();
	f.mem.region[0].size_bytes = FAKE_RAM_BYTES;
}

Test(vq, writable_lengths_may_not_overflow)
{
	pretend_a_gib();
	ADD({{FAKE_RAM_BASE}, 1 << 30, true}, {{FAKE_RAM_BASE}, 1 << 30, true},
	    {{FAKE_RAM_BASE}, 1 << 30, true}, {{FAKE_RAM_BASE}, 1 << 30, true});
	assert_broken();
	f.mem.region[0].size_bytes = FAKE_RAM_BYTES;
}

Test(vq, unpop_gives_the_same_chain_again)
{
	ADD(out(0, 5));
	ADD(out(0, 6));
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(c.out_len, 5);
	vq_unpop(&q);
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(c.out_len, 5);
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(c.out_len, 6);
}

Test(vq, a_popped_chain_is_a_copy)
{
	ADD(out(0, 5));
	cr_assert_eq(vq_pop(&q, &c), 1);
	fake_desc(&f, 0, 0)->len = 0xffffffff;
	fake_desc(&f, 0, 0)->addr = 0;
	cr_assert_eq(c.seg[0].iov_len, 5);
	cr_assert_eq(c.seg[0].iov_base, fake_ptr(&f, at(0)));
}

/* A guest that rewrites its descriptor while we read it: whatever we get must be within RAM. */
static atomic_bool stop;

static void *flip(void *arg)
{
	volatile struct vring_desc *d = arg;

	while (!stop) {
		d->len = 0xfffffff0;
		d->addr = UINT64_MAX - 8;
		d->next = 0xffff;
		d->len = 16;
		d->addr = FAKE_RAM_BASE;
		d->next = 1;
	}
	return NULL;
}

Test(vq, never_yields_a_bad_segment_to_a_guest_that_rewrites_descriptors)
{
	pthread_t t;
	unsigned good = 0, bad = 0;

	ADD(out(0, 16), out(0, 16));
	cr_assert_eq(pthread_create(&t, NULL, flip, fake_desc(&f, 0, 0)), 0);
	for (int i = 0; i < 300000; i++) {
		int r = vq_pop(&q, &c);

		cr_assert(r == 1 || r == -EPROTO);
		if (r == 1) {
			good++;
			cr_assert_eq(c.seg[0].iov_len, 16);
			cr_assert_eq(c.seg[0].iov_base, f.ram);
			vq_unpop(&q);
		} else {
			bad++;
			q.broken = false;
		}
	}
	stop = true;
	pthread_join(t, NULL);
	cr_assert_gt(good + bad, 0);
}

/* ---- indirect tables ---- */

Test(vq, indirect_needs_negotiation)
{
	fake_expose(&f, 0, fake_chain_indirect(&f, 0, (struct fake_seg[]){out(0, 1)}, 1));
	assert_broken();
}

Test(vq, pops_an_indirect_chain)
{
	make(SIZE, INDIRECT);
	fake_expose(
		&f, 0,
		fake_chain_indirect(&f, 0, (struct fake_seg[]){out(0, 1), out(1, 2), in(2, 3)}, 3));
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(c.nout, 2);
	cr_assert_eq(c.nin, 1);
	cr_assert_eq(c.out_len, 3);
	cr_assert_eq(c.in_len, 3);
	cr_assert_eq(c.head, 0);
}

static struct vring_desc *indirect(const struct fake_seg *s, unsigned n)
{
	uint16_t head = fake_chain_indirect(&f, 0, s, n);

	fake_expose(&f, 0, head);
	return fake_desc(&f, 0, head);
}

static struct vring_desc *table_of(const struct vring_desc *d)
{
	return fake_ptr(&f, (gpa_t){d->addr});
}

Test(vq, an_indirect_chain_may_be_longer_than_the_queue)
{
	struct fake_seg s[VQ_SEGS];

	make(SIZE, INDIRECT);
	for (unsigned i = 0; i < VQ_SEGS; i++)
		s[i] = out(i, 1);
	indirect(s, VQ_SEGS);
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(c.nout, VQ_SEGS);
}

Test(vq, an_indirect_chain_has_the_same_limit_of_segments)
{
	struct fake_seg s[VQ_SEGS + 1];

	make(SIZE, INDIRECT);
	for (unsigned i = 0; i < VQ_SEGS + 1; i++)
		s[i] = out(i, 1);
	indirect(s, VQ_SEGS + 1);
	assert_broken();
}

Test(vq, segments_before_an_indirect_table_count)
{
	make(SIZE, INDIRECT);
	ADD(out(0, 1), out(0, 2));
	struct fake_seg s[] = {out(0, 4), in(0, 8)};
	*fake_desc(&f, 0, 1) = *fake_desc(&f, 0, fake_chain_indirect(&f, 0, s, 2));
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(c.nout, 2);
	cr_assert_eq(c.out_len, 5);
	cr_assert_eq(c.in_len, 8);
}

Test(vq, the_write_flag_of_an_indirect_descriptor_means_nothing)
{
	make(SIZE, INDIRECT);
	indirect((struct fake_seg[]){out(0, 1)}, 1)->flags |= VRING_DESC_F_WRITE;
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(c.nout, 1);
}

Test(vq, an_indirect_descriptor_must_be_the_last)
{
	make(SIZE, INDIRECT);
	indirect((struct fake_seg[]){out(0, 1)}, 1)->flags |= VRING_DESC_F_NEXT;
	assert_broken();
}

Test(vq, tables_do_not_nest)
{
	make(SIZE, INDIRECT);
	struct vring_desc *outer = indirect((struct fake_seg[]){out(0, 1), out(0, 1)}, 2);
	uint16_t inner = fake_chain_indirect(&f, 0, (struct fake_seg[]){out(0, 1)}, 1);
	table_of(outer)[1] = *fake_desc(&f, 0, inner);
	assert_broken();
}

Test(vq, a_table_is_whole_descriptors)
{
	make(SIZE, INDIRECT);
	indirect((struct fake_seg[]){out(0, 1), out(0, 1)}, 2)->len += 8;
	assert_broken();
}

Test(vq, a_table_is_not_empty)
{
	make(SIZE, INDIRECT);
	indirect((struct fake_seg[]){out(0, 1)}, 1)->len = 0;
	assert_broken();
}

Test(vq, next_stays_inside_an_indirect_table)
{
	make(SIZE, INDIRECT);
	struct fake_seg s[] = {out(0, 1), out(0, 1), out(0, 1)};
	struct vring_desc *d = indirect(s, 3);
	cr_assert_eq(vq_pop(&q, &c), 1);
	fake_expose(&f, 0, 0);
	d->len -= (uint32_t)sizeof(*d); /* the third is there, but no longer part of it */
	assert_broken();
}

Test(vq, rejects_a_loop_in_an_indirect_table)
{
	make(SIZE, INDIRECT);
	table_of(indirect((struct fake_seg[]){out(0, 1), out(0, 1)}, 2))[0].next = 0;
	assert_broken();
}

Test(vq, a_table_may_end_with_ram_at_any_alignment)
{
	make(SIZE, INDIRECT);
	struct fake_seg s[] = {out(0, 1), out(0, 2)};
	struct vring_desc *d = indirect(s, 2);
	uint8_t copy[32];

	memcpy(copy, table_of(d), sizeof(copy));
	d->addr = buf.raw + 1;
	memcpy(fake_ptr(&f, (gpa_t){d->addr}), copy, sizeof(copy));
	cr_assert_eq(vq_pop(&q, &c), 1);
	cr_assert_eq(c.out_len, 3);

	d = indirect(s, 2);
	d->addr = RAM_END - 32;
	memcpy(fake_ptr(&f, (gpa_t){d->addr}), copy, sizeof(copy));
	cr_assert_eq(vq_pop(&q, &c), 1);

	d = indirect(s, 2);
	d->addr = RAM_END - 31;
	assert_broken();
}
