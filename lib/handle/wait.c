/* wait.c - leader and followers.
 *
 * Of all threads that wait on a box one leads: it sits in epoll_wait, reads, and runs the callbacks of
 * everybody's executions. The others wait on box->changed. Nobody holds the lock while waiting, so that
 * conker_exec_kill() and conker_exec_write() go through at any time; holding it is the defect of the
 * one-lock-per-handle design that matters most for signals.
 *
 * One turn of the leader:
 *   1. wait for events;
 *   2. read the connection once, and deliver each whole frame in it;
 *   3. look at the VMM;
 *   4. deliver what is due without a frame: WRITABLE and LOST.
 */
#include "lib/handle/exec.h"
#include "lib/files/files.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 8 };

static void on_event(conker_box *b, const struct epoll_event *ev)
{
	uint64_t v;

	switch ((enum src)ev->data.u32) {
	case SRC_WAKE: (void)!read(b->wake, &v, sizeof(v)); break;
	case SRC_CONN:
		if (ev->events & EPOLLOUT) {
			pthread_mutex_lock(&b->lock);
			wire_flush(b);
			box_unlock(b);
		}
		if (ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			wire_on_readable(b);
		break;
	case SRC_OWNER: box_on_owner(b); break;
	case SRC_VMM: box_on_vmm(b); break;
	case SRC_GRACE: box_on_grace(b); break;
	case SRC_FORWARD: forward_on_events(b, (uint32_t)(ev->data.u64 >> 32)); break;
	}
}

/* [locked], released in between. */
static int turn(conker_box *b, int timeout_ms)
{
	struct epoll_event ev[EVENTS_MAX];

	box_unlock(b);
	int n = epoll_wait(b->ep, ev, EVENTS_MAX, timeout_ms);
	int r = n < 0 ? -errno : 0;
	for (int i = 0; i < n; i++)
		on_event(b, &ev[i]);
	pthread_mutex_lock(&b->lock);
	exec_run_ready(b);
	return r;
}

static void leave(conker_box *b)
{
	b->leading = 0;
	wait_broadcast(b);
	if (b->ready || (b->lost && !b->lost_told))
		wait_wake(b); /* for those who poll the descriptor */
	if (!b->free_later)
		return;
	b->free_later = 0;
	box_unlock(b);
	box_teardown(b);
	pthread_mutex_lock(&b->lock);
}

static int follow(conker_box *b, int timeout_ms)
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

static int wait_loop(conker_box *b, wait_fn *fn, const void *arg, int timeout_ms)
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
			r = follow(b, left);
		} else {
			leader = b->leading = 1;
			r = turn(b, left);
		}
	}
	if (leader)
		leave(b);
	return fn(arg) ? 0 : r;
}

int wait_for(conker_box *b, wait_fn *fn, const void *arg, int timeout_ms)
{
	b->refs++;
	int r = wait_loop(b, fn, arg, timeout_ms);
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
	pthread_cond_broadcast(&b->changed);
	many_wake(b);
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
		(void)turn(b, 0); /* EINTR: the next call sees it */
		n = b->callbacks;
		leave(b);
		b->refs--;
		if (n == 0 && b->lost && !b->ready) {
			b->lost_told = 1;
			n = box_lost_error(b, e);
		}
	}
	box_unlock(b);
	return n;
}
