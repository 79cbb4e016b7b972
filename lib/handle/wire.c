/* wire.c - frames to and from guest-init over one Unix socket.
 *
 * Out: a frame is packed into a buffer and sent at once; what the socket does not take waits there and
 * EPOLLOUT is asked for, which is legal while another thread sits in epoll_wait. Each kind of frame has
 * a limit of buffered bytes above which it is refused, data far below control, so that a signal passes
 * where no more stdin is taken.
 *
 * In: only the leader reads. Bytes go into one buffer, each whole frame is decoded into the arena (one
 * copy), checked there once, and handed on; nothing is kept beyond the callback. The guest cannot make
 * us hold more than the buffer and the arena.
 *
 * A guest that breaks the protocol loses its connection, and every execution with it; a frame for a
 * conversation that is over (a late answer to a signal, say) is none of our business and dropped.
 */
#include "lib/handle/exec.h"
#include "lib/handle/request.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/cleanup.h"

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

static struct chan **bucket(conker_box *b, uint32_t number)
{
	return &b->chans[number % CHAN_BUCKETS];
}

struct chan *chan_find(conker_box *b, uint32_t number)
{
	struct chan *c = *bucket(b, number);

	while (c && c->number != number)
		c = c->next;
	return c;
}

void chan_add(conker_box *b, struct chan *c, enum chan_kind kind)
{
	/* Numbers are not used again until all others were: an answer that comes late finds nobody. */
	do
		b->last_number++;
	while (b->last_number == 0 || chan_find(b, b->last_number));
	c->number = b->last_number;
	c->kind = kind;
	c->next = *bucket(b, c->number);
	*bucket(b, c->number) = c;
}

void chan_del(conker_box *b, struct chan *c)
{
	struct chan **p = bucket(b, c->number);

	while (*p && *p != c)
		p = &(*p)->next;
	if (*p)
		*p = c->next;
	c->number = 0;
}

/* ---- out -------------------------------------------------------------------------------------------- */

static size_t pending(const conker_box *b)
{
	return b->out.tail - b->out.head;
}

size_t wire_room(const conker_box *b, size_t limit)
{
	return pending(b) < limit ? limit - pending(b) : 0;
}

void out_free(struct out *o)
{
	free(o->buf);
	memset(o, 0, sizeof(*o));
}

/* Room for n bytes at the tail. */
static int reserve(struct out *o, size_t n)
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

static void shrink(struct out *o)
{
	uint8_t *p = o->cap > OUT_KEEP_BYTES ? realloc(o->buf, OUT_KEEP_BYTES) : NULL;

	o->head = o->tail = 0;
	if (!p)
		return;
	o->buf = p;
	o->cap = OUT_KEEP_BYTES;
}

static void arm(conker_box *b, int on)
{
	struct epoll_event ev = {.events = EPOLLIN | (on ? EPOLLOUT : 0), .data.u32 = SRC_CONN};

	if (b->out_armed == on || b->conn_over)
		return;
	/* Fails only when the fd is not in the set, which conn_over excludes. */
	(void)epoll_ctl(b->ep, EPOLL_CTL_MOD, b->conn, &ev);
	b->out_armed = on;
}

void wire_flush(conker_box *b)
{
	struct out *o = &b->out;

	while (pending(b) > 0 && !b->conn_over) {
		ssize_t n =
			send(b->conn, o->buf + o->head, pending(b), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		/* A broken connection ends when reading, with what still arrived before it; also one
		 * whose other side only refuses to read. */
		if (n < 0)
			(void)shutdown(b->conn, SHUT_RDWR);
		o->head += n < 0 ? pending(b) : (size_t)n;
	}
	if (pending(b) == 0)
		shrink(o);
	arm(b, pending(b) > 0);
	if (b->drain_wanted && pending(b) < OUT_DATA_BYTES / 2) {
		b->drain_wanted = 0;
		flow_on_drain(b);
	}
}

int wire_send(conker_box *b, const Conker__ClientMsg *m, size_t limit)
{
	size_t n = codec_client_size(m);

	if (n > FRAME_MAX_BYTES + FRAME_HEADER_BYTES)
		return -E2BIG;
	if (b->conn_over)
		return 0; /* its end is being told to everybody */
	if (pending(b) + n > limit)
		return -EAGAIN;
	int r = reserve(&b->out, n);
	if (r < 0)
		return r;
	b->out.tail += codec_client_put(m, b->out.buf + b->out.tail);
	wire_flush(b);
	return 0;
}

/* ---- the connection ----------------------------------------------------------------------------------- */

static int send_hello(conker_box *b)
{
	Conker__Hello h = CONKER__HELLO__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;

	h.version = PROTO_VERSION;
	m.msg_case = CONKER__CLIENT_MSG__MSG_HELLO;
	m.hello = &h;
	pthread_mutex_lock(&b->lock);
	int r = wire_send(b, &m, OUT_CONTROL_BYTES);
	box_unlock(b);
	return r;
}

int wire_begin(conker_box *b)
{
	b->in = malloc(IN_BYTES);
	b->arena.base = malloc(ARENA_MAX_BYTES); /* pages that are never touched cost nothing */
	b->arena.size_bytes = ARENA_MAX_BYTES;
	if (!b->in || !b->arena.base || reserve(&b->out, OUT_KEEP_BYTES) < 0)
		return -ENOMEM;
	int r = box_watch(b, b->conn, SRC_CONN, EPOLLIN);
	if (r < 0)
		return r;
	b->conn_over = 0;
	return send_hello(b);
}

int wire_connect(conker_box *b, struct err *e)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_errno(e, "make a socket");
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/exec.sock", b->dir);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_errno(e, "connect to the box");
	b->conn = take_fd(fd);
	int r = wire_begin(b);
	return r < 0 ? err_set(e, -r, "begin the conversation with the box: %s", strerror(-r)) : 0;
}

