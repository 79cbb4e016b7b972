/* session.c - one command of a box between our stdin, stdout and stderr.
 *
 * One loop over four descriptors. Memory stays bounded in both directions: stdin is read only when all
 * that was read before went to the box; output is acknowledged (CONKER_EXEC_MANUAL_ACK) when it was
 * written to our descriptor, so at most WINDOW_BYTES per stream wait in a sink. A stream whose reader is
 * slow holds back that stream only.
 *
 * The session is over when the command's end is known and both sinks are empty, or when a signal of
 * ours came, or when nobody reads our output any more (EPIPE).
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
	struct sink out[2]; /* stdout, stderr */
	int out_errno;      /* why output cannot be written any more; then it is dropped */
	int over;           /* EXIT or LOST came */
	int stdin_open;     /* there may be more to read */
	char *in;           /* read, not yet taken by the box: in[in_head..in_tail) */
	size_t in_head, in_tail;
};

/* ---- output -------------------------------------------------------------------------------------- */

static void written(struct pump *p, int i, ssize_t n)
{
	if (n < 0)
		p->out_errno = (int)-n;
	else if (n > 0 && !p->over)
		(void)conker_exec_ack(p->exec, i ? CONKER_STDERR : CONKER_STDOUT, (size_t)n);
}

static void on_output(struct pump *p, conker_exec *e, int i, const void *data, size_t len)
{
	p->exec = e; /* may come before conker_exec_start() has returned it */
	if (p->out_errno)
		written(p, i, (ssize_t)len);
	else
		written(p, i, sink_put(&p->out[i], data, len));
}

/* ---- the end ------------------------------------------------------------------------------------- */

static void finish(struct pump *p, enum session_end end, int status)
{
	p->over = 1;
	p->s->end = end;
	p->s->status = status;
	p->s->ended_us = now_us();
}

static void on_ended(struct pump *p, const conker_status *st)
{
	int status = st->timed_out ? EXIT_TIMED_OUT
		     : st->signo   ? exit_by_signal(st->signo)
				   : st->code;

	p->s->result = *st;
	finish(p, SESSION_EXITED, status);
}

/* The shell's and docker's distinction: there is no such command, or there is and it cannot be run. What
 * is no matter of the command is our failure. */
static int status_of(const conker_failure *f)
{
	if (strcmp(f->step, "exec") == 0 && (f->error == ENOENT || f->error == ENOTDIR))
		return EXIT_NOT_FOUND;
	if (strcmp(f->step, "exec") == 0 || strcmp(f->step, "cwd") == 0 ||
	    strcmp(f->step, "user") == 0)
		return EXIT_CANNOT_EXEC;
	return EXIT_CONKER;
}

static void print_failure(const struct pump *p, const conker_failure *f)
{
	conker_box_info info = {.size = sizeof(info)};

	if (*f->step)
		fail("%s: %s", f->step, f->text);
	else if (conker_box_info_get(p->box, &info) == 0)
		fail("box '%s': %s", info.name, f->text);
	else
		fail("%s", f->text);
}

static void on_event(conker_exec *e, enum conker_event ev, const void *data, size_t len, void *user)
{
	struct pump *p = user;
	const conker_failure *f;

	switch (ev) {
	case CONKER_STDOUT: on_output(p, e, 0, data, len); break;
	case CONKER_STDERR: on_output(p, e, 1, data, len); break;
	case CONKER_EXIT: on_ended(p, data); break;
	case CONKER_LOST:
		f = data;
		finish(p, SESSION_FAILED, status_of(f));
		print_failure(p, f);
		break;
	case CONKER_STARTED:
	case CONKER_WRITABLE: break; /* the loop tries by itself */
	}
}

/* ---- input --------------------------------------------------------------------------------------- */

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
}

static void read_stdin(struct pump *p)
{
	ssize_t n = read(STDIN_FILENO, p->in, STDIN_BYTES);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		p->stdin_open = 0;
		(void)conker_exec_close_stdin(p->exec);
		return;
	}
	p->in_tail = (size_t)n;
	push_stdin(p);
}

/* ---- the loop ------------------------------------------------------------------------------------ */

static void resize(struct pump *p)
{
	uint16_t rows = 0, cols = 0;

	term_size(&rows, &cols);
	if (rows && cols)
		(void)conker_exec_resize(p->exec, rows, cols);
}

static void step(struct pump *p, const sigset_t *in_poll, int tty)
{
	enum { BOX, IN, OUT, ERR, N };
	int want_in = p->stdin_open && !p->over && p->in_tail == 0;
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
	if (tty && signals_resized())
		resize(p);
}

static void loop(struct pump *p, int tty)
{
	sigset_t in_poll;

	signals_hold(&in_poll);
	while (!signals_caught() && !p->out_errno &&
	       !(p->over && !sink_pending(&p->out[0]) && !sink_pending(&p->out[1])))
		step(p, &in_poll, tty);
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
static void broken(struct pump *p, int flags)
{
	int why = p->out_errno;

	if (flags & SESSION_KILL)
		kill_it(p);
	p->s->end = SESSION_BROKEN;
	p->s->status = signals_caught() ? exit_by_signal(signals_caught())
		       : why == EPIPE   ? exit_by_signal(SIGPIPE)
					: fail("write to standard output: %s", strerror(why));
}

static int start(struct pump *p, const struct exec_args *a, const char **argv)
{
	uint32_t flags = CONKER_EXEC_MANUAL_ACK;
	conker_exec_opts o = {
		.size = sizeof(o),
		.argv = argv,
		.env = a->env.v,
		.cwd = a->workdir,
		.user = a->user,
		.name = a->name,
		.window_bytes = WINDOW_BYTES,
		.timeout_ms = a->timeout_ms,
	};

	if (a->interactive)
		flags |= CONKER_EXEC_STDIN;
	if (a->tty) {
		flags |= CONKER_EXEC_TTY;
		o.term = getenv("TERM");
		term_size(&o.rows, &o.cols);
	}
	o.flags = flags;
	return conker_exec_start(p->box, &o, (conker_exec_cb){on_event, p, NULL}, &p->exec);
}

static int pump_init(struct pump *p)
{
	int r = sink_init(&p->out[0], STDOUT_FILENO, WINDOW_BYTES);

	if (r < 0)
		return r;
	r = sink_init(&p->out[1], STDERR_FILENO, WINDOW_BYTES);
	if (r < 0)
		return r;
	p->in = malloc(STDIN_BYTES);
	return p->in ? 0 : -ENOMEM;
}

void session_run(struct session *s, conker_box *b, const struct exec_args *a, const char **argv,
		 int flags)
{
	struct pump p = {.box = b, .s = s, .stdin_open = a->interactive};
	struct term *t = NULL;

	*s = (struct session){.end = SESSION_FAILED, .status = EXIT_CONKER, .started_us = now_us()};
	p.out[0].own_fd = p.out[1].own_fd = -1;
	if (pump_init(&p) < 0) {
		fail("no memory");
	} else if (start(&p, a, argv) < 0) {
		fail_lib();
	} else {
		if (a->tty && a->interactive)
			t = term_raw();
		loop(&p, a->tty);
		(void)term_restore(t);
		if (signals_caught() || p.out_errno)
			broken(&p, flags);
	}
	p.exec = conker_exec_free(p.exec);
	sink_fini(&p.out[0]);
	sink_fini(&p.out[1]);
	free(p.in);
}
