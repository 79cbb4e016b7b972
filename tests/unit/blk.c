/* virtio-blk through its transport, on an unnamed file. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fake/fake.h"
#include "vmm/virtio/blk.h"

enum { DISK_SECTORS = 2048, SECTOR = 512, LIVE = 0xf, NEEDS_RESET = VIRTIO_CONFIG_S_NEEDS_RESET };

#define BIT(n) (UINT64_C(1) << (n))

static struct fake f;
static struct disk_worker *worker;
static int file;

/* snap_blk.c includes this file, to run all of it on a device that is saved and restored all the time. */
#ifndef MOVED
#define MOVED 0
#endif

static unsigned how; /* flags of the disk */

static struct virtio_dev *remake(struct fake *fk)
{
	struct err e = {0};

	(void)fk;
	return blk_new(worker, file, how, &e);
}

/* A release raises the line once more while InterruptStatus is set. */
static bool saw_irqs(uint64_t n)
{
	uint64_t seen = fake_irqs(&f);

	return MOVED ? seen >= n : seen == n;
}

static void make(unsigned flags)
{
	how = flags;
	fake_attach(&f, remake(&f));
	f.remake = remake;
	f.moving = MOVED;
}

/* Where there is one, on a file system that can tell whether a read would block: tmpfs often cannot. */
static int disk_file(void)
{
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd < 0 ? memfd_create("disk", MFD_CLOEXEC) : fd;
}

static void setup(void)
{
	struct err e = {0};

	fake_init(&f);
	worker = disk_worker_new(&f.loop, NULL, &e);
	cr_assert_not_null(worker);
	file = disk_file();
	cr_assert_eq(ftruncate(file, DISK_SECTORS * SECTOR), 0);
}

static void setup_rw(void)
{
	setup();
	make(0);
	cr_assert_eq(fake_start(&f, 0), LIVE);
}

static void setup_ro(void)
{
	setup();
	make(BLK_RO);
	cr_assert_eq(fake_start(&f, 0), LIVE);
}

static void teardown(void)
{
	virtio_port_free(f.port);
	f.port = NULL;
	disk_worker_free(worker);
	fake_fini(&f);
	close(file);
}

TestSuite(blk_new, .init = setup, .fini = teardown, .timeout = 30);
TestSuite(blk, .init = setup_rw, .fini = teardown, .timeout = 60);
TestSuite(blk_ro, .init = setup_ro, .fini = teardown, .timeout = 30);

/* ---- making one ---- */

static void refuse(int fd, unsigned flags, const char *text)
{
	struct err e = {0};

	cr_assert_null(blk_new(worker, fd, flags, &e));
	cr_assert(e.code > 0);
	cr_assert_not_null(strstr(e.msg, text), "%s", e.msg);
}

