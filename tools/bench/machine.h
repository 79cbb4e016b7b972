/* SPDX-License-Identifier: Apache-2.0 */
/* machine.h - machines that are started by hand: conker-vmm without the library, and other VMMs.
 *
 * The library hides what is measured here: when a VMM's process was spawned, each step of its set-up, and the first
 * byte of a guest that is not guest-init.
 */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/util.h"

/* What machines are made of. */
struct parts {
	char vmm[PATH_MAX], kernel[PATH_MAX], initrd[PATH_MAX], base[PATH_MAX];
	char words[2048]; /* the kernel's command line, as the library's boxes have it */
	unsigned memory_mib, cpus;
};

struct machine {
	pid_t pid;
	int console;       /* what it says: end of file when it is gone */
	int owner;         /* the VMM's event lines; -1 with other VMMs. Closing it ends the VMM */
	int lock, err;     /* files of ours that it has: locked by it; its stderr */
	uint64_t start_ns; /* just before the spawn */
};

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t machine_now_ns(void);

/* Where conker-vmm and its guest are: $CONKER_VMM and $CONKER_GUEST, else beside the program, else installed. */
void machine_find_parts(struct parts *p);

/* Starts conker-vmm as the library does for a box, with base image and listening sockets. */
enum { MACHINE_VERBOSE = 1 << 0 };
must_check int machine_start_box(const struct parts *p, unsigned flags, struct machine *ret);

/* Starts conker-vmm with kernel, that initramfs and a console, and nothing else. */
must_check int machine_start_bare(const struct parts *p, const char *initrd, struct machine *ret);

/* Starts any program; its standard output is the console. */
must_check int machine_start_other(char *const *argv, struct machine *ret);

/* Reads event lines until one begins with word, which is put into line. 0; -1: the VMM ended before, and line is the
 * last one. */
must_check int machine_await_event(struct machine *m, const char *word, char *line, size_t size);

/* Reads the console until text came: 0; -1: it ended before, or timeout_ms went by. */
must_check int machine_await_text(struct machine *m, const char *text, int timeout_ms);
/* Reads the console to its end. Likewise. */
must_check int machine_await_end(struct machine *m, int timeout_ms);

/* Ends it, waits until nothing of it is left, and closes the files. */
void machine_end(struct machine *m);

#endif
