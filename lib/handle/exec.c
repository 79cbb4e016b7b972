/* SPDX-License-Identifier: Apache-2.0 */
/* exec.c - one execution as one handle sees it, from Start or Attach to its one last event.
 *
 *	          Started            Exit
 *	opened ------------> started ------> ended (EXIT)
 *	   |  Error             |  Done (detached, or nothing to follow)
 *	   |                    +----------> ended (DETACHED)
 *	   |  box lost          |  box lost
 *	   +--------------------+----------> ended (LOST)
 *
 * Protocol: what the guest may say in which state is in docs/protocol.md; anything else is -EPROTO, and costs the
 * whole connection.
 *
 * Duties: exactly one last event, unless the handle is freed before; free after fn, once. Freeing the handle of one
 * that still runs kills it, or leaves it alone (a view, KEEP), and ends its callbacks. The conversation goes on
 * without them until its end: the guest gets its output taken, or it could never finish.
 *
 * Limits: a window of output in flight per stream (flow.c), INPUT_QUEUE_BYTES of stdin (input.c).
 */
#include "lib/handle/exec.h"
#include "lib/handle/request.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what is due without a frame ------------------------------------------------------------------- */

static void exec_tell_lost(conker_exec *e)
{
	const conker_event_data d = {.failure = {.size = sizeof(d.failure),
						 .error = e->error,
						 .step = e->step,
						 .text = e->text,
						 .kind = e->kind}};

	lines_end(e, 0);
	lines_end(e, 1);
	exec_call(e, CONKER_LOST, &d);
	exec_finish(e);
}

static void exec_run_due(struct due *d)
{
	conker_exec *e = container_of(d, conker_exec, due);

	input_tell(e);
	if (e->in.writable_due && e->fate == FATE_NONE) {
		e->in.writable_due = 0;
		exec_call(e, CONKER_WRITABLE, NULL);
	}
	if (e->fate == FATE_LOST && !e->told)
		exec_tell_lost(e);
	exec_unref(e);
}

/* ---- messages ------------------------------------------------------------------------------------------ */

/* The conversation is over: e leaves the table, whose reference passes to the caller. */
static void exec_end(conker_exec *e, enum exec_fate fate)
{
	assert(e->fate == FATE_NONE);
	e->fate = fate;
	chan_del(&e->box->wire, &e->chan);
}

static void exec_lose(conker_exec *e, enum conker_errkind kind, int code, const char *step,
		      const char *text)
{
	e->kind = kind;
	e->error = code;
	(void)snprintf(e->step, sizeof(e->step), "%s", step);
	(void)snprintf(e->text, sizeof(e->text), "%s", text);
	clean_text(e->step);
	clean_text(e->text);
	exec_end(e, FATE_LOST);
	input_end(e, kind == CONKER_ERR_START ? ESRCH : code);
	exec_queue(e);
	exec_unref(e);
}

/* The last event but LOST. [locked][leader] */
static void exec_conclude(conker_exec *e, enum exec_fate fate, enum conker_event ev,
			  const conker_event_data *data)
{
	exec_end(e, fate);
	input_end(e, ESRCH);
	lines_end(e, 0);
	lines_end(e, 1);
	input_tell(e);
	exec_call(e, ev, data);
	exec_finish(e);
	exec_unref(e);
}

static int on_exit_msg(conker_exec *e, const Conker__Exit *x, const char **ret_why)
{
	int r = flow_on_exit(e, x, ret_why);

	if (r < 0)
		return r;
	status_of(&e->status, x);
	const conker_event_data d = {.status = e->status};
	exec_conclude(e, FATE_EXIT, CONKER_EXIT, &d);
	return 0;
}

static void on_started(conker_exec *e, const Conker__Started *s)
{
	e->started = 1;
	e->id = s->exec;
	e->existing = s->existing;
	if (e->existing)
		e->owner = 0;
	exec_call(e, CONKER_STARTED, NULL);
	if (e->fate == FATE_NONE)
		input_on_started(e, s);
}

static void on_error(conker_exec *e, const Conker__Error *m)
{
	enum conker_errkind kind = e->view           ? CONKER_ERR_CALL
				   : m->step[0] != 0 ? CONKER_ERR_START
						     : CONKER_ERR_CALL;

	exec_lose(e, kind, min_(m->code, 4095), m->step, m->text);
}

static int on_started_msg(conker_exec *e, const Conker__ServerMsg *m, const char **ret_why)
{
	switch (m->msg_case) {
	case CONKER__SERVER_MSG__MSG_OUTPUT: return flow_on_output(e, m->output, ret_why);
	case CONKER__SERVER_MSG__MSG_CREDIT: return input_on_credit(e, m->credit, ret_why);
	case CONKER__SERVER_MSG__MSG_EXIT: return on_exit_msg(e, m->exit, ret_why);
	case CONKER__SERVER_MSG__MSG_DONE:
		if (!e->view && !e->detaching)
			return -EPROTO;
		exec_conclude(e, FATE_DETACHED, CONKER_DETACHED, NULL);
		return 0;
	default: return -EPROTO;
	}
}

