/* SPDX-License-Identifier: Apache-2.0 */
/* starts.c - see starts.h.
 *
 * Protocol: Start names a program and what it gets (argv, env, cwd, user, limits, streams, a restart policy).
 * The answer on its channel is Started, and later Output, Credit and one Exit; or one Error, whose step says what
 * could not be had.
 *
 * Duties: nothing is left of a start that failed. A name is unique among those that live. A key that is known starts
 * nothing: its channel becomes a view of what that key has started. The start is whole when exec_start() returns:
 * the process runs its program, or there is none.
 *
 * Limits: EXEC_MAX that live, 2 MiB a message (the codec has checked every length and text in it), EXEC_ARGV_BYTES
 * of argv kept for List. A restart policy costs a mapping as large as the message.
 */
#include "guest-init/exec/starts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "guest-init/exec/attach.h"
#include "guest-init/exec/lifecycle.h"
#include "guest-init/exec/messages.h"
#include "guest-init/exec/runs.h"
#include "guest-init/sys/sys.h"
#include "proto/rules.h"

static const char *text_of(const ProtobufCBinaryData *b)
{
	return (const char *)b->data; /* the codec ends it in a NUL */
}

static struct refusal check_start(struct execs *e, const Conker__Start *m)
{
	if (e->n_live == EXEC_MAX)
		return refusal("limit", EAGAIN);
	if (m->cwd.len > 0 && m->cwd.data[0] != '/')
		return refusal("cwd", EINVAL);
	if (m->name.len > 0 && rules_exec_name(text_of(&m->name), m->name.len))
		return refusal("name", EINVAL);
	for (unsigned i = 0; m->name.len > 0 && i < e->n_live; i++)
		if (strcmp(e->exec[e->live[i]].name, text_of(&m->name)) == 0)
			return refusal("name", EEXIST);
	return refusal(NULL, 0);
}

static void keep_argv(struct exec *x, const Conker__Start *m)
{
	x->n_argv = x->argv_len = 0;
	for (size_t i = 0; i < m->n_argv; i++) {
		size_t n = m->argv[i].len + 1;

		if (n > sizeof(x->argv) - x->argv_len || x->n_argv == EXEC_ARGV_BYTES / 2)
			break;
		memcpy(x->argv + x->argv_len, m->argv[i].data, n);
		x->argv_len = (uint16_t)(x->argv_len + n);
		x->n_argv++;
	}
}

/* For the next run the message itself is kept, in a mapping that only such an execution costs. */
static struct refusal keep_start(struct exec *x, const Conker__Restart *m, struct start_bytes raw)
{
	struct exec_restart *r = &x->restart;

	if (!m || m->policy == CONKER__RESTART__POLICY__NEVER)
		return refusal(NULL, 0);
	void *p = mmap(NULL, raw.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return refusal("restart", errno);
	memcpy(p, raw.p, raw.len);
	*r = (struct exec_restart){.policy = m->policy,
				   .max = m->max,
				   .backoff_ms = m->backoff_ms ? m->backoff_ms : BACKOFF_MS,
				   .backoff_max_ms =
					   m->backoff_max_ms ? m->backoff_max_ms : BACKOFF_MAX_MS,
				   .start = p,
				   .start_len = raw.len};
	r->backoff_ms = min_(r->backoff_ms, r->backoff_max_ms);
	return refusal(NULL, 0);
}

static struct exec *take_slot(struct execs *e, const Conker__Start *m)
{
	struct exec *x = execs_take(e);

	if (!x)
		return NULL;
	x->start_us = x->run_us = e->poller->now_us;
	x->started_real_us = real_us();
	x->timeout_ms = m->timeout_ms;
	x->grace_ms = m->grace_ms;
	x->stop_signal = (int)m->stop_signal;
	x->detached = m->detached || m->key.len > 0;
	x->leave = m->leave_children;
	x->keep_alive = m->keep_alive;
	if (x->keep_alive)
		uses_enter(&e->uses);
	x->builtin = m->builtin;
	x->in_open = m->stdin_open || m->tty;
	for (int k = 0; k < 2; k++)
		log_open(&e->logs, x->log[k], m->log_bytes ? m->log_bytes : LOG_DEFAULT_BYTES);
	memcpy(x->name, m->name.data, m->name.len + 1);
	memcpy(x->key, m->key.data, m->key.len + 1);
	keep_argv(x, m);
	return x;
}

static void send_refusal(struct outbox *out, uint32_t channel, const Conker__Start *m,
			 struct refusal no)
{
	char text[160];
	const char *name = rules_exec_name(text_of(&m->name), m->name.len);
	const char *what = strcmp(no.step, "cwd") == 0    ? text_of(&m->cwd)
			   : strcmp(no.step, "user") == 0 ? text_of(&m->user)
			   : strcmp(no.step, "name") == 0 ? text_of(&m->name)
							  : text_of(&m->argv[0]);

	(void)snprintf(text, sizeof(text), "%.100s: %s", what,
		       strcmp(no.step, "user") == 0 && no.code == EINVAL   ? "no such user or group"
		       : strcmp(no.step, "cwd") == 0 && no.code == EINVAL  ? "not an absolute path"
		       : strcmp(no.step, "name") == 0 && no.code == EINVAL ? name
		       : strcmp(no.step, "name") == 0 ? "an execution of that name has not ended"
						      : strerror(no.code));
	message_error(out, channel, no.code, no.step, text);
}

/* Makes x an execution that runs, or nothing at all. */
static struct refusal start_in(struct execs *e, struct exec *x, const Conker__Start *m,
			       struct start_bytes raw, int may_wait)
{
	struct refusal no = keep_start(x, m->restart, raw);

	if (!no.step)
		no = run_begin(e, x, m, may_wait);
	if (no.step) {
		execs_release(e, x);
		return no;
	}
	x->id = ++e->last_id;
	exec_started(e, x);
	return no;
}

void exec_start(struct execs *e, struct outbox *out, uint32_t channel, const Conker__Start *m,
		struct start_bytes raw, int may_wait)
{
	struct exec *x = m->key.len > 0 ? execs_by_key(e, text_of(&m->key)) : NULL;

	if (x) {
		exec_attach_existing(e, out, channel, x, m);
		return;
	}
	struct refusal no = check_start(e, m);
	if (!no.step) {
		x = take_slot(e, m);
		no = start_in(e, x, m, raw, may_wait);
	}
	if (no.step)
		send_refusal(out, channel, m, no);
	else
		exec_attach_starter(e, out, channel, x, m->window);
}
