/* life.c - what becomes of a box, as its handle sees it.
 *
 * Three things tell: event lines on the owner socket (boxes of ours), the VMM's pidfd, and the end of
 * the connection. When a VMM dies its connection may end before its last word is read; so the end of
 * the connection alone means nothing until a grace period has passed without news of the VMM.
 */
#include "lib/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "util/cleanup.h"

enum {
	GRACE_MS = 1000,
	TERM_MS = 1000, /* from SIGTERM to SIGKILL */
	KILL_MS = 10000,
};

int box_lost_errno(const conker_box *b)
{
	switch (b->events.end) {
	case CONKER_BOX_POWEROFF:
	case CONKER_BOX_REBOOT:
	case CONKER_BOX_SUSPENDED:
	case CONKER_BOX_STOPPED: return ESHUTDOWN;
	default: return ECONNRESET;
	}
}

int box_lost_error(conker_box *b, struct err *e)
{
	int r = err_set(e, b->lost, "box '%s': %s", b->meta.name, b->reason);

	return api_kind(CONKER_ERR_BOX, "", r);
}

/* The VMM has said how it ended, or is gone. [locked] */
static void lose_by_events(conker_box *b)
{
	char reason[REASON_BYTES];

	events_reason(&b->events, b->dir, reason, sizeof(reason));
	box_lose(b, box_lost_errno(b), reason);
}

static void on_vmm_gone(conker_box *b)
{
	struct vm_events last;

	(void)events_load(&last, b->dir);
	if (b->owner >= 0)
		(void)epoll_ctl(b->ep, EPOLL_CTL_DEL, b->owner, NULL);
	if (b->vmm >= 0)
		(void)epoll_ctl(b->ep, EPOLL_CTL_DEL, b->vmm, NULL);
	pthread_mutex_lock(&b->lock);
	if (!b->events.over && last.over)
		b->events = last;
	if (!b->events.over) {
		b->events.over = 1;
		b->events.end = CONKER_BOX_KILLED;
	}
	b->gone = 1;
	lose_by_events(b);
	wait_broadcast(b);
	box_unlock(b);
}

void box_on_owner(conker_box *b)
{
	char buf[LINE_MAX_BYTES];
	ssize_t n = recv(b->owner, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0) {
		on_vmm_gone(b);
		return;
	}
	pthread_mutex_lock(&b->lock);
	events_feed(&b->events, &b->line, buf, (size_t)n);
	if (b->events.over && !b->events.error)
		lose_by_events(b);
	wait_broadcast(b);
	box_unlock(b);
}

void box_on_vmm(conker_box *b)
{
	on_vmm_gone(b);
}

static int start_grace(conker_box *b)
{
	struct itimerspec t = {
		.it_value = {.tv_sec = GRACE_MS / 1000, .tv_nsec = GRACE_MS % 1000 * 1000000L}};

	b->grace = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (b->grace < 0 || timerfd_settime(b->grace, 0, &t, NULL) < 0)
		return -errno;
	return box_watch(b, b->grace, SRC_GRACE, EPOLLIN | EPOLLONESHOT);
}

void box_on_grace(conker_box *b)
{
	pthread_mutex_lock(&b->lock);
	box_lose(b, ECONNRESET, "guest-init closed the connection");
	box_unlock(b);
}

void box_on_conn_end(conker_box *b)
{
	pthread_mutex_lock(&b->lock);
	int first = !b->conn_over;
	wire_stop(b);
	int over = b->gone || b->lost;
	box_unlock(b);
	if (!first || over)
		return;
	if ((b->owner < 0 && b->vmm < 0) || start_grace(b) < 0)
		box_on_grace(b);
}

/* Also of a box of ours: one that detached is no child, and a jailed VMM may be a grandchild. */
void box_watch_vmm(conker_box *b)
{
	b->vmm = registry_vmm(b->dir);
	if (b->vmm >= 0 && box_watch(b, b->vmm, SRC_VMM, EPOLLIN) < 0)
		close(take_fd(b->vmm));
}

/* ---- the public calls ------------------------------------------------------------------------------ */

static int is_gone(const void *arg)
{
	const conker_box *b = arg;

	return b->gone || (b->lost && b->owner < 0 && b->vmm < 0);
}

