/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of image/tree.h about what layers hide of each other and where links lead, and of image/index.h. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/image_case.h"

TestSuite(image_whiteouts, .init = set_up, .fini = tear_down);

/* ---- whiteouts ---- */

static void lower(void)
{
	tar_file(&t, "d/a", "lower");
	tar_file(&t, "d/b", "lower");
	tar_file(&t, "d/s/c", "lower");
	tar_file(&t, "f", "lower");
	apply();
}

Test(image_whiteouts, a_whiteout_hides_a_name_and_all_below_it)
{
	lower();
	tar_file(&t, "d/.wh.s", "");
	tar_file(&t, ".wh.f", "");
	tar_file(&t, "no/such/.wh.dir", "");
	apply();
	make_disk();
	cr_assert(is_there("d/a") && !is_there("d/s") && !is_there("f") && !is_there("no"));
	cr_assert_eq(there("d").nlink, 2);
}

Test(image_whiteouts, a_whiteout_may_be_shipped_as_any_kind_of_entry)
{
	lower();
	tar_link(&t, '1', "d/.wh.a", "d/.wh..wh.plnk/1.2");
	tar_link(&t, '2', ".wh.f", "nowhere");
	tar_put(&t, &(struct tar_item){.type = '3', .name = "d/.wh.b"});
	apply();
	make_disk();
	cr_assert(!is_there("d/a") && !is_there("d/b") && !is_there("f"));
}

Test(image_whiteouts, a_marker_and_a_new_entry_of_one_name_leave_the_new_one_in_either_order)
{
	lower();
	tar_file(&t, ".wh.f", "");
	tar_file(&t, "f", "new");
	tar_file(&t, "d/s/new", "new");
	tar_file(&t, "d/.wh.s", "");
	tar_file(&t, "d/a", "new");
	tar_file(&t, "d/.wh.a", "");
	apply();
	make_disk();
	has_text("f", "new");
	has_text("d/a", "new");
	has_text("d/s/new", "new");
	cr_assert_not(is_there("d/s/c"));
}

Test(image_whiteouts, an_opaque_directory_hides_lower_layers_in_either_order)
{
	for (int order = 0; order < 2; order++) {
		lower();
		if (order)
			tar_file(&t, "d/.wh..wh..opq", "");
		tar_file(&t, "d/new", "new");
		tar_file(&t, "d/s/new", "new");
		if (!order)
			tar_file(&t, "d/.wh..wh..opq", "");
		apply();
	}
	make_disk();
	cr_assert(is_there("d/new") && is_there("d/s/new"));
	cr_assert(!is_there("d/a") && !is_there("d/s/c") && is_there("f"));
}

Test(image_whiteouts, opaque_entries_and_whiteouts_of_the_next_layer_count_again)
{
	for (int i = 0; i < 3; i++) {
		tar_file(&t, i ? "d/.wh..wh..opq" : "x", "");
		tar_file(&t, i % 2 ? "d/odd" : "d/even", "");
		apply();
	}
	make_disk();
	cr_assert(is_there("d/even") && !is_there("d/odd"));
}

Test(image_whiteouts, notes_of_aufs_and_names_below_a_whiteout_are_left_out_and_counted)
{
	tar_dir(&t, ".wh..wh.plnk");
	tar_file(&t, ".wh..wh.plnk/1.2", "");
	tar_file(&t, ".wh..wh.aufs", "");
	tar_file(&t, ".wh.d/x", "");
	tar_file(&t, ".wh..", "");
	tar_file(&t, ".wh.", "");
	apply();
	make_disk();
	cr_assert_eq(m->tree.left_out, 6);
	cr_assert_eq(m->meta.inodes, 1);
}

