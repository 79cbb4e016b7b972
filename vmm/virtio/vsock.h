/* vsock.h - virtio socket device (Virtio 1.2 section 5.10): host Unix sockets <-> guest streams.
 *
 * Thread: the loop thread only.
 */
#ifndef VMM_VIRTIO_VSOCK_H
#define VMM_VIRTIO_VSOCK_H

#include <stdint.h>

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
 * A client whose connection the guest refuses, resets or does not answer within 10 s gets its socket
 * closed. */
struct virtio_dev *vsock_new(struct loop *loop, const struct vsock_config *c, struct err *e);

/* After a restore: closes every connection, and tells the guest that they are gone (event
 * TRANSPORT_RESET, as soon as it has a buffer for it). Its listeners, and readiness, live on. */
void vsock_transport_reset(struct virtio_dev *d);

#endif