int conker_box_wait(conker_box *b, int timeout_ms)
{
	struct err *e;
	int r = box_enter_to_wait(b, &e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&b->lock);
	r = wait_for(b, is_gone, b, timeout_ms);
	if (r < 0)
		r = err_set(e, -r, "box '%s': %s", b->meta.name,
			    r == -ETIMEDOUT ? "it still runs" : strerror(-r));
	box_unlock(b);
	return r;
}

static void note(conker_box *b, const char *line)
{
	auto_close int fd = openat(b->dir, "state", O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0)
		(void)!write(fd, line,
			     strlen(line)); /* only the words of `conker ls` depend on it */
}

static int ask_shutdown(conker_box *b)
{
	Conker__Shutdown s = CONKER__SHUTDOWN__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	struct chan c = {0};

	m.msg_case = CONKER__CLIENT_MSG__MSG_SHUTDOWN;
	m.shutdown = &s;
	chan_add(b, &c, CHAN_REQUEST); /* for a number; the answer is the end of the VMM */
	m.channel = c.number;
	chan_del(b, &c);
	return wire_send(b, &m, OUT_CONTROL_BYTES);
}

/* The hard way: SIGTERM, which lets the VMM say how it ended, then SIGKILL. [locked] */
static int force(conker_box *b)
{
	struct vm_events v;

	if (b->vmm < 0)
		return 0;
	(void)pidfd_kill(b->vmm, SIGTERM);
	int r = wait_for(b, is_gone, b, TERM_MS);
	if (r != -ETIMEDOUT)
		return r;
	(void)pidfd_kill(b->vmm, SIGKILL);
	r = wait_for(b, is_gone, b, KILL_MS);
	(void)events_load(&v, b->dir);
	if (r == 0 && !v.over) {
		note(b, "exited stopped\n");
		b->events.end = CONKER_BOX_STOPPED;
	}
	return r;
}

/* Asks, and waits; a VMM that is writing the machine has not heard it yet. [locked] */
static int ask_to_end(conker_box *b, int timeout_ms)
{
	enum { STEP_MS = 250, WRITING_MAX_MS = 300000 };
	int64_t until_ms = now_ms() + WRITING_MAX_MS;

	if (b->lost || ask_shutdown(b) < 0)
		return -ETIMEDOUT;
	int r = wait_for(b, is_gone, b, timeout_ms);
	while (r == -ETIMEDOUT && now_ms() < until_ms && registry_is_writing(b->dir))
		r = wait_for(b, is_gone, b, STEP_MS);
	return r;
}

int conker_box_stop(conker_box *b, int timeout_ms)
{
	struct err *e;
	int r = box_enter_to_wait(b, &e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&b->lock);
	if (!is_gone(b)) {
		note(b, "stopping\n");
		b->events.stopping = 1;
		r = ask_to_end(b, timeout_ms);
		if (r == -ETIMEDOUT)
			r = force(b);
		if (r == 0 && b->events.end == CONKER_BOX_SUSPENDED)
			r = err_set(e, ERESTART, "box '%s' has been suspended instead",
				    b->meta.name);
	}
	if (r < 0 && r != -ERESTART)
		r = err_set(e, -r, "box '%s': stopping it: %s", b->meta.name,
			    r == -ETIMEDOUT ? "its VMM does not end" : strerror(-r));
	box_unlock(b);
	return r;
}

int conker_box_info_get(conker_box *b, conker_box_info *ret)
{
	conker_box_info info;
	struct vm_events v;
	struct err *e;
	int r = box_enter(b, &e);

	if (r == 0 && (!ret || ret->size < sizeof(ret->size)))
		r = err_set(e, EINVAL, "the info's size field is not set");
	if (r < 0)
		return r;
	pthread_mutex_lock(&b->lock);
	v = b->events;
	box_unlock(b);
	if (!v.over)
		(void)events_load(&v, b->dir); /* of one that was opened we hear only its end */
	(void)!info_fill(&info, &b->meta, &v, b->dir); /* its end we have not seen, so it lives */
	info.template_us = b->template_us;
	opts_out(ret, &info, sizeof(info));
	return 0;
}

int conker_box_fd(conker_box *b)
{
	struct err *e;
	int r = box_enter(b, &e);

	return r < 0 ? r : b->ep;
}
