/* SPDX-License-Identifier: Apache-2.0 */
/* insn_exec.c - see insn_exec.h. */
#include "vmm/arch/x86/insn_exec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	RFLAGS_CF = 1 << 0,
	RFLAGS_PF = 1 << 2,
	RFLAGS_AF = 1 << 4,
	RFLAGS_ZF = 1 << 6,
	RFLAGS_SF = 1 << 7,
	RFLAGS_OF = 1 << 11,
	RFLAGS_ARITHMETIC = RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF,
	RFLAGS_RF = 1 << 16,
	FSW_OFFSET = 2,
	FSW_ES = 1 << 7,
	FSW_AFTER_FNCLEX = 0x7f00, /* condition codes and TOP */
	FSW_TOP = 7 << 11,
	FTW_OFFSET = 4,
	ST0_OFFSET = 32,
	ST_BYTES = 128,
	REX_W_BYTES = 8, /* operand size of the ...64 forms of XSAVE and its kin */
};

static void set_edx_eax(struct cpu_state *c, uint64_t value)
{
	c->regs.rax = (uint32_t)value;
	c->regs.rdx = value >> 32;
}

static uint64_t edx_eax(const struct cpu_state *c)
{
	return (uint32_t)c->regs.rax | c->regs.rdx << 32;
}

/* --- one short function per instruction ---------------------------------------------------------- */

/* A trap: the handler shall find RIP past it. */
static enum insn_result do_int3(struct cpu_state *c, const struct insn *i)
{
	c->regs.rip += i->len;
	return raise_plain(c, VEC_BP);
}

static enum insn_result do_ud1(struct cpu_state *c, const struct insn *i)
{
	(void)i;
	return raise_plain(c, VEC_UD);
}

/* CPUs without SMAP raise #UD; a kernel that got here found it in CPUID. */
static enum insn_result do_clac(struct cpu_state *c, const struct insn *i)
{
	(void)i;
	if (operand_cpl(c) != 0)
		return raise_plain(c, VEC_UD);
	c->regs.rflags &= ~(uint64_t)RFLAGS_AC;
	return INSN_DONE;
}

static enum insn_result do_stac(struct cpu_state *c, const struct insn *i)
{
	(void)i;
	if (operand_cpl(c) != 0)
		return raise_plain(c, VEC_UD);
	c->regs.rflags |= RFLAGS_AC;
	return INSN_DONE;
}

static enum insn_result do_popcnt(struct cpu_state *c, const struct insn *i)
{
	uint64_t v;
	enum insn_result r = operand_read(c, i, i->opsize, &v);

	if (r != INSN_DONE)
		return r;
	c->regs.rflags &= ~(uint64_t)RFLAGS_ARITHMETIC;
	c->regs.rflags |= v ? 0 : RFLAGS_ZF;
	operand_gpr_set(c, i->reg, i->opsize, (uint64_t)__builtin_popcountll(v));
	return INSN_DONE;
}

/* Atomic with LOCK or without: that is what CPUs do, and other vCPUs may be at it. */
static enum insn_result do_cmpxchg16b(struct cpu_state *c, const struct insn *i)
{
	struct span s;
	enum insn_result r = operand_aligned(c, i, 16);
	bool equal;

	if (r == INSN_DONE)
		r = operand_map(c, i, 16, PF_WRITE, &s);
	if (r != INSN_DONE)
		return r;
	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(equal), "+m"(*(__uint128_t *)s.v[0].iov_base), "+a"(c->regs.rax),
			   "+d"(c->regs.rdx)
			 : "b"(c->regs.rbx), "c"(c->regs.rcx)
			 : "memory");
	c->regs.rflags &= ~(uint64_t)RFLAGS_ZF;
	c->regs.rflags |= equal ? RFLAGS_ZF : 0;
	return INSN_DONE;
}

static enum insn_result do_rdtscp(struct cpu_state *c, const struct insn *i)
{
	(void)i;
	if ((c->sregs.cr4 & CR4_TSD) && operand_cpl(c) != 0)
		return raise_error(c, VEC_GP, 0);
	set_edx_eax(c, c->tsc);
	c->regs.rcx = (uint32_t)c->tsc_aux;
	return INSN_DONE;
}

