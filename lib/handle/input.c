/* SPDX-License-Identifier: Apache-2.0 */
/* input.c - stdin: from the user to the process's pipe, and knowing when it arrived.
 *
 *	conker_exec_write_all() -> blocks -.
 *	conker_exec_write() ---------------+-> frames, within the guest's credit -> guest -> pipe
 *
 * conker_exec_write() takes what both the guest's window and our outgoing buffer have room for, and nothing
 * while blocks wait, so that order is kept. Each byte that the pipe took comes back as credit, at the
 * guest's convenience; the last frame of a block asks for it at once, so that its completion is exact. Where another
 * has fed before us his bytes go first: they narrow our window at the beginning, and are never counted as ours.
 *
 * What becomes of stdin is said once and stays: closed by the user (ESHUTDOWN), by the process (EPIPE), or
 * the process has ended (ESRCH).
 */
#include "lib/handle/exec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- out -------------------------------------------------------------------------------------------- */

enum { IN_EOF = 1 << 0, IN_FLUSH = 1 << 1 };

static int input_send(conker_exec *e, const uint8_t *data, size_t len, int what)
{
	Conker__Stdin in = CONKER__STDIN__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;

	in.data.data = (uint8_t *)data; /* the codec only reads it */
	in.data.len = len;
	in.eof = (what & IN_EOF) != 0;
	in.flush = (what & IN_FLUSH) != 0;
	m.msg_case = CONKER__CLIENT_MSG__MSG_INPUT;
	m.input = &in;
	m.channel = e->chan.number;
	return wire_send(&e->box->wire, &m, len == 0 ? OUT_CONTROL_BYTES : OUT_DATA_BYTES);
}

/* As much of len bytes as credit and buffer allow; the last one goes out with `what`. */
static size_t input_send_some(conker_exec *e, const uint8_t *data, size_t len, int what)
{
	struct input *in = &e->in;
	size_t done = 0;

	while (done < len && in->credit > 0) {
		size_t n = min_(len - done, (size_t)FRAME_DATA_BYTES);
		n = min_(n, (size_t)in->credit);
		if (input_send(e, data + done, n, done + n == len ? what : 0) < 0) {
			e->box->wire.drain_wanted = 1;
			break;
		}
		in->credit -= n;
		in->sent += n;
		done += n;
	}
	return done;
}

static struct input_block *input_first_unsent(const struct input *in)
{
	struct input_block *b = in->first;

	while (b && b->sent == b->len)
		b = b->next;
	return b;
}

static void input_send_blocks(conker_exec *e)
{
	struct input *in = &e->in;
	struct input_block *b = input_first_unsent(in);

	for (; b; b = b->next) {
		size_t n = input_send_some(e, b->data + b->sent, b->len - b->sent, IN_FLUSH);

		b->sent += n;
		in->queued_bytes -= n;
		if (b->sent < b->len)
			return;
		b->end = in->sent;
	}
}

void input_pump(conker_exec *e)
{
	struct input *in = &e->in;

	if (in->held || e->fate != FATE_NONE || in->error)
		return;
	input_send_blocks(e);
	if (in->eof_due && in->queued_bytes == 0) {
		if (input_send(e, NULL, 0, IN_EOF) < 0)
			e->box->wire.drain_wanted = 1;
		else
			in->eof_due = 0;
	}
	if (!e->started || !in->want_write || in->closed || in->queued_bytes > 0 || in->credit == 0)
		return;
	if (wire_room(&e->box->wire, OUT_DATA_BYTES) <= OUT_DATA_BYTES / 2) {
		e->box->wire.drain_wanted =
			1; /* what others have said is in the way; no credit will call us again */
		return;
	}
	in->want_write = 0;
	in->writable_due = 1;
	exec_queue(e);
}

void input_on_started(conker_exec *e, const Conker__Started *s)
{
	struct input *in = &e->in;

	if (in->held) {
		in->held = 0;
		in->credit = s->stdin_window;
		if (!s->feeds && s->stdin_window == 0) /* an older init says the one by the other */
			input_end(e, EPIPE);           /* it has no stdin that could be fed */
	}
	input_pump(e);
}

/* ---- completion --------------------------------------------------------------------------------------- */

static void input_drop_first(struct input *in)
{
	struct input_block *b = in->first;

	in->first = b->next;
	if (!in->first)
		in->last = &in->first;
	in->completed++;
	in->queued_bytes -= b->len - b->sent;
	free(b);
}

/* Blocks whose last byte was taken are complete. */
static void input_complete(conker_exec *e)
{
	struct input *in = &e->in;

	while (in->first && in->first->sent == in->first->len && in->first->end <= in->taken)
		input_drop_first(in);
	if (in->completed > in->told)
		exec_queue(e);
	wait_broadcast(e->box);
}

void input_end(conker_exec *e, int error)
{
	struct input *in = &e->in;

	if (in->error)
		return;
	input_complete(e);
	in->error = error;
	in->eof_due = 0;
	in->failed = in->completed + 1;
	while (in->first)
		input_drop_first(in);
	if (in->completed > in->told)
		exec_queue(e);
	wait_broadcast(e->box);
}

int input_on_credit(conker_exec *e, const Conker__Credit *c, const char **ret_why)
{
	struct input *in = &e->in;

	*ret_why = "credit for stdin that was not sent";
	if (c->bytes > in->sent - in->taken)
		return -EPROTO;
	if (c->dropped) {
		input_end(e, EPIPE);
		return 0;
	}
	*ret_why = "more of a window for stdin than there is";
	if (in->credit + (in->sent - in->taken) + c->opened > STDIN_WINDOW_BYTES)
		return -EPROTO;
	in->credit += (uint64_t)c->bytes + c->opened;
	in->taken += c->bytes;
	input_complete(e);
	input_pump(e);
	return 0;
}

