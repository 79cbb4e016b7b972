/* SPDX-License-Identifier: Apache-2.0 */
/* rate.c - boxes per second: N times `conker run -- true` at once, from the first spawn until the last has ended; and
 * the same with --from a snapshot.
 *
 * Each is a process of its own, as users have it, and its end includes that of the box. Whoever fails fails the
 * round.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/bench/bench.h"
#include "tools/bench/host.h"
#include "util/cleanup.h"

enum { BOXES_MAX = 64, QUICK_BOXES = 2, LEVELS_MAX = 7, PER_CPU = 4 };

struct rate_ctx {
	struct bench *b;
	struct series *s;
	char *const *argv;
};

static pid_t spawn_run(char *const *argv, int null)
{
	posix_spawn_file_actions_t fa;
	pid_t pid;

	posix_spawn_file_actions_init(&fa);
	for (int fd = 0; fd <= 2; fd++)
		posix_spawn_file_actions_adddup2(&fa, null, fd);
	int e = posix_spawn(&pid, "/proc/self/exe", &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	return e ? -1 : pid;
}

static int wait_for(struct bench *b, pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
		else if (b->plan.interrupted())
			(void)kill(pid, SIGTERM); /* it ends its box */
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void rate_turn(void *ctx)
{
	struct rate_ctx *c = ctx;
	pid_t pid[BOXES_MAX];
	unsigned failed = 0;
	char why[96];

	auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	uint64_t start = machine_now_ns();
	for (uint32_t i = 0; i < c->s->boxes; i++)
		pid[i] = spawn_run(c->argv, null);
	for (uint32_t i = 0; i < c->s->boxes; i++)
		failed += pid[i] < 0 || wait_for(c->b, pid[i]) != 0;
	if (failed == 0) {
		(void)series_add(c->s, machine_now_ns() - start, NULL);
		return;
	}
	(void)snprintf(why, sizeof(why), "%u of %u boxes failed", failed, c->s->boxes);
	series_fail(c->s, why);
}

/* 1, 2, 4, ... while they fit half of the free memory and there are not too many for each CPU. */
static unsigned boxes_max(struct bench *b)
{
	uint64_t fit = host_available_bytes() / 2 / ((uint64_t)b->parts.memory_mib << 20);
	unsigned n = max_(host_cpus() * PER_CPU, 4U);

	if (b->quick)
		n = QUICK_BOXES;
	n = min_(n, (unsigned)BOXES_MAX);
	return fit < n ? (unsigned)fit : n;
}

struct level {
	struct rate_ctx ctx[LEVELS_MAX];
	char *argv[8];
};

/* Tasks for 1, 2, 4, ... boxes at once. */
static size_t add_levels(struct bench *b, struct level *l, unsigned max, const char *id,
			 const char *title, struct task *tasks)
{
	size_t n = 0;

	for (uint32_t boxes = 1; boxes <= max && n < LEVELS_MAX; boxes *= 2, n++) {
		struct series *s = bench_series(
			b, id, "conker", title,
			"N times `conker run -- true` at once: from the first spawn until the "
			"last process has ended, and its box with it",
			UNIT_NS);

		if (s)
			s->boxes = boxes;
		l->ctx[n] = (struct rate_ctx){.b = b, .s = s, .argv = l->argv};
		tasks[n] = (struct task){.s = s,
					 .turn = rate_turn,
					 .ctx = &l->ctx[n],
					 .min = 6,
					 .max = 50,
					 .optional = boxes > 1};
	}
	return n;
}

void rate_run(struct bench *b, unsigned weight)
{
	struct level cold = {
		.argv = {(char *)"conker", (char *)"run", (char *)"--", (char *)"true"}};
	struct level from = {.argv = {(char *)"conker", (char *)"run", (char *)"--from",
				      b->snapshot, (char *)"--", (char *)"true"}};
	struct task tasks[2 * LEVELS_MAX];
	unsigned max = boxes_max(b);
	size_t n = add_levels(b, &cold, max, "rate", "cold boxes at once", tasks);

	if (n == 0)
		result_skip(&b->r, "rate", "not enough free memory for a box");
	if (bench_snapshot(b) < 0)
		result_skip(&b->r, "rate-restore", conker_errmsg());
	else
		n += add_levels(b, &from, max, "rate-restore", "restored boxes at once", tasks + n);
	plan_run(&b->plan, tasks, n, weight);
}
