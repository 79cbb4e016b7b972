/* SPDX-License-Identifier: Apache-2.0 */
/* xstate.c - see xstate.h. */
#include "vmm/arch/x86/xstate.h"

#include <cpuid.h>
#include <string.h>

enum { LEAF_XSTATE = 0xd, FCW_INIT = 0x37f, MXCSR_MASK_DEFAULT = 0xffbf };

/* 11.6.6. KVM's image cannot be asked: with SSE in its initial state it may hold no mask. */
static uint32_t mxcsr_mask(void)
{
	_Alignas(16) uint8_t area[512] = {0};
	uint32_t mask;

	__asm__ volatile("fxsave %0" : "+m"(area));
	memcpy(&mask, area + XSTATE_MXCSR_MASK, sizeof(mask));
	return mask ? mask : MXCSR_MASK_DEFAULT;
}

void xstate_layout_init(struct xstate_layout *ret)
{
	uint32_t eax, ebx, ecx, edx;

	*ret = (struct xstate_layout){.mxcsr_mask = mxcsr_mask()};
	if (__get_cpuid_max(0, NULL) < LEAF_XSTATE)
		return;
	__cpuid_count(LEAF_XSTATE, 0, eax, ebx, ecx, edx);
	uint64_t there = (uint64_t)edx << 32 | eax;
	__cpuid_count(LEAF_XSTATE, 1, eax, ebx, ecx, edx);
	ret->compaction = eax & 2;
	for (unsigned i = 2; i < XSTATE_COMPONENTS; i++) {
		if (!(there >> i & 1)) /* on a virtual host each CPUID costs a microsecond */
			continue;
		__cpuid_count(LEAF_XSTATE, i, eax, ebx, ecx, edx);
		/* ecx bit 0: a supervisor component, which has no place in the standard format */
		if (!eax || (ecx & 1) || ebx < XSTATE_LEGACY_BYTES || ebx > XSTATE_MAX_BYTES ||
		    eax > XSTATE_MAX_BYTES - ebx)
			continue;
		ret->comp[i].offset = ebx;
		ret->comp[i].size = eax;
		ret->comp[i].align64 = ecx & 2;
	}
}

uint64_t xstate_known(const struct xstate_layout *l)
{
	uint64_t known = XSTATE_X87 | XSTATE_SSE;

	for (unsigned i = 2; i < XSTATE_COMPONENTS; i++)
		known |= (uint64_t) !!l->comp[i].size << i;
	return known;
}

/* Where component nr >= 2 starts. Compacted: after those of lower number that XCOMP_BV names. */
static size_t comp_offset(const struct xstate_layout *l, uint64_t xcomp_bv, unsigned nr)
{
	size_t at = XSTATE_LEGACY_BYTES;

	if (!(xcomp_bv & XSTATE_COMPACTED))
		return l->comp[nr].offset;
	for (unsigned i = 2; i <= nr; i++) {
		if (!(xcomp_bv >> i & 1))
			continue;
		if (l->comp[i].align64)
			at = (at + 63) & ~(size_t)63;
		if (i < nr)
			at += l->comp[i].size;
	}
	return at;
}

size_t xstate_area_bytes(const struct xstate_layout *l, uint64_t xcomp_bv, uint64_t comps)
{
	size_t bytes = XSTATE_LEGACY_BYTES;

	for (unsigned i = 2; i < XSTATE_COMPONENTS; i++) {
		size_t end = comp_offset(l, xcomp_bv, i) + l->comp[i].size;

		if ((comps >> i & 1) && end > bytes)
			bytes = end;
	}
	return bytes;
}

unsigned xstate_pieces(const struct xstate_layout *l, uint64_t xcomp_bv, uint64_t comps,
		       struct xstate_piece ret[XSTATE_PIECES])
{
	unsigned n = 0;

	if (comps & XSTATE_X87) {
		ret[n++] = (struct xstate_piece){0, 0, 24, XSTATE_X87};
		ret[n++] = (struct xstate_piece){32, 32, 128, XSTATE_X87};
	}
	if (comps & XSTATE_SSE)
		ret[n++] = (struct xstate_piece){160, 160, 256, XSTATE_SSE};
	for (unsigned i = 2; i < XSTATE_COMPONENTS; i++) {
		if (comps >> i & 1)
			ret[n++] = (struct xstate_piece){(uint32_t)comp_offset(l, xcomp_bv, i),
							 l->comp[i].offset, l->comp[i].size,
							 1ULL << i};
	}
	return n;
}

bool xstate_header_valid(const struct xstate_layout *l, const struct xstate_header *h,
			 uint64_t xcr0)
{
	bool compacted = h->xcomp_bv & XSTATE_COMPACTED;
	unsigned checked = compacted ? 6 : 1;

	/* Standard: bytes 8 to 23 are zero. Compacted: bytes 16 to 63. */
	for (unsigned i = 0; i < checked; i++) {
		if (h->reserved[i])
			return false;
	}
	if (h->xstate_bv & ~xcr0)
		return false;
	if (!compacted)
		return !h->xcomp_bv;
	return l->compaction && !(h->xcomp_bv & ~XSTATE_COMPACTED & ~xcr0) &&
	       !(h->xstate_bv & ~h->xcomp_bv);
}

void xstate_init_component(const struct xstate_layout *l, uint8_t *image, unsigned nr)
{
	struct xstate_piece piece[XSTATE_PIECES];
	unsigned n = xstate_pieces(l, 0, 1ULL << nr, piece);
	uint16_t fcw = FCW_INIT;

	for (unsigned i = 0; i < n; i++)
		memset(image + piece[i].image, 0, piece[i].len);
	if (nr == 0)
		memcpy(image, &fcw, sizeof(fcw));
}
