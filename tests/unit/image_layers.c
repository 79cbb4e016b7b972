/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of image/layer.h, inflate.h, data.h and of tree.h but for what hides: what entries say is what the box will see. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/image_case.h"
#include "util/erofs.h"
#include "util/tar.h"

TestSuite(image_layers, .init = set_up, .fini = tear_down);

/* ---- what an entry has ---- */

Test(image_layers, owners_modes_times_and_numbers_are_those_of_the_entry)
{
	struct bytes x = {0};

	pax(&x, "mtime", "1234567890.000000007", 20);
	pax(&x, "uid", "4000000000", 10);
	tar_put(&t, &(struct tar_item){.type = '0',
				       .name = "su",
				       .mode = 04755,
				       .gid = 7,
				       .pax = (char *)x.p,
				       .pax_len = x.len});
	bytes_free(&x);
	pax(&x, "mtime", "-1.25", 5);
	tar_put(&t, &(struct tar_item){
			    .type = '0', .name = "old", .pax = (char *)x.p, .pax_len = x.len});
	bytes_free(&x);
	tar_put(&t, &(struct tar_item){
			    .type = '3', .name = "null", .mode = 0666, .major = 1, .minor = 3});
	tar_put(&t, &(struct tar_item){.type = '4', .name = "disk", .major = 259, .minor = 70000});
	tar_put(&t, &(struct tar_item){.type = '6', .name = "pipe"});
	tar_put(&t, &(struct tar_item){.type = '5', .name = "tmp", .mode = 01777});
	tar_link(&t, '2', "link", "su");
	apply();
	make_disk();
	struct erofs_stat s = there("su");
	cr_assert(s.mode == (S_IFREG | 04755) && s.uid == 4000000000 && s.gid == 7 && s.nlink == 1);
	cr_assert(s.mtime_s == 1234567890 && s.mtime_ns == 7);
	s = there("old");
	cr_assert(s.mtime_s == -2 && s.mtime_ns == 750000000);
	cr_assert_eq(there("null").mode, (S_IFCHR | 0666));
	cr_assert_eq(there("null").rdev, 1 << 8 | 3);
	cr_assert_eq(there("disk").rdev, (259U << 8 | (70000 & 0xff) | (70000U & ~0xffU) << 12));
	cr_assert_eq(there("pipe").mode, (S_IFIFO | 0644));
	cr_assert_eq(there("tmp").mode, (S_IFDIR | 01777));
	cr_assert_eq(there("link").mode, (S_IFLNK | 0777)); /* Linux knows no other */
}

Test(image_layers, attributes_come_by_both_keys_and_from_global_records)
{
	static const uint8_t cap[] = {1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0,
				      0, 0, 0, 0, 0, 0,    0, 0, 0, 0};
	struct bytes x = {0}, g = {0};
	char buf[64];
	size_t len;

	pax(&g, "SCHILY.xattr.user.all", "everywhere", 10);
	pax(&g, "SCHILY.xattr.user.over", "global", 6);
	pax(&g, "path", "ignored", 7);
	tar_put(&t, &(struct tar_item){.type = 'g', .name = "g", .data = g.p, .len = g.len});
	pax(&x, "SCHILY.xattr.security.capability", cap, sizeof(cap));
	pax(&x, "SCHILY.xattr.user.over", "own", 3);
	pax(&x, "LIBARCHIVE.xattr.trusted.a%20b", "AAEC/w==", 8);
	pax(&x, "SCHILY.xattr.system.nfs4_acl", "x", 1);
	pax(&x, "SCHILY.xattr.trusted.overlay.opaque", "y", 1);
	tar_put(&t,
		&(struct tar_item){.type = '0', .name = "f", .pax = (char *)x.p, .pax_len = x.len});
	tar_file(&t, "next", "");
	apply();
	make_disk();
	struct erofs_stat s = there("f");
	cr_assert(erofs_getxattr(&disk, &s, "security.capability", buf, sizeof(buf), &len));
	cr_assert(len == sizeof(cap) && memcmp(buf, cap, len) == 0);
	cr_assert(erofs_getxattr(&disk, &s, "trusted.a b", buf, sizeof(buf), &len));
	cr_assert(len == 4 && memcmp(buf, "\0\1\2\377", 4) == 0);
	cr_assert(erofs_getxattr(&disk, &s, "user.over", buf, sizeof(buf), &len));
	cr_assert(len == 3 && memcmp(buf, "own", 3) == 0);
	cr_assert_not(erofs_getxattr(&disk, &s, "trusted.overlay.opaque", buf, sizeof(buf), &len));
	s = there("next");
	cr_assert(erofs_getxattr(&disk, &s, "user.over", buf, sizeof(buf), &len) && len == 6);
	cr_assert_not(erofs_getxattr(&disk, &s, "security.capability", buf, sizeof(buf), &len));
	cr_assert_eq(m->layers[0].xattrs_left_out, 2);
	bytes_free(&x);
	bytes_free(&g);
}

