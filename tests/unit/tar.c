/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of util/tar.h. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/tar.h"

/* ---- archives made by hand ---- */

static struct tar_reader *reader;
static struct tar_entry *entry;
static uint8_t archive[256 << 10];
static size_t n;

static void set_up(void)
{
	reader = malloc(sizeof(*reader));
	entry = calloc(1, sizeof(*entry));
	tar_reader_init(reader);
	n = 0;
}

static void tear_down(void)
{
	free(reader);
	free(entry);
}

TestSuite(tar, .init = set_up, .fini = tear_down);

static void sum(uint8_t *b)
{
	unsigned s = 0;

	memset(b + 148, ' ', 8);
	for (int i = 0; i < TAR_BLOCK_BYTES; i++)
		s += b[i];
	(void)snprintf((char *)b + 148, 8, "%06o", s);
}

/* A header of the oldest kind, to be spoilt before sum(). */
static uint8_t *header(char type, const char *name, unsigned long size)
{
	uint8_t *b = archive + n;

	memset(b, 0, TAR_BLOCK_BYTES);
	memcpy(b, name, strlen(name));
	memcpy(b + 100, "0000644", 8);
	memcpy(b + 108, "0000000", 8);
	memcpy(b + 116, "0000000", 8);
	char octal[32];
	(void)snprintf(octal, sizeof(octal), "%011lo", size);
	memcpy(b + 124, octal, 12);
	memcpy(b + 136, "00000000000", 12);
	b[156] = (uint8_t)type;
	memcpy(b + 257, "ustar\00000", 8);
	sum(b);
	n += TAR_BLOCK_BYTES;
	return b;
}

static void payload(const void *data, size_t len)
{
	memset(archive + n, 0, len + tar_padding(len));
	memcpy(archive + n, data, len);
	n += len + tar_padding(len);
}

static void pax(const char *records)
{
	header('x', "PaxHeader", strlen(records));
	payload(records, strlen(records));
}

/* ---- reading them ---- */

struct seen {
	int entries, dones;
	char data[64 << 10];
	size_t bytes;
	uint64_t first_offset;
	struct tar_entry *last;
};

/* Reads it all in pieces of the given size. */
static int read_all(size_t piece, struct seen *s)
{
	struct tar_step st;

	*s = (struct seen){.last = NULL};
	for (size_t at = 0; at < n;) {
		size_t len = min_(piece, n - at);

		if (tar_read(reader, archive + at, len, &st) < 0)
			return -EINVAL;
		cr_assert_leq(st.used, len);
		at += st.used;
		if (st.event == TAR_ENTRY) {
			s->entries++;
			*entry = reader->entry;
			s->last = entry;
		}
		if (st.event == TAR_DATA) {
			if (s->bytes == 0)
				s->first_offset = st.offset;
			cr_assert_leq(s->bytes + st.len, sizeof(s->data));
			memcpy(s->data + s->bytes, st.data, st.len);
			s->bytes += st.len;
		}
		s->dones += st.event == TAR_DONE;
	}
	do {
		if (tar_read(reader, archive, 0, &st) < 0)
			return -EINVAL;
		s->dones += st.event == TAR_DONE;
		s->entries += st.event == TAR_ENTRY;
	} while (st.event != TAR_MORE && st.event != TAR_END);
	return 0;
}

static struct seen seen;

static int refused(void)
{
	return read_all(SIZE_MAX, &seen) == -EINVAL && *reader->why;
}

Test(tar, reads_the_same_in_pieces_of_any_size)
{
	static const size_t pieces[] = {1, 7, 511, 512, 513, 4096, SIZE_MAX};

	pax("30 mtime=1234567890.123456789\n19 path=dir/a-name\n");
	header('0', "short", 5);
	payload("hello", 5);
	header('5', "dir/", 0);
	memset(archive + n, 0, TAR_END_BYTES);
	n += TAR_END_BYTES;
	for (size_t i = 0; i < countof(pieces); i++) {
		tar_reader_init(reader);
		cr_assert_eq(read_all(pieces[i], &seen), 0, "%s", reader->why);
		cr_expect_eq(seen.entries, 2);
		cr_expect_eq(seen.dones, 2);
		cr_expect_eq(seen.bytes, 5);
		cr_expect_arr_eq(seen.data, "hello", 5);
		cr_expect_eq(entry->type, TAR_DIR);
		cr_expect_str_eq(entry->path, "dir/");
		cr_expect_eq(entry->mtime_ns, 0, "what was said of one entry is not of the next");
		cr_expect(tar_may_end(reader));
	}
}

