/* SPDX-License-Identifier: Apache-2.0 */
/* operand.h - what instructions work on: a vCPU's state in memory, its registers, memory operands and
 * exceptions. No ioctl, no clock.
 *
 * Memory operands are translated and checked to their last byte before the first one is touched, so
 * that an instruction happens as a whole or raises an exception and changes nothing but accessed and
 * dirty bits, as on a CPU.
 */
#ifndef VMM_ARCH_X86_OPERAND_H
#define VMM_ARCH_X86_OPERAND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <linux/kvm.h>

#include "util/util.h"
#include "vmm/arch/x86/insn.h"
#include "vmm/arch/x86/pagewalk.h"
#include "vmm/arch/x86/xstate.h"
#include "vmm/mem.h"

enum vector {
	VEC_BP = 3,
	VEC_UD = 6,
	VEC_NM = 7,
	VEC_SS = 12,
	VEC_GP = 13,
	VEC_PF = 14,
	VEC_MF = 16,
};

struct exception {
	bool raised, has_error_code;
	uint8_t vector;
	uint32_t error_code;
	uint64_t cr2; /* for #PF */
};

struct cpu_state {
	const struct guest_mem *mem;
	const struct xstate_layout *layout;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	uint64_t xcr0, tsc, tsc_aux;
	struct exception exception;
	bool xstate_changed;
	/* KVM's image, standard format. Components that XSTATE_BV leaves out hold their initial values
	 * nevertheless: KVM fills them in. Its MXCSR_MASK is not to be relied on. */
	_Alignas(64) uint8_t xstate[XSTATE_MAX_BYTES];
};

enum insn_result {
	INSN_REFUSED, /* not in our power (an operand in device registers, say); nothing changed */
	INSN_DONE,    /* all effects but the new RIP are in the state */
	INSN_EXCEPTION, /* state->exception is raised, nothing else changed */
};

/* Each records the exception and returns INSN_EXCEPTION. */
enum insn_result raise_plain(struct cpu_state *c, enum vector vector);
enum insn_result raise_error(struct cpu_state *c, enum vector vector, uint32_t error_code);

unsigned operand_cpl(const struct cpu_state *c);

/* General register nr, 0 to 15, in the order of their encoding. */
__u64 *operand_gpr(struct cpu_state *c, unsigned nr);

/* Writes the low bytes (2, 4, 8) of a register as instructions do: 4 clear the upper half. */
void operand_gpr_set(struct cpu_state *c, unsigned nr, unsigned bytes, uint64_t value);

/* A range of guest-virtual addresses as host memory, page by page. */
struct span {
	unsigned n;
	struct iovec v[XSTATE_MAX_BYTES / PAGE_BYTES + 1];
};

/* The memory operand of i: bytes long (1 to XSTATE_MAX_BYTES), at a multiple of align (1: anywhere),
 * for access as in pagewalk(). */
must_check enum insn_result operand_map(struct cpu_state *c, const struct insn *i, size_t bytes,
					unsigned access, struct span *ret);

/* #GP unless the address of the memory operand is a multiple of align. */
must_check enum insn_result operand_aligned(struct cpu_state *c, const struct insn *i,
					    unsigned align);

/* Reads the r/m operand, register or memory, of 1 to 8 bytes. */
must_check enum insn_result operand_read(struct cpu_state *c, const struct insn *i, unsigned bytes,
					 uint64_t *ret);

/* Copies len bytes out of or into a span, offset bytes from its start; the range must lie inside. */
void span_get(const struct span *s, size_t offset, void *buf, size_t len);
void span_put(const struct span *s, size_t offset, const void *buf, size_t len);

/* Copies up to len bytes of code at RIP; the count is in *ret_len. Fewer where the next page cannot be
 * fetched: then the exception is raised that is due if the instruction does not end before it; none
 * when the page is there but not in RAM, where we cannot look. */
must_check enum insn_result operand_fetch(struct cpu_state *c, uint8_t *buf, size_t len,
					  size_t *ret_len);

#endif
