/* SPDX-License-Identifier: Apache-2.0 */
/* views.c - see views.h. */
#include "guest-init/exec/views.h"

#include <string.h>

#include "guest-init/exec/messages.h"
#include "guest-init/exec/stdin.h"
#include "guest-init/sys/sys.h"

/* ---- the table ---- */

void view_table_init(struct view_table *t)
{
	t->n = t->n_attached = 0;
	for (unsigned i = 0; i < VIEWS_MAX; i++)
		t->slot[i] = (uint16_t)i;
}

struct view *view_open(struct execs *e, struct outbox *out, uint32_t channel, struct exec *x)
{
	struct view_table *t = &e->views;

	if (t->n == VIEWS_MAX)
		return NULL;
	struct view *v = &t->view[t->slot[t->n]];

	*v = (struct view){.out = out, .exec = x, .channel = channel, .next = x->views};
	v->pos = (uint16_t)t->n++;
	for (int k = 0; k < 2; k++)
		v->stream[k] = (struct view_stream){.until = UINT64_MAX, .hint = LOG_NO_CHUNK};
	x->views = v;
	uses_enter(&e->uses);
	return v;
}

void view_close(struct execs *e, struct view *v)
{
	struct view_table *t = &e->views;
	struct view **p = &v->exec->views;
	uint16_t mine = t->slot[v->pos], last = t->slot[--t->n];

	while (*p != v)
		p = &(*p)->next;
	*p = v->next;
	t->n_attached -= !(v->flags & VIEW_STARTER);
	t->slot[v->pos] = last;
	t->view[last].pos = v->pos;
	t->slot[t->n] = mine;
	v->out = NULL;
	uses_leave(&e->uses, e->poller->now_us);
}

struct view *view_by_channel(struct execs *e, const struct outbox *out, uint32_t channel)
{
	struct view_table *t = &e->views;

	for (int i = 0; i < t->n; i++) {
		struct view *v = &t->view[t->slot[i]];

		if (v->channel == channel && v->out == out)
			return v;
	}
	return NULL;
}

void view_grant(struct view *v, int k, uint32_t bytes)
{
	v->stream[k].credit_bytes = credit_add(v->stream[k].credit_bytes, bytes);
}

/* ---- sending ---- */

/* n bytes at e->stage + OUTPUT_HEAD_BYTES, which are stream k's at h->offset. */
static void send_staged(struct execs *e, struct view *v, int k, size_t n, struct output_head h)
{
	uint8_t *data = e->stage + OUTPUT_HEAD_BYTES;
	struct outbox *box = v->out;
	struct log *l = v->exec->log[k];

	h.channel = v->channel;
	h.stream = k ? CONKER__STREAM__STDERR : CONKER__STREAM__STDOUT;
	size_t head = codec_output_head(data, n, &h);
	memcpy(outbox_room(box, head + n), data - head, head + n);
	outbox_commit(box, head + n);
	v->stream[k].at = h.offset + n;
	v->stream[k].credit_bytes -= (uint32_t)n;
	if (l->seen < h.offset + n)
		l->seen = h.offset + n;
}

/* Whether the view wants stream k, 0: stdout. */
static int takes(const struct view *v, int k)
{
	return (v->flags & ((unsigned)VIEW_OUT << k)) != 0;
}

/* The next piece of stream k for v; 0: nothing, or nothing that may be sent. */
static int next_piece(struct execs *e, struct view *v, int k, struct log_piece *ret)
{
	struct view_stream *w = &v->stream[k];

	if (!takes(v, k) || w->at >= w->until || w->credit_bytes == 0)
		return 0;
	return log_read(&e->logs, v->exec->log[k], w->at, &w->hint, ret) && ret->offset < w->until;
}

/* Gathers what was read at once into one frame again. */
static void send_record(struct execs *e, struct view *v, int k, struct log_piece p)
{
	struct output_head h = {.offset = p.offset, .time_us = p.mark.time_us};
	struct view_stream *w = &v->stream[k];
	uint64_t order = p.mark.order;
	size_t n = 0, most = min_((size_t)w->credit_bytes, (size_t)FRAME_DATA_BYTES);

	most = (size_t)min_((uint64_t)most, w->until - p.offset);
	do {
		size_t len = min_(p.len, most - n);

		memcpy(e->stage + OUTPUT_HEAD_BYTES + n, p.data, len);
		n += len;
	} while (n < most && log_read(&e->logs, v->exec->log[k], h.offset + n, &w->hint, &p) &&
		 p.mark.order == order);
	send_staged(e, v, k, n, h);
}

