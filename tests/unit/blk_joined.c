/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that several files are: what is read over their edges, and what becomes of a file that is not as it was. */
#include "tests/unit/blk.h"

enum { BLOCK = PART_BLOCK_BYTES, BLOCK_SECTORS = BLOCK / SECTOR, FILES = 30, MOST = 513 };

static int part[MOST];
static unsigned nparts;
static uint8_t whole[MOST * BLOCK]; /* what the disk has */
static uint64_t bytes;

/* The first is `file`, of so many blocks, as each of the n - 1 others. */
static void join(unsigned n, const unsigned *blocks)
{
	struct err e = {0};

	setup();
	bytes = 0;
	nparts = n;
	for (unsigned i = 0; i < n; i++) {
		size_t len = (size_t)blocks[i] * BLOCK;

		part[i] = i ? disk_file() : file;
		cr_assert_eq(ftruncate(part[i], 0), 0);
		pattern(whole + bytes, len, 77 * i + 1);
		cr_assert_eq(write(part[i], whole + bytes, len), (ssize_t)len);
		bytes += len;
	}
	struct virtio_dev *d = blk_new_joined(worker, part[0], part + 1, n - 1, &e);
	cr_assert_not_null(d, "%s", e.msg);
	fake_attach(&f, d);
	f.moving = false;
	cr_assert_eq(fake_start(&f, 0), LIVE);
}

static void join_some(void)
{
	static const unsigned blocks[FILES] = {2, 1, 0, 3, 1, 1, 1, 9, 0, 0, 4, 1,  1, 1, 1,
					       1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 40, 0, 1, 2};

	join(FILES, blocks);
}

static void leave(void)
{
	for (unsigned i = 1; i < nparts; i++)
		close(part[i]);
	teardown();
}

TestSuite(blk_joined, .init = join_some, .fini = leave, .timeout = 60);

static void reads(uint64_t sector, uint32_t len)
{
	static uint8_t got[sizeof(whole)];
	uint64_t keep = f.next_free;

	cr_assert_eq(io(VIRTIO_BLK_T_IN, sector, got, len), VIRTIO_BLK_S_OK, "%llu, %u",
		     (unsigned long long)sector, len);
	cr_assert_eq(memcmp(got, whole + sector * SECTOR, len), 0, "%llu, %u",
		     (unsigned long long)sector, len);
	f.next_free = keep;
}

Test(blk_joined, has_the_size_of_all_and_cannot_be_written)
{
	struct virtio_blk_config c;
	uint8_t b[SECTOR] = {0};

	fake_config(&f, 0, &c, sizeof(c));
	cr_assert_eq(c.capacity * SECTOR, bytes);
	cr_assert(f.features & BIT(VIRTIO_BLK_F_RO));
	cr_assert_eq(io(VIRTIO_BLK_T_OUT, 0, b, sizeof(b)), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_FLUSH, 0, b, 0), VIRTIO_BLK_S_OK);
}

Test(blk_joined, every_sector_is_there_and_all_at_once)
{
	for (uint64_t s = 0; s < bytes / SECTOR; s++)
		reads(s, SECTOR);
	reads(0, (uint32_t)bytes);
}

Test(blk_joined, reads_over_one_edge_and_over_many)
{
	for (uint64_t s = 1; s < bytes / SECTOR; s += 3)
		for (uint32_t n = 2; n <= 5 * BLOCK_SECTORS; n += 7)
			if (s + n <= bytes / SECTOR)
				reads(s, n * SECTOR);
}

Test(blk_joined, an_edge_inside_a_segment_and_a_segment_inside_a_file)
{
	struct request r = request(VIRTIO_BLK_T_IN, 0, 0, true);
	struct fake_seg status = r.seg[1];
	static const uint32_t lens[] = {100, 12000, 1, 1, 9000, 512, 4096 + 2962};
	uint64_t at = 0;

	r.n = 1;
	for (size_t i = 0; i < countof(lens); i++)
		r.seg[r.n++] = (struct fake_seg){fake_alloc(&f, lens[i], 1), lens[i], true};
	r.seg[r.n++] = status;
	run(&r);
	cr_assert_eq(status_of(&r), VIRTIO_BLK_S_OK);
	for (size_t i = 0; i < countof(lens); at += lens[i], i++)
		cr_assert_eq(memcmp(fake_ptr(&f, r.seg[i + 1].at), whole + at, lens[i]), 0, "%zu",
			     i);
}

