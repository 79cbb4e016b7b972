/* box.c - the handle on a box: created, opened, freed.
 *
 * What costs the host something (descriptors, the VMM, the directory) ends with the handle; the
 * structure itself may live longer, see refs.c.
 */
#include "lib/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "util/cleanup.h"

enum {
	MEMORY_DEFAULT_MIB = 128,
	MEMORY_MIN_MIB = 32, /* less does not hold kernel and init */
	MEMORY_MAX_MIB = 1 << 20,
	CPUS_MAX = 32,
};

/* ---- creating ------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static void say(const conker_box_opts *o, const char *fmt,
						      ...)
{
	char line[LINE_MAX_BYTES];
	va_list ap;

	if (!o->log)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	o->log(line, o->log_user);
}

static int check_rate(const char *what, const conker_rate *r, struct err *e)
{
	if ((r->bytes_per_s > CONKER_RATE_MAX && r->bytes_per_s != CONKER_NO_LIMIT) ||
	    (r->ops_per_s > CONKER_RATE_MAX && r->ops_per_s != CONKER_NO_LIMIT))
		return err_set(e, EINVAL,
			       "%s rate: more than %llu a second; CONKER_NO_LIMIT is none", what,
			       (unsigned long long)CONKER_RATE_MAX);
	return 0;
}

static int check_rates(const conker_box_opts *o, struct err *e)
{
	int r = check_rate("disk", &o->disk_rate, e);

	if (r == 0)
		r = check_rate("vsock", &o->vsock_rate, e);
	return r < 0 ? r : check_rate("console", &o->console_rate, e);
}

static int read_opts(conker_box_opts *o, const conker_box_opts *caller, struct err *e)
{
	enum { FLAGS = CONKER_BOX_DETACHED | CONKER_BOX_REQUIRE_JAIL | CONKER_BOX_WARM };
	static const conker_box_opts none = {.size = sizeof(none)};
	int r = opts_in(o, sizeof(*o), caller ? caller : &none, e);

	if (r < 0)
		return r;
	o->ready_timeout_ms = o->ready_timeout_ms ? o->ready_timeout_ms : CONKER_READY_DEFAULT_MS;
	o->idle_timeout_ms = max_(o->idle_timeout_ms, 0);
	o->idle_suspend_ms = max_(o->idle_suspend_ms, 0);
	o->max_life_ms = max_(o->max_life_ms, 0);
	if (o->flags & ~(uint32_t)FLAGS)
		return err_set(e, EINVAL, "unknown box flags 0x%x", o->flags);
	if (o->from && (o->flags & CONKER_BOX_WARM))
		return err_set(e, EINVAL, "either from a snapshot or from a template");
	if (o->idle_suspend_ms && o->idle_timeout_ms)
		return err_set(e, EINVAL, "an idle box either ends or suspends itself");
	if (o->idle_suspend_ms && !(o->flags & CONKER_BOX_DETACHED))
		return err_set(e, EINVAL, "a box that ends with its handle cannot suspend itself");
	r = check_rates(o, e);
	return r == 0 && o->name ? name_check("box", o->name, e) : r;
}

int box_open_cold(struct artefacts *a, conker_box_opts *o, struct err *e)
{
	o->memory_mib = o->memory_mib ? o->memory_mib : MEMORY_DEFAULT_MIB;
	o->cpus = o->cpus ? o->cpus : 1;
	if (o->memory_mib < MEMORY_MIN_MIB || o->memory_mib > MEMORY_MAX_MIB)
		return err_set(e, EINVAL, "memory: %u MiB; it takes %d to %d", o->memory_mib,
			       MEMORY_MIN_MIB, MEMORY_MAX_MIB);
	if (o->cpus > CPUS_MAX)
		return err_set(e, EINVAL, "cpus: %u is more than %d", o->cpus, CPUS_MAX);
	return artefacts_open(a, o, e);
}

static void fill_meta(struct meta *m, const conker_box_opts *o, const struct artefacts *a)
{
	memset(m, 0, sizeof(*m));
	(void)snprintf(m->name, sizeof(m->name), "%s", o->name ? o->name : "");
	(void)snprintf(m->image, sizeof(m->image), "%s", a->m->image);
	(void)snprintf(m->from, sizeof(m->from), "%s", a->from);
	m->memory_mib = o->memory_mib;
	m->cpus = o->cpus;
	m->flags = o->flags & ~(uint32_t)CONKER_BOX_WARM;
	m->idle_suspend_ms = (uint32_t)o->idle_suspend_ms;
	m->idle_timeout_ms = (uint32_t)o->idle_timeout_ms;
	m->max_life_ms = (uint32_t)o->max_life_ms;
}

/* What a snapshot of the box will have to say, and only its birth can tell. */
static int note_manifest(const conker_box *b, const conker_box_opts *o, struct manifest *m,
			 struct err *e)
{
	(void)snprintf(m->name, sizeof(m->name), "%s", b->meta.name);
	(void)snprintf(m->id, sizeof(m->id), "%s", b->meta.id);
	m->flags = b->meta.flags;
	m->created_s = (uint64_t)b->meta.created_s;
	m->life_ms = b->meta.max_life_ms;
	m->idle_ms = b->meta.idle_timeout_ms;
	m->idle_suspend_ms = b->meta.idle_suspend_ms;
	m->taken_s = m->synced = 0;
	m->state = m->memory = (struct layer){0};
	memcpy(m->disk_rate, &o->disk_rate, sizeof(m->disk_rate));
	memcpy(m->vsock_rate, &o->vsock_rate, sizeof(m->vsock_rate));
	memcpy(m->console_rate, &o->console_rate, sizeof(m->console_rate));
	return manifest_save(b->dir, "manifest", m, e);
}

