/* SPDX-License-Identifier: Apache-2.0 */
/* messages.h - what init tells a client, as frames in its outbox.
 *
 * An outbox must have room for each; who owns it sees to that. The order in one outbox is the order in which the
 * client hears.
 */
#ifndef INIT_EXEC_MESSAGES_H
#define INIT_EXEC_MESSAGES_H

#include "guest-init/exec/execs.h"

/* body: the message of that kind. */
void message_send(struct outbox *out, uint32_t channel, Conker__ServerMsg__MsgCase kind,
		  void *body);

void message_error(struct outbox *out, uint32_t channel, int code, const char *step,
		   const char *text);

/* host_port: 0, or of a Freeze. */
void message_done(struct outbox *out, uint32_t channel, uint32_t host_port);

/* ---- executions ---- */

/* Of a view that has just begun; existing: the execution was there before the request. */
void message_started(struct view *v, int existing);

/* For the feeder of stdin. */
void message_credit(struct view *v, struct in_credit c, int dropped);

/* The Exit of x as it is now, for a view's channel. */
void message_exit(struct execs *e, struct exec *x, struct outbox *out, uint32_t channel);

/* The same into *ret, which will point to *of. */
void message_fill_exit(struct execs *e, struct exec *x, Conker__Exit *ret, Conker__Usage *of);

/* Figures of all runs of x; of the one that goes on, by a dozen system calls. */
void message_fill_usage(struct execs *e, struct exec *x, Conker__Usage *ret);

/* Figures of a group, as the protocol has them. */
void message_put_usage(Conker__Usage *ret, const struct cg_usage *u);

#endif
