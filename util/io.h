/* SPDX-License-Identifier: Apache-2.0 */
/* io.h - whole reads and writes, and what goes with them.
 *
 * All go on where a signal interrupted the call. A caller that a signal is to stop writes by itself.
 */
#ifndef UTIL_IO_H
#define UTIL_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/util.h"

/* All of it, or -errno; -EIO: a call wrote nothing and told no reason. */
must_check int io_write_all(int fd, const void *buf, size_t len);
must_check int io_pwrite_all(int fd, const void *buf, size_t len, uint64_t off);
/* The bytes read: fewer than len at the end of the file. Or -errno. */
must_check ssize_t io_pread_all(int fd, void *buf, size_t len, uint64_t off);

/* The file behind fd, with a file description of its own; -errno also where there is no /proc, and for a socket. */
must_check int io_reopen(int fd, int flags);

/* Whether it holds zeroes only, and need not be written to a new file. Quick where musl's memcmp() goes by bytes. */
must_check int io_is_zero(const void *p, size_t len);

#endif
