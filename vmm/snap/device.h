/* SPDX-License-Identifier: Apache-2.0 */
/* device.h - a virtio device of the state file: struct port_state <-> message Device (state.proto).
 *
 * Pure: no device, no descriptor, no allocation. Any thread.
 */
#ifndef VMM_SNAP_DEVICE_H
#define VMM_SNAP_DEVICE_H

#include "state.pb-c.h"
#include "util/err.h"
#include "vmm/virtio/state.h"

/* A device on its way into a file. Large: on the heap, zeroed. */
struct snap_device {
	struct port_state state; /* by virtio_port_save() */
	/* by snap_device_put(), pointing into state and each other: not to be moved after that */
	Conker__State__Device msg;
	Conker__State__Port port;
	Conker__State__Queue queue[VIRTIO_QUEUES], *queues[VIRTIO_QUEUES];
	Conker__State__KeptStream kept;
	union {
		Conker__State__Console console;
		Conker__State__Vsock vsock;
		Conker__State__Disk disk;
	};
};

/* Makes d->msg of d->state, which a port saved: nothing is checked. */
void snap_device_put(struct snap_device *d);

/* Makes *ret of a message that was in a file and may hold anything the parser lets through. 0: every length
 * and every value of a smaller type is in its range; whether they fit a device is virtio_port_restore()'s
 * to say. -EINVAL with the reason in e. */
must_check int snap_device_get(const Conker__State__Device *m, struct port_state *ret,
			       struct err *e);

#endif