/* --- x87 and MXCSR ------------------------------------------------------------------------------- */

static uint16_t fsw(const struct cpu_state *c)
{
	uint16_t v;

	memcpy(&v, c->xstate + FSW_OFFSET, sizeof(v));
	return v;
}

static void set_fsw(struct cpu_state *c, uint16_t v)
{
	memcpy(c->xstate + FSW_OFFSET, &v, sizeof(v));
}

static uint64_t xstate_bv(const struct cpu_state *c)
{
	uint64_t v;

	memcpy(&v, c->xstate + XSTATE_HEADER, sizeof(v));
	return v;
}

/* Without the component's bit KVM would take its initial value instead of the bytes. */
static void set_xstate_bv(struct cpu_state *c, uint64_t v)
{
	memcpy(c->xstate + XSTATE_HEADER, &v, sizeof(v));
	c->xstate_changed = true;
}

static uint32_t mxcsr(const struct cpu_state *c)
{
	uint32_t v;

	memcpy(&v, c->xstate + XSTATE_MXCSR, sizeof(v));
	return v;
}

/* The caller has checked v. Anything but the initial value lives in the SSE component for KVM. */
static void set_mxcsr(struct cpu_state *c, uint32_t v)
{
	memcpy(c->xstate + XSTATE_MXCSR, &v, sizeof(v));
	set_xstate_bv(c, xstate_bv(c) | (v == MXCSR_INIT ? 0 : XSTATE_SSE));
}

static bool mxcsr_valid(const struct cpu_state *c, uint32_t v)
{
	return !(v & ~c->layout->mxcsr_mask);
}

static enum insn_result do_fwait(struct cpu_state *c, const struct insn *i)
{
	(void)i;
	if ((c->sregs.cr0 & CR0_MP) && (c->sregs.cr0 & CR0_TS))
		return raise_plain(c, VEC_NM);
	return fsw(c) & FSW_ES ? raise_plain(c, VEC_MF) : INSN_DONE;
}

static enum insn_result x87_usable(struct cpu_state *c)
{
	return c->sregs.cr0 & (CR0_EM | CR0_TS) ? raise_plain(c, VEC_NM) : INSN_DONE;
}

static enum insn_result do_fnclex(struct cpu_state *c, const struct insn *i)
{
	enum insn_result r = x87_usable(c);

	(void)i;
	if (r == INSN_DONE && (fsw(c) & ~FSW_AFTER_FNCLEX)) {
		set_fsw(c, fsw(c) & FSW_AFTER_FNCLEX);
		set_xstate_bv(c, xstate_bv(c) | XSTATE_X87);
	}
	return r;
}

static enum insn_result sse_usable(struct cpu_state *c)
{
	if ((c->sregs.cr0 & CR0_EM) || !(c->sregs.cr4 & CR4_OSFXSR))
		return raise_plain(c, VEC_UD);
	return c->sregs.cr0 & CR0_TS ? raise_plain(c, VEC_NM) : INSN_DONE;
}

static enum insn_result do_ldmxcsr(struct cpu_state *c, const struct insn *i)
{
	uint64_t v = 0;
	enum insn_result r = sse_usable(c);

	if (r == INSN_DONE)
		r = operand_read(c, i, sizeof(uint32_t), &v);
	if (r != INSN_DONE)
		return r;
	if (!mxcsr_valid(c, (uint32_t)v))
		return raise_error(c, VEC_GP, 0);
	set_mxcsr(c, (uint32_t)v);
	return INSN_DONE;
}

static enum insn_result do_stmxcsr(struct cpu_state *c, const struct insn *i)
{
	uint32_t v = mxcsr(c);
	struct span s;
	enum insn_result r = sse_usable(c);

	if (r == INSN_DONE)
		r = operand_map(c, i, sizeof(v), PF_WRITE, &s);
	if (r == INSN_DONE)
		span_put(&s, 0, &v, sizeof(v));
	return r;
}

