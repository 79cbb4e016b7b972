/* SPDX-License-Identifier: Apache-2.0 */
/* The disk worker: order, cancelling, errors. */
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/lib/test.h"
#include "vmm/disk/worker.h"

enum { DONE_MAX = 4096 };

struct client {
	struct disk_client c;
	unsigned ndone, nbatches;
	uint16_t slot[DONE_MAX];
	int result[DONE_MAX];
};

static struct loop loop;
static struct disk_worker *worker;
static struct client a, b;
static int file; /* a memfd */

static void on_done(struct disk_client *c, uint16_t slot, int result)
{
	struct client *k = container_of(c, struct client, c);

	cr_assert_lt(k->ndone, DONE_MAX);
	k->slot[k->ndone] = slot;
	k->result[k->ndone++] = result;
}

static void on_batch(struct disk_client *c)
{
	container_of(c, struct client, c)->nbatches++;
}

static void attach(struct client *k)
{
	k->c.on_done = on_done;
	k->c.on_batch = on_batch;
	cr_assert_eq(disk_attach(worker, &k->c), 0);
}

static void setup(void)
{
	struct err e = {0};

	cr_assert_eq(loop_init(&loop), 0);
	worker = disk_worker_new(&loop, NULL, &e);
	cr_assert_not_null(worker, "%s", e.msg);
	attach(&a);
	attach(&b);
	file = memfd_create("disk", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(file, 8 << 20), 0);
}

static void teardown(void)
{
	disk_detach(&a.c);
	disk_detach(&b.c);
	disk_worker_free(worker);
	loop_fini(&loop);
	close(file);
}

TestSuite(worker, .init = setup, .fini = teardown, .timeout = 60);

static void run_until(struct client *k, unsigned n)
{
	while (k->ndone < n)
		cr_assert_geq(loop_step(&loop, 5000), 0);
}

static void submit(struct client *k, enum disk_op op, uint16_t slot, uint64_t off, uint64_t len)
{
	disk_submit(
		&k->c,
		&(struct disk_req){
			.op = op, .fd = file, .slot = slot, .off_bytes = off, .len_bytes = len});
}

static void submit_io(struct client *k, enum disk_op op, int fd, uint64_t off,
		      const struct iovec *v, uint16_t n)
{
	uint64_t len = 0;

	for (uint16_t i = 0; i < n; i++)
		len += v[i].iov_len;
	disk_submit(&k->c, &(struct disk_req){.op = op,
					      .fd = fd,
					      .nsegs = n,
					      .segs = v,
					      .off_bytes = off,
					      .len_bytes = len});
}

Test(worker, reads_what_was_written_across_segments)
{
	char out[6] = "abcdef", x[2], y[4];
	struct iovec w[] = {{out, 1}, {out + 1, 5}}, r[] = {{x, 2}, {y, 4}};

	submit_io(&a, DISK_WRITE, file, 4095, w, 2);
	run_until(&a, 1);
	submit_io(&a, DISK_READ, file, 4095, r, 2);
	run_until(&a, 2);
	cr_assert_eq(a.result[0], 0);
	cr_assert_eq(a.result[1], 0);
	cr_assert_arr_eq(x, "ab", 2);
	cr_assert_arr_eq(y, "cdef", 4);
}

Test(worker, moves_more_than_one_piece)
{
	size_t len = 3 * DISK_PIECE_BYTES + 12345, cut = DISK_PIECE_BYTES - 7;
	uint8_t *out = malloc(len), *in = calloc(1, len);
	struct iovec w[] = {{out, cut}, {out + cut, len - cut}},
		     r[] = {{in, len - 1}, {in + len - 1, 1}};

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(i * 2654435761U >> 13);
	submit_io(&a, DISK_WRITE_SYNC, file, 1, w, 2);
	submit_io(&a, DISK_READ, file, 1, r, 2);
	run_until(&a, 2);
	cr_assert_eq(a.result[0], 0);
	cr_assert_eq(a.result[1], 0);
	cr_assert_eq(memcmp(in, out, len), 0);
	free(out);
	free(in);
}

Test(worker, a_piece_may_begin_inside_one_segment_and_end_in_another)
{
	size_t first = DISK_PIECE_BYTES + 5, second = 2 * DISK_PIECE_BYTES, len = first + second;
	uint8_t *out = malloc(len), *in = calloc(1, len);
	struct iovec w[] = {{out, first}, {out + first, second}};
	struct iovec r[] = {{in, first}, {in + first, second}};

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(i * 2654435761U >> 13);
	submit_io(&a, DISK_WRITE, file, 0, w, 2);
	submit_io(&a, DISK_READ, file, 0, r, 2);
	run_until(&a, 2);
	cr_assert_eq(memcmp(in, out, len), 0);
	free(out);
	free(in);
}

