/* SPDX-License-Identifier: Apache-2.0 */
/* insn.h - decodes the few 64-bit mode instructions that assist.c can finish. Pure.
 *
 * Encodings as in Intel SDM vol. 2, chapter 2: legacy prefixes, one REX directly before the opcode,
 * the opcode maps one-byte and 0F, ModRM, SIB, displacement. No VEX, no EVEX; none of the
 * instructions has an immediate. 16- and 32-bit code is not decoded: a 64-bit kernel runs it in user
 * space and before paging is on, where no host is known to give up on it.
 */
#ifndef VMM_ARCH_X86_INSN_H
#define VMM_ARCH_X86_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

enum {
	INSN_MAX_BYTES = 15,
	INSN_NO_REG = -1,   /* base, index: none */
	INSN_BASE_RIP = -2, /* base: the address of the next instruction */
};

/* Each with what a 6.12 kernel uses it for. */
enum insn_id {
	INSN_INT3,   /* self test, live patching of kernel code */
	INSN_UD1,    /* compilers' traps */
	INSN_FWAIT,  /* a task's x87 state is dropped */
	INSN_FNCLEX, /* with EMMS and FILDL: AMD CPUs that leak x87 pointers */
	INSN_EMMS,
	INSN_FILDL,
	INSN_LDMXCSR, /* the kernel uses the FPU itself */
	INSN_STMXCSR,
	INSN_XSAVE, /* task switches, signal frames, ptrace */
	INSN_XSAVEOPT,
	INSN_XSAVEC,
	INSN_XSAVES,
	INSN_XRSTOR,
	INSN_XRSTORS,
	INSN_XGETBV, /* which components are in use */
	INSN_CLAC,   /* SMAP: each access to user memory */
	INSN_STAC,
	INSN_POPCNT,     /* bit maps */
	INSN_CMPXCHG16B, /* the slab allocator */
	INSN_RDTSCP,     /* ordered reads of the clock */
	INSN_IDS
};

enum insn_seg { INSN_SEG_FLAT, INSN_SEG_FS, INSN_SEG_GS };

struct insn {
	enum insn_id id;
	uint8_t len;        /* whole instruction */
	uint8_t opsize;     /* bytes: 2, 4 or 8 */
	uint8_t addrsize;   /* bytes: 4 or 8 */
	bool lock;          /* F0 seen */
	bool is_mem;        /* the r/m operand is memory, else register rm */
	uint8_t reg, rm;    /* register numbers, REX included */
	int8_t base, index; /* register number, INSN_NO_REG or (base) INSN_BASE_RIP */
	uint8_t scale;      /* 1, 2, 4, 8 */
	int32_t disp;
	enum insn_seg seg;
};

/* Decodes the instruction at the start of buf.
 *   0         done
 *   -ENODATA  buf ends before the instruction does
 *   -ENOENT   not an instruction of ours
 *   -EINVAL   longer than INSN_MAX_BYTES */
must_check int insn_decode(const uint8_t *buf, size_t len, struct insn *ret);

/* Mnemonic, static. */
const char *insn_name(enum insn_id id);

#endif
