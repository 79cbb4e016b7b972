/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - who is measured next, and when it is enough.
 *
 * Tasks of a group take turns, one sample each, so that whatever else the machine does meets all of them. A task is
 * over when the median of its series is as sure as was asked for, when it has as many samples as are of use, when
 * it only fails, or when the group's share of the time is used up; every task that is not optional gets its turn once whatever the time.
 * What a group leaves of its time is for the groups after it.
 */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

#include <stdint.h>

#include "tools/bench/result.h"

enum {
	PLAN_PERCENT = 5,      /* the median's interval within so much of it on both sides */
	PLAN_FAILURES_MAX = 3, /* without a single success */
};

struct task {
	struct series
		*s; /* grows by a turn, or has one failure more. NULL: there is nothing to do */
	void (*turn)(void *ctx);
	void *ctx;
	size_t min, max; /* samples: not confident before min; over at max. 0: see plan.c */
	int optional;    /* may go without its first turn when the time is over */
};

struct plan {
	uint64_t (*now_ns)(void);
	int (*interrupted)(void); /* non-zero: stop */
	/* NULL, or told before each turn. */
	void (*progress)(const struct series *s, void *user);
	void *user;
	uint64_t end_ns;      /* of all groups */
	unsigned weight_left; /* of this group and those to come */
};

/* Runs a group with its share of the time that is left: weight of plan->weight_left. */
void plan_run(struct plan *p, struct task *t, size_t n, unsigned weight);

#endif
