/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_mux.c - see vsock_mux.h.
 *
 * A link is a connection (vsock_conn.h: what to say) and a client's socket (where the bytes go).
 *
 * To the guest. Links with something to say stand in one queue, each at most once, and have one
 * packet per turn. No packet is kept: what to say is decided when the guest has a buffer for it,
 * so nothing is lost or reordered while it has none. Bytes are read from the client right into
 * that buffer, as many as buffer and credit take, which makes few and big packets of many small
 * writes.
 *
 * To the host. Bytes go straight from guest memory to the socket. What it does not take is stored,
 * at most VSOCK_BUF_BYTES, which is the credit the guest was given; so a client that does not read
 * stops its own connection and nobody else's.
 *
 * Events. Client sockets are edge-triggered: `readable` remembers the edge until read() says
 * EAGAIN, or fewer bytes than were asked for and no end was seen. A client whose bytes nobody can take now (no credit, no buffers) therefore costs
 * nothing, and there is nothing to disarm. EPOLLOUT is armed only while bytes are stored: the
 * kernel would report each read of the client otherwise.
 *
 * Ends. How a Unix socket and a stream end map onto each other:
 *
 *      client shuts down writing     SHUTDOWN(send), after its last byte
 *      client shuts down reading     SHUTDOWN(receive), when the guest sends
 *      client closes                 its last bytes, then SHUTDOWN(both); reset by the guest
 *      guest: SHUTDOWN(send)         the stored bytes, then end-of-file
 *      guest: SHUTDOWN(receive)      writing gives EPIPE
 *      guest: both, or RST           the stored bytes, then the socket is closed
 *
 * Slots. A host port is 2^30 + uses % 2^20 * 1024 + slot: finding a connection needs no search,
 * and a port comes back only after a million uses of its slot.
 *
 * Limits: VSOCK_CONNS_MAX, VSOCK_RSTS_MAX, VSOCK_BUF_BYTES per connection, the timeouts of
 * vsock_conn.h.
 *
 * #syscalls loop: accept4 readv sendmsg shutdown close poll timerfd_settime read
 */
#include "vmm/virtio/vsock_mux.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "proto/ports.h"
#include "util/cleanup.h"
#include "util/clock.h"

enum {
	PRIVILEGED_PORTS = 1024, /* a guest needs CAP_NET_BIND_SERVICE to call from below */
	ACCEPTS_PER_EVENT = 16,
	CLIENT_EVENTS = (int)(EPOLLIN | EPOLLRDHUP),
	PORT_SLOT_BITS = 10,
};
_Static_assert(VSOCK_CONNS_MAX == 1 << PORT_SLOT_BITS, "the slot is part of the port");

uint64_t vsock_mux_now_ms(void)
{
	return clock_now_ns() / 1000000;
}

/* ---- the timer ---- */

static void arm(struct vsock_mux *m, uint64_t at_ms)
{
	struct itimerspec t = {
		.it_value = {(time_t)(at_ms / 1000), (long)(at_ms % 1000) * 1000000},
	};

	if (m->timer_at_ms && m->timer_at_ms <= at_ms)
		return;
	m->timer_at_ms = at_ms;
	(void)timerfd_settime(m->timer.fd, TFD_TIMER_ABSTIME, &t, NULL); /* fails only if misused */
}

void vsock_mux_wake(struct vsock_mux *m, uint64_t at_ms)
{
	arm(m, at_ms ? at_ms : 1); /* 1: long ago, so it expires at once */
}

/* ---- segments ---- */

/* Limits v to max bytes in all; returns how many segments remain. */
static unsigned trim(struct iovec *v, unsigned nv, size_t max)
{
	for (unsigned i = 0; i < nv; i++) {
		if (v[i].iov_len >= max) {
			v[i].iov_len = max;
			return max ? i + 1 : i;
		}
		max -= v[i].iov_len;
	}
	return nv;
}