int box_launch(conker_box *b, const conker_box_opts *o, struct artefacts *a, struct err *e)
{
	struct launched l = {-1, -1, -1};
	int restored = a->state >= 0;
	int r = restored ? restore_disks(a, b->dir, b->meta.id, e) : 0;

	if (r == 0)
		r = disks_lock(a, e);
	if (r == 0)
		r = note_manifest(b, o, a->m, e);
	if (r == 0 && b->meta.idle_suspend_ms)
		r = storage_begin(b->dir, a->m, a->suspend, e);
	if (r == 0)
		r = launch(a, o, &b->meta, b->dir, &l, e);
	if (r < 0)
		return r;
	b->child = l.pidfd;
	b->owner = l.owner;
	b->child_stderr = l.stderr_fd;
	say(o, "started %s", a->vmm);
	r = box_watch(b, b->owner, SRC_OWNER, EPOLLIN);
	if (r < 0)
		return err_set(e, -r, "watch the VMM: %s", strerror(-r));
	r = wire_connect(b, e); /* before it is ready: hello waits in the socket */
	if (r == -ECONNREFUSED)
		return 0; /* it has ended already, and has said why */
	/* Who keeps the handle learns of a failure later; see box_await_ready() for the others. */
	return r == 0 && restored && !(b->meta.flags & CONKER_BOX_DETACHED)
		       ? box_resume_send(b, o, e)
		       : r;
}

static int start_vmm(conker_box *b, const conker_box_opts *o, struct artefacts *a, struct err *e)
{
	struct birth birth;

	fill_meta(&b->meta, o, a);
	int r = registry_birth(&b->meta, &birth, e);
	if (r < 0)
		return r;
	b->doomed = 1; /* from here on a failure removes it */
	b->dir = birth.dir;
	b->starter = birth.starter;
	say(o, "box %s (%s): %u MiB, %u CPU, image %s%s%s", b->meta.name, b->meta.id, o->memory_mib,
	    o->cpus, b->meta.image, *b->meta.from ? ", from " : "", b->meta.from);
	return box_launch(b, o, a, e);
}

static int is_born(const void *arg)
{
	const conker_box *b = arg;

	return b->events.ready || b->events.over || b->gone || b->lost;
}

