/* input.c - see input.h. */
#include "guest-init/input.h"

#include <sys/epoll.h>

#include "guest-init/server.h"
#include "guest-init/sys.h"

/* ---- credit ---- */

static void send_credit(struct view *v, uint32_t bytes, int dropped)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Credit credit = CONKER__CREDIT__INIT;

	credit.stream = CONKER__STREAM__STDIN;
	credit.bytes = bytes;
	credit.dropped = dropped;
	m.channel = v->channel;
	m.msg_case = CONKER__SERVER_MSG__MSG_CREDIT;
	m.credit = &credit;
	client_send(v->client, &m);
}

/* A flush is answered once its part of the queue was taken, even if all of that was granted before. */
void input_resume(struct exec *x)
{
	struct view *v = x->feeder;
	int flushed = x->in_flush && x->in_flush_left == 0;

	if (!v)
		return;
	if (outbox_pending(&v->client->out) >= OUTBOX_DATA_BYTES) {
		v->client->stalled = 1;
		return;
	}
	uint32_t n = x->in_flush ? in_flow_take_all(&x->in) : in_flow_take_credit(&x->in);
	if (n > 0 || flushed)
		send_credit(v, n, 0);
	if (flushed)
		x->in_flush = 0;
}

/* ---- who feeds ---- */

uint32_t input_join(struct exec *x, struct view *v)
{
	if (x->feeder || !x->in_open || x->in_eof || !exec_is_live(x))
		return 0;
	x->feeder = v;
	v->flags |= VIEW_FEEDS;
	return x->in.open_bytes;
}

void input_leave(struct exec *x)
{
	x->feeder->flags &= ~(uint32_t)VIEW_FEEDS;
	x->feeder = NULL;
	x->in_flush = 0;
	in_flow_reopen(&x->in);
}

/* ---- to the process ---- */

static void close_input(struct server *s, struct exec *x)
{
	if (x->in_fd < 0)
		return;
	if (x->in_armed)
		server_unwatch(s, x->in_fd);
	close(x->in_fd);
	x->in_fd = -1;
	x->in_armed = 0;
}

/* n received bytes went nowhere; what was taken before is told apart. */
static void grant_dropped(struct exec *x, size_t n)
{
	uint32_t taken = in_flow_take_all(&x->in);

	if (x->feeder && taken > 0)
		send_credit(x->feeder, taken, 0);
	in_flow_done(&x->in, n);
	n = in_flow_take_all(&x->in);
	if (x->feeder && (n > 0 || x->in_flush))
		send_credit(x->feeder, (uint32_t)n, 1);
	x->in_flush = 0;
}

void input_drop(struct server *s, struct exec *x)
{
	uint32_t n = x->in.len;

	in_flow_drop(&x->in, n);
	grant_dropped(x, n);
	close_input(s, x);
}

/* n bytes of the queue were taken. */
static void advance(struct exec *x, size_t n)
{
	in_flow_drop(&x->in, n);
	x->in_flush_left -= min_(x->in_flush_left, (uint32_t)n);
}

/* How many of n bytes the process took; the rest must wait. -errno when it takes no more at all. */
static ssize_t feed(struct exec *x, const uint8_t *data, size_t n)
{
	ssize_t r = n ? write(x->in_fd, data, n) : 0;

	if (r < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	in_flow_done(&x->in, (size_t)r);
	return r;
}

/* A terminal has no end of its own: the line discipline makes one of VEOF. */
static void end_input(struct server *s, struct exec *x)
{
	static const char veof = 4;

	if (x->tty)
		(void)!write(x->in_fd, &veof, 1);
	close_input(s, x);
}

void input_on_event(struct server *s, struct exec *x)
{
	const uint8_t *data;
	size_t n;

	if (x->in_fd < 0)
		return;
	while ((n = in_flow_peek(&x->in, &data)) > 0) {
		ssize_t r = feed(x, data, n);

		if (r < 0) {
			input_drop(s, x);
			return;
		}
		advance(x, (size_t)r);
		if ((size_t)r < n)
			break;
	}
	input_resume(x);
	if (x->in.len > 0)
		return;
	if (x->in_eof) {
		end_input(s, x);
		return;
	}
	server_unwatch(s, x->in_fd);
	x->in_armed = 0;
}

/* What the process does not take now waits. */
static void queue(struct server *s, struct exec *x, const uint8_t *data, size_t n)
{
	in_flow_queue(&x->in, data, n);
	x->in_used = 1;
	if (!x->in_armed)
		x->in_armed = exec_watch(s, x, x->in_fd, EPOLLOUT,
					 (struct ev_name){.kind = KIND_INPUT}) == 0;
}

static void take(struct server *s, struct exec *x, const uint8_t *data, size_t len)
{
	ssize_t r = x->in.len == 0 ? feed(x, data, len) : 0;

	if (r < 0) {
		in_flow_queue(&x->in, data, len);
		input_drop(s, x);
		return;
	}
	if ((size_t)r < len)
		queue(s, x, data + r, len - (size_t)r);
	else if (x->in_eof && x->in.len == 0)
		end_input(s, x);
}

int input_receive(struct server *s, struct view *v, const Conker__Stdin *m, const char **ret_why)
{
	const ProtobufCBinaryData *d = &m->data;
	struct exec *x = v->exec;

	if (!(v->flags & VIEW_FEEDS)) {
		if (d->len > 0 || m->flush)
			send_credit(v, (uint32_t)d->len, 1);
		return 0;
	}
	if (in_flow_receive(&x->in, d->len) < 0) {
		*ret_why = "more stdin than its window";
		return -EPROTO;
	}
	x->in_flush |= m->flush;
	if (x->in_fd < 0 || x->in_eof) { /* the process has closed it, or we have on request */
		grant_dropped(x, d->len);
		return 0;
	}
	x->in_eof = m->eof;
	take(s, x, d->data, d->len);
	if (m->flush)
		x->in_flush_left = x->in.len;
	input_resume(x);
	return 0;
}
