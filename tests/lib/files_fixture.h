/* SPDX-License-Identifier: Apache-2.0 */
/* files_fixture.h - a box against the fake VMM, whose program for files is the real one
 * (fakefiles.h), and a directory for its side and ours.
 */
#ifndef TESTS_LIB_FILES_FIXTURE_H
#define TESTS_LIB_FILES_FIXTURE_H

#include <sys/stat.h>

#include "lib/conker.h"
#include "tests/lib/fakeinit.h"
#include "tests/lib/test.h"

static conker_box *box;
static char dir[256];

static void set_up(void)
{
	conker_box_opts o = {.size = sizeof(o)};

	(void)snprintf(dir, sizeof(dir), "%s/files", fakevmm_use());
	cr_assert_eq(mkdir(dir, 0755), 0);
	cr_assert_eq(conker_box_create(&o, &box), 0, "%s", conker_errmsg());
}

static void tear_down(void)
{
	box = conker_box_free(box);
	fakevmm_clean();
}

/* A path in it, good for seven more calls of the same thread. */
static const char *at(const char *name)
{
	static _Thread_local char path[8][512];
	static _Thread_local int i;

	i = (i + 1) % 8;
	(void)snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

#endif
