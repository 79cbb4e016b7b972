/* SPDX-License-Identifier: Apache-2.0 */
/* image_case.h - what tests of layers have in common: layers one after the other, then the disk, by a reader of its own. */
#ifndef TESTS_LIB_IMAGE_CASE_H
#define TESTS_LIB_IMAGE_CASE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/image_erofs.h"
#include "tests/lib/image_fixture.h"

static struct made *m;
static struct bytes t; /* the layer being written */
static struct erofs_disk disk;

static inline void set_up(void)
{
	m = calloc(1, sizeof(*m));
	made_begin(m);
}

static inline void tear_down(void)
{
	made_free(m);
	bytes_free(&t);
	free(m);
}

/* The layer that was written is the next one. */
static inline void apply(void)
{
	tar_end(&t);
	int r = made_layer(m, &t);
	cr_assert_eq(r, 0, "%s", m->e.msg);
	bytes_free(&t);
}

static inline void refused(int code, const char *words)
{
	tar_end(&t);
	cr_assert_eq(made_layer(m, &t), -code, "%s", m->e.msg);
	cr_assert(strstr(m->e.msg, words), "%s", m->e.msg);
	bytes_free(&t);
}

static inline void make_disk(void)
{
	made_disk(m);
	disk = (struct erofs_disk){m->disk.p, m->disk.len};
	(void)erofs_check(&disk);
}

static inline struct erofs_stat there(const char *path)
{
	struct erofs_stat s;

	cr_assert(erofs_stat(&disk, path, &s), "%s is not there", path);
	return s;
}

static inline int is_there(const char *path)
{
	struct erofs_stat s;

	return erofs_stat(&disk, path, &s);
}

static inline void has_text(const char *path, const char *text)
{
	char buf[8192];
	struct erofs_stat s = there(path);
	size_t n = erofs_read(&disk, &s, buf, sizeof(buf));

	cr_assert(n == strlen(text) && memcmp(buf, text, n) == 0, "%s has %.*s", path, (int)n, buf);
}

#endif
