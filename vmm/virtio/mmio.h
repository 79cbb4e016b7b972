/* SPDX-License-Identifier: Apache-2.0 */
/* mmio.h - the virtio-mmio transport (Virtio 1.2 section 4.2): one device's register page.
 *
 * Thread: everything here is called on the loop thread, but for virtio_port_access(), which any
 * vCPU thread calls. A vCPU touches the register file under the port's mutex, and the interrupt
 * status, an atomic, without it. DRIVER_OK, reset and the stop of a queue change the device itself: they
 * are handed to the loop, and the vCPU sleeps until they are done.
 * Lock order: the port's mutex; nothing is taken inside it.
 *
 * Teardown: virtio_port_stop() on every port, kick and join the vCPUs, then virtio_port_free().
 * Without the first step a vCPU could wait for a loop that no longer turns.
 */
#ifndef VMM_VIRTIO_MMIO_H
#define VMM_VIRTIO_MMIO_H

#include <linux/virtio_mmio.h>

#include "util/err.h"
#include "util/loop.h"
#include "vmm/virtio/device.h"

enum {
	VIRTIO_MMIO_BYTES = 0x1000
}; /* the page one device occupies; registers: <linux/virtio_mmio.h> */

/* What became of a device's guest, for logs and `info`. */
struct virtio_port_stats {
	uint64_t kicks;   /* queue notifications delivered to the device */
	uint64_t irqs;    /* interrupts raised */
	uint64_t ignored; /* accesses of wrong width or place, without effect */
	uint32_t broken;  /* times the guest broke the rules */
	const char *why;  /* the last time's reason; a literal, NULL if none */
};

/* Takes ownership of dev, also on failure (it is then freed); dev may be NULL, with the reason in e
 * already, so that virtio_port_new(blk_new(...), ...) needs one check. mem and loop are borrowed.
 * irq_fd: an eventfd that raises the device's line (edge), borrowed, never read here. NULL with the
 * reason in e. */
must_check struct virtio_port *virtio_port_new(struct virtio_dev *dev, const struct guest_mem *mem,
					       struct loop *loop, int irq_fd, struct err *e);

/* The eventfd for VIRTIO_MMIO_QUEUE_NOTIFY (4 bytes, datamatch q) of queue q, q < the class's
 * nvqs; -1 for others. Owned by the port.
 * Wiring it as an ioeventfd is optional: a QueueNotify that reaches virtio_port_access() has the
 * same effect. */
int virtio_port_kick_fd(const struct virtio_port *p, unsigned q);

/* The guest reads or writes len (1, 2, 4 or 8) bytes at off within the page. data: what it wrote, or
 * where the answer goes; always filled on a read. Any vCPU thread, several at once: may sleep until
 * the loop has run (see above), so no lock may be held that the loop takes. The loop thread may call
 * it, too, and never sleeps. */
void virtio_port_access(struct virtio_port *p, bool write, uint64_t off, void *data, unsigned len);

/* ---- snapshots: hold, then the loop turns until nothing is busy, save, release; or, in a new machine,
 * restore and release. All on the loop thread. ---- */

/* From now on nothing is taken from the queues: kicks and waits wait for virtio_port_release(). What is
 * under way goes on, as do the device's other sources (sockets, timers), but for what they would
 * say to the guest; DRIVER_OK, stops and reset are still obeyed. May be repeated. */
void virtio_port_hold(struct virtio_port *p);

/* Something is under way: requests at the disk, or a vCPU that waits for the loop. */
must_check bool virtio_port_busy(struct virtio_port *p);

/* The port is held and no vCPU runs. ret is filled; 0, or -EBUSY. The port itself is as it was: after
 * virtio_port_release() it goes on with all it had. */
must_check int virtio_port_save(struct virtio_port *p, struct port_state *ret);

/* Puts a port made by virtio_port_new(), which no guest has seen, into the state s; it is then held.
 * s may hold anything at all. 0, or -EINVAL with the reason in e: the port can then only be freed. */
must_check int virtio_port_restore(struct virtio_port *p, const struct port_state *s,
				   struct err *e);

/* Serves all queues once, and listens again. Raises the line if InterruptStatus says that it was: the
 * guest may have been stopped, or saved, between the two. */
void virtio_port_release(struct virtio_port *p);

/* ---- the end ---- */

/* From now on no access waits: those that do return at once, and later writes of DRIVER_OK, resets and
 * stops of queues are ignored. Any thread; may be repeated. */
void virtio_port_stop(struct virtio_port *p);

void virtio_port_stats(struct virtio_port *p, struct virtio_port_stats *ret);

/* Resets and frees the device, too. No vCPU may be in virtio_port_access() or enter it. NULL is
 * fine. */
void virtio_port_free(struct virtio_port *p);

#endif
