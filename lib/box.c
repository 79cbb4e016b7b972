/* box.c - the handle on a box: created, opened, freed.
 *
 * What costs the host something (descriptors, the VMM, the directory) ends with the handle; the
 * structure itself may live longer, see refs.c.
 */
#include "lib/internal.h"

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
	READY_DEFAULT_MS = 60000,
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

static int read_opts(conker_box_opts *o, const conker_box_opts *caller, struct err *e)
{
	static const conker_box_opts none = {.size = sizeof(none)};
	int r = opts_in(o, sizeof(*o), caller ? caller : &none, e);

	if (r < 0)
		return r;
	o->memory_mib = o->memory_mib ? o->memory_mib : MEMORY_DEFAULT_MIB;
	o->cpus = o->cpus ? o->cpus : 1;
	o->ready_timeout_ms = o->ready_timeout_ms ? o->ready_timeout_ms : READY_DEFAULT_MS;
	if (o->flags & ~(uint32_t)CONKER_BOX_DETACHED)
		return err_set(e, EINVAL, "unknown box flags 0x%x", o->flags);
	if (o->memory_mib < MEMORY_MIN_MIB || o->memory_mib > MEMORY_MAX_MIB)
		return err_set(e, EINVAL, "memory: %u MiB; it takes %d to %d", o->memory_mib,
			       MEMORY_MIN_MIB, MEMORY_MAX_MIB);
	if (o->cpus > CPUS_MAX)
		return err_set(e, EINVAL, "cpus: %u is more than %d", o->cpus, CPUS_MAX);
	if (o->ready_timeout_ms > INT32_MAX)
		return err_set(e, EINVAL, "the time to become ready is too long");
	return o->name ? name_check("box", o->name, e) : 0;
}

static void fill_meta(struct meta *m, const conker_box_opts *o, const struct artefacts *a)
{
	memset(m, 0, sizeof(*m));
	(void)snprintf(m->name, sizeof(m->name), "%s", o->name ? o->name : "");
	(void)snprintf(m->image, sizeof(m->image), "%s", a->image);
	m->memory_mib = o->memory_mib;
	m->cpus = o->cpus;
	m->flags = o->flags;
}

static int start_vmm(conker_box *b, const conker_box_opts *o, const struct artefacts *a,
		     struct err *e)
{
	struct birth birth;
	struct launched l;

	fill_meta(&b->meta, o, a);
	int r = registry_birth(&b->meta, &birth, e);
	if (r < 0)
		return r;
	b->doomed = 1; /* from here on a failure removes it */
	b->dir = birth.dir;
	b->starter = birth.starter;
	say(o, "box %s (%s): %u MiB, %u CPU, image %s", b->meta.name, b->meta.id, o->memory_mib,
	    o->cpus, a->image);
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
	r = wire_connect(b, e);            /* before it is ready: hello waits in the socket */
	return r == -ECONNREFUSED ? 0 : r; /* it has ended already, and has said why */
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

static int await_ready(conker_box *b, const conker_box_opts *o, struct err *e)
{
	pthread_mutex_lock(&b->lock);
	int r = wait_for(b, is_born, b, (int)o->ready_timeout_ms);
	int ready = b->events.ready && !b->events.over && !b->lost;
	box_unlock(b);
	if (r < 0 || !ready)
		return not_born(b, r, o, e);
	say(o, "set up in %llu us, booted in %llu us", (unsigned long long)b->events.setup_us,
	    (unsigned long long)b->events.boot_us);
	box_watch_vmm(b);
	if (o->flags & CONKER_BOX_DETACHED) {
		/* It is on its own now: nobody's death ends it, and its process was only a step. */
		b->doomed = 0;
		close(take_fd(b->child));
		close(take_fd(b->starter));
	}
	return 0;
}

int conker_box_create(const conker_box_opts *opts, conker_box **ret)
{
	struct err *e = api_enter();
	struct artefacts a;
	conker_box_opts o;
	conker_box *b;

	if (!ret)
		return err_set(e, EINVAL, "nowhere to put the box's handle");
	int r = api_may_wait(e);
	if (r == 0)
		r = read_opts(&o, opts, e);
	if (r < 0)
		return r;
	r = artefacts_open(&a, &o, e);
	b = r < 0 ? NULL : box_new(e);
	if (!b) {
		artefacts_close(&a);
		return -e->code;
	}
	r = start_vmm(b, &o, &a, e);
	artefacts_close(&a);
	if (r == 0)
		r = await_ready(b, &o, e);
	if (r < 0) {
		box_teardown(b);
		return r;
	}
	*ret = b;
	return 0;
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static int attach(conker_box *b, const char *name, struct err *e)
{
	char reason[REASON_BYTES];
	pid_t vmm;

	b->dir = registry_open(name, &b->meta, e);
	if (b->dir < 0)
		return b->dir;
	enum liveness alive = registry_liveness(b->dir, &vmm);
	events_load(&b->events, b->dir);
	if (alive == BOX_OVER || b->events.over) {
		if (!b->events.over)
			b->events.end = CONKER_BOX_KILLED;
		events_reason(&b->events, b->dir, reason, sizeof(reason));
		return err_set(e, ESHUTDOWN, "box '%s' no longer runs: %s", name, reason);
	}
	int r = wire_connect(b, e);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return alive == BOX_STARTING
			       ? err_set(e, EAGAIN, "box '%s' is only just starting; try again",
					 name)
			       : err_set(e, ESHUTDOWN, "box '%s' is ending", name);
	if (r == 0)
		box_watch_vmm(b);
	return r;
}

int conker_box_open(const char *name, conker_box **ret)
{
	struct err *e = api_enter();
	conker_box *b;

	if (!name || !ret)
		return err_set(e, EINVAL, "no name, or nowhere to put the box's handle");
	b = box_new(e);
	if (!b)
		return -e->code;
	int r = attach(b, name, e);
	if (r < 0) {
		box_teardown(b);
		return r;
	}
	*ret = b;
	return 0;
}

/* ---- the end ------------------------------------------------------------------------------------------- */

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
				exec_lose(container_of(c, struct conker_exec, chan), code, "",
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

/* Ends a box of ours: nothing is left of it on return. */
static void destroy(conker_box *b)
{
	enum { ROUNDS = 100, STEP_MS = 20, END_MS = 10000 };
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
	for (int i = 0; b->owner >= 0 && i < ROUNDS && r == 0; i++) {
		r = registry_kill(b->dir);
		if (pidfd_wait(b->owner, STEP_MS) == 0 && read(b->owner, rest, sizeof(rest)) <= 0)
			break;
	}
	if (r == 0) /* else it is stuck in the kernel, and stays listed */
		registry_remove(b->meta.name, b->dir);
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
