/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - one command from start to result in one call; and what a result is called.
 *
 * Built on the public calls alone. Of each stream at most output_max_bytes are kept; the rest is
 * counted and dropped, so the memory of a call is bounded by what its caller allowed.
 */
#include "lib/files/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/signame.h"

enum {
	OUTPUT_DEFAULT_BYTES = 16 << 20,
	FIRST_BYTES = 4 << 10,
	MESSAGE_BYTES = 160,
};

/* ---- capture --------------------------------------------------------------------------------- */

struct capture {
	conker_captured c;
	size_t cap;
};

/* Doubles, so that the total of copies stays linear. One byte more for the NUL. */
static int capture_make_room(conker_captured *c, size_t *cap, size_t n, size_t max_bytes)
{
	size_t want = *cap ? *cap : FIRST_BYTES;

	while (want < c->len + n)
		want *= 2;
	want = min_(want, max_bytes);
	if (want <= *cap && c->data)
		return 0;
	char *p = realloc(c->data, want + 1);
	if (!p)
		return -ENOMEM;
	c->data = p;
	*cap = want;
	return 0;
}

static size_t count_lines(const char *p, size_t len)
{
	size_t n = 0;

	for (const char *end = p + len; (p = memchr(p, '\n', (size_t)(end - p))); p++)
		n++;
	return n;
}

static int capture_put(struct capture *c, const void *data, size_t len, size_t max_bytes)
{
	size_t n = min_(len, max_bytes - c->c.len);

	c->c.produced += len;
	if (n < len)
		c->c.truncated = 1;
	if (n == 0)
		return 0;
	if (capture_make_room(&c->c, &c->cap, n, max_bytes) < 0)
		return -ENOMEM;
	memcpy(c->c.data + c->c.len, data, n);
	c->c.len += n;
	return 0;
}

/* Always a string, and the last line counts without its newline too. */
static int capture_end(struct capture *c, conker_captured *ret)
{
	if (!c->c.data && capture_make_room(&c->c, &c->cap, 0, 1) < 0)
		return -ENOMEM;
	c->c.data[c->c.len] = 0;
	c->c.lines = count_lines(c->c.data, c->c.len) +
		     (c->c.len > 0 && c->c.data[c->c.len - 1] != '\n');
	*ret = c->c;
	c->c.data = NULL;
	return 0;
}

/* ---- what an end is called ------------------------------------------------------------------- */

static void say_signal(char *buf, size_t size, const conker_status *st)
{
	const char *name = signame(st->signo);
	const char *why = st->state == CONKER_EXEC_OOM_KILLED ? ", out of memory"
			  : st->state == CONKER_EXEC_KILLED   ? ", on request"
							      : "";

	(void)snprintf(buf, size, "killed by signal %d%s%s%s%s%s", st->signo,
		       name || *why ? " (" : "", name ? "SIG" : "", name ? name : "",
		       name   ? why
		       : *why ? why + 2
			      : "",
		       name || *why ? ")" : "");
}

/* "" for exit code 0. */
static void say_end(char *buf, size_t size, const conker_status *st)
{
	buf[0] = 0;
	if (st->timed_out)
		(void)snprintf(buf, size, "timed out after %.1f s", (double)st->duration_us / 1e6);
	else if (st->signo)
		say_signal(buf, size, st);
	else if (st->state == CONKER_EXEC_FAILED)
		(void)snprintf(buf, size, "could not be restarted");
	else if (st->code)
		(void)snprintf(buf, size, "exited with code %d", st->code);
}

int conker_status_check(const conker_status *st)
{
	struct err *e = api_enter();
	char text[MESSAGE_BYTES];
	conker_status ours;
	int r = opts_in(&ours, sizeof(ours), st, e);

	if (r < 0)
		return r;
	say_end(text, sizeof(text), &ours);
	if (!*text)
		return 0;
	return ours.timed_out ? api_kind(CONKER_ERR_TIMEOUT, "", err_set(e, ETIME, "%s", text))
			      : api_kind(CONKER_ERR_COMMAND, "", err_set(e, EREMOTEIO, "%s", text));
}

/* ---- the run --------------------------------------------------------------------------------- */

struct running {
	struct capture out, err, both;
	size_t max_bytes;
	int no_memory;
};

static void on_run_event(conker_exec *x, enum conker_event ev, const conker_event_data *data,
			 void *user)
{
	struct running *run = user;

	(void)x;
	if (ev != CONKER_STDOUT && ev != CONKER_STDERR)
		return;
	struct capture *c = ev == CONKER_STDOUT ? &run->out : &run->err;
	const conker_output *o = &data->output;
	if (capture_put(c, o->bytes, o->len, run->max_bytes) < 0 ||
	    capture_put(&run->both, o->bytes, o->len, run->max_bytes) < 0)
		run->no_memory = 1;
}

