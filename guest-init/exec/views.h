/* SPDX-License-Identifier: Apache-2.0 */
/* views.h - a client's channel onto an execution: what it has been sent, and how much more it takes.
 *
 * Protocol: Output as far as the client's credit for that stream goes, in order; each says its offset in the stream, so
 * that a gap is seen; then one last message. A client that grants for ever gains nothing: credit saturates.
 *
 * An execution has any number of views. Output goes from the pipe into a buffer, from there to every
 * view that is up to date and has credit and room, and into the log (log.h), from which a view that fell
 * behind goes on when it may.
 *
 *   lossless   the pipe is not read while such a view is behind, without credit or without room in its
 *              client's outbox; so it misses nothing that was there when it came
 *   others     miss what the log drops before they get there: the offset jumps
 *
 * The streams are independent: one that may not go on does not hold back the other; where both may, they
 * are sent in the order in which they were read. Each view ends with exactly one Exit, Done or Error.
 *
 * Bounds: VIEWS_MAX in all; VIEWS_ATTACHED_MAX of them by Attach, so that every execution that may be
 * started finds one.
 */
#ifndef INIT_EXEC_VIEWS_H
#define INIT_EXEC_VIEWS_H

#include "guest-init/exec/execs.h"

void view_table_init(struct view_table *t);

/* A new view on x, at the beginning of both streams, with window bytes of credit (0: the default); the
 * caller moves it to where it shall begin. NULL: too many. */
struct view *view_open(struct execs *e, struct outbox *out, uint32_t channel, struct exec *x);

/* Takes it off. Says nothing to anybody; of feeding, its owner takes care before. */
void view_close(struct execs *e, struct view *v);

struct view *view_by_channel(struct execs *e, const struct outbox *out, uint32_t channel);

/* Credit from the client. */
void view_grant(struct view *v, int k, uint32_t bytes);

/* Sends what the log has for v, as far as it may be sent; at its end the last message, which
 * closes v. Returns the frames sent; -1: v is closed. At most max frames. */
int view_pump(struct execs *e, struct view *v, int max);

/* How much of stream k of x may be read now: 0 when a lossless view cannot take it. */
must_check size_t view_room(struct exec *x, int k);

/* n bytes were read and lie at e->stage + OUTPUT_HEAD_BYTES, which they are the stream's next ones:
 * into the log, and to every view. */
void view_deliver(struct execs *e, struct exec *x, int k, size_t n);

/* No more will come for those that are attached now (the Exit is known): each gets the rest, then its
 * Exit. */
void view_end_all(struct execs *e, struct exec *x);

/* Gives up on what they have not been sent: each gets its last message now. */
void view_cut_all(struct execs *e, struct exec *x);

#endif
