/* start.c - from conker_exec_opts to a Start on the wire. */
#include "lib/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	ROWS_DEFAULT = 24,
	COLS_DEFAULT = 80,
	EXEC_FLAGS = CONKER_EXEC_STDIN | CONKER_EXEC_TTY | CONKER_EXEC_MANUAL_ACK,
};

static int read_opts(conker_exec_opts *o, const conker_exec_opts *caller, struct err *e)
{
	int r = opts_in(o, sizeof(*o), caller, e);

	if (r < 0)
		return r;
	if (!o->argv || !o->argv[0])
		return err_set(e, EINVAL, "no command given");
	if (o->flags & ~(uint32_t)EXEC_FLAGS)
		return err_set(e, EINVAL, "unknown execution flags 0x%x", o->flags);
	if (o->cwd && o->cwd[0] != '/')
		return err_set(e, EINVAL, "the working directory '%.80s' is not absolute", o->cwd);
	if (o->name && strlen(o->name) > NAME_MAX_BYTES)
		return err_set(e, EINVAL, "the execution's name is longer than %d bytes",
			       NAME_MAX_BYTES);
	if (o->term && strlen(o->term) > TERM_MAX_BYTES)
		return err_set(e, EINVAL, "the terminal's name is longer than %d bytes",
			       TERM_MAX_BYTES);
	o->window_bytes = o->window_bytes ? o->window_bytes : WINDOW_DEFAULT_BYTES;
	if (o->window_bytes < WINDOW_MIN_BYTES || o->window_bytes > WINDOW_MAX_BYTES)
		return err_set(e, EINVAL, "window of %u bytes: %d to %d", o->window_bytes,
			       WINDOW_MIN_BYTES, WINDOW_MAX_BYTES);
	o->rows = o->rows ? o->rows : ROWS_DEFAULT;
	o->cols = o->cols ? o->cols : COLS_DEFAULT;
	return 0;
}

static size_t count(const char *const *v)
{
	size_t n = 0;

	while (v && v[n])
		n++;
	return n;
}

static ProtobufCBinaryData bytes(const char *s)
{
	ProtobufCBinaryData b = {.len = s ? strlen(s) : 0, .data = (uint8_t *)s};

	return b; /* the codec only reads it */
}

static int send_start(conker_exec *x, const conker_exec_opts *o, ProtobufCBinaryData *v,
		      size_t argc, size_t envc)
{
	Conker__Start s = CONKER__START__INIT;
	Conker__Tty t = CONKER__TTY__INIT;
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;

	s.n_argv = argc;
	s.argv = v;
	s.n_env = envc;
	s.env = v + argc;
	s.cwd = bytes(o->cwd);
	s.user = bytes(o->user);
	s.name = bytes(o->name);
	s.stdin_open = (o->flags & CONKER_EXEC_STDIN) != 0;
	s.window = o->window_bytes;
	s.timeout_ms = o->timeout_ms;
	s.grace_ms = o->grace_ms;
	if (o->flags & CONKER_EXEC_TTY) {
		t.rows = o->rows;
		t.cols = o->cols;
		t.term = bytes(o->term ? o->term : "xterm-256color");
		s.tty = &t;
	}
	m.msg_case = CONKER__CLIENT_MSG__MSG_START;
	m.start = &s;
	m.channel = x->chan.number;
	return wire_send(x->box, &m, OUT_START_BYTES);
}

/* [locked] */
static int open_channel(conker_exec *x, const conker_exec_opts *o, ProtobufCBinaryData *v,
			struct err *e)
{
	size_t argc = count(o->argv), envc = count(o->env);

	if (x->box->lost)
		return box_lost_error(x->box, e);
	for (size_t i = 0; i < argc; i++)
		v[i] = bytes(o->argv[i]);
	for (size_t i = 0; i < envc; i++)
		v[argc + i] = bytes(o->env[i]);
	chan_add(x->box, &x->chan, CHAN_EXEC);
	int r = send_start(x, o, v, argc, envc);
	if (r == 0)
		return 0;
	chan_del(x->box, &x->chan);
	if (r == -E2BIG)
		return err_set(e, E2BIG, "arguments and environment are larger than %d MiB",
			       FRAME_MAX_BYTES >> 20);
	return err_set(e, -r, "send the command to the box: %s", strerror(-r));
}

/* [locked] */
static int open_with_room(conker_exec *x, const conker_exec_opts *o, struct err *e)
{
	size_t n = count(o->argv) + count(o->env);

	if (n > ARGS_MAX)
		return err_set(e, E2BIG, "more than %d arguments and environment entries",
			       ARGS_MAX);

	ProtobufCBinaryData *v = calloc(n, sizeof(*v));
	int r = v ? open_channel(x, o, v, e) : err_set(e, ENOMEM, "no memory for the arguments");
	free(v);
	return r;
}

static int start(conker_box *b, const conker_exec_opts *opts, const conker_exec_cb *cb,
		 conker_exec **ret, struct err *e)
{
	conker_exec_opts o;
	int r = read_opts(&o, opts, e);

	if (r < 0)
		return r;
	if (!ret)
		return err_set(e, EINVAL, "nowhere to put the execution's handle");

	conker_exec *x = calloc(1, sizeof(*x));
	if (!x)
		return err_set(e, ENOMEM, "no memory for an execution's handle");
	x->box = b;
	x->cb = *cb;
	x->flags = o.flags;
	x->window = o.window_bytes;
	x->stdin_credit = STDIN_WINDOW_BYTES;
	pthread_mutex_lock(&b->lock);
	r = open_with_room(x, &o, e);
	if (r < 0) {
		free(x);
	} else {
		x->refs = 2; /* the handle's and the table's */
		b->refs++;
		*ret = x; /* before a leader elsewhere can run the first callback */
	}
	box_unlock(b);
	return r;
}

int conker_exec_start(conker_box *b, const conker_exec_opts *opts, conker_exec_cb cb,
		      conker_exec **ret)
{
	struct err *e;
	int r = box_enter(b, &e);

	if (r == 0)
		r = start(b, opts, &cb, ret, e);
	if (r < 0 && cb.free)
		cb.free(cb.user);
	return r;
}
