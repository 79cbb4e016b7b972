/* SPDX-License-Identifier: Apache-2.0 */
/* pipes.h - pipes for stdout and stderr, used again when they are as good as new.
 *
 * Making and closing a pipe costs a guest kernel some 6 thousand instructions. So init keeps the writing
 * end as well while a command runs, and when that has ended asks the kernel (our patch 0017) whether the pipe
 * is as pipe2() made it: empty, held by init alone, no flag, owner, size or mode changed. Only such a
 * pipe goes to the next command; nobody can read there or write there but its new users. The reading
 * end never leaves init: it is CLOEXEC, and so is the writing one until the child moves it.
 *
 * A kernel without that patch says ENOTTY, and every pipe is made and closed.
 */
#ifndef INIT_EXEC_PIPES_H
#define INIT_EXEC_PIPES_H

enum { PIPES_SPARE_MAX = 16 };

struct pipe_ends {
	int rd, wr;
};

struct pipes {
	int unusable; /* the kernel cannot tell */
	int n;
	struct pipe_ends spare[PIPES_SPARE_MAX];
};

/* 0 or -errno. Blocking, CLOEXEC. */
int pipes_get(struct pipes *p, struct pipe_ends *ret);

/* Of two pipes (wr < 0: no pipe) those that may be used again are taken over: bit k of the result says so of e[k]. The
 * others are still the caller's. One call for both. */
unsigned pipes_put(struct pipes *p, const struct pipe_ends e[2]);

#endif
