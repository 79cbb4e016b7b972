/* SPDX-License-Identifier: Apache-2.0 */
/* operand.c - see operand.h. */
#include "vmm/arch/x86/operand.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { REG_RSP = 4, REG_RBP = 5, PKRU_COMPONENT = 9 };

enum insn_result raise_plain(struct cpu_state *c, enum vector vector)
{
	c->exception = (struct exception){.raised = true, .vector = (uint8_t)vector};
	return INSN_EXCEPTION;
}

enum insn_result raise_error(struct cpu_state *c, enum vector vector, uint32_t error_code)
{
	c->exception = (struct exception){.raised = true,
					  .has_error_code = true,
					  .vector = (uint8_t)vector,
					  .error_code = error_code};
	return INSN_EXCEPTION;
}

static enum insn_result page_fault(struct cpu_state *c, uint64_t lin, uint32_t error_code)
{
	enum insn_result r = raise_error(c, VEC_PF, error_code);

	c->exception.cr2 = lin;
	return r;
}

unsigned operand_cpl(const struct cpu_state *c)
{
	return c->sregs.ss.dpl;
}

__u64 *operand_gpr(struct cpu_state *c, unsigned nr)
{
	struct kvm_regs *r = &c->regs;
	__u64 *const by_number[16] = {&r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp,
				      &r->rsi, &r->rdi, &r->r8,  &r->r9,  &r->r10, &r->r11,
				      &r->r12, &r->r13, &r->r14, &r->r15};

	assert(nr < countof(by_number));
	return by_number[nr];
}

void operand_gpr_set(struct cpu_state *c, unsigned nr, unsigned bytes, uint64_t value)
{
	__u64 *r = operand_gpr(c, nr);

	if (bytes == 8)
		*r = value;
	else if (bytes == 4)
		*r = (uint32_t)value;
	else
		*r = (*r & ~0xffffULL) | (value & 0xffff);
}

/* --- guest-virtual ranges ------------------------------------------------------------------------ */

static struct pagewalk walker(const struct cpu_state *c)
{
	struct pagewalk w = {.mem = c->mem,
			     .cr0 = c->sregs.cr0,
			     .cr3 = c->sregs.cr3,
			     .cr4 = c->sregs.cr4,
			     .efer = c->sregs.efer,
			     .rflags = c->regs.rflags,
			     .cpl = operand_cpl(c)};

	if ((w.cr4 & CR4_PKE) && c->layout->comp[PKRU_COMPONENT].size >= sizeof(w.pkru))
		memcpy(&w.pkru, c->xstate + c->layout->comp[PKRU_COMPONENT].offset, sizeof(w.pkru));
	return w;
}

static enum insn_result map(struct cpu_state *c, uint64_t lin, size_t bytes, unsigned access,
			    struct span *ret)
{
	struct pagewalk w = walker(c);

	*ret = (struct span){0};
	while (bytes) {
		size_t n = min_(bytes, PAGE_BYTES - (size_t)(lin % PAGE_BYTES));
		uint32_t error_code;
		gpa_t gpa;
		int r;

		if (ret->n == countof(ret->v))
			return INSN_REFUSED;
		r = pagewalk(&w, lin, access, &gpa, &error_code);
		if (r == -EACCES)
			return page_fault(c, lin, error_code);
		if (r < 0 || mem_slice(c->mem, gpa, n, &ret->v[ret->n++]) < 0)
			return INSN_REFUSED;
		lin += n;
		bytes -= n;
	}
	return INSN_DONE;
}

/* The part of the span from offset on that is contiguous, at most max bytes of it. */
static struct iovec run_at(const struct span *s, size_t offset, size_t max)
{
	unsigned i = 0;

	while (i < s->n && offset >= s->v[i].iov_len)
		offset -= s->v[i++].iov_len;
	assert(i < s->n);
	max = min_(max, s->v[i].iov_len - offset);
	return (struct iovec){(uint8_t *)s->v[i].iov_base + offset, max};
}

void span_get(const struct span *s, size_t offset, void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		struct iovec v = run_at(s, offset + done, len - done);

		memcpy((uint8_t *)buf + done, v.iov_base, v.iov_len);
		done += v.iov_len;
	}
}

void span_put(const struct span *s, size_t offset, const void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		struct iovec v = run_at(s, offset + done, len - done);

		memcpy(v.iov_base, (const uint8_t *)buf + done, v.iov_len);
		done += v.iov_len;
	}
}

/* --- operands ------------------------------------------------------------------------------------ */

static bool canonical(const struct cpu_state *c, uint64_t lin)
{
	unsigned spare = c->sregs.cr4 & CR4_LA57 ? 7 : 16;

	return (uint64_t)((int64_t)(lin << spare) >> spare) == lin;
}

static uint64_t linear(struct cpu_state *c, const struct insn *i)
{
	uint64_t at = (uint64_t)(int64_t)i->disp;

	if (i->base == INSN_BASE_RIP)
		at += c->regs.rip + i->len;
	else if (i->base != INSN_NO_REG)
		at += *operand_gpr(c, (unsigned)i->base);
	if (i->index != INSN_NO_REG)
		at += *operand_gpr(c, (unsigned)i->index) * i->scale;
	if (i->addrsize == 4)
		at = (uint32_t)at;
	if (i->seg == INSN_SEG_FS)
		at += c->sregs.fs.base;
	else if (i->seg == INSN_SEG_GS)
		at += c->sregs.gs.base;
	return at;
}

enum insn_result operand_aligned(struct cpu_state *c, const struct insn *i, unsigned align)
{
	return linear(c, i) % align ? raise_error(c, VEC_GP, 0) : INSN_DONE;
}

enum insn_result operand_map(struct cpu_state *c, const struct insn *i, size_t bytes,
			     unsigned access, struct span *ret)
{
	bool stack = (i->base == REG_RSP || i->base == REG_RBP) && i->seg == INSN_SEG_FLAT;
	uint64_t lin = linear(c, i);

	if (!canonical(c, lin) || !canonical(c, lin + bytes - 1))
		return raise_error(c, stack ? VEC_SS : VEC_GP, 0);
	return map(c, lin, bytes, access, ret);
}

enum insn_result operand_read(struct cpu_state *c, const struct insn *i, unsigned bytes,
			      uint64_t *ret)
{
	struct span s;
	enum insn_result r;

	assert(bytes <= sizeof(*ret));
	*ret = 0;
	if (!i->is_mem) {
		memcpy(ret, operand_gpr(c, i->rm), bytes);
		return INSN_DONE;
	}
	r = operand_map(c, i, bytes, 0, &s);
	if (r == INSN_DONE)
		span_get(&s, 0, ret, bytes);
	return r;
}

enum insn_result operand_fetch(struct cpu_state *c, uint8_t *buf, size_t len, size_t *ret_len)
{
	size_t first = min_(len, PAGE_BYTES - (size_t)(c->regs.rip % PAGE_BYTES));
	struct span s;
	enum insn_result r = map(c, c->regs.rip, len, PF_FETCH, &s);

	if (r != INSN_DONE && first < len) {
		struct exception second = c->exception;

		len = first;
		r = map(c, c->regs.rip, len, PF_FETCH, &s);
		if (r == INSN_DONE)
			c->exception = second;
	}
	if (r != INSN_DONE)
		return r;
	span_get(&s, 0, buf, len);
	*ret_len = len;
	return INSN_DONE;
}
