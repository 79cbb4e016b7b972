/* SPDX-License-Identifier: Apache-2.0 */
/* start.c - from conker_exec_opts to a Start on the wire. */
#include "lib/handle/defaults.h"
#include "lib/handle/exec.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/rules.h"

enum {
	ROWS_DEFAULT = 24,
	COLS_DEFAULT = 80,
	EXEC_FLAGS = CONKER_EXEC_STDIN | CONKER_EXEC_TTY | CONKER_EXEC_MANUAL_ACK |
		     CONKER_EXEC_KEEP | CONKER_EXEC_LEAVE_CHILDREN | CONKER_EXEC_KEEP_ALIVE |
		     CONKER_EXEC_LINES | CONKER_EXEC_MERGE_STDERR | CONKER_EXEC_NO_STDOUT |
		     CONKER_EXEC_NO_STDERR | CONKER_EXEC_IMAGE_COMMAND | CONKER_EXEC_PLAIN,
	OWN_STREAMS = CONKER_EXEC_MERGE_STDERR | CONKER_EXEC_NO_STDOUT | CONKER_EXEC_NO_STDERR,
};

/* conker.h and the wire say the same. */
static_assert((int)CONKER_NAME_MAX == NAME_MAX_BYTES && (int)CONKER_KEY_MAX == KEY_MAX_BYTES &&
		      (int)CONKER_TERM_MAX == TERM_MAX_BYTES && (int)CONKER_ARGS_MAX == ARGS_MAX &&
		      (int)CONKER_RLIMITS_MAX == RLIMITS_MAX &&
		      (int)CONKER_PORTS_MAX == PORTS_MAX && (int)CONKER_LOG_MAX == LOG_MAX_BYTES &&
		      (int)CONKER_BOX_NAME_MAX == NAME_BYTES - 1,
	      "limits are set once");

static int check_length(const char *what, const char *s, size_t max, struct err *e)
{
	return s && strlen(s) > max
		       ? err_set(e, EINVAL, "the %s is longer than %zu bytes", what, max)
		       : 0;
}

static int check_name(const char *name, struct err *e)
{
	size_t n = name ? strlen(name) : 0;
	const char *why = n ? rules_exec_name(name, n) : NULL;

	if (name && n == 0)
		return err_set(e, EINVAL, "an empty name of an execution; NULL is none");
	return why ? err_set(e, EINVAL, "%s: '%.80s'", why, name)
		   : check_length("execution's name", name, NAME_MAX_BYTES, e);
}

/* An empty one is a variable of somebody's that is not set, and no way to say root. */
static int check_not_empty(const char *what, const char *s, struct err *e)
{
	return s && !*s ? err_set(e, EINVAL, "an empty %s; NULL is none", what) : 0;
}

static int check_texts(const conker_exec_opts *o, struct err *e)
{
	int r = 0;

	if (o->cwd && o->cwd[0] != '/')
		r = err_set(e, EINVAL, "the working directory '%.80s' is not absolute", o->cwd);
	if (r == 0)
		r = check_name(o->name, e);
	if (r == 0)
		r = check_not_empty("user", o->user, e);
	if (r == 0)
		r = check_not_empty("key", o->key, e);
	if (r == 0)
		r = check_length("key", o->key, KEY_MAX_BYTES, e);
	if (r == 0)
		r = check_length("terminal's name", o->term, TERM_MAX_BYTES, e);
	return r;
}

static int check_flags(const conker_exec_opts *o, struct err *e)
{
	if (o->flags & ~(uint32_t)EXEC_FLAGS)
		return err_set(e, EINVAL, "unknown execution flags 0x%x", o->flags);
	if (o->flags & CONKER_EXEC_TTY && o->flags & OWN_STREAMS)
		return err_set(e, EINVAL,
			       "a terminal is one stream; it cannot be merged or left out");
	if (o->restart && o->flags & CONKER_EXEC_LEAVE_CHILDREN)
		return err_set(e, EINVAL, "what is restarted cannot leave children");
	return 0;
}

