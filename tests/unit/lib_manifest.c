/* SPDX-License-Identifier: Apache-2.0 */
/* lib_manifest.c - the manifest of a snapshot as text, and the checksums of files. */
#include <sys/mman.h>

#include "lib/box/snapshot.h"
#include "tests/lib/test.h"

enum { ROOM = 64 << 10 };

static char text[ROOM];

static struct manifest sample(void)
{
	struct manifest m = {.version = "0.1.0",
			     .name = "a.box",
			     .id = "0123456789ab",
			     .image = "base",
			     .host = "pvm",
			     .cpu = "c0ffee",
			     .cpu_name = "A CPU (of sorts)",
			     .boot = "8d-4",
			     .memory_mib = 128,
			     .cpus = 2,
			     .created_s = 1763700000,
			     .disk_rate = {UINT64_MAX, 5},
			     .append = (char *)"a=b c%20d\n\x7f",
			     .ndisks = 2};

	m.kernel = (struct layer){.path = (char *)"/boot/vm linux", .is = {1, 2, 3, 4}, .ro = 1};
	m.memory = (struct layer){.path = (char *)"memory", .is = {5, 6, 7, 8}};
	m.disk[0] = (struct layer){.path = (char *)"/i/base.erofs", .is = {9, 9, 9, 9}, .ro = 1};
	m.disk[1] = (struct layer){.path = (char *)"disk-1", .is = {1, 1, 1, UINT64_MAX}};
	memset(m.disk[1].sum, 'e', SHA256_TEXT_BYTES - 1);
	return m;
}

static size_t print(const struct manifest *m)
{
	ssize_t n = manifest_print(m, text, sizeof(text));

	cr_assert_gt(n, 0);
	return (size_t)n;
}

/* The text again with a checksum that fits. */
static size_t resum(size_t len)
{
	struct sha256 s;
	char *sum;

	text[len] = 0;
	for (sum = text + len; strncmp(sum, "sum=", 4) != 0 || sum[-1] != '\n'; sum--)
		;
	sha256_init(&s);
	sha256_add(&s, text, (size_t)(sum - text));
	sha256_end(&s, sum + 4);
	sum[4 + SHA256_TEXT_BYTES - 1] = '\n';
	return (size_t)(sum - text) + 4 + SHA256_TEXT_BYTES;
}

static int parse(size_t len, struct manifest *m)
{
	return manifest_parse(text, len, m, NULL);
}

Test(lib_manifest, what_is_written_is_read_again)
{
	struct manifest a = sample(), b;

	cr_assert_eq(parse(print(&a), &b), 0);
	cr_expect_str_eq(b.name, a.name);
	cr_expect_str_eq(b.cpu_name, a.cpu_name);
	cr_expect_str_eq(b.append, a.append);
	cr_expect_eq(b.disk_rate[0], UINT64_MAX);
	cr_expect_str_eq(b.kernel.path, "/boot/vm linux");
	cr_expect_eq(b.kernel.is.mtime_ns, 4);
	cr_expect_eq(b.kernel.ro, 1);
	cr_expect_null(b.initrd.path);
	cr_expect_eq(b.ndisks, 2);
	cr_expect_str_eq(b.disk[1].path, "disk-1");
	cr_expect_str_eq(b.disk[1].sum, a.disk[1].sum);
	cr_expect_str_eq(b.disk[0].sum, "");
	cr_expect_eq(b.disk[1].ro, 0);
}

Test(lib_manifest, a_longest_one_fits)
{
	static char path[LAYER_PATH_BYTES], room[MANIFEST_MAX_BYTES];
	struct manifest m = sample(), back;

	memset(path, '%', sizeof(path) - 1);
	path[0] = '/';
	m.ndisks = countof(m.disk);
	for (size_t i = 0; i < countof(m.disk); i++)
		m.disk[i] = (struct layer){.path = path, .ro = 1};
	m.kernel.path = m.initrd.path = path;
	ssize_t n = manifest_print(&m, room, sizeof(room));
	cr_assert_gt(n, 0);
	cr_expect_eq(manifest_parse(room, (size_t)n, &back, NULL), 0);
	cr_expect_str_eq(back.disk[15].path, path);
	cr_expect_eq(manifest_print(&m, text, sizeof(text)), -ENOSPC,
		     "and too little room is said");
}

Test(lib_manifest, every_single_damaged_byte_is_found)
{
	struct manifest a = sample(), b;
	size_t len = print(&a);
	char *whole = malloc(len);

	memcpy(whole, text, len);
	for (size_t i = 0; i < len; i++) {
		memcpy(text, whole, len);
		text[i] ^= 1;
		cr_expect_eq(parse(len, &b), -EBADMSG, "byte %zu", i);
	}
	free(whole);
}

