/* SPDX-License-Identifier: Apache-2.0 */
/* stdin.h - stdin: from the one view that feeds it to the process.
 *
 * Protocol: the feeder sends Input within its window, a flag for the end, a flag for "tell me when all of this was
 * taken" (flush); it gets Credit, which opens the window again. More than the window is a breach of the protocol. Input
 * of a view that does not feed is granted back as dropped.
 *
 * What the process does not take at once waits in a queue as large as the window, so a sender that keeps
 * to its window is never refused. Taken bytes are granted back when a quarter of the window has
 * gathered, or at once while somebody waits for a flush; what went nowhere is granted back as dropped,
 * at once. A credit waits while its client's outbox is crowded: it is the one message that a process
 * could provoke without end.
 *
 * When the feeder goes and the execution stays, stdin stays open, and what it has sent is fed before anything that the
 * next one sends. The next one's window is what that leaves of the queue, at first perhaps nothing, and opens as it
 * goes; its credit counts its own bytes only (credit.h).
 *
 * Limits: STDIN_WINDOW_BYTES in flight an execution; writing to the process never blocks.
 */
#ifndef INIT_EXEC_STDIN_H
#define INIT_EXEC_STDIN_H

#include "guest-init/exec/execs.h"

/* v feeds stdin from now on (VIEW_FEEDS), if there is one and nobody feeds it. */
void stdin_join(struct exec *x, struct view *v);

/* The feeder stops. */
void stdin_leave(struct exec *x);

/* From the view's client. Negative: it broke the protocol, *ret_why says how. */
must_check int stdin_receive(struct execs *e, struct view *v, const Conker__Stdin *m,
			     const char **ret_why);

/* There is room in the pipe. */
void stdin_on_event(struct execs *e, struct exec *x);

/* Credit that was held back may go. */
void stdin_resume(struct exec *x);

/* The process's end is closed, or shall be: what is queued goes nowhere. */
void stdin_drop(struct execs *e, struct exec *x);

#endif
