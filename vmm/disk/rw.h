/* SPDX-License-Identifier: Apache-2.0 */
/* rw.h - preadv2() and pwritev2(), which musl lacks: the system calls themselves. */
#ifndef VMM_DISK_RW_H
#define VMM_DISK_RW_H

#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The offset goes in two longs, of which a 64-bit kernel looks at the first. */
_Static_assert(sizeof(long) == sizeof(off_t), "an offset is one long");

/* Bytes, or -1 with errno; flags: RWF_*. */
static inline ssize_t rw_read(int fd, const struct iovec *v, int n, off_t off, int flags)
{
	return syscall(SYS_preadv2, fd, v, n, off, 0L, flags);
}

static inline ssize_t rw_write(int fd, const struct iovec *v, int n, off_t off, int flags)
{
	return syscall(SYS_pwritev2, fd, v, n, off, 0L, flags);
}

#endif
