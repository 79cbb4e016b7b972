/* SPDX-License-Identifier: Apache-2.0 */
/* forwards.c - see forwards.h. */
#include "guest-init/serve/forwards.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "guest-init/sys/sys.h"
#include "util/le.h"

enum { HOST, BOX };
enum {
	SYN_RETRIES = 1,    /* beside those that come each second: six seconds a try */
	CONNECT_TRIES = 20, /* of who is at the head of the queue */
};

static unsigned forward_index(const struct forwards *t, const struct forward *f)
{
	return (unsigned)(f - t->forward);
}

static int listen_for(struct forwards *t, int op, uint32_t events)
{
	return poller_watch(t->poller, op, t->listen_fd, events,
			    (struct ev_name){.kind = t->listen_kind});
}

int forwards_listen(struct forwards *t)
{
	return listen_for(t, EPOLL_CTL_ADD, EPOLLIN);
}

static void forward_end(struct forwards *t, struct forward *f)
{
	for (int side = 0; side < 2; side++)
		if (f->pump.fd[side] >= 0)
			close(f->pump.fd[side]); /* which takes it out of the epoll set */
	(void)madvise(t->mem[forward_index(t, f)], sizeof(t->mem[0]), MADV_DONTNEED);
	f->gen++;
	f->state = FORWARD_FREE;
	if (t->n-- == FORWARDS_MAX)
		(void)!listen_for(t, EPOLL_CTL_MOD, EPOLLIN); /* cannot fail */
	uses_leave(t->uses, t->poller->now_us);
}

/* What each side is to be watched for in this state. */
static uint32_t wanted(const struct forward *f, int side)
{
	switch (f->state) {
	case FORWARD_HEAD: return side == HOST ? EPOLLIN : 0;
	case FORWARD_QUEUED: return 0;
	case FORWARD_CONNECTING: return side == BOX ? EPOLLOUT : 0;
	case FORWARD_REFUSED: return side == HOST ? EPOLLOUT : 0;
	default: return pump_events(&f->pump, side);
	}
}

static void forward_rearm(struct forwards *t, struct forward *f)
{
	for (int side = 0; side < 2 && f->state != FORWARD_FREE; side++) {
		uint32_t events = wanted(f, side), had = f->events[side];
		struct ev_name name = {.kind = t->kind,
				       .stream = (uint8_t)side,
				       .index = (uint16_t)forward_index(t, f),
				       .gen = f->gen};

		if (events == had)
			continue;
		f->events[side] = events;
		if (events == 0)
			poller_unwatch(t->poller, f->pump.fd[side]);
		else if (poller_watch(t->poller, had ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
				      f->pump.fd[side], events, name) < 0)
			forward_end(t, f);
	}
}

static void answer(struct forward *f, int code)
{
	const uint8_t byte = (uint8_t)code;

	f->state = code ? FORWARD_REFUSED : FORWARD_OPEN;
	pump_put(&f->pump.half[BOX], &byte, 1);
}

static uint16_t port_of(const struct forward *f)
{
	return (uint16_t)le_get(f->head, 2);
}

static void connect_box(struct forward *f)
{
	const int retries = SYN_RETRIES;
	struct sockaddr_in a = {
		.sin_family = AF_INET,
		.sin_port = htons(port_of(f)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	f->pump.fd[BOX] = fd;
	f->events[BOX] = 0;
	f->tries++;
	if (fd >= 0)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &retries, sizeof(retries));
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		answer(f, 0);
	else if (fd >= 0 && errno == EINPROGRESS)
		f->state = FORWARD_CONNECTING;
	else
		answer(f, errno);
}

/* 0, or -errno: it is of no use. */
static int on_head(struct forwards *t, struct forward *f)
{
	ssize_t n = recv(f->pump.fd[HOST], f->head + f->n_head, sizeof(f->head) - (size_t)f->n_head,
			 MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	f->n_head += (int)n;
	if (f->n_head == sizeof(f->head)) {
		f->state = FORWARD_QUEUED;
		f->turn = t->turns++;
	}
	return 0;
}

/* Who is next to connect to port, if nobody is just doing it. */
static struct forward *next_to(struct forwards *t, uint16_t port)
{
	struct forward *next = NULL;

	for (struct forward *f = t->forward; f < t->forward + FORWARDS_MAX; f++) {
		if (f->state != FORWARD_QUEUED && f->state != FORWARD_CONNECTING)
			continue;
		if (port_of(f) != port)
			continue;
		if (f->state == FORWARD_CONNECTING)
			return NULL;
		if (!next || (int32_t)(f->turn - next->turn) < 0)
			next = f;
	}
	return next;
}

static void connect_next(struct forwards *t, uint16_t port)
{
	struct forward *f;

	while ((f = next_to(t, port))) {
		connect_box(f);
		forward_rearm(t, f);
	}
}

static void on_connected(struct forward *f)
{
	int code = 0;
	socklen_t len = sizeof(code);

	if (getsockopt(f->pump.fd[BOX], SOL_SOCKET, SO_ERROR, &code, &len) < 0)
		code = errno;
	if (code == ETIMEDOUT &&
	    f->tries < CONNECT_TRIES) { /* its backlog is full: at once again */
		close(f->pump.fd[BOX]);
		connect_box(f);
	} else {
		answer(f, code);
	}
}

void forwards_on_event(struct forwards *t, struct ev_name name, uint32_t revents)
{
	struct forward *f = &t->forward[name.index];
	int side = name.stream;
	enum forward_state was = f->state;
	int r = 0;

	if (f->gen != name.gen)
		return;
	switch (f->state) {
	case FORWARD_FREE:
	case FORWARD_QUEUED: return;
	case FORWARD_HEAD: r = on_head(t, f); break;
	case FORWARD_CONNECTING: on_connected(f); break;
	case FORWARD_REFUSED:
		r = pump_on_events(&f->pump, side, EPOLLOUT);
		if (r == 0)
			r = f->pump.half[BOX].len == 0;
		break;
	case FORWARD_OPEN: r = pump_on_events(&f->pump, side, revents); break;
	}
	uint16_t port = port_of(f);
	if (r != 0)
		forward_end(t, f);
	else
		forward_rearm(t, f);
	if (was == FORWARD_HEAD || was == FORWARD_CONNECTING)
		connect_next(t, port);
}

void forwards_accept(struct forwards *t, int fd)
{
	struct forward *f = t->forward;

	while (f < t->forward + FORWARDS_MAX && f->state != FORWARD_FREE)
		f++;
	if (f == t->forward + FORWARDS_MAX) { /* nobody listens then */
		close(fd);
		return;
	}
	uint32_t gen = f->gen;
	*f = (struct forward){.gen = gen, .state = FORWARD_HEAD, .pump.fd = {fd, -1}};
	for (int side = 0; side < 2; side++)
		f->pump.half[side] = (struct pump_half){
			.buf = t->mem[forward_index(t, f)][side],
			.size_bytes = FORWARD_BUF_BYTES,
		};
	if (++t->n == FORWARDS_MAX)
		(void)!listen_for(t, EPOLL_CTL_MOD, 0);
	uses_enter(t->uses);
	forward_rearm(t, f);
}
