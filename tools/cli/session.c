/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - one execution of a box between our stdin, stdout and stderr.
 *
 * One loop over four descriptors. Memory stays bounded in both directions: stdin is read only when
 * all that was read before went to the box; output is acknowledged (manual ack) when it was written
 * to our descriptor, so at most WINDOW_BYTES per stream wait in a sink. A stream whose reader is
 * slow holds back that stream only.
 *
 * A terminal's input is read only once the command runs: before, what is typed is our terminal's
 * own business, and Ctrl-C ends us.
 *
 * The session is over when the execution's end is known and both sinks are empty, or when a signal
 * of ours came, or when nobody reads our output any more (EPIPE).
 */
#include "tools/cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	WINDOW_BYTES = 256 << 10,
	STDIN_BYTES = 64 << 10,
	KILL_WAIT_MS = 2000,
};

struct pump {
	conker_box *box;
	conker_exec *exec;
	struct session *s;
	struct sink out[2];       /* stdout, stderr */
	struct keys keys;         /* that detach, while raw */
	conker_failure failure;   /* with SESSION_FAILED: reported when the terminal is as before */
	char text[512], step[32]; /* of the failure */
	char *in;                 /* read, not yet taken by the box: in[in_head..in_tail) */
	size_t in_head, in_tail;
	int flags;
	int out_errno;  /* why output cannot be written any more; then it is dropped */
	int in_errno;   /* why input ended before its end: the command took half for the whole */
	int over;       /* EXIT, DETACHED or LOST came */
	int has_read;   /* of our stdin, which cannot be read again */
	int stdin_open; /* there may be more to read */
	int in_ended;   /* what is in `in` is the last of it */
	int started;
	int typed; /* stdin is a terminal for a command on a terminal: raw mode, keys */
	int raw;
	int resizes; /* the command is on a terminal whose size we set */
};

/* ---- output ---------------------------------------------------------------------------------- */

static void written(struct pump *p, int i, ssize_t n)
{
	if (n < 0)
		p->out_errno = (int)-n;
	else if (n > 0 && !p->over)
		(void)conker_exec_ack(p->exec, i ? CONKER_STDERR : CONKER_STDOUT, (size_t)n);
}

static void on_output(struct pump *p, int i, const conker_output *o)
{
	if (p->out_errno)
		written(p, i, (ssize_t)o->len);
	else
		written(p, i, sink_put(&p->out[i], o->bytes, o->len));
}

/* ---- events ---------------------------------------------------------------------------------- */

static void pump_finish(struct pump *p, enum session_end end, int status)
{
	p->over = 1;
	p->s->end = end;
	p->s->status = status;
	p->s->ended_us = now_us();
}

static void resize(struct pump *p)
{
	uint16_t rows = 0, cols = 0;

	term_size(&rows, &cols);
	if (rows && cols)
		(void)conker_exec_resize(p->exec, rows, cols);
}

static void on_started(struct pump *p)
{
	p->started = 1;
	if (!p->typed)
		return;
	signals_catch_stop();
	p->raw = term_raw();
	if (!p->raw)
		p->keys.n = 0; /* nobody types */
	resize(p); /* of the one who types, also if another started it, or ours has changed since */
}

static void on_exit_(struct pump *p, const conker_status *st)
{
	p->s->result = *st;
	pump_finish(p, SESSION_EXITED, exit_status_of(st));
}

static void on_lost(struct pump *p, const conker_failure *f)
{
	p->failure = *f;
	(void)snprintf(p->text, sizeof(p->text), "%s", f->text);
	(void)snprintf(p->step, sizeof(p->step), "%s", f->step);
	p->failure.text = p->text;
	p->failure.step = p->step;
	pump_finish(p, f->error == ERESTART && !p->has_read ? SESSION_AGAIN : SESSION_FAILED,
		    exit_status_of_failure(f));
}

