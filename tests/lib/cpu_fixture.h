/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_fixture.h - a vCPU's state and a guest of a few pages in plain memory, for the tests of
 * instructions carried out in user space.
 */
#ifndef TESTS_LIB_CPU_FIXTURE_H
#define TESTS_LIB_CPU_FIXTURE_H

#include "tests/lib/test.h"
#include "vmm/arch/x86/insn_exec.h"

#define fixture static __attribute__((unused))

/* Guest-virtual pages and where they lie: AREA's pages are neighbours for the guest only. */
enum {
	PML4 = 0x1000,
	PDPT = 0x2000,
	PD = 0x3000,
	PT = 0x4000,
	CODE = 0x10000,
	DATA = 0x20000,
	AREA = 0x40000,
	AREA_PAGES = 5,
	HOLE = 0x60000,
	PAGES_FROM = 0x100000,
};
enum { P = 1, W = 2, U = 4 };

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static struct guest_mem mem;
static struct xstate_layout layout;
static struct cpu_state *c;

fixture uint64_t *pte(uint64_t lin)
{
	return (uint64_t *)(mem.region[0].host + PT) + lin / PAGE_BYTES;
}

/* Each further page a good way before the last one. */
fixture void map(uint64_t lin, uint64_t flags)
{
	static uint64_t next;

	next = next ? next - 3 * PAGE_BYTES : PAGES_FROM + 0x80000;
	*pte(lin) = next | flags;
}

fixture uint8_t *at(uint64_t lin)
{
	return mem.region[0].host + (*pte(lin) & 0xfffff000) + lin % PAGE_BYTES;
}

fixture void put(uint64_t lin, const void *buf, size_t len)
{
	for (size_t k = 0; k < len; k++)
		*at(lin + k) = ((const uint8_t *)buf)[k];
}

fixture void get(uint64_t lin, void *buf, size_t len)
{
	for (size_t k = 0; k < len; k++)
		((uint8_t *)buf)[k] = *at(lin + k);
}

fixture void init(void)
{
	uint32_t mxcsr[2] = {MXCSR_INIT, 0xffff};
	uint64_t *table;

	cr_assert_eq(mem_init(&mem, 4 << 20, -1, NULL), 0);
	for (table = (uint64_t *)(mem.region[0].host + PML4); table < (uint64_t *)pte(0);
	     table += 512)
		*table = ((uint64_t)((uint8_t *)table - mem.region[0].host) + PAGE_BYTES) | P | W |
			 U;
	map(CODE, P);
	map(DATA, P | W);
	for (unsigned k = 0; k < AREA_PAGES; k++)
		map(AREA + k * PAGE_BYTES, P | W);
	xstate_layout_init(&layout);
	c = aligned_alloc(64, sizeof(*c));
	cr_assert(c);
	memset(c, 0, sizeof(*c));
	c->mem = &mem;
	c->layout = &layout;
	c->regs.rip = CODE;
	c->regs.rflags = 2;
	c->regs.rsi = AREA;
	c->sregs.cr0 = 0x80010033; /* PG WP NE ET MP PE */
	c->sregs.cr3 = PML4;
	c->sregs.cr4 = CR4_OSFXSR | CR4_OSXSAVE;
	c->sregs.efer = EFER_LMA | EFER_NXE;
	c->xcr0 = 7;
	memcpy(c->xstate + XSTATE_MXCSR, mxcsr, sizeof(mxcsr));
	xstate_init_component(&layout, c->xstate, 0);
}

fixture void fini(void)
{
	free(c);
	mem_fini(&mem);
}

fixture enum insn_result run(const uint8_t *code, size_t len)
{
	struct insn i;

	cr_assert_eq(insn_decode(code, len, &i), 0);
	return insn_exec(c, &i);
}

/* Runs code, which must complete. */
fixture void done(const uint8_t *code, size_t len)
{
	uint64_t rip = c->regs.rip;

	cr_assert_eq(run(code, len), INSN_DONE, "exception %d", c->exception.vector);
	cr_assert_eq(c->regs.rip, rip + len);
	cr_assert(!c->exception.raised);
}

/* Runs code, which must fault with this vector, an error code (-1: without one) and no effect. */
fixture void faults(const uint8_t *code, size_t len, enum vector vector, int error_code)
{
	struct kvm_regs before = c->regs;

	cr_assert_eq(run(code, len), INSN_EXCEPTION);
	cr_assert(c->exception.raised);
	cr_expect_eq(c->exception.vector, vector, "vector %d", c->exception.vector);
	cr_expect_eq(c->exception.has_error_code, error_code >= 0);
	if (error_code >= 0)
		cr_expect_eq(c->exception.error_code, (uint32_t)error_code, "error code %#x",
			     c->exception.error_code);
	cr_expect_eq(memcmp(&before, &c->regs, sizeof(before)), 0);
	cr_expect(!c->xstate_changed);
}

fixture void user_mode(void)
{
	c->sregs.ss.dpl = 3;
	for (unsigned k = 0; k < AREA_PAGES; k++)
		*pte(AREA + k * PAGE_BYTES) |= U;
}

/* XSTATE_BV of the image. */
fixture uint64_t in_use(void)
{
	uint64_t v;

	memcpy(&v, c->xstate + XSTATE_HEADER, sizeof(v));
	return v;
}

#endif
