/* SPDX-License-Identifier: Apache-2.0 */
/* XSAVE and its kin, beside this CPU's own: what they write and load must agree byte for byte. */
#include <cpuid.h>

#include "tests/lib/cpu_fixture.h"

TestSuite(xstate, .init = init, .fini = fini);

#define XSAVE    BYTES(0x48, 0x0f, 0xae, 0x26)
#define XSAVEOPT BYTES(0x48, 0x0f, 0xae, 0x36)
#define XSAVEC   BYTES(0x48, 0x0f, 0xc7, 0x26)
#define XSAVES   BYTES(0x48, 0x0f, 0xc7, 0x2e)
#define XRSTOR   BYTES(0x48, 0x0f, 0xae, 0x2e)
#define XRSTORS  BYTES(0x48, 0x0f, 0xc7, 0x1e)

Test(xstate, xsave_and_xrstor_preconditions)
{
	c->regs.rax = 7;
	c->regs.rsi = AREA + 32;
	faults(XSAVE, VEC_GP, 0);
	faults(XRSTOR, VEC_GP, 0);
	c->regs.rsi = AREA;
	c->sregs.cr0 |= CR0_TS;
	faults(XSAVE, VEC_NM, -1);
	faults(XRSTOR, VEC_NM, -1);
	c->sregs.cr4 = CR4_OSFXSR;
	faults(XSAVE, VEC_UD, -1);
	faults(XRSTOR, VEC_UD, -1);
	faults(BYTES(0x0f, 0x01, 0xd0), VEC_UD, -1);
}

Test(xstate, supervisor_forms_are_for_the_kernel)
{
	user_mode();
	faults(XSAVES, VEC_GP, 0);
	faults(XRSTORS, VEC_GP, 0);
	done(XSAVE);
}

Test(xstate, xsave_faults_as_a_whole)
{
	uint8_t before[PAGE_BYTES], after[PAGE_BYTES];

	c->regs.rax = 7;
	c->regs.rsi = AREA + PAGE_BYTES - 576; /* AVX lies on the next page */
	memset(at(AREA), 0x5a, PAGE_BYTES);
	get(AREA, before, sizeof(before));
	*pte(AREA + PAGE_BYTES) &= ~(uint64_t)P;
	faults(XSAVE, VEC_PF, PF_WRITE);
	cr_expect_eq(c->exception.cr2, AREA + PAGE_BYTES);
	get(AREA, after, sizeof(after));
	cr_expect_eq(memcmp(before, after, sizeof(before)), 0);
	*pte(AREA + PAGE_BYTES) |= P;
	*pte(AREA + PAGE_BYTES) &= ~(uint64_t)W;
	faults(XSAVE, VEC_PF, PF_WRITE | PF_PRESENT);
	c->regs.rax = 3; /* AVX left out: the page is not needed */
	done(XSAVE);
}

Test(xstate, xsave_to_user_pages_obeys_smap_and_reports_user_mode)
{
	user_mode();
	*pte(AREA) &= ~(uint64_t)W;
	faults(XSAVE, VEC_PF, PF_WRITE | PF_PRESENT | PF_USER);
	c->sregs.ss.dpl = 0;
	c->sregs.cr4 |= CR4_SMAP;
	faults(XRSTOR, VEC_PF, PF_PRESENT);
	c->regs.rflags |= RFLAGS_AC;
	done(XRSTOR);
}

Test(xstate, xrstor_faults_before_it_changes_anything)
{
	struct xstate_header h = {.xstate_bv = 7};

	c->regs.rax = 7;
	c->regs.rsi = AREA + PAGE_BYTES - 576;
	put(c->regs.rsi + XSTATE_HEADER, &h, sizeof(h));
	*pte(AREA + PAGE_BYTES) &= ~(uint64_t)P;
	faults(XRSTOR, VEC_PF, 0);
	cr_expect_eq(c->exception.cr2, AREA + PAGE_BYTES);
	h.xstate_bv = 3; /* AVX is reset, not read */
	put(c->regs.rsi + XSTATE_HEADER, &h, sizeof(h));
	done(XRSTOR);
}

static void header(uint64_t bv, uint64_t comp, unsigned reserved)
{
	struct xstate_header h = {.xstate_bv = bv, .xcomp_bv = comp};

	if (reserved < countof(h.reserved))
		h.reserved[reserved] = 1;
	put(AREA + XSTATE_HEADER, &h, sizeof(h));
}

