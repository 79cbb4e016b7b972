/* SPDX-License-Identifier: Apache-2.0 */
/* parts: which file of a joined disk has a byte. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "vmm/disk/parts.h"

enum { BLOCK = PART_BLOCK_BYTES, MANY = 513 };

static void is_at(const struct parts *p, uint64_t off, int fd, uint64_t in_file, uint64_t left)
{
	struct extent at = parts_at(p, off);

	cr_expect_eq(at.fd, fd, "at %llu: %d", (unsigned long long)off, at.fd);
	cr_expect_eq(at.off_bytes, in_file, "at %llu", (unsigned long long)off);
	cr_expect_eq(at.len_bytes, left, "at %llu", (unsigned long long)off);
}

Test(parts, one_file_is_all_of_the_disk)
{
	struct parts *p = parts_new(1);

	cr_assert_eq(parts_bytes(p), 0);
	cr_assert_eq(parts_add(p, 7, 3 * BLOCK), 0);
	cr_assert_eq(parts_bytes(p), 3 * BLOCK);
	is_at(p, 0, 7, 0, 3 * BLOCK);
	is_at(p, 1, 7, 1, 3 * BLOCK - 1);
	is_at(p, 3 * BLOCK - 1, 7, 3 * BLOCK - 1, 1);
	parts_free(p);
}

Test(parts, at_an_edge_the_next_file_begins)
{
	struct parts *p = parts_new(3);

	cr_assert_eq(parts_add(p, 1, BLOCK), 0);
	cr_assert_eq(parts_add(p, 2, 2 * BLOCK), 0);
	cr_assert_eq(parts_add(p, 3, BLOCK), 0);
	is_at(p, BLOCK - 1, 1, BLOCK - 1, 1);
	is_at(p, BLOCK, 2, 0, 2 * BLOCK);
	is_at(p, 3 * BLOCK - 512, 2, 2 * BLOCK - 512, 512);
	is_at(p, 3 * BLOCK, 3, 0, BLOCK);
	is_at(p, 4 * BLOCK - 1, 3, BLOCK - 1, 1);
	parts_free(p);
}

Test(parts, an_empty_file_has_no_byte_wherever_it_is)
{
	struct parts *p = parts_new(6);
	static const unsigned blocks[] = {0, 1, 0, 0, 2, 0};

	for (int i = 0; i < 6; i++)
		cr_assert_eq(parts_add(p, 10 + i, blocks[i] * BLOCK), 0);
	cr_assert_eq(parts_bytes(p), 3 * BLOCK);
	is_at(p, 0, 11, 0, BLOCK);
	is_at(p, BLOCK - 1, 11, BLOCK - 1, 1);
	is_at(p, BLOCK, 14, 0, 2 * BLOCK);
	is_at(p, 3 * BLOCK - 1, 14, 2 * BLOCK - 1, 1);
	parts_free(p);
}

/* Of random sizes, each byte at an edge and a random one between, against adding up. */
Test(parts, of_513_files_each_is_found)
{
	struct parts *p = parts_new(MANY);
	uint64_t size[MANY], start = 0;

	srand(1);
	for (int i = 0; i < MANY; i++) {
		size[i] = (uint64_t)(rand() % 5) * BLOCK;
		cr_assert_eq(parts_add(p, i, size[i]), 0);
	}
	for (int i = 0; i < MANY; start += size[i], i++) {
		if (!size[i])
			continue;
		uint64_t mid = (uint64_t)rand() % size[i];

		is_at(p, start, i, 0, size[i]);
		is_at(p, start + mid, i, mid, size[i] - mid);
		is_at(p, start + size[i] - 1, i, size[i] - 1, 1);
	}
	cr_assert_eq(parts_bytes(p), start);
	parts_free(p);
}

Test(parts, what_is_not_whole_blocks_or_too_much_is_refused)
{
	const uint64_t most = INT64_MAX - INT64_MAX % BLOCK;
	struct parts *p = parts_new(2);

	cr_expect_eq(parts_add(p, 1, 1), -EINVAL);
	cr_expect_eq(parts_add(p, 1, BLOCK - 512), -EINVAL);
	cr_expect_eq(parts_add(p, 1, BLOCK + 1), -EINVAL);
	cr_expect_eq(parts_bytes(p), 0);
	cr_expect_eq(parts_add(p, 1, most), 0);
	cr_expect_eq(parts_add(p, 2, BLOCK), -EOVERFLOW);
	cr_expect_eq(parts_add(p, 2, UINT64_MAX - BLOCK + 1), -EOVERFLOW);
	cr_expect_eq(parts_add(p, 2, 0), 0);
	cr_expect_eq(parts_bytes(p), most);
	is_at(p, most - 1, 1, most - 1, 1);
	parts_free(p);
}
