/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the keyboard controller for a reset: one access to a port, then the end. */
	.globl _start
_start:
	mov	$0xfe, %al
	out	%al, $0x64
1:	pause
	jmp	1b
