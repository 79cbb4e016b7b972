/* SPDX-License-Identifier: Apache-2.0 */
/* io.c - see io.h. */
#include "util/io.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { WORDS = 8 };

/* One of the two writes: off < 0 is where the file stands. */
static int io_write_from(int fd, const uint8_t *p, size_t len, off_t off)
{
	while (len > 0) {
		ssize_t n = off < 0 ? write(fd, p, len) : pwrite(fd, p, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		len -= (size_t)n;
		off += off < 0 ? 0 : n;
	}
	return 0;
}

int io_write_all(int fd, const void *buf, size_t len)
{
	return io_write_from(fd, buf, len, -1);
}

int io_pwrite_all(int fd, const void *buf, size_t len, uint64_t off)
{
	assert(off <= INT64_MAX);
	return io_write_from(fd, buf, len, (off_t)off);
}

ssize_t io_pread_all(int fd, void *buf, size_t len, uint64_t off)
{
	uint8_t *p = buf;
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, p + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int io_reopen(int fd, int flags)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int own = open(path, flags | O_CLOEXEC);
	return own < 0 ? -errno : own;
}

int io_is_zero(const void *p, size_t len)
{
	typedef uint64_t __attribute__((may_alias, aligned(1))) word;
	const word *w = p;
	const uint8_t *byte;

	for (; len >= WORDS * sizeof(*w); w += WORDS, len -= WORDS * sizeof(*w))
		if (w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7])
			return 0;
	for (byte = (const uint8_t *)w; len > 0; len--)
		if (*byte++)
			return 0;
	return 1;
}