Test(xstate, xrstor_refuses_headers_the_cpu_refuses)
{
	const uint64_t compact = XSTATE_COMPACTED;

	c->regs.rax = 0; /* checked whatever is asked for */
	header(8, 0, 9);
	faults(XRSTOR, VEC_GP, 0); /* not in XCR0 */
	header(0, 1, 9);
	faults(XRSTOR, VEC_GP, 0);
	header(0, 0, 0);
	faults(XRSTOR, VEC_GP, 0);
	header(0, 0, 1);
	done(XRSTOR); /* standard format does not look that far */
	if (!layout.compaction)
		return;
	header(7, compact | 7, 9);
	done(XRSTOR);
	header(7, compact | 3, 9);
	faults(XRSTOR, VEC_GP, 0);
	header(0, compact | 8, 9);
	faults(XRSTOR, VEC_GP, 0);
	for (unsigned k = 0; k < 6; k++) {
		header(0, compact, k);
		faults(XRSTOR, VEC_GP, 0);
	}
	header(7, 0, 9);
	faults(XRSTORS, VEC_GP, 0); /* compacted only */
	header(7, compact | 7, 9);
	done(XRSTORS);
}

static uint32_t mxcsr_after(uint64_t rfbm, uint64_t bv, uint64_t comp)
{
	uint32_t v = 0x1f00, now = 0x1fa0;

	memcpy(c->xstate + XSTATE_MXCSR, &now, sizeof(now));
	put(AREA + XSTATE_MXCSR, &v, sizeof(v));
	header(bv, comp, 9);
	c->regs.rax = rfbm;
	done(XRSTOR);
	memcpy(&now, c->xstate + XSTATE_MXCSR, sizeof(now));
	return now;
}

Test(xstate, xrstor_of_mxcsr)
{
	uint32_t bad = 0x10000;

	cr_expect_eq(mxcsr_after(1, 7, 0), 0x1fa0, "x87 alone leaves it");
	cr_expect_eq(mxcsr_after(2, 2, 0), 0x1f00);
	cr_expect_eq(mxcsr_after(2, 0, 0), 0x1f00, "whether or not SSE is in the area");
	cr_expect_eq(mxcsr_after(4, 4, 0), 0x1f00, "AVX takes it along");
	put(AREA + XSTATE_MXCSR, &bad, sizeof(bad));
	faults(XRSTOR, VEC_GP, 0);
	if (!layout.compaction)
		return;
	cr_expect_eq(mxcsr_after(4, 4, XSTATE_COMPACTED | 7), 0x1fa0);
	cr_expect_eq(mxcsr_after(2, 2, XSTATE_COMPACTED | 7), 0x1f00);
	cr_expect_eq(mxcsr_after(2, 0, XSTATE_COMPACTED | 7), MXCSR_INIT);
}

Test(xstate, xrstor_marks_mxcsr_alone_as_sse_in_use)
{
	cr_expect_eq(mxcsr_after(2, 0, 0), 0x1f00);
	cr_expect_eq(in_use() & XSTATE_SSE, XSTATE_SSE, "else KVM would reset it");
	for (unsigned k = 160; k < 416; k++)
		cr_assert_eq(c->xstate[k], 0, "XMM is in its initial state");
}

Test(xstate, xgetbv)
{
	c->xcr0 = 7;
	c->regs.rdx = c->regs.rax = ~0ULL;
	done(BYTES(0x0f, 0x01, 0xd0));
	cr_expect(c->regs.rax == 7 && c->regs.rdx == 0);
	c->regs.rcx = 1;
	memcpy(c->xstate + XSTATE_HEADER, &(uint64_t){5}, 8);
	done(BYTES(0x0f, 0x01, 0xd0));
	cr_expect_eq(c->regs.rax, 5);
	c->regs.rcx = 2;
	faults(BYTES(0x0f, 0x01, 0xd0), VEC_GP, 0);
}

/* --- XSAVE and its kin, beside the CPU ----------------------------------------------------------- */

/* PKRU and AMX aside: the one could lock us out, the other needs a permission. */
enum { COMPARED = 0xe7, STATE_BYTES = 4096 };

struct area {
	_Alignas(64) uint8_t b[STATE_BYTES];
};

static uint64_t native_xcr0(void)
{
	uint32_t eax, ebx, ecx, edx;

	__cpuid(1, eax, ebx, ecx, edx);
	if (!(ecx & bit_OSXSAVE))
		return 0;
	__asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
	return eax;
}

static uint64_t compared(void)
{
	uint64_t comps = native_xcr0() & COMPARED;

	if (!comps)
		cr_skip_test("this CPU has no XSAVE");
	return comps;
}

