/* SPDX-License-Identifier: Apache-2.0 */
/* forward.c - a TCP port or Unix socket of the host, to a TCP port of the box.
 *
 *	somebody --> listener --> connection --forward.sock--> VMM --vsock--> init --> 127.0.0.1:port
 *
 * A forward has an epoll of its own, which is one source of the box's: whoever leads (wait.c) passes its
 * bytes on. What comes back first from init is one byte, 0 or the errno of its connect; a refused
 * connection is reset. The bytes are opaque, so that a hostile box can do no more than its peer allows.
 *
 * Limits: PORT_FORWARDS_MAX connections, one buffer of BUF_BYTES a direction; when they are reached, further ones
 * wait in the listener's backlog. So they do, for RETRY_MS at a time, while this process has no descriptor for one,
 * or the box takes no more just now. One turn reads each connection at most once.
 *
 * Locks: forward->lock guards what is below it, and is held while bytes are passed, which never blocks;
 * never together with the box's.
 */
#include "lib/box/box.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/ports.h"
#include "util/num.h"
#include "util/pump.h"

enum {
	RETRY_MS = 100,
	BUF_BYTES = 64 << 10,
	BACKLOG = 128,
	EVENTS_AT_ONCE = 64,
	ADDRESS_BYTES = 128,
};

enum { USER, BOX };

struct end_ref { /* what an event of a connection's side points to */
	struct connection *c;
	int side;
};

struct connection {
	struct connection *next;
	struct pump pump; /* side 0: who connected, side 1: the box */
	struct end_ref ref[2];
	uint32_t events[2];
	int answered; /* init's byte has come */
	int over;     /* closed; freed at the end of the turn */
	uint8_t buf[2][BUF_BYTES];
};

struct conker_forward {
	struct watched watched; /* the descriptor ep */
	struct box *box;
	int ep, listener, timer;
	uint16_t port;
	char address[ADDRESS_BYTES], path[sizeof(((struct sockaddr_un *)0)->sun_path)];

	pthread_mutex_t lock;
	int closed, paused;
	int resting; /* until the timer says to try again */
	int waiting; /* a connection that was accepted and has no stream to the box yet, or -1 */
	uint32_t n;
	struct connection *connections;
};

/* ---- connections ---------------------------------------------------------------------------------------- */

