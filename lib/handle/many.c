/* SPDX-License-Identifier: Apache-2.0 */
/* many.c - waiting for N of M executions, of one box or many.
 *
 * The waiter polls the descriptor of each box that has no leader, and leads it for a turn when there is
 * something to read. For boxes that another thread leads, and for executions that end by that thread's
 * doing, it has an eventfd registered with every box, which is written to whenever the condition that
 * followers wait for is signalled: also when a leader leaves, so that the waiter can take over.
 */
#include "lib/handle/exec.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct many { /* one waiter at one box */
	struct waker waker;
	conker_box *box;
};

struct waiter {
	conker_exec *const *exec;
	size_t n_exec;
	struct many *at; /* one per distinct box */
	struct pollfd *fds;
	size_t n_boxes;
	int wake;
};

static void many_add_box(struct waiter *w, conker_box *b)
{
	for (size_t i = 0; i < w->n_boxes; i++)
		if (w->at[i].box == b)
			return;
	struct many *m = &w->at[w->n_boxes++];
	*m = (struct many){.waker.fd = w->wake, .box = b};
	pthread_mutex_lock(&b->lock);
	m->waker.next = b->wakers;
	b->wakers = &m->waker;
	b->refs++;
	pthread_mutex_unlock(&b->lock);
}

static void many_leave_box(struct many *m)
{
	conker_box *b = m->box;
	struct waker **p = &b->wakers;

	pthread_mutex_lock(&b->lock);
	while (*p != &m->waker)
		p = &(*p)->next;
	*p = m->waker.next;
	b->refs--;
	box_unlock(b);
}

static size_t many_count_done(const struct waiter *w, unsigned char *done)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n_exec; i++) {
		conker_exec *e = w->exec[i];

		pthread_mutex_lock(&e->box->lock);
		int d = e->done;
		pthread_mutex_unlock(&e->box->lock);
		n += (size_t)d;
		if (done)
			done[i] = (unsigned char)d;
	}
	return n;
}

/* fds[0]: the eventfd; fds[1 + i]: box i, unless somebody leads it. */
static int many_turn(struct waiter *w, int timeout_ms)
{
	uint64_t drop;

	w->fds[0] = (struct pollfd){.fd = w->wake, .events = POLLIN};
	for (size_t i = 0; i < w->n_boxes; i++) {
		conker_box *b = w->at[i].box;

		pthread_mutex_lock(&b->lock);
		w->fds[1 + i] = (struct pollfd){.fd = b->leading ? -1 : b->ep, .events = POLLIN};
		pthread_mutex_unlock(&b->lock);
	}
	if (poll(w->fds, 1 + w->n_boxes, timeout_ms) < 0)
		return -errno;
	(void)!read(w->wake, &drop, sizeof(drop));
	for (size_t i = 0; i < w->n_boxes; i++)
		if (w->fds[1 + i].revents)
			(void)conker_box_dispatch(w->at[i].box); /* a failure has come as LOST */
	return 0;
}

static int many_wait(struct waiter *w, size_t need, int timeout_ms, unsigned char *done)
{
	int64_t deadline = now_ms() + timeout_ms;

	for (;;) {
		size_t n = many_count_done(w, done);
		int64_t left = timeout_ms < 0 ? -1 : max_(deadline - now_ms(), (int64_t)0);

		if (n >= need)
			return (int)n;
		int r = many_turn(w, (int)left);
		if (r < 0)
			return r;
		if (left == 0) {
			n = many_count_done(w, done);
			return n >= need ? (int)n : -ETIMEDOUT;
		}
	}
}

static int many_check(conker_exec *const *v, size_t n, size_t need, struct err *e)
{
	if (need > n || n > INT32_MAX / 2)
		return err_set(e, EINVAL, "%zu of %zu executions cannot be waited for", need, n);
	for (size_t i = 0; i < n; i++) {
		struct err *own;
		int r = exec_enter(v[i], &own);
		if (r < 0)
			return r;
	}
	return api_may_wait(e);
}

static int many_wait_at(struct waiter *w, size_t need, int timeout_ms, unsigned char *done)
{
	for (size_t i = 0; i < w->n_exec; i++)
		many_add_box(w, w->exec[i]->box);
	int r = many_wait(w, need, timeout_ms, done);
	for (size_t i = 0; i < w->n_boxes; i++)
		many_leave_box(&w->at[i]);
	return r;
}

int conker_exec_wait_many(conker_exec *const *v, size_t n, size_t need, int timeout_ms,
			  unsigned char *done)
{
	struct err *e = api_enter();

	if (!v)
		return err_set(e, EINVAL, "no executions given");
	int r = many_check(v, n, need, e);

	if (r < 0)
		return r;
	struct many *at = calloc(n + 1, sizeof(*at));
	struct pollfd *fds = calloc(n + 1, sizeof(*fds));
	int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = at && fds && wake >= 0
		    ? many_wait_at(&(struct waiter){v, n, at, fds, 0, wake}, need, timeout_ms, done)
		    : -ENOMEM;
	free(at);
	free(fds);
	if (wake >= 0)
		close(wake);
	e = api_enter(); /* dispatch has used it */
	return r < 0 ? err_set(e, -r, "wait for %zu of %zu: %s", need, n, strerror(-r)) : r;
}