Test(tar, extended_headers_win)
{
	pax("30 mtime=1234567890.123456789\n19 path=dir/a-name\n13 uid=70000\n");
	header('0', "short", 0);
	cr_assert_eq(read_all(SIZE_MAX, &seen), 0, "%s", reader->why);
	cr_expect_str_eq(entry->path, "dir/a-name");
	cr_expect_eq(entry->mtime_s, 1234567890);
	cr_expect_eq(entry->mtime_ns, 123456789);
	cr_expect_eq(entry->uid, 70000);
}

Test(tar, times_before_the_epoch_have_their_fraction)
{
	pax("14 mtime=-1.5\n");
	header('0', "f", 0);
	cr_assert_eq(read_all(SIZE_MAX, &seen), 0, "%s", reader->why);
	cr_expect_eq(entry->mtime_s, -2);
	cr_expect_eq(entry->mtime_ns, 500000000);
}

Test(tar, long_names_of_gnu)
{
	char name[301];

	memset(name, 'n', 300);
	name[300] = 0;
	header('L', "././@LongLink", 301);
	payload(name, 301);
	header('K', "././@LongLink", 301);
	payload(name, 301);
	header('2', "short", 0);
	cr_assert_eq(read_all(SIZE_MAX, &seen), 0, "%s", reader->why);
	cr_expect_eq(entry->type, TAR_SYMLINK);
	cr_expect_str_eq(entry->path, name);
	cr_expect_str_eq(entry->link, name);
}

Test(tar, prefix_of_ustar_only)
{
	uint8_t *b = header('0', "name", 0);

	memcpy(b + 345, "prefix", 6);
	sum(b);
	cr_assert_eq(read_all(SIZE_MAX, &seen), 0);
	cr_expect_str_eq(entry->path, "prefix/name");

	tar_reader_init(reader);
	n = 0;
	b = header('0', "name", 0);
	memcpy(b + 257, "ustar  ", 8); /* GNU keeps times there */
	memcpy(b + 345, "prefix", 6);
	sum(b);
	cr_assert_eq(read_all(SIZE_MAX, &seen), 0);
	cr_expect_str_eq(entry->path, "name");
}

Test(tar, binary_numbers)
{
	uint8_t *b = header('0', "f", 0);

	memset(b + 124, 0, 12);
	b[124] = 0x80;
	b[135] = 3;
	memset(b + 136, 0xff, 12); /* -1 */
	sum(b);
	payload("abc", 3);
	cr_assert_eq(read_all(SIZE_MAX, &seen), 0, "%s", reader->why);
	cr_expect_eq(entry->size, 3);
	cr_expect_eq(entry->mtime_s, -1);
}

Test(tar, refuses_negative_and_huge_sizes)
{
	uint8_t *b = header('0', "f", 0);

	memset(b + 124, 0xff, 12);
	sum(b);
	cr_expect(refused());

	tar_reader_init(reader);
	n = 0;
	b = header('0', "f", 0);
	b[124] = 0x80;
	memset(b + 125, 0xff, 11);
	sum(b);
	cr_expect(refused());
}

Test(tar, refuses_negative_sizes_in_extended_headers)
{
	pax("11 size=-1\n");
	header('0', "f", 0);
	cr_expect(refused());
}

Test(tar, refuses_owner_minus_one)
{
	/* chown() takes it for "leave it" */
	pax("18 uid=4294967295\n");
	header('0', "f", 0);
	cr_expect(refused());
}

Test(tar, refuses_extended_headers_that_are_too_large)
{
	header('x', "PaxHeader", TAR_PAX_BYTES + 1);
	cr_expect(refused());
}