/* Who connected is told by a reset, not by an end that looks like an empty answer. */
static void reset_user(int fd)
{
	const struct linger now = {.l_onoff = 1};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void connection_end(struct conker_forward *f, struct connection *c, int reset)
{
	if (c->over)
		return;
	c->over = 1;
	if (reset)
		reset_user(c->pump.fd[USER]);
	else
		close(c->pump.fd[USER]);
	close(c->pump.fd[BOX]);
	f->n--;
}

static void connection_rearm(struct conker_forward *f, struct connection *c)
{
	for (int side = 0; side < 2 && !c->over; side++) {
		struct epoll_event ev = {.events = pump_events(&c->pump, side),
					 .data.ptr = &c->ref[side]};
		uint32_t had = c->events[side];
		int op = ev.events == 0 ? EPOLL_CTL_DEL : had ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

		if (ev.events == had)
			continue;
		c->events[side] = ev.events;
		if (epoll_ctl(f->ep, op, c->pump.fd[side], &ev) < 0)
			connection_end(f, c, 1);
	}
}

/* Takes init's byte. 0: not there yet, or taken; -errno. */
static int connection_take_answer(struct connection *c)
{
	uint8_t byte;
	ssize_t n = recv(c->pump.fd[BOX], &byte, 1, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0 || byte != 0)
		return -ECONNREFUSED;
	c->answered = 1;
	return 0;
}

static void on_connection(struct conker_forward *f, const struct end_ref *ref, uint32_t revents)
{
	struct connection *c = ref->c;
	int r = 0;

	if (c->over)
		return;
	if (ref->side == BOX && !c->answered && revents & ~(uint32_t)EPOLLOUT)
		r = connection_take_answer(c);
	if (r == 0 && !c->answered && ref->side == BOX)
		revents &= EPOLLOUT;
	if (r == 0)
		r = pump_on_events(&c->pump, ref->side, revents);
	if (r != 0)
		connection_end(f, c, r < 0);
	else
		connection_rearm(f, c);
}

static void connection_add(struct conker_forward *f, int user, int box)
{
	const uint8_t head[2] = {(uint8_t)f->port, (uint8_t)(f->port >> 8)};
	struct connection *c = calloc(1, sizeof(*c));

	if (!c) {
		reset_user(user);
		close(box);
		return;
	}
	c->pump.fd[USER] = user;
	c->pump.fd[BOX] = box;
	for (int side = 0; side < 2; side++) {
		c->ref[side] = (struct end_ref){c, side};
		c->pump.half[side] =
			(struct pump_half){.buf = c->buf[side], .size_bytes = BUF_BYTES};
	}
	pump_put(&c->pump.half[USER], head, sizeof(head));
	c->next = f->connections;
	f->connections = c;
	f->n++;
	connection_rearm(f, c);
}

static void watch_listener(struct conker_forward *f, int op)
{
	struct epoll_event ev = {.events = EPOLLIN};

	f->paused = op == EPOLL_CTL_DEL;
	(void)epoll_ctl(f->ep, op, f->listener, &ev);
}

/* What may be over soon, by itself or because others give something back. */
static int is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* The listener would be reported again at once, for as long as it lasts. */
static void forward_rest(struct conker_forward *f)
{
	const struct itimerspec t = {.it_value.tv_nsec = RETRY_MS * 1000000L};

	f->resting = timerfd_settime(f->timer, 0, &t, NULL) == 0;
	if (f->resting && !f->paused)
		watch_listener(f, EPOLL_CTL_DEL);
}

static void on_listener(struct conker_forward *f)
{
	int user = f->waiting;

	if (user < 0)
		user = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (user < 0) {
		if (is_shortage(errno))
			forward_rest(f);
		return;
	}
	int box = boxdir_connect(f->box->dir, "forward.sock", SOCK_STREAM | SOCK_NONBLOCK);
	f->waiting = box == -EAGAIN || is_shortage(-box) ? user : -1;
	if (f->waiting >= 0)
		forward_rest(f);
	else if (box < 0)
		reset_user(user);
	else
		connection_add(f, user, box);
	if (f->n >= PORT_FORWARDS_MAX && !f->paused)
		watch_listener(f, EPOLL_CTL_DEL);
}

static void on_timer(struct conker_forward *f)
{
	uint64_t n;

	if (read(f->timer, &n, sizeof(n)) < 0)
		return;
	f->resting = 0;
	if (f->waiting >= 0)
		on_listener(f);
}

/* Those that ended; events of this turn may have pointed to them until now. */
static void forward_bury(struct conker_forward *f)
{
	for (struct connection **p = &f->connections; *p;) {
		struct connection *c = *p;

		if (!c->over) {
			p = &c->next;
			continue;
		}
		*p = c->next;
		free(c);
	}
	if (f->paused && !f->resting && f->n < PORT_FORWARDS_MAX)
		watch_listener(f, EPOLL_CTL_ADD);
}

static void forward_turn(struct conker_forward *f)
{
	struct epoll_event ev[EVENTS_AT_ONCE];
	int n = epoll_wait(f->ep, ev, EVENTS_AT_ONCE, 0);

	for (int i = 0; i < n; i++) {
		if (ev[i].data.ptr == f)
			on_timer(f);
		else if (ev[i].data.ptr)
			on_connection(f, ev[i].data.ptr, ev[i].events);
		else
			on_listener(f);
	}
	forward_bury(f);
}

/* ---- the handle ------------------------------------------------------------------------------------------- */

static void forward_free(struct watched *w)
{
	struct conker_forward *f = container_of(w, struct conker_forward, watched);

	pthread_mutex_destroy(&f->lock);
	free(f);
}

static void forward_on_events(struct watched *w)
{
	struct conker_forward *f = container_of(w, struct conker_forward, watched);

	pthread_mutex_lock(&f->lock);
	if (!f->closed)
		forward_turn(f);
	pthread_mutex_unlock(&f->lock);
}

static int listen_unix(struct conker_forward *f, const char *path, struct err *e)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(sa.sun_path))
		return err_set(e, ENAMETOOLONG, "'%.80s...' is longer than a socket's path may be",
			       path);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->listener < 0)
		return err_errno(e, "make a socket");
	if (bind(f->listener, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_errno(e, "listen on '%s'", path);
	memcpy(f->path, path, strlen(path) + 1); /* ours, to be removed */
	(void)snprintf(f->address, sizeof(f->address), "%s", path);
	return listen(f->listener, BACKLOG) < 0 ? err_errno(e, "listen on '%s'", path) : 0;
}

/* A host's address and port; by hand, because getaddrinfo() cannot be linked statically. */
union inet {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* "1.2.3.4:PORT" or "[V6]:PORT". */
static int parse_tcp(const char *address, union inet *ret, struct err *e)
{
	const char *colon = strrchr(address, ':'), *host = address;
	size_t len = colon ? (size_t)(colon - address) : 0;
	char buf[INET6_ADDRSTRLEN];
	uint64_t port;

	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	int r = colon ? num_parse(colon + 1, strlen(colon + 1), 10, UINT16_MAX, &port) : -EINVAL;
	if (r == -EINVAL || len == 0 || len >= sizeof(buf))
		return err_set(e, EINVAL, "'%.80s' is neither HOST:PORT nor a path", address);
	if (r < 0)
		return err_set(e, EINVAL, "'%.80s': a port is at most %d", address, UINT16_MAX);
	memcpy(buf, host, len);
	buf[len] = 0;
	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, buf, &ret->v4.sin_addr) == 1) {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = htons((uint16_t)port);
	} else if (inet_pton(AF_INET6, buf, &ret->v6.sin6_addr) == 1) {
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = htons((uint16_t)port);
	} else {
		return err_set(e, EINVAL, "'%s' is no numeric address", buf);
	}
	return 0;
}

