/* SPDX-License-Identifier: Apache-2.0 */
/* idle.c - see idle.h. */
#include "guest-init/serve/idle.h"

#include <stdio.h>

#include "guest-init/sys/sys.h"

void idle_refused(struct idle *d)
{
	d->retry_ms = d->retry_ms ? min_(2 * d->retry_ms, (int64_t)IDLE_RETRY_MAX_MS)
				  : (int64_t)IDLE_RETRY_MS;
}

void idle_kept(struct idle *d)
{
	d->retry_ms = 0;
}

static int64_t idle_end_of_life_us(const struct idle *d)
{
	return d->life_ms ? d->born_us + ms_to_us(d->life_ms) : INT64_MAX;
}

int64_t idle_due_us(const struct idle *d, const struct uses *u)
{
	int64_t due = INT64_MAX;

	if (d->idle_ms && !u->n)
		due = u->since_us + ms_to_us(max_(d->idle_ms, d->retry_ms));
	return min_(due, idle_end_of_life_us(d));
}

static enum idle_verdict idle_end(const char *why, int64_t ms)
{
	(void)dprintf(2, "conker-init: the box %s %lld.%lld s\n", why, (long long)(ms / 1000),
		      (long long)(ms % 1000 / 100));
	return IDLE_END;
}

enum idle_verdict idle_check(const struct idle *d, const struct uses *u, int64_t now_us)
{
	if (idle_due_us(d, u) > now_us)
		return IDLE_GO_ON;
	if (idle_end_of_life_us(d) <= now_us)
		return idle_end("reached its maximum life of", d->life_ms);
	return d->suspends ? IDLE_SUSPEND : idle_end("was idle for", d->idle_ms);
}
