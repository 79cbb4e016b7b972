/* SPDX-License-Identifier: Apache-2.0 */
/* clients.c - see clients.h.
 *
 * Protocol: a stream of frames each way, 4 bytes of length and a message (docs/protocol.md). Nothing that comes is
 * believed: the length is checked before the rest is read, the codec bounds every field, and what a message points to
 * is a copy in the arena that is valid until the next one.
 *
 * Duties: messages of one client are handled in order, and none while there is no room for its answer
 * (OUTBOX_REPLY_BYTES), while a List goes on, or while a Start waits for the thaw. Sending never blocks. The end of a
 * client ends its views, its waits, and what it started and did not detach.
 *
 * Limits: FRAME_MAX_BYTES a message; one inbox, one outbox a client; CLIENTS_MAX at once, of which one that rests
 * makes room for who comes.
 */
#include "guest-init/serve/clients.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest-init/exec/attach.h"
#include "guest-init/exec/messages.h"
#include "guest-init/sys/sys.h"

/* Behind the last client there was. */
#define clients_end(t) ((t)->client + (t)->n_slots)

static unsigned client_index(const struct clients *t, const struct client *c)
{
	return (unsigned)(c - t->client);
}

static struct ev_name name_of(const struct clients *t, const struct client *c)
{
	return (struct ev_name){
		.kind = t->kind, .index = (uint16_t)client_index(t, c), .gen = c->gen};
}

static int is_blocked(const struct client *c)
{
	return outbox_free(&c->out) < OUTBOX_REPLY_BYTES || c->list.active || c->waits;
}

/* What epoll should report now; a call only if that changed. A Start that waits for the end of a freeze must not
 * outlive its client: its host may have been told that it was lost, or have been in another world. The end of a
 * vsock connection is no EPOLLHUP. */
static void client_rearm(struct clients *t, struct client *c)
{
	uint32_t events = (is_blocked(c) ? 0 : EPOLLIN) | (c->wants_write ? EPOLLOUT : 0) |
			  (c->waits ? EPOLLRDHUP : 0);

	if (events == c->events)
		return;
	c->events = events;
	(void)!poller_watch(t->poller, EPOLL_CTL_MOD, c->fd, events, name_of(t, c));
}

static void set_waits(struct clients *t, struct client *c, int waits)
{
	t->n_waiting += (unsigned)(waits - c->waits);
	c->waits = waits;
}

static void client_close(struct clients *t, struct client *c)
{
	set_waits(t, c, 0);
	freezer_lose(t->freezer, &c->out);
	execs_lose_client(t->execs, &c->out);
	ports_lose(t->awaits, &c->out, t->poller->now_us);
	close(c->fd);
	c->fd = -1;
	c->gen++;
	t->n_using -= (unsigned)c->is_using;
	c->is_using = 0;
	if (c->big)
		(void)madvise(c->in, INBOX_BYTES, MADV_DONTNEED);
	if (c->out.high > KEEP_BYTES)
		(void)madvise(c->out.buf, OUTBOX_BYTES, MADV_DONTNEED);
	t->n_closed++;
}

static void refuse_length(struct clients *t, struct client *c, int code)
{
	t->refused_frames++;
	message_error(&c->out, 0, code, "", "frame of no or too many bytes");
}

