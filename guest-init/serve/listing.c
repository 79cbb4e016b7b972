/* SPDX-License-Identifier: Apache-2.0 */
/* listing.c - see listing.h.
 *
 * Protocol: List, for all that live, for all there are, or for one; the answers on its channel are a Listing each,
 * in order of numbers, and one Done. With figures (usage) a Listing costs a dozen system calls.
 *
 * Duties: a list may be longer than its client's outbox. It stops when that has less than OUTBOX_REPLY_BYTES free, and
 * goes on when it has room; no other request of that client is looked at until it is through. What starts or ends
 * meanwhile may or may not be in it; nothing is in it twice.
 *
 * Limits: of argv, name and key what was kept (EXEC_ARGV_BYTES), so that a Listing is at most 4 KiB.
 */
#include "guest-init/serve/listing.h"

#include <string.h>

#include "guest-init/exec/messages.h"
#include "guest-init/sys/sys.h"

/* Its status now. A system call for one that runs. */
static Conker__Status status_now(const struct exec *x)
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

static void fill_streams(struct exec *x, Conker__Listing *l)
{
	l->out_bytes = x->log[0]->end;
	l->err_bytes = x->log[1]->end;
	l->out_from = x->log[0]->first;
	l->err_from = x->log[1]->first;
	for (const struct view *v = x->views; v; v = v->next)
		l->views++;
	l->stdin_writable = x->in_fd >= 0 && !x->in_eof;
}

static void send_listing(struct execs *e, struct exec *x, const struct listing *of,
			 struct outbox *out)
{
	Conker__Listing l = CONKER__LISTING__INIT;
	Conker__Exit exit = CONKER__EXIT__INIT;
	Conker__Usage past = CONKER__USAGE__INIT, live = CONKER__USAGE__INIT;
	ProtobufCBinaryData argv[EXEC_ARGV_BYTES / 2];

	l.exec = x->id;
	l.pid = (uint32_t)x->box_pid;
	l.name = bytes(x->name);
	l.key = bytes(x->key);
	fill_argv(x, &l, argv);
	fill_streams(x, &l);
	l.age_us = (uint64_t)(e->poller->now_us - x->start_us);
	l.status = status_now(x);
	l.restarts = x->restart.n;
	l.started_us = x->started_real_us;
	l.ended_us = x->ended_real_us;
	l.detached = x->detached;
	l.keep_alive = x->keep_alive;
	l.tty = x->tty;
	if (x->state == EXEC_ENDED || x->state == EXEC_BACKOFF || x->left) {
		message_fill_exit(e, x, &exit, &past);
		l.exit = &exit;
	}
	if (of->usage) {
		message_fill_usage(e, x, &live);
		l.usage = &live;
	}
	message_send(out, of->channel, CONKER__SERVER_MSG__MSG_LISTING, &l);
}

/* The next one in order of numbers that is to be listed. */
static struct exec *next_of(struct execs *e, const struct listing *l)
{
	struct exec *best = NULL;

	for (struct exec *x = e->exec; x < e->exec + e->n_slots; x++)
		if ((exec_is_live(x) || (l->all && x->state == EXEC_ENDED)) &&
		    x->id >= l->next_id && (!best || x->id < best->id))
			best = x;
	return best;
}

void listing_go_on(struct execs *e, struct listing *l, struct outbox *out)
{
	struct exec *x;

	while (outbox_free(out) >= OUTBOX_REPLY_BYTES) {
		x = next_of(e, l);
		if (!x) {
			l->active = 0;
			message_done(out, l->channel, 0);
			return;
		}
		send_listing(e, x, l, out);
		l->next_id = x->id + 1;
	}
}

void listing_begin(struct execs *e, struct listing *l, struct outbox *out, uint32_t channel,
		   const Conker__List *m)
{
	*l = (struct listing){
		.active = 1, .all = m->all, .usage = m->usage, .channel = channel, .next_id = 1};
	listing_go_on(e, l, out);
}

void listing_one(struct execs *e, struct exec *x, struct outbox *out, uint32_t channel,
		 const Conker__List *m)
{
	const struct listing l = {.usage = m->usage, .channel = channel};

	send_listing(e, x, &l, out);
	message_done(out, channel, 0);
}
