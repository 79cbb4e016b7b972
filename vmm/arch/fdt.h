/* SPDX-License-Identifier: Apache-2.0 */
/* fdt.h - the device tree: how a guest learns what its machine consists of. No ACPI, PCI or MP table
 * exists beside it. Pure: the same machine gives the same bytes.
 */
#ifndef VMM_ARCH_FDT_H
#define VMM_ARCH_FDT_H

#include <stddef.h>

#include "util/err.h"
#include "util/util.h"

enum { FDT_MAX_BYTES = 12288 }; /* 32 vCPUs and 18 devices need less than 8192 */

struct fdt_machine {
	unsigned ncpus;   /* APIC id i is vCPU i */
	unsigned nvirtio; /* device i at its place in layout.h */
};

/* Writes the tree into buf and its size into ret_len. 0, or -ENOSPC. */
must_check int fdt_build(const struct fdt_machine *m, void *buf, size_t len, size_t *ret_len,
			 struct err *e);

#endif