Test(image_whiteouts, very_many_whiteouts_take_linear_time)
{
	char name[64];

	for (int i = 0; i < 20000; i++) {
		(void)snprintf(name, sizeof(name), "d/f%d", i);
		tar_file(&t, name, "");
	}
	apply();
	for (int i = 0; i < 20000; i++) {
		(void)snprintf(name, sizeof(name), "d/new%d", i);
		tar_file(&t, name, "");
		(void)snprintf(name, sizeof(name), "d/.wh.f%d", i);
		tar_file(&t, name, "");
		tar_file(&t, "d/.wh..wh..opq", "");
	}
	apply();
	make_disk();
	cr_assert_eq(m->meta.inodes, 20000 + 2);
}

/* ---- merged /usr ---- */

static void merged_usr(void)
{
	tar_file(&t, "usr/bin/sh", "sh");
	tar_link(&t, '2', "bin", "usr/bin");
	apply();
}

Test(image_whiteouts, a_parent_without_an_entry_that_is_a_link_is_followed)
{
	merged_usr();
	tar_file(&t, "bin/new", "new");
	tar_file(&t, "bin/.wh.sh", "");
	apply();
	make_disk();
	has_text("usr/bin/new", "new");
	cr_assert(S_ISLNK(there("bin").mode) && !is_there("usr/bin/sh"));
}

Test(image_whiteouts, an_explicit_directory_replaces_the_link)
{
	merged_usr();
	tar_dir(&t, "bin/");
	tar_file(&t, "bin/new", "new");
	apply();
	make_disk();
	has_text("bin/new", "new");
	has_text("usr/bin/sh", "sh");
	cr_assert(S_ISDIR(there("bin").mode) && !is_there("usr/bin/new"));
}

/* A whiteout below a followed link is of its layer where it leads to, too. */
Test(image_whiteouts, what_came_through_a_link_is_of_its_layer)
{
	merged_usr();
	tar_file(&t, "bin/new", "new");
	tar_file(&t, ".wh.usr", "");
	apply();
	make_disk();
	has_text("usr/bin/new", "new");
	cr_assert_not(is_there("usr/bin/sh"));
}

/* ---- the index ---- */

Test(image_whiteouts, a_second_image_on_a_layer_is_made_of_its_index)
{
	struct made *second = calloc(1, sizeof(*second));
	struct bytes x = {0};

	pax(&x, "SCHILY.xattr.user.x", "value", 5);
	tar_put(&t, &(struct tar_item){.type = '0',
				       .name = "f",
				       .data = "text",
				       .len = 4,
				       .pax = (char *)x.p,
				       .pax_len = x.len});
	tar_link(&t, '1', "hard", "f");
	tar_link(&t, '2', "link", "f");
	tar_dir(&t, "d");
	apply();
	tar_file(&t, ".wh.hard", "");
	tar_file(&t, "d/g", "more");
	apply();
	make_disk();
	made_begin(second);
	cr_assert_eq(made_layer_from(second, m, 0), 0, "%s", second->e.msg);
	cr_assert_eq(made_layer_from(second, m, 1), 0, "%s", second->e.msg);
	made_disk(second);
	cr_assert(second->disk.len == m->disk.len &&
		  memcmp(second->disk.p, m->disk.p, m->disk.len) == 0);
	made_free(second);
	free(second);
	bytes_free(&x);
}

Test(image_whiteouts, a_damaged_index_is_noticed)
{
	struct made *second = calloc(1, sizeof(*second));
	struct stat st;
	uint8_t c;

	tar_file(&t, "f", "text");
	apply();
	cr_assert_eq(fstat(m->index[0], &st), 0);
	made_begin(second);
	for (off_t at = 0; at < st.st_size; at += 3) {
		cr_assert_eq(pread(m->index[0], &c, 1, at), 1);
		c ^= 1;
		cr_assert_eq(pwrite(m->index[0], &c, 1, at), 1);
		cr_assert_eq(made_layer_from(second, m, 0), -EBADMSG);
		c ^= 1;
		cr_assert_eq(pwrite(m->index[0], &c, 1, at), 1);
		made_free(second);
		made_begin(second);
	}
	cr_assert_eq(ftruncate(m->index[0], st.st_size - 1), 0);
	cr_assert_eq(made_layer_from(second, m, 0), -EBADMSG);
	made_free(second);
	free(second);
}
