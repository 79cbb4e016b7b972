/* SPDX-License-Identifier: Apache-2.0 */
/* ask.c - what can be asked of a box: ping, list, look up, signal, forget, figures. */
#include "lib/handle/exec.h"
#include "lib/handle/request.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

enum { TIMEOUT_MS = 60000 };

int conker_box_ping(conker_box *b, int timeout_ms)
{
	Conker__Ping p = CONKER__PING__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	struct request q = {0};
	struct err *e;
	int r = box_enter(b, &e);

	m.msg_case = CONKER__CLIENT_MSG__MSG_PING;
	m.ping = &p;
	return r < 0 ? r : request_ask(b, &q, &m, timeout_ms, e);
}

int conker_box_stats_get(conker_box *b, conker_box_stats *ret)
{
	Conker__Stats s = CONKER__STATS__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	conker_box_stats ours = {0};
	struct request q = {.stats = &ours};
	struct err *e;
	int r = box_enter(b, &e);

	if (r == 0 && (!ret || ret->size < sizeof(ret->size)))
		r = err_set(e, EINVAL, "the size field of the figures is not set");
	m.msg_case = CONKER__CLIENT_MSG__MSG_STATS;
	m.stats = &s;
	if (r == 0)
		r = request_ask(b, &q, &m, TIMEOUT_MS, e);
	if (r == 0)
		opts_out(ret, &ours, sizeof(ours));
	return r;
}

/* ---- executions ---------------------------------------------------------------------------------------- */

typedef int info_fn(const conker_exec_info *i, void *user);

/* Whatever it returns, the caller ends with request_fini(). */
static int list_ask(conker_box *b, Conker__List *l, struct request *q, struct err *e)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;

	*q = (struct request){0};
	q->tail = &q->list;
	m.msg_case = CONKER__CLIENT_MSG__MSG_LIST;
	m.list = l;
	return request_ask(b, q, &m, TIMEOUT_MS, e);
}

static int list(conker_box *b, Conker__List *l, info_fn *fn, void *user, struct err *e)
{
	struct request q;
	int r = list_ask(b, l, &q, e);

	for (struct listing *i = q.list; i && r == 0; i = i->next)
		r = fn(&i->info, user);
	request_fini(&q);
	return r;
}

static int list_enter(conker_box *b, uint32_t flags, struct err **ret_e)
{
	int r = box_enter(b, ret_e);

	if (r == 0 && flags & ~(uint32_t)(CONKER_LIST_ALL | CONKER_LIST_USAGE))
		r = err_set(*ret_e, EINVAL, "unknown flags 0x%x", flags);
	return r;
}

int conker_exec_list(conker_box *b, uint32_t flags, info_fn *fn, void *user)
{
	Conker__List l = CONKER__LIST__INIT;
	struct err *e;
	int r = list_enter(b, flags, &e);

	if (r == 0 && !fn)
		r = err_set(e, EINVAL, "no function given");
	l.all = (flags & CONKER_LIST_ALL) != 0;
	l.usage = (flags & CONKER_LIST_USAGE) != 0;
	return r < 0 ? r : list(b, &l, fn, user, e);
}

/* The first of the answer, which is all of it. */
static int look_up(conker_box *b, Conker__List *l, conker_exec_info **ret, struct err *e)
{
	struct request q;
	int r = list_ask(b, l, &q, e);
	struct listing *first = q.list;

	if (r == 0 && first) {
		q.list = first->next;
		*ret = &first->info;
	} else if (r == 0) {
		r = err_set(e, EPROTO, "box '%s': an answer without an execution", b->name);
	}
	request_fini(&q);
	return r;
}

int conker_exec_lookup(conker_box *b, const conker_exec_ref *whom, uint32_t flags,
		       conker_exec_info **ret)
{
	Conker__List l = CONKER__LIST__INIT;
	Conker__ExecRef ref;
	struct err *e;
	int r = list_enter(b, flags, &e);

	if (r < 0)
		return r;
	if (!ret)
		return err_set(e, EINVAL, "nowhere to put what is found");
	r = ref_of(&ref, whom, e);
	l.all = 1;
	l.usage = (flags & CONKER_LIST_USAGE) != 0;
	l.ref = &ref;
	return r < 0 ? r : look_up(b, &l, ret, e);
}

int conker_exec_kill_ref(conker_box *b, const conker_exec_ref *whom, int signo, int scope)
{
	Conker__Signal s = CONKER__SIGNAL__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	struct request q = {0};
	Conker__ExecRef ref;
	struct err *e;
	int r = box_enter(b, &e);

	signo = signo ? signo : SIGKILL;
	if (r == 0)
		r = ref_of(&ref, whom, e);
	if (r == 0)
		r = signal_check(signo, scope, e);
	if (r < 0)
		return r;
	s.ref = &ref;
	s.signo = (uint32_t)signo;
	s.scope = (Conker__Scope)scope;
	m.msg_case = CONKER__CLIENT_MSG__MSG_SIGNAL;
	m.signal = &s;
	return request_ask(b, &q, &m, TIMEOUT_MS, e);
}

int conker_exec_forget(conker_box *b, const conker_exec_ref *whom)
{
	Conker__Forget f = CONKER__FORGET__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	struct request q = {0};
	Conker__ExecRef ref;
	struct err *e;
	int r = box_enter(b, &e);

	if (r == 0)
		r = ref_of(&ref, whom, e);
	if (r < 0)
		return r;
	f.ref = &ref;
	m.msg_case = CONKER__CLIENT_MSG__MSG_FORGET;
	m.forget = &f;
	return request_ask(b, &q, &m, TIMEOUT_MS, e);
}

/* Init keeps the time; ours is only a net below it. */
int conker_box_await_ports(conker_box *b, const conker_exec_ref *whom, const uint16_t *ports,
			   size_t n, int timeout_ms)
{
	enum { MARGIN_MS = 30000 };
	Conker__AwaitPorts a = CONKER__AWAIT_PORTS__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	uint32_t wide[PORTS_MAX];
	struct request q = {0};
	Conker__ExecRef ref;
	struct err *e;
	int r = box_enter(b, &e);

	if (r < 0)
		return r;
	if (!ports || n == 0 || n > PORTS_MAX)
		return err_set(e, EINVAL, "no ports, or more than %d", PORTS_MAX);
	r = whom ? ref_of(&ref, whom, e) : 0;
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		wide[i] = ports[i];
	a.ports = wide;
	a.n_ports = n;
	a.ref = whom ? &ref : NULL;
	a.timeout_ms = timeout_ms < 0 ? 0 : (uint32_t)max_(timeout_ms, 1);
	m.msg_case = CONKER__CLIENT_MSG__MSG_AWAIT_PORTS;
	m.await_ports = &a;
	return request_ask(
		b, &q, &m,
		timeout_ms < 0 || timeout_ms > INT32_MAX - MARGIN_MS ? -1 : timeout_ms + MARGIN_MS,
		e);
}
