/* SPDX-License-Identifier: Apache-2.0 */
/* credit.c - see credit.h. */
#include "guest-init/exec/credit.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { CREDIT_MAX_BYTES = 1 << 30 };

uint32_t credit_add(uint32_t credit_bytes, uint32_t more_bytes)
{
	return more_bytes > CREDIT_MAX_BYTES - credit_bytes ? CREDIT_MAX_BYTES
							    : credit_bytes + more_bytes;
}

void in_flow_init(struct in_flow *f, uint8_t *buf, uint32_t size_bytes)
{
	*f = (struct in_flow){.buf = buf, .size_bytes = size_bytes, .open_bytes = size_bytes};
}

int in_flow_receive(struct in_flow *f, size_t n)
{
	if (n > f->open_bytes)
		return -EPROTO;
	f->open_bytes -= (uint32_t)n;
	return 0;
}

void in_flow_queue(struct in_flow *f, const uint8_t *data, size_t n)
{
	uint32_t tail = (f->head + f->len) % f->size_bytes;
	size_t first = min_(n, (size_t)(f->size_bytes - tail));

	assert(n <= f->size_bytes - f->len); /* the window guarantees it */
	memcpy(f->buf + tail, data, first);
	memcpy(f->buf, data + first, n - first);
	f->len += (uint32_t)n;
}

size_t in_flow_peek(const struct in_flow *f, const uint8_t **ret)
{
	*ret = f->buf + f->head;
	return min_(f->len, f->size_bytes - f->head);
}

void in_flow_drop(struct in_flow *f, size_t n)
{
	assert(n <= f->len);
	f->head = (f->head + (uint32_t)n) % f->size_bytes;
	f->len -= (uint32_t)n;

	uint32_t foreign = min_((uint32_t)n, f->foreign_bytes);

	f->foreign_bytes -= foreign;
	f->cleared_bytes += foreign;
	in_flow_pass(f, n - foreign);
}

void in_flow_pass(struct in_flow *f, size_t n)
{
	f->owed_bytes += (uint32_t)n;
	assert(f->owed_bytes + f->cleared_bytes <= f->size_bytes - f->open_bytes - f->len);
}

struct in_credit in_flow_take_all(struct in_flow *f)
{
	struct in_credit c = {.bytes = f->owed_bytes, .opened = f->cleared_bytes};

	f->owed_bytes = f->cleared_bytes = 0;
	f->open_bytes += c.bytes + c.opened;
	return c;
}

struct in_credit in_flow_take_credit(struct in_flow *f)
{
	if (f->owed_bytes + f->cleared_bytes < f->size_bytes / 4)
		return (struct in_credit){0};
	return in_flow_take_all(f);
}

void in_flow_reopen(struct in_flow *f)
{
	f->owed_bytes = f->cleared_bytes = 0;
	f->foreign_bytes = f->len;
	f->open_bytes = f->size_bytes - f->len;
}
