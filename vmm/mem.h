/* SPDX-License-Identifier: Apache-2.0 */
/* mem.h - guest memory: RAM regions and the only door from a guest-physical address to a pointer.
 *
 * Thread: built before the first vCPU runs, read-only from then on; any thread may look things up.
 */
#ifndef VMM_MEM_H
#define VMM_MEM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/err.h"
#include "util/util.h"

/* A guest-physical address is a type, not a number: passing a length, an offset or a host pointer
 * where one belongs does not compile. */
typedef struct {
	uint64_t raw;
} gpa_t;

enum { MEM_REGIONS = 2 }; /* below the MMIO hole, and from 4 GiB on */

struct mem_region {
	uint64_t gpa, size_bytes;
	uint8_t *host;
};

struct guest_mem {
	unsigned nregions;
	struct mem_region region[MEM_REGIONS];
};

/* Reserves size_bytes of guest RAM, split around the MMIO hole (layout.h), page-aligned: zeroed, or, with fd not -1,
 * with what that file holds, which stays as it is and may be closed; it must be that long.
 * 0 or -errno with the reason in e. mem_fini() copes with a zeroed or half-built m. */
must_check int mem_init(struct guest_mem *m, uint64_t size_bytes, int fd, struct err *e);
void mem_fini(struct guest_mem *m);

/* All regions together. */
uint64_t mem_bytes(const struct guest_mem *m);

/* [gpa, gpa+len) as host memory. -EFAULT unless it lies wholly inside one RAM region; len 0 is
 * refused too, so that a success always names at least one byte. */
must_check int mem_slice(const struct guest_mem *m, gpa_t gpa, size_t len, struct iovec *ret);

/* Copies; same errors as mem_slice(). */
must_check int mem_write(const struct guest_mem *m, gpa_t gpa, const void *buf, size_t len);

#endif