static size_t iov_bytes(const struct iovec *v, unsigned nv)
{
	size_t n = 0;

	while (nv--)
		n += (v++)->iov_len;
	return n;
}

/* The stored bytes. */
static unsigned store_segs(const struct vsock_link *l, struct iovec ret[2])
{
	uint32_t n = min_(l->stored, VSOCK_BUF_BYTES - l->first);

	ret[0] = (struct iovec){l->store + l->first, n};
	ret[1] = (struct iovec){l->store, l->stored - n};
	return l->stored > n ? 2 : 1;
}

static void store_bytes(struct vsock_link *l, const uint8_t *from, size_t n)
{
	assert(n <= VSOCK_BUF_BYTES - l->stored); /* vsock_conn_recv() saw to it */
	while (n) {
		uint32_t at = (l->first + l->stored) % VSOCK_BUF_BYTES;
		size_t part = min_(n, (size_t)(VSOCK_BUF_BYTES - at));

		memcpy(l->store + at, from, part);
		l->stored += (uint32_t)part;
		from += part;
		n -= part;
	}
}

/* ---- life of a link ---- */

static void close_client(struct vsock_link *l)
{
	if (l->fd < 0)
		return;
	loop_del(l->mux->loop, &l->src);
	close(take_fd(l->fd));
	free(take_ptr(l->store));
	vsock_conn_forwarded(&l->conn, l->stored); /* to nowhere */
	l->stored = 0;
	l->readable = l->blocked = false;
}

static void release(struct vsock_link *l)
{
	struct vsock_mux *m = l->mux;

	l->used = false;
	l->next = m->free;
	m->free = l;
	vsock_mux_set_doors(m);
}

void vsock_mux_enqueue(struct vsock_link *l)
{
	struct vsock_mux *m = l->mux;

	if (l->queued)
		return;
	l->queued = true;
	l->next = NULL;
	*m->ready_tail = l;
	m->ready_tail = &l->next;
}

static struct vsock_link *dequeue(struct vsock_mux *m)
{
	struct vsock_link *l = m->ready;

	m->ready = l->next;
	if (!m->ready)
		m->ready_tail = &m->ready;
	l->queued = false;
	return l;
}

/* The client is gone, or nothing can pass in either direction any more. */
static void on_gone(struct vsock_link *l)
{
	struct vsock_conn *c = &l->conn;

	if (vsock_conn_credit(c))
		return; /* its last bytes first, and then its end: pull() meets it */
	vsock_conn_host_shut(c, c->guest_shut & VSOCK_SHUT_RCV ? VSOCK_SHUT_BOTH : VSOCK_SHUT_RCV,
			     vsock_mux_now_ms());
}

/* Draws the conclusions after anything happened to l: the one place that closes, frees and queues.
 * l may be free on return. */
static void update(struct vsock_link *l)
{
	struct vsock_conn *c = &l->conn;

	if (l->gone && c->state == VSOCK_OPEN)
		on_gone(l);
	if (c->state == VSOCK_CLOSING || (c->state == VSOCK_CLOSED && !l->stored))
		close_client(l);
	if (l->fd >= 0 && c->guest_shut & VSOCK_SHUT_SEND && !l->stored && !l->ended) {
		l->ended = true;
		(void)shutdown(l->fd, SHUT_WR); /* fails when the client is gone: no matter */
	}
	if (l->readable && !vsock_conn_credit(c))
		vsock_conn_stalled(c, vsock_mux_now_ms());
	if (c->deadline_ms)
		arm(l->mux, c->deadline_ms);
	if (c->say || (l->readable && vsock_conn_credit(c)))
		vsock_mux_enqueue(l);
	if (c->state == VSOCK_CLOSED && l->fd < 0 && !l->queued)
		release(l);
}

/* ---- guest to host ---- */

/* The client takes no more: what is stored for it goes nowhere. One that is still there, because it
 * was the host that refused, must not wait for the rest. */