static void on_pump_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
			  void *user)
{
	struct pump *p = user;

	p->exec = e; /* may come before conker_exec_start() has returned it */
	switch (ev) {
	case CONKER_STARTED: on_started(p); break;
	case CONKER_STDOUT: on_output(p, 0, &data->output); break;
	case CONKER_STDERR: on_output(p, 1, &data->output); break;
	case CONKER_GAP: report_gap(&data->gap, p->raw ? "\r\n" : "\n"); break;
	case CONKER_EXIT: on_exit_(p, &data->status); break;
	case CONKER_DETACHED: pump_finish(p, SESSION_DETACHED, 0); break;
	case CONKER_LOST: on_lost(p, &data->failure); break;
	case CONKER_WRITABLE: /* the loop tries by itself */
	case CONKER_WRITTEN: break;
	}
}

/* ---- input ----------------------------------------------------------------------------------- */

static void push_stdin(struct pump *p)
{
	while (p->in_head < p->in_tail) {
		ssize_t n = conker_exec_write(p->exec, p->in + p->in_head, p->in_tail - p->in_head);

		if (n == -EAGAIN)
			return; /* CONKER_WRITABLE wakes the loop */
		if (n < 0) {
			p->stdin_open = 0; /* it closed its stdin, or ended */
			break;
		}
		p->in_head += (size_t)n;
	}
	p->in_head = p->in_tail = 0;
	if (p->in_ended)
		(void)conker_exec_close_stdin(p->exec);
	p->in_ended = 0;
}

static void close_stdin(struct pump *p)
{
	p->in_tail = p->keys.n_held; /* what was held back for the keys comes to nothing more */
	memcpy(p->in, p->keys.held, p->in_tail);
	p->stdin_open = 0;
	p->in_ended = 1;
	push_stdin(p); /* if the box does not take that now, its end waits as well */
}

static void read_stdin(struct pump *p)
{
	char *at = p->in + KEYS_MAX; /* room for what the keys held back */
	ssize_t n = read(STDIN_FILENO, at, STDIN_BYTES);

	p->has_read = 1;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		p->in_errno = n < 0 ? errno : 0;
		if (p->in_errno == EIO && isatty(STDIN_FILENO))
			p->in_errno = 0; /* how a terminal ends that is gone, or not ours */
		close_stdin(p);
		return;
	}
	int leave = keys_typed(&p->keys, at, (size_t)n, p->in, &p->in_tail);
	push_stdin(p);
	if (leave) {
		p->stdin_open = 0;
		(void)conker_exec_detach(p->exec); /* DETACHED ends the session */
	}
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* What our signals asked for that does not end us. */
static void terminal(struct pump *p)
{
	if (p->raw && signals_stop_asked()) {
		term_restore();
		signals_stop();
		p->raw = term_raw();
		resize(p);
	}
	if (p->started && signals_resized()) {
		if (p->raw)
			p->raw = term_raw(); /* after SIGCONT: the shell had its own mode */
		if (p->resizes)
			resize(p);
	}
	for (int signo; (signo = signals_next());)
		(void)conker_exec_kill(p->exec, signo, CONKER_KILL_PROCESS);
}

static void step(struct pump *p, const sigset_t *in_poll)
{
	enum { BOX, IN, OUT, ERR, N };
	int want_in = p->stdin_open && !p->over && p->in_tail == 0 && (p->started || !p->typed);
	struct pollfd fds[N] = {
		[BOX] = {.fd = p->over ? -1 : conker_box_fd(p->box), .events = POLLIN},
		[IN] = {.fd = want_in ? STDIN_FILENO : -1, .events = POLLIN},
		[OUT] = {.fd = sink_pending(&p->out[0]) ? p->out[0].fd : -1, .events = POLLOUT},
		[ERR] = {.fd = sink_pending(&p->out[1]) ? p->out[1].fd : -1, .events = POLLOUT},
	};

	if (ppoll(fds, N, NULL, in_poll) < 0)
		return; /* EINTR: the loop looks */
	if (fds[BOX].revents) {
		(void)conker_box_dispatch(p->box); /* a failure has come as CONKER_LOST */
		push_stdin(p);
	}
	if (fds[IN].revents && !p->over)
		read_stdin(p);
	for (int i = 0; i < 2; i++)
		if (fds[OUT + i].revents)
			written(p, i, sink_flush(&p->out[i]));
}

