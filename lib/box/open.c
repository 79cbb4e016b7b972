/* SPDX-License-Identifier: Apache-2.0 */
/* open.c - a handle on a box that is there.
 *
 * Protocol: who holds its lock says what to do (lib/host/README.md). Its VMM: connect. A starter:
 * connect too, or wait if it resumes the box. Nobody: it is suspended, and resumed here; or over. A
 * box that suspends itself is asked first whether it is frozen, which begins its idle time anew.
 *
 * Duties: whoever has opened a box can run commands in it, unless it ends. What changes between two
 * looks is looked at again (-ERESTART).
 *
 * Limits: a few such rounds; ANSWER_MS for a guest that does not answer, FROZEN_MAX_MS for a VMM
 * that writes.
 */
#include "lib/box/snapshot.h"
#include "lib/host/host.h"

#include <errno.h>
#include <string.h>

/* Whether, and how, the box in b->dir can be used: BOX_RUNS or BOX_STARTING: by its sockets; BOX_OVER: it is suspended.
 * -ERESTART: look again, one waits until it is no longer in between. -ESHUTDOWN */
static int open_look(struct box *b, struct err *e)
{
	char reason[REASON_BYTES];
	struct vm_events *v = &b->events;
	const char *name = b->meta.name;
	pid_t vmm;
	auto_hold int held = -1;
	int alive = registry_hold(b->dir, &vmm, &held);

	if (alive < 0)
		return err_set(e, -alive, "look whether box '%s' runs: %s", name, strerror(-alive));
	(void)events_load(v, b->dir);
	int leaving = v->over && v->end == CONKER_BOX_SUSPENDED && alive != BOX_OVER;
	if (leaving || (alive == BOX_STARTING && storage_is_suspended(b->dir)))
		return suspend_await(b, e);
	int suspended = alive == BOX_OVER ? suspended_settle(b->dir, v) : 0;
	if (suspended < 0)
		return err_set(e, -suspended, "look whether box '%s' is suspended: %s", name,
			       strerror(-suspended));
	if (suspended)
		return BOX_OVER;
	if (alive != BOX_OVER && !v->over)
		return alive;
	if (!v->over)
		v->end = CONKER_BOX_KILLED;
	events_reason(v, b->dir, reason, sizeof(reason));
	return err_set(e, ESHUTDOWN, "box '%s' no longer runs: %s", name, reason);
}

/* -ERESTART: look again, it has ended since. */
static int open_connect(struct box *b, int alive, struct err *e)
{
	int r = handle_connect(&b->handle, b->dir, e);

	if (r == -ENOENT || r == -ECONNREFUSED)
		return alive == BOX_STARTING
			       ? err_set(e, EAGAIN, "box '%s' is only just starting; try again",
					 b->meta.name)
			       : err_set(e, ERESTART, "box '%s' is ending", b->meta.name);
	if (r == 0)
		life_watch_vmm(b);
	return r;
}

static int open_attach(struct box *b, const char *name, struct err *e)
{
	enum { TRIES = 8 }; /* each has waited for somebody else to suspend or resume it */
	int r;

	b->dir = registry_open(name, &b->meta, e);
	if (b->dir < 0)
		return b->dir;
	r = boximage_load(b, e);
	if (r < 0)
		return r;
	r = -ERESTART;
	for (int i = 0; i < TRIES && r == -ERESTART; i++) {
		int alive = open_look(b, e);
		r = alive < 0           ? alive
		    : alive == BOX_OVER ? suspend_resume(b, e)
					: open_connect(b, alive, e);
	}
	return r;
}

static int is_lost(const void *arg)
{
	const struct box *b = arg;

	return b->handle.lost != 0;
}

/* Why its connection ended: -ERESTART: it has gone to disk, or open_look() knows what became of it. [locked] */
static int open_lost(struct box *b, struct err *e)
{
	(void)events_load(&b->events, b->dir); /* it may still be taking its machine apart */
	return b->gone || b->events.over ? -ERESTART : box_lost_error(&b->handle, e);
}

/* As box_is_awake(), but a VMM that writes the machine is waited for, as long as that may take. */
static int open_look_awake(struct box *b, int64_t until_ms, struct err *e)
{
	enum { ANSWER_MS = 8000 };
	int writes = registry_is_writing(b->dir);
	int awake = box_is_awake(&b->handle, ANSWER_MS, e);

	if (awake != -ETIMEDOUT)
		return awake;
	writes |= registry_is_writing(b->dir); /* or it has only just ended */
	return writes && now_ms() < until_ms
		       ? 0
		       : err_set(e, ETIMEDOUT,
				 "box '%s': its guest does not answer; `conker stop %s` ends it",
				 b->meta.name, b->meta.name);
}

/* A box that suspends itself may be about to, or be at it. Whoever has no business with its freezer is told by a Thaw
 * whether it is frozen, and if not its idle time begins anew. Waits as long as that takes, as a command would; if
 * nothing comes of it, it thaws by itself. -ERESTART: as open_lost(). */
static int open_keep_awake(struct box *b, struct err *e)
{
	enum { STEP_MS = 250, FROZEN_MAX_MS = 300000 };
	int64_t until_ms = now_ms() + FROZEN_MAX_MS;
	int awake = !b->meta.idle_suspend_ms;

	while (awake == 0) {
		awake = open_look_awake(b, until_ms, e);
		if (awake == 0 && now_ms() > until_ms)
			awake = err_set(e, ETIMEDOUT, "box '%s': somebody keeps it frozen",
					b->meta.name);
		pthread_mutex_lock(&b->handle.lock);
		if (awake == 0 && wait_for(&b->handle, is_lost, b, STEP_MS) == -EINTR)
			awake = err_set(e, EINTR, "box '%s': interrupted", b->meta.name);
		if (awake <= 0 && b->handle.lost)
			awake = open_lost(b, e);
		box_unlock(&b->handle);
	}
	return min_(awake, 0);
}

static int open_once(const char *name, int awake, conker_box **ret, struct err *e)
{
	struct box *b = box_new(e);

	if (!b)
		return -e->code;
	int r = open_attach(b, name, e);
	if (r == 0 && awake)
		r = open_keep_awake(b, e);
	if (r < 0)
		box_teardown(b);
	else
		*ret = &b->handle;
	return r;
}

static int open_box(const char *name, int awake, conker_box **ret)
{
	enum { TRIES = 4 };
	struct err *e = api_enter();
	int r = -ERESTART;

	if (!name || !ret)
		return err_set(e, EINVAL, "no name, or nowhere to put the box's handle");
	for (int i = 0; i < TRIES && r == -ERESTART; i++)
		r = open_once(name, awake, ret, e);
	return r == -ERESTART
		       ? err_set(e, EAGAIN, "box '%s' is suspended and resumed all the time", name)
		       : api_descriptors(r, e);
}

int conker_box_open(const char *name, conker_box **ret)
{
	return open_box(name, 1, ret);
}

int conker_box_open_now(const char *name, conker_box **ret)
{
	return open_box(name, 0, ret);
}