/* Handles the whole frames in the inbox, as long as there is room for answers. */
static int handle_inbox(struct clients *t, struct client *c)
{
	size_t at = 0, used = 0, len;
	const uint8_t *msg;
	int r = 0;

	while (!is_blocked(c)) {
		r = frame_peek(c->in + at, c->in_len - at, FRAME_MAX_BYTES, &msg, &len, &used);
		if (r < 0)
			refuse_length(t, c, -r);
		if (r <= 0)
			break;
		c->heard_us = t->poller->now_us;
		r = t->handle(t->user, c, msg, len, at + used == c->in_len);
		if (r == -EAGAIN) {
			set_waits(t, c, 1);
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
static int client_push(struct client *c)
{
	struct outbox *o = &c->out;
	ssize_t n = send(c->fd, o->buf + o->head, outbox_pending(o), MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		outbox_sent(o, (size_t)n);
	return n < 0 ? -errno : 0;
}

/* After a breach of the protocol: the reason goes out if it can, and that is all. */
static void break_off(struct clients *t, struct client *c)
{
	(void)!client_push(c);
	client_close(t, c);
}

/* What had to wait for room in the outbox: answers and requests first, then output. */
static int client_go_on(struct clients *t, struct client *c)
{
	int r = 0;

	if (c->list.active)
		listing_go_on(t->execs, &c->list, &c->out);
	if (c->backlog && !is_blocked(c))
		r = handle_inbox(t, c);
	if (r == 0 && c->out.stalled && outbox_pending(&c->out) < OUTBOX_DATA_BYTES) {
		c->out.stalled = 0;
		execs_resume(t->execs, &c->out);
	}
	return r;
}

static void client_flush(struct clients *t, struct client *c)
{
	int r = client_push(c);

	if (r < 0 && r != -EAGAIN && r != -EINTR) {
		client_close(t, c);
		return;
	}
	c->wants_write = outbox_pending(&c->out) > 0;
	if (client_go_on(t, c) < 0)
		break_off(t, c);
	else
		client_rearm(t, c);
}

void clients_push(struct clients *t)
{
	for (struct client *c = t->client; c < clients_end(t); c++)
		if (c->fd >= 0 && outbox_pending(&c->out) > 0)
			(void)!client_push(c);
}

void clients_go_on(struct clients *t)
{
	for (struct client *c = t->client; c < clients_end(t); c++) {
		if (c->fd < 0 || !c->waits)
			continue;
		set_waits(t, c, 0);
		if (client_go_on(t, c) < 0)
			break_off(t, c);
		else
			client_rearm(t, c);
	}
}

/* ---- coming and going ---- */

static struct client *find_slot(struct clients *t)
{
	struct client *c = t->client;

	while (c < clients_end(t) && c->fd >= 0)
		c++;
	if (c < clients_end(t))
		return c;
	return t->n_slots < CLIENTS_MAX ? &t->client[t->n_slots++] : NULL;
}

/* Has no conversation, and has not had one for a while: it can be told to come again. */
static int is_resting(const struct clients *t, const struct client *c)
{
	return !c->is_using && !c->waits && !c->list.active && c->in_len == 0 &&
	       outbox_pending(&c->out) == 0 && !freezer_is_holder(t->freezer, &c->out) &&
	       c->heard_us + ms_to_us(RESTING_MS) <= t->poller->now_us;
}

/* Who comes to look, or to end something, must find room, however many only sit there. NULL: all have business. */
static struct client *make_room(struct clients *t)
{
	struct client *best = NULL;

	for (struct client *c = t->client; c < clients_end(t); c++)
		if (is_resting(t, c) && (!best || c->heard_us < best->heard_us))
			best = c;
	if (best) {
		message_error(&best->out, 0, EAGAIN, "limit",
			      "the box has too many clients, and this one rested");
		break_off(t, best);
	}
	return best;
}

/* It gets a word, as far as it leaves at once. */
static void turn_away(int fd)
{
	uint8_t buf[256];
	char text[80];
	struct outbox out = {.buf = buf, .size_bytes = sizeof(buf)};

	(void)snprintf(text, sizeof(text), "the box has %d clients, which is all it takes",
		       CLIENTS_MAX);
	message_error(&out, 0, EAGAIN, "limit", text);
	(void)!send(fd, buf, outbox_pending(&out), MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

void clients_accept(struct clients *t, int fd)
{
	struct client *c = find_slot(t);

	if (!c)
		c = make_room(t);
	if (!c) {
		turn_away(fd);
		return;
	}
	const uint32_t gen = c->gen;
	*c = (struct client){.fd = fd,
			     .gen = gen,
			     .n_freezes = t->freezer->n,
			     .heard_us = t->poller->now_us,
			     .events = EPOLLIN,
			     .in = t->in_mem[client_index(t, c)],
			     .out.buf = t->out_mem[client_index(t, c)],
			     .out.size_bytes = OUTBOX_BYTES};
	if (poller_watch(t->poller, EPOLL_CTL_ADD, fd, EPOLLIN, name_of(t, c)) < 0)
		client_close(t, c);
}

static void client_read(struct clients *t, struct client *c)
{
	size_t room = min_(INBOX_BYTES - c->in_len, (size_t)READ_BYTES);
	ssize_t n = recv(c->fd, c->in + c->in_len, room, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(t, c);
		return;
	}
	c->in_len += (size_t)n;
	c->big |= c->in_len > KEEP_BYTES;
	if (handle_inbox(t, c) < 0)
		break_off(t, c);
	else
		client_rearm(t, c);
}

void clients_on_event(struct clients *t, struct ev_name name, uint32_t revents)
{
	struct client *c = &t->client[name.index];

	if (c->gen != name.gen)
		return;
	if (revents & EPOLLOUT)
		client_flush(t, c);
	if (c->gen == name.gen && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !is_blocked(c))
		client_read(t, c);
	else if (c->gen == name.gen && c->waits && (revents & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		client_close(t, c); /* which epoll would go on telling */
}

/* ---- all of them ---- */

static int has_news(const struct client *c)
{
	return c->fd >= 0 && outbox_pending(&c->out) > 0 && !c->wants_write;
}

void clients_flush(struct clients *t)
{
	for (struct client *c = t->client; c < clients_end(t); c++)
		if (has_news(c))
			client_flush(t, c);
}

int clients_have_news(const struct clients *t)
{
	for (const struct client *c = t->client; c < clients_end(t); c++)
		if (has_news(c))
			return 1;
	return 0;
}

void clients_drop_old(struct clients *t, const struct client *except)
{
	for (struct client *c = t->client; c < clients_end(t); c++)
		if (c->fd >= 0 && c != except && c->n_freezes != t->freezer->n)
			client_close(t, c);
}

unsigned clients_count(const struct clients *t)
{
	unsigned n = 0;

	for (const struct client *c = t->client; c < clients_end(t); c++)
		n += c->fd >= 0;
	return n;
}

/* ---- what a request needs to know of its client ---- */

uint32_t client_host_port(const struct client *c)
{
	union {
		struct sockaddr any;
		struct sockaddr_vm vm;
		struct sockaddr_storage room;
	} peer = {0};
	socklen_t len = sizeof(peer);
	int r = getpeername(c->fd, &peer.any, &len);

	return r == 0 && peer.any.sa_family == AF_VSOCK ? peer.vm.svm_port : 0;
}

/* Those that start and watch leave room for those that look and end. */
int client_admit(struct clients *t, struct client *c, uint32_t channel)
{
	char text[80];

	if (c->is_using)
		return 1;
	if (t->n_using < CLIENTS_USING_MAX) {
		t->n_using++;
		c->is_using = 1;
		return 1;
	}
	(void)snprintf(text, sizeof(text),
		       "%d clients run or watch commands, which is all it takes",
		       CLIENTS_USING_MAX);
	message_error(&c->out, channel, EAGAIN, "limit", text);
	return 0;
}
