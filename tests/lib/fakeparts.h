/* SPDX-License-Identifier: Apache-2.0 */
/* fakeparts.h - what fakeinit.c consists of: connections, and executions that are mostly made up. */
#ifndef TESTS_LIB_FAKEPARTS_H
#define TESTS_LIB_FAKEPARTS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/codec.h"
#include "tests/lib/fakeinit.h"

enum { CONNS = 64, EXECS = 256, IN_ROOM = FRAME_MAX_BYTES + 64, HELD_ROOM = 1 << 20 };

struct fexec {
	uint32_t channel;
	int conn;
	uint64_t id, window[2], offset[2]; /* [0] stdout */
	char kind[16], name[80];
	char *held; /* bytes for stdout that await credit */
	size_t held_len;
	uint64_t flood; /* bytes still to be made up */
	int eof, has_exit, exit_code, exit_signo;
	struct fakefiles *files; /* it works on files */
};

struct fconn {
	int fd;
	int waits; /* a Start, for the end of a freeze; and all behind it */
	uint8_t *in;
	size_t len;
};

struct fake {
	const struct fake_server *s;
	struct fconn conn[CONNS];
	struct fexec exec[EXECS];
	uint64_t ids;
	enum fake_end end;
	int ended, frozen, holder; /* holder: the connection that froze it, or -1 */
	char lifetime[80];         /* what the last Resume said of it */
};

#endif
