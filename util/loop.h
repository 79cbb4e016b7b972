/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h - one epoll loop, one thread, caller-owned sources, no allocation.
 *
 * Order of one loop_step():
 *   1. wait for events, at most LOOP_BATCH of them;
 *   2. call each source once, in the order epoll reported them;
 *   3. the waker, when among them, runs every call posted until then, oldest first.
 * Fairness is the handlers' duty: one that could go on for long stops after its budget and re-arms
 * itself (level-triggered events come back by themselves).
 *
 * Thread: the owner's only, but for loop_post(), which any thread may call.
 */
#ifndef UTIL_LOOP_H
#define UTIL_LOOP_H

#include <pthread.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "util/util.h"

enum { LOOP_BATCH = 64 };

struct loop_src;
typedef void loop_fn(struct loop_src *s, uint32_t revents);

struct loop_src { /* embedded in its owner; container_of() leads back */
	loop_fn *fn;
	int fd; /* -1: not registered. Never owned by the loop */
};

struct loop_call { /* embedded as well; one shot; must stay valid until fn ran */
	struct loop_call *next;
	void (*fn)(struct loop_call *c);
};

struct loop {
	int ep;
	int n, i; /* the batch being dispatched, and where in it we are */
	struct epoll_event ev[LOOP_BATCH];
	struct loop_src waker; /* owns its eventfd */
	pthread_mutex_t lock;  /* guards calls and calls_tail only */
	struct loop_call *calls, **calls_tail;
};

/* 0 or -errno. loop_fini() copes with a loop whose loop_init() failed. Sources still registered are
 * forgotten, calls still posted never run. */
must_check int loop_init(struct loop *l);
void loop_fini(struct loop *l);

/* Watches fd for events (EPOLLIN ...; level-triggered unless EPOLLET is given). 0 or -errno. */
must_check int loop_add(struct loop *l, struct loop_src *s, int fd, uint32_t events, loop_fn *fn);
must_check int loop_mod(struct loop *l, struct loop_src *s, uint32_t events);

/* Stops watching; any source, from any callback, also twice. Events already fetched for s in the
 * current batch are dropped, so its owner may be freed at once. Does not close the fd. */
void loop_del(struct loop *l, struct loop_src *s);

/* Runs c->fn(c) on the loop's thread in a later step. Any thread. Never fails. */
void loop_post(struct loop *l, struct loop_call *c);

/* One step; timeout_ms < 0 waits for ever. Number of events, or -errno (EINTR is 0 events). */
must_check int loop_step(struct loop *l, int timeout_ms);

#endif
