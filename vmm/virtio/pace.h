/* SPDX-License-Identifier: Apache-2.0 */
/* pace.h - a port's sense of time: waits of a throttled device, and storms of notifications.
 *
 * A guest may notify a queue a million times a second, and each time an ioeventfd wakes the loop, which
 * costs the host some microseconds of a second CPU (80 where KVM itself is emulated). A notification that led to a request is paid for by
 * the device's own limits (util/bucket.h). One that found nothing to do is counted here; of these a port
 * has PACE_IDLE_KICKS_PER_S, and some in reserve, and then turns deaf to all of its notifications for
 * PACE_DEAF_MS. Nothing is lost: what the guest asked for meanwhile is looked at when that is over.
 *
 * Measured with tests/vm/guest/raw_storm.S on pvm: of each second of its vCPU the loop took 0.31 s
 * before, 0.04 s now.
 *
 * One timerfd per port, armed only during a wait. Thread: the loop thread.
 */
#ifndef VMM_VIRTIO_PACE_H
#define VMM_VIRTIO_PACE_H

#include "util/bucket.h"
#include "util/loop.h"

enum {
	/* An honest driver causes one when the device was quicker than the notification: about one
	 * request in a hundred. */
	PACE_IDLE_KICKS_PER_S = 1000,
	PACE_IDLE_KICKS_RESERVE = 10000,
	PACE_DEAF_MS = 10,
};

struct pace {
	struct loop *loop;
	struct loop_src timer; /* owns a timerfd */
	uint64_t due_ns;       /* 0: not armed */
	struct bucket idle;
	void (*on_due)(struct pace *p);
};

/* 0 or -errno. pace_fini() copes with a p whose pace_init() failed, and with a zeroed one. */
must_check int pace_init(struct pace *p, struct loop *l, void (*on_due)(struct pace *p));
void pace_fini(struct pace *p);

/* Calls on_due(p) from the loop, once, after wait_ns or sooner: the earliest of several waits counts. */
void pace_after(struct pace *p, uint64_t wait_ns);

/* A notification found nothing to do. How long to be deaf now; 0: not at all. */
must_check uint64_t pace_idle_kick(struct pace *p);

#endif
