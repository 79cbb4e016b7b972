/* SPDX-License-Identifier: Apache-2.0 */
/* blk.h - fixture of the disk's tests: virtio-blk through its transport, on an unnamed file. */
#ifndef TESTS_UNIT_BLK_H
#define TESTS_UNIT_BLK_H

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <sys/mman.h>

#include "tests/fake/fake.h"
#include "tests/lib/test.h"
#include "vmm/virtio/blk.h"

enum { DISK_SECTORS = 2048, SECTOR = 512, LIVE = 0xf, NEEDS_RESET = VIRTIO_CONFIG_S_NEEDS_RESET };

#define BIT(n) (UINT64_C(1) << (n))

static struct fake f;
static struct disk_worker *worker;
static int file;

/* snap_blk.c includes the tests of others, to run all of them on a device that is saved and
 * restored all the time. */
#ifndef MOVED
#define MOVED 0
#endif

static unsigned how; /* flags of the disk */

static inline struct virtio_dev *remake(struct fake *fk)
{
	struct err e = {0};

	(void)fk;
	return blk_new(worker, file, how, &e);
}

/* A release raises the line once more while InterruptStatus is set. */
static inline bool saw_irqs(uint64_t n)
{
	uint64_t seen = fake_irqs(&f);

	return MOVED ? seen >= n : seen == n;
}

static inline void make(unsigned flags)
{
	how = flags;
	fake_attach(&f, remake(&f));
	f.remake = remake;
	f.moving = MOVED;
}

/* Where there is one, on a file system that can tell whether a read would block: tmpfs often
 * cannot. */
static inline int disk_file(void)
{
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd < 0 ? memfd_create("disk", MFD_CLOEXEC) : fd;
}

static inline void setup(void)
{
	struct err e = {0};

	fake_init(&f);
	worker = disk_worker_new(&f.loop, NULL, &e);
	cr_assert_not_null(worker);
	file = disk_file();
	cr_assert_eq(ftruncate(file, DISK_SECTORS * SECTOR), 0);
}

static inline void setup_rw(void)
{
	setup();
	make(0);
	cr_assert_eq(fake_start(&f, 0), LIVE);
}

static inline void setup_ro(void)
{
	setup();
	make(BLK_RO);
	cr_assert_eq(fake_start(&f, 0), LIVE);
}

static inline void teardown(void)
{
	virtio_port_free(f.port);
	f.port = NULL;
	disk_worker_free(worker);
	fake_fini(&f);
	close(file);
}

/* ---- requests ---- */

struct request {
	struct fake_seg seg[VQ_SEGS];
	unsigned n;
	gpa_t data, status;
};

enum { UNTOUCHED = 0xee };

/* { header, data (readable or writable), status } */
static inline struct request request(uint32_t type, uint64_t sector, uint32_t len, bool writable)
{
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} h = {type, 0, sector};
	struct request r = {.data = fake_alloc(&f, len ? len : 1, 1),
			    .status = fake_alloc(&f, 1, 1)};

	*(uint8_t *)fake_ptr(&f, r.status) = UNTOUCHED;
	r.seg[r.n++] = (struct fake_seg){fake_bytes(&f, &h, sizeof(h)), sizeof(h), false};
	if (len)
		r.seg[r.n++] = (struct fake_seg){r.data, len, writable};
	r.seg[r.n++] = (struct fake_seg){r.status, 1, true};
	return r;
}

static inline uint8_t status_of(const struct request *r)
{
	return *(uint8_t *)fake_ptr(&f, r->status);
}

/* Used length of the next answer. */
static inline uint32_t wait_one(void)
{
	uint32_t head, len;

	cr_assert(fake_wait_used(&f, 0, 20000));
	cr_assert(fake_used(&f, 0, &head, &len));
	return len;
}

static inline uint32_t run(const struct request *r)
{
	fake_add(&f, 0, r->seg, r->n);
	fake_kick(&f, 0);
	return wait_one();
}

static inline uint8_t io(uint32_t type, uint64_t sector, void *data, uint32_t len)
{
	bool reads = type == VIRTIO_BLK_T_IN;
	struct request r = request(type, sector, len, reads);

	if (!reads)
		memcpy(fake_ptr(&f, r.data), data, len);
	uint32_t used = run(&r);
	uint8_t st = status_of(&r);
	cr_assert_eq(used, st ? (reads && len ? 0 : 1) : reads ? len + 1 : 1);
	if (reads && len)
		memcpy(data, fake_ptr(&f, r.data), len);
	return st;
}

static inline void pattern(uint8_t *b, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)((i + seed) * 2654435761U >> 11);
}

static inline void fill_disk(void)
{
	uint8_t b[SECTOR];

	memset(b, 0xaa, sizeof(b));
	for (unsigned i = 0; i < DISK_SECTORS; i++)
		cr_assert_eq(pwrite(file, b, SECTOR, i * SECTOR), SECTOR);
}

#endif
