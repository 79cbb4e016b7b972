/* SPDX-License-Identifier: Apache-2.0 */
/* mounts.h - the file system tree of the box, below MOUNTS_ROOT, before anybody lives in it.
 *
 *   /img        the image, read-only              (initramfs: /init, and empty directories)
 *   /root       overlay: the image, and /up in the initramfs as its throw-away layer
 *   /root/dev   devtmpfs, with pts and shm        /root/sys    sysfs, read-only
 *   /root/proc  is mounted by the reaper, since it shows the pid namespace of who mounts it
 *
 * Without an image the initramfs itself is the tree (for tests).
 */
#ifndef INIT_SYS_MOUNTS_H
#define INIT_SYS_MOUNTS_H

#include "util/err.h"
#include "util/util.h"

#define MOUNTS_ROOT "/root"

/* /dev of the initramfs, for what follows. */
must_check int mounts_dev(struct err *e);

/* After all else: init's own root, the initramfs, becomes read-only and nothing in it can be run any more, also by
 * a process that names it by a link in /proc: init's executable can be neither started in the box nor changed.
 * What is mounted below stays as it is. */
must_check int mounts_seal(struct err *e);

/* Everything else. disk: "vda", or NULL. Returns an open descriptor of the box's /dev/pts. */
must_check int mounts_box(const char *disk, struct err *e);

#endif
