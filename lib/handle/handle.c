/* SPDX-License-Identifier: Apache-2.0 */
/* handle.c - a handle made, connected, lost and given back. What it is a handle on is the business of whoever embeds
 * it (struct box_ops).
 */
#include "lib/handle/handle.h"
#include "lib/host/boxdir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

void box_lose(conker_box *b, int code, const char *reason)
{
	if (b->lost)
		return;
	b->lost = code;
	(void)snprintf(b->reason, sizeof(b->reason), "%s", reason);
	wire_lose_all(&b->wire, code, reason);
	wait_wake(b);
	wait_broadcast(b);
}

/* ---- what the wire says ------------------------------------------------------------------------------- */

static int handle_on_msg(struct wire *w, const Conker__ServerMsg *m, const char **ret_why)
{
	conker_box *b = container_of(w, conker_box, wire);

	pthread_mutex_lock(&b->lock);
	struct chan *c = chan_find(w, m->channel);
	int r = c ? c->ops->on_msg(c, m, ret_why) : 0;
	box_unlock(b);
	return r;
}

static void handle_on_lost(struct wire *w, int code, const char *reason)
{
	conker_box *b = container_of(w, conker_box, wire);

	pthread_mutex_lock(&b->lock);
	wire_stop(w);
	box_lose(b, code, reason);
	box_unlock(b);
}

static void handle_on_end(struct wire *w)
{
	conker_box *b = container_of(w, conker_box, wire);

	pthread_mutex_lock(&b->lock);
	int known = w->over || b->lost;
	wire_stop(w);
	box_unlock(b);
	if (!known)
		b->ops->on_conn_end(b);
}

static const struct wire_ops handle_wire_ops = {handle_on_msg, handle_on_lost, handle_on_end};

int handle_begin(conker_box *b, int conn)
{
	pthread_mutex_lock(&b->lock);
	b->wire.conn = conn;
	int r = wire_begin(&b->wire, b->ep, SRC_CONN);
	box_unlock(b);
	return r;
}

int handle_connect(conker_box *b, int dir, struct err *e)
{
	int fd = boxdir_connect(dir, "exec.sock", SOCK_STREAM | SOCK_NONBLOCK);

	if (fd < 0)
		return err_set(e, -fd, "connect to the box: %s", strerror(-fd));
	int r = handle_begin(b, fd);
	return r < 0 ? err_set(e, -r, "begin the conversation with the box: %s", strerror(-r)) : 0;
}

/* ---- beginning and end -------------------------------------------------------------------------------- */

int box_watch(conker_box *b, int fd, uint32_t src, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.u64 = src};

	return epoll_ctl(b->ep, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int handle_init(conker_box *b, const struct box_ops *ops)
{
	pthread_condattr_t ca;

	*b = (conker_box){.ops = ops,
			  .maker = getpid(),
			  .refs = 1,
			  .due_tail = &b->due,
			  .ep = -1,
			  .wake = -1};
	wire_init(&b->wire, &handle_wire_ops);
	pthread_mutex_init(&b->lock, NULL);
	pthread_condattr_init(&ca);
	pthread_condattr_setclock(&ca, CLOCK_MONOTONIC);
	pthread_cond_init(&b->changed, &ca);
	pthread_condattr_destroy(&ca);
	b->ep = epoll_create1(EPOLL_CLOEXEC);
	if (b->ep < 0)
		return -errno;
	b->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->wake < 0)
		return -errno;
	return box_watch(b, b->wake, SRC_WAKE, EPOLLIN);
}

void handle_close_fds(conker_box *b)
{
	int *all[] = {&b->ep, &b->wake, &b->wire.conn};

	for (size_t i = 0; i < countof(all); i++)
		if (*all[i] >= 0)
			close(take_fd(*all[i]));
}

void handle_fini(conker_box *b)
{
	handle_close_fds(b);
	wire_fini(&b->wire);
	pthread_cond_destroy(&b->changed);
	pthread_mutex_destroy(&b->lock);
}
