/* clients.c - what a client asks, and how answers leave. */
#include "guest-init/serve/clients.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest-init/exec/stdin.h"
#include "guest-init/serve/listing.h"
#include "guest-init/exec/output.h"
#include "guest-init/serve/server.h"
#include "guest-init/serve/stats.h"
#include "guest-init/sys/sys.h"

/* ---- answers ---- */

static void put(struct client *c, const Conker__ServerMsg *m)
{
	size_t n = codec_server_size(m);

	outbox_commit(&c->out, codec_server_put(m, outbox_room(&c->out, n)));
}

void client_send(struct client *c, const Conker__ServerMsg *m)
{
	put(c, m);
	c->urgent = 1;
}

void client_send_lazy(struct server *s, struct client *c, const Conker__ServerMsg *m)
{
	if (outbox_pending(&c->out) == 0) {
		s->now_us = now_us(); /* a start may have taken long */
		c->lazy_us = s->now_us + ms_to_us(LAZY_MS);
	}
	put(c, m);
}

void client_error(struct client *c, uint32_t channel, int code, const char *step, const char *text)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Error e = CONKER__ERROR__INIT;

	e.code = code;
	e.step = (char *)(uintptr_t)step;
	e.text = (char *)(uintptr_t)text;
	m.channel = channel;
	m.msg_case = CONKER__SERVER_MSG__MSG_ERROR;
	m.error = &e;
	client_send(c, &m);
}

/* s: NULL, or of a lazy one. */
static void send_done(struct server *s, struct client *c, uint32_t channel, uint32_t host_port)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Done d = CONKER__DONE__INIT;

	d.host_port = host_port;
	m.channel = channel;
	m.msg_case = CONKER__SERVER_MSG__MSG_DONE;
	m.done = &d;
	if (s)
		client_send_lazy(s, c, &m);
	else
		client_send(c, &m);
}

void client_done(struct client *c, uint32_t channel)
{
	send_done(NULL, c, channel, 0);
}

void client_done_frozen(struct client *c, uint32_t channel)
{
	union {
		struct sockaddr any;
		struct sockaddr_vm vm;
		struct sockaddr_storage room;
	} peer = {0};
	socklen_t len = sizeof(peer);
	int r = getpeername(c->fd, &peer.any, &len);

	send_done(NULL, c, channel,
		  r == 0 && peer.any.sa_family == AF_VSOCK ? peer.vm.svm_port : 0);
}

void client_done_lazy(struct server *s, struct client *c, uint32_t channel)
{
	int is_last = s->msg + s->msg_len == c->in + c->in_len;

	send_done(is_last ? NULL : s, c, channel, 0);
}

/* ---- requests: 0, or -EPROTO with the reason ---- */

static int on_hello(struct server *s, struct client *c, const Conker__Hello *h,
		    const char **ret_why)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Hello mine = CONKER__HELLO__INIT;

	int again = c->greeted, refused = again && !freeze_is_holder(s, c);

	if (refused || h->version != PROTO_VERSION) {
		*ret_why = refused ? "second Hello" : "protocol version is not 1";
		return -EPROTO;
	}
	if (again)
		freeze_copied(s, c);
	c->greeted = 1;
	mine.version = PROTO_VERSION;
	m.msg_case = CONKER__SERVER_MSG__MSG_HELLO;
	m.hello = &mine;
	client_send_lazy(s, c, &m);
	return 0;
}

static void on_shutdown(struct server *s, struct client *c, uint32_t channel)
{
	exec_kill_all(s);
	client_done(c, channel);
	s->power_off_us = s->now_us + ms_to_us(POWER_OFF_MS);
}

/* May close v. */
static void on_credit(struct server *s, struct view *v, const Conker__Credit *m)
{
	struct exec *x = v->exec;

	view_grant(v, m->stream == CONKER__STREAM__STDERR, m->bytes);
	(void)view_pump(s, v, INT32_MAX);
	output_rearm(s, x);
}

/* Messages on the channel of a view; one that has just ended is no error, the two crossed on the way. */
static int on_view_msg(struct server *s, struct client *c, const Conker__ClientMsg *m,
		       const char **ret_why)
{
	struct view *v = view_by_channel(s, c, m->channel);

	if (!v)
		return 0;
	switch (m->msg_case) {
	case CONKER__CLIENT_MSG__MSG_INPUT: return input_receive(s, v, m->input, ret_why);
	case CONKER__CLIENT_MSG__MSG_CREDIT: on_credit(s, v, m->credit); break;
	case CONKER__CLIENT_MSG__MSG_DETACH: list_detach(s, v); break;
	default:
		if (v->flags & (VIEW_STARTER | VIEW_FEEDS))
			exec_resize(v->exec, m->resize);
		break;
	}
	return 0;
}

