/* SPDX-License-Identifier: Apache-2.0 */
/* true: a program of three instructions, so that starting it is all that it costs. */
	.globl _start
_start:
	mov $60, %eax /* exit */
	xor %edi, %edi
	syscall
	.section .note.GNU-stack, "", @progbits
