/* SPDX-License-Identifier: Apache-2.0 */
/* insn_exec.c - one instruction that KVM gave up on, carried out for a guest whose code, registers, page tables and XSAVE
 * areas are any bytes: what happens is in its memory and registers, or is an exception that changes neither. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/x86/insn_exec.h"

/* Page tables stand in the first pages and map a few more; the input may overwrite all of it. */
enum { PAGES = 16, RAM_BYTES = PAGES * PAGE_BYTES, CODE = 5 * PAGE_BYTES, PATCHES_MAX = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct head {
	uint64_t gpr[16];
	uint32_t cr0, cr4;
	uint16_t efer, rflags;
	uint8_t cpl, xcr0, cr3_page, mapped_from;
	uint8_t code[16];
};

struct patch { /* what the input writes to memory before */
	uint16_t at;
	uint8_t len;
};

static struct xstate_layout layout_of(void)
{
	struct xstate_layout l = {.compaction = true, .mxcsr_mask = 0xffff};

	l.comp[0].size = 160;
	l.comp[0].offset = 0;
	l.comp[1].size = 256;
	l.comp[1].offset = 160;
	l.comp[2].size = 256; /* AVX, opmask, ZMM halves, PKRU: as today's CPUs have them */
	l.comp[2].offset = 576;
	l.comp[5].size = 64;
	l.comp[5].offset = 1088;
	l.comp[6].size = 512;
	l.comp[6].offset = 1152;
	l.comp[6].align64 = true;
	l.comp[7].size = 1024;
	l.comp[7].offset = 1664;
	l.comp[9].size = 8;
	l.comp[9].offset = 2688;
	return l;
}

static void map_some(uint8_t *ram, const struct head *h)
{
	uint64_t *table = (uint64_t *)ram;

	for (int level = 0; level < 3; level++) /* tables of one entry, each in the next page */
		table[level * 512] = (uint64_t)(level + 1) * PAGE_BYTES + 7;
	for (unsigned i = 0; i < PAGES; i++)
		table[3 * 512 + i] = (uint64_t)((i + h->mapped_from) % PAGES) * PAGE_BYTES +
				     (i * h->mapped_from % 5 ? 7 : 3);
}

static void patch(uint8_t *ram, const uint8_t *p, size_t len)
{
	struct patch w;

	for (int i = 0; i < PATCHES_MAX && len >= sizeof(w); i++) {
		memcpy(&w, p, sizeof(w));
		p += sizeof(w);
		len -= sizeof(w);
		size_t room = min_(len, (size_t)RAM_BYTES - w.at);
		size_t n = min_((size_t)w.len, room);
		memcpy(ram + w.at, p, n);
		p += n;
		len -= n;
	}
}

static void fill(struct cpu_state *c, const struct head *h)
{
	for (unsigned i = 0; i < 16; i++)
		*operand_gpr(c, i) = h->gpr[i];
	c->regs.rip = CODE;
	c->regs.rflags = h->rflags | (uint64_t)(h->cpl >> 4 & 1) << 18 | 2;
	c->sregs.cr0 = h->cr0 | 0x80000001;
	c->sregs.cr3 = (uint64_t)(h->cr3_page % (PAGES + 1)) * PAGE_BYTES;
	c->sregs.cr4 = h->cr4;
	c->sregs.efer = h->efer | EFER_LMA;
	c->sregs.ss.dpl = h->cpl & 3;
	c->sregs.cs.l = 1;
	c->xcr0 = h->xcr0 | 1;
}

/* Code is fetched from wherever RIP points. */
static void fetch(struct cpu_state *c, uint64_t rip)
{
	uint8_t code[INSN_MAX_BYTES];
	uint64_t was = c->regs.rip;
	size_t n = 0;

	c->regs.rip = rip;
	enum insn_result r = operand_fetch(c, code, sizeof(code), &n);
	assert(r != INSN_DONE || (n > 0 && n <= sizeof(code)));
	assert(n == sizeof(code) || (rip + n) % PAGE_BYTES == 0 || r != INSN_DONE);
	assert(r != INSN_EXCEPTION || c->exception.raised);
	c->regs.rip = was;
	c->exception = (struct exception){0};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct xstate_layout layout;
	static struct cpu_state c, before;
	struct insn insn;
	struct head h;

	if (len < sizeof(h))
		return 0;
	memcpy(&h, data, sizeof(h));
	if (insn_decode(h.code, sizeof(h.code), &insn) < 0)
		return 0;
	layout = layout_of();
	uint8_t *ram = calloc(1, RAM_BYTES); /* so that a byte too far is seen */
	const struct guest_mem m = {.nregions = 1,
				    .region[0] = {.gpa = 0, .size_bytes = RAM_BYTES, .host = ram}};
	map_some(ram, &h);
	patch(ram, data + sizeof(h), len - sizeof(h));
	memset(&c, 0, sizeof(c));
	c.mem = &m;
	c.layout = &layout;
	fill(&c, &h);
	fetch(&c, h.gpr[0]);

	before = c;
	switch (insn_exec(&c, &insn)) {
	case INSN_DONE:
		assert(!c.exception.raised && c.regs.rip == before.regs.rip + insn.len);
		break;
	case INSN_EXCEPTION:
		assert(c.exception.raised && !c.xstate_changed);
		before.regs.rip = c.regs.rip; /* behind it, for what traps */
		assert(memcmp(&c.regs, &before.regs, sizeof(c.regs)) == 0);
		assert(memcmp(c.xstate, before.xstate, sizeof(c.xstate)) == 0);
		break;
	case INSN_REFUSED:
		assert(memcmp(&c.regs, &before.regs, sizeof(c.regs)) == 0);
		assert(!c.xstate_changed);
		break;
	}
	free(ram);
	return 0;
}