static int not_born(conker_box *b, int r, const conker_box_opts *o, struct err *e)
{
	const char *name = b->meta.name;
	char tail[ERR_MSG_BYTES - 128] = "";
	const struct vm_events *v = &b->events;

	if (r == -EINTR)
		return err_set(e, EINTR, "box '%s': interrupted while it started", name);
	if (v->error) /* /dev/kvm is all that a VMM opens, so nothing else can be missing for it */
		return err_set(e, v->error == ENOENT ? ENODEV : v->error, "box '%s': %s", name,
			       v->detail);
	if (strncmp(b->reason, INIT_GAVE_UP, sizeof(INIT_GAVE_UP) - 1) == 0)
		return err_set(e, ECONNABORTED, "box '%s': %s", name, b->reason);
	if (!v->started)
		spawn_complaint(b->child_stderr, tail, sizeof(tail));
	if (*tail && b->gone)
		return err_set(e, ECONNABORTED, "box '%s': its VMM did not start: %s", name, tail);
	if (!*tail)
		console_tail(b->dir, tail, sizeof(tail));
	if (!*tail)
		(void)snprintf(tail, sizeof(tail), "nothing");
	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT,
			       "box '%s': not ready within %u ms; its console said: %s", name,
			       o->ready_timeout_ms, tail);
	if (b->lost == EPROTO)
		return err_set(e, EPROTO, "box '%s': %s", name, b->reason);
	return err_set(e, ECONNABORTED, "box '%s': ended before it was ready: %.120s; it said: %s",
		       name, b->reason, tail);
}

int box_await_ready(conker_box *b, const conker_box_opts *o, const struct artefacts *a,
		    struct err *e)
{
	int restored = a->state >= 0;

	pthread_mutex_lock(&b->lock);
	int r = wait_for(b, is_born, b, o->ready_timeout_ms);
	int ready = b->events.ready && !b->events.over && !b->lost;
	box_unlock(b);
	if (r < 0 || !ready)
		return not_born(b, r, o, e);
	say(o, "set up in %llu us, %s in %llu us", (unsigned long long)b->events.setup_us,
	    restored ? "ready" : "booted", (unsigned long long)b->events.boot_us);
	box_watch_vmm(b);
	if (!(b->meta.flags & CONKER_BOX_DETACHED))
		return 0;
	r = restored ? box_resume(b, a->suspended ? NULL : o, e) : 0;
	if (r < 0)
		return r;
	/* It is on its own now: nobody's death ends it, and its process was only a step. */
	b->doomed = 0;
	close(take_fd(b->child));
	if (b->starter >= 0)
		close(take_fd(b->starter));
	return 0;
}

static int create(conker_box_opts *o, struct artefacts *a, conker_box **ret, struct err *e)
{
	int r = artefacts_init(a, e);

	if (r == 0)
		r = o->flags & CONKER_BOX_WARM ? template_open(a, o, e)
		    : o->from                  ? restore_open(a, o, e)
					       : box_open_cold(a, o, e);
	conker_box *b = r < 0 ? NULL : box_new(e);

	if (!b)
		return -e->code;
	b->template_us = a->template_us;
	r = start_vmm(b, o, a, e);
	if (r == 0)
		r = box_await_ready(b, o, a, e);
	if (r < 0)
		box_teardown(b);
	else
		*ret = b;
	return r;
}

int conker_box_create(const conker_box_opts *opts, conker_box **ret)
{
	struct err *e = api_enter();
	struct artefacts a;
	conker_box_opts o = {0};

	if (!ret)
		return err_set(e, EINVAL, "nowhere to put the box's handle");
	int r = api_may_wait(e);
	if (r == 0)
		r = read_opts(&o, opts, e);
	if (r < 0)
		return r;
	r = create(&o, &a, ret, e);
	artefacts_close(&a);
	return api_descriptors(r, e);
}

/* ---- opening ------------------------------------------------------------------------------------------- */

/* Whether, and how, the box in b->dir can be used: BOX_RUNS or BOX_STARTING: by its sockets; BOX_OVER: it is suspended.
 * -ERESTART: look again, one waits until it is no longer in between. -ESHUTDOWN */
