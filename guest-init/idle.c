/* idle.c - see idle.h. */
#include "guest-init/idle.h"

#include <stdio.h>

#include "guest-init/server.h"
#include "guest-init/sys.h"

static int is_busy(const struct server *s)
{
	if (s->n_forwards > 0 || s->awaits.n > 0 || s->views.n > 0 || freeze_is_on(s))
		return 1;
	for (unsigned i = 0; i < s->n_live; i++)
		if (s->exec[s->live[i]].keep_alive)
			return 1;
	return 0;
}

void idle_begin(struct server *s, int64_t life_ms, int64_t idle_ms, int suspends)
{
	s->idle = (struct idle){.idle_ms = idle_ms,
				.life_ms = life_ms,
				.born_us = s->now_us,
				.since_us = s->now_us,
				.suspends = suspends};
}

void idle_touch(struct server *s)
{
	s->idle.since_us = s->now_us;
}

int64_t idle_for_us(const struct server *s)
{
	return is_busy(s) ? 0 : s->now_us - s->idle.since_us;
}

int64_t idle_due_us(const struct server *s)
{
	const struct idle *d = &s->idle;
	int64_t due = INT64_MAX;

	if (s->power_off_us || freeze_is_on(s))
		return due;
	if (d->idle_ms && !is_busy(s))
		due = d->since_us + ms_to_us(d->idle_ms);
	if (d->life_ms)
		due = min_(due, d->born_us + ms_to_us(d->life_ms));
	return due;
}

static void end(struct server *s, const char *why, int64_t ms)
{
	(void)dprintf(2, "conker-init: the box %s %lld.%lld s\n", why, (long long)(ms / 1000),
		      (long long)(ms % 1000 / 100));
	exec_kill_all(s);
	s->power_off_us = s->now_us + ms_to_us(POWER_OFF_MS);
}

void idle_run(struct server *s)
{
	struct idle *d = &s->idle;

	if (d->idle_ms && is_busy(s))
		d->since_us = s->now_us;
	if (idle_due_us(s) > s->now_us)
		return;
	if (d->life_ms && d->born_us + ms_to_us(d->life_ms) <= s->now_us)
		end(s, "reached its maximum life of", d->life_ms);
	else if (!d->suspends)
		end(s, "was idle for", d->idle_ms);
	else if (freeze_and_ring(s) < 0)
		idle_touch(s); /* another time */
}
