/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot_fixture.h - what tests of boxes, snapshots and suspended boxes share. The VMM is a fake
 * one. */
#ifndef TESTS_LIB_SNAPSHOT_FIXTURE_H
#define TESTS_LIB_SNAPSHOT_FIXTURE_H

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>

#include "lib/box/snapshot.h"
#include "tests/lib/fakeinit.h"
#include "tests/lib/fds.h"
#include "tests/lib/test.h"

static const char *dir;
static char snap[128];

static inline void up(void)
{
	dir = fakevmm_use();
	(void)snprintf(snap, sizeof(snap), "%s/snap", dir);
}

static inline void down(void)
{
	fakevmm_clean();
}

static inline int entries(const char *sub)
{
	char path[256];
	int n = 0;
	struct dirent *de;

	snprintf(path, sizeof(path), "%s/%s", dir, sub);
	DIR *d = opendir(path);
	while (d && (de = readdir(d)))
		n += strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0;
	if (d)
		closedir(d);
	return n;
}

static inline int boxes(void)
{
	return entries("conker/boxes");
}

static inline conker_box *must_create(const conker_box_opts *o)
{
	conker_box_opts mine = *o;
	conker_box *b = NULL;

	mine.size = sizeof(mine);
	cr_assert_eq(conker_box_create(&mine, &b), 0, "%s", conker_errmsg());
	return b;
}

static inline conker_box *detached(const char *name, const char *words)
{
	return must_create(&(conker_box_opts){
		.name = name, .cmdline_append = words, .flags = CONKER_BOX_DETACHED});
}

static inline conker_box *must_open(const char *name)
{
	conker_box *b = NULL;

	cr_assert_eq(conker_box_open(name, &b), 0, "%s", conker_errmsg());
	return b;
}

static inline conker_box_info info_of(const char *name)
{
	conker_box_info i = {.size = sizeof(i)};

	cr_assert_eq(conker_box_lookup(name, &i), 0, "%s", conker_errmsg());
	return i;
}

/* Its exit code: that of a command the box has run. */
static inline int run(conker_box *b, const char *command)
{
	const char *argv[] = {command, NULL};
	conker_exec_opts o = {.size = sizeof(o), .argv = argv};
	conker_result res = {.size = sizeof(res)};
	int r = conker_run(b, &o, NULL, &res);

	conker_result_free(&res);
	return r < 0 ? r : res.status.code;
}

/* What the Resume that the box began with says of its life. */
static inline void expect_lifetime(conker_box *b, const char *want)
{
	const char *argv[] = {"lifetime", NULL};
	conker_exec_opts o = {.size = sizeof(o), .argv = argv};
	conker_result res = {.size = sizeof(res)};

	cr_assert_eq(conker_run(b, &o, NULL, &res), 0, "%s", conker_errmsg());
	cr_expect_str_eq(res.out.data, want);
	conker_result_free(&res);
}

/* The end of a box that nobody's handle ends. */
static inline void end(conker_box *b, const char *name)
{
	conker_box_free(b);
	cr_expect_eq(conker_box_remove(name, CONKER_RM_FORCE), 0, "%s", conker_errmsg());
}

/* The first of what matches, below dir. */
static inline int find_file(const char *sub, const char *file, char *ret, size_t size)
{
	char path[256];
	struct dirent *de;
	int found = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, sub);
	DIR *d = opendir(path);
	while (d && !found && (de = readdir(d))) {
		(void)snprintf(ret, size, "%.160s/%.60s/%s", path, de->d_name, file);
		found = de->d_name[0] != '.' && access(ret, F_OK) == 0;
	}
	if (d)
		closedir(d);
	return found;
}

#endif
