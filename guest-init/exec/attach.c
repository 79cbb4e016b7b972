/* SPDX-License-Identifier: Apache-2.0 */
/* attach.c - see attach.h. */
#include "guest-init/exec/attach.h"

#include <assert.h>
#include <errno.h>

#include "guest-init/exec/lifecycle.h"
#include "guest-init/exec/messages.h"
#include "guest-init/exec/output.h"
#include "guest-init/exec/stdin.h"
#include "guest-init/exec/views.h"

/* ---- coming ---- */

static struct view *open_attached(struct execs *e, struct outbox *out, uint32_t channel,
				  struct exec *x, uint32_t flags)
{
	struct view *v =
		e->views.n_attached < VIEWS_ATTACHED_MAX ? view_open(e, out, channel, x) : NULL;

	if (!v) {
		message_error(out, channel, EAGAIN, "", "too many views");
		return NULL;
	}
	v->flags = flags;
	e->views.n_attached++;
	return v;
}

static uint64_t begin_at(const struct log *l, uint64_t from, uint32_t tail_bytes)
{
	uint64_t tail = tail_bytes && l->end > tail_bytes ? l->end - tail_bytes : 0;

	return from > tail ? from : tail;
}

static void set_streams(struct view *v, const Conker__Attach *m)
{
	const uint64_t from[2] = {m->out_from, m->err_from};

	for (int k = 0; k < 2; k++) {
		const struct log *l = v->exec->log[k];
		int known = !m->follow || v->exec->state == EXEC_ENDED;

		v->stream[k].at = begin_at(l, from[k], m->tail_bytes);
		v->stream[k].until = known ? l->end : UINT64_MAX;
		v->stream[k].credit_bytes = m->window ? m->window : WINDOW_DEFAULT_BYTES;
	}
}

/* Started, then what is there. */
static void view_begin(struct execs *e, struct view *v, int feed, int existing)
{
	struct exec *x = v->exec;

	if (feed)
		stdin_join(x, v);
	message_started(v, existing);
	if (view_pump(e, v, INT32_MAX) < 0)
		output_rearm(e, x);
}

void exec_attach(struct execs *e, struct outbox *out, uint32_t channel, struct exec *x,
		 const Conker__Attach *m)
{
	uint32_t flags = (m->no_out ? 0 : VIEW_OUT) | (m->no_err ? 0 : VIEW_ERR) |
			 (m->follow ? VIEW_FOLLOW : 0) | (m->lossless ? VIEW_LOSSLESS : 0);

	if (m->feed && x->feeder) {
		message_error(out, channel, EBUSY, "", "another client feeds stdin");
		return;
	}
	struct view *v = open_attached(e, out, channel, x, flags);
	if (!v)
		return;
	set_streams(v, m);
	view_begin(e, v, m->feed, 0);
}

void exec_attach_existing(struct execs *e, struct outbox *out, uint32_t channel, struct exec *x,
			  const Conker__Start *m)
{
	const Conker__Attach from_start = {.follow = 1, .window = m->window};
	struct view *v = open_attached(e, out, channel, x,
				       VIEW_OUT | VIEW_ERR | VIEW_FOLLOW | VIEW_LOSSLESS);

	if (!v)
		return;
	set_streams(v, &from_start);
	view_begin(e, v, m->stdin_open || m->tty, 1);
}

void exec_attach_starter(struct execs *e, struct outbox *out, uint32_t channel, struct exec *x,
			 uint32_t window)
{
	struct view *v = view_open(e, out, channel, x);

	assert(v); /* Attach leaves one for each that may live */
	v->flags = VIEW_OUT | VIEW_ERR | VIEW_FOLLOW | VIEW_LOSSLESS | VIEW_STARTER;
	for (int k = 0; k < 2; k++)
		v->stream[k].credit_bytes = window ? window : WINDOW_DEFAULT_BYTES;
	stdin_join(x, v);
	message_started(v, 0);
}

/* ---- going ---- */

void exec_detach(struct execs *e, struct view *v)
{
	struct exec *x = v->exec;
	struct outbox *out = v->out;
	uint32_t channel = v->channel;

	if (v->flags & VIEW_FEEDS)
		stdin_leave(x);
	if (v->flags & VIEW_STARTER)
		x->detached = 1;
	view_close(e, v);
	output_rearm(e, x);
	message_done(out, channel, 0);
}

static void lose_view(struct execs *e, struct view *v)
{
	struct exec *x = v->exec;
	int mine = (v->flags & VIEW_STARTER) && !x->detached;

	if (v->flags & VIEW_FEEDS)
		stdin_leave(x);
	view_close(e, v);
	if (!exec_is_live(x))
		return;
	output_rearm(e, x);
	if (!mine)
		return;
	if (e->is_frozen)
		x->orphaned = 1;
	else
		exec_abandon(e, x);
}

void execs_lose_client(struct execs *e, const struct outbox *out)
{
	for (int i = e->views.n - 1; i >= 0;
	     i--) { /* backwards: the last takes a closed one's place */
		struct view *v = &e->views.view[e->views.slot[i]];

		if (v->out == out)
			lose_view(e, v);
	}
}

/* ---- going on ---- */

void exec_grant(struct execs *e, struct view *v, const Conker__Credit *m)
{
	struct exec *x = v->exec;

	view_grant(v, m->stream == CONKER__STREAM__STDERR, m->bytes);
	(void)view_pump(e, v, INT32_MAX);
	output_rearm(e, x);
}

/* Frame by frame in turn, beginning where the last time ended, so that one that could fill the outbox
 * alone does not starve the others. */
void execs_resume(struct execs *e, struct outbox *out)
{
	struct view_table *t = &e->views;
	int sent;

	do {
		sent = 0;
		for (int left = t->n; left > 0 && t->n > 0; left--) {
			struct view *v = &t->view[t->slot[out->turn++ % (unsigned)t->n]];
			struct exec *x = v->exec;

			if (v->out != out)
				continue;
			if (v->flags & VIEW_FEEDS)
				stdin_resume(x);
			sent |= view_pump(e, v, 1) > 0;
			output_rearm(e, x);
		}
	} while (sent && !out->stalled);
}
