/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk, request by request. */
#include "tests/unit/blk.h"

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

/* Data that points the wrong way, alone or beside some that does not, is never an answer that says OK. */
Test(blk, data_the_wrong_way_is_an_io_error)
{
	static const uint32_t types[] = {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_GET_ID,
					 VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES};
	static const uint32_t right_bytes[] = {SECTOR, SECTOR, VIRTIO_BLK_ID_BYTES, 16, 16};

	for (size_t i = 0; i < countof(types); i++) {
		bool reads = types[i] == VIRTIO_BLK_T_IN || types[i] == VIRTIO_BLK_T_GET_ID;
		struct request r = request(types[i], 0, right_bytes[i], !reads);
		struct request both = request(types[i], 0, right_bytes[i], reads);
		struct fake_seg extra = {fake_alloc(&f, SECTOR, 1), SECTOR, !reads};
		unsigned at = reads ? 1 : both.n - 1; /* what is readable comes first */

		memmove(both.seg + at + 1, both.seg + at, (both.n - at) * sizeof(*both.seg));
		both.seg[at] = extra;
		both.n++;
		cr_assert_leq(run(&r), 1, "type %u", types[i]);
		cr_assert_eq(status_of(&r), VIRTIO_BLK_S_IOERR, "type %u", types[i]);
		cr_assert_leq(run(&both), 1, "type %u", types[i]);
		cr_assert_eq(status_of(&both), VIRTIO_BLK_S_IOERR, "type %u, both", types[i]);
	}
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