static int reopen(int flags)
{
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	int fd = open(path, flags | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	return fd;
}

Test(blk_new, refuses_what_is_no_disk)
{
	int p[2];

	cr_assert_eq(pipe(p), 0);
	refuse(p[0], BLK_RO, "neither a file nor a block device");
	refuse(-1, 0, "Bad file descriptor");
	close(p[0]);
	close(p[1]);
}

Test(blk_new, refuses_an_empty_or_truncated_image)
{
	cr_assert_eq(ftruncate(file, 0), 0);
	refuse(file, 0, "truncated");
	cr_assert_eq(ftruncate(file, SECTOR - 1), 0);
	refuse(file, 0, "truncated");
	cr_assert_eq(ftruncate(file, SECTOR + 1), 0);
	refuse(file, 0, "truncated");
	cr_assert_eq(ftruncate(file, SECTOR), 0);
	make(0);
}

Test(blk_new, refuses_access_the_descriptor_does_not_have)
{
	int ro = reopen(O_RDONLY), wo = reopen(O_WRONLY), ap = reopen(O_RDWR | O_APPEND);

	refuse(ro, 0, "not open for writing");
	refuse(wo, 0, "not open for reading");
	refuse(wo, BLK_RO, "not open for reading");
	refuse(ap, 0, "not open for writing at any place");
	struct virtio_dev *d = blk_new(worker, ro, BLK_RO, NULL);
	cr_assert_not_null(d);
	d->cls->ops->free(d);
	close(ro);
	close(wo);
	close(ap);
}

Test(blk_new, one_worker_takes_a_limited_number)
{
	struct virtio_dev *d[DISK_CLIENTS];

	for (unsigned i = 0; i < DISK_CLIENTS; i++)
		cr_assert_not_null(d[i] = blk_new(worker, file, 0, NULL));
	refuse(file, 0, "more than");
	d[0]->cls->ops->free(NULL);
	d[3]->cls->ops->free(d[3]);
	cr_assert_not_null(d[3] = blk_new(worker, file, 0, NULL), "one left, one may come");
	for (unsigned i = 0; i < DISK_CLIENTS; i++)
		d[i]->cls->ops->free(d[i]);
}

static struct virtio_blk_config config(void)
{
	struct virtio_blk_config c;

	fake_config(&f, 0, &c, sizeof(c));
	return c;
}

Test(blk, says_what_it_can_do)
{
	cr_assert_eq(f.features, BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
					 BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_BLK_F_SEG_MAX) |
					 BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_FLUSH) |
					 BIT(VIRTIO_BLK_F_DISCARD) |
					 BIT(VIRTIO_BLK_F_WRITE_ZEROES));
	cr_assert_eq(fake_read(&f, VIRTIO_MMIO_DEVICE_ID), 2);
	cr_assert_eq(config().capacity, DISK_SECTORS);
	cr_assert_eq(config().blk_size, SECTOR);
	cr_assert_eq(config().seg_max, VQ_SEGS - 2);
	cr_assert_eq(config().max_discard_seg, 1);
	cr_assert_eq(config().max_write_zeroes_seg, 1);
}

Test(blk_ro, offers_nothing_that_writes)
{
	cr_assert_eq(f.features, BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
					 BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_BLK_F_SEG_MAX) |
					 BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_RO));
}

/* ---- requests ---- */

struct request {
	struct fake_seg seg[VQ_SEGS];
	unsigned n;
	gpa_t data, status;
};

enum { UNTOUCHED = 0xee };

/* { header, data (readable or writable), status } */
static struct request request(uint32_t type, uint64_t sector, uint32_t len, bool writable)
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

static uint8_t status_of(const struct request *r)
{
	return *(uint8_t *)fake_ptr(&f, r->status);
}

/* Used length of the next answer. */
static uint32_t wait_one(void)
{
	uint32_t head, len;

	cr_assert(fake_wait_used(&f, 0, 20000));
	cr_assert(fake_used(&f, 0, &head, &len));
	return len;
}

static uint32_t run(const struct request *r)
{
	fake_add(&f, 0, r->seg, r->n);
	fake_kick(&f, 0);
	return wait_one();
}

static uint8_t io(uint32_t type, uint64_t sector, void *data, uint32_t len)
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

static void pattern(uint8_t *b, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)((i + seed) * 2654435761U >> 11);
}

Test(blk, reads_back_what_it_wrote_and_the_file_agrees)
{
	uint8_t w[4 * SECTOR], r[4 * SECTOR], h[4 * SECTOR];

	pattern(w, sizeof(w), 1);
	cr_assert_eq(io(VIRTIO_BLK_T_OUT, 7, w, sizeof(w)), VIRTIO_BLK_S_OK);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 7, r, sizeof(r)), VIRTIO_BLK_S_OK);
	cr_assert_arr_eq(r, w, sizeof(w));
	cr_assert_eq(pread(file, h, sizeof(h), 7 * SECTOR), (ssize_t)sizeof(h));
	cr_assert_arr_eq(h, w, sizeof(w));
}

