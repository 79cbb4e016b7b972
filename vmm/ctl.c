/* SPDX-License-Identifier: Apache-2.0 */
/* ctl.c - see ctl.h.
 *
 * #syscalls loop: accept4 recvmsg? sendto? close
 */
#include "vmm/ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/num.h"

/* Moves *at past word if it is next, and the rest, if any, begins with a space. */
static bool take_word(const char **at, const char *end, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(end - *at) < len || memcmp(*at, word, len) != 0 ||
	    (*at + len < end && (*at)[len] != ' '))
		return false;
	*at += len;
	return true;
}

static int take_port(const char **at, const char *end, uint32_t *ret)
{
	uint64_t n;
	int r = num_take(at, end, 10, UINT32_MAX, &n);

	*ret = (uint32_t)n;
	return r;
}

int ctl_parse(const char *text, size_t len, struct ctl_request *ret)
{
	const char *at = text, *end = text + len;
	int r = take_word(&at, end, "snapshot") ? 0 : -EINVAL;

	ret->stop = r == 0 && take_word(&at, end, " stop");
	ret->keep_port = 0;
	if (r == 0 && take_word(&at, end, " keep"))
		r = at < end && *at++ == ' ' ? take_port(&at, end, &ret->keep_port) : -EINVAL;
	return r == 0 && at == end ? 0 : -EINVAL;
}

static void close_fds(struct ctl_request *r)
{
	for (unsigned i = 0; i < CTL_FDS; i++) {
		if (r->fds[i] >= 0)
			close(r->fds[i]);
		r->fds[i] = -1;
	}
}

static void drop_client(struct ctl *c)
{
	int fd = c->client.fd;

	if (fd < 0)
		return;
	loop_del(c->loop, &c->client);
	close(fd);
	if (!c->pending) /* or the next client would get this one's answer */
		(void)!loop_mod(c->loop, &c->listener, EPOLLIN);
}

__attribute__((format(printf, 2, 0))) static void answer(struct ctl *c, const char *fmt, va_list ap)
{
	char text[CTL_MESSAGE_BYTES];
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	if (c->client.fd >= 0 && n > 0)
		(void)!send(c->client.fd, text, min_((size_t)n, sizeof(text) - 1),
			    MSG_NOSIGNAL | MSG_DONTWAIT);
}

__attribute__((format(printf, 2, 3))) static void refuse(struct ctl *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	answer(c, fmt, ap);
	va_end(ap);
}

void ctl_answer(struct ctl *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	answer(c, fmt, ap);
	va_end(ap);
	close_fds(&c->request);
	c->pending = false;
	if (c->client.fd < 0)
		(void)!loop_mod(c->loop, &c->listener, EPOLLIN);
}

/* The descriptors that came along, at most CTL_FDS; the kernel closes those for which there is no room. */
static unsigned take_fds(struct msghdr *m, int fds[CTL_FDS])
{
	unsigned n = 0;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
			if (n < CTL_FDS)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
	return n;
}

/* Bytes of the message, 0: the client has gone, or -errno. */
static ssize_t receive(int fd, char *text, size_t size, struct ctl_request *ret, unsigned *ret_nfds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(CTL_FDS * sizeof(int))];
	struct iovec v = {.iov_base = text, .iov_len = size};
	struct msghdr m = {.msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (n < 0)
		return -errno;
	*ret_nfds = take_fds(&m, ret->fds);
	return m.msg_flags & MSG_TRUNC ? -EMSGSIZE : n;
}

static void on_client(struct loop_src *s, uint32_t revents)
{
	struct ctl *c = container_of(s, struct ctl, client);
	struct ctl_request r = {.fds = {-1, -1}};
	char text[CTL_MESSAGE_BYTES];
	unsigned nfds = 0;

	(void)revents;
	ssize_t n = receive(s->fd, text, sizeof(text), &r, &nfds);
	if (n == -EAGAIN)
		return;
	if (n == 0 || (n < 0 && n != -EMSGSIZE)) {
		close_fds(&r);
		drop_client(c);
		return;
	}
	int bad = n < 0 ? (int)n : ctl_parse(text, (size_t)n, &r);
	if (bad == 0 && c->pending)
		bad = -EBUSY;
	if (bad == 0 && nfds != CTL_FDS)
		bad = -EBADF;
	if (bad < 0) {
		close_fds(&r);
		refuse(c, "failed %d %s", -bad,
		       bad == -EBUSY   ? "a snapshot is being taken"
		       : bad == -EBADF ? "two descriptors are needed"
				       : "no such request");
		return;
	}
	c->request = r;
	c->pending = true;
}

static void on_listener(struct loop_src *s, uint32_t revents)
{
	struct ctl *c = container_of(s, struct ctl, listener);
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)revents;
	if (fd < 0)
		return;
	if (loop_add(c->loop, &c->client, fd, EPOLLIN, on_client) < 0) {
		close(fd);
		return;
	}
	(void)!loop_mod(c->loop, &c->listener, 0); /* one at a time */
}

int ctl_init(struct ctl *c, struct loop *l, int fd, struct err *e)
{
	*c = (struct ctl){.loop = l, .listener.fd = -1, .client.fd = -1, .request.fds = {-1, -1}};
	int r = fd < 0 ? 0 : loop_add(l, &c->listener, fd, EPOLLIN, on_listener);
	return r < 0 ? err_set(e, -r, "watch --ctl-listen: %s", strerror(-r)) : 0;
}

void ctl_fini(struct ctl *c)
{
	close_fds(&c->request);
	if (c->client.fd >= 0)
		close(c->client.fd);
	c->client.fd = -1;
}

const struct ctl_request *ctl_pending(const struct ctl *c)
{
	return c->pending ? &c->request : NULL;
}
