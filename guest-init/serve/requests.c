/* SPDX-License-Identifier: Apache-2.0 */
/* requests.c - see requests.h.
 *
 * Protocol: the first message is Hello. Each other one goes to a channel: a new one for a request, which is answered
 * on it (Done or Error in the end), or that of a view (Input, Credit, Detach, Resize). docs/protocol.md has them all.
 *
 * Duties: a request names executions by number, name or key; one that is not there is an Error, never the end of a
 * connection. A message for a view that has just ended is no error: the two crossed on the way. Only what a right
 * client cannot do is a breach, and ends the connection: a first message that is not Hello, a channel in use, more
 * stdin than the window, what the codec refuses.
 *
 * Limits: those of the codec and of what is asked; CLIENTS_USING_MAX clients may start, attach or wait for ports.
 */
#include "guest-init/serve/requests.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "guest-init/exec/attach.h"
#include "guest-init/exec/lifecycle.h"
#include "guest-init/exec/messages.h"
#include "guest-init/exec/starts.h"
#include "guest-init/exec/stdin.h"
#include "guest-init/exec/views.h"
#include "guest-init/serve/server.h"
#include "guest-init/serve/stats.h"
#include "guest-init/sys/sys.h"

/* One message, and where its answer goes. */
struct request {
	struct client *client;
	struct outbox *out;
	uint32_t channel;
	struct start_bytes raw;
	int is_last;
};

static void answer_done(const struct request *q)
{
	message_done(q->out, q->channel, 0);
}

static void answer_error(const struct request *q, int code, const char *step, const char *text)
{
	message_error(q->out, q->channel, code, step, text);
}

/* ---- executions ---- */

static void answer_no_such(const struct request *q, const Conker__ExecRef *ref)
{
	char text[32 + KEY_MAX_BYTES];

	if (ref->exec)
		(void)snprintf(text, sizeof(text), "no such execution: %llu",
			       (unsigned long long)ref->exec);
	else
		(void)snprintf(text, sizeof(text), "no such execution: %s%s",
			       ref->name.len > 0 ? "" : "key:",
			       (const char *)(ref->name.len > 0 ? ref->name.data : ref->key.data));
	answer_error(q, ESRCH, "", text);
}

static void answer_about(const struct request *q, int code, const struct exec *x, const char *why)
{
	char text[64 + NAME_MAX_BYTES];

	(void)snprintf(text, sizeof(text),
		       x->name[0] ? "execution %llu ('%s') %s" : "execution %llu%s %s",
		       (unsigned long long)x->id, x->name, why);
	answer_error(q, code, "", text);
}

/* NULL: there is none, and the client has been told. */
static struct exec *find_exec(struct server *s, const struct request *q, const Conker__ExecRef *ref)
{
	struct exec *x = execs_by_ref(&s->execs, ref);

	if (!x)
		answer_no_such(q, ref);
	return x;
}

static void on_attach(struct server *s, const struct request *q, const Conker__Attach *m)
{
	struct exec *x = find_exec(s, q, m->ref);

	if (x)
		exec_attach(&s->execs, q->out, q->channel, x, m);
}

static void on_list(struct server *s, const struct request *q, const Conker__List *m)
{
	struct exec *x;

	if (!m->ref) {
		listing_begin(&s->execs, &q->client->list, q->out, q->channel, m);
		return;
	}
	x = find_exec(s, q, m->ref);
	if (x)
		listing_one(&s->execs, x, q->out, q->channel, m);
}

static void on_forget(struct server *s, const struct request *q, const Conker__Forget *m)
{
	struct exec *x = find_exec(s, q, m->ref);

	if (!x)
		return;
	if (exec_is_live(x)) {
		answer_about(q, EBUSY, x, "has not ended");
		return;
	}
	execs_release(&s->execs, x);
	answer_done(q);
}

/* Of whom a Signal is: by number, by reference, or by the channel of a view. */
static struct exec *find_signalled(struct server *s, const struct request *q, Conker__Signal *m)
{
	Conker__ExecRef by_id = CONKER__EXEC_REF__INIT;
	struct view *v;

	by_id.exec = m->exec;
	if (m->exec || m->ref)
		return find_exec(s, q, m->exec ? &by_id : m->ref);
	v = view_by_channel(&s->execs, q->out, m->of_channel);
	if (!v)
		answer_error(q, ESRCH, "", "no such execution");
	return v ? v->exec : NULL;
}

