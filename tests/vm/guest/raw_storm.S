/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the console as a driver would, with empty queues, and then notifies console and vsock, which
 * has no driver at all, as fast as it can and for ever. */
	.equ	PDPT, 0xa000			/* vmm/arch/x86/layout.h: maps the first GiB */
	.equ	PD, 0x1100000			/* ours: free RAM, zeroed as all of it is */
	.equ	RINGS, 0x1200000
	.equ	CONSOLE, 0xd0000000
	.equ	VSOCK, 0x1000			/* from there on */
	.equ	FEATURES, 0x20
	.equ	FEATURES_SEL, 0x24
	.equ	QUEUE_SEL, 0x30
	.equ	QUEUE_NUM, 0x38
	.equ	QUEUE_READY, 0x44
	.equ	NOTIFY, 0x50
	.equ	STATUS, 0x70
	.equ	DESC, 0x80
	.equ	AVAIL, 0x90
	.equ	USED, 0xa0

	.macro	set reg, value
	movl	$\value, \reg(%rbx)
	.endm

	.globl _start
_start:
	mov	$PDPT + 3 * 8, %eax		/* the fourth GiB, by one page of 2 MiB */
	movq	$PD + 3, (%rax)
	mov	$PD + 0x80 * 8, %eax
	mov	$CONSOLE + 0x83, %ecx
	mov	%rcx, (%rax)
	mov	$CONSOLE, %ebx

	set	STATUS, 1
	set	STATUS, 3
	set	FEATURES_SEL, 1
	set	FEATURES, 1			/* VIRTIO_F_VERSION_1 */
	set	STATUS, 11
	set	QUEUE_SEL, 1			/* what the guest says */
	set	QUEUE_NUM, 16
	set	DESC, RINGS
	set	AVAIL, RINGS + 0x1000
	set	USED, RINGS + 0x2000
	set	QUEUE_READY, 1
	set	STATUS, 15
storm:
	set	NOTIFY, 1
	set	VSOCK + NOTIFY, 1
	set	NOTIFY, 0
	set	VSOCK + NOTIFY, 0
	jmp	storm
