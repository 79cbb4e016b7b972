/* list.c - see list.h. */
#include "guest-init/serve/listing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest-init/serve/clients.h"
#include "guest-init/exec/stdin.h"
#include "guest-init/exec/output.h"
#include "guest-init/serve/server.h"
#include "guest-init/serve/stats.h"
#include "guest-init/sys/sys.h"

void list_no_such(struct client *c, uint32_t channel, const Conker__ExecRef *ref)
{
	char text[32 + KEY_MAX_BYTES];

	if (ref->exec)
		(void)snprintf(text, sizeof(text), "no such execution: %llu",
			       (unsigned long long)ref->exec);
	else
		(void)snprintf(text, sizeof(text), "no such execution: %s%s",
			       ref->name.len > 0 ? "" : "key:",
			       (const char *)(ref->name.len > 0 ? ref->name.data : ref->key.data));
	client_error(c, channel, ESRCH, "", text);
}

static void refuse(struct client *c, uint32_t channel, int code, const struct exec *x,
		   const char *why)
{
	char text[64 + NAME_MAX_BYTES];

	(void)snprintf(text, sizeof(text),
		       x->name[0] ? "execution %llu ('%s') %s" : "execution %llu%s %s",
		       (unsigned long long)x->id, x->name, why);
	client_error(c, channel, code, "", text);
}

void list_has_ended(struct client *c, uint32_t channel, const struct exec *x)
{
	refuse(c, channel, ESRCH, x, "has ended");
}

/* ---- Exit and Listing ---- */

/* of: what e will point to. */
static void fill_exit(struct server *s, struct exec *x, Conker__Exit *e, Conker__Usage *of)
{
	e->code = x->code;
	e->signal = x->signo;
	e->timed_out = x->timed_out;
	e->duration_us = (uint64_t)(x->end_us - x->run_us);
	e->user_us = (uint64_t)x->user_us;
	e->sys_us = (uint64_t)x->sys_us;
	e->max_rss_kib = (uint64_t)x->max_rss_kib;
	e->status = x->status;
	e->out_bytes = exec_log(s, x, 0)->end;
	e->err_bytes = exec_log(s, x, 1)->end;
	e->restarts = x->restart.n;
	stats_of_exec(s, x, of);
	e->usage = of;
}

void list_send_exit(struct server *s, struct exec *x, struct client *c, uint32_t channel)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Exit e = CONKER__EXIT__INIT;
	Conker__Usage u = CONKER__USAGE__INIT;

	fill_exit(s, x, &e, &u);
	m.channel = channel;
	m.msg_case = CONKER__SERVER_MSG__MSG_EXIT;
	m.exit = &e;
	client_send(c, &m);
}

Conker__Status list_status(const struct exec *x)
{
	if (x->state == EXEC_ENDED)
		return x->status;
	if (x->state == EXEC_BACKOFF)
		return CONKER__STATUS__BACKOFF;
	if (x->left)
		return CONKER__STATUS__LEFT;
	return x->pidfd >= 0 && sys_is_stopped(x->pidfd) ? CONKER__STATUS__STOPPED
							 : CONKER__STATUS__RUNNING;
}

