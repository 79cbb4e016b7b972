/* SPDX-License-Identifier: Apache-2.0 */
/* insn_exec.h - carries out one decoded instruction on a vCPU's state in memory. */
#ifndef VMM_ARCH_X86_INSN_EXEC_H
#define VMM_ARCH_X86_INSN_EXEC_H

#include "vmm/arch/x86/operand.h"

/* what an instruction works on besides regs and sregs */
enum {
	INSN_NEEDS_XSTATE = 1 << 0,
	INSN_NEEDS_XCR0 = 1 << 1,
	INSN_NEEDS_TSC = 1 << 2,    /* tsc, tsc_aux */
	INSN_NEEDS_NO_XSS = 1 << 3, /* the caller has checked that IA32_XSS is 0 */
};

unsigned insn_needs(enum insn_id id);

/* Executes i, which lies at RIP, with what insn_needs() asks for filled in. On INSN_DONE RIP is past
 * it; with an exception RIP is where the handler shall find it. */
must_check enum insn_result insn_exec(struct cpu_state *c, const struct insn *i);

#endif
