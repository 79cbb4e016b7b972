/* console.h - virtio-console (Virtio 1.2 section 5.3), output only. */
#ifndef VMM_VIRTIO_CONSOLE_H
#define VMM_VIRTIO_CONSOLE_H

#include "util/err.h"
#include "util/loop.h"
#include "vmm/virtio/device.h"

enum { CONSOLE_DRAIN_MS = 100 }; /* longest wait of console_drain() */

/* Output goes to out_fd, borrowed:
 * - a regular file is appended to, offsets never change, and all but its newest SINK_KEEP_BYTES
 *   (sink.h) becomes a hole;
 * - a pipe, socket or terminal that is not read neither blocks nor stops the guest: output beyond
 *   SINK_QUEUE_BYTES is dropped, and a line in its place says how much.
 * The process must ignore SIGPIPE. NULL with the reason in e. Loop thread. */
must_check struct virtio_dev *console_new(struct loop *loop, int out_fd, struct err *e);

/* Takes what the guest has queued, kicked or not, and writes it out, waiting at most
 * CONSOLE_DRAIN_MS for a slow reader: called once the guest has stopped (panic, power-off), so that
 * its last words come before the report. d must be a console. Loop thread. */
void console_drain(struct virtio_dev *d);

#endif
