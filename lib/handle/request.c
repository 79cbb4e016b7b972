/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - question and answer, each on a channel of its own; what is asked is in ask.c.
 *
 * The leader fills in the answer, the asking thread waits for it with the request on its stack. What a
 * guest may answer is bounded: a hostile one cannot make us gather for ever.
 */
#include "lib/handle/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LIST_MAX_BYTES = 16 << 20, /* of one answer to List */
};

static void usage_of(conker_usage *ret, const Conker__Usage *u)
{
	*ret = (conker_usage){0};
	if (!u)
		return;
	*ret = (conker_usage){
		.user_us = u->user_us,
		.sys_us = u->sys_us,
		.memory_bytes = u->memory_bytes,
		.memory_peak_bytes = u->memory_peak_bytes,
		.pids = u->pids,
		.pids_peak = u->pids_peak,
		.oom_kills = u->oom_kills,
		.throttled_us = u->throttled_us,
	};
}

void status_of(conker_status *ret, const Conker__Exit *x)
{
	*ret = (conker_status){
		.size = sizeof(*ret),
		.code = x->code,
		.signo = x->signal,
		.timed_out = x->timed_out,
		.duration_us = x->duration_us,
		.user_us = x->user_us,
		.sys_us = x->sys_us,
		.max_rss_kib = x->max_rss_kib,
		.state = (enum conker_exec_state)x->status,
		.returncode = x->signal ? -x->signal : x->code,
		.stdout_bytes = x->out_bytes,
		.stderr_bytes = x->err_bytes,
		.restarts = x->restarts,
	};
	usage_of(&ret->usage, x->usage);
}

static void fill_info(conker_exec_info *i, const Conker__Listing *l)
{
	*i = (conker_exec_info){
		.size = sizeof(*i),
		.id = l->exec,
		.pid = l->pid <= INT32_MAX ? (int32_t)l->pid : 0,
		.age_us = l->age_us,
		.state = (enum conker_exec_state)l->status,
		.status.size = sizeof(i->status),
		.stdin_writable = l->stdin_writable,
		.detached = l->detached,
		.keep_alive = l->keep_alive,
		.tty = l->tty,
		.restarts = l->restarts,
		.views = l->views,
		.started_us = l->started_us,
		.ended_us = l->ended_us,
		.stdout_bytes = l->out_bytes,
		.stderr_bytes = l->err_bytes,
		.stdout_from = l->out_from,
		.stderr_from = l->err_from,
	};
	if (l->exit)
		status_of(&i->status, l->exit);
	usage_of(&i->usage, l->usage);
}

/* The bytes and the NUL that calloc() put behind them. */
static char *put_string(char **at, const ProtobufCBinaryData *b)
{
	char *s = *at;

	memcpy(s, b->data, b->len);
	*at += b->len + 1;
	return s;
}

/* One block: the entry, its argv array, then the strings. */
static struct listing *listing_new(const Conker__Listing *l, size_t *ret_bytes)
{
	size_t strings = l->name.len + 1 + l->key.len + 1;

	for (size_t i = 0; i < l->n_argv; i++)
		strings += l->argv[i].len + 1;
	*ret_bytes = sizeof(struct listing) + (l->n_argv + 1) * sizeof(char *) + strings;

	struct listing *n = calloc(1, *ret_bytes);
	if (!n)
		return NULL;
	char **argv = (char **)(n + 1);
	char *s = (char *)(argv + l->n_argv + 1);
	fill_info(&n->info, l);
	n->info.argv = (const char *const *)argv;
	for (size_t i = 0; i < l->n_argv; i++)
		argv[i] = put_string(&s, &l->argv[i]);
	n->info.name = put_string(&s, &l->name);
	n->info.key = put_string(&s, &l->key);
	return n;
}

static int on_listing(struct request *q, const Conker__Listing *l, const char **ret_why)
{
	size_t bytes;
	struct listing *n;

	*ret_why = "a list without end";
	if (!q->tail)
		return -EPROTO;
	n = listing_new(l, &bytes);
	if (!n) {
		q->error = ENOMEM;
		return 0;
	}
	*q->tail = n;
	q->tail = &n->next;
	q->list_bytes += bytes;
	return q->list_bytes > LIST_MAX_BYTES ? -EPROTO : 0;
}

