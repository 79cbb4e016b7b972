/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of proto/files.h. */
#include "proto/files.h"
#include "tests/lib/test.h"

static uint8_t buf[FILES_RECORD_MAX];

static int put(const struct files_record *r)
{
	int len = files_put(r, buf);

	cr_assert_gt(len, 0);
	return len;
}

static int take(size_t len, struct files_record *r)
{
	size_t used = 0;
	/* Exactly that long, so that a sanitizer sees a read beyond it. */
	uint8_t *exact = malloc(len ? len : 1);

	memcpy(exact, buf, len);
	int got = files_take(exact, len, r, &used);
	if (got == 1)
		cr_expect_leq(used, len);
	free(exact);
	return got;
}

static const struct files_record sample = {
	.kind = FILES_ENTRY,
	.mode = 0100644,
	.uid = 1,
	.gid = UINT32_MAX,
	.nlink = 3,
	.bytes = UINT64_MAX,
	.allocated_bytes = 4096,
	.mtime_us = -1,
	.name = "na\xff\nme",
	.target = "",
};

Test(files, what_is_put_is_taken)
{
	struct files_record r;
	size_t used, len = (size_t)put(&sample);

	cr_assert_eq(files_take(buf, len, &r, &used), 1);
	cr_expect_eq(used, len);
	cr_expect_eq(r.kind, FILES_ENTRY);
	cr_expect_eq(r.mode, 0100644);
	cr_expect_eq(r.gid, UINT32_MAX);
	cr_expect_eq(r.bytes, UINT64_MAX);
	cr_expect_eq(r.mtime_us, -1);
	cr_expect_str_eq(r.name, sample.name);
	cr_expect_str_eq(r.target, "");
}

Test(files, asks_for_more_until_it_is_whole)
{
	struct files_record r;
	size_t len = (size_t)put(&sample);

	for (size_t i = 0; i < len; i++)
		cr_expect_eq(take(i, &r), 0, "%zu", i);
	cr_expect_eq(take(len, &r), 1);
}

Test(files, refuses_lengths_that_do_not_add_up)
{
	struct files_record r;
	size_t len = (size_t)put(&sample);
	static const size_t at[] = {0, 1, 2, 3, 8, 9, 10, 11};

	for (size_t i = 0; i < countof(at); i++)
		for (unsigned v = 1; v < 256; v++) {
			put(&sample);
			buf[at[i]] ^= (uint8_t)v;
			cr_expect_neq(take(len, &r), 1, "byte %zu ^ %u", at[i], v);
		}
}

Test(files, refuses_unknown_kinds_and_changes)
{
	static const struct {
		unsigned kind, change;
		int want;
	} cases[] = {
		{0, 0, -EPROTO},
		{FILES_CHANGE + 1, 0, -EPROTO},
		{FILES_ENTRY, 1, -EPROTO},
		{FILES_READY, 0, 1},
		{FILES_CHANGE, 0, -EPROTO},
		{FILES_CHANGE, FILES_OVERFLOW, 1},
		{FILES_CHANGE, FILES_OVERFLOW + 1, -EPROTO},
	};
	struct files_record r;

	for (size_t i = 0; i < countof(cases); i++) {
		size_t len = (size_t)put(&sample);

		buf[4] = (uint8_t)cases[i].kind;
		buf[5] = (uint8_t)cases[i].change;
		cr_expect_eq(take(len, &r), cases[i].want, "case %zu", i);
	}
}

Test(files, refuses_strings_with_a_nul_or_without_their_own)
{
	struct files_record r;
	size_t len = (size_t)put(&sample);

	buf[4 + FILES_FIXED_BYTES] = 0;
	cr_expect_eq(take(len, &r), -EPROTO);
	put(&sample);
	buf[len - 1] = 'x';
	cr_expect_eq(take(len, &r), -EPROTO);
	put(&sample);
	buf[len - 2] = 'x';
	cr_expect_eq(take(len, &r), -EPROTO);
}

Test(files, names_have_a_limit)
{
	static char name[FILES_STRING_MAX + 2];
	struct files_record r = sample;

	memset(name, 'n', FILES_STRING_MAX);
	r.name = r.target = name;
	cr_expect_eq(put(&r), FILES_RECORD_MAX);
	cr_expect_eq(take(FILES_RECORD_MAX, &r), 1);
	name[FILES_STRING_MAX] = 'n';
	r.name = name;
	r.target = "";
	cr_expect_eq(files_put(&r, buf), -ENAMETOOLONG);
}