static enum insn_result do_emms(struct cpu_state *c, const struct insn *i)
{
	enum insn_result r = x87_usable(c);

	(void)i;
	if (r == INSN_DONE && c->xstate[FTW_OFFSET]) {
		c->xstate[FTW_OFFSET] = 0;
		set_xstate_bv(c, xstate_bv(c) | XSTATE_X87);
	}
	return r;
}

/* An x87 extended value: explicit leading one, exponent biased by 16383. */
static void store_int(uint8_t st[16], int32_t v)
{
	uint64_t magnitude = (uint64_t)llabs(v), mantissa = 0;
	unsigned sign_exponent = v < 0 ? 0x8000 : 0;

	if (magnitude) {
		int shift = __builtin_clzll(magnitude);

		mantissa = magnitude << shift;
		sign_exponent |= 16383 + 63 - (unsigned)shift;
	}
	memset(st, 0, 16);
	memcpy(st, &mantissa, sizeof(mantissa));
	memcpy(st + 8, &sign_exponent, 2);
}

/* Kernels use it to overwrite the x87 pointers, on an empty stack. A full one is refused. */
static enum insn_result do_fildl(struct cpu_state *c, const struct insn *i)
{
	uint8_t *st = c->xstate + ST0_OFFSET;
	unsigned top = ((fsw(c) >> 11) - 1) & 7;
	uint64_t v = 0;
	enum insn_result r = x87_usable(c);

	if (r == INSN_DONE && (c->xstate[FTW_OFFSET] >> top & 1))
		r = INSN_REFUSED;
	if (r == INSN_DONE)
		r = operand_read(c, i, sizeof(int32_t), &v);
	if (r != INSN_DONE)
		return r;
	/* The image holds the registers by their distance from the top of the stack. */
	memmove(st + 16, st, ST_BYTES - 16);
	store_int(st, (int32_t)v);
	set_fsw(c, (uint16_t)((fsw(c) & ~(unsigned)FSW_TOP) | top << 11));
	c->xstate[FTW_OFFSET] |= (uint8_t)(1 << top);
	set_xstate_bv(c, xstate_bv(c) | XSTATE_X87);
	return INSN_DONE;
}

/* --- XSAVE and its kin --------------------------------------------------------------------------- */

static enum insn_result xsave_usable(struct cpu_state *c)
{
	if (!(c->sregs.cr4 & CR4_OSXSAVE))
		return raise_plain(c, VEC_UD);
	return c->sregs.cr0 & CR0_TS ? raise_plain(c, VEC_NM) : INSN_DONE;
}

static enum insn_result do_xgetbv(struct cpu_state *c, const struct insn *i)
{
	(void)i;
	if (!(c->sregs.cr4 & CR4_OSXSAVE))
		return raise_plain(c, VEC_UD);
	if ((uint32_t)c->regs.rcx > 1)
		return raise_error(c, VEC_GP, 0);
	/* XCR1 does not exist; reading it tells which components are in use. */
	set_edx_eax(c, (uint32_t)c->regs.rcx ? c->xcr0 & xstate_bv(c) : c->xcr0);
	return INSN_DONE;
}

/* The forms without REX.W hold FIP and FDP in 32 bits and the selectors, which CPUs no longer keep. */
static void clear_selectors(struct cpu_state *c)
{
	memset(c->xstate + 12, 0, 4);
	memset(c->xstate + 20, 0, 4);
}

static void put_mxcsr(const struct cpu_state *c, const struct span *s)
{
	uint32_t both[2] = {mxcsr(c), c->layout->mxcsr_mask};

	span_put(s, XSTATE_MXCSR, both, sizeof(both));
}

