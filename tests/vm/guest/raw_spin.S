/* Never gets ready, never exits by itself. */
	.globl _start
_start:
	jmp	_start