static int on_stats(struct request *q, const Conker__BoxStats *m, const char **ret_why)
{
	*ret_why = "figures that nobody asked for";
	if (!q->stats)
		return -EPROTO;
	*q->stats = (conker_box_stats){
		.size = sizeof(*q->stats),
		.uptime_us = m->uptime_us,
		.idle_us = m->idle_us > 0 ? (uint64_t)m->idle_us : 0,
		.running = m->running,
		.kept = m->kept,
		.clients = m->clients,
		.forwards = m->forwards,
		.started = m->started,
		.memory_total_bytes = m->memory_total_bytes,
		.refused_frames = m->refused_frames,
		.dropped_bytes = m->dropped_bytes,
		.init_rss_kib = m->init_rss_kib,
		.init_fds = m->init_fds,
	};
	usage_of(&q->stats->usage, m->usage);
	q->done = 1;
	return 0;
}

static int request_on_msg(struct request *q, const Conker__ServerMsg *m, const char **ret_why)
{
	switch (m->msg_case) {
	case CONKER__SERVER_MSG__MSG_DONE:
		q->done = 1;
		q->host_port = m->done->host_port;
		return 0;
	case CONKER__SERVER_MSG__MSG_ERROR:
		q->done = 1;
		q->error = min_(m->error->code, 4095);
		(void)snprintf(q->text, sizeof(q->text), "%s", m->error->text);
		clean_text(q->text);
		return 0;
	case CONKER__SERVER_MSG__MSG_LISTING: return on_listing(q, m->listing, ret_why);
	case CONKER__SERVER_MSG__MSG_BOX_STATS: return on_stats(q, m->box_stats, ret_why);
	default: *ret_why = "an answer that fits no question"; return -EPROTO;
	}
}

static int request_on_chan_msg(struct chan *c, const Conker__ServerMsg *m, const char **ret_why)
{
	struct request *q = container_of(c, struct request, chan);
	int r = request_on_msg(q, m, ret_why);

	wait_broadcast(q->box);
	return r;
}

static void request_on_chan_lost(struct chan *c, int code, const char *reason)
{
	struct request *q = container_of(c, struct request, chan);

	chan_del(&q->box->wire, c);
	q->done = 1;
	q->error = code;
	(void)snprintf(q->text, sizeof(q->text), "%s", reason);
}

static const struct chan_ops request_chan_ops = {request_on_chan_msg, request_on_chan_lost, NULL};

static int request_is_done(const void *arg)
{
	const struct request *q = arg;

	return q->done;
}

/* [locked] */
static int request_run(conker_box *b, struct request *q, Conker__ClientMsg *m, int timeout_ms,
		       struct err *e)
{
	if (b->lost)
		return box_lost_error(b, e);
	q->box = b;
	chan_add(&b->wire, &q->chan, &request_chan_ops);
	m->channel = q->chan.number;
	int r = wire_send(&b->wire, m, OUT_START_BYTES);
	if (r == 0)
		r = wait_for(b, request_is_done, q, timeout_ms);
	if (q->chan.number)
		chan_del(&b->wire, &q->chan);
	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT, "box '%s': no answer within %d ms", b->name,
			       timeout_ms);
	if (r < 0)
		return err_set(e, -r, "box '%s': %s", b->name, strerror(-r));
	if (q->error && b->lost)
		return box_lost_error(b, e);
	if (q->error)
		return err_set(e, q->error, "box '%s': %s", b->name,
			       *q->text ? q->text : strerror(q->error));
	return 0;
}

conker_exec_info *conker_exec_info_free(conker_exec_info *i)
{
	if (i)
		free(container_of(i, struct listing, info));
	return NULL;
}

int request_ask(conker_box *b, struct request *q, Conker__ClientMsg *m, int timeout_ms,
		struct err *e)
{
	int r = api_may_wait(e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&b->lock);
	r = request_run(b, q, m, timeout_ms, e);
	box_unlock(b);
	return r;
}

void request_fini(struct request *q)
{
	while (q->list) {
		struct listing *n = q->list;

		q->list = n->next;
		free(n);
	}
}