static void loop(struct pump *p)
{
	sigset_t in_poll;

	signals_hold(&in_poll);
	while (!signals_caught() && !p->out_errno &&
	       !(p->over && !sink_pending(&p->out[0]) && !sink_pending(&p->out[1]))) {
		step(p, &in_poll);
		terminal(p);
	}
}

static void kill_it(struct pump *p)
{
	p->out_errno = EPIPE; /* what it still says is dropped, or it might never end */
	if (p->over || conker_exec_kill(p->exec, SIGKILL, CONKER_KILL_ALL) < 0)
		return;
	for (int i = 0; i < 2; i++)
		(void)conker_exec_ack(p->exec, i ? CONKER_STDERR : CONKER_STDOUT,
				      p->out[i].tail - p->out[i].head);
	(void)conker_exec_wait(p->exec, KILL_WAIT_MS, NULL);
}

/* Interrupted by a signal, or by a reader that went away. */
static void broken(struct pump *p)
{
	int why = p->out_errno;

	if (p->flags & SESSION_KILL)
		kill_it(p);
	p->s->end = SESSION_BROKEN;
	p->s->status = signals_caught() ? exit_by_signal(signals_caught())
		       : why == EPIPE   ? exit_by_signal(SIGPIPE)
					: fail("write to standard output: %s", strerror(why));
}

/* ---- from start to end ----------------------------------------------------------------------- */

static void say_detached(const struct pump *p)
{
	conker_box_info info = {.size = sizeof(info)};

	if (conker_box_info_get(p->box, &info) == 0)
		note("detached; it goes on: conker attach -i %s %llu", info.name,
		     (unsigned long long)conker_exec_id(p->exec));
}

static void ended(struct pump *p)
{
	if (p->raw && p->s->end != SESSION_EXITED)
		fputc('\n', stderr); /* the cursor may be anywhere in a line */
	if (signals_caught() || p->out_errno)
		broken(p);
	else if (p->s->end == SESSION_FAILED)
		report_failure(p->box, &p->failure);
	else if (p->s->end == SESSION_DETACHED)
		say_detached(p);
	else if (p->in_errno)
		p->s->status = fail("read standard input: %s", strerror(p->in_errno));
}

static int pump_init(struct pump *p)
{
	int r = sink_init(&p->out[0], STDOUT_FILENO, WINDOW_BYTES);

	if (r < 0)
		return r;
	r = sink_init(&p->out[1], STDERR_FILENO, WINDOW_BYTES);
	if (r < 0)
		return r;
	p->in = malloc(KEYS_MAX + STDIN_BYTES);
	return p->in ? 0 : -ENOMEM;
}

/* begin starts or attaches. */
static void stay(struct pump *p, int (*begin)(struct pump *p, const void *what), const void *what)
{
	*p->s = (struct session){
		.end = SESSION_FAILED, .status = EXIT_CONKER, .started_us = now_us()};
	p->out[0].own_fd = p->out[1].own_fd = -1;
	if (pump_init(p) < 0) {
		fail("no memory");
	} else if (begin(p, what) < 0) {
		fail_lib();
	} else {
		if (p->flags & SESSION_FORWARD)
			signals_forward();
		loop(p);
		term_restore();
		ended(p);
	}
	p->exec = conker_exec_free(p->exec);
	sink_fini(&p->out[0]);
	sink_fini(&p->out[1]);
	free(p->in);
}

static int begin_start(struct pump *p, const void *what)
{
	const struct exec_plan *plan = what;
	conker_exec_opts o = plan->opts;

	o.flags |= CONKER_EXEC_MANUAL_ACK;
	o.window_bytes = WINDOW_BYTES;
	return conker_exec_start(p->box, &o, (conker_exec_cb){on_pump_event, p, NULL}, &p->exec);
}

