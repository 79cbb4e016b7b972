/* idle.c - see idle.h. */
#include "guest-init/serve/idle.h"

#include <assert.h>
#include <stdio.h>

#include "guest-init/serve/server.h"
#include "guest-init/sys/sys.h"

void idle_begin(struct server *s, int64_t life_ms, int64_t idle_ms, int suspends)
{
	s->idle = (struct idle){.idle_ms = idle_ms,
				.life_ms = life_ms,
				.born_us = s->now_us,
				.users = s->idle.users,
				.since_us = s->now_us,
				.suspends = suspends};
}

void idle_enter(struct server *s)
{
	s->idle.users++;
}

void idle_leave(struct server *s)
{
	assert(s->idle.users > 0);
	s->idle.users--;
	idle_touch(s);
}

void idle_refused(struct server *s)
{
	struct idle *d = &s->idle;

	d->retry_ms = d->retry_ms ? min_(2 * d->retry_ms, (int64_t)IDLE_RETRY_MAX_MS)
				  : (int64_t)IDLE_RETRY_MS;
}

void idle_kept(struct server *s)
{
	s->idle.retry_ms = 0;
}

void idle_touch(struct server *s)
{
	s->idle.since_us = s->now_us;
}

int64_t idle_for_us(const struct server *s)
{
	return s->idle.users ? 0 : s->now_us - s->idle.since_us;
}

int64_t idle_due_us(const struct server *s)
{
	const struct idle *d = &s->idle;
	int64_t due = INT64_MAX;

	if (s->power_off_us || freeze_is_on(s))
		return due;
	if (d->idle_ms && !d->users)
		due = d->since_us + ms_to_us(max_(d->idle_ms, d->retry_ms));
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

	if (idle_due_us(s) > s->now_us)
		return;
	if (d->life_ms && d->born_us + ms_to_us(d->life_ms) <= s->now_us) {
		end(s, "reached its maximum life of", d->life_ms);
	} else if (!d->suspends) {
		end(s, "was idle for", d->idle_ms);
	} else if (freeze_and_ring(s) < 0) {
		idle_refused(s);
		idle_touch(s);
	}
}