static void discard(struct vsock_link *l)
{
	l->stored = 0;
	(void)shutdown(l->fd, SHUT_WR);
	vsock_conn_host_shut(&l->conn, VSOCK_SHUT_RCV, vsock_mux_now_ms());
	vsock_conn_forwarded(&l->conn, l->conn.received - l->conn.forwarded);
}

/* Bytes the client took, 0 when it blocks, -errno when it takes no more for good. */
static ssize_t give(struct vsock_link *l, const struct iovec *v, unsigned nv)
{
	struct msghdr h = {.msg_iov = (struct iovec *)v, .msg_iovlen = nv};
	ssize_t n = sendmsg(l->fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* Wanting EPOLLOUT: the modification itself looks at the socket, so no edge is lost. */
static void set_blocked(struct vsock_link *l, bool blocked)
{
	uint32_t events = CLIENT_EVENTS | EPOLLET | (blocked ? EPOLLOUT : 0);

	if (l->blocked != blocked && loop_mod(l->mux->loop, &l->src, events) == 0)
		l->blocked = blocked;
}

/* Payload that the connection accepted: passed on, the rest stored. */
static void push(struct vsock_link *l, const struct iovec *v, unsigned nv)
{
	ssize_t n = l->stored ? 0 : give(l, v, nv);

	if (n < 0) {
		discard(l);
		return;
	}
	vsock_conn_forwarded(&l->conn, (uint32_t)n);
	for (size_t skip = (size_t)n; nv; nv--, v++) {
		size_t part = min_(skip, v->iov_len);

		skip -= part;
		store_bytes(l, (const uint8_t *)v->iov_base + part, v->iov_len - part);
	}
	set_blocked(l, l->stored);
}

static void flush(struct vsock_link *l)
{
	struct iovec v[2];
	ssize_t n = 1;

	while (l->stored && n > 0) {
		n = give(l, v, store_segs(l, v));
		if (n < 0) {
			discard(l);
			break;
		}
		l->first = (l->first + (uint32_t)n) % VSOCK_BUF_BYTES;
		l->stored -= (uint32_t)n;
		vsock_conn_forwarded(&l->conn, (uint32_t)n);
	}
	set_blocked(l, l->stored);
}

/* ---- host to guest ---- */

/* The client sent its last byte. Did it only end writing, or is it gone? Asking the kernel costs
 * one call here and saves the guest a second packet. */
static void on_end(struct vsock_link *l)
{
	struct pollfd p = {.fd = l->fd};

	l->readable = false;
	if (poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR))
		l->gone = true;
	vsock_conn_host_shut(&l->conn, l->gone ? VSOCK_SHUT_BOTH : VSOCK_SHUT_SEND,
			     vsock_mux_now_ms());
}

/* One packet of the client's bytes. */
static bool pull(struct vsock_link *l, struct iovec *v, unsigned nv, struct vsock_pkt *ret)
{
	uint32_t credit = vsock_conn_credit(&l->conn);

	if (!l->readable || !credit)
		return false;

	nv = trim(v, nv, min_(credit, (uint32_t)VSOCK_PAYLOAD_MAX));
	ssize_t n = readv(l->fd, v, (int)nv);
	if (n > 0) {
		if (!l->ending && (size_t)n < iov_bytes(v, nv))
			l->readable = false; /* what comes now is a new edge */
		vsock_conn_data(&l->conn, (uint32_t)n, ret);
		return true;
	}
	if (n < 0 && errno == EAGAIN)
		l->readable = false;
	else if (n == 0 || errno != EINTR)
		on_end(l);
	return false;
}

static bool speak(struct vsock_link *l, struct iovec *v, unsigned nv, struct vsock_pkt *ret)
{
	struct vsock_conn *c = &l->conn;

	/* The last bytes of a client that is gone come first, so that its end is one packet. */
	if (!l->gone && vsock_conn_say(c, ret))
		return true;
	return pull(l, v, nv, ret) || vsock_conn_say(c, ret) || vsock_conn_say_credit(c, ret);
}

bool vsock_mux_has_work(const struct vsock_mux *m)
{
	return m->nrsts || m->ready;
}

bool vsock_mux_next(struct vsock_mux *m, struct iovec *v, unsigned nv, struct vsock_pkt *ret)
{
	if (m->nrsts) {
		*ret = m->rst[m->first_rst];
		m->first_rst = (m->first_rst + 1) % VSOCK_RSTS_MAX;
		m->nrsts--;
		return true;
	}
	while (m->ready) {
		struct vsock_link *l = dequeue(m);
		bool spoke = speak(l, v, nv, ret);

		update(l);
		if (!spoke)
			continue;
		ret->src_cid = VSOCK_HOST_CID;
		ret->dst_cid = m->guest_cid;
		return true;
	}
	return false;
}

static void on_host(struct loop_src *s, uint32_t revents)
{
	struct vsock_link *l = container_of(s, struct vsock_link, src);
	struct vsock_mux *m = l->mux;

	if (revents & (EPOLLHUP | EPOLLERR))
		l->gone = true;
	if (revents & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		l->ending = true;
	if (revents & ~(uint32_t)EPOLLOUT)
		l->readable = true;
	flush(l);
	update(l);
	m->on_work(m);
}

/* ---- packets from the guest ---- */

static struct vsock_link *link_find(const struct vsock_mux *m, const struct vsock_pkt *p)
{
	struct vsock_link *l = &m->link[p->dst_port % VSOCK_CONNS_MAX];

	if (p->dst_cid != VSOCK_HOST_CID || p->type != VSOCK_TYPE_STREAM || !l->used ||
	    l->conn.host_port != p->dst_port || l->conn.guest_port != p->src_port)
		return NULL;
	return l;
}

static void owe_rst(struct vsock_mux *m, const struct vsock_pkt *p)
{
	assert(vsock_mux_has_room(m));
	m->rst[(m->first_rst + m->nrsts++) % VSOCK_RSTS_MAX] = vsock_pkt_rst(p);
}

static void on_ring(struct vsock_mux *m)
{
	void (*tell)(void *user) = take_ptr(m->on_ready);

	m->rung = true;
	vsock_mux_set_doors(m);
	if (tell)
		tell(m->user);
}

/* A packet of no connection. The guest's requests for host ports arrive here: a service of the host
 * would be looked up by p->dst_port and a link made for it; there is none, so all are refused. */
static void on_stranger(struct vsock_mux *m, const struct vsock_pkt *p)
{
	if (p->op == VSOCK_OP_RST)
		return;
	bool privileged = p->op == VSOCK_OP_REQUEST && p->src_port < PRIVILEGED_PORTS;
	if (privileged && p->dst_port == PORT_READY)
		on_ring(m);
	if (privileged && p->dst_port == PORT_SUSPEND && m->on_suspend)
		m->on_suspend(m->user);
	owe_rst(m, p);
}

bool vsock_mux_has_room(const struct vsock_mux *m)
{
	return m->nrsts < VSOCK_RSTS_MAX;
}

void vsock_mux_recv(struct vsock_mux *m, enum vsock_verdict verdict, const struct vsock_pkt *p,
		    const struct iovec *v, unsigned nv)
{
	struct vsock_link *l = verdict == VSOCK_PKT_DROP ? NULL : link_find(m, p);

	if (!l) {
		if (verdict == VSOCK_PKT_RST)
			owe_rst(m, p);
		else if (verdict == VSOCK_PKT_OK)
			on_stranger(m, p);
		return;
	}
	if (verdict == VSOCK_PKT_RST) {
		vsock_conn_abort(&l->conn);
	} else {
		unsigned todo = vsock_conn_recv(&l->conn, p);

		if (l == m->kept && todo) { /* it was quiet; now there is nobody to hear it */
			vsock_conn_abort(&l->conn);
			todo = 0;
		}
		if (todo & VSOCK_DO_STORE)
			push(l, v, nv);
		if (todo & VSOCK_DO_STOP_READ)
			(void)shutdown(l->fd, SHUT_RD); /* fails when the client is gone */
	}
	if (l == m->kept && l->conn.state != VSOCK_OPEN)
		m->kept = NULL;
	update(l);
}

/* ---- clients ---- */

/* Takes fd, unless the host has no resources: -errno. */
static int attach(struct vsock_link *l, int fd)
{
	l->store = malloc(VSOCK_BUF_BYTES); /* its pages cost when they are used */
	int r = l->store ? loop_add(l->mux->loop, &l->src, fd, CLIENT_EVENTS | EPOLLET, on_host)
			 : -ENOMEM;

	if (r < 0)
		free(take_ptr(l->store));
	else
		l->fd = fd;
	return r;
}

/* The client goes on where the one before the snapshot stood. */
static int adopt(struct vsock_mux *m, int fd)
{
	int r = attach(m->kept, fd);

	if (r == 0)
		m->kept = NULL;
	return r;
}

static int add_link(struct vsock_mux *m, int fd, uint32_t port)
{
	struct vsock_link *l = m->free;

	l->mux = m;
	int r = attach(l, fd);
	if (r < 0)
		return r;
	m->free = l->next;

	uint32_t slot = (uint32_t)(l - m->link);
	uint32_t uses = l->uses++ % VSOCK_PORT_USES;

	if (m->nslots <= slot)
		m->nslots = slot + 1;
	*l = (struct vsock_link){
		.src = l->src,
		.mux = m,
		.fd = fd,
		.store = l->store,
		.uses = l->uses,
		.used = true,
	};
	vsock_conn_init(&l->conn, VSOCK_PORT_FIRST + (uses << PORT_SLOT_BITS) + slot, port,
			vsock_mux_now_ms());
	update(l);
	return 0;
}

/* Takes fd in any case. */
static void add_client(struct vsock_mux *m, int client, uint32_t port)
{
	auto_close int fd = client;
	int r = m->kept && m->kept->conn.guest_port == port ? adopt(m, fd) : add_link(m, fd, port);

	if (r == 0)
		take_fd(fd); /* else the client sees its connection closed */
}

static void on_client(struct loop_src *s, uint32_t revents)
{
	struct vsock_door *d = container_of(s, struct vsock_door, src);
	struct vsock_mux *m = d->mux;

	(void)revents;
	for (int i = 0; i < ACCEPTS_PER_EVENT && m->free; i++) {
		int fd = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			add_client(m, fd, d->port);
		} else if (errno != EINTR && errno != ECONNABORTED) {
			if (errno !=
			    EAGAIN) /* EMFILE and the like: the event would come back at once */
				m->closed_till_ms = vsock_mux_now_ms() + VSOCK_ACCEPT_RETRY_MS;
			break;
		}
	}
	vsock_mux_set_doors(m);
	m->on_work(m);
}

void vsock_mux_set_doors(struct vsock_mux *m)
{
	bool open = m->rung && m->free && !m->closed_till_ms;

	if (m->closed_till_ms)
		arm(m, m->closed_till_ms);
	if (open == m->open)
		return;
	m->open = open;
	for (unsigned i = 0; i < m->ndoors; i++) {
		struct vsock_door *d = &m->door[i];

		if (!open)
			loop_del(m->loop, &d->src);
		else if (loop_add(m->loop, &d->src, d->fd, EPOLLIN, on_client) < 0)
			m->closed_till_ms = vsock_mux_now_ms() + VSOCK_ACCEPT_RETRY_MS;
	}
	if (open && m->closed_till_ms)
		vsock_mux_set_doors(m);
}

/* ---- time ---- */

void vsock_mux_expire(struct vsock_mux *m, uint64_t now_ms)
{
	for (struct vsock_link *l = m->link; l < m->link + m->nslots; l++) {
		if (!l->used)
			continue;
		vsock_conn_expire(&l->conn, now_ms);
		update(l);
	}
	if (m->closed_till_ms && m->closed_till_ms <= now_ms)
		m->closed_till_ms = 0;
	vsock_mux_set_doors(m);
}

static void on_timer(struct loop_src *s, uint32_t revents)
{
	struct vsock_mux *m = container_of(s, struct vsock_mux, timer);
	uint64_t expirations;

	(void)revents;
	(void)!read(s->fd, &expirations, sizeof(expirations)); /* only resets it */
	m->timer_at_ms = 0;
	vsock_mux_expire(m, vsock_mux_now_ms());
	m->on_work(m);
}

/* ---- life of the whole ---- */

void vsock_mux_free_links(struct vsock_mux *m)
{
	m->free = NULL;
	for (struct vsock_link *l = m->link + VSOCK_CONNS_MAX; l-- > m->link;) {
		if (l->used)
			continue;
		l->next = m->free;
		m->free = l;
	}
}

static void drop_links(struct vsock_mux *m)
{
	m->nrsts = 0;
	m->kept = NULL;
	m->ready = NULL;
	m->ready_tail = &m->ready;
	for (struct vsock_link *l = m->link; l < m->link + m->nslots; l++) {
		if (!l->used)
			continue;
		close_client(l);
		l->queued = false;
		release(l);
	}
}

void vsock_mux_reset(struct vsock_mux *m)
{
	m->rung = false;
	drop_links(m);
	vsock_mux_set_doors(m);
}

static int init_links(struct vsock_mux *m)
{
	m->ready_tail = &m->ready;
	m->link = calloc(VSOCK_CONNS_MAX, sizeof(*m->link));
	if (!m->link)
		return -ENOMEM;
	for (struct vsock_link *l = m->link; l < m->link + VSOCK_CONNS_MAX; l++) {
		l->mux = m;
		l->fd = l->src.fd = -1;
	}
	vsock_mux_free_links(m);
	return 0;
}

static int init_timer(struct vsock_mux *m)
{
	auto_close int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	int r = loop_add(m->loop, &m->timer, fd, EPOLLIN, on_timer);
	if (r == 0)
		take_fd(fd);
	return r;
}

static int init_doors(struct vsock_mux *m)
{
	for (unsigned i = 0; i < m->ndoors; i++) {
		int flags = fcntl(m->door[i].fd, F_GETFL);

		if (flags < 0 || fcntl(m->door[i].fd, F_SETFL, flags | O_NONBLOCK) < 0)
			return -errno;
	}
	return 0;
}

int vsock_mux_init(struct vsock_mux *m, struct loop *loop, const struct vsock_config *c,
		   void (*on_work)(struct vsock_mux *m), struct err *e)
{
	assert(c->nlisteners <= VSOCK_LISTENERS_MAX);
	*m = (struct vsock_mux){
		.loop = loop,
		.on_work = on_work,
		.on_ready = c->on_ready,
		.on_suspend = c->on_suspend,
		.user = c->user,
		.guest_cid = c->guest_cid,
		.timer.fd = -1,
		.ndoors = c->nlisteners,
	};
	for (unsigned i = 0; i < m->ndoors; i++)
		m->door[i] = (struct vsock_door){
			.src.fd = -1,
			.mux = m,
			.fd = c->listener[i].fd,
			.port = c->listener[i].port,
		};
	int r = init_links(m);
	if (r == 0)
		r = init_timer(m);
	if (r == 0)
		r = init_doors(m);
	return r < 0 ? err_set(e, -r, "vsock: %s", strerror(-r)) : 0;
}

void vsock_mux_fini(struct vsock_mux *m)
{
	if (!m->loop)
		return;
	vsock_mux_reset(m);
	for (unsigned i = 0; i < m->ndoors; i++)
		close(m->door[i].fd);
	m->ndoors = 0;
	if (m->timer.fd >= 0) {
		int fd = m->timer.fd;

		loop_del(m->loop, &m->timer);
		close(fd);
	}
	free(take_ptr(m->link));
	m->free = NULL;
}
