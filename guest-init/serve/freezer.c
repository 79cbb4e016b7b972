/* SPDX-License-Identifier: Apache-2.0 */
/* freezer.c - see freezer.h. */
#include "guest-init/serve/freezer.h"

#include <string.h>
#include <sys/epoll.h>

#include "guest-init/exec/lifecycle.h"
#include "guest-init/exec/messages.h"
#include "guest-init/serve/generation.h"
#include "guest-init/sys/sys.h"

static int64_t freezer_now_us(const struct freezer *f)
{
	return f->execs->poller->now_us;
}

/* for_ms: when it ends by itself; 0: it does not. */
static void enter_state(struct freezer *f, enum freezer_state state, int64_t for_ms)
{
	if (f->is_watched)
		poller_unwatch(f->execs->poller, f->files.events_fd);
	f->is_watched = f->is_still = 0;
	f->state = state;
	f->execs->is_frozen = state != FREEZE_NONE;
	f->due_us = for_ms ? freezer_now_us(f) + ms_to_us(for_ms) : 0;
}

/* ---- in ---- */

static int open_files(struct freezer *f)
{
	int r = f->is_open ? 0 : cg_freezer_open(&f->execs->cg, &f->files);

	f->is_open = r == 0;
	if (r < 0 || !f->root)
		return r;
	generation_open(&f->generation_fd, f->root);
	if (f->random_fd <= 0)
		f->random_fd = generation_open_random(f->root);
	return r;
}

/* Reading the file says what is so now; changes since are told, also those before it was watched. */
void freezer_on_event(struct freezer *f)
{
	if (f->state == FREEZE_BEGUN)
		f->is_still |= !f->is_set || cg_freezer_done(&f->files);
}

int freezer_begin(struct freezer *f, struct outbox *holder, uint32_t channel, uint32_t host_port,
		  struct ev_name event)
{
	int r = freezer_is_on(f) ? -EBUSY : open_files(f);

	if (r < 0)
		return r;
	f->is_set = cg_freezer_has_any(&f->files);
	if (f->is_set)
		r = cg_freezer_set(&f->files, 1);
	if (r < 0)
		return r;
	f->holder = holder;
	f->channel = channel;
	f->host_port = host_port;
	f->since_us = freezer_now_us(f);
	f->n++;
	uses_enter(&f->execs->uses);
	enter_state(f, FREEZE_BEGUN, FREEZE_WAIT_MS);
	freezer_on_event(f);
	/* If it cannot be watched, what it would tell comes a second late. */
	if (!f->is_still)
		f->is_watched = poller_watch(f->execs->poller, EPOLL_CTL_ADD, f->files.events_fd,
					     EPOLLPRI, event) == 0;
	return 0;
}

int freezer_hold(struct freezer *f)
{
	if (f->holder) {
		message_done(f->holder, f->channel, f->host_port);
		enter_state(f, FREEZE_HELD, 0);
		return 0;
	}
	if (f->ring_fd > 0)
		close(f->ring_fd);
	f->ring_fd = f->ring();
	if (f->ring_fd >= 0)
		enter_state(f, FREEZE_RUNG, FREEZE_RING_MS);
	else
		freezer_end(f, 0);
	return min_(f->ring_fd, 0);
}

/* ---- out ---- */

void freezer_end(struct freezer *f, int forgive)
{
	if (f->holder && f->state == FREEZE_BEGUN)
		message_done(f->holder, f->channel, f->host_port);
	if (f->is_set) /* clearing a flag takes nothing that could be missing */
		(void)!cg_freezer_set(&f->files, 0);
	enter_state(f, FREEZE_NONE, 0);
	f->holder = NULL;
	execs_thawed(f->execs, freezer_now_us(f) - f->since_us, forgive);
	uses_leave(&f->execs->uses, freezer_now_us(f));
}

/* PID 1 may do both, and the values have been checked. */
void freezer_set_world(const struct freezer *f, const Conker__Resume *m)
{
	const struct timespec t = {.tv_sec = (time_t)(m->realtime_us / 1000000),
				   .tv_nsec = (long)(m->realtime_us % 1000000) * 1000};

	if (m->realtime_us)
		(void)clock_settime(CLOCK_REALTIME, &t);
	if (m->hostname.len > 0)
		(void)!sethostname((const char *)m->hostname.data, m->hostname.len);
	if (m->generation.len == 0)
		return;
	if (f->random_fd > 0)
		generation_seed(f->random_fd, m->seed.data);
	if (f->generation_fd > 0)
		generation_put(f->generation_fd, m->generation.data);
}

void freezer_lose(struct freezer *f, const struct outbox *out)
{
	if (!freezer_is_on(f) || f->holder != out)
		return;
	f->holder = NULL;
	enter_state(f, FREEZE_LEASE, FREEZE_LEASE_MS);
}

/* ---- by itself ---- */

int64_t freezer_due_us(const struct freezer *f)
{
	return f->is_still ? 0 : f->due_us ? f->due_us : INT64_MAX;
}

enum freezer_news freezer_run(struct freezer *f)
{
	if (!freezer_is_on(f) || freezer_due_us(f) > freezer_now_us(f))
		return FREEZER_NO_NEWS;
	if (f->state == FREEZE_BEGUN)
		return FREEZER_STILL;
	int rung = f->state == FREEZE_RUNG;
	freezer_end(f, 0);
	return rung ? FREEZER_REFUSED : FREEZER_ENDED;
}