Test(lib_manifest, every_truncation_is_found)
{
	struct manifest a = sample(), b;
	size_t len = print(&a);
	char *whole = malloc(len);

	memcpy(whole, text, len);
	for (size_t i = 0; i < len; i++) {
		memcpy(text, whole, len);
		cr_expect_eq(parse(i, &b), -EBADMSG, "%zu bytes", i);
	}
	free(whole);
}

Test(lib_manifest, what_makes_no_sense_is_refused_whatever_its_checksum)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{"conker-snapshot 1", "conker-snapshot 2"},
		{"memory_mib=128", "memory_mib=0"},
		{"memory_mib=128", "memory_mib=99999999999"},
		{"memory_mib=128", "memory_mib=-1"},
		{"memory_mib=128", "memory_mib=99999999999999999999999"},
		{"memory_mib=128", "memory_mib=1 "},
		{"cpus=2", "cpus=0"},
		{"cpus=2", "cpus=2\ncpus=2"},
		{"cpus=2", "cpuz=2"},
		{"cpus=2", "cpus"},
		{"name=a.box", "name="},
		{"name=a.box", "name=../x"},
		{"id=0123456789ab", "id=../../x"},
		{"id=0123456789ab", "id=0123456789abcdef0123456789abcdef"},
		{"host=pvm", "host=p\x01m"},
		{" memory\n", " ../memory\n"},
		{" memory\n", " a/b\n"},
		{" memory\n", " ..\n"},
		{" memory\n", " \n"},
		{" disk-1\n", " disk%2\n"},
		{" disk-1\n", " disk%00\n"},
		{" disk-1\n", " disk%0a\n"},
		{"disk=ro 9", "disk=rw 9"}, /* the image can be written */
		{"disk=ro 9", "disk=xx 9"},
		{"ro 9:9:9:9 -", "ro 9:9:9 -"},
		{"ro 9:9:9:9 -", "ro 9:9:9:9 x"},
		{"ro 9:9:9:9 -", "ro 9:9:9:9 eeee"},
		{"ro 9:9:9:9 -", "ro 9:9:9:9:9 -"},
	};

	for (size_t i = 0; i < countof(cases); i++) {
		struct manifest a = sample(), b;
		size_t len = print(&a), from = strlen(cases[i].from), to = strlen(cases[i].to);

		text[len] = 0;
		char *at = strstr(text, cases[i].from);
		cr_assert(at, "case %zu", i);
		memmove(at + to, at + from, len - (size_t)(at - text) - from);
		memcpy(at, cases[i].to, to);
		cr_expect_eq(parse(resum(len - from + to), &b), -EBADMSG, "case %zu: %s", i,
			     cases[i].to);
	}
}

Test(lib_manifest, one_without_an_image_is_refused)
{
	struct manifest a = sample(), b;

	a.ndisks = 0;
	cr_expect_eq(parse(print(&a), &b), -EBADMSG);
}

/* ---- checksums ------------------------------------------------------------------------------- */

Test(lib_manifest, checksums_are_those_of_sha256sum)
{
	char sum[SHA256_TEXT_BYTES];
	struct sha256 s;

	sha256_init(&s);
	sha256_end(&s, sum);
	cr_expect_str_eq(sum, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256_init(&s);
	sha256_add(&s, "ab", 2);
	sha256_add(&s, "c", 1);
	sha256_end(&s, sum);
	cr_expect_str_eq(sum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_init(&s);
	for (int i = 0; i < 1000000; i++)
		sha256_add(&s, "a", 1);
	sha256_end(&s, sum);
	cr_expect_str_eq(sum, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static int memory_file(size_t bytes)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	cr_assert(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
	return fd;
}

Test(lib_manifest, a_copy_without_holes_has_the_same_sparse_checksum)
{
	enum { BYTES = 1 << 20 };
	static char zeroes[BYTES];
	char a[SHA256_TEXT_BYTES], b[SHA256_TEXT_BYTES];
	int holes = memory_file(BYTES), full = memory_file(BYTES);

	cr_assert_eq(pwrite(full, zeroes, BYTES, 0), BYTES);
	cr_assert_eq(pwrite(holes, "x", 1, 70000), 1);
	cr_assert_eq(pwrite(full, "x", 1, 70000), 1);
	cr_assert_eq(layer_sum_sparse(holes, a), 0);
	cr_assert_eq(layer_sum_sparse(full, b), 0);
	cr_expect_str_eq(a, b);
	cr_assert_eq(pwrite(full, "y", 1, 70000), 1);
	cr_assert_eq(layer_sum_sparse(full, b), 0);
	cr_expect_str_neq(a, b, "another byte");
	cr_assert_eq(pwrite(full, "\0", 1, 70000), 1);
	cr_assert_eq(pwrite(full, "x", 1, 70000 + 4096), 1);
	cr_assert_eq(layer_sum_sparse(full, b), 0);
	cr_expect_str_neq(a, b, "the same byte elsewhere");
	close(holes);
	close(full);
}
