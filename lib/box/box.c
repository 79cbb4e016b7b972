/* SPDX-License-Identifier: Apache-2.0 */
/* box.c - the handle on a box, made and freed.
 *
 * Duties: what costs the host something (descriptors, the VMM, the directory) ends with the handle.
 * The structure itself may live longer (lib/handle/refs.c): whatever refers to it keeps it. A box
 * of ours leaves nothing behind: no process, no directory, no lock. In the child of a fork() only
 * the descriptors are ours, and the box is the parent's.
 *
 * Limits: END_MS for a killed VMM to end; one that is stuck in the kernel stays listed.
 */
#include "lib/box/box.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void box_on_teardown(conker_box *b)
{
	box_teardown(box_of(b));
}

static void box_close_fds(struct box *b)
{
	int *all[] = {&b->dir,   &b->starter, &b->owner,        &b->vmm,
		      &b->grace, &b->child,   &b->child_stderr, &b->ready_timer};

	handle_close_fds(&b->handle);
	for (size_t i = 0; i < countof(all); i++)
		if (*all[i] >= 0)
			close(take_fd(*all[i]));
}

static void box_on_delete(conker_box *b)
{
	box_close_fds(box_of(b));
	handle_fini(b);
	image_config_free(&box_of(b)->image);
	free(box_of(b)->pending);
	free(box_of(b));
}

static const struct box_ops box_handle_ops = {life_on_event, life_on_conn_end, box_on_teardown,
					      box_on_delete};

struct box *box_new(struct err *e)
{
	struct box *b = calloc(1, sizeof(*b));

	if (!b) {
		(void)!err_set(e, ENOMEM, "no memory for a box's handle");
		return NULL;
	}
	b->dir = b->starter = b->owner = b->vmm = b->grace = b->child = b->child_stderr = -1;
	b->ready_timer = -1;
	int r = handle_init(&b->handle, &box_handle_ops);
	b->handle.name = b->meta.name;
	if (r < 0) {
		box_on_delete(&b->handle);
		(void)!err_set(e, -r, "make a box's handle: %s", strerror(-r));
		return NULL;
	}
	return b;
}

struct box *box_second(const struct box *b, struct err *e)
{
	struct box *c = box_new(e);

	if (!c)
		return NULL;
	c->meta = b->meta;
	c->dir = fcntl(b->dir, F_DUPFD_CLOEXEC, 0);
	c->vmm = c->dir < 0 ? -errno : registry_vmm(c->dir);
	int r = c->vmm < 0 ? c->vmm : box_watch(&c->handle, c->vmm, SRC_VMM, EPOLLIN);
	if (r < 0)
		(void)!err_set(e, r == -ESRCH ? ESHUTDOWN : -r, "find its VMM: %s", strerror(-r));
	else if (handle_connect(&c->handle, c->dir, e) == 0)
		return c;
	box_teardown(c);
	return NULL;
}

/* What is no longer needed gives way: to clean up takes two descriptors, and a creation may have failed
 * because there were no more. */
static void box_close_early(struct box *b)
{
	int *fds[] = {&b->handle.ep, &b->handle.wake, &b->handle.wire.conn, &b->grace};

	for (size_t i = 0; i < countof(fds); i++)
		if (*fds[i] >= 0)
			close(take_fd(*fds[i]));
}

int box_end_vmm(struct box *b)
{
	enum { STEP_MS = 20, LATE_MS = 5000, END_MS = 10000 };
	char rest[LINE_MAX_BYTES];
	int r = 0;

	box_close_early(b);
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
static void box_destroy(struct box *b)
{
	if (box_end_vmm(b) == 0) /* else it is stuck in the kernel, and stays listed */
		(void)registry_remove(b->meta.name, b->dir); /* what is left is swept */
}

void box_teardown(struct box *b)
{
	pthread_mutex_lock(&b->handle.lock);
	box_lose(&b->handle, ESHUTDOWN, "its handle was freed");
	wire_stop(&b->handle.wire);
	b->handle.leading = 1; /* nobody else may be in here: the contract of free */
	wait_run_due(&b->handle);
	b->handle.leading = 0;
	pthread_mutex_unlock(&b->handle.lock);
	if (b->doomed && b->dir >= 0)
		box_destroy(b);
	box_close_fds(b);

	pthread_mutex_lock(&b->handle.lock);
	b->gone = 1;
	b->handle.refs--;
	box_unlock(&b->handle);
}

conker_box *conker_box_free(conker_box *b)
{
	if (!b)
		return NULL;
	if (b->maker != getpid()) {
		/* After fork(): the locks may be held by threads that are not here, and the box is the
		 * parent's. Only the descriptors are ours. */
		box_close_fds(box_of(b));
		return NULL;
	}
	pthread_mutex_lock(&b->lock);
	int inside = b->leading;
	b->free_later = inside;
	pthread_mutex_unlock(&b->lock);
	if (!inside)
		box_teardown(box_of(b)); /* else the leader does, once the callback has returned */
	return NULL;
}
