/* SPDX-License-Identifier: Apache-2.0 */
/* request.h - question and answer. */
#ifndef LIB_HANDLE_REQUEST_H
#define LIB_HANDLE_REQUEST_H

#include "lib/handle/handle.h"

/* ---- request.c: question and answer ------------------------------------------------------------------ */

struct listing {
	struct listing *next;
	conker_exec_info info;
};

struct request {
	struct chan chan;
	conker_box *box;
	int done, error;    /* error: positive errno */
	uint32_t host_port; /* of Freeze */
	char text[TEXT_BYTES];
	struct listing *list, **tail; /* of List */
	size_t list_bytes;
	conker_box_stats *stats; /* of Stats */
};

/* Fills the wire's reference from a user's, and points into it. -EINVAL: not one of the three, or no execution can have
 * such a name or key. */
must_check int ref_of(Conker__ExecRef *ret, const conker_exec_ref *ref, struct err *e);
void status_of(conker_status *ret, const Conker__Exit *x);

/* Sends m on a channel of its own and waits for the answer; -EDEADLK in a callback. */
must_check int request_ask(conker_box *b, struct request *q, Conker__ClientMsg *m, int timeout_ms,
			   struct err *e);
void request_fini(struct request *q);

#endif
