/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c - see loop.h. */
#include "util/loop.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void on_wake(struct loop_src *s, uint32_t revents)
{
	struct loop *l = container_of(s, struct loop, waker);
	uint64_t v;

	(void)revents;
	(void)!read(s->fd, &v, sizeof(v)); /* only resets the counter */
	pthread_mutex_lock(&l->lock);
	struct loop_call *c = l->calls;
	l->calls = NULL;
	l->calls_tail = &l->calls;
	pthread_mutex_unlock(&l->lock);

	while (c) {
		struct loop_call *next = c->next; /* fn may free c */

		c->fn(c);
		c = next;
	}
}

int loop_init(struct loop *l)
{
	memset(l, 0, sizeof(*l));
	l->waker.fd = -1;
	l->calls_tail = &l->calls;
	pthread_mutex_init(&l->lock, NULL);
	l->ep = epoll_create1(EPOLL_CLOEXEC);
	if (l->ep < 0)
		return -errno;

	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	int r = loop_add(l, &l->waker, fd, EPOLLIN, on_wake);
	if (r < 0)
		close(fd);
	return r;
}

void loop_fini(struct loop *l)
{
	if (l->waker.fd >= 0)
		close(l->waker.fd);
	if (l->ep >= 0)
		close(l->ep);
	l->waker.fd = l->ep = -1;
	pthread_mutex_destroy(&l->lock);
}

int loop_add(struct loop *l, struct loop_src *s, int fd, uint32_t events, loop_fn *fn)
{
	struct epoll_event e = {.events = events, .data.ptr = s};

	s->fn = fn;
	s->fd = -1;
	if (epoll_ctl(l->ep, EPOLL_CTL_ADD, fd, &e) < 0)
		return -errno;
	s->fd = fd;
	return 0;
}

int loop_mod(struct loop *l, struct loop_src *s, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = s};

	return epoll_ctl(l->ep, EPOLL_CTL_MOD, s->fd, &e) < 0 ? -errno : 0;
}

void loop_del(struct loop *l, struct loop_src *s)
{
	if (s->fd < 0)
		return;
	(void)epoll_ctl(l->ep, EPOLL_CTL_DEL, s->fd, NULL); /* fails only if s was never added */
	s->fd = -1;
	for (int i = l->i + 1; i < l->n; i++)
		if (l->ev[i].data.ptr == s)
			l->ev[i].data.ptr = NULL;
}

void loop_post(struct loop *l, struct loop_call *c)
{
	uint64_t one = 1;

	c->next = NULL;
	pthread_mutex_lock(&l->lock);
	*l->calls_tail = c;
	l->calls_tail = &c->next;
	pthread_mutex_unlock(&l->lock);
	(void)!write(l->waker.fd, &one, sizeof(one)); /* EAGAIN: the loop is awake already */
}

int loop_step(struct loop *l, int timeout_ms)
{
	/* #syscalls loop: epoll_pwait epoll_ctl read write */
	int n = epoll_wait(l->ep, l->ev, LOOP_BATCH, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	l->n = n;
	for (l->i = 0; l->i < l->n; l->i++) {
		struct loop_src *s = l->ev[l->i].data.ptr;

		if (s)
			s->fn(s, l->ev[l->i].events);
	}
	l->n = l->i = 0;
	return n;
}
