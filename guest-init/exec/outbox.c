/* SPDX-License-Identifier: Apache-2.0 */
/* outbox.c - see outbox.h. */
#include "guest-init/exec/outbox.h"

#include <assert.h>
#include <string.h>

uint8_t *outbox_room(struct outbox *o, size_t n)
{
	assert(n <= outbox_free(o));
	if (n > o->size_bytes - o->tail) {
		memmove(o->buf, o->buf + o->head, outbox_pending(o));
		o->tail -= o->head;
		o->head = 0;
	}
	return o->buf + o->tail;
}

void outbox_commit(struct outbox *o, size_t n)
{
	assert(n <= o->size_bytes - o->tail);
	o->tail += n;
	o->high = max_(o->high, o->tail);
}

void outbox_sent(struct outbox *o, size_t n)
{
	assert(n <= outbox_pending(o));
	o->head += n;
	if (o->head == o->tail)
		o->head = o->tail = 0;
}