static void on_signal(struct server *s, const struct request *q, Conker__Signal *m)
{
	struct exec *x = find_signalled(s, q, m);

	if (!x)
		return;
	int r = exec_signal(&s->execs, x, (int)m->signo, m->scope);
	if (r == -ESRCH)
		answer_about(q, ESRCH, x, "has ended");
	else if (r < 0)
		answer_error(q, -r, "", strerror(-r));
	else
		answer_done(q);
}

static void on_await_ports(struct server *s, const struct request *q, const Conker__AwaitPorts *m)
{
	struct exec *x = m->ref ? find_exec(s, q, m->ref) : NULL;

	if (m->ref && !x)
		return;
	if (x && !exec_is_live(x))
		answer_about(q, ESRCH, x, "has ended");
	else
		ports_await(&s->awaits, &s->execs, q->out, q->channel, x, m);
}

/* ---- the box ---- */

static void on_freeze(struct server *s, const struct request *q)
{
	const struct ev_name event = {.kind = KIND_FREEZER};
	int r = freezer_begin(&s->freezer, q->out, q->channel, client_host_port(q->client), event);

	if (r == -EBUSY)
		answer_error(q, EBUSY, "", "the box is frozen already");
	else if (r < 0)
		answer_error(q, -r, "freeze", strerror(-r));
}

static void on_thaw(struct server *s, const struct request *q)
{
	if (!freezer_is_on(&s->freezer)) {
		answer_error(q, EINVAL, "", "the box is not frozen");
	} else if (!freezer_is_holder(&s->freezer, q->out)) {
		answer_error(q, EPERM, "", "another connection froze the box");
	} else {
		freezer_end(&s->freezer, 0);
		answer_done(q);
	}
}

/* It is a new box from now on: the hosts' ends of the old connections are gone, or belong to another one. */
static void on_resume(struct server *s, const struct request *q, const Conker__Resume *m)
{
	const Conker__Lifetime *l = m->lifetime;

	if (!freezer_is_on(&s->freezer)) {
		answer_error(q, EINVAL, "", "the box is not frozen");
		return;
	}
	freezer_set_world(&s->freezer, m);
	if (l)
		s->idle = (struct idle){.idle_ms = l->idle_ms,
					.life_ms = l->life_ms,
					.born_us = s->poller.now_us,
					.suspends = l->idle_suspend};
	clients_drop_old(&s->clients, q->client);
	idle_kept(&s->idle);
	freezer_end(&s->freezer, 1);
	answer_done(q);
}

static void on_shutdown(struct server *s, const struct request *q, const Conker__Shutdown *m)
{
	answer_done(q);
	server_shut_down(s, m->grace_ms);
}

/* ---- connections and views: 0, or -EPROTO with the reason ---- */

/* A second one comes from another client, at the other end of the connection that froze the box: so this is a copy.
 * It is one of the new world, and no holder any more; nothing of the old one's is its. */
static int on_hello(struct server *s, const struct request *q, const Conker__Hello *h,
		    const char **ret_why)
{
	struct client *c = q->client;
	Conker__Hello mine = CONKER__HELLO__INIT;
	int again = c->greeted, refused = again && !freezer_is_holder(&s->freezer, q->out);

	if (refused || h->version != PROTO_VERSION) {
		*ret_why = refused ? "second Hello" : "protocol version is not 1";
		return -EPROTO;
	}
	if (again) {
		c->n_freezes = s->freezer.n;
		execs_lose_client(&s->execs, q->out);
		freezer_lose(&s->freezer, q->out);
	}
	c->greeted = 1;
	mine.version = PROTO_VERSION;
	message_send(q->out, 0, CONKER__SERVER_MSG__MSG_HELLO, &mine);
	return 0;
}

static int on_view_msg(struct server *s, const struct request *q, const Conker__ClientMsg *m,
		       const char **ret_why)
{
	struct view *v = view_by_channel(&s->execs, q->out, q->channel);

	if (!v)
		return 0;
	switch (m->msg_case) {
	case CONKER__CLIENT_MSG__MSG_INPUT: return stdin_receive(&s->execs, v, m->input, ret_why);
	case CONKER__CLIENT_MSG__MSG_CREDIT: exec_grant(&s->execs, v, m->credit); break;
	case CONKER__CLIENT_MSG__MSG_DETACH: exec_detach(&s->execs, v); break;
	default:
		if (v->flags & (VIEW_STARTER | VIEW_FEEDS))
			exec_resize(v->exec, m->resize);
		break;
	}
	return 0;
}

