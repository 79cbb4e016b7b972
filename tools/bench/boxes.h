/* SPDX-License-Identifier: Apache-2.0 */
/* boxes.h - commands in a box, timed; bytes into and out of commands. */
#ifndef BENCH_BOXES_H
#define BENCH_BOXES_H

#include <stddef.h>
#include <stdint.h>

#include "lib/conker.h"
#include "util/util.h"

/* Each runs a command, waits, and returns 0 or -errno: it could not be run, or did not exit with 0 (-EIO); why says
 * so in a line. */
struct ran {
	uint64_t ns;    /* from the call to its status, on our clock */
	uint64_t in_ns; /* from its spawn to its end, on the guest's clock */
	uint64_t bytes; /* of its output */
	char why[256];
};
must_check int boxes_run(conker_box *box, const char *const *argv, struct ran *ret);

/* Puts a program of three instructions into the box and runs it a few times: page cache, slabs and cgroups are made by the
 * first ones. 0 or -errno. It then is boxes_tiny, what warm and restored boxes are timed by. */
must_check int boxes_warm_up(conker_box *box);
extern const char *const boxes_tiny[];

/* Likewise with `total` bytes on its stdin, taken from buf over and over. */
must_check int boxes_feed(conker_box *box, const char *const *argv, const void *buf, size_t len,
			  uint64_t total, struct ran *ret);

/* Makes the file DIR/NAME of the host the program /tmp/NAME of the box. 0, or -1 with a line on stderr. */
must_check int boxes_upload(conker_box *box, const char *dir, const char *name);

#endif