Test(worker, completes_in_order_with_one_batch_call_per_step)
{
	for (uint16_t i = 0; i < DISK_DEPTH; i++)
		submit(&a, DISK_FLUSH, i, 0, 0);
	cr_assert_eq(a.c.inflight, DISK_DEPTH);
	run_until(&a, DISK_DEPTH);
	cr_assert_eq(a.c.inflight, 0);
	for (uint16_t i = 0; i < DISK_DEPTH; i++)
		cr_assert_eq(a.slot[i], i);
	cr_assert_geq(a.nbatches, 1);
	cr_assert_leq(a.nbatches, DISK_DEPTH);
	cr_assert_eq(b.nbatches, 0);

	unsigned was = a.nbatches;
	submit(&b, DISK_FLUSH, 0, 0, 0);
	run_until(&b, 1);
	cr_assert_eq(b.nbatches, 1);
	cr_assert_eq(a.nbatches, was, "only those that had results");
}

Test(worker, a_read_past_the_end_fails)
{
	char x[2];
	struct iovec v = {x, 2};

	submit_io(&a, DISK_READ, file, (8 << 20) - 1, &v, 1);
	run_until(&a, 1);
	cr_assert_eq(a.result[0], -EIO);
}

Test(worker, host_errors_come_back_as_errno)
{
	char x[2];
	struct iovec v = {x, 2};

	submit_io(&a, DISK_READ, -1, 0, &v, 1);
	submit_io(&a, DISK_WRITE, -1, 0, &v, 1);
	run_until(&a, 2);
	cr_assert_eq(a.result[0], -EBADF);
	cr_assert_eq(a.result[1], -EBADF);
}

static void fill(uint64_t off, size_t len)
{
	uint8_t buf[4096];

	memset(buf, 0xaa, sizeof(buf));
	for (size_t done = 0; done < len; done += sizeof(buf))
		cr_assert_eq(pwrite(file, buf, sizeof(buf), (off_t)(off + done)), 4096);
}

static unsigned count_zeroes(uint64_t off, size_t len)
{
	unsigned n = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t c;

		cr_assert_eq(pread(file, &c, 1, (off_t)(off + i)), 1);
		n += c == 0;
	}
	return n;
}