Test(blk, the_last_sector_is_there_and_the_next_is_not)
{
	uint8_t b[2 * SECTOR];

	pattern(b, sizeof(b), 2);
	cr_assert_eq(io(VIRTIO_BLK_T_OUT, DISK_SECTORS - 1, b, SECTOR), VIRTIO_BLK_S_OK);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, DISK_SECTORS - 1, b, SECTOR), VIRTIO_BLK_S_OK);
	cr_assert_eq(io(VIRTIO_BLK_T_OUT, DISK_SECTORS - 1, b, 2 * SECTOR), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, DISK_SECTORS, b, SECTOR), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_OUT, DISK_SECTORS, b, SECTOR), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(lseek(file, 0, SEEK_END), DISK_SECTORS * SECTOR, "the file must not grow");
}

Test(blk, sectors_that_overflow_are_out_of_range)
{
	static const uint64_t bad[] = {
		UINT64_MAX,        UINT64_MAX / SECTOR, UINT64_MAX / SECTOR + 1,
		UINT64_C(1) << 55, UINT64_C(1) << 63,   INT64_MAX / SECTOR};
	uint8_t b[SECTOR] = {0};

	for (size_t i = 0; i < countof(bad); i++) {
		cr_assert_eq(io(VIRTIO_BLK_T_IN, bad[i], b, SECTOR), VIRTIO_BLK_S_IOERR);
		cr_assert_eq(io(VIRTIO_BLK_T_OUT, bad[i], b, SECTOR), VIRTIO_BLK_S_IOERR);
	}
}

Test(blk, data_is_whole_sectors)
{
	uint8_t b[SECTOR + 1] = {0};

	cr_assert_eq(io(VIRTIO_BLK_T_IN, 0, b, SECTOR + 1), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_OUT, 0, b, SECTOR - 1), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 0, b, 1), VIRTIO_BLK_S_IOERR);
}

Test(blk, no_data_is_no_error)
{
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 0, "", 0), VIRTIO_BLK_S_OK);
	cr_assert_eq(io(VIRTIO_BLK_T_OUT, 0, "", 0), VIRTIO_BLK_S_OK);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, DISK_SECTORS, "", 0), VIRTIO_BLK_S_OK);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, DISK_SECTORS + 1, "", 0), VIRTIO_BLK_S_IOERR);
}

/* The same request with header, data and status cut into pieces at every place. */
Test(blk, any_segmentation_works)
{
	uint8_t disk[2 * SECTOR];

	pattern(disk, sizeof(disk), 3);
	cr_assert_eq(pwrite(file, disk, sizeof(disk), 0), (ssize_t)sizeof(disk));
	for (uint32_t cut = 1; cut < 2 * SECTOR + 1; cut += 37) {
		struct request r = request(VIRTIO_BLK_T_IN, 0, 0, true);
		gpa_t in = fake_alloc(&f, 2 * SECTOR + 1, 1), h = r.seg[0].at;
		struct fake_seg s[] = {
			{h, 5, false},
			{{h.raw + 5}, 11, false},
			{in, cut, true},
			{{in.raw + cut}, 2 * SECTOR + 1 - cut, true}, /* ends with the status */
		};
		fake_add(&f, 0, s, countof(s));
		fake_kick(&f, 0);
		cr_assert_eq(wait_one(), 2 * SECTOR + 1);
		cr_assert_arr_eq((uint8_t *)fake_ptr(&f, in), disk, sizeof(disk));
		cr_assert_eq(((uint8_t *)fake_ptr(&f, in))[2 * SECTOR], VIRTIO_BLK_S_OK);
	}
}

