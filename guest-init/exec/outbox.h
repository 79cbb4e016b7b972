/* outbox.h - frames on their way to one client: a flat buffer, written at the tail, sent from the
 * head. Flat, because a frame is built in place and must be contiguous. Pure.
 */
#ifndef INIT_EXEC_OUTBOX
#define INIT_EXEC_OUTBOX

#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

struct outbox {
	uint8_t *buf;
	size_t size_bytes, head, tail;
	size_t high; /* the furthest tail there was */
};

static inline size_t outbox_pending(const struct outbox *o)
{
	return o->tail - o->head;
}

static inline size_t outbox_free(const struct outbox *o)
{
	return o->size_bytes - outbox_pending(o);
}

/* n contiguous bytes at the tail (outbox_free() must be as large); moves what is pending to the front
 * when only that makes room. Valid until the next call. */
must_check uint8_t *outbox_room(struct outbox *o, size_t n);

/* The n bytes at outbox_room() are a whole frame now. */
void outbox_commit(struct outbox *o, size_t n);

/* The oldest n bytes were sent. */
void outbox_sent(struct outbox *o, size_t n);

#endif