static ProtobufCBinaryData bytes(const char *text)
{
	return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

static void fill_argv(struct exec *x, Conker__Listing *l, ProtobufCBinaryData *argv)
{
	const char *p = x->argv;

	for (l->n_argv = 0; l->n_argv < x->n_argv; l->n_argv++) {
		argv[l->n_argv] = bytes(p);
		p += strlen(p) + 1;
	}
	l->argv = argv;
}

static void fill_streams(struct server *s, struct exec *x, Conker__Listing *l)
{
	l->out_bytes = exec_log(s, x, 0)->end;
	l->err_bytes = exec_log(s, x, 1)->end;
	l->out_from = exec_log(s, x, 0)->first;
	l->err_from = exec_log(s, x, 1)->first;
	for (const struct view *v = x->views; v; v = v->next)
		l->views++;
	l->stdin_writable = x->in_fd >= 0 && !x->in_eof;
}

static void send_listing(struct server *s, struct exec *x, struct client *c)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Listing l = CONKER__LISTING__INIT;
	Conker__Exit e = CONKER__EXIT__INIT;
	Conker__Usage past = CONKER__USAGE__INIT, live = CONKER__USAGE__INIT;
	ProtobufCBinaryData argv[EXEC_ARGV_BYTES / 2];

	l.exec = x->id;
	l.pid = (uint32_t)x->box_pid;
	l.name = bytes(x->name);
	l.key = bytes(x->key);
	fill_argv(x, &l, argv);
	fill_streams(s, x, &l);
	l.age_us = (uint64_t)(s->now_us - x->start_us);
	l.status = list_status(x);
	l.restarts = x->restart.n;
	l.started_us = x->started_real_us;
	l.ended_us = x->ended_real_us;
	l.detached = x->detached;
	l.keep_alive = x->keep_alive;
	l.tty = x->tty;
	if (x->state == EXEC_ENDED || x->state == EXEC_BACKOFF || x->left) {
		fill_exit(s, x, &e, &past);
		l.exit = &e;
	}
	if (c->list.usage) {
		stats_of_exec(s, x, &live);
		l.usage = &live;
	}
	m.channel = c->list.channel;
	m.msg_case = CONKER__SERVER_MSG__MSG_LISTING;
	m.listing = &l;
	client_send(c, &m);
}

/* The next one in order of numbers that is to be listed. */
static struct exec *next_of(struct server *s, const struct client_list *l)
{
	struct exec *best = NULL;

	for (struct exec *x = s->exec; x < s->exec + s->n_slots; x++)
		if ((exec_is_live(x) || (l->all && x->state == EXEC_ENDED)) &&
		    x->id >= l->next_id && (!best || x->id < best->id))
			best = x;
	return best;
}

void list_go_on(struct server *s, struct client *c)
{
	struct exec *x;

	while (outbox_free(&c->out) >= OUTBOX_REPLY_BYTES) {
		x = next_of(s, &c->list);
		if (!x) {
			c->list.active = 0;
			client_done(c, c->list.channel);
			return;
		}
		send_listing(s, x, c);
		c->list.next_id = x->id + 1;
	}
}

void list_begin(struct server *s, struct client *c, uint32_t channel, const Conker__List *m)
{
	c->list = (struct client_list){
		.active = 1, .all = m->all, .usage = m->usage, .channel = channel, .next_id = 1};
	if (!m->ref) {
		list_go_on(s, c);
		return;
	}
	struct exec *x = exec_by_ref(s, m->ref);

	c->list.active = 0;
	if (!x) {
		list_no_such(c, channel, m->ref);
		return;
	}
	send_listing(s, x, c);
	client_done(c, channel);
}

/* ---- views ---- */

void list_send_started(struct server *s, struct view *v, int existing)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Started started = CONKER__STARTED__INIT;
	struct exec *x = v->exec;

	started.exec = x->id;
	started.pid = x->pidfd >= 0 ? (uint32_t)x->box_pid : 0;
	started.existing = existing;
	started.feeds = (v->flags & VIEW_FEEDS) != 0;
	started.stdin_window = started.feeds ? x->in.open_bytes : 0;
	m.channel = v->channel;
	m.msg_case = CONKER__SERVER_MSG__MSG_STARTED;
	m.started = &started;
	if ((v->flags & VIEW_STARTER) && x->in_fd < 0) /* nobody waits for it */
		client_send_lazy(s, v->client, &m);
	else
		client_send(v->client, &m);
}

static struct view *open_attached(struct server *s, struct client *c, uint32_t channel,
				  struct exec *x, uint32_t flags)
{
	struct view *v =
		s->views.n_attached < VIEWS_ATTACHED_MAX ? view_open(s, c, channel, x) : NULL;

	if (!v) {
		client_error(c, channel, EAGAIN, "", "too many views");
		return NULL;
	}
	v->flags = flags;
	s->views.n_attached++;
	return v;
}

static uint64_t begin_at(const struct log *l, uint64_t from, uint32_t tail_bytes)
{
	uint64_t tail = tail_bytes && l->end > tail_bytes ? l->end - tail_bytes : 0;

	return from > tail ? from : tail;
}

