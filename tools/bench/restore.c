/* SPDX-License-Identifier: Apache-2.0 */
/* restore.c - boxes from a snapshot: restore to first exec result, and what clones take of memory.
 *
 * The snapshot is of a box like the cold ones, idle, after some executions: what a template is. Creating a box from it
 * returns when the guest's next instruction is about to run; thawing and setting the clock travel ahead of the first
 * request. So a restore is these steps:
 *
 *	call .. VMM's process .. its first guest instruction .. answer to the first ping, or to the first execution
 */
#include <stdio.h>
#include <string.h>

#include "tools/bench/bench.h"
#include "tools/bench/boxes.h"
#include "tools/bench/procs.h"
#include "util/cleanup.h"

enum { RESTORE_MIN = 20, RESTORE_MAX = 500, QUICK_MAX = 20, CLONES = 10, CLONES_QUICK = 4 };

/* ---- the snapshot ---------------------------------------------------------------------------------------- */

static int take(struct bench *b, conker_box *box)
{
	int r = boxes_warm_up(box);

	return r < 0 ? r : conker_box_snapshot(box, b->snapshot, NULL, NULL);
}

int bench_snapshot(struct bench *b)
{
	conker_box_opts o = {
		.size = sizeof(o), .memory_mib = b->parts.memory_mib, .cpus = b->parts.cpus};
	conker_box *box = NULL;

	if (b->snapshot[0])
		return 0;
	(void)snprintf(b->snapshot, sizeof(b->snapshot), "%s/snapshot", b->dir);
	int r = conker_box_create(&o, &box);
	if (r == 0)
		r = take(b, box);
	if (r < 0)
		b->snapshot[0] = 0;
	conker_box_free(box);
	return r;
}

/* ---- restores ---------------------------------------------------------------------------------------------- */

struct restore_ctx {
	struct bench *b;
	struct series *start, *ping, *exec;
};

static int restore(struct bench *b, conker_box **ret, uint64_t *ret_ns)
{
	conker_box_opts o = {.size = sizeof(o), .from = b->snapshot};
	uint64_t start = machine_now_ns();
	int r = conker_box_create(&o, ret);

	*ret_ns = machine_now_ns() - start;
	return r;
}

/* steps[0..2]: the library, the VMM; their sum is ns. */
static void split(conker_box *box, uint64_t ns, uint64_t *steps)
{
	conker_box_info info = {.size = sizeof(info)};
	uint64_t setup_ns = conker_box_info_get(box, &info) == 0 ? info.setup_us * 1000 : 0;

	steps[1] = setup_ns < ns ? setup_ns : ns;
	steps[0] = ns - steps[1];
}

static void to_ping(struct restore_ctx *c, conker_box *box, uint64_t ns)
{
	uint64_t steps[3], start = machine_now_ns();

	if (conker_box_ping(box, 60000) < 0) {
		series_fail(c->ping, conker_errmsg());
		return;
	}
	steps[2] = machine_now_ns() - start;
	split(box, ns, steps);
	(void)series_add(c->ping, ns + steps[2], steps);
	(void)series_add(c->start, ns, steps);
}

static void to_exec(struct restore_ctx *c, conker_box *box, uint64_t ns)
{
	uint64_t steps[3];
	struct ran ran;

	if (boxes_run(box, boxes_tiny, &ran) < 0) {
		series_fail(c->exec, ran.why);
		return;
	}
	steps[2] = ran.ns;
	split(box, ns, steps);
	(void)series_add(c->exec, ns + ran.ns, steps);
	(void)series_add(c->start, ns, steps);
}

static void turn(struct restore_ctx *c, struct series *s,
		 void (*to)(struct restore_ctx *c, conker_box *box, uint64_t ns))
{
	conker_box *box = NULL;
	uint64_t ns;

	if (restore(c->b, &box, &ns) < 0) {
		series_fail(s, conker_errmsg());
		return;
	}
	to(c, box, ns);
	conker_box_free(box);
}

static void ping_turn(void *ctx)
{
	struct restore_ctx *c = ctx;

	turn(c, c->ping, to_ping);
}

static void exec_turn(void *ctx)
{
	struct restore_ctx *c = ctx;

	turn(c, c->exec, to_exec);
}

