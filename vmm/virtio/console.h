/* console.h - virtio-console (Virtio 1.2 section 5.3), output only. */
#ifndef VMM_VIRTIO_CONSOLE_H
#define VMM_VIRTIO_CONSOLE_H

#include "util/err.h"
#include "util/loop.h"
#include "vmm/virtio/device.h"

enum {
	CONSOLE_KEEP_BYTES = 1 << 20,  /* of a regular file; older bytes become a hole */
	CONSOLE_QUEUE_BYTES = 1 << 16, /* held for a reader that is slow; then output is dropped */
	CONSOLE_DRAIN_MS = 100,        /* longest wait of console_drain() */
};

/* Output goes to out_fd, borrowed:
 * - a regular file is appended to, offsets never change, older bytes become a hole;
 * - a pipe, socket or terminal that is not read neither blocks nor stops the guest: output beyond
 *   CONSOLE_QUEUE_BYTES is dropped, and a line in its place says how much.
 * The process must ignore SIGPIPE. NULL with the reason in e. Loop thread. */
must_check struct virtio_dev *console_new(struct loop *loop, int out_fd, struct err *e);

/* Takes what the guest has queued, kicked or not, and writes it out, waiting at most
 * CONSOLE_DRAIN_MS for a slow reader: called once the guest has stopped (panic, power-off), so that
 * its last words come before the report. d must be a console. Loop thread. */
void console_drain(struct virtio_dev *d);

#endif
