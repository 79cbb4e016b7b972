/* SPDX-License-Identifier: Apache-2.0 */
/* lifecycle.h - the life of an execution: what happens to it, and what it does then.
 *
 * exec_fsm.h has the table; lifecycle.c does what its actions say. Nothing else moves an execution from one state to
 * another.
 */
#ifndef INIT_EXEC_LIFECYCLE_H
#define INIT_EXEC_LIFECYCLE_H

#include "guest-init/exec/execs.h"

/* It has a process that runs. */
void exec_started(struct execs *e, struct exec *x);

/* 0 or -errno: ESRCH when there is nobody. */
must_check int exec_signal(struct execs *e, struct exec *x, int signo, Conker__Scope scope);

/* It shall end at once: its starter went. */
void exec_abandon(struct execs *e, struct exec *x);

void exec_resize(struct exec *x, const Conker__Resize *m);

/* ---- all of them ---- */

/* An event of one of theirs (enum exec_kind). */
void execs_on_event(struct execs *e, struct ev_name name, uint32_t revents);

/* What polls have seen of the young one (young.h). */
void execs_run_young(struct execs *e);

/* Once a turn, and when that has something to do next, or INT64_MAX. The clocks of what is frozen stand still;
 * what it said before is told. */
void execs_run(struct execs *e);
must_check int64_t execs_due_us(const struct execs *e);

/* The box was frozen for so long: clocks are set forward by that. What lost its starter meanwhile is
 * killed, or, if it is forgiven, detached. */
void execs_thawed(struct execs *e, int64_t frozen_us, int forgive);

/* Asks each that has a stop signal to end, by that: how many there are. And whether one of them has not ended yet. */
must_check unsigned execs_stop(struct execs *e);
must_check int execs_wait_for_stop(const struct execs *e);

/* Kills everything there is, for the end of the machine. */
void execs_kill_all(struct execs *e);

#endif
