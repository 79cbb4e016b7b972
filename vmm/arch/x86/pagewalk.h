/* SPDX-License-Identifier: Apache-2.0 */
/* pagewalk.h - guest-virtual to guest-physical, with the checks a CPU would make. 64-bit mode only.
 *
 * Intel SDM vol. 3, 4.5 (four- and five-level paging), 4.6 (access rights), 4.7 (page faults).
 * KVM_TRANSLATE gives an address but neither rights nor an error code, and a kernel that saves state
 * to a user page relies on the fault. Not modelled: reserved bits above the physical address width.
 */
#ifndef VMM_ARCH_X86_PAGEWALK_H
#define VMM_ARCH_X86_PAGEWALK_H

#include <stdint.h>

#include "util/util.h"
#include "vmm/mem.h"

/* what is tried, and the page fault's error code: same bits */
enum {
	PF_PRESENT = 1 << 0,
	PF_WRITE = 1 << 1,
	PF_USER = 1 << 2,
	PF_RSVD = 1 << 3,
	PF_FETCH = 1 << 4,
	PF_PKEY = 1 << 5,
};

/* control bits the walk looks at, also of use to its callers */
enum {
	CR0_MP = 1 << 1,
	CR0_EM = 1 << 2,
	CR0_TS = 1 << 3,
	CR0_NE = 1 << 5,
	CR0_WP = 1 << 16,
	CR4_TSD = 1 << 2,
	CR4_OSFXSR = 1 << 9,
	CR4_LA57 = 1 << 12,
	CR4_OSXSAVE = 1 << 18,
	CR4_SMEP = 1 << 20,
	CR4_SMAP = 1 << 21,
	CR4_PKE = 1 << 22,
	EFER_LMA = 1 << 10,
	EFER_NXE = 1 << 11,
	RFLAGS_AC = 1 << 18,
	PAGE_BYTES = 4096,
};

struct pagewalk {
	const struct guest_mem *mem;
	uint64_t cr0, cr3, cr4, efer, rflags;
	uint32_t pkru; /* looked at only with CR4.PKE */
	unsigned cpl;
};

/* Translates the page of lin for access (0 for a read, PF_WRITE, PF_FETCH), setting the accessed and
 * dirty bits as the CPU would. lin must be canonical.
 *   0        *ret is lin's guest-physical address
 *   -EACCES  the CPU would raise #PF with error code *ret_error
 *   -EFAULT  a paging structure lies outside RAM */
must_check int pagewalk(const struct pagewalk *w, uint64_t lin, unsigned access, gpa_t *ret,
			uint32_t *ret_error);

#endif
