/* SPDX-License-Identifier: Apache-2.0 */
/* wire.c - frames to and from guest-init over one Unix socket; docs/protocol.md has the messages.
 *
 * Out: a frame is packed into a buffer and sent at once; what the socket does not take waits there and
 * EPOLLOUT is asked for, which is legal while another thread sits in epoll_wait. Each kind of frame has
 * a limit of buffered bytes above which it is refused, data far below control, so that a signal passes
 * where no more stdin is taken.
 *
 * In: only the leader reads. Bytes go into one buffer, each whole frame is decoded into the arena (one
 * copy), checked there once, and handed on; nothing is kept beyond the callback.
 *
 * Duties: a guest that breaks the protocol loses its connection, and every conversation on it (ops->on_lost). A
 * frame for a conversation that is over, a late answer to a signal say, is none of our business and dropped.
 *
 * Limits: IN_BYTES and one arena in, whatever a guest sends; OUT_CONTROL_BYTES out.
 */
#include "lib/handle/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	IN_BYTES = 256 << 10,
	OUT_KEEP_BYTES = 128 << 10, /* of the buffer that a connection has all the time */
};

/* So stdin and credit that find no memory find other frames in the buffer, and with these a drain. */
_Static_assert((int)OUT_KEEP_BYTES > (int)FRAME_DATA_BYTES + 1024,
	       "an empty buffer takes any of them");

_Static_assert((int)IN_BYTES > (int)FRAME_SMALL_BYTES + (int)FRAME_HEADER_BYTES,
	       "every frame of the guest fits");

/* ---- conversations ---------------------------------------------------------------------------------- */

static struct chan **chan_bucket(struct wire *w, uint32_t number)
{
	return &w->chans[number % CHAN_BUCKETS];
}

struct chan *chan_find(struct wire *w, uint32_t number)
{
	struct chan *c = *chan_bucket(w, number);

	while (c && c->number != number)
		c = c->next;
	return c;
}

void chan_add(struct wire *w, struct chan *c, const struct chan_ops *ops)
{
	/* Numbers are not used again until all others were: an answer that comes late finds nobody. */
	do
		w->last_number++;
	while (w->last_number == 0 || chan_find(w, w->last_number));
	c->number = w->last_number;
	c->ops = ops;
	c->next = *chan_bucket(w, c->number);
	*chan_bucket(w, c->number) = c;
}

void chan_del(struct wire *w, struct chan *c)
{
	struct chan **p = chan_bucket(w, c->number);

	while (*p && *p != c)
		p = &(*p)->next;
	if (*p)
		*p = c->next;
	c->number = 0;
}

/* ---- out -------------------------------------------------------------------------------------------- */

static size_t out_pending(const struct wire *w)
{
	return w->out.tail - w->out.head;
}

ProtobufCBinaryData wire_text(const char *s)
{
	return (ProtobufCBinaryData){.len = s ? strlen(s) : 0, .data = (uint8_t *)s};
}

size_t wire_room(const struct wire *w, size_t limit)
{
	return out_pending(w) < limit ? limit - out_pending(w) : 0;
}

static void out_free(struct out *o)
{
	free(o->buf);
	memset(o, 0, sizeof(*o));
}

/* Room for n bytes at the tail. */
static int out_reserve(struct out *o, size_t n)
{
	if (o->cap - o->tail >= n)
		return 0;
	if (o->head > 0)
		memmove(o->buf, o->buf + o->head, o->tail - o->head);
	o->tail -= o->head;
	o->head = 0;
	if (o->cap - o->tail >= n)
		return 0;

	size_t cap = o->cap ? o->cap : OUT_KEEP_BYTES;
	while (cap - o->tail < n)
		cap *= 2;
	uint8_t *p = realloc(o->buf, cap);
	if (!p)
		return -ENOMEM;
	o->buf = p;
	o->cap = cap;
	return 0;
}

