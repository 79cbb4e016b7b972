/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of who is measured next, and when it is enough: with a clock of our own. */
#include <criterion/criterion.h>

#include "tools/bench/plan.h"

static uint64_t clock_ns;
static int stop;

static uint64_t now(void)
{
	return clock_ns;
}

static int interrupted(void)
{
	return stop;
}

struct fake {
	struct series *s;
	uint64_t cost, next, spread;
	int fails, interrupts;
	unsigned turns;
};

static void turn(void *ctx)
{
	struct fake *f = ctx;

	clock_ns += f->cost;
	f->turns++;
	stop |= f->interrupts;
	if (f->fails)
		series_fail(f->s, "no");
	else
		(void)series_add(f->s, 1000 + (f->next++ * 7919) % (f->spread + 1), NULL);
}

static struct fake fake(struct result *r, uint64_t cost, uint64_t spread)
{
	return (struct fake){.s = result_series(r, "x", "conker"), .cost = cost, .spread = spread};
}

static void run(struct fake *f, size_t n, uint64_t time, unsigned weight, unsigned of)
{
	struct plan p = {.now_ns = now,
			 .interrupted = interrupted,
			 .end_ns = clock_ns + time,
			 .weight_left = of};
	struct task t[4];

	for (size_t i = 0; i < n; i++)
		t[i] = (struct task){.s = f[i].s, .turn = turn, .ctx = &f[i]};
	plan_run(&p, t, n, weight);
	cr_assert_eq(p.weight_left, of - weight);
}

Test(bench_plan, a_sure_series_ends_and_an_unsure_one_goes_on)
{
	struct result r = {0};
	struct fake f[] = {fake(&r, 10, 0), fake(&r, 10, 2000)};

	run(f, 2, 1000, 1, 1);
	cr_assert_eq(f[0].s->ended, ENDED_CONFIDENT);
	cr_assert_eq(f[0].turns, 10);
	cr_assert_eq(f[1].s->ended, ENDED_TIME);
	cr_assert_eq(f[1].turns, 90); /* the rest of the time was its own */
	result_fini(&r);
}

Test(bench_plan, a_group_has_its_share_of_the_time)
{
	struct result r = {0};
	struct fake f[] = {fake(&r, 10, 2000)};

	run(f, 1, 1000, 1, 4);
	cr_assert_eq(f[0].turns, 25);
	result_fini(&r);
}

Test(bench_plan, every_task_has_a_turn_whatever_the_time)
{
	struct result r = {0};
	struct fake f[] = {fake(&r, 10, 0), fake(&r, 10, 0)};

	run(f, 2, 0, 1, 1);
	cr_assert_eq(f[0].turns, 1);
	cr_assert_eq(f[1].turns, 1);
	cr_assert_eq(f[1].s->ended, ENDED_TIME);
	result_fini(&r);
}

Test(bench_plan, what_only_fails_is_given_up)
{
	struct result r = {0};
	struct fake f[] = {fake(&r, 10, 0), fake(&r, 10, 2000)};

	f[0].fails = 1;
	run(f, 2, 1000, 1, 1);
	cr_assert_eq(f[0].turns, PLAN_FAILURES_MAX);
	cr_assert_eq(f[0].s->ended, ENDED_FAILED);
	cr_assert_eq(f[1].s->ended, ENDED_TIME);
	result_fini(&r);
}

Test(bench_plan, an_interruption_leaves_the_series_open)
{
	struct result r = {0};
	struct fake f[] = {fake(&r, 10, 2000)};

	stop = 1;
	run(f, 1, 1000, 1, 1);
	cr_assert_eq(f[0].turns, 0);
	cr_assert_eq(f[0].s->ended, ENDED_NOT);
	result_fini(&r);
}

Test(bench_plan, a_run_that_is_interrupted_did_not_fail)
{
	struct result r = {0};
	struct fake f[] = {fake(&r, 10, 0)};

	f[0].fails = f[0].interrupts = 1;
	run(f, 1, 1000, 1, 1);
	cr_assert_eq(f[0].turns, 1);
	cr_assert_eq(f[0].s->failures, 0);
	cr_assert_eq(f[0].s->ended, ENDED_NOT);
	result_fini(&r);
}

Test(bench_plan, what_is_optional_is_left_out_when_the_time_is_over)
{
	struct result r = {0};
	struct fake f[] = {fake(&r, 10, 0), fake(&r, 10, 0)};
	struct plan p = {.now_ns = now, .interrupted = interrupted, .weight_left = 1};
	struct task t[] = {
		{.s = f[0].s, .turn = turn, .ctx = &f[0], .optional = 1},
		{.s = f[1].s, .turn = turn, .ctx = &f[1]},
	};

	plan_run(&p, t, 2, 1);
	cr_assert_eq(f[0].turns, 0);
	cr_assert_eq(f[0].s->ended, ENDED_TIME);
	cr_assert_eq(f[1].turns, 1);
	result_fini(&r);
}