/* Nothing can be started now: init would wait for a child that stands still. */
static int on_start_frozen(struct server *s, struct client *c, uint32_t channel)
{
	if (!freeze_is_holder(s, c))
		return -EAGAIN;
	client_error(c, channel, EBUSY, "freeze", "the box is frozen");
	return 0;
}

static int uses(Conker__ClientMsg__MsgCase kind)
{
	return kind == CONKER__CLIENT_MSG__MSG_START || kind == CONKER__CLIENT_MSG__MSG_ATTACH ||
	       kind == CONKER__CLIENT_MSG__MSG_AWAIT_PORTS;
}

/* Those that start and watch leave room for those that look and end. */
static int admit(struct server *s, struct client *c, uint32_t channel)
{
	char text[80];

	if (c->is_using)
		return 1;
	if (s->n_using < CLIENTS_USING_MAX) {
		s->n_using++;
		c->is_using = 1;
		return 1;
	}
	(void)snprintf(text, sizeof(text),
		       "%d clients run or watch commands, which is all it takes",
		       CLIENTS_USING_MAX);
	client_error(c, channel, EAGAIN, "limit", text);
	return 0;
}

/* -EAGAIN: later, with all that follows it. */
static int dispatch(struct server *s, struct client *c, const Conker__ClientMsg *m,
		    const char **ret_why)
{
	if (!c->greeted && m->msg_case != CONKER__CLIENT_MSG__MSG_HELLO) {
		*ret_why = "the first message must be Hello";
		return -EPROTO;
	}
	switch (m->msg_case) {
	case CONKER__CLIENT_MSG__MSG_HELLO: return on_hello(s, c, m->hello, ret_why);
	case CONKER__CLIENT_MSG__MSG_INPUT:
	case CONKER__CLIENT_MSG__MSG_CREDIT:
	case CONKER__CLIENT_MSG__MSG_DETACH:
	case CONKER__CLIENT_MSG__MSG_RESIZE: return on_view_msg(s, c, m, ret_why);
	default: break;
	}
	if (view_by_channel(s, c, m->channel) || ports_waits(s, c, m->channel)) {
		*ret_why = "channel is in use";
		return -EPROTO;
	}
	if (uses(m->msg_case) && !admit(s, c, m->channel))
		return 0;
	if (m->msg_case == CONKER__CLIENT_MSG__MSG_START && freeze_is_on(s))
		return on_start_frozen(s, c, m->channel);
	switch (m->msg_case) {
	case CONKER__CLIENT_MSG__MSG_START: exec_start(s, c, m->channel, m->start); break;
	case CONKER__CLIENT_MSG__MSG_SIGNAL: list_signal(s, c, m->channel, m->signal); break;
	case CONKER__CLIENT_MSG__MSG_LIST: list_begin(s, c, m->channel, m->list); break;
	case CONKER__CLIENT_MSG__MSG_ATTACH: list_attach(s, c, m->channel, m->attach); break;
	case CONKER__CLIENT_MSG__MSG_FORGET: list_forget(s, c, m->channel, m->forget); break;
	case CONKER__CLIENT_MSG__MSG_STATS: stats_send(s, c, m->channel); break;
	case CONKER__CLIENT_MSG__MSG_AWAIT_PORTS:
		ports_await(s, c, m->channel, m->await_ports);
		break;
	case CONKER__CLIENT_MSG__MSG_PING: client_done(c, m->channel); break;
	case CONKER__CLIENT_MSG__MSG_FREEZE: freeze_begin(s, c, m->channel); break;
	case CONKER__CLIENT_MSG__MSG_THAW: freeze_thaw(s, c, m->channel); break;
	case CONKER__CLIENT_MSG__MSG_RESUME: freeze_resume(s, c, m->channel, m->resume); break;
	case CONKER__CLIENT_MSG__MSG_SHUTDOWN: on_shutdown(s, c, m->channel); break;
	default: client_error(c, m->channel, ENOSYS, "", "unknown message"); break;
	}
	return 0;
}

