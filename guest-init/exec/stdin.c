/* SPDX-License-Identifier: Apache-2.0 */
/* stdin.c - see stdin.h. */
#include "guest-init/exec/stdin.h"

#include <errno.h>
#include <termios.h>
#include <unistd.h>

#include "guest-init/exec/messages.h"

/* ---- credit ---- */

static int is_nothing(struct in_credit c)
{
	return c.bytes == 0 && c.opened == 0;
}

/* A flush is answered once its part of the queue was taken, even if all of that was granted before. */
void stdin_resume(struct exec *x)
{
	struct view *v = x->feeder;
	int flushed = x->in_flush && x->in_flush_left == 0;

	if (!v || outbox_is_full(v->out))
		return;
	struct in_credit c = x->in_flush ? in_flow_take_all(&x->in) : in_flow_take_credit(&x->in);
	if (!is_nothing(c) || flushed)
		message_credit(v, c, 0);
	if (flushed)
		x->in_flush = 0;
}

/* ---- who feeds ---- */

void stdin_join(struct exec *x, struct view *v)
{
	if (x->feeder || !x->in_open || x->in_eof || !exec_is_live(x))
		return;
	x->feeder = v;
	v->flags |= VIEW_FEEDS;
}

void stdin_leave(struct exec *x)
{
	x->feeder->flags &= ~(uint32_t)VIEW_FEEDS;
	x->feeder = NULL;
	x->in_flush = 0;
	in_flow_reopen(&x->in);
}

/* ---- to the process ---- */

static void close_input(struct execs *e, struct exec *x)
{
	if (x->in_fd < 0)
		return;
	if (x->in_armed)
		poller_unwatch(e->poller, x->in_fd);
	close(x->in_fd);
	x->in_fd = -1;
	x->in_armed = 0;
}

/* What the process has taken, before anything is told that it has not. */
static void grant_taken(struct exec *x)
{
	struct in_credit c = in_flow_take_all(&x->in);

	if (x->feeder && !is_nothing(c))
		message_credit(x->feeder, c, 0);
}

/* What is owed now went nowhere. Who has nothing among that hears of it too if it was in his way: he may have been
 * waiting for just that. */
static void grant_dropped(struct exec *x)
{
	struct in_credit c = in_flow_take_all(&x->in);

	if (x->feeder && (!is_nothing(c) || x->in_flush))
		message_credit(x->feeder, c, 1);
	x->in_flush = 0;
}

void stdin_drop(struct execs *e, struct exec *x)
{
	grant_taken(x);
	in_flow_drop(&x->in, x->in.len);
	grant_dropped(x);
	close_input(e, x);
}

/* n bytes of the queue were taken. */
static void queue_advance(struct exec *x, size_t n)
{
	in_flow_drop(&x->in, n);
	x->in_flush_left -= min_(x->in_flush_left, (uint32_t)n);
}

/* How many of n bytes the process took; the rest must wait. -errno when it takes no more at all. */
static ssize_t process_feed(struct exec *x, const uint8_t *data, size_t n)
{
	ssize_t r = n ? write(x->in_fd, data, n) : 0;

	if (r < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (r > 0)
		x->in_last = data[r - 1];
	return r;
}

static void await_room(struct execs *e, struct exec *x)
{
	if (!x->in_armed)
		x->in_armed = exec_watch(e, x, x->in_fd, EPOLLOUT, KIND_INPUT, 0) == 0;
}

/* ---- the end ---- */

/* Whether the terminal holds the beginning of a line. */
static int is_mid_line(const struct exec *x, const struct termios *t)
{
	static const int ends[] = {VEOF, VEOL, VEOL2, VKILL};

	if (!(t->c_lflag & ICANON) || x->in_last == '\n' ||
	    (x->in_last == '\r' && (t->c_iflag & ICRNL)))
		return 0;
	for (size_t i = 0; i < countof(ends); i++)
		if (t->c_cc[ends[i]] && x->in_last == t->c_cc[ends[i]])
			return 0;
	return 1;
}

/* A terminal has no end of its own: the line discipline makes one of VEOF at the beginning of a line; elsewhere that
 * ends the line only. 0: there was no room for all of it. */
static int put_eof(struct exec *x)
{
	struct termios t = {.c_cc[VEOF] = 4};

	(void)tcgetattr(x->in_fd, &t);
	const uint8_t eof = t.c_cc[VEOF] ? t.c_cc[VEOF] : 4, both[2] = {eof, eof};
	size_t want = is_mid_line(x, &t) ? 2 : 1;
	ssize_t n = process_feed(x, both,
				 want); /* the first of two is what the terminal then took last */

	return n < 0 || (size_t)n == want;
}

static void end_input(struct execs *e, struct exec *x)
{
	if (x->tty && !put_eof(x))
		await_room(e, x);
	else
		close_input(e, x);
}

void stdin_on_event(struct execs *e, struct exec *x)
{
	const uint8_t *data;
	size_t n;

	if (x->in_fd < 0)
		return;
	while ((n = in_flow_peek(&x->in, &data)) > 0) {
		ssize_t r = process_feed(x, data, n);

		if (r < 0) {
			stdin_drop(e, x);
			return;
		}
		queue_advance(x, (size_t)r);
		if ((size_t)r < n)
			break;
	}
	stdin_resume(x);
	if (x->in.len > 0)
		return;
	if (x->in_eof) {
		end_input(e, x);
		return;
	}
	poller_unwatch(e->poller, x->in_fd);
	x->in_armed = 0;
}

/* What the process does not take now waits. */
static void stdin_queue(struct execs *e, struct exec *x, const uint8_t *data, size_t n)
{
	in_flow_queue(&x->in, data, n);
	x->in_used = 1;
	await_room(e, x);
}

static void stdin_take(struct execs *e, struct exec *x, const uint8_t *data, size_t len)
{
	ssize_t r = x->in.len == 0 ? process_feed(x, data, len) : 0;

	if (r < 0) {
		in_flow_queue(&x->in, data, len);
		stdin_drop(e, x);
		return;
	}
	in_flow_pass(&x->in, (size_t)r);
	if ((size_t)r < len)
		stdin_queue(e, x, data + r, len - (size_t)r);
	else if (x->in_eof && x->in.len == 0)
		end_input(e, x);
}

int stdin_receive(struct execs *e, struct view *v, const Conker__Stdin *m, const char **ret_why)
{
	const ProtobufCBinaryData *d = &m->data;
	struct exec *x = v->exec;

	if (!(v->flags & VIEW_FEEDS)) {
		if (d->len > 0 || m->flush)
			message_credit(v, (struct in_credit){.bytes = (uint32_t)d->len}, 1);
		return 0;
	}
	if (in_flow_receive(&x->in, d->len) < 0) {
		*ret_why = "more stdin than its window";
		return -EPROTO;
	}
	x->in_flush |= m->flush;
	if (x->in_fd < 0 || x->in_eof) { /* the process has closed it, or we have on request */
		grant_taken(x);
		in_flow_pass(&x->in, d->len);
		grant_dropped(x);
		return 0;
	}
	x->in_eof = m->eof;
	stdin_take(e, x, d->data, d->len);
	if (m->flush)
		x->in_flush_left = x->in.len;
	stdin_resume(x);
	return 0;
}
