/* SPDX-License-Identifier: Apache-2.0 */
/* view.c - handles on executions of others: attach. */
#include "lib/handle/exec.h"
#include "lib/handle/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/rules.h"

enum {
	VIEW_FLAGS = CONKER_VIEW_FOLLOW | CONKER_VIEW_STDIN | CONKER_VIEW_NO_STDOUT |
		     CONKER_VIEW_NO_STDERR | CONKER_VIEW_LOSSLESS | CONKER_VIEW_MANUAL_ACK |
		     CONKER_VIEW_LINES,
};

static int check_ref(const conker_exec_ref *r, struct err *e)
{
	const char *text = r && r->key ? r->key : r ? r->name : NULL;
	const char *what = r && r->key ? "key" : "name";
	size_t n = text ? strlen(text) : 0;

	if (!r || (r->id != 0) + (r->name != NULL) + (r->key != NULL) != 1)
		return err_set(e, EINVAL,
			       "an execution is named by its number, its name or its "
			       "key: by exactly one of them");
	if (text && n == 0)
		return err_set(e, EINVAL, "no execution has an empty %s", what);
	if (n > (r->key ? (size_t)KEY_MAX_BYTES : (size_t)NAME_MAX_BYTES))
		return err_set(e, EINVAL, "no execution has a %s as long as '%.80s'", what, text);
	const char *why = r->name ? rules_exec_name(text, n) : NULL;
	return why ? err_set(e, EINVAL, "%s: '%.80s'", why, text) : 0;
}

int ref_of(Conker__ExecRef *ret, const conker_exec_ref *ref, struct err *e)
{
	int r = check_ref(ref, e);

	*ret = (Conker__ExecRef)CONKER__EXEC_REF__INIT;
	if (r < 0)
		return r;
	ret->exec = ref->id;
	ret->name = wire_text(ref->name);
	ret->key = wire_text(ref->key);
	return 0;
}

static int read_opts(conker_view_opts *o, const conker_view_opts *caller, struct err *e)
{
	static const conker_view_opts follow = {.size = sizeof(follow),
						.flags = CONKER_VIEW_FOLLOW};
	int r = opts_in(o, sizeof(*o), caller ? caller : &follow, e);

	if (r < 0)
		return r;
	if (o->flags & ~(uint32_t)VIEW_FLAGS)
		return err_set(e, EINVAL, "unknown view flags 0x%x", o->flags);
	if (o->window_bytes &&
	    (o->window_bytes < WINDOW_MIN_BYTES || o->window_bytes > WINDOW_MAX_BYTES))
		return err_set(e, EINVAL, "window of %u bytes: %d to %d", o->window_bytes,
			       WINDOW_MIN_BYTES, WINDOW_MAX_BYTES);
	return 0;
}

static uint32_t exec_flags(uint32_t view_flags)
{
	uint32_t f = 0;

	if (view_flags & CONKER_VIEW_STDIN)
		f |= CONKER_EXEC_STDIN;
	if (view_flags & CONKER_VIEW_MANUAL_ACK)
		f |= CONKER_EXEC_MANUAL_ACK;
	if (view_flags & CONKER_VIEW_LINES)
		f |= CONKER_EXEC_LINES;
	/* Whether it has one only the guest knows; a resize of none has no effect. */
	return f | CONKER_EXEC_TTY;
}

static void compose(Conker__Attach *a, const conker_view_opts *o)
{
	a->no_out = (o->flags & CONKER_VIEW_NO_STDOUT) != 0;
	a->no_err = (o->flags & CONKER_VIEW_NO_STDERR) != 0;
	a->follow = (o->flags & CONKER_VIEW_FOLLOW) != 0;
	a->lossless = (o->flags & CONKER_VIEW_LOSSLESS) != 0;
	a->feed = (o->flags & CONKER_VIEW_STDIN) != 0;
	a->out_from = o->stdout_from;
	a->err_from = o->stderr_from;
	a->tail_bytes = o->tail_bytes;
	a->window = o->window_bytes;
}

static void prepare(conker_exec *x, const conker_view_opts *o)
{
	x->view = 1;
	x->takes[0] = !(o->flags & CONKER_VIEW_NO_STDOUT);
	x->takes[1] = !(o->flags & CONKER_VIEW_NO_STDERR);
	x->next[0] = o->stdout_from;
	x->next[1] = o->stderr_from;
	x->placed[0] = x->placed[1] = o->tail_bytes == 0;
	x->in.closed = !(o->flags & CONKER_VIEW_STDIN);
	x->in.held = !x->in.closed;
}

static int check_and_attach(conker_box *b, const conker_exec_ref *whom,
			    const conker_view_opts *opts, const conker_exec_cb *cb,
			    conker_exec **ret)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	Conker__Attach a = CONKER__ATTACH__INIT;
	Conker__ExecRef ref;
	conker_view_opts o = {0};
	struct err *e;
	int r = box_enter(b, &e);

	if (r == 0)
		r = ref_of(&ref, whom, e);
	if (r == 0)
		r = read_opts(&o, opts, e);
	if (r == 0 && !ret)
		r = err_set(e, EINVAL, "nowhere to put the execution's handle");
	if (r < 0)
		return r;
	conker_exec *x = exec_new(b, cb, exec_flags(o.flags), o.window_bytes);
	if (!x)
		return err_set(e, ENOMEM, "no memory for an execution's handle");
	prepare(x, &o);
	compose(&a, &o);
	a.ref = &ref;
	m.msg_case = CONKER__CLIENT_MSG__MSG_ATTACH;
	m.attach = &a;
	return exec_open(x, &m, ret, e);
}

int conker_exec_attach(conker_box *b, const conker_exec_ref *ref, const conker_view_opts *opts,
		       conker_exec_cb cb, conker_exec **ret)
{
	int r = check_and_attach(b, ref, opts, &cb, ret);

	if (r < 0 && cb.free)
		cb.free(cb.user);
	return r;
}
