/* SPDX-License-Identifier: Apache-2.0 */
/* device.h - the contract between a virtio device and its transport.
 *
 * Thread: every op runs on the loop thread, one at a time. vCPU threads never enter device code, so
 * no device has a lock.
 * Memory: a device sees guest RAM only through a struct vq_chain.
 * Life: new -> (activate -> kick* -> reset)* -> free; any op but free may be followed by reset.
 * State: everything a device must remember lies in its struct as plain data, so that it can be
 * written out and read back; after reset nothing is in flight.
 * Hold: a snapshot is taken between two kicks, while vq_pop() finds nothing. A device that has requests
 * under way then only finishes them.
 * Failure: a device that meets a guest fault calls virtio_broken() and goes quiet until reset. It
 * never exits, asserts, blocks or logs per event because of what the guest did.
 */
#ifndef VMM_VIRTIO_DEVICE_H
#define VMM_VIRTIO_DEVICE_H

#include "util/err.h"
#include "vmm/virtio/queue.h"

enum { VIRTIO_QUEUES = 4 };

/* One kick's share of the loop; then virtio_again(), so that other devices get their turn. */
enum { VIRTIO_BUDGET_CHAINS = 64, VIRTIO_BUDGET_BYTES = 256 << 10 };

struct virtio_dev;
struct virtio_port; /* the transport's side of a device, opaque here */
struct port_state;  /* state.h */

struct virtio_ops {
	/* DRIVER_OK: features were accepted, all enabled queues in d->vq are valid. 0, or -errno:
	 * the transport then answers DEVICE_NEEDS_RESET. Each queue is kicked once afterwards. */
	int (*activate)(struct virtio_dev *d, uint64_t features);
	void (*kick)(struct virtio_dev *d, unsigned q);
	/* The driver stops queue q, which d->vq has until the return: no chain of it is touched any more, and
	 * none of it is answered. The others go on; it comes back with the next activate. May be NULL. */
	void (*stop)(struct virtio_dev *d, unsigned q);
	void (*reset)(struct virtio_dev *d); /* on return: no request in flight, d->vq unused */
	void (*free)(struct virtio_dev *d);  /* NULL-safe, half-built-safe; after reset */

	/* For snapshots; each may be NULL. busy: chains are under way outside the loop thread.
	 * save: held and not busy; fills what ret has of its kind. restore: fresh, after activate if the
	 * snapshot's device was live, and held: nothing can be popped. 0, or -EINVAL with the reason in e:
	 * values that no device can have. */
	bool (*busy)(const struct virtio_dev *d);
	void (*save)(const struct virtio_dev *d, struct port_state *ret);
	int (*restore)(struct virtio_dev *d, const struct port_state *s, struct err *e);
};

struct virtio_class {
	const char *name; /* "blk"; used in logs and counters */
	uint32_t id;      /* VIRTIO_ID_* */
	uint16_t nvqs, vq_max[VIRTIO_QUEUES];
	uint16_t needed; /* a bit for each queue without which it does not start */
	const struct virtio_ops *ops;
};

struct virtio_dev { /* first member of struct blk, struct console, ... */
	const struct virtio_class *cls;
	uint64_t offered; /* feature bits of this instance, VIRTIO_F_VERSION_1 included */
	const void *
		config; /* device configuration space; never changes: the transport serves reads itself */
	size_t config_len;
	/* Valid between activate and reset; NULL: not enabled, or stopped. */
	struct vq *vq[VIRTIO_QUEUES];
	struct virtio_port *port;
};

/* What a device may ask of its transport. Loop thread. */
void virtio_irq(struct virtio_dev *d, unsigned q); /* used buffer notification, if q wants one */
void virtio_irq_any(
	struct virtio_dev *d); /* one for all queues, if any wants one: the line is shared */
void virtio_again(struct virtio_dev *d, unsigned q); /* kick q once more in a later step: a device
						      * stops when its budget for one is spent */
/* Kicks all queues once more after wait_ns, or a little sooner: a device that must not go on now. The
 * earliest of several waits counts, so who is called too early waits again. */
void virtio_later(struct virtio_dev *d, uint64_t wait_ns);
void virtio_broken(struct virtio_dev *d,
		   const char *why); /* DEVICE_NEEDS_RESET; counted, logged once */

#endif