/* XSAVES is XSAVEC at CPL 0, given INSN_NEEDS_NO_XSS. */
static enum insn_result do_xsave(struct cpu_state *c, const struct insn *i)
{
	bool compact = i->id == INSN_XSAVEC || i->id == INSN_XSAVES;
	bool skip_initial = compact || i->id == INSN_XSAVEOPT;
	uint64_t rfbm = edx_eax(c) & c->xcr0, in_use = xstate_bv(c), stored;
	uint64_t xcomp_bv = compact ? rfbm | XSTATE_COMPACTED : 0;
	struct xstate_piece piece[XSTATE_PIECES];
	struct xstate_header h;
	enum insn_result r = xsave_usable(c);
	struct span s;
	unsigned n;

	if (r == INSN_DONE && i->id == INSN_XSAVES && operand_cpl(c) != 0)
		r = raise_error(c, VEC_GP, 0);
	if (r == INSN_DONE)
		r = operand_aligned(c, i, XSTATE_ALIGN);
	if (r == INSN_DONE)
		r = operand_map(c, i, xstate_area_bytes(c->layout, xcomp_bv, rfbm), PF_WRITE, &s);
	if (r != INSN_DONE)
		return r;

	if (i->opsize != REX_W_BYTES)
		clear_selectors(c);
	if (compact && mxcsr(c) != MXCSR_INIT)
		in_use |= XSTATE_SSE;
	stored = skip_initial ? rfbm & in_use : rfbm;
	n = xstate_pieces(c->layout, xcomp_bv, stored, piece);
	for (unsigned k = 0; k < n; k++)
		span_put(&s, piece[k].area, c->xstate + piece[k].image, piece[k].len);
	/* MXCSR belongs to SSE in compacted format, to SSE and AVX in standard format. */
	if (compact ? stored & XSTATE_SSE : rfbm & (XSTATE_SSE | XSTATE_AVX))
		put_mxcsr(c, &s);

	span_get(&s, XSTATE_HEADER, &h, sizeof(h));
	h.xstate_bv = compact ? rfbm & in_use : (h.xstate_bv & ~rfbm) | (rfbm & in_use);
	h.xcomp_bv = xcomp_bv;
	span_put(&s, XSTATE_HEADER, &h, compact ? 16 : 8);
	return INSN_DONE;
}

/* What XRSTOR found in the area, checked. */
struct restore {
	struct span span;
	struct xstate_header header;
	uint64_t rfbm;
	bool takes_mxcsr;
	uint32_t mxcsr;
};

/* Reads header and MXCSR, once; nothing is changed yet. */
static enum insn_result restore_check(struct cpu_state *c, const struct insn *i,
				      struct restore *ret)
{
	struct xstate_header *h = &ret->header;
	enum insn_result r = operand_map(c, i, XSTATE_LEGACY_BYTES, 0, &ret->span);
	bool compacted;

	if (r != INSN_DONE)
		return r;
	span_get(&ret->span, XSTATE_HEADER, h, sizeof(*h));
	compacted = h->xcomp_bv & XSTATE_COMPACTED;
	if (!xstate_header_valid(c->layout, h, c->xcr0) || (i->id == INSN_XRSTORS && !compacted))
		return raise_error(c, VEC_GP, 0);

	ret->rfbm = edx_eax(c) & c->xcr0;
	ret->takes_mxcsr = ret->rfbm & (XSTATE_SSE | (compacted ? 0 : XSTATE_AVX));
	ret->mxcsr = MXCSR_INIT;
	if (!compacted || (h->xstate_bv & XSTATE_SSE))
		span_get(&ret->span, XSTATE_MXCSR, &ret->mxcsr, sizeof(ret->mxcsr));
	if (ret->takes_mxcsr && !mxcsr_valid(c, ret->mxcsr))
		return raise_error(c, VEC_GP, 0);
	return operand_map(c, i,
			   xstate_area_bytes(c->layout, h->xcomp_bv, ret->rfbm & h->xstate_bv), 0,
			   &ret->span);
}