static int exec_on_msg(conker_exec *e, const Conker__ServerMsg *m, const char **ret_why)
{
	*ret_why = "a message out of order";
	if (m->msg_case == CONKER__SERVER_MSG__MSG_ERROR) {
		on_error(e, m->error);
		return 0;
	}
	if (e->started)
		return on_started_msg(e, m, ret_why);
	if (m->msg_case != CONKER__SERVER_MSG__MSG_STARTED)
		return -EPROTO;
	on_started(e, m->started);
	return 0;
}

/* ---- what its conversation is told ---------------------------------------------------------------------- */

static int exec_on_chan_msg(struct chan *c, const Conker__ServerMsg *m, const char **ret_why)
{
	conker_exec *e = container_of(c, conker_exec, chan);

	exec_ref(e); /* it may end, and be freed by its callback */
	int r = exec_on_msg(e, m, ret_why);
	exec_unref(e);
	return r;
}

/* Whoever is told of no start before the box stands still, in the order of one connection, has started nothing
 * (docs/protocol.md). */
static void exec_on_chan_lost(struct chan *c, int code, const char *reason)
{
	conker_exec *e = container_of(c, conker_exec, chan);
	int restart = e->box->suspended && !e->started && !e->view;

	exec_lose(e, CONKER_ERR_BOX, restart ? ERESTART : code, "",
		  restart ? "it was suspended before the command began" : reason);
}

static void exec_on_chan_drain(struct chan *c)
{
	conker_exec *e = container_of(c, conker_exec, chan);

	input_pump(e);
	flow_credit(e);
}

static const struct chan_ops exec_chan_ops = {exec_on_chan_msg, exec_on_chan_lost,
					      exec_on_chan_drain};

/* ---- opening ------------------------------------------------------------------------------------------- */

conker_exec *exec_new(conker_box *b, const conker_exec_cb *cb, uint32_t flags, uint32_t window)
{
	conker_exec *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->box = b;
	x->cb = *cb;
	x->flags = flags;
	x->window = window ? window : WINDOW_DEFAULT_BYTES;
	x->takes[0] = x->takes[1] = 1;
	x->in.last = &x->in.first;
	x->due.fn = exec_run_due;
	return x;
}

/* [locked] */
static int exec_send_first(conker_exec *x, Conker__ClientMsg *m, struct err *e)
{
	if (x->box->lost)
		return box_lost_error(x->box, e);
	chan_add(&x->box->wire, &x->chan, &exec_chan_ops);
	m->channel = x->chan.number;
	int r = wire_send(&x->box->wire, m, OUT_START_BYTES);
	if (r == 0)
		return 0;
	chan_del(&x->box->wire, &x->chan);
	return r == -E2BIG ? err_set(e, E2BIG, "arguments and environment are larger than %d MiB",
				     FRAME_MAX_BYTES >> 20)
			   : err_set(e, -r, "send the command to the box: %s", strerror(-r));
}

int exec_open(conker_exec *x, Conker__ClientMsg *m, conker_exec **ret, struct err *e)
{
	conker_box *b = x->box;

	pthread_mutex_lock(&b->lock);
	int r = exec_send_first(x, m, e);
	if (r == 0) {
		x->refs = 2; /* the handle's and the table's */
		b->refs++;
		*ret = x; /* before a leader elsewhere can run the first callback */
	}
	box_unlock(b);
	if (r < 0)
		free(x);
	return r;
}

/* ---- signals ------------------------------------------------------------------------------------------- */

int signal_check(int signo, int scope, struct err *e)
{
	if (signo < 1 || signo > SIGNO_MAX)
		return err_set(e, EINVAL, "no signal %d: 1 to %d", signo, SIGNO_MAX);
	if (scope < CONKER_KILL_PROCESS || scope > CONKER_KILL_ALL)
		return err_set(e, EINVAL, "no such scope of a signal: %d", scope);
	return 0;
}

static int exec_signal(conker_exec *e, int signo, int scope, size_t limit)
{
	Conker__Signal s = CONKER__SIGNAL__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;

	/* By channel, which the guest knows from Start on, so that it works before Started came. */
	s.of_channel = e->chan.number;
	s.signo = (uint32_t)signo;
	s.scope = (Conker__Scope)scope;
	m.msg_case = CONKER__CLIENT_MSG__MSG_SIGNAL;
	m.signal = &s;
	return wire_send_aside(&e->box->wire, &m, limit);
}

int conker_exec_kill(conker_exec *e, int signo, int scope)
{
	struct err *err;
	int r = exec_enter(e, &err);

	signo = signo ? signo : SIGKILL;
	if (r == 0)
		r = signal_check(signo, scope, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&e->box->lock);
	if (e->fate != FATE_NONE) {
		r = err_set(err, ESRCH, "the execution has ended");
	} else {
		r = exec_signal(e, signo, scope, OUT_CONTROL_BYTES);
		if (r < 0)
			r = err_set(err, -r, "send the signal: %s", strerror(-r));
	}
	box_unlock(e->box);
	return r;
}