/* From state `from`, what op does with area under mask; the state afterwards is left in *after. */
#define NATIVE(op, from, with, mask, after)                                                   \
	do {                                                                                  \
		struct area own_ = {0};                                                       \
		*(after) = own_;                                                              \
		__asm__ volatile("mov %[all], %%eax; xor %%edx, %%edx; xsave64 (%[own]);"     \
				 "xrstor64 (%[st]);"                                          \
				 "mov %[m], %%eax; " op " (%[ar]);"                           \
				 "mov %[all], %%eax; xsave64 (%[af]);"                        \
				 "xrstor64 (%[own])"                                          \
				 :                                                            \
				 : [all] "i"(COMPARED), [own] "r"(&own_), [st] "r"(from),     \
				   [ar] "r"(with), [af] "r"(after), [m] "r"((uint32_t)(mask)) \
				 : "rax", "rdx", "memory");                                   \
	} while (0)

/* A standard-format area with random contents, the components in bv present. */
static void random_area(struct area *a, uint64_t bv, unsigned *seed)
{
	struct xstate_header h = {.xstate_bv = bv};
	uint32_t mxcsr = 0x1f80 | (rand_r(seed) & 0x3f);

	for (size_t k = 0; k < sizeof(a->b); k++)
		a->b[k] = (uint8_t)(rand_r(seed) >> 9);
	for (unsigned k = 0; k < 8; k++)
		memset(a->b + 32 + 16 * k + 10, 0, 6); /* reserved halves of the x87 registers */
	a->b[1] &= 0x1f; /* reserved bits of FCW, bit 6 of which always reads 1 */
	a->b[0] = (uint8_t)((a->b[0] & 0x3f) | 0x40);
	a->b[2] = a->b[3] = 0; /* FSW without a pending exception */
	a->b[5] = 0;
	a->b[7] &= 7;            /* an opcode has eleven bits */
	memset(a->b + 12, 0, 4); /* selectors and the upper halves of addresses */
	memset(a->b + 20, 0, 4);
	memcpy(a->b + XSTATE_MXCSR, &mxcsr, sizeof(mxcsr));
	memcpy(a->b + XSTATE_HEADER, &h, sizeof(h));
}

/* AMD CPUs keep the x87 pointers to themselves unless an exception is pending. */
static void drop_x87_pointers(struct area *a)
{
	memset(a->b + 6, 0, 18);
}

static void expect_same(const struct area *cpu, const struct area *ours, const char *what,
			uint64_t mask)
{
	struct area a = *cpu, b = *ours;

	if (__builtin_cpu_is("amd")) {
		drop_x87_pointers(&a);
		drop_x87_pointers(&b);
	}
	for (size_t k = 0; k < sizeof(a.b); k++)
		cr_assert_eq(a.b[k], b.b[k], "%s, mask %#lx, byte %zu: %02x on the CPU, %02x here",
			     what, mask, k, a.b[k], b.b[k]);
}

/* Without MXCSR_MASK, as KVM's image may be. */
static void load_image(const struct area *a)
{
	memcpy(c->xstate, a->b, sizeof(a->b));
	memset(c->xstate + XSTATE_MXCSR_MASK, 0, 4);
}

static void compare_save(const char *what, const uint8_t *code, size_t len, unsigned *seed)
{
	uint64_t comps = compared(), mask = (uint64_t)rand_r(seed) & COMPARED;
	static struct area state, after, native, ours;

	random_area(&state, comps & (uint64_t)rand_r(seed), seed);
	memset(&native, 0x5a, sizeof(native));
	memset(native.b + XSTATE_HEADER, 0, 64);
	put(AREA, native.b, sizeof(native.b));
	if (strcmp(what, "xsave") == 0)
		NATIVE("xsave64", &state, &native, mask, &after);
	else if (strcmp(what, "xsaveopt") == 0)
		NATIVE("xsaveopt64", &state, &native, mask, &after);
	else
		NATIVE("xsavec64", &state, &native, mask, &after);
	c->xcr0 = comps;
	c->regs.rax = mask;
	c->regs.rdx = 0;
	load_image(&after);
	done(code, len);
	get(AREA, ours.b, sizeof(ours.b));
	expect_same(&native, &ours, what, mask);
	memcpy(&native, &after, sizeof(native));
}

Test(xstate, xsave_writes_what_the_cpu_writes)
{
	unsigned seed = 1;

	for (unsigned k = 0; k < 300; k++)
		compare_save("xsave", XSAVE, &seed);
}

Test(xstate, xsaveopt_writes_what_the_cpu_writes)
{
	uint32_t eax, ebx, ecx, edx;
	unsigned seed = 2;

	__cpuid_count(0xd, 1, eax, ebx, ecx, edx);
	if (!(eax & 1))
		cr_skip_test("this CPU has no XSAVEOPT");
	for (unsigned k = 0; k < 300; k++)
		compare_save("xsaveopt", XSAVEOPT, &seed);
}