Test(image_layers, attributes_beyond_the_bound_are_refused)
{
	static char value[60000];
	struct bytes x = {0};

	memset(value, 'v', sizeof(value));
	pax(&x, "SCHILY.xattr.user.a", value, sizeof(value));
	pax(&x, "SCHILY.xattr.user.b", value, 5000);
	tar_put(&t, &(struct tar_item){
			    .type = '0', .name = "fits", .pax = (char *)x.p, .pax_len = x.len});
	pax(&x, "SCHILY.xattr.user.c", value, 5000);
	tar_put(&t, &(struct tar_item){
			    .type = '0', .name = "much", .pax = (char *)x.p, .pax_len = x.len});
	refused(E2BIG, "'much': attribute 'user.c'");
	bytes_free(&x);
}

Test(image_layers, names_have_any_bytes_and_any_length_that_linux_knows)
{
	char name[256], path[1024], target[4096];

	memset(name, 'n', 255);
	name[255] = 0;
	(void)snprintf(path, sizeof(path), "%s/%s/\377\1 \n", name, name);
	memset(target, 't', 4095);
	target[4095] = 0;
	tar_file(&t, path, "x");
	tar_link(&t, '2', "long", target);
	tar_link(&t, '2', "longer", target + 40);
	tar_file(&t, "-first", "sorts before the dots");
	tar_file(&t, "!", "likewise");
	apply();
	make_disk();
	has_text(path, "x");
	has_text("long", target);
	has_text("longer", target + 40);
	has_text("!", "likewise");
}

Test(image_layers, a_name_of_256_bytes_is_refused)
{
	char name[257];

	memset(name, 'n', 256);
	name[256] = 0;
	tar_file(&t, name, "x");
	refused(ENAMETOOLONG, "a name of more than 255 bytes");
}

Test(image_layers, depth_has_a_bound)
{
	char path[2 * LIMIT_DEPTH + 8] = "";

	for (int i = 0; i < LIMIT_DEPTH; i++)
		memcpy(path + 2 * (ptrdiff_t)i, "d/", 3);
	memcpy(path + 2 * (ptrdiff_t)LIMIT_DEPTH, "f", 2);
	tar_file(&t, path, "x");
	apply();
	memcpy(path + 2 * (ptrdiff_t)LIMIT_DEPTH, "d/f", 4);
	tar_file(&t, path, "x");
	refused(ENAMETOOLONG, "deeper than 256 directories");
}

Test(image_layers, sizes_around_a_block_and_large_directories_are_read_back)
{
	static char data[20000];
	char name[64];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + i / 4096 + 1);
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 8192, 20000};
	for (size_t i = 0; i < countof(sizes); i++) {
		(void)snprintf(name, sizeof(name), "s%zu", i);
		tar_put(&t, &(struct tar_item){
				    .type = '0', .name = name, .data = data, .len = sizes[i]});
	}
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "dir%d/a-name-of-some-length-%d", i % 3, i);
		tar_file(&t, name, name);
	}
	apply();
	make_disk();
	for (size_t i = 0; i < countof(sizes); i++) {
		static char buf[20000];

		(void)snprintf(name, sizeof(name), "s%zu", i);
		struct erofs_stat s = there(name);
		cr_assert_eq(s.size, sizes[i]);
		cr_assert(erofs_read(&disk, &s, buf, sizeof(buf)) == sizes[i] &&
			  memcmp(buf, data, sizes[i]) == 0);
	}
	has_text("dir1/a-name-of-some-length-997", "dir1/a-name-of-some-length-997");
	cr_assert_gt(there("dir1").size, 4096);
}

