/* SPDX-License-Identifier: Apache-2.0 */
/* bus.c - see bus.h. */
#include "vmm/bus.h"

#include <assert.h>
#include <string.h>

void bus_add(struct bus *b, const struct bus_range *r)
{
	assert(b->nranges < BUS_RANGES);
	assert(r->len && r->base + (r->len - 1) >= r->base);
	for (unsigned i = 0; i < b->nranges; i++) {
		const struct bus_range *o = &b->range[i];

		assert(r->base + (r->len - 1) < o->base || o->base + (o->len - 1) < r->base);
	}
	b->range[b->nranges++] = *r;
}

int bus_access(const struct bus *b, const struct bus_access *a)
{
	/* Looking at the first byte alone would let the last ones reach past the range. */
	for (unsigned i = 0; i < b->nranges; i++) {
		const struct bus_range *r = &b->range[i];
		uint64_t off = a->addr - r->base;

		if (off < r->len && a->len <= r->len - off) {
			struct bus_access own = *a;

			own.addr = off;
			return r->fn(r->user, &own);
		}
	}
	if (!a->write)
		memset(a->data, b->open, a->len);
	return 0;
}