static int look(conker_box *b, struct err *e)
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
	int suspended = alive == BOX_OVER ? storage_settle(b->dir, v) : 0;
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
static int connect_to(conker_box *b, int alive, struct err *e)
{
	int r = wire_connect(b, e);

	if (r == -ENOENT || r == -ECONNREFUSED)
		return alive == BOX_STARTING
			       ? err_set(e, EAGAIN, "box '%s' is only just starting; try again",
					 b->meta.name)
			       : err_set(e, ERESTART, "box '%s' is ending", b->meta.name);
	if (r == 0)
		box_watch_vmm(b);
	return r;
}

static int attach(conker_box *b, const char *name, struct err *e)
{
	enum { TRIES = 8 }; /* each has waited for somebody else to suspend or resume it */
	int r = -ERESTART;

	b->dir = registry_open(name, &b->meta, e);
	if (b->dir < 0)
		return b->dir;
	for (int i = 0; i < TRIES && r == -ERESTART; i++) {
		int alive = look(b, e);
		r = alive < 0           ? alive
		    : alive == BOX_OVER ? suspend_resume(b, e)
					: connect_to(b, alive, e);
	}
	return r;
}

conker_box *box_second(const conker_box *b, struct err *e)
{
	conker_box *c = box_new(e);

	if (!c)
		return NULL;
	c->meta = b->meta;
	c->dir = fcntl(b->dir, F_DUPFD_CLOEXEC, 0);
	c->vmm = c->dir < 0 ? -errno : registry_vmm(c->dir);
	int r = c->vmm < 0 ? c->vmm : box_watch(c, c->vmm, SRC_VMM, EPOLLIN);
	if (r < 0)
		(void)!err_set(e, r == -ESRCH ? ESHUTDOWN : -r, "find its VMM: %s", strerror(-r));
	else if (wire_connect(c, e) == 0)
		return c;
	box_teardown(c);
	return NULL;
}

static int is_lost(const void *arg)
{
	const conker_box *b = arg;

	return b->lost != 0;
}

/* Why its connection ended: -ERESTART: it has gone to disk, or look() knows what became of it. [locked] */
static int lost_awake(conker_box *b, struct err *e)
{
	(void)events_load(&b->events, b->dir); /* it may still be taking its machine apart */
	return b->gone || b->events.over ? -ERESTART : box_lost_error(b, e);
}

