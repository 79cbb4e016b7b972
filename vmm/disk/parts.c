/* SPDX-License-Identifier: Apache-2.0 */
/* parts.c - see parts.h. An empty file has no byte, so it is not in the table. */
#include "vmm/disk/parts.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct part {
	uint64_t start_bytes;
	int fd;
};

struct parts {
	unsigned n, max;
	uint64_t bytes;
	struct part part[];
};

struct parts *parts_new(unsigned max)
{
	struct parts *p = calloc(1, sizeof(*p) + max * sizeof(p->part[0]));

	if (p)
		p->max = max;
	return p;
}

void parts_free(struct parts *p)
{
	free(p);
}

int parts_add(struct parts *p, int fd, uint64_t bytes)
{
	if (bytes % PART_BLOCK_BYTES)
		return -EINVAL;
	if (bytes > INT64_MAX - p->bytes)
		return -EOVERFLOW;
	if (bytes == 0)
		return 0;
	assert(p->n < p->max);
	p->part[p->n++] = (struct part){p->bytes, fd};
	p->bytes += bytes;
	return 0;
}

uint64_t parts_bytes(const struct parts *p)
{
	return p->bytes;
}

struct extent parts_at(const struct parts *p, uint64_t off_bytes)
{
	unsigned in = 0, behind = p->n; /* parts that begin at or before off_bytes, and behind it */

	assert(off_bytes < p->bytes);
	while (behind - in > 1) {
		unsigned mid = in + (behind - in) / 2;

		if (p->part[mid].start_bytes <= off_bytes)
			in = mid;
		else
			behind = mid;
	}
	uint64_t end = behind < p->n ? p->part[behind].start_bytes : p->bytes;
	return (struct extent){.fd = p->part[in].fd,
			       .off_bytes = off_bytes - p->part[in].start_bytes,
			       .len_bytes = end - off_bytes};
}