void session_run(struct session *s, conker_box *b, const struct exec_plan *plan, struct keys detach,
		 int flags)
{
	int tty = !!(plan->opts.flags & CONKER_EXEC_TTY);
	int input = !!(plan->opts.flags & CONKER_EXEC_STDIN);
	struct pump p = {.box = b,
			 .s = s,
			 .flags = flags,
			 .stdin_open = input,
			 .typed = tty && input,
			 .keys = tty && input ? detach : (struct keys){.n = 0},
			 .resizes = tty};

	stay(&p, begin_start, plan);
}

static int begin_attach(struct pump *p, const void *what)
{
	const struct session_view *v = what;
	conker_view_opts o = v->opts;

	o.flags |= CONKER_VIEW_MANUAL_ACK;
	o.window_bytes = WINDOW_BYTES;
	return conker_exec_attach(p->box, &v->exec, &o, (conker_exec_cb){on_pump_event, p, NULL},
				  &p->exec);
}

void session_attach(struct session *s, conker_box *b, const struct session_view *v,
		    struct keys detach, int flags)
{
	int input = !!(v->opts.flags & CONKER_VIEW_STDIN);
	struct pump p = {.box = b,
			 .s = s,
			 .flags = flags,
			 .stdin_open = input,
			 .typed = v->tty && input,
			 .keys = v->tty && input ? detach : (struct keys){.n = 0},
			 .resizes = v->tty && input};

	stay(&p, begin_attach, v);
}

/* ---- started and left ------------------------------------------------------------------------ */

struct start {
	conker_box *box;
	struct session *s;
	int started, failed;
};

static void on_start_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
			   void *user)
{
	struct start *s = user;

	(void)e;
	if (ev == CONKER_STARTED)
		s->started = 1;
	if (ev != CONKER_LOST || s->started)
		return;
	s->failed = 1;
	if (data->failure.error == ERESTART)
		s->s->end = SESSION_AGAIN;
	else
		s->s->status = report_failure(s->box, &data->failure);
}

static int await_ports(conker_box *b, conker_exec *e, const struct exec_args *a)
{
	enum { PATIENCE_MS = 60000 };
	const conker_exec_ref ref = {.id = conker_exec_id(e)};
	int r;

	do
		r = conker_box_await_ports(b, &ref, a->ports.v, a->ports.n,
					   a->await_timeout_ms ? a->await_timeout_ms : PATIENCE_MS);
	while (r == -EINTR && !signals_caught());
	return r < 0 ? fail_lib() : 0;
}

static int wait_for_start(struct start *s)
{
	struct pollfd fd = {.fd = conker_box_fd(s->box), .events = POLLIN};

	while (!s->started && !s->failed && !signals_caught()) {
		(void)poll(&fd, 1, -1);
		(void)conker_box_dispatch(s->box); /* a failure has come as CONKER_LOST */
	}
	return s->started ? 0 : s->failed ? s->s->status : exit_by_signal(signals_caught());
}

static int start_detached(struct session *session, conker_box *b, const struct exec_plan *plan,
			  const struct exec_args *a)
{
	struct start s = {.box = b, .s = session};
	conker_exec *e;

	if (conker_exec_start(b, &plan->opts, (conker_exec_cb){on_start_event, &s, NULL}, &e) < 0)
		return fail_lib();
	int status = wait_for_start(&s);
	if (status == 0) {
		printf("%llu\n", (unsigned long long)conker_exec_id(e));
		status = finish_output();
	}
	if (status == 0 && a->ports.n)
		status = await_ports(b, e, a);
	conker_exec_free(e);
	return status;
}

void session_detached(struct session *s, conker_box *b, const struct exec_plan *plan,
		      const struct exec_args *a)
{
	*s = (struct session){.end = SESSION_FAILED, .status = EXIT_CONKER};
	s->status = start_detached(s, b, plan, a);
}