static socklen_t size_of(const union inet *a)
{
	return a->any.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

static int name_tcp(struct conker_forward *f, struct err *e)
{
	union inet a = {0};
	socklen_t len = sizeof(a);
	char host[INET6_ADDRSTRLEN];

	if (getsockname(f->listener, &a.any, &len) < 0)
		return err_errno(e, "the listener's address");
	int is_v4 = a.any.sa_family == AF_INET;
	(void)inet_ntop(a.any.sa_family, is_v4 ? (void *)&a.v4.sin_addr : &a.v6.sin6_addr, host,
			sizeof(host));
	(void)snprintf(f->address, sizeof(f->address), is_v4 ? "%s:%u" : "[%s]:%u", host,
		       ntohs(is_v4 ? a.v4.sin_port : a.v6.sin6_port));
	return 0;
}

static int listen_tcp(struct conker_forward *f, const char *address, struct err *e)
{
	union inet a = {0};
	int one = 1, r = parse_tcp(address, &a, e);

	if (r < 0)
		return r;
	f->listener = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->listener < 0 ||
	    setsockopt(f->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(f->listener, &a.any, size_of(&a)) < 0 || listen(f->listener, BACKLOG) < 0)
		return err_errno(e, "listen on %s", address);
	return name_tcp(f, e);
}

static int forward_set_up(struct conker_forward *f, const char *address, struct err *e)
{
	int r = strchr(address, '/') ? listen_unix(f, address, e) : listen_tcp(f, address, e);

	if (r < 0)
		return r;
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = f};

	f->ep = epoll_create1(EPOLL_CLOEXEC);
	f->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (f->ep < 0 || f->timer < 0 || epoll_ctl(f->ep, EPOLL_CTL_ADD, f->timer, &ev) < 0)
		return err_errno(e, "make an epoll and its timer");
	watch_listener(f, EPOLL_CTL_ADD);
	return 0;
}

static void forward_close(struct conker_forward *f)
{
	for (struct connection *c = f->connections; c; c = c->next)
		connection_end(f, c, 1);
	f->closed = 1;
	f->paused = 0;
	forward_bury(f);
	if (f->waiting >= 0)
		reset_user(take_fd(f->waiting));
	if (f->timer >= 0)
		close(take_fd(f->timer));
	if (f->listener >= 0)
		close(take_fd(f->listener));
	if (f->ep >= 0)
		close(take_fd(f->ep));
	if (f->path[0])
		(void)unlink(f->path);
}

int conker_forward_open(conker_box *b, const char *address, uint16_t guest_port,
			conker_forward **ret)
{
	struct err *e;
	int r = box_enter(b, &e);

	if (r < 0)
		return r;
	if (!address || guest_port == 0 || !ret)
		return err_set(e, EINVAL, "no address, port 0, or nowhere to put the handle");
	struct conker_forward *f = calloc(1, sizeof(*f));
	if (!f)
		return err_set(e, ENOMEM, "no memory for a forward");
	*f = (struct conker_forward){
		.watched = {.on_events = forward_on_events, .free = forward_free},
		.box = box_of(b),
		.ep = -1,
		.listener = -1,
		.timer = -1,
		.waiting = -1,
		.port = guest_port,
	};
	pthread_mutex_init(&f->lock, NULL);
	r = forward_set_up(f, address, e);
	if (r == 0)
		r = watch_add(b, &f->watched, f->ep, e);
	if (r < 0) {
		forward_close(f);
		pthread_mutex_destroy(&f->lock);
		free(f);
		return r;
	}
	*ret = f;
	return 0;
}

const char *conker_forward_address(const conker_forward *f)
{
	return f ? f->address : "";
}

uint32_t conker_forward_connections(const conker_forward *f)
{
	if (!f)
		return 0;
	pthread_mutex_lock((pthread_mutex_t *)&f->lock);
	uint32_t n = f->n;
	pthread_mutex_unlock((pthread_mutex_t *)&f->lock);
	return n;
}

conker_forward *conker_forward_free(conker_forward *f)
{
	if (!f || f->watched.box->maker != getpid())
		return NULL;
	watch_del(&f->watched, f->ep);
	pthread_mutex_lock(&f->lock);
	forward_close(f);
	pthread_mutex_unlock(&f->lock);
	watch_unref(&f->watched);
	return NULL;
}
