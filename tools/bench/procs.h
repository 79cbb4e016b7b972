/* SPDX-License-Identifier: Apache-2.0 */
/* procs.h - the host memory of a box: of every process that is left of it, from /proc/PID/smaps. */
#ifndef BENCH_PROCS_H
#define BENCH_PROCS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROCS_MAX = 256 };

struct procs {
	pid_t pid[PROCS_MAX];
	size_t n;
};

/* In bytes. Pss counts a page that n processes map as its n-th part; private are pages that nobody else maps. The
 * guest's memory is told apart from what the VMM needs for itself. */
struct footprint {
	uint64_t own_rss, own_private, own_pss;
	uint64_t guest_rss, guest_private, guest_pss;
	unsigned processes, guests; /* guests: how many of them have a guest's memory */
};

/* From now on orphans among our descendants become our children, so that none can hide. */
void procs_adopt(void);

/* All our descendants, after the dead ones were reaped. */
void procs_list(struct procs *ret);

/* Of all descendants but those in before. */
void procs_measure(const struct procs *before, uint64_t guest_bytes, struct footprint *ret);

/* VmRSS of one process; 0 when it is gone. */
uint64_t procs_rss(pid_t pid);

#endif