static void set_streams(struct server *s, struct view *v, const Conker__Attach *m)
{
	const uint64_t from[2] = {m->out_from, m->err_from};

	for (int k = 0; k < 2; k++) {
		const struct log *l = exec_log(s, v->exec, k);
		int known = !m->follow || v->exec->state == EXEC_ENDED;

		v->stream[k].at = begin_at(l, from[k], m->tail_bytes);
		v->stream[k].until = known ? l->end : UINT64_MAX;
		v->stream[k].credit_bytes = m->window ? m->window : WINDOW_DEFAULT_BYTES;
	}
}

/* Started, then what is there. */
static void begin(struct server *s, struct view *v, int feed, int existing)
{
	struct exec *x = v->exec;

	if (feed)
		input_join(x, v);
	list_send_started(s, v, existing);
	if (view_pump(s, v, INT32_MAX) < 0)
		output_rearm(s, x);
}

void list_attach(struct server *s, struct client *c, uint32_t channel, const Conker__Attach *m)
{
	uint32_t flags = (m->no_out ? 0 : VIEW_OUT) | (m->no_err ? 0 : VIEW_ERR) |
			 (m->follow ? VIEW_FOLLOW : 0) | (m->lossless ? VIEW_LOSSLESS : 0);
	struct exec *x = exec_by_ref(s, m->ref);

	if (!x) {
		list_no_such(c, channel, m->ref);
		return;
	}
	if (m->feed && x->feeder) {
		client_error(c, channel, EBUSY, "", "another client feeds stdin");
		return;
	}
	struct view *v = open_attached(s, c, channel, x, flags);
	if (!v)
		return;
	set_streams(s, v, m);
	begin(s, v, m->feed, 0);
}

void list_start_existing(struct server *s, struct client *c, uint32_t channel, struct exec *x,
			 const Conker__Start *m)
{
	const Conker__Attach from_start = {.follow = 1, .window = m->window};
	struct view *v =
		open_attached(s, c, channel, x, VIEW_OUT | VIEW_ERR | VIEW_FOLLOW | VIEW_LOSSLESS);

	if (!v)
		return;
	set_streams(s, v, &from_start);
	begin(s, v, m->stdin_open || m->tty, 1);
}

void list_detach(struct server *s, struct view *v)
{
	struct exec *x = v->exec;
	struct client *c = v->client;
	uint32_t channel = v->channel;

	if (v->flags & VIEW_FEEDS)
		input_leave(x);
	if (v->flags & VIEW_STARTER)
		x->detached = 1;
	view_close(s, v);
	output_rearm(s, x);
	client_done(c, channel);
}

/* ---- the rest ---- */

void list_forget(struct server *s, struct client *c, uint32_t channel, const Conker__Forget *m)
{
	struct exec *x = exec_by_ref(s, m->ref);

	if (!x) {
		list_no_such(c, channel, m->ref);
	} else if (exec_is_live(x)) {
		refuse(c, channel, EBUSY, x, "has not ended");
	} else {
		exec_release(s, x);
		client_done(c, channel);
	}
}

static struct exec *signalled(struct server *s, struct client *c, const Conker__Signal *m)
{
	struct view *v;

	if (m->exec)
		return exec_by_id(s, m->exec);
	if (m->ref)
		return exec_by_ref(s, m->ref);
	v = view_by_channel(s, c, m->of_channel);
	return v ? v->exec : NULL;
}

static void no_such_to_signal(struct client *c, uint32_t channel, const Conker__Signal *m)
{
	Conker__ExecRef by_id = CONKER__EXEC_REF__INIT;

	by_id.exec = m->exec;
	if (m->exec || m->ref)
		list_no_such(c, channel, m->exec ? &by_id : m->ref);
	else
		client_error(c, channel, ESRCH, "", "no such execution");
}

void list_signal(struct server *s, struct client *c, uint32_t channel, const Conker__Signal *m)
{
	struct exec *x = signalled(s, c, m);
	int r = x ? exec_signal(s, x, (int)m->signo, m->scope) : -ESRCH;

	if (!x)
		no_such_to_signal(c, channel, m);
	else if (r == -ESRCH)
		list_has_ended(c, channel, x);
	else if (r < 0)
		client_error(c, channel, -r, "", strerror(-r));
	else
		client_done(c, channel);
}
