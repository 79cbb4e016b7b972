/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of vmm/snap/memfile.h. */
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/lib/test.h"
#include "vmm/snap/memfile.h"

enum { PAGE = 4096, PAGES = 2000, SIZE = PAGES * PAGE };

static const struct memfile_id id = {"0123456789abcde"}, other = {"another"};
static struct guest_mem m;
static int fd, pagemap;
static uint64_t bytes;
static struct err e;

static void start(void)
{
	fd = memfd_create("memory", MFD_CLOEXEC);
	pagemap = memfile_pagemap();
	cr_assert_eq(mem_init(&m, SIZE, -1, &e), 0);
}

static void end(void)
{
	mem_fini(&m);
	close(fd);
	close(pagemap);
}

TestSuite(memfile, .init = start, .fini = end, .timeout = 60);

static void fill(unsigned page, uint8_t val)
{
	memset(m.region[0].host + page * PAGE, val, PAGE);
}

static void write_it(int base_fd, int pagemap_fd)
{
	cr_assert_eq(memfile_write(&m, fd, base_fd, pagemap_fd, &id, &bytes, &e), 0, "%s", e.msg);
	cr_assert_eq(memfile_check(fd, SIZE, &id, &e), 0, "%s", e.msg);
}

static void expect_same(void)
{
	uint8_t *p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);

	cr_assert_neq(p, MAP_FAILED);
	for (unsigned i = 0; i < PAGES; i++)
		cr_assert_eq(memcmp(p + i * PAGE, m.region[0].host + i * PAGE, PAGE), 0, "page %u",
			     i);
	munmap(p, SIZE);
}

static void fill_some(void)
{
	fill(0, 1);
	fill(7, 2);
	fill(8, 3);
	fill(511, 4);
	fill(512, 5);
	fill(PAGES - 1, 6);
	m.region[0].host[1000 * PAGE + 4095] = 7; /* the last byte counts */
}

Test(memfile, pages_that_hold_something_are_written_and_no_others)
{
	fill_some();
	fill(100, 0); /* touched, and empty */
	write_it(-1, pagemap);
	cr_assert_eq(bytes, 7 * PAGE);
	expect_same();
}

Test(memfile, holes_take_no_room)
{
	struct stat st;

	fill_some();
	write_it(-1, pagemap);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_leq(st.st_blocks * 512, 8 * PAGE);
	cr_assert_eq(st.st_size, SIZE + PAGE);
}

Test(memfile, looking_at_pages_makes_none)
{
	unsigned char resident[PAGES];
	unsigned n = 0;

	fill_some();
	write_it(-1, pagemap);
	cr_assert_eq(mincore(m.region[0].host, SIZE, resident), 0);
	for (unsigned i = 0; i < PAGES; i++)
		n += resident[i] & 1;
	cr_assert_eq(n, 7);
}

Test(memfile, without_a_pagemap_everything_is_looked_at)
{
	fill_some();
	write_it(-1, -1);
	cr_assert_eq(bytes, 7 * PAGE);
	expect_same();
}

static void restore_from(int base)
{
	mem_fini(&m);
	cr_assert_eq(mem_init(&m, SIZE, base, &e), 0);
	fd = memfd_create("again", MFD_CLOEXEC);
}

Test(memfile, a_restored_machines_file_has_what_was_below_and_what_is_its_own)
{
	fill_some();
	write_it(-1, pagemap);
	int base = fd;
	restore_from(base);
	fill(7, 0);     /* emptied */
	fill(8, 9);     /* changed */
	fill(1500, 10); /* new */
	write_it(base, pagemap);
	expect_same();
	close(base);
	base = fd;
	restore_from(base);
	fill(1, 11);
	write_it(base, pagemap);
	expect_same();
	cr_assert_eq(bytes, 8 * PAGE);
	close(base);
}

Test(memfile, what_a_copy_writes_does_not_reach_the_file)
{
	uint8_t b;

	fill_some();
	write_it(-1, pagemap);
	int base = fd;
	restore_from(base);
	fill(7, 99);
	cr_assert_eq(pread(base, &b, 1, 7 * PAGE), 1);
	cr_assert_eq(b, 2);
	close(base);
}

Test(memfile, memory_on_both_sides_of_the_hole_is_one_file)
{
	const uint64_t size = 4096ULL << 20;

	mem_fini(&m);
	cr_assert_eq(mem_init(&m, size, -1, &e), 0);
	m.region[0].host[5] = 1;
	m.region[1].host[6] = 2;
	cr_assert_eq(memfile_write(&m, fd, -1, pagemap, &id, &bytes, &e), 0, "%s", e.msg);
	cr_assert_eq(bytes, 2 * PAGE);
	mem_fini(&m);
	cr_assert_eq(mem_init(&m, size, fd, &e), 0);
	cr_assert_eq(m.region[0].host[5], 1);
	cr_assert_eq(m.region[1].host[6], 2);
}

Test(memfile, only_the_whole_file_of_the_same_snapshot_will_do)
{
	write_it(-1, pagemap);
	cr_assert_eq(memfile_check(fd, SIZE, &other, &e), -EINVAL);
	cr_assert_eq(memfile_check(fd, SIZE - PAGE, &id, &e), -EINVAL);
	cr_assert_eq(ftruncate(fd, SIZE), 0);
	cr_assert_eq(memfile_check(fd, SIZE, &id, &e), -EINVAL);
	cr_assert_eq(ftruncate(fd, SIZE + PAGE), 0);
	cr_assert_eq(memfile_check(fd, SIZE, &id, &e), -EINVAL);
	int pipes[2];
	cr_assert_eq(pipe(pipes), 0);
	cr_assert_eq(memfile_check(pipes[0], SIZE, &id, &e), -EINVAL);
}

Test(memfile, a_full_disk_is_an_error)
{
	int full = open("/dev/full", O_RDWR | O_CLOEXEC);

	cr_assert_lt(memfile_write(&m, full, -1, pagemap, &id, &bytes, &e), 0);
	cr_assert(strstr(e.msg, "memory file"));
}
