/* SPDX-License-Identifier: Apache-2.0 */
/* memfile.h - the memory file of a snapshot: guest RAM as it lies in the regions, one after the other, with holes
 * where the guest never wrote, and then one page that says whose it is.
 *
 * A restored machine maps the file privately: many share its pages, and what one writes becomes its own. Nothing is
 * read at that time but the last page.
 *
 * Thread: the loop's; the machine stands still.
 */
#ifndef VMM_SNAP_MEMFILE_H
#define VMM_SNAP_MEMFILE_H

#include "vmm/mem.h"

enum { MEMFILE_ID_BYTES = 16 };

struct memfile_id {
	uint8_t bytes[MEMFILE_ID_BYTES]; /* random; the state file has the same */
};

/* Which of our own pages exist: a descriptor that lives on where there is no /proc, or -1: then every page of the guest is
 * looked at. Of the calling process, so after its last fork. */
int memfile_pagemap(void);

/* How long the file of that memory is. */
must_check uint64_t memfile_bytes(const struct guest_mem *m);

/* Writes m to fd, a regular file, which is emptied first. base_fd: the file that m is mapped from, -1: none. *ret_bytes: what was written,
 * holes left out. 0 or -errno with the reason in e; fd is then good for nothing. */
must_check int memfile_write(const struct guest_mem *m, int fd, int base_fd, int pagemap_fd,
			     const struct memfile_id *id, uint64_t *ret_bytes, struct err *e);

/* Whether fd is the memory, whole, that belongs to id. 0, or -EINVAL ... with the reason in e. */
must_check int memfile_check(int fd, uint64_t size_bytes, const struct memfile_id *id,
			     struct err *e);

#endif