/* Leaves the execution alone from now on. [locked] */
static int exec_detach(conker_exec *e, size_t limit)
{
	Conker__Detach d = CONKER__DETACH__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;

	m.msg_case = CONKER__CLIENT_MSG__MSG_DETACH;
	m.detach = &d;
	m.channel = e->chan.number;
	int r = wire_send(&e->box->wire, &m, limit);
	if (r == 0) {
		e->detaching = 1;
		e->owner = 0;
	}
	return r;
}

int conker_exec_detach(conker_exec *e)
{
	struct err *err;
	int r = exec_enter(e, &err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&e->box->lock);
	if (e->fate == FATE_NONE && !e->detaching) {
		r = exec_detach(e, OUT_CONTROL_BYTES);
		if (r < 0)
			r = err_set(err, -r, "detach: %s", strerror(-r));
	}
	box_unlock(e->box);
	return r;
}

int conker_exec_resize(conker_exec *e, uint16_t rows, uint16_t cols)
{
	Conker__Resize z = CONKER__RESIZE__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	struct err *err;
	int r = exec_enter(e, &err);

	if (r == 0 && !(e->flags & CONKER_EXEC_TTY))
		r = err_set(err, ENOTTY, "the execution has no terminal");
	if (r < 0)
		return r;
	z.rows = rows;
	z.cols = cols;
	m.msg_case = CONKER__CLIENT_MSG__MSG_RESIZE;
	m.resize = &z;
	pthread_mutex_lock(&e->box->lock);
	m.channel = e->chan.number;
	r = e->fate != FATE_NONE ? -ESRCH : wire_send(&e->box->wire, &m, OUT_CONTROL_BYTES);
	if (r < 0)
		r = err_set(err, -r, "resize the terminal: %s", strerror(-r));
	box_unlock(e->box);
	return r;
}

/* ---- waiting and the end -------------------------------------------------------------------------------- */

static int is_done(const void *arg)
{
	const conker_exec *e = arg;

	return e->done;
}

static int outcome(const conker_exec *e, conker_status *ret, struct err *err)
{
	if (e->fate == FATE_LOST) {
		int r = err_set(err, e->error, "%s%s%s", e->step, *e->step ? ": " : "", e->text);
		return api_kind(e->kind, e->step, r);
	}
	if (e->fate == FATE_DETACHED)
		return err_set(err, ENODATA, "the view ended before the execution did");
	if (ret)
		opts_out(ret, &e->status, sizeof(e->status));
	return 0;
}

int conker_exec_wait(conker_exec *e, int timeout_ms, conker_status *ret)
{
	struct err *err;
	int r = exec_enter(e, &err);

	if (r == 0 && ret && ret->size < sizeof(ret->size))
		r = err_set(err, EINVAL, "the status's size field is not set");
	if (r == 0)
		r = api_may_wait(err);
	if (r < 0)
		return r;
	conker_box *b = e->box;
	pthread_mutex_lock(&b->lock);
	exec_ref(e);
	r = wait_for(b, is_done, e, timeout_ms);
	if (r == 0)
		r = outcome(e, ret, err);
	else
		r = err_set(err, -r, "wait: %s", r == -ETIMEDOUT ? "it still runs" : strerror(-r));
	exec_unref(e);
	box_unlock(b);
	return r;
}

uint64_t conker_exec_id(const conker_exec *e)
{
	struct err *err;

	if (exec_enter(e, &err) < 0)
		return 0;
	pthread_mutex_lock(&e->box->lock);
	uint64_t id = e->id;
	box_unlock(e->box);
	return id;
}

int conker_exec_existing(const conker_exec *e)
{
	struct err *err;
	int r = exec_enter(e, &err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&e->box->lock);
	r = e->existing;
	box_unlock(e->box);
	return r;
}

/* One each, so no limit applies; what was held back is let go. */
static void exec_let_go(conker_exec *e)
{
	int r = e->owner       ? exec_signal(e, SIGKILL, CONKER_KILL_ALL, SIZE_MAX)
		: e->detaching ? 0
			       : exec_detach(e, SIZE_MAX);

	if (r < 0)
		box_lose(e->box, ENOMEM, "no memory to end an execution whose handle was freed");
	e->taken[0] = e->received[0];
	e->taken[1] = e->received[1];
	flow_credit(e);
}

conker_exec *conker_exec_free(conker_exec *e)
{
	/* In the child of a fork() the lock may be held by a thread that is not there. */
	if (!e || e->box->maker != getpid())
		return NULL;

	conker_box *b = e->box;
	pthread_mutex_lock(&b->lock);
	e->freed = 1;
	if (e->fate == FATE_NONE)
		exec_let_go(e);
	exec_drop_cb(e);
	exec_unref(e);
	box_unlock(b);
	return NULL;
}
