/* SPDX-License-Identifier: Apache-2.0 */
/* listing.h - List: the executions there are, one answer each. */
#ifndef INIT_SERVE_LISTING_H
#define INIT_SERVE_LISTING_H

#include "guest-init/exec/execs.h"

enum {
	/* A request is not looked at while less is free, and List goes on only then. It is room for one
	 * answer (at most 4 KiB), and for the Exit and the dropped Credit that each view may have to say
	 * without being asked (less than 350 bytes). */
	OUTBOX_REPLY_BYTES = VIEWS_MAX * 512,
};

/* A List that is being answered. */
struct listing {
	int active, all, usage;
	uint32_t channel;
	uint64_t next_id;
};

/* A request; answers by itself, as far as there is room. */
void listing_begin(struct execs *e, struct listing *l, struct outbox *out, uint32_t channel,
		   const Conker__List *m);

/* The same for one. */
void listing_one(struct execs *e, struct exec *x, struct outbox *out, uint32_t channel,
		 const Conker__List *m);

/* There is room again. */
void listing_go_on(struct execs *e, struct listing *l, struct outbox *out);

#endif