/* Directories of every size around a block: the tail of one may be all of a block. */
Test(image_layers, a_directory_of_any_size_is_one)
{
	char name[256], path[300];

	memset(name, 'x', sizeof(name));
	for (int d = 0; d < 120; d++) {
		for (int i = 0; i < 18; i++) {
			(void)snprintf(path, sizeof(path), "d%03d/%02d%.*s", d, i,
				       i == 17 ? 60 + d : 200, name);
			tar_file(&t, path, "");
		}
	}
	apply();
	make_disk();
	cr_assert_eq(m->meta.inodes, 1 + 120 * 19);
}

Test(image_layers, more_than_65535_inodes_keep_the_root_where_16_bits_reach)
{
	char name[32];

	for (int i = 0; i < 70000; i++) {
		(void)snprintf(name, sizeof(name), "d%d/f%d", i % 100, i);
		tar_file(&t, name, "");
	}
	apply();
	make_disk();
	cr_assert_eq(m->meta.inodes, 70000 + 100 + 1);
	cr_assert_leq(erofs_root_nid(&disk), UINT16_MAX);
	cr_assert(is_there("d99/f69999"));
}

Test(image_layers, a_sparse_file_keeps_its_holes_and_costs_no_disk)
{
	struct bytes x = {0};
	static char data[TAR_BLOCK_BYTES + 10000], buf[10000];
	struct stat st;

	memset(data, 0, sizeof(data));
	(void)snprintf(data, sizeof(data), "2\n1000000\n5000\n1073741824\n5000\n");
	memset(data + TAR_BLOCK_BYTES, 'a', 5000);
	memset(data + TAR_BLOCK_BYTES + 5000, 'b', 5000);
	pax(&x, "GNU.sparse.major", "1", 1);
	pax(&x, "GNU.sparse.minor", "0", 1);
	pax(&x, "GNU.sparse.name", "big", 3);
	pax(&x, "GNU.sparse.realsize", "2147483648", 10);
	tar_put(&t, &(struct tar_item){.type = '0',
				       .name = "made-up",
				       .data = data,
				       .len = sizeof(data),
				       .pax = (char *)x.p,
				       .pax_len = x.len});
	apply();
	make_disk();
	bytes_free(&x);
	struct erofs_stat s = there("big");
	cr_assert(s.size == 2147483648 && s.layout == 4);
	cr_assert_eq(fstat(m->data[0], &st), 0);
	cr_assert_lt(st.st_blocks * 512, 1 << 20);
	char *all = malloc(1100000);
	cr_assert_eq(erofs_read(&disk, &s, all, 1100000), 1100000);
	memset(buf, 'a', sizeof(buf));
	cr_assert(all[999999] == 0 && memcmp(all + 1000000, buf, 5000) == 0 && all[1005000] == 0);
	free(all);
	cr_assert_gt(m->meta.bytes, 4 * 32768);
}

Test(image_layers, zeros_of_an_archive_cost_no_disk)
{
	static char zeros[1 << 20];
	struct stat st;

	tar_put(&t, &(struct tar_item){
			    .type = '0', .name = "zeros", .data = zeros, .len = sizeof(zeros)});
	tar_file(&t, "f", "x");
	apply();
	make_disk();
	has_text("f", "x");
	cr_assert_eq(there("zeros").size, sizeof(zeros));
	cr_assert_eq(fstat(m->data[0], &st), 0);
	cr_assert_leq(st.st_blocks * 512, 16384);
}

/* ---- links ---- */

Test(image_layers, hard_links_reach_over_layers_and_outlive_their_other_name)
{
	tar_file(&t, "d/a", "text");
	tar_link(&t, '1', "b", "d/a");
	apply();
	tar_link(&t, '1', "new/c", "./b"); /* and no entry for its directory */
	tar_link(&t, '1', "abs", "/d/a");
	apply();
	tar_file(&t, "d/.wh.a", "");
	tar_file(&t, ".wh.b", "");
	apply();
	make_disk();
	cr_assert(!is_there("d/a") && !is_there("b"));
	has_text("new/c", "text");
	cr_assert_eq(there("new/c").nlink, 2);
	cr_assert_eq(there("new/c").nid, there("abs").nid);
	cr_assert_eq(there("new").mode, (S_IFDIR | 0755));
}