static void out_shrink(struct out *o)
{
	uint8_t *p = o->cap > OUT_KEEP_BYTES ? realloc(o->buf, OUT_KEEP_BYTES) : NULL;

	o->head = o->tail = 0;
	if (!p)
		return;
	o->buf = p;
	o->cap = OUT_KEEP_BYTES;
}

static void wire_arm(struct wire *w, int on)
{
	struct epoll_event ev = {.events = EPOLLIN | (on ? EPOLLOUT : 0), .data.u64 = w->tag};

	if (w->out_armed == on || w->over)
		return;
	/* Fails only when the fd is not in the set, which conn_over excludes. */
	(void)epoll_ctl(w->ep, EPOLL_CTL_MOD, w->conn, &ev);
	w->out_armed = on;
}

static void wire_tell_drain(struct wire *w)
{
	for (size_t i = 0; i < countof(w->chans); i++)
		for (struct chan *c = w->chans[i]; c; c = c->next)
			if (c->ops->on_drain)
				c->ops->on_drain(c);
}

void wire_flush(struct wire *w)
{
	struct out *o = &w->out;

	while (out_pending(w) > 0 && !w->over) {
		ssize_t n = send(w->conn, o->buf + o->head, out_pending(w),
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		/* A broken connection ends when reading, with what still arrived before it; also one
		 * whose other side only refuses to read. */
		if (n < 0)
			(void)shutdown(w->conn, SHUT_RDWR);
		o->head += n < 0 ? out_pending(w) : (size_t)n;
	}
	if (out_pending(w) == 0)
		out_shrink(o);
	wire_arm(w, out_pending(w) > 0);
	if (w->drain_wanted && out_pending(w) < OUT_DATA_BYTES / 2) {
		w->drain_wanted = 0;
		wire_tell_drain(w);
	}
}

int wire_send(struct wire *w, const Conker__ClientMsg *m, size_t limit)
{
	size_t n = codec_client_size(m);

	if (n > FRAME_MAX_BYTES + FRAME_HEADER_BYTES)
		return -E2BIG;
	if (w->over)
		return 0; /* its end is being told to everybody */
	if (out_pending(w) + n > limit)
		return -EAGAIN;
	int r = out_reserve(&w->out, n);
	if (r < 0)
		return r;
	w->out.tail += codec_client_put(m, w->out.buf + w->out.tail);
	wire_flush(w);
	return 0;
}

int wire_send_aside(struct wire *w, Conker__ClientMsg *m, size_t limit)
{
	struct chan c = {0};

	chan_add(w, &c, NULL);
	m->channel = c.number;
	chan_del(w, &c);
	return wire_send(w, m, limit);
}

/* ---- the connection ----------------------------------------------------------------------------------- */

void wire_init(struct wire *w, const struct wire_ops *ops)
{
	*w = (struct wire){.ops = ops, .ep = -1, .conn = -1, .over = 1};
}

void wire_fini(struct wire *w)
{
	out_free(&w->out);
	free(w->in);
	free(w->arena.base);
}

static int wire_send_hello(struct wire *w)
{
	Conker__Hello h = CONKER__HELLO__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;

	h.version = PROTO_VERSION;
	m.msg_case = CONKER__CLIENT_MSG__MSG_HELLO;
	m.hello = &h;
	return wire_send(w, &m, OUT_CONTROL_BYTES);
}

int wire_begin(struct wire *w, int ep, uint64_t tag)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = tag};

	w->ep = ep;
	w->tag = tag;
	w->in = malloc(IN_BYTES);
	w->arena.base = malloc(ARENA_MAX_BYTES); /* pages that are never touched cost nothing */
	w->arena.size_bytes = ARENA_MAX_BYTES;
	if (!w->in || !w->arena.base || out_reserve(&w->out, OUT_KEEP_BYTES) < 0)
		return -ENOMEM;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, w->conn, &ev) < 0)
		return -errno;
	w->over = 0;
	return wire_send_hello(w);
}

