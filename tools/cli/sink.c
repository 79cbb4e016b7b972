/* SPDX-License-Identifier: Apache-2.0 */
/* sink.c - one of our output descriptors, which may be slow, without ever blocking on it.
 *
 * The descriptor is shared with whoever started us: O_NONBLOCK on it would surprise a shell on the same
 * terminal. A pipe or terminal is therefore opened again through /proc, for a file description of our
 * own. Where that does not work (a socket, no /proc) we write at most PIPE_BUF bytes after each POLLOUT,
 * which a pipe takes without blocking. Regular files do not block in this sense.
 */
#include "tools/cli/cli.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/io.h"

static void open_again(struct sink *k)
{
	struct stat st;

	int flags = fcntl(k->fd, F_GETFL);
	/* Opened again, what cannot be written to (a stdout that was closed) might be: it is to fail. */
	int fails = flags < 0 || (flags & O_ACCMODE) == O_RDONLY;

	if (fails || (fstat(k->fd, &st) == 0 && S_ISREG(st.st_mode))) {
		k->chunk = SIZE_MAX;
		return;
	}
	k->own_fd = io_reopen(k->fd, O_WRONLY | O_NONBLOCK | O_NOCTTY);
	if (k->own_fd >= 0) {
		k->fd = k->own_fd;
		k->chunk = SIZE_MAX;
	}
}

int sink_init(struct sink *k, int fd, size_t cap)
{
	*k = (struct sink){.fd = fd, .own_fd = -1, .chunk = PIPE_BUF, .cap = cap};
	k->buf = malloc(cap);
	if (!k->buf)
		return -ENOMEM;
	open_again(k);
	return 0;
}

void sink_fini(struct sink *k)
{
	free(k->buf);
	if (k->own_fd >= 0)
		close(k->own_fd);
}

/* Bytes taken without blocking, 0 when it would; or -errno. */
static ssize_t write_some(const struct sink *k, const char *data, size_t len)
{
	struct pollfd p = {.fd = k->fd, .events = POLLOUT};
	size_t done = 0;

	while (done < len) {
		if (k->chunk != SIZE_MAX && (poll(&p, 1, 0) < 1 || !p.revents))
			break;
		ssize_t n = write(k->fd, data + done, min_(len - done, k->chunk));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t sink_flush(struct sink *k)
{
	ssize_t n = write_some(k, k->buf + k->head, k->tail - k->head);

	if (n > 0)
		k->head += (size_t)n;
	if (k->head == k->tail)
		k->head = k->tail = 0;
	return n;
}

ssize_t sink_put(struct sink *k, const void *data, size_t len)
{
	ssize_t direct = 0;

	if (!sink_pending(k)) {
		direct = write_some(k, data, len);
		if (direct < 0)
			return direct;
	}
	size_t rest = len - (size_t)direct;
	if (rest > k->cap - k->tail) {
		memmove(k->buf, k->buf + k->head, k->tail - k->head);
		k->tail -= k->head;
		k->head = 0;
	}
	assert(rest <= k->cap - k->tail);
	memcpy(k->buf + k->tail, (const char *)data + direct, rest);
	k->tail += rest;
	return direct;
}
