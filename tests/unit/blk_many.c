/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk: guests that break the rules, many requests at once, and requests that are given up. */
#include "tests/unit/blk.h"

TestSuite(blk_many, .init = setup_rw, .fini = teardown, .timeout = 60);

/* ---- broken guests ---- */

static void breaks(const struct fake_seg *s, unsigned n)
{
	uint32_t head, len;

	fake_add(&f, 0, s, n);
	fake_kick(&f, 0);
	fake_run(&f);
	cr_assert_eq(fake_read(&f, VIRTIO_MMIO_STATUS), LIVE | NEEDS_RESET);
	cr_assert_not(fake_used(&f, 0, &head, &len));
	cr_assert_eq(fake_start(&f, 0), LIVE);
	cr_assert_eq(io(VIRTIO_BLK_T_FLUSH, 0, "", 0), VIRTIO_BLK_S_OK);
}

Test(blk_many, a_request_without_room_for_its_status_breaks_it)
{
	struct request r = request(VIRTIO_BLK_T_FLUSH, 0, 0, false);

	breaks(r.seg, 1);
}

Test(blk_many, a_request_with_a_short_header_breaks_it)
{
	struct request r = request(VIRTIO_BLK_T_FLUSH, 0, 0, false);

	r.seg[0].len = 15;
	breaks(r.seg, 2);
}

Test(blk_many, an_illegal_ring_breaks_it)
{
	struct request r = request(VIRTIO_BLK_T_FLUSH, 0, 0, false);

	r.seg[1].at.raw = 0;
	breaks(r.seg, 2);
}

Test(blk_many, what_was_under_way_when_it_broke_is_never_answered)
{
	struct request r = request(VIRTIO_BLK_T_IN, 0, 70 << 10, true), bad = r;
	uint32_t head, len;

	for (int i = 0; i < 3; i++) /* too large to be answered at once; all four in one step */
		fake_add(&f, 0, r.seg, r.n);
	bad.seg[0].len = 3;
	fake_add(&f, 0, bad.seg, bad.n);
	fake_kick(&f, 0);
	fake_run(&f);
	cr_assert_eq(fake_read(&f, VIRTIO_MMIO_STATUS), LIVE | NEEDS_RESET);
	usleep(20000);
	fake_run(&f);
	cr_assert_not(fake_used(&f, 0, &head, &len));
	cr_assert_eq(status_of(&r), UNTOUCHED);
}

/* ---- many at once ---- */

Test(blk_many, more_requests_than_slots_are_all_answered_once)
{
	enum { N = 1000, BATCH = 20 }; /* 20 * 3 descriptors of 64 */
	static struct request r[BATCH];
	uint8_t b[SECTOR];

	for (unsigned i = 0; i < BATCH; i++) {
		r[i] = request(VIRTIO_BLK_T_OUT, i * 3, SECTOR, false);
		pattern(fake_ptr(&f, r[i].data), SECTOR, i);
	}
	for (unsigned n = 0; n < N; n += BATCH) {
		for (unsigned i = 0; i < BATCH; i++)
			fake_add(&f, 0, r[i].seg, r[i].n);
		fake_kick(&f, 0);
		for (unsigned i = 0; i < BATCH; i++)
			cr_assert_eq(wait_one(), 1);
	}
	for (unsigned i = 0; i < BATCH; i++) {
		cr_assert_eq(status_of(&r[i]), VIRTIO_BLK_S_OK);
		cr_assert_eq(pread(file, b, SECTOR, i * 3 * SECTOR), SECTOR);
		cr_assert_arr_eq(b, (uint8_t *)fake_ptr(&f, r[i].data), SECTOR);
	}
}

Test(blk_many, a_full_queue_of_indirect_requests_is_answered)
{
	struct request r = request(VIRTIO_BLK_T_IN, 0, SECTOR, true);
	uint32_t head, len;
	uint64_t seen = 0;

	for (unsigned i = 0; i < 64; i++)
		fake_expose(&f, 0, fake_chain_indirect(&f, 0, r.seg, r.n));
	fake_kick(&f, 0);
	for (unsigned i = 0; i < 64; i++) {
		cr_assert(fake_wait_used(&f, 0, 20000));
		cr_assert(fake_used(&f, 0, &head, &len));
		cr_assert_not(seen >> head & 1, "head %u twice", head);
		seen |= UINT64_C(1) << head;
	}
	fake_run(&f);
	cr_assert_not(fake_used(&f, 0, &head, &len));
	cr_assert_eq(seen, UINT64_MAX);
}

