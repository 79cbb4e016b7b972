/* SPDX-License-Identifier: Apache-2.0 */
/* console.h - virtio-console (Virtio 1.2 section 5.3), output only. */
#ifndef VMM_VIRTIO_CONSOLE_H
#define VMM_VIRTIO_CONSOLE_H

#include "util/bucket.h"
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

/* How much it puts out from now on, console_drain() excepted; none to begin with. An operation is one
 * buffer of the guest. What is beyond waits in the queue: the guest is slowed down, nothing is dropped
 * for it. d must be a console. Loop thread. */
void console_limit(struct virtio_dev *d, const struct limit *l);

/* Takes what the guest has queued, kicked or not, and writes it out, waiting at most
 * CONSOLE_DRAIN_MS for a slow reader: called once the guest has stopped (panic, power-off), so that
 * its last words come before the report. Not after a snapshot that the machine ends with: what waits
 * is in there, and would come out twice. d must be a console. Loop thread. */
void console_drain(struct virtio_dev *d);

#endif