/* ---- memory of clones ----------------------------------------------------------------------------------- */

struct clones_ctx {
	struct bench *b;
	struct memory_series memory;
	unsigned count;
};

static int clone_one(struct bench *b, conker_box **ret, const char **why, struct ran *ran)
{
	uint64_t ns;
	int r = restore(b, ret, &ns);

	*why = r < 0 ? conker_errmsg() : ran->why;
	return r < 0 ? r : boxes_run(*ret, boxes_tiny, ran);
}

/* All of them live at once, each after its first exec: what one more of them takes shows only beside others. */
static void clones_turn(void *ctx)
{
	struct clones_ctx *c = ctx;
	conker_box *box[CLONES] = {NULL};
	struct procs before;
	const char *why = "";
	struct ran ran;
	int r = 0;

	procs_list(&before);
	for (unsigned i = 0; i < c->count && r == 0; i++)
		r = clone_one(c->b, &box[i], &why, &ran);
	if (r < 0)
		series_fail(c->memory.all, why);
	else
		memory_sample(c->b, &c->memory, &before, c->count);
	for (unsigned i = 0; i < c->count; i++)
		conker_box_free(box[i]);
}

/* ---- the whole ---------------------------------------------------------------------------------------------- */

static void add_steps(struct series *s, const char *last)
{
	if (!s)
		return;
	(void)series_step(s, "library: open the snapshot, spawn");
	(void)series_step(s, "VMM: process start to first guest instruction");
	if (last)
		(void)series_step(s, last);
}

static void make_series(struct restore_ctx *c)
{
	c->exec = bench_series(c->b, "restore", "conker", "restore to first exec result",
			       "from the call that restores a box until the exit status of `true` "
			       "has arrived; the "
			       "snapshot's files are in the page cache",
			       UNIT_NS);
	c->ping = bench_series(
		c->b, "restore-ping", "conker", "restore to first ping",
		"from the call that restores a box until init's answer to a ping has arrived",
		UNIT_NS);
	c->start =
		bench_series(c->b, "restore-start", "conker", "restore to first guest instruction",
			     "from the call that restores a box until it returns, which it does "
			     "when the guest's "
			     "next instruction is about to run; of both kinds of restores",
			     UNIT_NS);
	add_steps(c->exec, "thaw and first exec of `true`");
	add_steps(c->ping, "first ping");
	add_steps(c->start, NULL);
}

/* Without a snapshot there is nothing to restore. */
static void give_up(struct bench *b, struct task *tasks, size_t n)
{
	if (b->plan.interrupted())
		return;
	series_fail(tasks[0].s, conker_errmsg());
	for (size_t i = 0; i < n; i++)
		if (tasks[i].s)
			tasks[i].s->ended = ENDED_FAILED;
}

void restore_run(struct bench *b, unsigned weight)
{
	struct restore_ctx c = {.b = b};
	struct clones_ctx m = {.b = b, .count = b->quick ? CLONES_QUICK : CLONES};
	size_t min = b->quick ? 0 : RESTORE_MIN, max = b->quick ? QUICK_MAX : RESTORE_MAX;
	struct task tasks[3];
	size_t n = 0;

	if (b->which & BENCH_RESTORE) {
		make_series(&c);
		tasks[n++] = (struct task){
			.s = c.exec, .turn = exec_turn, .ctx = &c, .min = min, .max = max};
		tasks[n++] = (struct task){
			.s = c.ping, .turn = ping_turn, .ctx = &c, .min = min, .max = max};
	}
	memory_series(b, "conker clone", m.count, &m.memory);
	if (m.memory.all)
		tasks[n++] = (struct task){
			.s = m.memory.all, .turn = clones_turn, .ctx = &m, .max = MEMORY_MAX};
	if (n && tasks[0].s && bench_snapshot(b) < 0) {
		give_up(b, tasks, n);
		n = 0;
	}
	plan_run(&b->plan, tasks, n, weight);
	if (c.start && c.exec)
		c.start->ended = c.exec->ended;
	if (m.memory.own && m.memory.all)
		m.memory.own->ended = m.memory.all->ended;
}
