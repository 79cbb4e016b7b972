/* SPDX-License-Identifier: Apache-2.0 */
/* What blk.c and blk_many.c say of a disk, of one that is saved, through the bytes of a state file, and restored into a new
 * one, before each register access of the driver and after each step of the loop. */
#define MOVED 1
#include "tests/unit/blk.c"
#include "tests/unit/blk_many.c"

#include "vmm/virtio/state.h"

TestSuite(snap_blk, .init = setup_rw, .fini = teardown, .timeout = 60);

Test(snap_blk, what_is_under_way_ends_and_nothing_new_begins)
{
	enum { N = 20 };
	struct port_state *s = malloc(sizeof(*s));
	static struct request r[N + 1];
	uint32_t head, len;

	f.moving = false;
	for (unsigned i = 0; i <= N; i++)
		r[i] = request(VIRTIO_BLK_T_OUT, i, SECTOR, false);
	for (unsigned i = 0; i < N; i++)
		fake_add(&f, 0, r[i].seg, r[i].n);
	fake_kick(&f, 0);
	virtio_port_hold(f.port);
	fake_run(&f);
	cr_assert_not(virtio_port_busy(f.port), "held before the loop saw the kick");
	virtio_port_release(f.port);
	cr_assert(virtio_port_busy(f.port));
	fake_add(&f, 0, r[N].seg, r[N].n);
	fake_kick(&f, 0);
	fake_save(&f, s);
	for (unsigned i = 0; i < N; i++)
		cr_assert(fake_used(&f, 0, &head, &len));
	cr_assert_not(fake_used(&f, 0, &head, &len), "it came after the hold");
	cr_assert_eq(s->queue[0].next, N);
	cr_assert_eq(*(uint8_t *)fake_ptr(&f, r[N].status), UNTOUCHED);
	virtio_port_release(f.port);
	cr_assert(fake_wait_used(&f, 0, 5000));
	free(s);
}

/* Writes of random sectors, each with a stamp, and reads that compare, the machine saved now and then. */
Test(snap_blk, no_request_is_lost_or_done_twice)
{
	enum { SECTORS = 16, ROUNDS = 200 };
	static uint32_t stamp[SECTORS];
	uint8_t b[SECTOR];
	uint64_t keep = f.next_free;

	f.moving = false;
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		struct request r[8];
		uint32_t head, len;
		bool seen[64] = {false};
		uint16_t heads[8];

		f.next_free = keep;
		for (unsigned k = 0; k < countof(r);
		     k++) { /* different sectors: no order among them */
			unsigned sector = (i * 5 + k) % SECTORS;

			memset(b, 0, sizeof(b));
			memcpy(b, &i, 4);
			r[k] = request(k % 2 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, sector, SECTOR,
				       k % 2 == 0);
			if (k % 2)
				memcpy(fake_ptr(&f, r[k].data), b, SECTOR);
			heads[k] = fake_add(&f, 0, r[k].seg, r[k].n);
			if ((unsigned)rand() % 3 == 0) {
				fake_kick(&f, 0);
				cr_assert_geq(loop_step(&f.loop, 0), 0);
			}
			if ((unsigned)rand() % 4 == 0)
				fake_move(&f);
		}
		fake_kick(&f, 0);
		for (unsigned k = 0; k < countof(r); k++) {
			cr_assert(fake_wait_used(&f, 0, 5000));
			cr_assert(fake_used(&f, 0, &head, &len));
			cr_assert(head < 64 && !seen[head], "answered twice");
			seen[head] = true;
			if (rand() % 4 == 0)
				fake_move(&f);
		}
		cr_assert_not(fake_used(&f, 0, &head, &len));
		for (unsigned k = 0; k < countof(r); k++) {
			unsigned sector = (i * 5 + k) % SECTORS;

			cr_assert(seen[heads[k]]);
			cr_assert_eq(*(uint8_t *)fake_ptr(&f, r[k].status), VIRTIO_BLK_S_OK);
			if (k % 2)
				stamp[sector] = i;
			else
				cr_assert_eq(memcmp(fake_ptr(&f, r[k].data), &stamp[sector], 4), 0);
		}
	}
}

static void refuse_disk(const struct port_state *s, const char *text)
{
	struct err e = {0};

	virtio_port_free(f.port);
	fake_attach(&f, remake(&f));
	cr_assert_eq(virtio_port_restore(f.port, s, &e), -EINVAL);
	cr_assert_not_null(strstr(e.msg, text), "%s", e.msg);
}

/* The size is all that the guest's driver knows of the files. */
Test(snap_blk, a_joined_disk_goes_on_and_one_of_another_size_is_refused)
{
	struct port_state *s = malloc(sizeof(*s));
	uint8_t block[PART_BLOCK_BYTES], sector[SECTOR];
	int other = memfd_create("part", MFD_CLOEXEC);
	int parts[] = {other, file};
	struct err e = {0};

	pattern(block, sizeof(block), 3);
	cr_assert_eq(write(other, block, sizeof(block)), (ssize_t)sizeof(block));
	f.moving = false;
	virtio_port_free(f.port);
	fake_attach(&f, blk_new_joined(worker, file, parts, 2, &e));
	cr_assert_eq(fake_start(&f, 0), LIVE);
	fake_save(&f, s);
	virtio_port_free(f.port);
	fake_attach(&f, blk_new_joined(worker, file, parts, 2, &e));
	cr_assert_eq(virtio_port_restore(f.port, s, &e), 0, "%s", e.msg);
	virtio_port_release(f.port);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, DISK_SECTORS, sector, SECTOR), VIRTIO_BLK_S_OK);
	cr_assert_arr_eq(sector, block, SECTOR);

	virtio_port_free(f.port);
	fake_attach(&f, blk_new_joined(worker, file, parts, 1, &e));
	cr_assert_eq(virtio_port_restore(f.port, s, &e), -EINVAL);
	cr_assert_not_null(strstr(e.msg, "size"), "%s", e.msg);
	close(other);
	free(s);
}

Test(snap_blk, another_disk_is_refused)
{
	struct port_state *s = malloc(sizeof(*s));

	fake_save(&f, s);
	how = BLK_RO;
	refuse_disk(s, "features");
	how = 0;
	cr_assert_eq(ftruncate(file, (DISK_SECTORS + 1) * SECTOR), 0);
	refuse_disk(s, "size");
	free(s);
}