void wire_stop(conker_box *b)
{
	if (b->conn_over)
		return;
	(void)epoll_ctl(b->ep, EPOLL_CTL_DEL, b->conn, NULL);
	(void)shutdown(b->conn,
		       SHUT_RDWR); /* the fd itself stays: another thread may be using it */
	b->conn_over = 1;
	out_free(&b->out);
}

/* ---- in ----------------------------------------------------------------------------------------------- */

static void broken(conker_box *b, const char *why)
{
	char text[TEXT_BYTES];

	(void)snprintf(text, sizeof(text), "guest-init broke the protocol: %s", why);
	pthread_mutex_lock(&b->lock);
	wire_stop(b);
	box_lose(b, EPROTO, text);
	box_unlock(b);
}

/* It has too many connections, or is short of something else. */
static void turned_away(conker_box *b, const Conker__Error *e)
{
	char text[TEXT_BYTES];

	(void)snprintf(text, sizeof(text), "guest-init closed the connection: %.200s", e->text);
	clean_text(text);
	pthread_mutex_lock(&b->lock);
	wire_stop(b);
	box_lose(b, EAGAIN, text);
	box_unlock(b);
}

/* What precedes and surrounds all conversations. 1: m was one of these. */
static int on_connection_msg(conker_box *b, const Conker__ServerMsg *m)
{
	char text[128];

	if (m->msg_case == CONKER__SERVER_MSG__MSG_ERROR && m->channel == 0 &&
	    m->error->code == EAGAIN) {
		turned_away(b, m->error);
		return 1;
	}
	if (m->msg_case == CONKER__SERVER_MSG__MSG_ERROR && m->channel == 0) {
		(void)snprintf(text, sizeof(text), "it refused the connection: %.80s",
			       m->error->text);
		clean_text(text);
		broken(b, text);
		return 1;
	}
	if (m->msg_case == CONKER__SERVER_MSG__MSG_HELLO) {
		if (b->hello_seen)
			broken(b, "a second Hello");
		else if (m->hello->version != PROTO_VERSION)
			broken(b, "it speaks another version; use the guest of this release");
		b->hello_seen = 1;
		return 1;
	}
	if (!b->hello_seen) {
		broken(b, "no Hello");
		return 1;
	}
	return 0;
}

static void on_msg(conker_box *b, const Conker__ServerMsg *m)
{
	const char *why = NULL;
	int r = 0;

	if (on_connection_msg(b, m))
		return;
	pthread_mutex_lock(&b->lock);
	struct chan *c = chan_find(b, m->channel);
	if (c && c->kind == CHAN_EXEC) {
		struct conker_exec *e = container_of(c, struct conker_exec, chan);
		exec_ref(e); /* it may end, and be freed by its callback */
		r = exec_on_msg(e, m, &why);
		exec_unref(e);
	} else if (c) {
		r = request_on_msg(container_of(c, struct request, chan), m, &why);
		wait_broadcast(b);
	}
	box_unlock(b);
	if (r < 0)
		broken(b, why);
}

static void on_frame(conker_box *b, const uint8_t *msg, size_t len)
{
	Conker__ServerMsg *m;
	uint32_t channel;
	const char *why;

	b->arena.used_bytes = 0;
	int r = codec_decode_server(msg, len, &b->arena, &m, &channel, &why);
	if (r == -ENOSYS)
		return; /* of a later version; by the version rules nothing depends on it */
	if (r < 0)
		broken(b, why);
	else
		on_msg(b, m);
}

static void parse(conker_box *b)
{
	const uint8_t *msg;
	size_t msg_len, used, at = 0;
	int r = 0;

	while (!b->conn_over) {
		r = frame_peek(b->in + at, b->in_len - at, FRAME_SMALL_BYTES, &msg, &msg_len,
			       &used);
		if (r <= 0)
			break;
		on_frame(b, msg, msg_len);
		at += used;
	}
	if (r < 0)
		broken(b, "a frame of impossible length");
	b->in_len -= at;
	memmove(b->in, b->in + at, b->in_len);
}

void wire_on_readable(conker_box *b)
{
	ssize_t n = recv(b->conn, b->in + b->in_len, IN_BYTES - b->in_len, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0) {
		box_on_conn_end(b);
		return;
	}
	b->in_len += (size_t)n;
	parse(b);
}
