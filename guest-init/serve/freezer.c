/* freezer.c - see freezer.h. */
#include "guest-init/serve/freezer.h"

#include <string.h>
#include <sys/epoll.h>

#include "guest-init/serve/generation.h"
#include "guest-init/serve/server.h"
#include "guest-init/sys/sys.h"

int freeze_is_on(const struct server *s)
{
	return s->freeze.state != FREEZE_NONE;
}

int freeze_is_holder(const struct server *s, const struct client *c)
{
	return s->freeze.holder == c;
}

/* for_ms: when it ends by itself; 0: it does not. */
static void enter(struct server *s, enum freeze_state state, int64_t for_ms)
{
	if (s->freeze.is_watched)
		server_unwatch(s, s->freeze.freezer.events_fd);
	s->freeze.is_watched = 0;
	s->freeze.state = state;
	s->freeze.due_us = for_ms ? s->now_us + ms_to_us(for_ms) : 0;
}

/* ---- in ---- */

static int open_files(struct server *s)
{
	struct freeze *f = &s->freeze;
	int r = f->is_open ? 0 : cg_freezer_open(&s->cg, &f->freezer);

	f->is_open = r == 0;
	if (r < 0 || !f->root)
		return r;
	generation_open(&f->generation_fd, f->root);
	if (f->random_fd <= 0)
		f->random_fd = generation_open_random(f->root);
	return r;
}

static void leave(struct server *s, int forgive);

/* Nothing came of what init asked for. */
static void refuse(struct server *s)
{
	idle_refused(s);
	leave(s, 0);
}

/* All stand still, or have had their time. Who was not told of his start before anybody else knows of the freeze
 * may take it that nothing of it ran: it never will in a copy. */
static void on_frozen(struct server *s)
{
	struct freeze *f = &s->freeze;

	client_push_all(s);
	if (f->holder) {
		client_done_frozen(f->holder, f->channel);
		enter(s, FREEZE_HELD, 0);
		return;
	}
	if (f->ring_fd > 0)
		close(f->ring_fd);
	f->ring_fd = f->ring();
	if (f->ring_fd < 0)
		refuse(s);
	else
		enter(s, FREEZE_RUNG, FREEZE_RING_MS);
}

static int begin(struct server *s, struct client *holder, uint32_t channel)
{
	struct freeze *f = &s->freeze;
	int r = open_files(s);

	exec_start_finish(s);
	f->is_set = r == 0 && cg_freezer_has_any(&f->freezer);
	if (f->is_set)
		r = cg_freezer_set(&f->freezer, 1);
	if (r < 0)
		return r;
	f->holder = holder;
	f->channel = channel;
	f->since_us = s->now_us;
	f->n++;
	idle_enter(s);
	enter(s, FREEZE_BEGUN, FREEZE_WAIT_MS);
	freeze_on_event(s);
	/* If it cannot be watched, what it would tell comes a second late. */
	if (f->state == FREEZE_BEGUN)
		f->is_watched = server_watch(s, EPOLL_CTL_ADD, f->freezer.events_fd, EPOLLPRI,
					     (struct ev_name){.kind = KIND_FREEZER}) == 0;
	return 0;
}

/* Reading the file says what is so now; changes since are told, also those before it was watched. */
void freeze_on_event(struct server *s)
{
	const struct freeze *f = &s->freeze;

	if (f->state == FREEZE_BEGUN && (!f->is_set || cg_freezer_done(&f->freezer)))
		on_frozen(s);
}

void freeze_begin(struct server *s, struct client *c, uint32_t channel)
{
	int r = freeze_is_on(s) ? -EBUSY : begin(s, c, channel);

	if (r == -EBUSY)
		client_error(c, channel, EBUSY, "", "the box is frozen already");
	else if (r < 0)
		client_error(c, channel, -r, "freeze", strerror(-r));
}

int freeze_and_ring(struct server *s)
{
	return freeze_is_on(s) ? -EBUSY : begin(s, NULL, 0);
}

/* ---- out ---- */

/* The processes run first; whom to kill among them, and the Starts that wait, come after. */
static void leave(struct server *s, int forgive)
{
	struct freeze *f = &s->freeze;

	if (f->is_set) /* clearing a flag takes nothing that could be missing */
		(void)!cg_freezer_set(&f->freezer, 0);
	enter(s, FREEZE_NONE, 0);
	f->holder = NULL;
	exec_thawed(s, s->now_us - f->since_us, forgive);
	idle_leave(s);
}

void freeze_thaw(struct server *s, struct client *c, uint32_t channel)
{
	if (!freeze_is_on(s)) {
		client_error(c, channel, EINVAL, "", "the box is not frozen");
		return;
	}
	if (!freeze_is_holder(s, c)) {
		client_error(c, channel, EPERM, "", "another connection froze the box");
		return;
	}
	leave(s, 0);
	client_done(c, channel);
}

/* Their hosts' ends are gone, or belong to another box. */
static void drop_old_clients(struct server *s, const struct client *except)
{
	for (struct client *c = s->client; c < clients_end(s); c++)
		if (c->fd >= 0 && c != except && c->n_freezes != s->freeze.n)
			client_close(s, c);
}

/* PID 1 may do both, and the values have been checked. */
static void set_world(const struct server *s, const Conker__Resume *m)
{
	const struct freeze *f = &s->freeze;
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

void freeze_resume(struct server *s, struct client *c, uint32_t channel, const Conker__Resume *m)
{
	if (!freeze_is_on(s)) {
		client_error(c, channel, EINVAL, "", "the box is not frozen");
		return;
	}
	set_world(s, m);
	if (m->lifetime)
		idle_begin(s, m->lifetime->life_ms, m->lifetime->idle_ms,
			   m->lifetime->idle_suspend);
	drop_old_clients(s, c);
	idle_kept(s);
	leave(s, 1);
	client_done_lazy(s, c, channel);
}

/* ---- by itself ---- */

void freeze_client_gone(struct server *s, const struct client *c)
{
	if (!freeze_is_on(s) || s->freeze.holder != c)
		return;
	s->freeze.holder = NULL;
	enter(s, FREEZE_LEASE, FREEZE_LEASE_MS);
}

void freeze_copied(struct server *s, struct client *c)
{
	s->freeze.holder = NULL;
	c->n_freezes = s->freeze.n;
	exec_client_gone(s, c);
	enter(s, FREEZE_LEASE, FREEZE_LEASE_MS);
}

int64_t freeze_due_us(const struct server *s)
{
	return s->freeze.due_us ? s->freeze.due_us : INT64_MAX;
}

void freeze_run(struct server *s)
{
	if (freeze_due_us(s) <= s->now_us) {
		if (s->freeze.state == FREEZE_BEGUN)
			on_frozen(s);
		else if (s->freeze.state == FREEZE_RUNG)
			refuse(s);
		else
			leave(s, 0);
	}
	if (!freeze_is_on(s) && s->freeze.n_waiting > 0)
		client_go_on_all(s);
}