void input_tell(conker_exec *e)
{
	struct input *in = &e->in;

	while (in->told < in->completed) {
		uint64_t ticket = ++in->told;
		conker_event_data d = {.written = {.ticket = (int64_t)ticket}};

		if (in->failed && ticket >= in->failed)
			d.written.error = -in->error;
		exec_call(e, CONKER_WRITTEN, &d);
	}
}

/* ---- the public calls ---------------------------------------------------------------------------------- */

static int input_check(conker_exec *e, struct err *err)
{
	if (e->in.closed)
		return err_set(err, ESHUTDOWN, "its stdin is closed, or was never open");
	if (e->box->lost)
		return box_lost_error(e->box, err);
	if (e->fate != FATE_NONE || e->in.error == ESRCH)
		return err_set(err, ESRCH, "the execution has ended");
	if (e->in.error)
		return err_set(err, EPIPE, "the process closed its stdin");
	return 0;
}

/* [locked] */
static ssize_t input_write_now(conker_exec *e, const void *buf, size_t len, struct err *err)
{
	size_t n = e->in.queued_bytes == 0 ? input_send_some(e, buf, len, 0) : 0;

	if (n < len)
		e->in.want_write = 1;
	if (n == 0)
		return err_set(err, EAGAIN, "the stdin window is full; wait for CONKER_WRITABLE");
	return (ssize_t)n;
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
	r = input_check(e, err);
	if (r == 0 && len > 0)
		r = input_write_now(e, buf, len, err);
	box_unlock(e->box);
	return r;
}

/* Takes the block on success. [locked] */
static int64_t input_enqueue(conker_exec *e, struct input_block **block, struct err *err)
{
	struct input *in = &e->in;
	struct input_block *b = *block;

	if (b->len > INPUT_QUEUE_BYTES - in->queued_bytes)
		return err_set(err, EAGAIN, "%zu bytes of stdin are waiting already",
			       in->queued_bytes);
	*block = NULL;
	*in->last = b;
	in->last = &b->next;
	in->queued_bytes += b->len;
	b->end = in->sent; /* of an empty one; others learn it when they are sent */
	in->tickets++;
	input_pump(e);
	input_complete(e);
	return (int64_t)in->tickets;
}

int64_t conker_exec_write_all(conker_exec *e, const void *buf, size_t len)
{
	struct err *err;
	int64_t r = exec_enter(e, &err);

	if (r < 0)
		return r;
	if (!buf && len > 0)
		return err_set(err, EINVAL, "no bytes given");
	if (len > INPUT_QUEUE_BYTES)
		return err_set(err, EAGAIN, "more than %d bytes at once", INPUT_QUEUE_BYTES);
	struct input_block *b = calloc(1, sizeof(*b) + len);
	if (!b)
		return err_set(err, ENOMEM, "no memory for %zu bytes of stdin", len);
	b->len = len;
	if (len > 0)
		memcpy(b->data, buf, len);
	pthread_mutex_lock(&e->box->lock);
	r = input_check(e, err);
	if (r == 0)
		r = input_enqueue(e, &b, err);
	box_unlock(e->box);
	free(b); /* if it was not taken */
	return r;
}

int conker_exec_close_stdin(conker_exec *e)
{
	struct err *err;
	int r = exec_enter(e, &err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&e->box->lock);
	if (!e->in.closed) {
		e->in.closed = 1;
		e->in.eof_due = e->fate == FATE_NONE && !e->in.error;
		input_pump(e);
	}
	box_unlock(e->box);
	return r;
}

struct flush_wait {
	const conker_exec *e;
	uint64_t ticket, taken; /* one of them; 0: not */
};

static int is_flushed(const void *arg)
{
	const struct flush_wait *w = arg;
	const struct input *in = &w->e->in;

	return in->error || (in->completed >= w->ticket && in->taken >= w->taken);
}

/* [locked] */
static int input_flush(conker_exec *e, uint64_t ticket, int timeout_ms, struct err *err)
{
	struct input *in = &e->in;
	struct flush_wait w = {e, ticket ? ticket : in->tickets, 0};

	if (ticket == 0 && in->queued_bytes == 0 && in->sent > in->taken) {
		w.taken = in->sent;
		if (input_send(e, NULL, 0, IN_FLUSH) < 0)
			return err_set(err, EAGAIN, "too much is being sent");
	}
	int r = wait_for(e->box, is_flushed, &w, timeout_ms);
	if (r < 0)
		return err_set(err, -r, "flush stdin: %s", strerror(-r));
	if (in->failed && (w.ticket >= in->failed || in->taken < w.taken))
		return err_set(err, in->error, "flush stdin: %s",
			       in->error == EPIPE ? "the process closed it"
						  : "the execution has ended");
	return 0;
}

int conker_exec_flush(conker_exec *e, int64_t ticket, int timeout_ms)
{
	struct err *err;
	int r = exec_enter(e, &err);

	if (r == 0)
		r = api_may_wait(err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&e->box->lock);
	if (ticket < 0 || (uint64_t)ticket > e->in.tickets) {
		r = err_set(err, EINVAL, "no such ticket");
	} else {
		exec_ref(e);
		r = input_flush(e, (uint64_t)ticket, timeout_ms, err);
		exec_unref(e);
	}
	box_unlock(e->box);
	return r;
}

size_t conker_exec_stdin_pending(const conker_exec *e)
{
	struct err *err;
	size_t n = 0;

	if (exec_enter(e, &err) < 0)
		return 0;
	pthread_mutex_lock(&e->box->lock);
	if (!e->in.error)
		n = e->in.queued_bytes + (size_t)(e->in.sent - e->in.taken);
	box_unlock(e->box);
	return n;
}
