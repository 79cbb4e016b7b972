/* SPDX-License-Identifier: Apache-2.0 */
/* young.c - see young.h. */
#include "guest-init/exec/young.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "guest-init/sys/sys.h"

enum {
	YOUNG_MS = 60,
	AWAIT_MS = 50, /* how long Started may wait for company */
};

int young_take(struct execs *e, struct exec *x)
{
	if (e->young)
		return 0;
	e->young = x;
	memset(e->young_seen, 0, sizeof(e->young_seen));
	for (int k = 0; k < 2; k++)
		x->out[k].armed = x->out[k].fd >= 0;
	return 1;
}

int young_watch_all(struct execs *e, struct exec *x)
{
	int r = x->pidfd < 0 ? 0 : exec_watch(e, x, x->pidfd, EPOLLIN, KIND_EXIT, 0);

	for (int k = 0; k < 2 && r == 0; k++) {
		if (x->out[k].fd < 0)
			continue;
		r = exec_watch(e, x, x->out[k].fd, EPOLLIN, KIND_OUTPUT, k);
		x->out[k].armed = r == 0;
	}
	return r;
}

void young_graduate(struct execs *e)
{
	struct exec *x = e->young;

	if (!x)
		return;
	e->young = NULL;
	if (young_watch_all(e, x) == 0)
		return;
	x->asked |= ASKED_KILL; /* nobody would hear of it */
	x->leave = 0;
	cg_kill(&e->cg, x->cg);
}

/* 1: epoll has news; 0, or -errno. */
static int young_poll(struct execs *e, const struct exec *x, int timeout_ms)
{
	struct pollfd p[] = {{.fd = x->out[0].fd, .events = POLLIN},
			     {.fd = x->out[1].fd, .events = POLLIN},
			     {.fd = x->pidfd, .events = POLLIN},
			     {.fd = e->poller->ep, .events = POLLIN}};
	int n = poll(p, countof(p), timeout_ms);

	for (int i = 0; i < YOUNG_FDS; i++)
		e->young_seen[i] = (uint16_t)(n > 0 ? p[i].revents : 0);
	return n < 0 ? -errno : n > 0 && p[YOUNG_FDS].revents;
}

void young_await(struct execs *e, const struct exec *x, uint32_t most_ms)
{
	int64_t ms = min_((e->alone_until_us - now_us()) / 1000, (int64_t)AWAIT_MS);

	if (most_ms)
		ms = min_(ms, (int64_t)most_ms);
	if (ms <= 0)
		return;
	(void)!young_poll(e, x, (int)ms);
	e->poller->now_us = now_us();
}

int young_wait(struct execs *e, struct epoll_event *ev, int max, int timeout_ms)
{
	const struct exec *x = e->young;
	int n;

	if (x && now_us() >= x->run_us + ms_to_us(YOUNG_MS))
		young_graduate(e);
	if (e->young) {
		n = young_poll(e, x, timeout_ms < 0 ? YOUNG_MS : min_(timeout_ms, (int)YOUNG_MS));
		if (n <= 0)
			return n;
		timeout_ms = 0;
	}
	n = epoll_wait(e->poller->ep, ev, max, timeout_ms);
	return n < 0 ? -errno : n;
}