static int check_numbers(const conker_exec_opts *o, struct err *e)
{
	if ((unsigned)o->restart > CONKER_RESTART_ALWAYS)
		return err_set(e, EINVAL, "no such restart policy: %d", (int)o->restart);
	if (o->n_rlimits > RLIMITS_MAX || (o->n_rlimits && !o->rlimits))
		return err_set(e, EINVAL, "more than %d resource limits, or none given",
			       RLIMITS_MAX);
	if (o->stop_signal < 0 || o->stop_signal > SIGNO_MAX)
		return err_set(e, EINVAL, "no signal has the number %d", o->stop_signal);
	if (o->grace_ms < 0 || o->backoff_ms < 0 || o->backoff_max_ms < 0)
		return err_set(e, EINVAL, "a negative grace or backoff; 0 is the default");
	for (size_t i = 0; i < o->n_rlimits; i++)
		if (o->rlimits[i].resource < 0 || o->rlimits[i].resource > RESOURCE_MAX ||
		    o->rlimits[i].soft > o->rlimits[i].hard)
			return err_set(e, EINVAL, "resource limit %d: no such, or soft above hard",
				       o->rlimits[i].resource);
	if (o->log_bytes > LOG_MAX_BYTES)
		return err_set(e, EINVAL, "a log of %u bytes: at most %d", o->log_bytes,
			       LOG_MAX_BYTES);
	if (o->window_bytes < WINDOW_MIN_BYTES || o->window_bytes > WINDOW_MAX_BYTES)
		return err_set(e, EINVAL, "window of %u bytes: %d to %d", o->window_bytes,
			       WINDOW_MIN_BYTES, WINDOW_MAX_BYTES);
	return 0;
}

static void set_defaults(conker_exec_opts *o)
{
	o->window_bytes = o->window_bytes ? o->window_bytes : WINDOW_DEFAULT_BYTES;
	o->rows = o->rows ? o->rows : ROWS_DEFAULT;
	o->cols = o->cols ? o->cols : COLS_DEFAULT;
	o->grace_ms = o->grace_ms ? o->grace_ms : CONKER_GRACE_DEFAULT_MS;
	if (o->key && *o->key)
		o->flags |= CONKER_EXEC_KEEP;
	if (o->flags & CONKER_EXEC_KEEP_ALIVE && o->timeout_ms == 0)
		o->timeout_ms = CONKER_KEEP_ALIVE_DEFAULT_MS;
	o->timeout_ms = max_(o->timeout_ms, 0);
}

static int read_opts(conker_exec_opts *o, const conker_exec_opts *caller, struct err *e)
{
	int r = opts_in(o, sizeof(*o), caller, e);

	if (r < 0)
		return r;
	set_defaults(o);
	r = check_flags(o, e);
	if (r == 0)
		r = check_texts(o, e);
	return r < 0 ? r : check_numbers(o, e);
}

static size_t count(const char *const *v)
{
	size_t n = 0;

	while (v && v[n])
		n++;
	return n;
}

/* The parts of a Start that are messages or arrays of their own. */
struct start_parts {
	ProtobufCBinaryData *v; /* argv, then env */
	Conker__Tty tty;
	Conker__Restart restart;
	Conker__Rlimit limit[RLIMITS_MAX], *limits[RLIMITS_MAX];
	int builtin, make_cwd;
	struct err *e;
};

static void put_tty(Conker__Start *s, struct start_parts *p, const conker_exec_opts *o)
{
	p->tty = (Conker__Tty)CONKER__TTY__INIT;
	p->tty.rows = o->rows;
	p->tty.cols = o->cols;
	p->tty.term = wire_text(o->term ? o->term : "xterm-256color");
	s->tty = &p->tty;
}

static void put_restart(Conker__Start *s, struct start_parts *p, const conker_exec_opts *o)
{
	p->restart = (Conker__Restart)CONKER__RESTART__INIT;
	p->restart.policy = (Conker__Restart__Policy)o->restart;
	p->restart.max = o->restart_max;
	p->restart.backoff_ms = (uint32_t)o->backoff_ms;
	p->restart.backoff_max_ms = (uint32_t)o->backoff_max_ms;
	s->restart = &p->restart;
}

static void put_limits(Conker__Start *s, struct start_parts *p, const conker_exec_opts *o)
{
	for (size_t i = 0; i < o->n_rlimits; i++) {
		p->limit[i] = (Conker__Rlimit)CONKER__RLIMIT__INIT;
		p->limit[i].resource = (uint32_t)o->rlimits[i].resource;
		p->limit[i].soft = o->rlimits[i].soft;
		p->limit[i].hard = o->rlimits[i].hard;
		p->limits[i] = &p->limit[i];
	}
	s->rlimits = p->limits;
	s->n_rlimits = o->n_rlimits;
	s->memory_max_bytes = o->memory_max_bytes;
	s->pids_max = o->pids_max;
	s->cpu_max_permille = o->cpu_max_permille;
}

static void put_vectors(Conker__Start *s, struct start_parts *p, const conker_exec_opts *o)
{
	s->n_argv = count(o->argv);
	s->n_env = count(o->env);
	s->argv = p->v;
	s->env = p->v + s->n_argv;
	for (size_t i = 0; i < s->n_argv; i++)
		s->argv[i] = wire_text(o->argv[i]);
	for (size_t i = 0; i < s->n_env; i++)
		s->env[i] = wire_text(o->env[i]);
}

static void put_flags(Conker__Start *s, uint32_t flags)
{
	s->stdin_open = (flags & CONKER_EXEC_STDIN) != 0;
	s->detached = (flags & CONKER_EXEC_KEEP) != 0;
	s->leave_children = (flags & CONKER_EXEC_LEAVE_CHILDREN) != 0;
	s->keep_alive = (flags & CONKER_EXEC_KEEP_ALIVE) != 0;
	if (flags & CONKER_EXEC_NO_STDOUT)
		s->out = CONKER__DISPOSAL__DISCARD;
	if (flags & CONKER_EXEC_MERGE_STDERR)
		s->err = CONKER__DISPOSAL__MERGE;
	if (flags & CONKER_EXEC_NO_STDERR)
		s->err = CONKER__DISPOSAL__DISCARD;
}

static void compose(Conker__Start *s, struct start_parts *p, const conker_exec_opts *o)
{
	put_vectors(s, p, o);
	put_flags(s, o->flags);
	put_limits(s, p, o);
	s->cwd = wire_text(o->cwd);
	s->make_cwd = p->make_cwd;
	s->stop_signal = (uint32_t)o->stop_signal;
	s->user = wire_text(o->user);
	s->name = wire_text(o->name);
	s->key = wire_text(o->key);
	s->window = o->window_bytes;
	s->timeout_ms = (uint32_t)o->timeout_ms;
	s->grace_ms = (uint32_t)o->grace_ms;
	s->log_bytes = o->log_bytes;
	if (o->flags & CONKER_EXEC_TTY)
		put_tty(s, p, o);
	if (o->restart)
		put_restart(s, p, o);
}

/* What the handle has to know of the options. */
static void prepare(conker_exec *x, const conker_exec_opts *o)
{
	x->owner = !(o->flags & CONKER_EXEC_KEEP);
	x->placed[0] = x->placed[1] = 1;
	x->takes[0] = !(o->flags & CONKER_EXEC_NO_STDOUT);
	x->takes[1] = !(o->flags & (CONKER_EXEC_NO_STDERR | CONKER_EXEC_MERGE_STDERR));
	x->in.closed = !(o->flags & CONKER_EXEC_STDIN);
	x->in.held = !x->in.closed && o->key && *o->key;
	x->in.credit = x->in.held || x->in.closed ? 0 : STDIN_WINDOW_BYTES;
}

static int start_with(conker_box *b, const conker_exec_opts *o, const conker_exec_cb *cb,
		      struct start_parts *p, conker_exec **ret)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	Conker__Start s = CONKER__START__INIT;
	conker_exec *x = exec_new(b, cb, o->flags, o->window_bytes);

	if (!x)
		return err_set(p->e, ENOMEM, "no memory for an execution's handle");
	prepare(x, o);
	compose(&s, p, o);
	s.builtin = p->builtin;
	m.msg_case = CONKER__CLIENT_MSG__MSG_START;
	m.start = &s;
	return exec_open(x, &m, ret, p->e);
}

static int start_whole(conker_box *b, const conker_exec_opts *o, const conker_exec_cb *cb,
		       struct start_parts *p, conker_exec **ret)
{
	size_t n = count(o->argv) + count(o->env);

	if (n > ARGS_MAX)
		return err_set(p->e, E2BIG, "more than %d arguments and environment entries",
			       ARGS_MAX);
	p->v = calloc(n + 1, sizeof(*p->v));
	if (!p->v)
		return err_set(p->e, ENOMEM, "no memory for the arguments");
	int r = start_with(b, o, cb, p, ret);
	free(p->v);
	return r;
}

static int exec_begin(conker_box *b, const conker_exec_opts *opts, const conker_exec_cb *cb,
		      int builtin, conker_exec **ret, struct err *e)
{
	struct start_parts p = {.builtin = builtin, .e = e};
	struct defaults d;
	conker_exec_opts o;
	int r = read_opts(&o, opts, e);

	if (r < 0)
		return r;
	if (!ret)
		return err_set(e, EINVAL, "nowhere to put the execution's handle");
	r = defaults_apply(&d, builtin ? NULL : b->image, &o, e);
	if (r < 0)
		return r;
	p.make_cwd = d.make_cwd;
	r = start_whole(b, &o, cb, &p, ret);
	defaults_fini(&d);
	return r;
}

int conker_exec_start(conker_box *b, const conker_exec_opts *opts, conker_exec_cb cb,
		      conker_exec **ret)
{
	struct err *e;
	int r = box_enter(b, &e);

	if (r == 0)
		r = exec_begin(b, opts, &cb, 0, ret, e);
	if (r < 0 && cb.free)
		cb.free(cb.user);
	return r;
}

int exec_start_builtin(conker_box *b, const conker_exec_opts *opts, const conker_exec_cb *cb,
		       conker_exec **ret, struct err *e)
{
	return exec_begin(b, opts, cb, 1, ret, e);
}