Test(blk_joined, nothing_is_read_past_the_end)
{
	uint8_t b[2 * SECTOR];

	cr_assert_eq(io(VIRTIO_BLK_T_IN, bytes / SECTOR - 1, b, sizeof(b)), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, bytes / SECTOR, b, SECTOR), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, UINT64_MAX / SECTOR, b, SECTOR), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, bytes / SECTOR, b, 0), VIRTIO_BLK_S_OK);
	reads(bytes / SECTOR - 1, SECTOR);
}

/* File 7 has the nine blocks from block 9 on. */
Test(blk_joined, a_file_that_became_shorter_is_an_error_of_what_reads_there)
{
	static uint8_t b[32 * BLOCK];

	cr_assert_eq(ftruncate(part[7], 4 * BLOCK), 0);
	reads(12 * BLOCK_SECTORS, BLOCK);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 13 * BLOCK_SECTORS, b, BLOCK), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 12 * BLOCK_SECTORS, b, 2 * BLOCK), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 0, b, sizeof(b)), VIRTIO_BLK_S_IOERR);
	reads(18 * BLOCK_SECTORS, 4 * BLOCK);
	reads(0, 13 * BLOCK);
	cr_assert_eq(ftruncate(part[7], 0), 0);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 9 * BLOCK_SECTORS, b, SECTOR), VIRTIO_BLK_S_IOERR);
	reads(18 * BLOCK_SECTORS, BLOCK);
}

Test(blk_joined, what_a_file_grew_by_is_not_seen)
{
	uint8_t x[BLOCK];

	memset(x, 0xdd, sizeof(x));
	cr_assert_eq(pwrite(part[1], x, sizeof(x), BLOCK), BLOCK);
	cr_assert_eq(pwrite(part[2], x, sizeof(x), 0), BLOCK);
	reads(0, 16 * BLOCK);
}

Test(blk_joined_many, of_513_files, .fini = leave, .timeout = 60)
{
	unsigned one[MOST];

	for (unsigned i = 0; i < MOST; i++)
		one[i] = 1;
	join(MOST, one);
	reads(0, (uint32_t)bytes);
	for (uint64_t s = 0; s + 2 <= bytes / SECTOR; s += BLOCK_SECTORS - 1)
		reads(s, 2 * SECTOR);
}

static void refuse(int second, const char *text)
{
	int others[] = {second, file};
	struct err e = {0};

	cr_expect_null(blk_new_joined(worker, file, others, 2, &e));
	cr_expect(strstr(e.msg, "file 2 of 3") && strstr(e.msg, text), "%s", e.msg);
}

Test(blk_joined_new, what_is_no_file_of_whole_blocks_is_named, .init = setup, .fini = teardown)
{
	int odd = disk_file(), null = open("/dev/null", O_RDONLY | O_CLOEXEC), p[2];
	char path[40];

	cr_assert_eq(ftruncate(odd, BLOCK + SECTOR), 0);
	cr_assert_eq(pipe(p), 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", odd);
	int wo = open(path, O_WRONLY | O_CLOEXEC);
	refuse(odd, "4608 bytes are not whole blocks of 4096");
	refuse(null, "not a regular file");
	refuse(p[0], "not a regular file");
	refuse(wo, "not open for reading");
	refuse(-1, "Bad file descriptor");
	close(odd);
	close(null);
	close(wo);
	close(p[0]);
	close(p[1]);
}

Test(blk_joined_new, empty_files_alone_are_no_disk, .init = setup, .fini = teardown)
{
	struct err e = {0};

	cr_assert_eq(ftruncate(file, 0), 0);
	cr_assert_null(blk_new_joined(worker, file, &file, 1, &e));
	cr_assert(strstr(e.msg, "all of its 2 files are empty"), "%s", e.msg);
}

Test(blk_joined_new, a_disk_refused_takes_no_place, .init = setup, .fini = teardown)
{
	struct virtio_dev *d[DISK_CLIENTS];
	struct err e = {0};
	int bad = -1;

	cr_assert_null(blk_new_joined(worker, file, &bad, 1, NULL));
	for (unsigned i = 0; i < DISK_CLIENTS; i++)
		cr_assert_not_null(d[i] = blk_new_joined(worker, file, &file, 1, &e), "%s", e.msg);
	cr_assert_null(blk_new_joined(worker, file, &file, 1, &e));
	cr_assert(strstr(e.msg, "more than"), "%s", e.msg);
	for (unsigned i = 0; i < DISK_CLIENTS; i++)
		d[i]->cls->ops->free(d[i]);
}
