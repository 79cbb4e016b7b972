/* SPDX-License-Identifier: Apache-2.0 */
/* trace.h - set-up step by step with times, on stderr, for --verbose; silent otherwise. */
#ifndef VMM_TRACE_H
#define VMM_TRACE_H

#include <stdbool.h>
#include <stdint.h>

struct trace {
	bool on;
	uint64_t start_us; /* of the process, CLOCK_MONOTONIC */
	uint64_t last_us;
};

uint64_t trace_now_us(void); /* CLOCK_MONOTONIC */

/* Call first thing in main(): what the process used before main() counts as its first step. */
void trace_init(struct trace *t);

/* The step named has just been done. Main thread. */
void trace_step(struct trace *t, const char *name);

#endif
