/* SPDX-License-Identifier: Apache-2.0 */
/* attach.h - clients and executions: views come and go, and what that means for what they look at. */
#ifndef INIT_EXEC_ATTACH_H
#define INIT_EXEC_ATTACH_H

#include "guest-init/exec/execs.h"

/* A view of x for Attach, where it asks for; answers by itself. */
void exec_attach(struct execs *e, struct outbox *out, uint32_t channel, struct exec *x,
		 const Conker__Attach *m);

/* Of Start with a key that is known: the channel becomes a view of x from its first byte kept. */
void exec_attach_existing(struct execs *e, struct outbox *out, uint32_t channel, struct exec *x,
			  const Conker__Start *m);

/* The view of the one who started x just now. */
void exec_attach_starter(struct execs *e, struct outbox *out, uint32_t channel, struct exec *x,
			 uint32_t window);

/* The view ends, and the execution goes on. */
void exec_detach(struct execs *e, struct view *v);

/* Credit from the client. May close v. */
void exec_grant(struct execs *e, struct view *v, const Conker__Credit *m);

/* The client has gone, and with it its views. */
void execs_lose_client(struct execs *e, const struct outbox *out);

/* Its outbox has room again: what waited for that goes on, one frame each in turn. */
void execs_resume(struct execs *e, struct outbox *out);

#endif
