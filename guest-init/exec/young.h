/* SPDX-License-Identifier: Apache-2.0 */
/* young.h - the first moments of the execution that was started last.
 *
 * Most commands are short. So the newest one is waited for by poll(), beside the epoll set, for its first YOUNG_MS:
 * its descriptors then never enter the set, which saves three calls and their undoing. And a command without stdin is
 * first waited for within its start, as long as init has nothing else to do: when it has ended or said something it is
 * known to have execed, which saves waiting for that; and Started, Output and Exit leave in one packet.
 *
 * This file is all there is of it: who starts calls young_take() and young_await(), the server's loop young_wait(),
 * and what the polls saw is in execs.young_seen. README.md says what it earns.
 */
#ifndef INIT_EXEC_YOUNG_H
#define INIT_EXEC_YOUNG_H

#include "guest-init/exec/execs.h"

/* x was started just now. 0: another one is young. */
int young_take(struct execs *e, struct exec *x);

/* Waits until x, which is young, has ended or said something, or epoll has news, or it is time to go on
 * (execs.alone_until_us); for most_ms at most, if that is not 0. */
void young_await(struct execs *e, const struct exec *x, uint32_t most_ms);

/* epoll_wait(), and beside it for the young one. How many events are in ev, or -errno. */
must_check int young_wait(struct execs *e, struct epoll_event *ev, int max, int timeout_ms);

/* It grew up, or its output shall not be read for now: into the epoll set with it. */
void young_graduate(struct execs *e);

/* What a young one is spared: all that its process will be heard by is added to the epoll set. 0 or -errno. */
must_check int young_watch_all(struct execs *e, struct exec *x);

#endif
