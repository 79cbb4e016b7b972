/* SPDX-License-Identifier: Apache-2.0 */
/* flow.c - output and its credit.
 *
 * The guest may have `window` bytes per stream in flight beyond what we credited. We credit
 * what the user has taken: by returning from the callback, or by conker_exec_ack(). Not each byte by
 * itself: a credit costs the guest a system call, so half a window is gathered first. A guest that has
 * used up its window gets at once whatever there is, or a user who acknowledges in small pieces would
 * wait for ever.
 *
 * Offsets count what a stream ever carried. One above the expected one is a gap, which is told; where a
 * view begins, when it did not say so, is the first offset that comes.
 */
#include "lib/handle/exec.h"

#include <errno.h>
#include <string.h>

static int flow_send_credit(conker_exec *e, int i, uint64_t bytes)
{
	Conker__Credit c = CONKER__CREDIT__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;

	c.stream = i ? CONKER__STREAM__STDERR : CONKER__STREAM__STDOUT;
	c.bytes = (uint32_t)bytes; /* at most a window */
	m.msg_case = CONKER__CLIENT_MSG__MSG_CREDIT;
	m.credit = &c;
	m.channel = e->chan.number;
	return wire_send(&e->box->wire, &m, OUT_CONTROL_BYTES);
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
		if (flow_send_credit(e, i, due) < 0)
			e->box->wire.drain_wanted = 1;
		else
			e->credited[i] += due;
	}
}

static void flow_tell_gap(conker_exec *e, int i, uint64_t to)
{
	const conker_event_data d = {.gap = {i ? CONKER_STDERR : CONKER_STDOUT, e->next[i], to}};

	lines_end(e, i);
	e->next[i] = to;
	exec_call(e, CONKER_GAP, &d);
}

int flow_on_output(conker_exec *e, const Conker__Output *o, const char **ret_why)
{
	int i = o->stream == CONKER__STREAM__STDERR;

	*ret_why = "output out of place";
	if (!e->takes[i] || (e->placed[i] && o->offset < e->next[i]))
		return -EPROTO;
	*ret_why = "more output than the window allows";
	if (e->received[i] + o->data.len - e->credited[i] > e->window)
		return -EPROTO;
	if (e->placed[i] && o->offset > e->next[i])
		flow_tell_gap(e, i, o->offset);
	e->placed[i] = 1;
	e->next[i] = o->offset + o->data.len;
	e->received[i] += o->data.len;
	e->event_offset = o->offset;
	e->event_time_us = o->time_us;
	lines_put(e, i, o->data.data, o->data.len);
	if (e->freed || !(e->flags & CONKER_EXEC_MANUAL_ACK))
		e->taken[i] = e->received[i];
	flow_credit(e);
	return 0;
}

int flow_on_exit(conker_exec *e, const Conker__Exit *x, const char **ret_why)
{
	const uint64_t ever[2] = {x->out_bytes, x->err_bytes};

	for (int i = 0; i < 2; i++) {
		*ret_why = "an end before the last output";
		if (e->takes[i] && e->placed[i] && ever[i] < e->next[i])
			return -EPROTO;
		if (e->takes[i] && e->placed[i] && ever[i] > e->next[i])
			flow_tell_gap(e, i, ever[i]);
	}
	return 0;
}

/* ---- the public calls --------------------------------------------------------------------------------- */

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