Test(blk, header_and_data_may_share_a_segment)
{
	struct request r = request(VIRTIO_BLK_T_OUT, 3, SECTOR, false);
	uint8_t both[16 + SECTOR], got[SECTOR];

	memcpy(both, fake_ptr(&f, r.seg[0].at), 16);
	pattern(both + 16, SECTOR, 4);
	struct fake_seg s[] = {{fake_bytes(&f, both, sizeof(both)), sizeof(both), false}, r.seg[2]};
	fake_add(&f, 0, s, 2);
	fake_kick(&f, 0);
	cr_assert_eq(wait_one(), 1);
	cr_assert_eq(pread(file, got, SECTOR, 3 * SECTOR), SECTOR);
	cr_assert_arr_eq(got, both + 16, SECTOR);
}

Test(blk, as_many_segments_as_promised)
{
	unsigned n = config().seg_max;
	struct request r = request(VIRTIO_BLK_T_IN, 0, n * SECTOR, true);
	struct fake_seg st = r.seg[2];
	uint8_t *disk = malloc(n * SECTOR);

	pattern(disk, n * SECTOR, 5);
	cr_assert_eq(pwrite(file, disk, n * SECTOR, 0), (ssize_t)(n * SECTOR));
	for (unsigned i = 0; i < n; i++)
		r.seg[1 + i] = (struct fake_seg){{r.data.raw + i * SECTOR}, SECTOR, true};
	r.seg[1 + n] = st;
	fake_expose(&f, 0, fake_chain_indirect(&f, 0, r.seg, n + 2));
	fake_kick(&f, 0);
	cr_assert_eq(wait_one(), n * SECTOR + 1);
	cr_assert_eq(memcmp(fake_ptr(&f, r.data), disk, n * SECTOR), 0);
	free(disk);
}

Test(blk, large_reads_are_as_right_as_small_ones)
{
	static const uint32_t len[] = {64 << 10, (64 << 10) + SECTOR, DISK_SECTORS * SECTOR};
	static uint8_t disk[DISK_SECTORS * SECTOR], b[DISK_SECTORS * SECTOR];

	pattern(disk, sizeof(disk), 6);
	cr_assert_eq(pwrite(file, disk, sizeof(disk), 0), (ssize_t)sizeof(disk));
	for (size_t i = 0; i < countof(len); i++) {
		cr_assert_eq(io(VIRTIO_BLK_T_IN, 0, b, len[i]), VIRTIO_BLK_S_OK);
		cr_assert_eq(memcmp(b, disk, len[i]), 0);
	}
}

Test(blk, flush_succeeds)
{
	cr_assert_eq(io(VIRTIO_BLK_T_FLUSH, 0, "", 0), VIRTIO_BLK_S_OK);
}

Test(blk, its_name_counts_disks)
{
	struct request r = request(VIRTIO_BLK_T_GET_ID, 0, VIRTIO_BLK_ID_BYTES, true);

	cr_assert_eq(run(&r), VIRTIO_BLK_ID_BYTES + 1);
	cr_assert_eq(status_of(&r), VIRTIO_BLK_S_OK);
	cr_assert_str_eq(fake_ptr(&f, r.data), "conker-0");
}

Test(blk, its_name_fits_any_buffer)
{
	struct request small = request(VIRTIO_BLK_T_GET_ID, 0, 3, true);
	struct request large = request(VIRTIO_BLK_T_GET_ID, 0, 100, true);

	cr_assert_eq(run(&small), 4);
	cr_assert_arr_eq(fake_ptr(&f, small.data), "con", 3);
	cr_assert_eq(run(&large), VIRTIO_BLK_ID_BYTES);
	cr_assert_eq(status_of(&large), VIRTIO_BLK_S_OK);
}

static uint8_t range(uint32_t type, uint64_t sector, uint32_t n, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes r = {sector, n, flags};

	return io(type, 0, &r, sizeof(r));
}

static void fill_disk(void)
{
	uint8_t b[SECTOR];

	memset(b, 0xaa, sizeof(b));
	for (unsigned i = 0; i < DISK_SECTORS; i++)
		cr_assert_eq(pwrite(file, b, SECTOR, i * SECTOR), SECTOR);
}