static int handle_frame(struct server *s, struct client *c, const uint8_t *msg, size_t len)
{
	enum { ARENA_KEEP_BYTES = 1 << 20 };
	const char *why = NULL;
	Conker__ClientMsg *m;
	uint32_t channel;

	exec_start_finish(s);
	s->arena.used_bytes = 0;
	idle_touch(s);
	c->heard_us = s->now_us;
	s->msg = msg;
	s->msg_len = len;
	int r = codec_decode_client(msg, len, &s->arena, &m, &channel, &why);
	if (r == 0)
		r = dispatch(s, c, m, &why);
	if (s->arena.used_bytes > ARENA_KEEP_BYTES) {
		exec_start_finish(s);
		(void)madvise(s->arena_mem, sizeof(s->arena_mem), MADV_DONTNEED);
	}
	if (r < 0 && r != -EAGAIN) {
		s->refused_frames++;
		client_error(c, channel, -r, "", why);
	}
	return r == -ENOSYS ? 0 : r;
}

/* ---- the socket ---- */

static unsigned index_of(const struct server *s, const struct client *c)
{
	return (unsigned)(c - s->client);
}

static struct ev_name name_of(const struct server *s, const struct client *c)
{
	return (struct ev_name){
		.kind = KIND_CLIENT, .index = (uint16_t)index_of(s, c), .gen = c->gen};
}

static int is_blocked(const struct client *c)
{
	return outbox_free(&c->out) < OUTBOX_REPLY_BYTES || c->list.active || c->waits;
}

/* What epoll should report now; a call only if that changed. A Start that waits for the end of a freeze must not
 * outlive its client: its host may have been told that it was lost, or have been in another world. The end of a
 * vsock connection is no EPOLLHUP. */
static void rearm(struct server *s, struct client *c)
{
	uint32_t events = (is_blocked(c) ? 0 : EPOLLIN) | (c->wants_write ? EPOLLOUT : 0) |
			  (c->waits ? EPOLLRDHUP : 0);

	if (events == c->events)
		return;
	c->events = events;
	(void)!server_watch(s, EPOLL_CTL_MOD, c->fd, events, name_of(s, c));
}

static void set_waits(struct server *s, struct client *c, int waits)
{
	s->freeze.n_waiting += waits - c->waits;
	c->waits = waits;
}

void client_close(struct server *s, struct client *c)
{
	exec_start_finish(s);
	set_waits(s, c, 0);
	freeze_client_gone(s, c);
	exec_client_gone(s, c);
	close(c->fd);
	c->fd = -1;
	c->gen++;
	s->n_using -= (unsigned)c->is_using;
	c->is_using = 0;
	if (c->big)
		(void)madvise(c->in, INBOX_BYTES, MADV_DONTNEED);
	if (c->out.high > KEEP_BYTES)
		(void)madvise(c->out.buf, OUTBOX_BYTES, MADV_DONTNEED);
	if (s->power_off_us)
		s->power_off_us = s->now_us; /* Done has arrived */
}

static void refuse_length(struct server *s, struct client *c, int code)
{
	s->refused_frames++;
	client_error(c, 0, code, "", "frame of no or too many bytes");
}

/* Handles the whole frames in the inbox, as long as there is room for answers. */
static int handle_inbox(struct server *s, struct client *c)
{
	size_t at = 0, used = 0, len;
	const uint8_t *msg;
	int r = 0;

	while (!is_blocked(c)) {
		r = frame_peek(c->in + at, c->in_len - at, FRAME_MAX_BYTES, &msg, &len, &used);
		if (r < 0)
			refuse_length(s, c, -r);
		if (r <= 0)
			break;
		r = handle_frame(s, c, msg, len);
		if (r == -EAGAIN) {
			set_waits(s, c, 1);
			r = 0;
			break;
		}
		if (r < 0)
			break;
		at += used;
	}
	c->backlog = r == 0 && is_blocked(c);
	c->in_len -= at;
	if (at > 0 && c->in_len > 0)
		memmove(c->in, c->in + at, c->in_len);
	return r < 0 ? r : 0;
}

