/* SPDX-License-Identifier: Apache-2.0 */
/* life.c - what becomes of a box, as its handle sees it.
 *
 * Three things tell: event lines on the owner socket (boxes of ours), the VMM's pidfd, and the end of
 * the connection. When a VMM dies its connection may end before its last word is read; so the end of
 * the connection alone means nothing until a grace period has passed without news of the VMM.
 */
#include "lib/box/box.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
	GRACE_MS = 1000,
	TERM_MS = 1000, /* from SIGTERM to SIGKILL */
	KILL_MS = 10000,
};

static int life_lost_errno(const struct box *b)
{
	switch (b->events.end) {
	case CONKER_BOX_POWEROFF:
	case CONKER_BOX_REBOOT:
	case CONKER_BOX_SUSPENDED:
	case CONKER_BOX_STOPPED: return ESHUTDOWN;
	default: return ECONNRESET;
	}
}

/* The VMM has said how it ended, or is gone. [locked] */
static void life_lose(struct box *b)
{
	char reason[REASON_BYTES];

	events_reason(&b->events, b->dir, reason, sizeof(reason));
	b->handle.suspended = b->events.end == CONKER_BOX_SUSPENDED;
	box_lose(&b->handle, life_lost_errno(b), reason);
}

static void life_on_vmm(struct box *b)
{
	struct vm_events last;

	(void)events_load(&last, b->dir);
	if (b->owner >= 0)
		(void)epoll_ctl(b->handle.ep, EPOLL_CTL_DEL, b->owner, NULL);
	if (b->vmm >= 0)
		(void)epoll_ctl(b->handle.ep, EPOLL_CTL_DEL, b->vmm, NULL);
	pthread_mutex_lock(&b->handle.lock);
	if (!b->events.over && last.over)
		b->events = last;
	if (!b->events.over) {
		b->events.over = 1;
		b->events.end = CONKER_BOX_KILLED;
	}
	b->gone = 1;
	life_lose(b);
	wait_broadcast(&b->handle);
	box_unlock(&b->handle);
}

static void life_on_owner(struct box *b)
{
	char buf[LINE_MAX_BYTES];
	ssize_t n = recv(b->owner, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0) {
		life_on_vmm(b);
		return;
	}
	pthread_mutex_lock(&b->handle.lock);
	events_feed(&b->events, &b->line, buf, (size_t)n);
	if (b->events.over && !b->events.error)
		life_lose(b);
	wait_broadcast(&b->handle);
	box_unlock(&b->handle);
}

static int life_start_grace(struct box *b)
{
	struct itimerspec t = {
		.it_value = {.tv_sec = GRACE_MS / 1000, .tv_nsec = GRACE_MS % 1000 * 1000000L}};

	b->grace = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (b->grace < 0 || timerfd_settime(b->grace, 0, &t, NULL) < 0)
		return -errno;
	return box_watch(&b->handle, b->grace, SRC_GRACE, EPOLLIN | EPOLLONESHOT);
}

static void life_on_grace(conker_box *b)
{
	pthread_mutex_lock(&b->lock);
	box_lose(b, ECONNRESET, "guest-init closed the connection");
	box_unlock(b);
}

void life_on_event(conker_box *b, uint32_t src)
{
	switch (src) {
	case SRC_OWNER: life_on_owner(box_of(b)); break;
	case SRC_VMM: life_on_vmm(box_of(b)); break;
	case SRC_GRACE: life_on_grace(b); break;
	}
}

/* That alone says nothing: see above. */
void life_on_conn_end(conker_box *b)
{
	struct box *own = box_of(b);

	if ((own->owner < 0 && own->vmm < 0) || life_start_grace(own) < 0)
		life_on_grace(b);
}

/* Also of a box of ours: one that detached is no child, and a jailed VMM may be a grandchild. */
void life_watch_vmm(struct box *b)
{
	b->vmm = registry_vmm(b->dir);
	if (b->vmm >= 0 && box_watch(&b->handle, b->vmm, SRC_VMM, EPOLLIN) < 0)
		close(take_fd(b->vmm));
}

