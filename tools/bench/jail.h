/* SPDX-License-Identifier: Apache-2.0 */
/* jail.h - what holds a VMM, asked of the kernel and not of the VMM. */
#ifndef BENCH_JAIL_H
#define BENCH_JAIL_H

#include <stddef.h>
#include <sys/types.h>

/* "on (user mnt pid net ipc uts namespaces, seccomp, no_new_privs)", or "OFF" and what there is of it.
 * pid: a process that runs and whose /proc we may read. */
void jail_of(pid_t pid, char *ret, size_t size);

#endif
