/* SPDX-License-Identifier: Apache-2.0 */
/* host.h - the machine that figures were taken on: facts without which they mean nothing. */
#ifndef BENCH_HOST_H
#define BENCH_HOST_H

#include "tools/bench/result.h"

/* Adds kind, cpu, cpus, kernel, memory, load and what of the host's settings is known to matter. */
void host_facts(struct result *r);

/* Bytes that could be allocated without swapping. */
uint64_t host_available_bytes(void);
unsigned host_cpus(void);

#endif
