/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the instructions that some hosts' KVM cannot emulate, in kernel mode, and compares with what the
 * architecture says. Reboots if all is well; else a triple fault, whose RIP tells which check it was.
 *
 * Entered in 64-bit mode with the first GiB mapped to itself in pages of 2 MiB.
 */
#define AREA	0x2000000		/* where states are saved to and loaded from */
#define HOLE	0x2200000		/* 2 MiB that are read-only, later not mapped at all */

	.macro	fail_unless cond
	j\cond	1f
	lidt	no_idt(%rip)
	ud2
1:
	.endm

	/* The next instruction must raise this vector at its own address (\at 0) or behind itself. */
	.macro	expect vector
	movq	$\vector, expected(%rip)
	leaq	1f(%rip), %rax
	movq	%rax, resume(%rip)
	.endm
	.macro	raised
	jmp	2f			/* it did not fault */
1:	cmpq	$0, expected(%rip)	/* cleared by the handler */
	je	3f
2:	lidt	no_idt(%rip)
	ud2
3:
	.endm

	.macro	gate vector, handler
	leaq	\handler(%rip), %rax
	movw	%ax, idt + 16 * \vector(%rip)
	movw	%cs, idt + 16 * \vector + 2(%rip)
	movw	$0x8e00, idt + 16 * \vector + 4(%rip)
	shrq	$16, %rax
	movw	%ax, idt + 16 * \vector + 6(%rip)
	.endm

	.macro	handler vector, has_error
handle_\vector:
	.if	\has_error
	popq	error(%rip)
	.endif
	cmpq	$\vector, expected(%rip)
	fail_unless e
	movq	$0, expected(%rip)
	movq	(%rsp), %rax
	movq	%rax, fault_rip(%rip)
	movq	resume(%rip), %rax
	movq	%rax, (%rsp)
	iretq
	.endm

	.text
	.globl	_start
_start:
	leaq	stack_end(%rip), %rsp
	gate	3, handle_3
	gate	6, handle_6
	gate	13, handle_13
	gate	14, handle_14
	lidt	idtr(%rip)
	movq	%cr4, %rax
	orl	$0x600, %eax		/* OSFXSR, OSXMMEXCPT */
	movq	%rax, %cr4

	movq	%cr3, %rax		/* a page directory is two levels down */
	movq	(%rax), %rax
	andw	$0xf000, %ax
	movq	(%rax), %rax
	andw	$0xf000, %ax
	leaq	HOLE / 0x200000 * 8(%rax), %rbp
	andb	$~2, (%rbp)
	movq	%cr3, %rax
	movq	%rax, %cr3

	/* int3: a trap, RIP behind it */
	expect	3
	int3
	raised_here:
	raised
	leaq	raised_here(%rip), %rax
	cmpq	%rax, fault_rip(%rip)
	fail_unless e

	expect	6
ud:	ud1	%eax, %eax
	raised
	leaq	ud(%rip), %rax
	cmpq	%rax, fault_rip(%rip)
	fail_unless e

	/* popcnt */
	movq	$0xf00000000000000f, %rcx
	popcntq	%rcx, %rax
	cmpq	$8, %rax
	fail_unless e
	movq	$0, AREA
	popcntl	AREA, %eax
	fail_unless z

	/* cmpxchg16b */
	movq	$1, AREA
	movq	$2, AREA + 8
	movl	$1, %eax
	movl	$2, %edx
	movl	$3, %ebx
	movl	$4, %ecx
	lock cmpxchg16b AREA
	fail_unless z
	cmpq	$3, AREA
	fail_unless e
	lock cmpxchg16b AREA
	fail_unless nz
	cmpq	$4, %rdx
	fail_unless e
	expect	13
	cmpxchg16b AREA + 8
	raised

	/* x87 and MXCSR */
	fninit
	fwait
	fnclex
	emms
	movl	$-3, AREA
	fildl	AREA
	fwait
	movl	$0x1f00, AREA
	ldmxcsr	AREA
	stmxcsr	AREA + 4
	cmpl	$0x1f00, AREA + 4
	fail_unless e

	/* stac, clac: where there is SMAP */
	movl	$7, %eax
	xorl	%ecx, %ecx
	cpuid
	btl	$20, %ebx
	jnc	no_smap
	stac
	pushfq
	btl	$18, (%rsp)
	fail_unless c
	clac
	pushfq
	btl	$18, (%rsp)
	fail_unless nc
