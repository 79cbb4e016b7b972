/* SPDX-License-Identifier: Apache-2.0 */
/* output.h - from the pipes of an execution to its views.
 *
 * Whose bytes: those of any program in the box, as many as it likes. Nothing is looked for in them.
 *
 * A pipe is read when epoll says that there is something and every lossless view can take it (view_room);
 * without lossless views it is always read, and the log keeps the newest. When it must not be
 * read, the descriptor leaves the epoll set (a mask of 0 would not do: a hang-up is reported
 * regardless) and comes back with credit or room.
 *
 * What a terminal shows comes line by line, also from a program that writes to a pipe in blocks, and each piece costs
 * the guest far more than the bytes in it: a wake-up, three calls and a packet. So one that says little and often is not
 * looked at for a few milliseconds, longer each time; pieces that come after a pause, or are large, are passed on at once,
 * and so is the rest when main has ended. Pipes are not treated so: it would mix up the order of two streams.
 *
 * The pipes stay in blocking mode on both ends, which saves two calls: init reads once per event, and
 * such a read cannot block.
 *
 * Duties: what a lossless view was promised is never dropped; the two streams do not wait for each other; a stream ends
 * when its last writer has gone, or when nobody is left in the cgroup who could write.
 * Limits: FRAME_DATA_BYTES a read, one read an event.
 */
#ifndef INIT_EXEC_OUTPUT_H
#define INIT_EXEC_OUTPUT_H

#include "guest-init/exec/execs.h"

void output_on_event(struct execs *e, struct exec *x, int k, uint32_t revents);

/* Something that may have kept pipes from being read has changed. */
void output_rearm(struct execs *e, struct exec *x);

/* Its terminal was left alone for long enough (out[0].due_us): what has gathered is read. */
void output_take_gathered(struct execs *e, struct exec *x);

/* Its terminal is looked at again now. */
void output_hurry(struct execs *e, struct exec *x);

void output_close(struct execs *e, struct exec *x, int k);

/* From now on the pipe ends when the last of its other writers goes. */
void output_close_writer(struct exec_out *o);

/* Main has ended. A pipe that is as good as new is kept for another execution, and is over; of the others
 * init gives up its writing end. */
void output_main_ended(struct execs *e, struct exec *x);

/* Nobody can write any more: closes the pipes that are empty. */
void output_close_drained(struct execs *e, struct exec *x);

/* Main has ended, others may go on writing: what is in the pipes now is main's. */
void output_settle(struct exec *x);

/* Whether no output is left; of one that is leaving, main's. */
must_check int output_is_over(const struct exec *x);

#endif