static void restore_components(struct cpu_state *c, const struct restore *s)
{
	uint64_t loaded = s->rfbm & s->header.xstate_bv, reset = s->rfbm & ~loaded;
	struct xstate_piece piece[XSTATE_PIECES];
	unsigned n = xstate_pieces(c->layout, s->header.xcomp_bv, loaded, piece);

	for (unsigned k = 0; k < n; k++)
		span_get(&s->span, piece[k].area, c->xstate + piece[k].image, piece[k].len);
	for (unsigned nr = 0; nr < XSTATE_COMPONENTS; nr++) {
		if (reset >> nr & 1)
			xstate_init_component(c->layout, c->xstate, nr);
	}
	set_xstate_bv(c, (xstate_bv(c) & ~s->rfbm) | loaded);
	if (s->takes_mxcsr)
		set_mxcsr(c, s->mxcsr);
}

static enum insn_result do_xrstor(struct cpu_state *c, const struct insn *i)
{
	struct restore s;
	enum insn_result r = xsave_usable(c);

	if (r == INSN_DONE && i->id == INSN_XRSTORS && operand_cpl(c) != 0)
		r = raise_error(c, VEC_GP, 0);
	if (r == INSN_DONE)
		r = operand_aligned(c, i, XSTATE_ALIGN);
	if (r == INSN_DONE)
		r = restore_check(c, i, &s);
	if (r != INSN_DONE)
		return r;
	restore_components(c, &s);
	if (i->opsize != REX_W_BYTES && (s.rfbm & s.header.xstate_bv & XSTATE_X87))
		clear_selectors(c);
	return INSN_DONE;
}

/* --- the table ----------------------------------------------------------------------------------- */

enum {
	XSTATE = INSN_NEEDS_XSTATE,
	XSTATE_XCR0 = INSN_NEEDS_XSTATE | INSN_NEEDS_XCR0,
	XSTATE_XSS = XSTATE_XCR0 | INSN_NEEDS_NO_XSS,
	LOCKABLE = 1 << 8, /* others raise #UD with a LOCK prefix */
};

static const struct {
	enum insn_result (*run)(struct cpu_state *c, const struct insn *i);
	unsigned flags;
} table[INSN_IDS] = {
	[INSN_INT3] = {do_int3, 0},
	[INSN_UD1] = {do_ud1, 0},
	[INSN_FWAIT] = {do_fwait, XSTATE},
	[INSN_FNCLEX] = {do_fnclex, XSTATE},
	[INSN_EMMS] = {do_emms, XSTATE},
	[INSN_FILDL] = {do_fildl, XSTATE},
	[INSN_LDMXCSR] = {do_ldmxcsr, XSTATE},
	[INSN_STMXCSR] = {do_stmxcsr, XSTATE},
	[INSN_XSAVE] = {do_xsave, XSTATE_XCR0},
	[INSN_XSAVEOPT] = {do_xsave, XSTATE_XCR0},
	[INSN_XSAVEC] = {do_xsave, XSTATE_XCR0},
	[INSN_XSAVES] = {do_xsave, XSTATE_XSS},
	[INSN_XRSTOR] = {do_xrstor, XSTATE_XCR0},
	[INSN_XRSTORS] = {do_xrstor, XSTATE_XSS},
	[INSN_XGETBV] = {do_xgetbv, XSTATE_XCR0},
	[INSN_CLAC] = {do_clac, 0},
	[INSN_STAC] = {do_stac, 0},
	[INSN_POPCNT] = {do_popcnt, 0},
	[INSN_CMPXCHG16B] = {do_cmpxchg16b, LOCKABLE},
	[INSN_RDTSCP] = {do_rdtscp, INSN_NEEDS_TSC},
};

unsigned insn_needs(enum insn_id id)
{
	assert(id < INSN_IDS);
	return table[id].flags & ~(unsigned)LOCKABLE;
}

enum insn_result insn_exec(struct cpu_state *c, const struct insn *i)
{
	enum insn_result r;

	assert(i->id < INSN_IDS);
	c->exception.raised = false;
	c->xstate_changed = false;
	if (i->lock && !(table[i->id].flags & LOCKABLE))
		return raise_plain(c, VEC_UD);
	r = table[i->id].run(c, i);
	if (r == INSN_DONE) {
		c->regs.rip += i->len;
		c->regs.rflags &= ~(uint64_t)RFLAGS_RF;
	}
	return r;
}
