/* SPDX-License-Identifier: Apache-2.0 */
/* Faults with an empty interrupt table: double fault, triple fault, shutdown. */
	.globl _start
_start:
	lidt	empty(%rip)
	ud2
empty:
	.word	0
	.quad	0