/* Nothing can be started now: init would wait for a child that stands still. */
static int on_start_frozen(struct server *s, const struct request *q)
{
	if (!freezer_is_holder(&s->freezer, q->out))
		return -EAGAIN;
	answer_error(q, EBUSY, "freeze", "the box is frozen");
	return 0;
}

static int uses_box(Conker__ClientMsg__MsgCase kind)
{
	return kind == CONKER__CLIENT_MSG__MSG_START || kind == CONKER__CLIENT_MSG__MSG_ATTACH ||
	       kind == CONKER__CLIENT_MSG__MSG_AWAIT_PORTS;
}

/* A request on a channel of its own. -EAGAIN: later, with all that follows it. */
static int on_request(struct server *s, const struct request *q, const Conker__ClientMsg *m)
{
	if (uses_box(m->msg_case) && !client_admit(&s->clients, q->client, q->channel))
		return 0;
	if (m->msg_case == CONKER__CLIENT_MSG__MSG_START && freezer_is_on(&s->freezer))
		return on_start_frozen(s, q);
	switch (m->msg_case) {
	case CONKER__CLIENT_MSG__MSG_START:
		exec_start(&s->execs, q->out, q->channel, m->start, q->raw, q->is_last);
		break;
	case CONKER__CLIENT_MSG__MSG_SIGNAL: on_signal(s, q, m->signal); break;
	case CONKER__CLIENT_MSG__MSG_LIST: on_list(s, q, m->list); break;
	case CONKER__CLIENT_MSG__MSG_ATTACH: on_attach(s, q, m->attach); break;
	case CONKER__CLIENT_MSG__MSG_FORGET: on_forget(s, q, m->forget); break;
	case CONKER__CLIENT_MSG__MSG_STATS: stats_send(s, q->out, q->channel); break;
	case CONKER__CLIENT_MSG__MSG_AWAIT_PORTS: on_await_ports(s, q, m->await_ports); break;
	case CONKER__CLIENT_MSG__MSG_PING: answer_done(q); break;
	case CONKER__CLIENT_MSG__MSG_FREEZE: on_freeze(s, q); break;
	case CONKER__CLIENT_MSG__MSG_THAW: on_thaw(s, q); break;
	case CONKER__CLIENT_MSG__MSG_RESUME: on_resume(s, q, m->resume); break;
	case CONKER__CLIENT_MSG__MSG_SHUTDOWN: on_shutdown(s, q, m->shutdown); break;
	default: answer_error(q, ENOSYS, "", "unknown message"); break;
	}
	return 0;
}

static int dispatch_message(struct server *s, const struct request *q, const Conker__ClientMsg *m,
			    const char **ret_why)
{
	if (!q->client->greeted && m->msg_case != CONKER__CLIENT_MSG__MSG_HELLO) {
		*ret_why = "the first message must be Hello";
		return -EPROTO;
	}
	switch (m->msg_case) {
	case CONKER__CLIENT_MSG__MSG_HELLO: return on_hello(s, q, m->hello, ret_why);
	case CONKER__CLIENT_MSG__MSG_INPUT:
	case CONKER__CLIENT_MSG__MSG_CREDIT:
	case CONKER__CLIENT_MSG__MSG_DETACH:
	case CONKER__CLIENT_MSG__MSG_RESIZE: return on_view_msg(s, q, m, ret_why);
	default: break;
	}
	if (view_by_channel(&s->execs, q->out, q->channel) ||
	    ports_waits(&s->awaits, q->out, q->channel)) {
		*ret_why = "channel is in use";
		return -EPROTO;
	}
	return on_request(s, q, m);
}

int requests_handle(void *user, struct client *c, const uint8_t *msg, size_t len, int is_last)
{
	enum { ARENA_KEEP_BYTES = 1 << 20 };
	struct server *s = user;
	struct request q = {.client = c, .out = &c->out, .raw = {msg, len}, .is_last = is_last};
	const char *why = NULL;
	Conker__ClientMsg *m;

	s->arena.used_bytes = 0;
	s->execs.uses.since_us = s->poller.now_us;
	int r = codec_decode_client(msg, len, &s->arena, &m, &q.channel, &why);
	if (r == 0)
		r = dispatch_message(s, &q, m, &why);
	if (s->arena.used_bytes > ARENA_KEEP_BYTES)
		(void)madvise(s->arena_mem, sizeof(s->arena_mem), MADV_DONTNEED);
	if (r < 0 && r != -EAGAIN) {
		s->clients.refused_frames++;
		answer_error(&q, -r, "", why);
	}
	return r == -ENOSYS ? 0 : r;
}