Test(tar, refuses_broken_extended_headers)
{
	static const char *const bad[] = {
		"9 path=xy\n",  /* it ends in the middle of a name */
		"20 path=x\n",  /* longer than there is */
		"999 path=x\n", /* beyond the end */
		"0 path=x\n",       "path=x\n", "-9 path=x\n", "99999999999999999999 path=x\n",
		"10 path x\n", /* no '=' */
		"8 path=\n",   /* no name at all */
		"15 mtime=later\n",
	};

	for (size_t i = 0; i < countof(bad); i++) {
		tar_reader_init(reader);
		n = 0;
		pax(bad[i]);
		header('0', "f", 0);
		cr_expect(refused(), "'%s'", bad[i]);
	}
}

Test(tar, refuses_names_with_a_nul)
{
	header('x', "PaxHeader", 12);
	payload("12 path=a\0b\n", 12);
	header('0', "f", 0);
	cr_expect(refused());
}

Test(tar, refuses_what_is_no_archive)
{
	memset(archive, 'x', TAR_BLOCK_BYTES);
	n = TAR_BLOCK_BYTES;
	cr_expect(refused());
}

Test(tar, a_cut_archive_may_not_end)
{
	header('0', "f", 1000);
	payload("abc", 3);
	cr_assert_eq(read_all(SIZE_MAX, &seen), 0);
	cr_expect_not(tar_may_end(reader));

	tar_reader_init(reader);
	n = 0;
	pax("19 path=dir/a-name\n");
	cr_assert_eq(read_all(SIZE_MAX, &seen), 0);
	cr_expect_not(tar_may_end(reader), "an extended header belongs to an entry");
}

Test(tar, the_last_padding_may_be_left_out)
{
	header('0', "f", 3);
	payload("abc", 3);
	n -= tar_padding(3);
	cr_assert_eq(read_all(SIZE_MAX, &seen), 0);
	cr_expect_eq(seen.dones, 1);
	cr_expect(tar_may_end(reader));

	tar_reader_init(reader);
	n = 0;
	pax("19 path=dir/a-name\n");
	n -= tar_padding(19);
	cr_assert_eq(read_all(SIZE_MAX, &seen), 0);
	cr_expect_not(tar_may_end(reader), "an extended header belongs to an entry");
}

Test(tar, old_hard_links_have_a_size_but_no_data)
{
	uint8_t *b = header('1', "b", 1000);

	memcpy(b + 157, "a", 1);
	sum(b);
	header('0', "c", 0);
	cr_assert_eq(read_all(SIZE_MAX, &seen), 0, "%s", reader->why);
	cr_expect_eq(seen.entries, 2);
	cr_expect_eq(seen.bytes, 0);
}

/* ---- sparse files ---- */

static void sparse_head(const char *map, unsigned real, size_t data)
{
	char records[256], line[64];

	(void)snprintf(line, sizeof(line), "GNU.sparse.realsize=%u\n", real);
	(void)snprintf(records, sizeof(records),
		       "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n21 GNU.sparse.name=f\n%zu %s",
		       strlen(line) + 3, line);
	pax(records);
	header('0', "GNUSparseFile.0/f", TAR_BLOCK_BYTES + data);
	payload(map, strlen(map));
	memset(archive + n, 'd', data);
	n += data + tar_padding(data);
}

Test(tar, sparse_data_lies_where_the_map_says)
{
	sparse_head("2\n1000\n5\n5000\n3\n", 9000, 8);
	cr_assert_eq(read_all(SIZE_MAX, &seen), 0, "%s", reader->why);
	cr_expect_eq(seen.first_offset, 1000);
	cr_expect_eq(seen.bytes, 8);
	cr_expect_eq(entry->size, 9000);
	cr_expect_str_eq(entry->path, "f");
}

Test(tar, refuses_impossible_maps)
{
	static const char *const bad[] = {
		"2\n1000\n5\n1000\n3\n", /* overlap */
		"2\n5000\n5\n1000\n3\n", /* backwards */
		"1\n8999\n8\n",          /* behind the end */
		"1\n0\n7\n",             /* less than there is */
		"1\n0\n9\n",             /* more */
		"1\n9223372036854775807\n8\n",
		"1\n-1\n8\n",
		"99999999\n",
		"x\n",
		"\n",
	};

	for (size_t i = 0; i < countof(bad); i++) {
		tar_reader_init(reader);
		n = 0;
		sparse_head(bad[i], 9000, 8);
		cr_expect(refused(), "'%s'", bad[i]);
	}
}

