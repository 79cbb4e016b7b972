/* SPDX-License-Identifier: Apache-2.0 */
/* blk.h - virtio-blk (Virtio 1.2 section 5.2) over a raw file or a block device, or read-only over several files. */
#ifndef VMM_VIRTIO_BLK_H
#define VMM_VIRTIO_BLK_H

#include "util/bucket.h"
#include "util/err.h"
#include "vmm/disk/worker.h"
#include "vmm/virtio/device.h"

enum { BLK_RO = 1 << 0 };

/* fd is borrowed and must stay open until disk_worker_free(w); the size it has now is the disk's for
 * good. NULL with the reason in e: neither a file nor a block device, empty, not whole sectors (a
 * truncated image), not writable without BLK_RO, too many disks on this worker. Loop thread. */
must_check struct virtio_dev *blk_new(struct disk_worker *w, int fd, unsigned flags, struct err *e);

/* A read-only disk of the n + 1 files, one behind the other: regular ones of whole PART_BLOCK_BYTES, of which some may be
 * empty, but not all. All else as above. */
must_check struct virtio_dev *blk_new_joined(struct disk_worker *w, int first, const int *others,
					     unsigned n, struct err *e);

/* How much the disk moves from now on; none to begin with. Bytes: what a request's buffers hold, and the
 * range of WRITE_ZEROES. Requests beyond it wait in the queue. d must be a disk. Loop thread. */
void blk_limit(struct virtio_dev *d, const struct limit *l);

#endif