/* What leaves at once. 0 or -errno */
static int push(struct client *c)
{
	struct outbox *o = &c->out;
	ssize_t n = send(c->fd, o->buf + o->head, outbox_pending(o), MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		outbox_sent(o, (size_t)n);
	return n < 0 ? -errno : 0;
}

/* After a breach of the protocol: the reason goes out if it can, and that is all. */
static void break_off(struct server *s, struct client *c)
{
	(void)!push(c);
	client_close(s, c);
}

/* What had to wait for room in the outbox: answers and requests first, then output. */
static int go_on(struct server *s, struct client *c)
{
	int r = 0;

	if (c->list.active)
		list_go_on(s, c);
	if (c->backlog && !is_blocked(c))
		r = handle_inbox(s, c);
	if (r == 0 && c->stalled && outbox_pending(&c->out) < OUTBOX_DATA_BYTES) {
		c->stalled = 0;
		view_resume(s, c);
	}
	return r;
}

void client_flush(struct server *s, struct client *c)
{
	int r = push(c);

	if (r < 0 && r != -EAGAIN && r != -EINTR) {
		client_close(s, c);
		return;
	}
	c->urgent = 0;
	c->wants_write = outbox_pending(&c->out) > 0;
	if (go_on(s, c) < 0)
		break_off(s, c);
	else
		rearm(s, c);
}

void client_push_all(struct server *s)
{
	for (struct client *c = s->client; c < clients_end(s); c++)
		if (c->fd >= 0 && outbox_pending(&c->out) > 0)
			(void)!push(c);
}

void client_go_on_all(struct server *s)
{
	for (struct client *c = s->client; c < clients_end(s); c++) {
		if (c->fd < 0 || !c->waits)
			continue;
		set_waits(s, c, 0);
		if (go_on(s, c) < 0)
			break_off(s, c);
		else
			rearm(s, c);
	}
}

/* ---- coming and going ---- */

static struct client *find_slot(struct server *s)
{
	struct client *c = s->client;

	while (c < clients_end(s) && c->fd >= 0)
		c++;
	if (c < clients_end(s))
		return c;
	return s->n_client_slots < CLIENTS_MAX ? &s->client[s->n_client_slots++] : NULL;
}

/* Has no conversation, and has not had one for a while: it can be told to come again. */
static int is_resting(const struct server *s, const struct client *c)
{
	return !c->is_using && !c->waits && !c->list.active && c->in_len == 0 &&
	       outbox_pending(&c->out) == 0 && !freeze_is_holder(s, c) &&
	       c->heard_us + ms_to_us(RESTING_MS) <= s->now_us;
}

/* Who comes to look, or to end something, must find room, however many only sit there. NULL: all have business. */
static struct client *make_room(struct server *s)
{
	struct client *best = NULL;

	for (struct client *c = s->client; c < clients_end(s); c++)
		if (is_resting(s, c) && (!best || c->heard_us < best->heard_us))
			best = c;
	if (best) {
		client_error(best, 0, EAGAIN, "limit",
			     "the box has too many clients, and this one rested");
		break_off(s, best);
	}
	return best;
}

/* It gets a word, as far as it leaves at once. */
static void turn_away(int fd)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Error e = CONKER__ERROR__INIT;
	uint8_t buf[256];
	char step[] = "limit", text[80];

	(void)snprintf(text, sizeof(text), "the box has %d clients, which is all it takes",
		       CLIENTS_MAX);
	e.code = EAGAIN;
	e.step = step;
	e.text = text;
	m.msg_case = CONKER__SERVER_MSG__MSG_ERROR;
	m.error = &e;
	if (codec_server_size(&m) <= sizeof(buf))
		(void)!send(fd, buf, codec_server_put(&m, buf), MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

void client_open(struct server *s, int fd)
{
	struct client *c = find_slot(s);

	if (!c)
		c = make_room(s);
	if (!c) {
		turn_away(fd);
		return;
	}
	const uint32_t gen = c->gen;
	*c = (struct client){.fd = fd,
			     .gen = gen,
			     .n_freezes = s->freeze.n,
			     .heard_us = s->now_us,
			     .events = EPOLLIN,
			     .in = s->inbox_mem[index_of(s, c)],
			     .out.buf = s->out_mem[index_of(s, c)],
			     .out.size_bytes = OUTBOX_BYTES};
	if (server_watch(s, EPOLL_CTL_ADD, fd, EPOLLIN, name_of(s, c)) < 0)
		client_close(s, c);
}

static void on_readable(struct server *s, struct client *c)
{
	size_t room = min_(INBOX_BYTES - c->in_len, (size_t)READ_BYTES);
	ssize_t n = recv(c->fd, c->in + c->in_len, room, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(s, c);
		return;
	}
	c->in_len += (size_t)n;
	c->big |= c->in_len > KEEP_BYTES;
	if (handle_inbox(s, c) < 0)
		break_off(s, c);
	else
		rearm(s, c);
}

void client_on_event(struct server *s, struct client *c, uint32_t revents)
{
	uint32_t gen = c->gen;

	if (revents & EPOLLOUT)
		client_flush(s, c);
	if (c->gen == gen && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !is_blocked(c))
		on_readable(s, c);
	else if (c->gen == gen && c->waits && (revents & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		client_close(s, c); /* which epoll would go on telling */
}