Test(blk_many, reset_leaves_nothing_in_flight)
{
	enum { LEN = 1 << 20 };
	struct request r = request(VIRTIO_BLK_T_IN, 0, LEN, true);
	uint64_t keep = f.next_free;

	fill_disk();
	for (int round = 0; round < 60; round++) {
		for (unsigned i = 0; i < 20; i++)
			fake_add(&f, 0, r.seg, r.n);
		fake_kick(&f, 0);
		cr_assert_geq(loop_step(&f.loop, 1000), 0);
		if (round % 3 == 1)
			usleep(300);
		cr_assert_eq(fake_reset(&f), 0);
		memset(fake_ptr(&f, r.data), 0x11, LEN);
		*(uint8_t *)fake_ptr(&f, r.status) = UNTOUCHED;
		usleep(200);
		fake_run(&f);
		cr_assert_eq(status_of(&r), UNTOUCHED);
		for (unsigned i = 0; i < LEN; i += SECTOR)
			cr_assert_eq(((uint8_t *)fake_ptr(&f, r.data))[i], 0x11);
		f.next_free = keep;
		cr_assert_eq(fake_start(&f, 0), LIVE);
	}
}

Test(blk_many, a_stopped_queue_gets_no_answer_and_its_memory_is_let_be)
{
	enum { LEN = 1 << 20 };
	struct request r = request(VIRTIO_BLK_T_IN, 0, LEN, true);
	uint64_t keep = f.next_free;
	uint32_t head, len;

	fill_disk();
	for (int round = 0; round < 30; round++) {
		*(uint8_t *)fake_ptr(&f, r.status) = UNTOUCHED;
		for (unsigned i = 0; i < 20; i++)
			fake_add(&f, 0, r.seg, r.n);
		fake_kick(&f, 0);
		cr_assert_geq(loop_step(&f.loop, 1000), 0);
		if (round % 3 == 1)
			usleep(300);
		fake_write(&f, VIRTIO_MMIO_QUEUE_SEL, 0);
		fake_write(&f, VIRTIO_MMIO_QUEUE_READY, 0);
		cr_assert_eq(fake_read(&f, VIRTIO_MMIO_QUEUE_READY), 0);
		cr_assert_eq(fake_read(&f, VIRTIO_MMIO_STATUS), LIVE);
		while (fake_used(&f, 0, &head, &len)) /* before the stop */
			;
		memset(fake_ptr(&f, r.data), 0x11, LEN);
		*(uint8_t *)fake_ptr(&f, r.status) = UNTOUCHED;
		fake_kick(&f, 0);
		usleep(200);
		fake_run(&f);
		cr_assert_not(fake_used(&f, 0, &head, &len));
		cr_assert_eq(status_of(&r), UNTOUCHED);
		for (unsigned i = 0; i < LEN; i += SECTOR)
			cr_assert_eq(((uint8_t *)fake_ptr(&f, r.data))[i], 0x11);
		f.next_free = keep;
		cr_assert_eq(fake_start(&f, 0), LIVE);
	}
	uint8_t b[SECTOR];
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 0, b, SECTOR), VIRTIO_BLK_S_OK);
}

Test(blk_many, may_be_freed_with_requests_under_way)
{
	struct request r = request(VIRTIO_BLK_T_IN, 0, 512 << 10, true);

	for (unsigned i = 0; i < 20; i++)
		fake_add(&f, 0, r.seg, r.n);
	fake_kick(&f, 0);
	cr_assert_geq(loop_step(&f.loop, 1000), 0); /* teardown is the test */
}

Test(blk_many, interrupts_come_once_per_batch_with_event_idx)
{
	struct request r = request(VIRTIO_BLK_T_GET_ID, 0, 20, true);

	for (unsigned i = 0; i < 10; i++)
		fake_add(&f, 0, r.seg, r.n);
	fake_kick(&f, 0);
	fake_run(&f);
	for (unsigned i = 0; i < 10; i++)
		(void)wait_one();
	cr_assert(saw_irqs(1));
}
