/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - a virtio device that stands still, as plain values: what a snapshot keeps of it.
 *
 * Everything else a device has is made anew by a restore: descriptors, timers, token buckets. Guest
 * memory, and with it the rings, is kept apart.
 *
 * Values read back from a file are as trustworthy as a guest's: vmm/snap/device.c checks those that
 * have a range of their own, virtio_port_restore() what only the device and its memory can tell.
 * Large: on the heap, please.
 */
#ifndef VMM_VIRTIO_STATE_H
#define VMM_VIRTIO_STATE_H

#include <stddef.h>

#include "vmm/virtio/device.h"
#include "vmm/virtio/sink.h"
#include "vmm/virtio/vsock_mux.h"

enum { STATE_CONFIG_BYTES = 128 };

struct queue_state {
	struct vq_layout layout;
	bool ready;
	/* Of a live device. Chains that were taken and not returned are taken again: a device saves
	 * how far it got with one, or none is under way when it is saved. */
	uint16_t next;      /* avail and used ring alike: the first chain that was not returned */
	uint16_t signalled; /* used idx when the driver was last thought of */
};

struct console_state {
	uint32_t sent_bytes; /* of the chain that is next: these are not output again */
	uint64_t dropped;    /* bytes, since the last line that told */
	uint32_t unwritten_bytes;
	uint8_t unwritten[SINK_QUEUE_BYTES]; /* came from the guest and did not go out */
};

/* A stream that goes on: the guest does not notice that another client is at its other end. Nothing was under way. */
struct kept_stream {
	uint32_t host_port, guest_port;                             /* host_port 0: none */
	uint32_t guest_alloc, guest_fwd, sent, received, announced; /* struct vsock_conn */
};

/* From one of these to another, to a struct vsock_conn or a message of the state file, or back: all have these fields. */
#define KEPT_STREAM_COPY(to, from)                       \
	do {                                             \
		(to)->host_port = (from)->host_port;     \
		(to)->guest_port = (from)->guest_port;   \
		(to)->guest_alloc = (from)->guest_alloc; \
		(to)->guest_fwd = (from)->guest_fwd;     \
		(to)->sent = (from)->sent;               \
		(to)->received = (from)->received;       \
		(to)->announced = (from)->announced;     \
	} while (0)

/* The guest must hear that each of nconns and nrsts is gone before it hears anything else. */
struct streams_state {
	bool rung; /* the guest serves */
	struct kept_stream kept;
	uint32_t
		uses; /* of the slot that was used most: host ports from here on are new to the guest */
	uint32_t nconns; /* streams that the guest knows of */
	uint32_t host_port[VSOCK_CONNS_MAX], guest_port[VSOCK_CONNS_MAX];
	uint32_t nrsts; /* resets owed to packets of no stream, oldest first, and from where: */
	uint64_t rst_cid[VSOCK_RSTS_MAX];
	uint32_t rst_host_port[VSOCK_RSTS_MAX], rst_guest_port[VSOCK_RSTS_MAX];
	uint32_t rst_type[VSOCK_RSTS_MAX]; /* 16 bits */
};

struct port_state {
	uint32_t device_id; /* VIRTIO_ID_* */
	/* What the device offers: the same, or it is another device. */
	uint64_t offered;
	uint32_t config_bytes;
	uint8_t config[STATE_CONFIG_BYTES];
	/* The register file. */
	uint32_t status, isr;
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint64_t driver_features;
	bool alien_features;
	uint32_t nqueues;
	struct queue_state queue[VIRTIO_QUEUES];
	union { /* disks have none; of its arrays only as much is defined as their lengths say */
		struct console_state console;
		struct streams_state vsock;
	};
};

enum { STATE_HEAD_BYTES = offsetof(struct port_state, console) };

#endif