/* As box_is_awake(), but a VMM that writes the machine is waited for, as long as that may take. */
static int look_awake(conker_box *b, int64_t until_ms, struct err *e)
{
	enum { ANSWER_MS = 8000 };
	int writes = registry_is_writing(b->dir);
	int awake = box_is_awake(b, ANSWER_MS, e);

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
 * nothing comes of it, it thaws by itself. -ERESTART: as lost_awake(). */
static int keep_awake(conker_box *b, struct err *e)
{
	enum { STEP_MS = 250, FROZEN_MAX_MS = 300000 };
	int64_t until_ms = now_ms() + FROZEN_MAX_MS;
	int awake = !b->meta.idle_suspend_ms;

	while (awake == 0) {
		awake = look_awake(b, until_ms, e);
		if (awake == 0 && now_ms() > until_ms)
			awake = err_set(e, ETIMEDOUT, "box '%s': somebody keeps it frozen",
					b->meta.name);
		pthread_mutex_lock(&b->lock);
		if (awake == 0 && wait_for(b, is_lost, b, STEP_MS) == -EINTR)
			awake = err_set(e, EINTR, "box '%s': interrupted", b->meta.name);
		if (awake <= 0 && b->lost)
			awake = lost_awake(b, e);
		box_unlock(b);
	}
	return min_(awake, 0);
}

static int open_once(const char *name, int awake, conker_box **ret, struct err *e)
{
	conker_box *b = box_new(e);

	if (!b)
		return -e->code;
	int r = attach(b, name, e);
	if (r == 0 && awake)
		r = keep_awake(b, e);
	if (r < 0)
		box_teardown(b);
	else
		*ret = b;
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

/* ---- the end ------------------------------------------------------------------------------------------- */

/* Whoever is told of no start before the box stands still, in the order of one connection, has started nothing
 * (docs/protocol.md). */
static void lose_exec(const conker_box *b, conker_exec *x, int code, const char *reason)
{
	int restart =
		b->events.over && b->events.end == CONKER_BOX_SUSPENDED && !x->started && !x->view;

	exec_lose(x, CONKER_ERR_BOX, restart ? ERESTART : code, "",
		  restart ? "it was suspended before the command began" : reason);
}

void box_lose(conker_box *b, int code, const char *reason)
{
	if (b->lost)
		return;
	b->lost = code;
	(void)snprintf(b->reason, sizeof(b->reason), "%s", reason);
	for (size_t i = 0; i < countof(b->chans); i++) {
		struct chan *c;

		while ((c = b->chans[i])) {
			if (c->kind == CHAN_EXEC) {
				lose_exec(b, container_of(c, struct conker_exec, chan), code,
					  reason);
				continue;
			}
			struct request *q = container_of(c, struct request, chan);
			chan_del(b, c);
			q->done = 1;
			q->error = code;
			(void)snprintf(q->text, sizeof(q->text), "%s", reason);
		}
	}
	wait_wake(b);
	wait_broadcast(b);
}

/* What is no longer needed gives way: to clean up takes two descriptors, and a creation may have failed
 * because there were no more. */
static void close_early(conker_box *b)
{
	int *fds[] = {&b->ep, &b->wake, &b->conn, &b->grace};

	for (size_t i = 0; i < countof(fds); i++)
		if (*fds[i] >= 0)
			close(take_fd(*fds[i]));
}

int box_end_vmm(conker_box *b)
{
	enum { STEP_MS = 20, LATE_MS = 5000, END_MS = 10000 };
	char rest[LINE_MAX_BYTES];
	int r = 0;

	close_early(b);
	if (b->child >= 0) {
		(void)pidfd_kill(b->child, SIGKILL);
		while (pidfd_wait(b->child, END_MS) == -EINTR)
			;
	}
	/* One that was told to detach may be anywhere between its fork and its lock; it has been ended
	 * when it no longer holds the other side of the owner socket. */
	int64_t late_ms = now_ms() + LATE_MS;
	while (b->owner >= 0 && r == 0 && now_ms() < late_ms) {
		r = registry_kill(b->dir);
		if (pidfd_wait(b->owner, STEP_MS) == 0 && read(b->owner, rest, sizeof(rest)) <= 0)
			break;
	}
	return r;
}

/* Ends a box of ours: nothing is left of it on return. */
static void destroy(conker_box *b)
{
	if (box_end_vmm(b) == 0) /* else it is stuck in the kernel, and stays listed */
		(void)registry_remove(b->meta.name, b->dir); /* what is left is swept */
}

void box_teardown(conker_box *b)
{
	pthread_mutex_lock(&b->lock);
	box_lose(b, ESHUTDOWN, "its handle was freed");
	wire_stop(b);
	b->leading = 1; /* nobody else may be in here: the contract of free */
	exec_run_ready(b);
	b->leading = 0;
	pthread_mutex_unlock(&b->lock);
	if (b->doomed && b->dir >= 0)
		destroy(b);
	box_close_fds(b);

	pthread_mutex_lock(&b->lock);
	b->gone = 1;
	b->refs--;
	box_unlock(b);
}

conker_box *conker_box_free(conker_box *b)
{
	if (!b)
		return NULL;
	if (b->maker != getpid()) {
		/* After fork(): the locks may be held by threads that are not here, and the box is the
		 * parent's. Only the descriptors are ours. */
		box_close_fds(b);
		return NULL;
	}
	pthread_mutex_lock(&b->lock);
	int inside = b->leading;
	b->free_later = inside;
	pthread_mutex_unlock(&b->lock);
	if (!inside)
		box_teardown(b); /* else leave() does, once the callback has returned */
	return NULL;
}