Test(xstate, xsavec_and_xsaves_write_what_the_cpu_writes)
{
	unsigned seed = 3;

	if (!layout.compaction)
		cr_skip_test("this CPU has no XSAVEC");
	for (unsigned k = 0; k < 300; k++)
		compare_save("xsavec", XSAVEC, &seed);
	for (unsigned k = 0; k < 300; k++)
		compare_save("xsavec", XSAVES, &seed);
}

/* Packs a standard-format area with what xcomp_bv names. */
static void compact(struct area *a, uint64_t xcomp_bv)
{
	struct area packed = *a;
	struct xstate_piece piece[XSTATE_PIECES];
	unsigned n = xstate_pieces(&layout, xcomp_bv, xcomp_bv & COMPARED, piece);

	for (unsigned k = 0; k < n; k++)
		memcpy(packed.b + piece[k].area, a->b + piece[k].image, piece[k].len);
	memcpy(packed.b + XSTATE_HEADER + 8, &xcomp_bv, sizeof(xcomp_bv));
	*a = packed;
}

static void compare_restore(bool compacted, unsigned *seed)
{
	uint64_t comps = compared(), mask = (uint64_t)rand_r(seed) & COMPARED, bv;
	uint64_t packed = comps & (uint64_t)rand_r(seed);
	static struct area state, area, native, before, ours;

	bv = (uint64_t)rand_r(seed) & (compacted ? packed : comps);
	random_area(&state, comps, seed);
	random_area(&area, bv, seed);
	if (compacted)
		compact(&area, packed | XSTATE_COMPACTED);
	NATIVE("prefetchnta", &state, &area, 0, &before);
	NATIVE("xrstor64", &state, &area, mask, &native);
	put(AREA, area.b, sizeof(area.b));
	c->xcr0 = comps;
	c->regs.rax = mask;
	load_image(&before);
	done(XRSTOR);
	cr_assert(c->xstate_changed);

	/* The image after, as an area: which components are in use is the CPU's to say. */
	memcpy(ours.b, c->xstate, sizeof(ours.b));
	memset(ours.b + XSTATE_HEADER, 0, 8);
	memset(native.b + XSTATE_MXCSR_MASK, 0, 4);
	memset(native.b + XSTATE_HEADER, 0, 8);
	expect_same(&native, &ours, compacted ? "xrstor, compacted" : "xrstor", mask);
}

Test(xstate, xrstor_loads_what_the_cpu_loads)
{
	unsigned seed = 4;

	for (unsigned k = 0; k < 500; k++)
		compare_restore(false, &seed);
}

Test(xstate, xrstor_loads_compacted_areas_as_the_cpu_does)
{
	unsigned seed = 5;

	if (!layout.compaction)
		cr_skip_test("this CPU has no XSAVEC");
	for (unsigned k = 0; k < 500; k++)
		compare_restore(true, &seed);
}

/* No CPU at hand has two aligned components; the numbers are invented. */
Test(xstate, compacted_format_packs_by_number_and_aligns)
{
	static const struct xstate_layout l = {.comp = {[2] = {576, 256, false},
							[5] = {1088, 8, false},
							[7] = {1152, 24, true},
							[8] = {1216, 64, false}}};
	struct xstate_piece piece[XSTATE_PIECES];
	uint64_t xcomp_bv = XSTATE_COMPACTED | 1 << 5 | 1 << 7 | 1 << 8;

	cr_assert_eq(xstate_pieces(&l, xcomp_bv, 1 << 5 | 1 << 7 | 1 << 8, piece), 3);
	cr_expect(piece[0].area == 576 && piece[0].image == 1088 && piece[0].len == 8);
	cr_expect(piece[1].area == 640 && piece[1].image == 1152 && piece[1].len == 24);
	cr_expect(piece[2].area == 664 && piece[2].image == 1216 && piece[2].len == 64);
	cr_expect_eq(xstate_area_bytes(&l, xcomp_bv, 1 << 7), 664);
	cr_expect_eq(xstate_area_bytes(&l, 0, 1 << 7), 1176);
}

Test(xstate, standard_area_of_an_unknown_component_is_never_touched)
{
	uint64_t known = xstate_known(&layout);

	for (unsigned nr = 2; nr < XSTATE_COMPONENTS; nr++) {
		if (!(known >> nr & 1))
			cr_expect_eq(layout.comp[nr].size, 0);
		cr_expect_leq(layout.comp[nr].offset + layout.comp[nr].size, XSTATE_MAX_BYTES);
	}
	cr_expect_eq(xstate_area_bytes(&layout, 0, 3), XSTATE_LEGACY_BYTES);
}
