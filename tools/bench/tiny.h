/* SPDX-License-Identifier: Apache-2.0 */
/* tiny.h - programs of a few instructions for guests, made here so that an installed conker has them, too. */
#ifndef BENCH_TINY_H
#define BENCH_TINY_H

#include <stddef.h>

enum { TINY_BYTES_MAX = 4096 };

/* An ELF program that exits with 0: three instructions. Its length; buf has TINY_BYTES_MAX. */
size_t tiny_true(unsigned char *buf);

/* An initramfs (newc) whose /init writes "PID1\n" to the console and restarts the machine: what kernels boot when
 * machines are compared that have nothing but a console in common, or not even that. Likewise. */
size_t tiny_initramfs(unsigned char *buf);

#endif