static int run_start(conker_box *b, const conker_exec_opts *exec, const conker_run_opts *o,
		     struct running *run, conker_exec **ret)
{
	conker_exec_cb cb = {.fn = on_run_event, .user = run};
	conker_exec_opts mine;
	struct err *e = api_enter();
	int r = opts_in(&mine, sizeof(mine), exec, e);

	if (r < 0)
		return r;
	mine.size = sizeof(mine);
	mine.flags &= ~(uint32_t)(CONKER_EXEC_MANUAL_ACK | CONKER_EXEC_LINES | CONKER_EXEC_STDIN);
	if (o->input)
		mine.flags |= CONKER_EXEC_STDIN;
	return conker_exec_start(b, &mine, cb, ret);
}

/* What the command does not read is nobody's error. */
static void run_feed(conker_exec *x, const conker_run_opts *o)
{
	if (!o->input)
		return;
	(void)conker_exec_write_all(x, o->input, o->input_len);
	(void)conker_exec_close_stdin(x);
}

static int run_wait(conker_exec *x, conker_status *ret)
{
	ret->size = sizeof(*ret);
	return conker_exec_wait(x, -1, ret);
}

static int run_collect(struct running *run, conker_result *res)
{
	char text[MESSAGE_BYTES];

	say_end(text, sizeof(text), &res->status);
	res->message = strdup(text);
	if (run->no_memory || !res->message || capture_end(&run->out, &res->out) < 0 ||
	    capture_end(&run->err, &res->err) < 0 || capture_end(&run->both, &res->both) < 0)
		return -ENOMEM;
	return 0;
}

static int run_with(conker_box *b, const conker_exec_opts *exec, const conker_run_opts *o,
		    struct running *run, conker_result *res)
{
	conker_exec *x;
	int r = run_start(b, exec, o, run, &x);

	if (r < 0)
		return r;
	run_feed(x, o);
	r = run_wait(x, &res->status);
	if (r < 0) { /* its message is the one to keep */
		conker_exec_free(x);
		return r;
	}
	conker_exec_free(x);
	r = run_collect(run, res);
	if (r < 0)
		return err_set(api_enter(), ENOMEM, "no memory for the output");
	return o->flags & CONKER_RUN_CHECK ? conker_status_check(&res->status) : 0;
}

static int read_opts(conker_run_opts *ret, const conker_run_opts *caller, struct err *e)
{
	static const conker_run_opts none = {.size = sizeof(none)};
	int r = opts_in(ret, sizeof(*ret), caller ? caller : &none, e);

	if (r < 0)
		return r;
	if (ret->flags & ~(uint32_t)CONKER_RUN_CHECK || (!ret->input && ret->input_len))
		return err_set(e, EINVAL, "unknown flags, or the length of no input");
	if (ret->input_len > INPUT_QUEUE_BYTES)
		return err_set(e, E2BIG, "more than %d bytes of input; write them yourself",
			       INPUT_QUEUE_BYTES);
	ret->output_max_bytes =
		ret->output_max_bytes ? ret->output_max_bytes : OUTPUT_DEFAULT_BYTES;
	return 0;
}

int conker_run(conker_box *b, const conker_exec_opts *exec, const conker_run_opts *opts,
	       conker_result *ret)
{
	struct running run = {0};
	conker_result res = {.size = sizeof(res)};
	conker_run_opts o = {0};
	struct err *e;
	int r = box_enter(b, &e);

	if (r < 0)
		return r;
	if (!ret || ret->size < sizeof(ret->size))
		return err_set(e, EINVAL, "the result's size field is not set");
	r = read_opts(&o, opts, e);
	if (r == 0)
		r = api_may_wait(e);
	if (r < 0)
		return r;
	run.max_bytes = o.output_max_bytes;
	r = run_with(b, exec, &o, &run, &res);
	free(run.out.c.data);
	free(run.err.c.data);
	free(run.both.c.data);
	if (r < 0 && r != -EREMOTEIO && r != -ETIME)
		conker_result_free(&res);
	opts_out(ret, &res, sizeof(res));
	return r;
}

void conker_result_free(conker_result *r)
{
	if (!r)
		return;
	free(r->out.data);
	free(r->err.data);
	free(r->both.data);
	free(r->message);
	r->out = r->err = r->both = (conker_captured){0};
	r->message = NULL;
}