Test(image_layers, a_hard_link_is_not_followed_at_its_end)
{
	tar_file(&t, "f", "x");
	tar_link(&t, '2', "link", "f");
	tar_link(&t, '1', "hard", "link");
	apply();
	make_disk();
	cr_assert_eq(there("hard").nid, there("link").nid);
}

Test(image_layers, a_hard_link_may_replace_what_holds_its_target)
{
	tar_file(&t, "d/x", "x");
	apply();
	tar_link(&t, '1', "d", "d/x");
	apply();
	tar_link(&t, '1', "d", "d"); /* to itself: nothing */
	apply();
	make_disk();
	has_text("d", "x");
	cr_assert_eq(there("d").nlink, 1);
}

Test(image_layers, hard_links_to_nothing_out_of_the_image_or_in_a_circle_are_refused)
{
	tar_link(&t, '1', "a", "b");
	tar_link(&t, '1', "b", "a");
	refused(ENOENT, "'a': a hard link to 'b', which is not there");
	tar_link(&t, '1', "a", "../../etc/passwd");
	refused(EINVAL, "leads out of the image");
	tar_link(&t, '1', "a", "etc/passwd");
	refused(ENOENT, "which is not there");
	tar_dir(&t, "dir");
	tar_link(&t, '1', "a", "dir");
	refused(EPERM, "a hard link to the directory 'dir'");
}

/* ---- hostile paths ---- */

Test(image_layers, paths_never_lead_out)
{
	tar_file(&t, "/abs", "absolute");
	tar_file(&t, "./a//./b", "odd");
	tar_link(&t, '2', "out", "../../../..");
	tar_link(&t, '2', "root", "/");
	tar_file(&t, "out/x", "clamped");
	tar_file(&t, "root/y", "clamped");
	apply();
	make_disk();
	has_text("abs", "absolute");
	has_text("a/b", "odd");
	has_text("x", "clamped");
	has_text("y", "clamped");
	tar_file(&t, "a/../../x", "");
	refused(EINVAL, "'a/../../x': leads out of the image");
}

Test(image_layers,
     links_that_lead_in_circles_or_nowhere_are_replaced_by_the_directory_that_is_meant)
{
	tar_link(&t, '2', "a", "b");
	tar_link(&t, '2', "b", "a");
	tar_link(&t, '2', "self", "self/self/self");
	tar_link(&t, '2', "dangling", "nowhere");
	tar_file(&t, "file", "");
	apply();
	tar_file(&t, "a/x", "1");
	tar_file(&t, "self/x", "2");
	tar_file(&t, "dangling/x", "3");
	tar_file(&t, "file/x", "4");
	apply();
	make_disk();
	has_text("a/x", "1");
	has_text("self/x", "2");
	has_text("dangling/x", "3");
	has_text("file/x", "4");
}

Test(image_layers, duplicates_in_a_layer_are_settled_by_the_last)
{
	tar_file(&t, "a", "1");
	tar_file(&t, "a", "2");
	tar_dir(&t, "b");
	tar_file(&t, "b/x", "");
	tar_file(&t, "b", "file");
	tar_file(&t, "c", "file");
	tar_dir(&t, "c");
	apply();
	make_disk();
	has_text("a", "2");
	has_text("b", "file");
	cr_assert(S_ISDIR(there("c").mode));
}

Test(image_layers, a_root_that_is_no_directory_is_refused)
{
	tar_link(&t, '2', "./", "x");
	refused(EINVAL, "the root of the image is not a directory");
	tar_put(&t, &(struct tar_item){.type = '5', .name = "./", .mode = 0700, .uid = 5});
	apply();
	make_disk();
	cr_assert(there("").uid == 5 && there("").mode == (S_IFDIR | 0700));
}

Test(image_layers, devices_that_linux_does_not_have_are_refused)
{
	tar_put(&t, &(struct tar_item){.type = '3', .name = "dev", .major = 4096, .minor = 0});
	refused(ERANGE, "'dev': a device with numbers that Linux does not have");
}

/* ---- bounds ---- */

Test(image_layers, entries_have_a_bound_in_all_layers_together)
{
	m->limits.entries = 3;
	tar_file(&t, "a", "");
	tar_file(&t, "b", "");
	apply();
	tar_file(&t, "c", "");
	tar_file(&t, "d", "");
	refused(E2BIG, "'d': more than 3 entries");
}

