/* SPDX-License-Identifier: Apache-2.0 */
/* progress.h - lines about how far the work is, for whoever shows them:
 *
 *	layer 2 3 BYTES OF		layer 2 of 3: bytes of its blob that are read, of how many (0: not known)
 *	have 1 3			layer 1 of 3 was there already
 *	spool BYTES OF			an archive that cannot be looked at twice is being copied
 *
 * At most one line for each PROGRESS_EVERY_BYTES, but always the last one of a layer.
 */
#ifndef IMAGE_PROGRESS_H
#define IMAGE_PROGRESS_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

enum { PROGRESS_EVERY_BYTES = 4 << 20 };

struct progress {
	int fd; /* -1: nobody listens */
	unsigned layer, layers;
	uint64_t told;
};

static inline void progress_blob(struct progress *p, uint64_t bytes, uint64_t of, int last)
{
	if (p->fd < 0 || (!last && bytes - p->told < PROGRESS_EVERY_BYTES))
		return;
	p->told = bytes;
	if (p->layer == 0)
		(void)dprintf(p->fd, "spool %" PRIu64 " %" PRIu64 "\n", bytes, of);
	else
		(void)dprintf(p->fd, "layer %u %u %" PRIu64 " %" PRIu64 "\n", p->layer, p->layers,
			      bytes, of);
}

static inline void progress_have(const struct progress *p)
{
	if (p->fd >= 0)
		(void)dprintf(p->fd, "have %u %u\n", p->layer, p->layers);
}

#endif