static unsigned zero_sectors(void)
{
	static const uint8_t zero[SECTOR];
	uint8_t b[SECTOR];
	unsigned n = 0;

	for (unsigned i = 0; i < DISK_SECTORS; i++) {
		cr_assert_eq(pread(file, b, SECTOR, i * SECTOR), SECTOR);
		n += !memcmp(b, zero, SECTOR);
	}
	return n;
}

Test(blk, write_zeroes_zeroes_its_range_only)
{
	fill_disk();
	cr_assert_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 3, 20, 0), VIRTIO_BLK_S_OK);
	cr_assert_eq(zero_sectors(), 20);
	cr_assert_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, DISK_SECTORS - 9, 9,
			   VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP),
		     VIRTIO_BLK_S_OK);
	cr_assert_eq(zero_sectors(), 29);
}

Test(blk, discard_touches_its_range_only)
{
	fill_disk();
	cr_assert_eq(range(VIRTIO_BLK_T_DISCARD, 8, 16, 0), VIRTIO_BLK_S_OK);
	cr_assert_leq(zero_sectors(), 16);
	cr_assert_eq(range(VIRTIO_BLK_T_DISCARD, 0, 0, 0), VIRTIO_BLK_S_OK);
}

Test(blk, ranges_end_with_the_disk)
{
	static const uint32_t type[] = {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES};

	for (size_t i = 0; i < countof(type); i++) {
		cr_assert_eq(range(type[i], 0, DISK_SECTORS, 0), VIRTIO_BLK_S_OK);
		cr_assert_eq(range(type[i], 0, DISK_SECTORS + 1, 0), VIRTIO_BLK_S_IOERR);
		cr_assert_eq(range(type[i], DISK_SECTORS, 1, 0), VIRTIO_BLK_S_IOERR);
		cr_assert_eq(range(type[i], UINT64_MAX, 2, 0), VIRTIO_BLK_S_IOERR);
		cr_assert_eq(range(type[i], 0, UINT32_MAX, 0), VIRTIO_BLK_S_IOERR);
	}
	cr_assert_eq(lseek(file, 0, SEEK_END), DISK_SECTORS * SECTOR);
}

Test(blk, ranges_may_be_as_long_as_promised)
{
	uint32_t d = config().max_discard_sectors, z = config().max_write_zeroes_sectors;

	/* the disk has to be larger than both: make it so, and its device anew */
	virtio_port_free(f.port);
	cr_assert_eq(ftruncate(file, (off_t)(d + 1) * SECTOR), 0);
	make(0);
	cr_assert_eq(fake_start(&f, 0), LIVE);
	cr_assert_eq(range(VIRTIO_BLK_T_DISCARD, 0, d, 0), VIRTIO_BLK_S_OK);
	cr_assert_eq(range(VIRTIO_BLK_T_DISCARD, 0, d + 1, 0), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, z, 1), VIRTIO_BLK_S_OK);
	cr_assert_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, z + 1, 1), VIRTIO_BLK_S_IOERR);
}

Test(blk, unknown_flags_of_a_range_are_unsupported)
{
	cr_assert_eq(range(VIRTIO_BLK_T_DISCARD, 0, 1, 1), VIRTIO_BLK_S_UNSUPP);
	cr_assert_eq(range(VIRTIO_BLK_T_DISCARD, 0, 1, 2), VIRTIO_BLK_S_UNSUPP);
	cr_assert_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 2), VIRTIO_BLK_S_UNSUPP);
	cr_assert_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 1U << 31), VIRTIO_BLK_S_UNSUPP);
}

Test(blk, a_range_is_exactly_one)
{
	uint8_t b[48] = {0};

	cr_assert_eq(io(VIRTIO_BLK_T_DISCARD, 0, b, 15), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_DISCARD, 0, b, 32), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_WRITE_ZEROES, 0, b, 0), VIRTIO_BLK_S_IOERR);
}

