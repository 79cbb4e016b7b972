/* flow.c - credit in both directions.
 *
 * Output: the guest may have `window` bytes per stream in flight beyond what we credited. We credit
 * what the user has taken: by returning from the callback, or by conker_exec_ack(). Not each byte by
 * itself: a credit costs the guest a system call, so half a window is gathered first. A guest that has
 * used up its window gets at once whatever there is, or a user who acknowledges in small pieces would
 * wait for ever.
 *
 * Input: conker_exec_write() takes what both the guest's window and our outgoing buffer have room for.
 */
#include "lib/internal.h"

#include <errno.h>
#include <string.h>

static int send_credit(conker_exec *e, int i, uint64_t bytes)
{
	Conker__Credit c = CONKER__CREDIT__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;

	c.stream = i ? CONKER__STREAM__STDERR : CONKER__STREAM__STDOUT;
	c.bytes = (uint32_t)bytes; /* at most a window */
	m.msg_case = CONKER__CLIENT_MSG__MSG_CREDIT;
	m.credit = &c;
	m.channel = e->chan.number;
	return wire_send(e->box, &m, OUT_CONTROL_BYTES);
}

void flow_credit(conker_exec *e)
{
	if (e->fate != FATE_NONE)
		return;
	for (int i = 0; i < 2; i++) {
		uint64_t due = e->taken[i] - e->credited[i];
		int stalled = e->received[i] - e->credited[i] == e->window;

		if (due == 0 || (due < e->window / 2 && !stalled))
			continue;
		if (send_credit(e, i, due) < 0)
			e->box->drain_wanted = 1;
		else
			e->credited[i] += due;
	}
}

int flow_on_output(conker_exec *e, const Conker__Output *o, const char **ret_why)
{
	int i = o->stream == CONKER__STREAM__STDERR;

	*ret_why = "output out of place";
	if (o->offset != e->received[i])
		return -EPROTO;
	*ret_why = "more output than the window allows";
	if (e->received[i] + o->data.len - e->credited[i] > e->window)
		return -EPROTO;
	e->received[i] += o->data.len;
	exec_call(e, i ? CONKER_STDERR : CONKER_STDOUT, o->data.data, o->data.len);
	if (e->freed || !(e->flags & CONKER_EXEC_MANUAL_ACK))
		e->taken[i] = e->received[i];
	flow_credit(e);
	return 0;
}

void flow_on_credit(conker_exec *e, uint32_t bytes)
{
	e->stdin_credit = min_(e->stdin_credit + bytes, (uint64_t)INT32_MAX);
	flow_writable(e);
}

void flow_writable(conker_exec *e)
{
	if (!e->want_write || !e->started || e->fate != FATE_NONE || e->stdin_closed)
		return;
	if (e->stdin_credit == 0 || wire_room(e->box, OUT_DATA_BYTES) < OUT_DATA_BYTES / 2)
		return;
	e->want_write = 0;
	e->writable_due = 1;
	exec_queue(e);
}

void flow_on_drain(conker_box *b)
{
	for (size_t i = 0; i < countof(b->chans); i++)
		for (struct chan *c = b->chans[i]; c; c = c->next) {
			if (c->kind != CHAN_EXEC)
				continue;
			struct conker_exec *e = container_of(c, struct conker_exec, chan);
			flow_writable(e);
			flow_credit(e);
		}
}

/* ---- the public calls --------------------------------------------------------------------------------- */

static int send_stdin(conker_exec *e, const uint8_t *data, size_t len, int eof)
{
	Conker__Stdin in = CONKER__STDIN__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;

	in.data.data = (uint8_t *)data; /* the codec only reads it */
	in.data.len = len;
	in.eof = eof;
	m.msg_case = CONKER__CLIENT_MSG__MSG_INPUT;
	m.input = &in;
	m.channel = e->chan.number;
	return wire_send(e->box, &m, eof ? OUT_CONTROL_BYTES : OUT_DATA_BYTES);
}

static size_t write_some(conker_exec *e, const uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len && e->stdin_credit > 0) {
		size_t n = min_(len - done, (size_t)FRAME_DATA_BYTES);
		n = min_(n, (size_t)e->stdin_credit);
		if (send_stdin(e, data + done, n, 0) < 0) {
			e->box->drain_wanted = 1;
			break;
		}
		e->stdin_credit -= n;
		done += n;
	}
	if (done < len)
		e->want_write = 1;
	return done;
}

static int stdin_check(conker_exec *e, struct err *err)
{
	if (!(e->flags & CONKER_EXEC_STDIN))
		return err_set(err, EPIPE, "the execution was started without CONKER_EXEC_STDIN");
	if (e->stdin_closed)
		return err_set(err, EPIPE, "its stdin is closed");
	if (e->fate != FATE_NONE || e->box->lost)
		return err_set(err, EPIPE, "the execution has ended");
	return 0;
}

ssize_t conker_exec_write(conker_exec *e, const void *buf, size_t len)
{
	struct err *err;
	ssize_t r = exec_enter(e, &err);

	if (r == 0 && !buf && len > 0)
		r = err_set(err, EINVAL, "no bytes given");
	if (r < 0)
		return r;
	pthread_mutex_lock(&e->box->lock);
	r = stdin_check(e, err);
	if (r == 0 && len > 0) {
		r = (ssize_t)write_some(e, buf, len);
		if (r == 0)
			r = err_set(err, EAGAIN,
				    "the stdin window is full; wait for CONKER_WRITABLE");
	}
	box_unlock(e->box);
	return r;
}

int conker_exec_close_stdin(conker_exec *e)
{
	struct err *err;
	int r = exec_enter(e, &err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&e->box->lock);
	if (!e->stdin_closed && (e->flags & CONKER_EXEC_STDIN) && e->fate == FATE_NONE) {
		r = send_stdin(e, NULL, 0, 1);
		if (r < 0)
			r = err_set(err, -r, "close stdin: %s", strerror(-r));
		else
			e->stdin_closed = 1;
	}
	box_unlock(e->box);
	return r;
}

int conker_exec_ack(conker_exec *e, enum conker_event stream, size_t bytes)
{
	struct err *err;
	int r = exec_enter(e, &err);
	int i = stream == CONKER_STDERR;

	if (r == 0 && stream != CONKER_STDOUT && stream != CONKER_STDERR)
		r = err_set(err, EINVAL, "only stdout and stderr are acknowledged");
	if (r < 0)
		return r;
	pthread_mutex_lock(&e->box->lock);
	if (!(e->flags & CONKER_EXEC_MANUAL_ACK)) {
		r = err_set(err, EINVAL, "the execution acknowledges by itself");
	} else if (bytes > e->received[i] - e->taken[i]) {
		r = err_set(err, EINVAL, "more bytes than were received");
	} else {
		e->taken[i] += bytes;
		flow_credit(e);
	}
	box_unlock(e->box);
	return r;
}
