/* SPDX-License-Identifier: Apache-2.0 */
/* Never gets ready, never exits by itself. */
	.globl _start
_start:
	jmp	_start