/* One frame; 0: nothing may be sent. */
static int send_next(struct execs *e, struct view *v)
{
	struct log_piece p[2];
	int has[2], k;

	for (k = 0; k < 2; k++)
		has[k] = next_piece(e, v, k, &p[k]);
	if ((!has[0] && !has[1]) || outbox_is_full(v->out))
		return 0;
	k = !has[0] || (has[1] && p[1].mark.order < p[0].mark.order);
	send_record(e, v, k, p[k]);
	return 1;
}

static int is_complete(struct view *v)
{
	for (int k = 0; k < 2; k++) {
		struct view_stream *w = &v->stream[k];
		uint64_t first = v->exec->log[k]->first;

		if (w->at < first && first >= w->until)
			w->at = w->until; /* the rest was dropped */
		if (takes(v, k) && w->at < w->until)
			return 0;
		if (w->until == UINT64_MAX)
			return 0;
	}
	return 1;
}

/* The last message. */
static void view_finish(struct execs *e, struct view *v)
{
	struct exec *x = v->exec;

	if (v->flags & VIEW_FEEDS)
		stdin_leave(x);
	if (v->flags & VIEW_FOLLOW)
		message_exit(e, x, v->out, v->channel);
	else
		message_done(v->out, v->channel, 0);
	view_close(e, v);
}

int view_pump(struct execs *e, struct view *v, int max)
{
	int n = 0;

	while (n < max && send_next(e, v))
		n++;
	if (!is_complete(v))
		return n;
	view_finish(e, v);
	return -1;
}

static void pump_all(struct execs *e, struct exec *x)
{
	for (struct view *v = x->views, *next; v; v = next) {
		next = v->next;
		(void)view_pump(e, v, INT32_MAX);
	}
}

/* ---- from the pipe ---- */

static int is_behind(const struct view *v, int k)
{
	return v->stream[k].at < v->exec->log[k]->end;
}

static int is_lossless(const struct view *v, int k)
{
	return (v->flags & VIEW_LOSSLESS) && takes(v, k);
}

size_t view_room(struct exec *x, int k)
{
	size_t room = FRAME_DATA_BYTES;
	unsigned most = 1;

	for (struct view *v = x->views; v; v = v->next)
		v->out->n_views = 0;
	for (struct view *v = x->views; v; v = v->next) {
		if (!is_lossless(v, k))
			continue;
		if (is_behind(v, k) || outbox_is_full(v->out) || v->stream[k].credit_bytes == 0)
			return 0;
		v->out->n_views++;
		most = max_(most, v->out->n_views);
		room = min_(room, (size_t)v->stream[k].credit_bytes);
	}
	/* Views that share an outbox: what is read fits into it as many times. */
	return min_(room, (size_t)FRAME_DATA_BYTES / most);
}

void view_deliver(struct execs *e, struct exec *x, int k, size_t n)
{
	struct log_mark m = {.order = x->n_reads++, .time_us = (uint64_t)real_us()};
	struct output_head h = {.offset = x->log[k]->end, .time_us = m.time_us};
	int ahead = 0;

	for (struct view *v = x->views; v; v = v->next) {
		struct view_stream *w = &v->stream[k];
		size_t len = min_(n, (size_t)w->credit_bytes);

		ahead |= w->at > h.offset;
		if (takes(v, k) && w->at == h.offset && w->until > h.offset && len > 0 &&
		    (is_lossless(v, k) || !outbox_is_full(v->out)))
			send_staged(e, v, k, len, h);
	}
	log_append(&e->logs, x->log[k], m, e->stage + OUTPUT_HEAD_BYTES, n);
	if (ahead) /* or just sent: then there is nothing more for it */
		pump_all(e, x);
}

/* ---- all of an execution ---- */

static void end_view(struct view *v)
{
	for (int k = 0; k < 2; k++)
		if (v->stream[k].until == UINT64_MAX)
			v->stream[k].until = v->exec->log[k]->end;
}

void view_end_all(struct execs *e, struct exec *x)
{
	for (struct view *v = x->views; v; v = v->next)
		end_view(v);
	pump_all(e, x);
}

void view_cut_all(struct execs *e, struct exec *x)
{
	while (x->views)
		view_finish(e, x->views);
}
