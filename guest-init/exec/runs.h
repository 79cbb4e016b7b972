/* SPDX-License-Identifier: Apache-2.0 */
/* runs.h - one run of an execution: from what a Start asks for to a running process, and its end.
 *
 * An execution has one run, or several if it restarts. A run owns a process, pipes (or a terminal) and a cgroup.
 */
#ifndef INIT_EXEC_RUNS_H
#define INIT_EXEC_RUNS_H

#include "guest-init/exec/execs.h"

/* Why a start failed; NULL as step means that it did not. */
struct refusal {
	const char *step;
	int code;
};

static inline struct refusal refusal(const char *step, int code)
{
	return (struct refusal){step, code};
}

/* Makes the process, and returns when it runs its program, or cannot: then run_end() gives back what was made.
 * may_wait: nothing else wants init's attention, so it may look at the first moments of the command (young.h). */
must_check struct refusal run_begin(struct execs *e, struct exec *x, const Conker__Start *m,
				    int may_wait);

/* Gives back what belongs to a run. */
void run_end(struct execs *e, struct exec *x);

/* The events of its cgroup are not asked for any more. */
void run_unwatch_group(struct execs *e, struct exec *x);

#endif
