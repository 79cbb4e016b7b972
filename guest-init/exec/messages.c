/* SPDX-License-Identifier: Apache-2.0 */
/* messages.c - see messages.h. */
#include "guest-init/exec/messages.h"

void message_send(struct outbox *out, uint32_t channel, Conker__ServerMsg__MsgCase kind, void *body)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;

	m.channel = channel;
	m.msg_case = kind;
	m.done = body; /* a union of pointers */

	size_t n = codec_server_size(&m);
	outbox_commit(out, codec_server_put(&m, outbox_room(out, n)));
}

void message_error(struct outbox *out, uint32_t channel, int code, const char *step,
		   const char *text)
{
	Conker__Error e = CONKER__ERROR__INIT;

	e.code = code;
	e.step = (char *)(uintptr_t)step;
	e.text = (char *)(uintptr_t)text;
	message_send(out, channel, CONKER__SERVER_MSG__MSG_ERROR, &e);
}

void message_done(struct outbox *out, uint32_t channel, uint32_t host_port)
{
	Conker__Done d = CONKER__DONE__INIT;

	d.host_port = host_port;
	message_send(out, channel, CONKER__SERVER_MSG__MSG_DONE, &d);
}

/* ---- executions ---- */

void message_started(struct view *v, int existing)
{
	Conker__Started started = CONKER__STARTED__INIT;
	const struct exec *x = v->exec;

	started.exec = x->id;
	started.pid = x->pidfd >= 0 ? (uint32_t)x->box_pid : 0;
	started.existing = existing;
	started.feeds = (v->flags & VIEW_FEEDS) != 0;
	started.stdin_window = started.feeds ? x->in.open_bytes : 0;
	message_send(v->out, v->channel, CONKER__SERVER_MSG__MSG_STARTED, &started);
}

void message_credit(struct view *v, struct in_credit c, int dropped)
{
	Conker__Credit credit = CONKER__CREDIT__INIT;

	credit.stream = CONKER__STREAM__STDIN;
	credit.bytes = c.bytes;
	credit.opened = c.opened;
	credit.dropped = dropped;
	message_send(v->out, v->channel, CONKER__SERVER_MSG__MSG_CREDIT, &credit);
}

void message_put_usage(Conker__Usage *ret, const struct cg_usage *u)
{
	ret->user_us = u->user_us;
	ret->sys_us = u->sys_us;
	ret->memory_bytes = u->memory_bytes;
	ret->memory_peak_bytes = u->memory_peak_bytes;
	ret->pids = u->pids;
	ret->pids_peak = u->pids_peak;
	ret->oom_kills = u->oom_kills;
	ret->throttled_us = u->throttled_us;
}

void message_fill_usage(struct execs *e, struct exec *x, Conker__Usage *ret)
{
	struct cg_usage u = x->usage, now;

	if (x->cg >= 0) {
		cg_usage(&e->cg, x->cg, &now);
		cg_usage_add(&u, &now);
		u.memory_bytes = now.memory_bytes;
		u.pids = now.pids;
	}
	message_put_usage(ret, &u);
}

void message_fill_exit(struct execs *e, struct exec *x, Conker__Exit *ret, Conker__Usage *of)
{
	ret->code = x->code;
	ret->signal = x->signo;
	ret->timed_out = x->timed_out;
	ret->duration_us = (uint64_t)(x->end_us - x->run_us);
	ret->user_us = (uint64_t)x->user_us;
	ret->sys_us = (uint64_t)x->sys_us;
	ret->max_rss_kib = (uint64_t)x->max_rss_kib;
	ret->status = x->status;
	ret->out_bytes = x->log[0]->end;
	ret->err_bytes = x->log[1]->end;
	ret->restarts = x->restart.n;
	message_fill_usage(e, x, of);
	ret->usage = of;
}

void message_exit(struct execs *e, struct exec *x, struct outbox *out, uint32_t channel)
{
	Conker__Exit exit = CONKER__EXIT__INIT;
	Conker__Usage usage = CONKER__USAGE__INIT;

	message_fill_exit(e, x, &exit, &usage);
	message_send(out, channel, CONKER__SERVER_MSG__MSG_EXIT, &exit);
}
