/* SPDX-License-Identifier: Apache-2.0 */
/* bus.h - which handler answers an access to MMIO or to a port.
 *
 * Thread: built before the first vCPU runs, read-only from then on; any vCPU thread looks things up.
 */
#ifndef VMM_BUS_H
#define VMM_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "util/util.h"

enum { BUS_RANGES = 24, BUS_ACCESS_BYTES = 8 };

struct bus_access {
	uint64_t addr; /* on the bus; a handler sees its own offset here */
	void *data;    /* what the guest wrote, or where its answer goes */
	unsigned len;  /* 1 to BUS_ACCESS_BYTES */
	bool write;
};

/* Answers one access that lies wholly inside its range. On a vCPU thread, several at once. 0, or the
 * enum exit_reason for which the machine is to end. */
typedef int bus_fn(void *user, const struct bus_access *a);

struct bus_range {
	uint64_t base, len;
	bus_fn *fn;
	void *user;
};

struct bus {
	uint8_t open; /* each byte of a read that nobody answers */
	unsigned nranges;
	struct bus_range range[BUS_RANGES];
};

/* The ranges must not overlap, and there is room for BUS_RANGES of them (our own mistake: asserts). */
void bus_add(struct bus *b, const struct bus_range *r);

/* Answers a, by its handler or as open bus: an access that nobody's range holds entirely reads
 * b->open and writes nothing. Returns what the handler did, else 0. */
int bus_access(const struct bus *b, const struct bus_access *a);

#endif
