/* SPDX-License-Identifier: Apache-2.0 */
/* wait.c - leader and followers.
 *
 * Of all threads that wait on a box one leads: it sits in epoll_wait, reads, and runs the callbacks of
 * everybody's executions. The others wait on box->changed. Nobody holds the lock while waiting, so that
 * conker_exec_kill() and conker_exec_write() go through at any time. (To hold it would be simpler, and no signal
 * could be sent while somebody waits.)
 *
 * One turn of the leader:
 *   1. wait for events;
 *   2. read the connection once, and deliver each whole frame in it;
 *   3. look at the descriptors of the floors above: the VMM's, the forwards';
 *   4. deliver what is due without a frame: WRITABLE and LOST.
 *
 * Duties: callbacks come one at a time per box, and none is lost when the leader leaves: a follower takes over, or
 * the descriptor stays readable. Whoever waits returns when a signal handler has run in his thread.
 *
 * Limits: EVENTS_MAX descriptors a turn; what a callback queues anew waits for the next one.
 */
#include "lib/handle/handle.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 8 };

static void wait_on_conn(conker_box *b, uint32_t events)
{
	if (events & EPOLLOUT) {
		pthread_mutex_lock(&b->lock);
		wire_flush(&b->wire);
		box_unlock(b);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		wire_on_readable(&b->wire);
}

static void wait_on_event(conker_box *b, const struct epoll_event *ev)
{
	uint32_t src = (uint32_t)ev->data.u64;
	uint64_t v;

	switch (src) {
	case SRC_WAKE: (void)!read(b->wake, &v, sizeof(v)); break;
	case SRC_CONN: wait_on_conn(b, ev->events); break;
	case SRC_WATCHED: watch_on_events(b, (uint32_t)(ev->data.u64 >> 32)); break;
	default: b->ops->on_event(b, src);
	}
}

/* [locked], released in between. */
static int wait_turn(conker_box *b, int timeout_ms)
{
	struct epoll_event ev[EVENTS_MAX];

	box_unlock(b);
	int n = epoll_wait(b->ep, ev, EVENTS_MAX, timeout_ms);
	int r = n < 0 ? -errno : 0;
	for (int i = 0; i < n; i++)
		wait_on_event(b, &ev[i]);
	pthread_mutex_lock(&b->lock);
	wait_run_due(b);
	return r;
}

static void wait_leave(conker_box *b)
{
	b->leading = 0;
	wait_broadcast(b);
	if (b->due || (b->lost && !b->lost_told))
		wait_wake(b); /* for those who poll the descriptor */
	if (!b->free_later)
		return;
	b->free_later = 0;
	box_unlock(b);
	b->ops->teardown(b);
	pthread_mutex_lock(&b->lock);
}

static int wait_follow(conker_box *b, int timeout_ms)
{
	struct timespec ts;

	if (timeout_ms < 0) {
		pthread_cond_wait(&b->changed, &b->lock);
		return 0;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += timeout_ms / 1000;
	ts.tv_nsec += timeout_ms % 1000 * 1000000L;
	if (ts.tv_nsec >= 1000000000L) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000L;
	}
	pthread_cond_timedwait(&b->changed, &b->lock, &ts); /* the caller looks at the clock */
	return 0;
}

static int left_ms(int64_t deadline, int timeout_ms)
{
	if (timeout_ms < 0)
		return -1;

	int64_t left = deadline - now_ms();
	return left > 0 ? (int)left : 0;
}

static int wait_turns(conker_box *b, wait_fn *fn, const void *arg, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;
	int leader = 0, left = -1, r = 0;

	while (!fn(arg) && r == 0) {
		if (left == 0) {
			r = -ETIMEDOUT;
			break;
		}
		left = left_ms(deadline, timeout_ms);
		if (!leader && b->leading) {
			r = wait_follow(b, left);
		} else {
			leader = b->leading = 1;
			r = wait_turn(b, left);
		}
	}
	if (leader)
		wait_leave(b);
	return fn(arg) ? 0 : r;
}

int wait_for(conker_box *b, wait_fn *fn, const void *arg, int timeout_ms)
{
	b->refs++;
	int r = wait_turns(b, fn, arg, timeout_ms);
	b->refs--;
	return r;
}

void wait_wake(conker_box *b)
{
	uint64_t one = 1;

	(void)!write(b->wake, &one, sizeof(one)); /* EAGAIN: it is readable already */
}

void wait_broadcast(conker_box *b)
{
	uint64_t one = 1;

	pthread_cond_broadcast(&b->changed);
	for (struct waker *w = b->wakers; w; w = w->next)
		(void)!write(w->fd, &one, sizeof(one)); /* EAGAIN: it is readable already */
}

void wait_queue(conker_box *b, struct due *d)
{
	d->queued = 1;
	d->next = NULL;
	*b->due_tail = d;
	b->due_tail = &d->next;
	wait_wake(b);
}

void wait_run_due(conker_box *b)
{
	struct due *d = b->due;

	/* What the callbacks queue anew waits for the next turn, or one that writes in vain would keep
	 * us here. */
	b->due = NULL;
	b->due_tail = &b->due;
	while (d) {
		struct due *next = d->next;

		d->queued = 0;
		d->fn(d);
		d = next;
	}
}

int conker_box_fd(conker_box *b)
{
	struct err *e;
	int r = box_enter(b, &e);

	return r < 0 ? r : b->ep;
}

int conker_box_dispatch(conker_box *b)
{
	struct err *e;
	int n = 0, r = box_enter(b, &e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&b->lock);
	if (!b->leading) {
		b->refs++;
		b->leading = 1;
		b->callbacks = 0;
		(void)wait_turn(b, 0); /* EINTR: the next call sees it */
		n = b->callbacks;
		wait_leave(b);
		b->refs--;
		if (n == 0 && b->lost && !b->due) {
			b->lost_told = 1;
			n = box_lost_error(b, e);
		}
	}
	box_unlock(b);
	return n;
}
