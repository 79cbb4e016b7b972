/* SPDX-License-Identifier: Apache-2.0 */
/* init_alone.h - guest-init's server as a part of another program: one object file, of whose names only these are
 * seen, because the library has some of the same. Its processes are made up (init_world.h).
 */
#ifndef TESTS_LIB_INIT_ALONE_H
#define TESTS_LIB_INIT_ALONE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Serves clients of the listening socket. Whenever the server has nothing to do, next(user) is called, until that
 * returns 0; by then every client must have gone and every process have ended. Asserts that the server has nothing
 * left of them. */
void init_alone_serve(int listen_fd, int (*next)(void *user), void *user);

/* How many executions were started. Their processes go by the executions' numbers. */
uint64_t init_alone_started(void);

/* What such a process does. Bytes; -1: not now; 0, of read: the end of its input, or there is no process. */
ssize_t init_alone_read(uint64_t exec, void *buf, size_t len);
ssize_t init_alone_write(uint64_t exec, const void *buf, size_t len);
void init_alone_close_stdin(uint64_t exec);
void init_alone_end(uint64_t exec, int code);

/* All of them, and no more can be started. */
void init_alone_end_all(void);

#endif
