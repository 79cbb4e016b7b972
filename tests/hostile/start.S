/* SPDX-License-Identifier: Apache-2.0 */
/* start.S - from the 64-bit entry point to C in ring 3, on both CPUs.
 *
 * Why ring 3: it loses nothing, as every page, device registers too, is mapped for it, and interrupts
 * stay off. Where KVM emulates guest kernel code, user code runs 2000 times faster, so that thousands
 * of cases cost nothing and the second CPU races at native speed.
 *
 * The way back is one: HLT faults in ring 3. With a function in RDI the handler calls it, in ring 0; with
 * zero it halts for good. Any other fault finds no handler: the machine ends as a crash, whose detail
 * names the address.
 */
#define STACK_BYTES 16384
#define SEL_CODE32 0x08
#define SEL_CODE 0x10
#define SEL_DATA 0x18
#define SEL_USER_DATA 0x23
#define SEL_USER_CODE 0x2b
#define SEL_TSS0 0x30
#define SEL_TSS1 0x40
#define RFLAGS_IOPL3 0x3002
#define CR0_PROTECTED 0x11
#define CR0_LONG 0x80010033
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define TRAMPOLINE 0x8000
#define MSR_APIC_BASE 0x1b
#define APIC_X2 0xc00
#define MSR_X2_ICR 0x830
#define ICR_INIT 0x4500
#define ICR_STARTUP 0x4600

	.macro	gate_of_hlt
	leaq	on_hlt(%rip), %rax
	movw	%ax, idt + 16 * 13(%rip)
	movw	$SEL_CODE, idt + 16 * 13 + 2(%rip)
	movw	$0x8e00, idt + 16 * 13 + 4(%rip)
	shrq	$16, %rax
	movw	%ax, idt + 16 * 13 + 6(%rip)
	.endm

	/* TSS descriptors cannot be written by the assembler: their base is scattered. */
	.macro	tss_descriptor sel, tss
	leaq	\tss(%rip), %rax
	movw	$103, gdt + \sel(%rip)
	movw	%ax, gdt + \sel + 2(%rip)
	shrq	$16, %rax
	movb	%al, gdt + \sel + 4(%rip)
	movb	$0x89, gdt + \sel + 5(%rip)
	movb	%ah, gdt + \sel + 7(%rip)
	.endm

	/* Ring 3 with this stack and entry point. */
	.macro	drop_to entry, stack
	pushq	$SEL_USER_DATA
	leaq	\stack(%rip), %rax
	pushq	%rax
	pushq	$RFLAGS_IOPL3
	pushq	$SEL_USER_CODE
	leaq	\entry(%rip), %rax
	pushq	%rax
	iretq
	.endm

	.text
	.globl	_start
_start:
	cli
	leaq	fault_stack0(%rip), %rsp
	gate_of_hlt
	tss_descriptor SEL_TSS0, tss0
	tss_descriptor SEL_TSS1, tss1
	lgdt	gdt_pointer(%rip)
	lidt	idt_pointer(%rip)
	movl	$SEL_TSS0, %eax
	ltr	%ax
	leaq	pml4(%rip), %rax
	movq	%rax, %cr3
	movq	%rsi, %rbp

	/* Wake the second CPU, if there is one. By MSR: where KVM has no help of the hardware, start-up
	 * messages by the APIC's page were seen to go nowhere. */
	leaq	trampoline(%rip), %rsi
	movl	$TRAMPOLINE, %edi
	movl	$trampoline_end - trampoline, %ecx
	rep movsb
	movl	$MSR_APIC_BASE, %ecx
	rdmsr
	orl	$APIC_X2, %eax
	wrmsr
	movl	$MSR_X2_ICR, %ecx
	movl	$1, %edx		/* to APIC id 1 */
	movl	$ICR_INIT, %eax
	wrmsr
	movl	$ICR_STARTUP + TRAMPOLINE / 4096, %eax
	wrmsr

	movq	%rbp, %rdi
	drop_to	hostile_main, user_stack0

	/* The second CPU: copied to TRAMPOLINE, entered in real mode. */
	.code16
trampoline:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	lgdtl	TRAMPOLINE + (ap_gdt - trampoline)
	movl	$CR0_PROTECTED, %eax
	movl	%eax, %cr0
	ljmpl	$SEL_CODE32, $ap_protected
	.balign	4
ap_gdt:
	.word	gdt_end - gdt - 1
	.long	gdt
trampoline_end:
	.code32
ap_protected:
	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %ss
	movl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	$CR0_LONG, %eax
	movl	%eax, %cr0
	ljmpl	$SEL_CODE, $ap_start
	.code64
ap_start:
	leaq	fault_stack1(%rip), %rsp
	lidt	idt_pointer(%rip)
	movl	$SEL_TSS1, %eax
	ltr	%ax
	drop_to	racer_main, user_stack1

on_hlt:	testq	%rdi, %rdi
	jz	halt_for_good
	addq	$8, %rsp		/* the error code */
	incq	(%rsp)			/* behind the HLT */
	call	*%rdi
	iretq
halt_for_good:
	hlt
	jmp	halt_for_good

	.data
	.balign	16
gdt:	.quad	0
	.quad	0x00cf9b000000ffff	/* SEL_CODE32 */
	.quad	0x00af9b000000ffff	/* SEL_CODE */
	.quad	0x00cf93000000ffff	/* SEL_DATA */
	.quad	0x00cff3000000ffff	/* SEL_USER_DATA */
	.quad	0x00affb000000ffff	/* SEL_USER_CODE */
	.quad	0, 0, 0, 0		/* both TSS */
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt
idt_pointer:
	.word	16 * 32 - 1
	.quad	idt
	.balign	16
idt:	.skip	16 * 32
	.macro	tss name, stack
	.balign	16
\name:	.long	0
	.quad	\stack			/* RSP0 */
	.skip	104 - 4 - 8 - 4
	.long	104 << 16		/* no I/O bitmap */
	.endm
	tss	tss0, fault_stack0
	tss	tss1, fault_stack1

	/* The first GiB and the fourth, one to one, for ring 3 too. */
	.balign	4096
pml4:	.quad	pdpt + 7
	.skip	4096 - 8
pdpt:	.quad	pd_low + 7, 0, 0, pd_high + 7
	.skip	4096 - 32
	.macro	pages_2m first
	.set	page, \first
	.rept	512
	.quad	page + 0x87
	.set	page, page + 0x200000
	.endr
	.endm
pd_low:	pages_2m 0
pd_high: pages_2m 0xc0000000

	.bss
	.balign	16
	.skip	STACK_BYTES
fault_stack0:
	.skip	STACK_BYTES
fault_stack1:
	.skip	STACK_BYTES
user_stack0:
	.skip	8
	.balign	16
	.skip	STACK_BYTES
user_stack1:
	.skip	16