void wire_stop(struct wire *w)
{
	if (w->over)
		return;
	(void)epoll_ctl(w->ep, EPOLL_CTL_DEL, w->conn, NULL);
	(void)shutdown(w->conn,
		       SHUT_RDWR); /* the fd itself stays: another thread may be using it */
	w->over = 1;
	out_free(&w->out);
}

void wire_lose_all(struct wire *w, int code, const char *reason)
{
	struct chan *c;

	for (size_t i = 0; i < countof(w->chans); i++)
		while ((c = w->chans[i]))
			c->ops->on_lost(c, code, reason);
}

/* ---- in ----------------------------------------------------------------------------------------------- */

static void wire_broken(struct wire *w, const char *why)
{
	char text[TEXT_BYTES];

	(void)snprintf(text, sizeof(text), "guest-init broke the protocol: %.280s", why);
	w->ops->on_lost(w, EPROTO, text);
}

/* EAGAIN: it has too many connections, or is short of something else. */
static void wire_refused(struct wire *w, const Conker__Error *e)
{
	char text[TEXT_BYTES];
	int again = e->code == EAGAIN;

	(void)snprintf(text, sizeof(text),
		       again ? "guest-init closed the connection: %.200s"
			     : "it refused the connection: %.80s",
		       e->text);
	clean_text(text);
	if (again)
		w->ops->on_lost(w, EAGAIN, text);
	else
		wire_broken(w, text);
}

/* What precedes and surrounds all conversations. 1: m was one of these. */
static int wire_on_own_msg(struct wire *w, const Conker__ServerMsg *m)
{
	if (m->msg_case == CONKER__SERVER_MSG__MSG_ERROR && m->channel == 0) {
		wire_refused(w, m->error);
		return 1;
	}
	if (m->msg_case == CONKER__SERVER_MSG__MSG_HELLO) {
		if (w->hello_seen)
			wire_broken(w, "a second Hello");
		else if (m->hello->version != PROTO_VERSION)
			wire_broken(w, "it speaks another version; use the guest of this release");
		w->hello_seen = 1;
		return 1;
	}
	if (!w->hello_seen) {
		wire_broken(w, "no Hello");
		return 1;
	}
	return 0;
}

static void wire_on_msg(struct wire *w, const Conker__ServerMsg *m)
{
	const char *why = NULL;

	if (!wire_on_own_msg(w, m) && w->ops->on_msg(w, m, &why) < 0)
		wire_broken(w, why);
}

static void wire_on_frame(struct wire *w, const uint8_t *msg, size_t len)
{
	Conker__ServerMsg *m;
	uint32_t channel;
	const char *why;

	w->arena.used_bytes = 0;
	int r = codec_decode_server(msg, len, &w->arena, &m, &channel, &why);
	if (r == -ENOSYS)
		return; /* of a later version; by the version rules nothing depends on it */
	if (r < 0)
		wire_broken(w, why);
	else
		wire_on_msg(w, m);
}

static void wire_parse(struct wire *w)
{
	const uint8_t *msg;
	size_t msg_len, used, at = 0;
	int r = 0;

	while (!w->over) {
		r = frame_peek(w->in + at, w->in_len - at, FRAME_SMALL_BYTES, &msg, &msg_len,
			       &used);
		if (r <= 0)
			break;
		wire_on_frame(w, msg, msg_len);
		at += used;
	}
	if (r < 0)
		wire_broken(w, "a frame of impossible length");
	w->in_len -= at;
	memmove(w->in, w->in + at, w->in_len);
}

void wire_on_readable(struct wire *w)
{
	ssize_t n = recv(w->conn, w->in + w->in_len, IN_BYTES - w->in_len, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0) {
		w->ops->on_end(w);
		return;
	}
	w->in_len += (size_t)n;
	wire_parse(w);
}
