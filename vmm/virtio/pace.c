/* SPDX-License-Identifier: Apache-2.0 */
/* pace.c - see pace.h. */
/* #syscalls loop: timerfd_settime read */
#include "vmm/virtio/pace.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/clock.h"

enum {
	SLACK_NS = 100000,
	NS_PER_S = 1000000000
}; /* a timer that is due so little earlier is left alone */

static void on_timer(struct loop_src *s, uint32_t revents)
{
	struct pace *p = container_of(s, struct pace, timer);
	uint64_t expirations;

	(void)revents;
	(void)!read(s->fd, &expirations, sizeof(expirations)); /* only resets it */
	p->due_ns = 0;
	p->on_due(p);
}

int pace_init(struct pace *p, struct loop *l, void (*on_due)(struct pace *p))
{
	*p = (struct pace){.loop = l, .timer.fd = -1, .on_due = on_due};
	bucket_init(&p->idle, PACE_IDLE_KICKS_RESERVE, PACE_IDLE_KICKS_PER_S, clock_now_ns());
	auto_close int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	int r = loop_add(l, &p->timer, fd, EPOLLIN, on_timer);
	if (r == 0)
		take_fd(fd);
	return r;
}

void pace_fini(struct pace *p)
{
	int fd = p->timer.fd;

	if (!p->loop || fd < 0)
		return;
	loop_del(p->loop, &p->timer);
	close(fd);
}

void pace_after(struct pace *p, uint64_t wait_ns)
{
	uint64_t due_ns = clock_now_ns() + wait_ns;
	struct itimerspec t = {
		.it_value = {(time_t)(due_ns / NS_PER_S), (long)(due_ns % NS_PER_S)},
	};

	if (p->due_ns && p->due_ns <= due_ns + SLACK_NS)
		return;
	p->due_ns = due_ns;
	(void)timerfd_settime(p->timer.fd, TFD_TIMER_ABSTIME, &t, NULL); /* fails only if misused */
}

uint64_t pace_idle_kick(struct pace *p)
{
	bucket_refill(&p->idle, clock_now_ns());
	bucket_take(&p->idle, 1);
	uint64_t wait_ns = bucket_wait_ns(&p->idle);
	return wait_ns ? max_(wait_ns, UINT64_C(1000000) * PACE_DEAF_MS) : 0;
}