no_smap:
	movl	$0x80000001, %eax
	cpuid
	btl	$27, %edx
	jnc	no_rdtscp
	rdtscp
	movl	%eax, %esi
	rdtscp
	cmpl	%esi, %eax
	fail_unless ne
no_rdtscp:
	movl	$1, %eax
	cpuid
	btl	$26, %ecx		/* XSAVE */
	jnc	done
	expect	6
	xsave	AREA
	raised
	movq	%cr4, %rax
	orl	$0x40000, %eax		/* OSXSAVE */
	movq	%rax, %cr4
	movl	$3, %eax
	xorl	%edx, %edx
	xorl	%ecx, %ecx
	xsetbv
	xgetbv
	cmpl	$3, %eax
	fail_unless e

	/* Load a state, save it elsewhere: XMM5 and an x87 register must arrive. */
	movl	$AREA, %edi
	movl	$AREA + 4096, %ecx
clear:	movq	$0, (%rdi)
	addl	$8, %edi
	cmpl	%ecx, %edi
	jb	clear
	movw	$0x37f, AREA
	movl	$0x1f80, AREA + 24
	movq	$0x1234, AREA + 32
	movq	$0x5678, AREA + 160 + 16 * 5
	movq	$3, AREA + 512
	movl	$3, %eax
	xorl	%edx, %edx
	xrstor64 AREA
	movl	$AREA + 2048, %esi
	movl	$3, %eax
	xsave64	(%rsi)
	cmpq	$0x1234, 32(%rsi)
	fail_unless e
	cmpq	$0x5678, 160 + 16 * 5(%rsi)
	fail_unless e
	cmpq	$3, 512(%rsi)
	fail_unless e

	/* An area without the component resets it. */
	movq	$1, AREA + 512
	xrstor64 AREA
	xsave64	(%rsi)
	cmpq	$0, 160 + 16 * 5(%rsi)
	fail_unless e
	cmpq	$0x1234, 32(%rsi)
	fail_unless e

	/* Faults: alignment, a header that is not, a page that is not there */
	expect	13
	movl	$3, %eax
	xsave64	32(%rsi)
	raised
	movq	$0x100, AREA + 512
	expect	13
	movl	$3, %eax
	xrstor64 AREA
	raised
	movl	$HOLE - 512, %edi	/* the header lies beyond */
	expect	14
	movl	$3, %eax
hole:	xsave64	(%rdi)
	raised
	leaq	hole(%rip), %rax
	cmpq	%rax, fault_rip(%rip)
	fail_unless e
	cmpq	$3, error(%rip)		/* present, write */
	fail_unless e
	movq	%cr2, %rax
	cmpq	$HOLE, %rax
	fail_unless e
	movq	$0, (%rbp)
	movq	%cr3, %rax
	movq	%rax, %cr3
	expect	14
	movl	$3, %eax
	xrstor64 (%rdi)
	raised
	cmpq	$0, error(%rip)
	fail_unless e
	movq	%cr2, %rax
	cmpq	$HOLE, %rax
	fail_unless e

done:	movb	$0xfe, %al
	outb	%al, $0x64
	hlt

	handler	3, 0
	handler	6, 0
	handler	13, 1
	handler	14, 1

	.balign	16
idt:	.skip	16 * 32
idtr:	.word	16 * 32 - 1
	.quad	idt
no_idt:	.word	0
	.quad	0
expected: .quad	0
resume:	.quad	0
error:	.quad	0
fault_rip: .quad 0
	.balign	16
	.skip	1024
stack_end:
