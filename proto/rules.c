/* SPDX-License-Identifier: Apache-2.0 */
/* rules.c - see rules.h. Each check returns the text of the broken rule, or NULL. */
#include "proto/rules.h"

#include <errno.h>
#include <string.h>

#include "util/clean.h"
#include "util/num.h"

enum {
	TTY_SIZE_MAX = 65535, /* struct winsize holds 16 bits */
	PORT_MAX = 65535,
};

static int has_nul(const ProtobufCBinaryData *b)
{
	return b->len > 0 && memchr(b->data, 0, b->len) != NULL;
}

static int any_nul(const ProtobufCBinaryData *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (has_nul(&b[i]))
			return 1;
	return 0;
}

static const char *check_tty(const Conker__Tty *t)
{
	if (t->rows > TTY_SIZE_MAX || t->cols > TTY_SIZE_MAX)
		return "terminal size above 65535";
	if (t->term.len > TERM_MAX_BYTES || has_nul(&t->term))
		return "terminal name too long or with a NUL";
	return NULL;
}

static const char *check_name(const ProtobufCBinaryData *name, const ProtobufCBinaryData *key)
{
	if (has_nul(name) || has_nul(key))
		return "NUL in name or key";
	if (name->len > NAME_MAX_BYTES)
		return "name longer than 64 bytes";
	if (key->len > KEY_MAX_BYTES)
		return "key longer than 128 bytes";
	return NULL;
}

const char *rules_exec_name(const char *name, size_t len)
{
	uint64_t n;

	if (num_parse(name, len, 10, UINT64_MAX, &n) != -EINVAL)
		return "a name of digits only would mean an execution's number";
	if (memchr(name, ':', len))
		return "a name with a ':' would mean a key";
	return clean_is_fit(name, len) ? NULL : "a name is UTF-8 without control characters";
}

static const char *check_window(uint32_t window)
{
	return window != 0 && (window < WINDOW_MIN_BYTES || window > WINDOW_MAX_BYTES)
		       ? "window below 4 KiB or above 8 MiB"
		       : NULL;
}

static const char *check_rlimits(Conker__Rlimit *const *v, size_t n)
{
	if (n > RLIMITS_MAX)
		return "more than 16 rlimits";
	for (size_t i = 0; i < n; i++) {
		if (v[i]->resource > RESOURCE_MAX)
			return "unknown rlimit";
		if (v[i]->soft > v[i]->hard)
			return "soft rlimit above its hard limit";
	}
	return NULL;
}

static const char *check_strings(const Conker__Start *s)
{
	if (s->n_argv == 0)
		return "argv is empty";
	if (s->n_argv > ARGS_MAX || s->n_env > ARGS_MAX - s->n_argv)
		return "more than 32768 arguments and environment entries";
	if (any_nul(s->argv, s->n_argv) || any_nul(s->env, s->n_env))
		return "NUL in argv or env";
	if (has_nul(&s->cwd) || has_nul(&s->user))
		return "NUL in cwd or user";
	return check_name(&s->name, &s->key);
}

static const char *check_disposal(const Conker__Start *s)
{
	if ((unsigned)s->out > CONKER__DISPOSAL__DISCARD)
		return "stdout is captured or discarded";
	if ((unsigned)s->err > CONKER__DISPOSAL__MERGE)
		return "unknown disposal of stderr";
	if (s->tty && (s->out || s->err))
		return "a terminal's output is captured";
	return NULL;
}

static const char *check_start(const Conker__Start *s)
{
	const char *why = check_strings(s);

	if (!why)
		why = check_window(s->window);
	if (!why)
		why = check_disposal(s);
	if (!why)
		why = check_rlimits(s->rlimits, s->n_rlimits);
	if (why)
		return why;
	if (s->log_bytes > LOG_MAX_BYTES)
		return "more than 8 MiB of log";
	if (s->stop_signal > SIGNO_MAX)
		return "no such signal to stop it by";
	if (s->restart && (unsigned)s->restart->policy > CONKER__RESTART__POLICY__ALWAYS)
		return "unknown restart policy";
	if (s->restart && s->restart->policy && s->leave_children)
		return "what is restarted cannot leave children";
	return s->tty ? check_tty(s->tty) : NULL;
}

static const char *check_ref(const Conker__ExecRef *r, int required)
{
	if (!r)
		return required ? "no execution is named" : NULL;
	if (!r->exec + !r->name.len + !r->key.len != 2)
		return "an execution is named by number, name or key: one of them";
	return check_name(&r->name, &r->key);
}

static const char *check_signal(const Conker__Signal *s)
{
	if (!s->exec + !s->of_channel + !s->ref != 2)
		return "signal names no execution, or more than one";
	if (s->signo > SIGNO_MAX)
		return "signal number above 64";
	if ((unsigned)s->scope > CONKER__SCOPE__ALL) /* open enum: any int32 arrives */
		return "unknown signal scope";
	return check_ref(s->ref, 0);
}

static const char *check_attach(const Conker__Attach *a)
{
	const char *why = check_ref(a->ref, 1);

	return why ? why : check_window(a->window);
}

static const char *check_ports(const Conker__AwaitPorts *a)
{
	if (a->n_ports == 0 || a->n_ports > PORTS_MAX)
		return "no ports, or more than 32";
	for (size_t i = 0; i < a->n_ports; i++)
		if (a->ports[i] == 0 || a->ports[i] > PORT_MAX)
			return "port 0 or above 65535";
	return check_ref(a->ref, 0);
}

static const char *check_size(uint32_t rows, uint32_t cols)
{
	return rows > TTY_SIZE_MAX || cols > TTY_SIZE_MAX ? "terminal size above 65535" : NULL;
}

static const char *check_client_credit(const Conker__Credit *c)
{
	return c->stream != CONKER__STREAM__STDOUT && c->stream != CONKER__STREAM__STDERR
		       ? "credit for a stream that the client does not receive"
		       : NULL;
}

/* The kernel's own bound of CLOCK_REALTIME lies in the year 2232. */
static const char *check_resume(const Conker__Resume *m)
{
	const uint64_t most_us = UINT64_C(8000000000) * 1000000;

	if (m->realtime_us > most_us)
		return "a time after the year 2223";
	if (m->hostname.len > HOSTNAME_MAX_BYTES || has_nul(&m->hostname))
		return "hostname longer than 64 bytes or with a NUL";
	if (m->generation.len != 0 && m->generation.len != GENERATION_BYTES)
		return "a generation is of 16 bytes";
	if (m->seed.len != (m->generation.len ? SEED_BYTES : 0))
		return "a seed is of 32 bytes, and comes with a generation";
	return NULL;
}

const char *rules_client(const Conker__ClientMsg *m)
{
	switch (m->msg_case) {
	case CONKER__CLIENT_MSG__MSG_START: return check_start(m->start);
	case CONKER__CLIENT_MSG__MSG_ATTACH: return check_attach(m->attach);
	case CONKER__CLIENT_MSG__MSG_SIGNAL: return check_signal(m->signal);
	case CONKER__CLIENT_MSG__MSG_LIST: return check_ref(m->list->ref, 0);
	case CONKER__CLIENT_MSG__MSG_AWAIT_PORTS: return check_ports(m->await_ports);
	case CONKER__CLIENT_MSG__MSG_FORGET: return check_ref(m->forget->ref, 1);
	case CONKER__CLIENT_MSG__MSG_INPUT:
		return m->input->data.len > FRAME_DATA_BYTES ? "more than 64 KiB of stdin" : NULL;
	case CONKER__CLIENT_MSG__MSG_CREDIT: return check_client_credit(m->credit);
	case CONKER__CLIENT_MSG__MSG_RESUME: return check_resume(m->resume);
	case CONKER__CLIENT_MSG__MSG_RESIZE: return check_size(m->resize->rows, m->resize->cols);
	default: return NULL;
	}
}

static const char *check_output(const Conker__Output *o)
{
	if (o->stream != CONKER__STREAM__STDOUT && o->stream != CONKER__STREAM__STDERR)
		return "output of an unknown stream";
	if (o->data.len == 0 || o->data.len > FRAME_DATA_BYTES)
		return "output of no bytes or more than 64 KiB";
	if (o->offset > UINT64_MAX - o->data.len)
		return "output offset overflows";
	return NULL;
}

static const char *check_started(const Conker__Started *s)
{
	if (s->exec == 0)
		return "execution number 0";
	return s->stdin_window > STDIN_WINDOW_BYTES ? "stdin window above 256 KiB" : NULL;
}

static const char *check_exit(const Conker__Exit *x)
{
	if ((unsigned)x->status > CONKER__STATUS__LEFT)
		return "unknown status";
	if (x->signal < 0 || x->signal > SIGNO_MAX || x->code < 0 || x->code > 255)
		return "exit code or signal out of range";
	return NULL;
}

static const char *check_listing(const Conker__Listing *l)
{
	if (l->exec == 0)
		return "execution number 0";
	if (any_nul(l->argv, l->n_argv))
		return "NUL in argv";
	if ((unsigned)l->status > CONKER__STATUS__LEFT)
		return "unknown status";
	const char *why = check_name(&l->name, &l->key);
	return why || !l->exit ? why : check_exit(l->exit);
}

const char *rules_server(const Conker__ServerMsg *m)
{
	switch (m->msg_case) {
	case CONKER__SERVER_MSG__MSG_OUTPUT: return check_output(m->output);
	case CONKER__SERVER_MSG__MSG_EXIT: return check_exit(m->exit);
	case CONKER__SERVER_MSG__MSG_LISTING: return check_listing(m->listing);
	case CONKER__SERVER_MSG__MSG_STARTED: return check_started(m->started);
	case CONKER__SERVER_MSG__MSG_CREDIT:
		return m->credit->stream != CONKER__STREAM__STDIN
			       ? "credit for a stream that the server does not receive"
			       : NULL;
	case CONKER__SERVER_MSG__MSG_ERROR:
		return m->error->code <= 0 ? "error without a code" : NULL;
	default: return NULL;
	}
}