Test(image_layers, ways_through_links_have_a_bound_in_all_layers_together)
{
	m->tree.steps_max = 100;
	tar_dir(&t, "d");
	tar_link(&t, '2', "a", "d/../d/../d/../b");
	tar_link(&t, '2', "b", "d/../d/../d");
	for (int i = 0; i < 10; i++)
		tar_file(&t, "a/x", "");
	refused(ELOOP, "'a/x': more than 100 names on the ways through links");
}

Test(image_layers, bytes_have_a_bound)
{
	static char data[100000];

	memset(data, 1, sizeof(data));
	m->limits.bytes = 50000;
	tar_put(&t,
		&(struct tar_item){.type = '0', .name = "big", .data = data, .len = sizeof(data)});
	refused(EFBIG, "more than 50000 bytes");
}

Test(image_layers, a_bomb_is_refused_by_its_ratio)
{
	struct bytes z = {0};
	static char zeros[1 << 20];

	m->limits.ratio = 100;
	for (int i = 0; i < 300; i++)
		tar_put(&t,
			&(struct tar_item){
				.type = '0', .name = "zeros", .data = zeros, .len = sizeof(zeros)});
	bytes_gzip(&t, &z);
	cr_assert_eq(made_layer(m, &z), -EFBIG);
	cr_assert(strstr(m->e.msg,
			 "behind 'zeros': more than 100 times as large as it is compressed"),
		  "%s", m->e.msg);
	bytes_free(&z);
}

/* ---- compression ---- */

Test(image_layers, gzip_zstd_and_plain_are_told_apart_and_may_have_several_parts)
{
	struct bytes first = {0}, second = {0}, z[3] = {{0}};
	char plain[SHA256_TEXT_BYTES];

	tar_file(&first, "a", "first");
	tar_file(&second, "b", "second");
	tar_end(&second);
	bytes_gzip(&first, &z[0]);
	bytes_gzip(&second, &z[0]);
	bytes_zstd(&first, &z[1]);
	bytes_zstd(&second, &z[1]);
	bytes_add(&z[2], first.p, first.len);
	bytes_add(&z[2], second.p, second.len);
	for (int i = 2; i >= 0; i--) {
		int r = made_layer(m, &z[i]);
		cr_assert_eq(r, 0, "%s", m->e.msg);
		if (i == 2)
			memcpy(plain, m->layers[0].diff_id, sizeof(plain));
		cr_assert_str_eq(m->layers[2 - i].diff_id, plain);
		cr_assert_eq(m->layers[2 - i].blob_bytes, z[i].len);
	}
	cr_assert_str_eq(m->layers[0].blob, plain);
	cr_assert_str_neq(m->layers[2].blob, plain);
	make_disk();
	has_text("a", "first");
	has_text("b", "second");
	for (int i = 0; i < 3; i++)
		bytes_free(&z[i]);
	bytes_free(&first);
	bytes_free(&second);
}

Test(image_layers, what_is_cut_off_damaged_or_followed_by_something_else_is_refused)
{
	static char data[50000];
	struct bytes z[3] = {{0}};

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * i >> 3);
	tar_put(&t,
		&(struct tar_item){.type = '0', .name = "f", .data = data, .len = sizeof(data)});
	tar_end(&t);
	bytes_gzip(&t, &z[0]);
	bytes_zstd(&t, &z[1]);
	bytes_add(&z[2], t.p, t.len);
	for (int i = 0; i < 3; i++) {
		size_t len = z[i].len;
		for (size_t cut = 10; cut < len - (i == 2 ? TAR_END_BYTES + 512 : 1);
		     cut += len / 9) {
			z[i].len = cut;
			cr_assert_eq(made_layer(m, &z[i]), -EINVAL, "%d: %zu of %zu", i, cut, len);
		}
		z[i].len = len;
	}
	bytes_add(&z[0], "garbage!", 8);
	cr_assert_eq(made_layer(m, &z[0]), -EINVAL);
	bytes_add(&z[1], "garbage!", 8);
	cr_assert_eq(made_layer(m, &z[1]), -EINVAL);
	z[0].len -= 8;
	z[0].p[z[0].len / 2] ^= 0x55;
	cr_assert_eq(made_layer(m, &z[0]), -EINVAL);
	for (int i = 0; i < 3; i++)
		bytes_free(&z[i]);
}