static uint64_t allocated(void)
{
	struct stat st;

	cr_assert_eq(fstat(file, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

Test(worker, zero_and_unmap_read_back_as_zeroes_and_touch_nothing_else)
{
	fill(0, 64 << 10);
	submit(&a, DISK_ZERO, 0, 512, 8192);
	submit(&a, DISK_UNMAP, 0, 32 << 10, 8192);
	run_until(&a, 2);
	cr_assert_eq(a.result[0], 0);
	cr_assert_eq(a.result[1], 0);
	cr_assert_eq(count_zeroes(512, 8192), 8192);
	cr_assert_eq(count_zeroes(32 << 10, 8192), 8192);
	cr_assert_eq(count_zeroes(0, 64 << 10), 2 * 8192);
}

Test(worker, zeroes_of_more_than_one_piece)
{
	fill(0, 1 << 20);
	submit(&a, DISK_ZERO, 0, 1, (1 << 20) - 2);
	run_until(&a, 1);
	cr_assert_eq(a.result[0], 0);
	cr_assert_eq(count_zeroes(0, 1 << 20), (1 << 20) - 2);
}

Test(worker, discard_gives_the_space_back)
{
	fill(0, 1 << 20);
	cr_assert_geq(allocated(), 1 << 20);
	submit(&a, DISK_DISCARD, 0, 0, 1 << 20);
	run_until(&a, 1);
	cr_assert_eq(a.result[0], 0);
	cr_assert_lt(allocated(), 1 << 20);
}

Test(worker, an_empty_range_is_fine)
{
	submit(&a, DISK_DISCARD, 0, 0, 0);
	submit(&a, DISK_ZERO, 0, 0, 0);
	submit(&a, DISK_UNMAP, 0, 0, 0);
	run_until(&a, 3);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(a.result[i], 0);
}

Test(worker, a_cancelled_request_never_reports)
{
	for (int round = 0; round < 200; round++) {
		for (uint16_t i = 0; i < DISK_DEPTH; i++)
			submit(&a, DISK_FLUSH, i, 0, 0);
		submit(&b, DISK_FLUSH, 7, 0, 0);
		disk_cancel(&a.c);
		cr_assert_eq(a.c.inflight, 0);
		run_until(&b, (unsigned)round + 1);
	}
	cr_assert_eq(a.ndone, 0);
	cr_assert_eq(a.nbatches, 0);
}

Test(worker, results_fetched_but_not_yet_delivered_are_cancelled_too)
{
	submit(&a, DISK_FLUSH, 0, 0, 0);
	struct pollfd p = {.fd = loop.ep, .events = POLLIN};
	cr_assert_eq(poll(&p, 1, 20000), 1);
	disk_cancel(&a.c);
	cr_assert_geq(loop_step(&loop, 0), 0);
	cr_assert_eq(a.ndone, 0);
}

Test(worker, memory_is_left_alone_once_cancel_returned)
{
	size_t len = 8 << 20;
	uint8_t *buf = malloc(len);
	struct iovec v = {buf, len};

	fill(0, len);
	for (int round = 0; round < 50; round++) {
		submit_io(&a, DISK_READ, file, 0, &v, 1);
		if (round % 2) /* let it start */
			usleep(100);
		disk_cancel(&a.c);
		memset(buf, 0, len);
		usleep(200);
		for (size_t i = 0; i < len; i += 512)
			cr_assert_eq(buf[i], 0);
	}
	cr_assert_eq(a.ndone, 0);
	submit_io(&a, DISK_READ, file, 0, &v, 1);
	run_until(&a, 1);
	cr_assert_eq(a.result[0], 0, "the next one is not affected");
	free(buf);
}

Test(worker, the_ring_holds_as_often_as_one_cancels_and_resubmits)
{
	for (int round = 0; round < 1000; round++) {
		for (uint16_t i = 0; i < DISK_DEPTH; i++)
			submit(&a, DISK_FLUSH, i, 0, 0);
		disk_cancel(&a.c);
	}
	submit(&a, DISK_FLUSH, 3, 0, 0);
	run_until(&a, 1);
	cr_assert_eq(a.slot[0], 3);
}

static struct client *victim;

static void cancel_other(struct disk_client *c, uint16_t slot, int result)
{
	on_done(c, slot, result);
	disk_detach(&victim->c);
}

Test(worker, a_client_may_go_while_results_are_delivered)
{
	victim = &b;
	a.c.on_done = cancel_other;
	submit(&a, DISK_FLUSH, 0, 0, 0);
	submit(&b, DISK_FLUSH, 0, 0, 0);
	usleep(20000); /* both results in one step, if the machine is not too slow */
	run_until(&a, 1);
	cr_assert_geq(loop_step(&loop, 0), 0);
	cr_assert_eq(b.ndone, 0);
}

Test(worker, takes_as_many_clients_as_it_says_and_not_one_more)
{
	static struct client many[DISK_CLIENTS - 1];

	for (unsigned i = 0; i < DISK_CLIENTS - 2; i++) {
		attach(&many[i]);
		cr_assert_eq(many[i].c.id, i + 2);
	}
	cr_assert_eq(disk_attach(worker, &many[DISK_CLIENTS - 2].c), -EUSERS);
	disk_detach(&many[3].c);
	cr_assert_eq(disk_attach(worker, &many[DISK_CLIENTS - 2].c), 0);
	for (unsigned i = 0; i < DISK_CLIENTS - 1; i++)
		disk_detach(&many[i].c);
}

Test(worker, full_rings_of_all_clients_fit)
{
	static struct client many[DISK_CLIENTS - 2];

	for (unsigned i = 0; i < DISK_CLIENTS - 2; i++)
		attach(&many[i]);
	for (uint16_t s = 0; s < DISK_DEPTH; s++)
		for (unsigned i = 0; i < DISK_CLIENTS - 2; i++)
			submit(&many[i], DISK_FLUSH, s, 0, 0);
	for (unsigned i = 0; i < DISK_CLIENTS - 2; i++) {
		run_until(&many[i], DISK_DEPTH);
		disk_detach(&many[i].c);
	}
}

Test(worker, ends_with_requests_still_queued)
{
	for (uint16_t i = 0; i < DISK_DEPTH; i++)
		submit(&a, DISK_FLUSH, i, 0, 0); /* teardown is the test */
}

Test(worker, detaching_twice_or_never_attached_is_fine)
{
	static struct client c;

	disk_detach(&c.c);
	disk_detach(&a.c);
	disk_detach(&a.c);
	disk_worker_free(NULL);
}
