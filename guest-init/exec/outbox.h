/* SPDX-License-Identifier: Apache-2.0 */
/* outbox.h - frames on their way to one client: a flat buffer, written at the tail, sent from the
 * head. Flat, because a frame is built in place and must be contiguous. Pure.
 *
 * An outbox stands for its client on this floor: who owns it sends what is in it, and is told by its flags what it
 * has to do with it.
 */
#ifndef INIT_EXEC_OUTBOX_H
#define INIT_EXEC_OUTBOX_H

#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

enum { OUTBOX_DATA_BYTES = 256 << 10 /* output is not added to more than this */ };

struct outbox {
	uint8_t *buf;
	size_t size_bytes, head, tail;
	size_t high;      /* the furthest tail there was */
	int stalled;      /* output of a view, or credit, waits for room */
	uint32_t turn;    /* which view goes on first when there is room */
	unsigned n_views; /* view_room()'s: those that what is read must fit into */
};

static inline size_t outbox_pending(const struct outbox *o)
{
	return o->tail - o->head;
}

static inline size_t outbox_free(const struct outbox *o)
{
	return o->size_bytes - outbox_pending(o);
}

/* Whether output and credit must wait; if so, the owner is asked to say when there is room. */
must_check static inline int outbox_is_full(struct outbox *o)
{
	int full = outbox_pending(o) >= OUTBOX_DATA_BYTES;

	o->stalled |= full;
	return full;
}

/* n contiguous bytes at the tail (outbox_free() must be as large); moves what is pending to the front
 * when only that makes room. Valid until the next call. */
must_check uint8_t *outbox_room(struct outbox *o, size_t n);

/* The n bytes at outbox_room() are a whole frame now. */
void outbox_commit(struct outbox *o, size_t n);

/* The oldest n bytes were sent. */
void outbox_sent(struct outbox *o, size_t n);

#endif
