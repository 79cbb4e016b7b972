/* SPDX-License-Identifier: Apache-2.0 */
/* mark.h - instructions that tell count.c, QEMU's plugin, where a phase ends.
 *
 * A no-op with an unlikely operand: free, allowed everywhere, in the host of a box as in the box, and
 * without meaning to a processor that does not count.
 */
#ifndef BENCH_MARK_H
#define BENCH_MARK_H

enum bench_mark {
	MARK_NOTHING = 1, /* what lay before counts for nothing */
	MARK_READY = 2,   /* init takes commands */
	MARK_EXEC = 3,    /* an execution lay before */
	MARK_SPAWN = 4,   /* a vfork, exec and wait inside the guest lay before */
};

/* Bytes 0f 1f 80, the number, and MARK_MAGIC in the two bytes after it. */
#define BENCH_MARK(n) __asm__ volatile("nopl %c0(%%rax)" : : "i"(0x434b0000 | (n)) : "memory")

#endif
