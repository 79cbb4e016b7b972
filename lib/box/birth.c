/* SPDX-License-Identifier: Apache-2.0 */
/* birth.c - from what a box begins with to one that commands can be run in.
 *
 *	manifest, files -> VMM, connection -> ready -> (a restored one: Resume) -> a detached one is on its own
 *
 * For boxes that are new (create.c) and for suspended ones (suspend.c). Its directory is there, and we are its starter;
 * what is left of one that fails is the caller's to clear away.
 */
#include "lib/box/snapshot.h"
#include "lib/host/host.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

void birth_log(const conker_box_opts *o, const char *fmt, ...)
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

/* What a snapshot of the box will have to say, and only its birth can tell. */
static int birth_note_manifest(struct box *b, const conker_box_opts *o, struct manifest *m,
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
	int r = boximage_used(&m->disk[0], b->dir, e);
	if (r == 0)
		r = boximage_link(&m->disk[0], b->dir, e);
	if (r == 0)
		r = boximage_load(b, e);
	return r < 0 ? r : manifest_save(b->dir, "manifest", m, e);
}

int birth_launch(struct box *b, const conker_box_opts *o, struct origin *a, struct err *e)
{
	struct launched l = {-1, -1, -1};
	int restored = a->files.state >= 0;
	int r = restored ? restore_disks(a, b->dir, b->meta.id, e) : 0;

	if (r == 0)
		r = disks_lock(a, e);
	if (r == 0)
		r = birth_note_manifest(b, o, a->m, e);
	if (r == 0 && b->meta.idle_suspend_ms)
		r = suspended_begin(b->dir, a->m, a->files.suspend, e);
	if (r == 0)
		r = launch(&a->files, o, &b->meta, b->dir, &l, e);
	if (r < 0)
		return r;
	b->child = l.pidfd;
	b->owner = l.owner;
	b->child_stderr = l.stderr_fd;
	birth_log(o, "started %s", a->files.vmm);
	r = box_watch(&b->handle, b->owner, SRC_OWNER, EPOLLIN);
	if (r < 0)
		return err_set(e, -r, "watch the VMM: %s", strerror(-r));
	r = handle_connect(&b->handle, b->dir,
			   e); /* before it is ready: hello waits in the socket */
	if (r == -ECONNREFUSED)
		return 0; /* it has ended already, and has said why */
	/* Who keeps the handle learns of a failure later; see birth_await_ready() for the others. */
	return r == 0 && restored && (b->pending || !(b->meta.flags & CONKER_BOX_DETACHED))
		       ? box_resume_send(&b->handle, o, e)
		       : r;
}

static int birth_is_over(const void *arg)
{
	const struct box *b = arg;

	return b->events.ready || b->events.over || b->gone || b->handle.lost;
}

static int birth_failed(struct box *b, int r, const conker_box_opts *o, struct err *e)
{
	const char *name = b->meta.name;
	char tail[ERR_MSG_BYTES - 128] = "";
	const struct vm_events *v = &b->events;

	if (r == -EINTR)
		return err_set(e, EINTR, "box '%s': interrupted while it started", name);
	if (v->error) /* /dev/kvm is all that a VMM opens, so nothing else can be missing for it */
		return err_set(e, v->error == ENOENT ? ENODEV : v->error, "box '%s': %s", name,
			       v->detail);
	if (strncmp(b->handle.reason, INIT_GAVE_UP, sizeof(INIT_GAVE_UP) - 1) == 0)
		return err_set(e, ECONNABORTED, "box '%s': %s", name, b->handle.reason);
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
			       "box '%s': not ready within %d ms; its console said: %s", name,
			       o->ready_timeout_ms, tail);
	if (b->handle.lost == EPROTO)
		return err_set(e, EPROTO, "box '%s': %s", name, b->handle.reason);
	return err_set(e, ECONNABORTED, "box '%s': ended before it was ready: %.120s; it said: %s",
		       name, b->handle.reason, tail);
}

/* It is ready, or it failed: r is how the wait for it ended. */
static int birth_finish(struct box *b, int r, const conker_box_opts *o, const struct origin *a,
			struct err *e)
{
	int restored = a && a->files.state >= 0;

	pthread_mutex_lock(&b->handle.lock);
	int ready = b->events.ready && !b->events.over && !b->handle.lost;
	box_unlock(&b->handle);
	if (r < 0 || !ready)
		return birth_failed(b, r, o, e);
	birth_log(o, "set up in %llu us, %s in %llu us", (unsigned long long)b->events.setup_us,
		  restored ? "ready" : "booted", (unsigned long long)b->events.boot_us);
	life_watch_vmm(b);
	if (!(b->meta.flags & CONKER_BOX_DETACHED))
		return 0;
	r = restored ? box_resume(&b->handle, a->suspended ? NULL : o, e) : 0;
	if (r < 0)
		return r;
	/* It is on its own now: nobody's death ends it, and its process was only a step. */
	b->doomed = 0;
	close(take_fd(b->child));
	if (b->starter >= 0)
		close(take_fd(b->starter));
	return 0;
}

int birth_await_ready(struct box *b, const conker_box_opts *o, const struct origin *a,
		      struct err *e)
{
	pthread_mutex_lock(&b->handle.lock);
	int r = wait_for(&b->handle, birth_is_over, b, o->ready_timeout_ms);
	box_unlock(&b->handle);
	return birth_finish(b, r, o, a, e);
}

int birth_poll(struct box *b, struct err *e)
{
	pthread_mutex_lock(&b->handle.lock);
	int over = birth_is_over(b);
	box_unlock(&b->handle);
	if (!over && now_ms() < b->pending->until_ms)
		return 0;
	int r = birth_finish(b, over ? 0 : -ETIMEDOUT, &b->pending->o, NULL, e);
	if (r < 0)
		return r; /* and again, whenever it is asked */
	free(take_ptr(b->pending));
	return 1;
}

/* Its descriptor becomes readable when its time is up. */
static int birth_start_timer(struct box *b, int timeout_ms)
{
	struct itimerspec t = {
		.it_value = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L}};

	b->ready_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (b->ready_timer < 0 || timerfd_settime(b->ready_timer, 0, &t, NULL) < 0)
		return -errno;
	return box_watch(&b->handle, b->ready_timer, SRC_READY_TIMER, EPOLLIN | EPOLLONESHOT);
}

int birth_let_poll(struct box *b, const conker_box_opts *o, struct err *e)
{
	b->pending = malloc(sizeof(*b->pending));
	if (!b->pending)
		return err_set(e, ENOMEM, "no memory for a box that is being created");
	b->pending->o = (conker_box_opts){.size = sizeof(*o),
					  .flags = o->flags,
					  .ready_timeout_ms = o->ready_timeout_ms,
					  .log = o->log,
					  .log_user = o->log_user};
	b->pending->until_ms = now_ms() + o->ready_timeout_ms;
	int r = o->ready_timeout_ms < 0 ? 0 : birth_start_timer(b, o->ready_timeout_ms);
	return r < 0 ? err_set(e, -r, "set a timer: %s", strerror(-r)) : 0;
}
