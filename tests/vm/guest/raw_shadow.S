/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for its timer by `sti; hlt`, again and again, with the timer set to go off around that moment. No
 * interrupt may come between the two: a kernel that looked for work before them would sleep with work to do. Reboots
 * after ROUNDS; a triple fault if one did come.
 */
	.equ	PDPT, 0xa000			/* vmm/arch/x86/layout.h: maps the first GiB */
	.equ	PD, 0x1100000			/* ours: free RAM, zeroed as all of it is */
	.equ	IDT, 0x1200000
	.equ	STACK, 0x1400000
	.equ	LAPIC, 0xfee00000
	.equ	EOI, 0xb0
	.equ	SPURIOUS, 0xf0
	.equ	LVT_TIMER, 0x320
	.equ	TIMER, 0x380
	.equ	DIVIDE, 0x3e0
	.equ	VECTOR, 0x40
	.equ	ROUNDS, 10000

	.globl _start
_start:
	mov	$STACK, %esp
	mov	$PDPT + 3 * 8, %eax		/* the fourth GiB, by one page of 2 MiB */
	movq	$PD + 3, (%rax)
	mov	$PD + 0x1f7 * 8, %eax
	mov	$LAPIC + 0x93, %ecx
	mov	%rcx, (%rax)
	mov	$LAPIC, %ebx

	mov	$IDT + 16 * VECTOR, %edi
	lea	on_timer(%rip), %rax
	mov	%ax, (%rdi)
	mov	%cs, 2(%rdi)
	movw	$0x8e00, 4(%rdi)
	shr	$16, %rax
	mov	%ax, 6(%rdi)
	lidt	idt(%rip)

	movl	$0x1ff, SPURIOUS(%rbx)
	movl	$0xb, DIVIDE(%rbx)		/* by 1 */
	movl	$VECTOR, LVT_TIMER(%rbx)	/* once */
	mov	$ROUNDS, %r12d
	rdtsc
	lea	1(%rax), %r8d
round:
	mov	%r8d, %eax			/* xorshift */
	shl	$13, %eax
	xor	%eax, %r8d
	mov	%r8d, %eax
	shr	$17, %eax
	xor	%eax, %r8d
	mov	%r8d, %eax
	shl	$5, %eax
	xor	%eax, %r8d
	mov	%r8d, %ecx
	and	$0x7fff, %ecx			/* up to 33 us */
	add	$10000, %ecx
	movl	%ecx, TIMER(%rbx)
	rdtsc
	mov	%eax, %r9d
	mov	%r8d, %r10d
	shr	$15, %r10d			/* up to 131072 cycles, about as long */
1:	rdtsc
	sub	%r9d, %eax
	cmp	%r10d, %eax
	jb	1b
	sti
halt:	hlt
	cli
	dec	%r12d
	jnz	round
	mov	$0xfe, %al
	out	%al, $0x64
2:	pause
	jmp	2b

on_timer:
	lea	halt(%rip), %rax
	cmp	%rax, (%rsp)
	je	between
	movl	$0, EOI(%rbx)
	iretq
between:
	lidt	no_idt(%rip)
	ud2

	.balign	8
idt:	.word	4095
	.quad	IDT
no_idt:	.word	0
	.quad	0