Test(blk, ranges_need_negotiation)
{
	cr_assert_eq(fake_start(&f, BIT(VIRTIO_F_VERSION_1)), LIVE);
	cr_assert_eq(range(VIRTIO_BLK_T_DISCARD, 0, 1, 0), VIRTIO_BLK_S_UNSUPP);
	cr_assert_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0), VIRTIO_BLK_S_UNSUPP);
}

Test(blk, works_for_a_driver_that_negotiates_nothing)
{
	uint8_t b[SECTOR];

	pattern(b, sizeof(b), 9);
	cr_assert_eq(fake_start(&f, BIT(VIRTIO_F_VERSION_1)), LIVE);
	cr_assert_eq(io(VIRTIO_BLK_T_OUT, 0, b, SECTOR), VIRTIO_BLK_S_OK);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 0, b, SECTOR), VIRTIO_BLK_S_OK);
	cr_assert(saw_irqs(2));
}

Test(blk, unknown_requests_are_unsupported)
{
	static const uint32_t bad[] = {2, 3, 5, 6, 7, 9, 10, 12, 14, 99, UINT32_MAX};

	for (size_t i = 0; i < countof(bad); i++)
		cr_assert_eq(io(bad[i], 0, "", 0), VIRTIO_BLK_S_UNSUPP, "type %u", bad[i]);
}

#if !MOVED /* it would not be the disk that was saved */
Test(blk, a_file_that_shrank_gives_io_errors)
{
	uint8_t b[SECTOR] = {0};

	cr_assert_eq(ftruncate(file, SECTOR), 0);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 0, b, SECTOR), VIRTIO_BLK_S_OK);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 1, b, SECTOR), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(fake_read(&f, VIRTIO_MMIO_STATUS), LIVE);
}
#endif

Test(blk_ro, reads_and_flushes_but_never_writes)
{
	struct virtio_blk_discard_write_zeroes z = {0, 1, 0};
	uint8_t b[SECTOR];

	fill_disk();
	memset(b, 0, sizeof(b));
	cr_assert_eq(io(VIRTIO_BLK_T_OUT, 0, b, SECTOR), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_DISCARD, 0, &z, sizeof(z)), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_WRITE_ZEROES, 0, &z, sizeof(z)), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_FLUSH, 0, "", 0), VIRTIO_BLK_S_OK);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 0, b, SECTOR), VIRTIO_BLK_S_OK);
	cr_assert_eq(b[0], 0xaa);
	cr_assert_eq(zero_sectors(), 0);
}

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

Test(blk, a_request_without_room_for_its_status_breaks_it)
{
	struct request r = request(VIRTIO_BLK_T_FLUSH, 0, 0, false);

	breaks(r.seg, 1);
}

Test(blk, a_request_with_a_short_header_breaks_it)
{
	struct request r = request(VIRTIO_BLK_T_FLUSH, 0, 0, false);

	r.seg[0].len = 15;
	breaks(r.seg, 2);
}

Test(blk, an_illegal_ring_breaks_it)
{
	struct request r = request(VIRTIO_BLK_T_FLUSH, 0, 0, false);

	r.seg[1].at.raw = 0;
	breaks(r.seg, 2);
}

Test(blk, what_was_under_way_when_it_broke_is_never_answered)
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

Test(blk, more_requests_than_slots_are_all_answered_once)
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

Test(blk, a_full_queue_of_indirect_requests_is_answered)
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

Test(blk, reset_leaves_nothing_in_flight)
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

Test(blk, may_be_freed_with_requests_under_way)
{
	struct request r = request(VIRTIO_BLK_T_IN, 0, 512 << 10, true);

	for (unsigned i = 0; i < 20; i++)
		fake_add(&f, 0, r.seg, r.n);
	fake_kick(&f, 0);
	cr_assert_geq(loop_step(&f.loop, 1000), 0); /* teardown is the test */
}

Test(blk, interrupts_come_once_per_batch_with_event_idx)
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
