/* SPDX-License-Identifier: Apache-2.0 */
/* xstate.h - the XSAVE area: where each state component lies in it, and what to check. Pure.
 *
 * Intel SDM vol. 1, chapter 13. An area is a 512-byte legacy region (x87, MXCSR, XMM), a 64-byte header
 * (XSTATE_BV, XCOMP_BV) and an extended region, whose components lie at fixed offsets (standard format)
 * or packed in order of their number (compacted format). KVM's image of a vCPU is in standard format.
 */
#ifndef VMM_ARCH_X86_XSTATE_H
#define VMM_ARCH_X86_XSTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

#define XSTATE_COMPACTED (1ULL << 63) /* in XCOMP_BV */

enum {
	XSTATE_X87 = 1 << 0,
	XSTATE_SSE = 1 << 1,
	XSTATE_AVX = 1 << 2,
	XSTATE_PKRU = 1 << 9,
	XSTATE_COMPONENTS = 63,
	XSTATE_MXCSR = 24, /* offsets */
	XSTATE_MXCSR_MASK = 28,
	XSTATE_HEADER = 512,
	XSTATE_LEGACY_BYTES = 576,   /* legacy region and header */
	XSTATE_MAX_BYTES = 4 * 4096, /* the largest area dealt with; today's CPUs need 11008 */
	XSTATE_PIECES = 4 + XSTATE_COMPONENTS,
	XSTATE_ALIGN = 64,
	MXCSR_INIT = 0x1f80,
};

struct xstate_header { /* as in memory */
	uint64_t xstate_bv, xcomp_bv, reserved[6];
};

struct xstate_layout {
	bool compaction;     /* the CPU knows XSAVEC */
	uint32_t mxcsr_mask; /* bits of MXCSR that are not reserved */
	struct {
		uint32_t offset, size; /* standard format; size 0: unknown to this CPU */
		bool align64;          /* in compacted format */
	} comp[XSTATE_COMPONENTS];
};

/* One run of bytes of a component, or MXCSR with its mask. */
struct xstate_piece {
	uint32_t area, image, len; /* offset in the guest's area, in KVM's image; bytes */
	uint64_t comp;             /* its bit; 0 for MXCSR */
};

/* Asks this CPU. Components that do not fit in XSTATE_MAX_BYTES are left out. */
void xstate_layout_init(struct xstate_layout *ret);

/* The components l knows, as bits. */
uint64_t xstate_known(const struct xstate_layout *l);

/* Bytes an area with these components takes; xcomp_bv without XSTATE_COMPACTED: standard format. */
size_t xstate_area_bytes(const struct xstate_layout *l, uint64_t xcomp_bv, uint64_t comps);

/* The runs of the components in comps, which must be known to l, in an area of that format, in order
 * of their number. Returns how many. MXCSR is not among them. */
unsigned xstate_pieces(const struct xstate_layout *l, uint64_t xcomp_bv, uint64_t comps,
		       struct xstate_piece ret[XSTATE_PIECES]);

/* Whether XRSTOR takes an area with this header, MXCSR aside: 13.8.1, 13.8.2; else it raises #GP. */
bool xstate_header_valid(const struct xstate_layout *l, const struct xstate_header *h,
			 uint64_t xcr0);

/* Puts one component of an image into its initial state (13.6), XSTATE_BV aside. */
void xstate_init_component(const struct xstate_layout *l, uint8_t *image, unsigned nr);

#endif
