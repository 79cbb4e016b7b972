/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - see plan.h. */
#include "tools/bench/plan.h"

#include "tools/bench/stats.h"
#include "util/cleanup.h"

enum { MIN_DEFAULT = 10, MAX_DEFAULT = 1000, LOOK_ALWAYS = 50, LOOK_EACH = 16 };

static int is_confident(const struct series *s, size_t min)
{
	/* Sorting a long series after every sample would cost more than taking it. */
	if (s->n < min || (s->n > LOOK_ALWAYS && s->n % LOOK_EACH))
		return 0;
	auto_free uint64_t *v = series_sorted(s);
	return v && stats_confident(v, s->n, PLAN_PERCENT);
}

/* Whether one more sample is wanted; else why not. */
static enum ended state_of(const struct task *t)
{
	size_t min = t->min ? t->min : MIN_DEFAULT, max = t->max ? t->max : MAX_DEFAULT;

	if (t->s->n == 0 && t->s->failures >= PLAN_FAILURES_MAX)
		return ENDED_FAILED;
	if (t->s->n >= max || t->s->n >= SAMPLES_MAX)
		return ENDED_ENOUGH;
	return is_confident(t->s, min) ? ENDED_CONFIDENT : ENDED_NOT;
}

/* A run that was interrupted did not fail. */
static void take_turn(const struct plan *p, struct task *t)
{
	uint32_t failures = t->s->failures;

	t->turn(t->ctx);
	if (p->interrupted())
		t->s->failures = failures;
	else
		t->s->ended = state_of(t);
}

/* One turn of each that is not over. The number of those that go on. */
static size_t turns(struct plan *p, struct task *t, size_t n, uint64_t deadline)
{
	size_t open = 0;

	for (size_t i = 0; i < n && !p->interrupted(); i++) {
		if (!t[i].s || t[i].s->ended != ENDED_NOT ||
		    (t[i].optional && p->now_ns() >= deadline))
			continue;
		if (p->progress)
			p->progress(t[i].s, p->user);
		take_turn(p, &t[i]);
		open += t[i].s->ended == ENDED_NOT;
	}
	return open;
}

void plan_run(struct plan *p, struct task *t, size_t n, unsigned weight)
{
	uint64_t now = p->now_ns(), left = p->end_ns > now ? p->end_ns - now : 0;
	uint64_t deadline = now + left / (p->weight_left ? p->weight_left : 1) * weight;

	p->weight_left -= weight < p->weight_left ? weight : p->weight_left;
	while (turns(p, t, n, deadline) > 0 && !p->interrupted() && p->now_ns() < deadline)
		;
	for (size_t i = 0; i < n && !p->interrupted(); i++)
		if (t[i].s && t[i].s->ended == ENDED_NOT)
			t[i].s->ended = ENDED_TIME;
}
