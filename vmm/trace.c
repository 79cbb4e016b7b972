/* SPDX-License-Identifier: Apache-2.0 */
/* trace.c - see trace.h. */
#include "vmm/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static uint64_t clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t); /* cannot fail with these clocks */
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t trace_now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

void trace_init(struct trace *t)
{
	/* exec and the dynamic linker ran before main(); processor time is how long they took */
	t->last_us = t->start_us = trace_now_us() - clock_us(CLOCK_PROCESS_CPUTIME_ID);
}

void trace_step(struct trace *t, const char *name)
{
	if (!t->on)
		return;
	uint64_t now = trace_now_us();
	fprintf(stderr, "conker-vmm: %8" PRIu64 " us  +%7" PRIu64 "  %s\n", now - t->start_us,
		now - t->last_us, name);
	t->last_us = now;
}
