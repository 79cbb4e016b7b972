/* SPDX-License-Identifier: Apache-2.0 */
/* pump.c - see pump.h. */
#include "util/pump.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

uint32_t pump_events(const struct pump *p, int side)
{
	const struct pump_half *in = &p->half[side], *out = &p->half[!side];

	return (in->len == 0 && !in->ended ? (uint32_t)EPOLLIN : 0) |
	       (out->len > 0 ? (uint32_t)EPOLLOUT : 0);
}

void pump_put(struct pump_half *h, const void *data, size_t n)
{
	assert(n <= h->size_bytes - h->head - h->len);
	memcpy(h->buf + h->head + h->len, data, n);
	h->len += n;
}

static int is_later(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* Writes what waits in h, and its end. */
static int drain(struct pump_half *h, int fd)
{
	while (h->len > 0) {
		ssize_t n = send(fd, h->buf + h->head, h->len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return is_later() ? 0 : -errno;
		h->head += (size_t)n;
		h->len -= (size_t)n;
	}
	h->head = 0;
	if (h->ended && !h->passed) {
		h->passed = 1;
		(void)shutdown(fd, SHUT_WR); /* fails if it is gone, which reading will tell */
	}
	return 0;
}

static int fill(struct pump_half *h, int fd)
{
	ssize_t n = recv(fd, h->buf, h->size_bytes, MSG_DONTWAIT);

	if (n < 0)
		return is_later() ? 0 : -errno;
	h->ended = n == 0;
	h->len = (size_t)n;
	return 0;
}

int pump_on_events(struct pump *p, int side, uint32_t revents)
{
	struct pump_half *in = &p->half[side], *out = &p->half[!side];
	int r = 0;

	if (out->len > 0 || (out->ended && !out->passed))
		r = drain(out, p->fd[side]);
	if (r == 0 && in->len == 0 && !in->ended && revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		r = fill(in, p->fd[side]);
		if (r == 0)
			r = drain(in, p->fd[!side]);
	}
	return r < 0 ? r : p->half[0].passed && p->half[1].passed;
}