/* ---- the public calls ------------------------------------------------------------------------------ */

static int life_is_gone(const void *arg)
{
	const struct box *b = arg;

	return b->gone || (b->handle.lost && b->owner < 0 && b->vmm < 0);
}

int conker_box_wait(conker_box *b, int timeout_ms)
{
	struct err *e;
	int r = box_enter_to_wait(b, &e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&b->lock);
	r = wait_for(b, life_is_gone, box_of(b), timeout_ms);
	if (r < 0)
		r = err_set(e, -r, "box '%s': %s", b->name,
			    r == -ETIMEDOUT ? "it still runs" : strerror(-r));
	box_unlock(b);
	return r;
}

static void life_note(struct box *b, const char *line)
{
	auto_close int fd = openat(b->dir, "state", O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0)
		(void)!write(fd, line,
			     strlen(line)); /* only the words of `conker ls` depend on it */
}

/* What is asked to end gets most of the time; the rest is for the machine to go off. */
static uint32_t life_grace_ms(int timeout_ms)
{
	return timeout_ms < 0 ? UINT32_MAX : (uint32_t)timeout_ms / 5 * 4;
}

static int life_ask_shutdown(struct box *b, int timeout_ms)
{
	Conker__Shutdown s = CONKER__SHUTDOWN__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;

	m.msg_case = CONKER__CLIENT_MSG__MSG_SHUTDOWN;
	m.shutdown = &s;
	s.grace_ms = life_grace_ms(timeout_ms);
	/* The answer is the end of the VMM. */
	return wire_send_aside(&b->handle.wire, &m, OUT_CONTROL_BYTES);
}

/* The hard way: SIGTERM, which lets the VMM say how it ended, then SIGKILL. [locked] */
static int life_force(struct box *b)
{
	struct vm_events v;

	if (b->vmm < 0)
		return 0;
	(void)pidfd_kill(b->vmm, SIGTERM);
	int r = wait_for(&b->handle, life_is_gone, b, TERM_MS);
	if (r != -ETIMEDOUT)
		return r;
	(void)pidfd_kill(b->vmm, SIGKILL);
	r = wait_for(&b->handle, life_is_gone, b, KILL_MS);
	(void)events_load(&v, b->dir);
	if (r == 0 && !v.over) {
		life_note(b, "exited stopped\n");
		b->events.end = CONKER_BOX_STOPPED;
	}
	return r;
}

/* Asks, and waits; a VMM that is writing the machine has not heard it yet. [locked] */
static int life_ask_to_end(struct box *b, int timeout_ms)
{
	enum { STEP_MS = 250, WRITING_MAX_MS = 300000 };
	int64_t until_ms = now_ms() + WRITING_MAX_MS;

	if (b->handle.lost || life_ask_shutdown(b, timeout_ms) < 0)
		return -ETIMEDOUT;
	int r = wait_for(&b->handle, life_is_gone, b, timeout_ms);
	while (r == -ETIMEDOUT && now_ms() < until_ms && registry_is_writing(b->dir))
		r = wait_for(&b->handle, life_is_gone, b, STEP_MS);
	return r;
}

/* [locked] */
static int life_stop(struct box *b, int timeout_ms, struct err *e)
{
	if (life_is_gone(b))
		return 0;
	life_note(b, "stopping\n");
	b->events.stopping = 1;
	int r = life_ask_to_end(b, timeout_ms);
	if (r == -ETIMEDOUT)
		r = life_force(b);
	if (r < 0)
		return err_set(e, -r, "box '%s': stopping it: %s", b->meta.name,
			       r == -ETIMEDOUT ? "its VMM does not end" : strerror(-r));
	return b->events.end == CONKER_BOX_SUSPENDED
		       ? err_set(e, ERESTART, "box '%s' has been suspended instead", b->meta.name)
		       : 0;
}

int conker_box_stop(conker_box *b, int timeout_ms)
{
	struct err *e;
	int r = box_enter_to_wait(b, &e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&b->lock);
	r = life_stop(box_of(b), timeout_ms, e);
	box_unlock(b);
	return r;
}
