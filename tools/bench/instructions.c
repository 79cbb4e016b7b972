/* SPDX-License-Identifier: Apache-2.0 */
/* instructions - what `make bench-instructions` has counted: a box comes up, and commands run in
 * it.
 *
 *   instructions DIRECTORY
 *
 * Runs in the lab, under the plugin (count.c), to which it tells by marks what has just happened.
 * DIRECTORY has the guest's programs, `true` and `spawn`. Before each mark the guest is left alone
 * for a moment, so that what init does after its answer belongs to the execution before. The box
 * begins at a fixed time of the lab's clock, long after anything that came from outside, so that no
 * timer is at another place than in the run before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/conker.h"
#include "tools/bench/boxes.h"
#include "tools/bench/mark.h"

enum { WARM_UP = 5, RUNS = 8, SETTLE_US = 30000, BEGIN_S = 10 };

static int count_fail(const char *what)
{
	fprintf(stderr, "instructions: %s: %s\n", what, conker_errmsg());
	return 1;
}

/* RUNS of them, each with a mark of its own. */
static int executions(conker_box *box, const char *program)
{
	const char *argv[] = {program, NULL};
	struct ran ran;

	for (int i = 0; i < WARM_UP + RUNS; i++) {
		BENCH_MARK(MARK_NOTHING);
		if (boxes_run(box, argv, &ran) < 0)
			return count_fail(program);
		usleep(SETTLE_US);
		if (i >= WARM_UP)
			BENCH_MARK(MARK_EXEC);
	}
	return 0;
}

/* `spawn` makes the marks itself. */
static int spawns(conker_box *box)
{
	const char *argv[] = {"/tmp/spawn", "/tmp/true", NULL};
	const char count = WARM_UP + RUNS;
	struct ran ran;

	return boxes_feed(box, argv, &count, 1, 1, &ran) < 0 ? count_fail("spawn") : 0;
}

int main(int argc, char **argv)
{
	conker_box_opts opts = {.size = sizeof(opts),
				.name = "instructions",
				.cmdline_append = "norandmaps",
				.memory_mib = 128,
				.cpus = 1};
	const struct timespec begin = {.tv_sec = BEGIN_S};
	conker_box *box;

	if (argc != 2) {
		fprintf(stderr, "usage: instructions DIRECTORY\n");
		return 2;
	}
	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &begin, NULL);
	if (conker_box_create(&opts, &box) < 0)
		return count_fail("box");
	usleep(SETTLE_US);
	BENCH_MARK(MARK_READY);
	int r = boxes_upload(box, argv[1], "true") < 0 || boxes_upload(box, argv[1], "spawn") < 0;
	if (r == 0)
		r = executions(box, "/tmp/true");
	if (r == 0)
		r = spawns(box);
	if (r == 0)
		r = executions(box, "/bin/true");
	conker_box_free(box);
	return r;
}
