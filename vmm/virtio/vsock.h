/* SPDX-License-Identifier: Apache-2.0 */
/* vsock.h - virtio socket device (Virtio 1.2 section 5.10): host Unix sockets <-> guest streams.
 *
 * Thread: the loop thread only.
 */
#ifndef VMM_VIRTIO_VSOCK_H
#define VMM_VIRTIO_VSOCK_H

#include <stdint.h>

#include "util/bucket.h"
#include "util/err.h"
#include "util/loop.h"
#include "util/util.h"
#include "vmm/virtio/device.h"

enum { VSOCK_LISTENERS_MAX = 8 };

/* Each connection accepted on fd becomes a stream from the host to the guest's port. */
struct vsock_listener {
	int fd; /* a listening Unix stream socket */
	uint32_t port;
};

struct vsock_config {
	uint64_t guest_cid; /* 3 .. 2^32 - 2 */
	unsigned nlisteners;
	struct vsock_listener listener[VSOCK_LISTENERS_MAX];
	void (*on_ready)(void *user); /* may be NULL; see below */
	/* The guest rang PORT_SUSPEND; may be NULL. As often as it likes, on the loop thread and inside a kick. */
	void (*on_suspend)(void *user);
	void *user;
};

/* Makes a device. NULL with the reason in e: a bad configuration, no memory, or the loop refused.
 *
 * Ownership: the listeners' descriptors belong to the device from this call on, also when it fails.
 * The loop must outlive the device.
 * Readiness: nothing is accepted before the guest rang PORT_READY (proto/ports.h); until then early
 * clients wait in the listeners' backlogs. The first ring calls on_ready(user), on the loop thread
 * and inside a kick: it must not free or reset the device. Later rings, also those after a reset,
 * call nothing. After a device reset accepting stops until the guest rings again.
 * Snapshots: the state keeps which streams the guest knows of, not their bytes: their clients are not there
 * after a restore. The guest gets a reset for each, before anything else; the device that was saved goes
 * on with all of them. A restored device that had been rung accepts at once, and does not call on_ready.
 * A client whose connection the guest refuses, resets or does not answer within 10 s gets its socket
 * closed. */
struct virtio_dev *vsock_new(struct loop *loop, const struct vsock_config *c, struct err *e);

/* Payload bytes, and packets of less than 1 KiB, that pass in each direction from now on; no limit to begin with. d must be
 * a vsock device, here and below. */
void vsock_limit(struct virtio_dev *d, const struct limit *l);

/* The connection with this host port shall go on in machines restored from the next snapshot: the first client of its
 * guest port is its new other end. Only if nothing is under way on it then; else, and with 0, it ends there as all others
 * do. */
void vsock_keep(struct virtio_dev *d, uint32_t host_port);

/* The guest has stopped: what it has queued goes out without limits. */
void vsock_drain(struct virtio_dev *d);

#endif
