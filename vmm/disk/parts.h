/* SPDX-License-Identifier: Apache-2.0 */
/* parts.h - files that are one disk, one behind the other without a gap: which of them has a byte.
 *
 * Pure: no descriptor is touched. Made once, then only read, by any thread. The sizes are those that the files had
 * when they were added: one that grows shows nothing of what is new, one that shrinks ends a read early, and that
 * is an error of this read alone.
 */
#ifndef VMM_DISK_PARTS_H
#define VMM_DISK_PARTS_H

#include <stdint.h>

#include "util/util.h"

enum { PART_BLOCK_BYTES = 4096 }; /* each file is whole ones: no page of the guest's lies in two */

struct parts;

struct extent { /* a piece of a file */
	int fd;
	uint64_t off_bytes, len_bytes;
};

/* Room for so many files. NULL: out of memory. */
must_check struct parts *parts_new(unsigned max);
void parts_free(struct parts *p); /* NULL is fine */

/* The next file. 0; -EINVAL: not whole blocks; -EOVERFLOW: all together are larger than any file. */
must_check int parts_add(struct parts *p, int fd, uint64_t bytes);

uint64_t parts_bytes(const struct parts *p);

/* From the byte off, which the disk must have, to the end of its file. */
struct extent parts_at(const struct parts *p, uint64_t off_bytes);

#endif