Test(tar, a_map_makes_a_file_sparse)
{
	/* Found by fuzzing: segments of a file that was not taken for a sparse one. */
	pax("28 GNU.sparse.map=1000,5000\n");
	header('0', "f", 5000);
	cr_expect(refused(), "it has no size");
}

/* ---- paths ---- */

static const char *cleaned(const char *path)
{
	static char p[256];

	(void)snprintf(p, sizeof(p), "%s", path);
	return tar_clean(p) < 0 ? "refused" : p;
}

Test(tar, clean_paths_stay_below)
{
	cr_expect_str_eq(cleaned("a/b"), "a/b");
	cr_expect_str_eq(cleaned("./a//b/./c/"), "a/b/c");
	cr_expect_str_eq(cleaned("."), "");
	cr_expect_str_eq(cleaned("./"), "");
	cr_expect_str_eq(cleaned("..a/b.."), "..a/b..");
	cr_expect_str_eq(cleaned("/etc/passwd"), "refused");
	cr_expect_str_eq(cleaned(".."), "refused");
	cr_expect_str_eq(cleaned("a/../b"), "refused");
	cr_expect_str_eq(cleaned("a/.."), "refused");
}

/* ---- writing ---- */

static void write_entry(const char *data)
{
	n += tar_head(entry, archive + n);
	if (entry->sparse) {
		size_t begin = n;

		for (size_t i = 0; i <= entry->n_segments; i++)
			n += tar_map_line(entry, i, (char *)archive + n);
		memset(archive + n, 0, tar_padding(n - begin));
		n += tar_padding(n - begin);
	}
	payload(data, strlen(data));
}

Test(tar, what_is_written_is_read)
{
	struct tar_entry *e = entry;

	*e = (struct tar_entry){.type = TAR_SYMLINK,
				.mode = 04755,
				.uid = 4000000000u,
				.gid = 7,
				.mtime_s = -3,
				.mtime_ns = 250000000};
	memset(e->path, 'p', TAR_NAME_BYTES - 1);
	memset(e->link, 'l', TAR_NAME_BYTES - 1);
	write_entry("");
	cr_assert_eq(read_all(SIZE_MAX, &seen), 0, "%s", reader->why);
	cr_expect_eq(e->type, TAR_SYMLINK);
	cr_expect_eq(e->mode, 04755);
	cr_expect_eq(e->uid, 4000000000u);
	cr_expect_eq(e->mtime_s, -3);
	cr_expect_eq(e->mtime_ns, 250000000);
	cr_expect_eq(strlen(e->path), TAR_NAME_BYTES - 1);
	cr_expect_eq(strlen(e->link), TAR_NAME_BYTES - 1);
}

Test(tar, sizes_beyond_octal_are_written)
{
	struct tar_step st;

	*entry = (struct tar_entry){.type = TAR_FILE, .size = 1ULL << 40, .path = "big"};
	size_t len = tar_head(entry, archive);
	cr_assert_eq(tar_read(reader, archive, len, &st), 0);
	cr_expect_eq(st.event, TAR_ENTRY);
	cr_expect_eq(reader->entry.size, 1ULL << 40);
}

Test(tar, records_count_their_own_length)
{
	/* The length grows a digit where it makes the record as long as the next power of ten. */
	for (size_t len = 80; len < 120; len++) {
		n = 0;
		tar_reader_init(reader);
		*entry = (struct tar_entry){.type = TAR_SYMLINK, .path = "s"};
		memset(entry->link, 'l', len);
		write_entry("");
		cr_assert_eq(read_all(SIZE_MAX, &seen), 0, "%zu: %s", len, reader->why);
		cr_expect_eq(strlen(entry->link), len);
	}
}

Test(tar, a_sparse_file_is_written_and_read)
{
	*entry = (struct tar_entry){
		.type = TAR_FILE, .size = 1 << 20, .sparse = 1, .n_segments = 2, .path = "s"};
	entry->segments[0] = (struct tar_segment){4096, 3};
	entry->segments[1] = (struct tar_segment){1 << 20, 0};
	cr_expect_eq(tar_payload_bytes(entry), TAR_BLOCK_BYTES + 3);
	write_entry("abc");
	cr_assert_eq(read_all(100, &seen), 0, "%s", reader->why);
	cr_expect_eq(seen.first_offset, 4096);
	cr_expect_eq(seen.bytes, 3);
	cr_expect_eq(entry->size, 1 << 20);
}

