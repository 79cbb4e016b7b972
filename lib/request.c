/* request.c - question and answer: ping, list, signal; each on a channel of its own.
 *
 * The leader fills in the answer, the asking thread waits for it with the request on its stack. What a
 * guest may answer is bounded: a hostile one cannot make us gather for ever.
 */
#include "lib/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TIMEOUT_MS = 60000,
	LIST_MAX_BYTES = 16 << 20, /* of one answer to List */
};

/* One block: the entry, its argv array, then the strings. */
static struct listing *listing_new(const Conker__Listing *l, size_t *ret_bytes)
{
	size_t strings = l->name.len + 1;

	for (size_t i = 0; i < l->n_argv; i++)
		strings += l->argv[i].len + 1;
	*ret_bytes = sizeof(struct listing) + (l->n_argv + 1) * sizeof(char *) + strings;

	struct listing *n = calloc(1, *ret_bytes);
	if (!n)
		return NULL;
	char **argv = (char **)(n + 1);
	char *s = (char *)(argv + l->n_argv + 1);
	n->info = (conker_exec_info){
		.size = sizeof(n->info), .id = l->exec, .pid = l->pid, .age_us = l->age_us};
	n->info.argv = (const char *const *)argv;
	for (size_t i = 0; i < l->n_argv; i++) {
		argv[i] = memcpy(s, l->argv[i].data, l->argv[i].len);
		s += l->argv[i].len + 1;
	}
	n->info.name = memcpy(s, l->name.data, l->name.len);
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

int request_on_msg(struct request *q, const Conker__ServerMsg *m, const char **ret_why)
{
	switch (m->msg_case) {
	case CONKER__SERVER_MSG__MSG_DONE: q->done = 1; return 0;
	case CONKER__SERVER_MSG__MSG_ERROR:
		q->done = 1;
		q->error = min_(m->error->code, 4095);
		(void)snprintf(q->text, sizeof(q->text), "%s", m->error->text);
		text_clean(q->text);
		return 0;
	case CONKER__SERVER_MSG__MSG_LISTING: return on_listing(q, m->listing, ret_why);
	default: *ret_why = "an answer that fits no question"; return -EPROTO;
	}
}

static int is_done(const void *arg)
{
	const struct request *q = arg;

	return q->done;
}

int request_run(conker_box *b, struct request *q, Conker__ClientMsg *m, int timeout_ms,
		struct err *e)
{
	if (b->lost)
		return box_lost_error(b, e);
	chan_add(b, &q->chan, CHAN_REQUEST);
	m->channel = q->chan.number;
	int r = wire_send(b, m, OUT_START_BYTES);
	if (r == 0)
		r = wait_for(b, is_done, q, timeout_ms);
	if (q->chan.number)
		chan_del(b, &q->chan);
	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT, "box '%s': no answer within %d ms", b->meta.name,
			       timeout_ms);
	if (r < 0)
		return err_set(e, -r, "box '%s': %s", b->meta.name, strerror(-r));
	if (q->error)
		return err_set(e, q->error, "box '%s': %s", b->meta.name,
			       *q->text ? q->text : strerror(q->error));
	return 0;
}

void request_fini(struct request *q)
{
	while (q->list) {
		struct listing *n = q->list;

		q->list = n->next;
		free(n);
	}
}

/* ---- the public calls ------------------------------------------------------------------------------ */

/* All of the box's executions into q. */
static int fetch(conker_box *b, struct request *q, struct err *e)
{
	Conker__List l = CONKER__LIST__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;

	q->tail = &q->list;
	m.msg_case = CONKER__CLIENT_MSG__MSG_LIST;
	m.list = &l;
	pthread_mutex_lock(&b->lock);
	int r = request_run(b, q, &m, TIMEOUT_MS, e);
	box_unlock(b);
	return r;
}

int conker_exec_list(conker_box *b, int (*fn)(const conker_exec_info *i, void *user), void *user)
{
	struct request q = {0};
	struct err *e;
	int r = box_enter(b, &e);

	if (r < 0)
		return r;
	if (!fn)
		return err_set(e, EINVAL, "no function given");
	r = api_may_wait(e);
	if (r < 0)
		return r;
	r = fetch(b, &q, e);
	for (struct listing *l = q.list; l && r == 0; l = l->next)
		r = fn(&l->info, user);
	request_fini(&q);
	return r;
}

static int all_digits(const char *s)
{
	return *s && strspn(s, "0123456789") == strlen(s);
}

/* A number stands for itself; a name is looked up. */
static int resolve(conker_box *b, const char *exec, uint64_t *ret_id, struct err *e)
{
	struct request q = {0};
	int r;

	*ret_id = 0;
	if (all_digits(exec)) {
		*ret_id = strtoull(exec, NULL, 10);
		r = 0;
	} else {
		r = fetch(b, &q, e);
		for (struct listing *l = q.list; l; l = l->next)
			if (strcmp(l->info.name, exec) == 0)
				*ret_id = l->info.id;
		request_fini(&q);
	}
	if (r == 0 && *ret_id == 0)
		r = err_set(e, ESRCH, "box '%s': no execution '%.80s' is running", b->meta.name,
			    exec);
	return r;
}

int conker_box_kill(conker_box *b, const char *exec, int signo, int scope)
{
	Conker__Signal s = CONKER__SIGNAL__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	struct request q = {0};
	struct err *e;
	int r = box_enter(b, &e);

	if (r < 0)
		return r;
	if (!exec)
		return err_set(e, EINVAL, "no execution given");
	r = api_may_wait(e);
	if (r == 0)
		r = signal_check(signo, scope, e);
	if (r == 0)
		r = resolve(b, exec, &s.exec, e);
	if (r < 0)
		return r;
	s.signo = (uint32_t)signo;
	s.scope = (Conker__Scope)scope;
	m.msg_case = CONKER__CLIENT_MSG__MSG_SIGNAL;
	m.signal = &s;
	pthread_mutex_lock(&b->lock);
	r = request_run(b, &q, &m, TIMEOUT_MS, e);
	box_unlock(b);
	return r;
}