/* ---- attributes and global records ---- */

static int xattr_is(const char *name, const char *value, size_t len)
{
	struct tar_xattr x;
	int found = 0;

	for (size_t at = 0; tar_next_xattr(reader, &at, &x);)
		if (strcmp(x.name, name) == 0)
			found = x.len == len && memcmp(x.value, value, len) == 0;
	return found;
}

/* Reads on to the next entry. */
static void next_entry(size_t *at)
{
	struct tar_step st;

	do {
		cr_assert_eq(tar_read(reader, archive + *at, n - *at, &st), 0, "%s", reader->why);
		*at += st.used;
	} while (st.event != TAR_ENTRY);
}

Test(tar, attributes_are_those_of_the_entry_and_of_global_records_before_it)
{
	size_t at = 0;

	header('g', "g", 30);
	payload("30 SCHILY.xattr.user.all=one!\n", 30);
	pax("27 SCHILY.xattr.user.a=b=\n\n34 LIBARCHIVE.xattr.u%2e=AAECAw==\n");
	header('0', "first", 0);
	header('0', "second", 0);
	next_entry(&at);
	cr_assert(xattr_is("user.a", "b=\n", 3) && xattr_is("u.", "\0\1\2\3", 4) &&
		  xattr_is("user.all", "one!", 4));
	next_entry(&at);
	cr_assert(xattr_is("user.all", "one!", 4) && !xattr_is("user.a", "b=\n", 3));
}

Test(tar, global_times_and_owners_hold_until_an_entry_says_otherwise)
{
	header('g', "g", 24);
	payload("12 mtime=77\n12 uid=1234\n", 24);
	header('0', "a", 0);
	pax("8 uid=5\n");
	header('0', "b", 0);
	cr_assert_eq(read_all(SIZE_MAX, &seen), 0, "%s", reader->why);
	cr_assert(seen.last->uid == 5 && seen.last->mtime_s == 77);
}

Test(tar, more_global_records_than_the_bound_are_refused)
{
	static char text[TAR_GLOBAL_BYTES + 1];
	memset(text, 'x', sizeof(text));
	memcpy(text, "16384 comment=", 14);
	text[TAR_GLOBAL_BYTES - 1] = '\n';
	header('g', "g", TAR_GLOBAL_BYTES);
	payload(text, TAR_GLOBAL_BYTES);
	header('0', "a", 0);
	cr_assert_eq(read_all(SIZE_MAX, &seen), 0, "%s", reader->why);
	header('g', "g", 11);
	payload("11 comment\n", 11);
	tar_reader_init(reader);
	cr_assert_lt(read_all(SIZE_MAX, &seen), 0);
}

Test(tar, attributes_beyond_the_bound_are_told_and_no_reason_to_stop)
{
	static char text[150000];
	size_t at = 0;

	(void)snprintf(text, sizeof(text), "140000 SCHILY.xattr.user.big=");
	memset(text + strlen(text), 'v', 140000 - strlen(text));
	text[139999] = '\n';
	header('x', "x", 140000);
	payload(text, 140000);
	header('0', "a", 0);
	header('0', "b", 0);
	next_entry(&at);
	cr_assert(reader->xattrs_over);
	next_entry(&at);
	cr_assert_not(reader->xattrs_over);
}

Test(tar, attributes_that_are_no_base64_are_refused)
{
	pax("30 LIBARCHIVE.xattr.user.a=*!\n");
	header('0', "a", 0);
	cr_assert_lt(read_all(SIZE_MAX, &seen), 0);
}

Test(tar, data_can_be_skipped)
{
	static const char data[1000];
	size_t at = 0;

	header('0', "a", 1000);
	payload(data, sizeof(data));
	header('0', "b", 0);
	next_entry(&at);
	cr_assert_eq(tar_skip(reader), 1000);
	at += 1000;
	next_entry(&at);
	cr_assert_str_eq(reader->entry.path, "b");
}
