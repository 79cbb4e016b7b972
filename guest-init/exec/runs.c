/* SPDX-License-Identifier: Apache-2.0 */
/* runs.c - see runs.h. */
#include "guest-init/exec/runs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>

#include "guest-init/exec/output.h"
#include "guest-init/exec/stdin.h"
#include "guest-init/exec/young.h"
#include "guest-init/sys/env.h"
#include "guest-init/sys/sys.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

static char *str(const ProtobufCBinaryData *b)
{
	return (char *)b->data; /* the codec ends it in a NUL */
}

/* ---- streams ---- */

static int open_pipe(int *ret_read, int *ret_write)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	*ret_read = fd[0];
	*ret_write = fd[1];
	return 0;
}

/* init keeps the writing end too, until it knows whether the pipe can be used again. */
static int open_output(struct execs *e, struct exec_out *o, int *ret_write)
{
	struct pipe_ends ends;
	int r = pipes_get(&e->pipes, &ends);

	if (r < 0)
		return r;
	o->fd = ends.rd;
	o->wr = *ret_write = ends.wr;
	return 0;
}

/* What is discarded goes to init's fd 0: /dev/null, open both ways, which costs no call. */
static int open_pipes(struct execs *e, struct exec *x, const Conker__Start *m, struct child_req *q)
{
	int r = 0;

	if (m->out == CONKER__DISPOSAL__DISCARD)
		q->out_fd = 0;
	else
		r = open_output(e, &x->out[0], &q->out_fd);
	if (m->err == CONKER__DISPOSAL__DISCARD)
		q->err_fd = 0;
	else if (m->err == CONKER__DISPOSAL__MERGE)
		q->err_fd = q->out_fd;
	else if (r == 0)
		r = open_output(e, &x->out[1], &q->err_fd);
	if (r < 0 || !m->stdin_open || x->in_eof)
		return r;
	r = open_pipe(&q->in_fd, &x->in_fd);
	/* Room for one byte is reported as room, so only a non-blocking write is safe. */
	if (r == 0 && fcntl(x->in_fd, F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	return r;
}

/* TIOCGPTPEER opens the other side without a path: the box's /dev/pts is not in init's reach. */
static int open_tty(struct execs *e, struct exec *x, const Conker__Tty *t, struct child_req *q)
{
	struct winsize w = {.ws_row = (uint16_t)t->rows, .ws_col = (uint16_t)t->cols};
	int unlock = 0;
	int fd = openat(e->box.pts_fd, "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	x->tty = 1;
	x->in_last = '\n'; /* a new terminal is at the beginning of a line */
	x->out[0].fd = fd;
	if (fd < 0 || ioctl(fd, TIOCSPTLCK, &unlock) < 0 || ioctl(fd, TIOCSWINSZ, &w) < 0)
		return -errno;
	q->tty_fd = ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (q->tty_fd < 0)
		return -errno;
	x->in_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return x->in_fd < 0 ? -errno : 0;
}

/* The writing ends of outputs are kept if they may be of use. */
static void close_child_ends(const struct execs *e, struct exec *x, const struct child_req *q)
{
	if (q->in_fd >= 0)
		close(q->in_fd);
	if (q->tty_fd >= 0)
		close(q->tty_fd);
	for (int k = 0; k < 2 && e->pipes.unusable; k++)
		output_close_writer(&x->out[k]);
}

/* ---- argv and env ---- */

/* Both as the kernel wants them, in one vector; the strings stay where they were decoded. A later
 * NAME of the same name does not count, for us as for the program. */
static void build_vectors(struct execs *e, const Conker__Start *m, struct child_req *q, char *term)
{
	static char path[] = "PATH=" ENV_PATH_DEFAULT;
	char **v = e->vec;

	q->argv = v;
	for (size_t i = 0; i < m->n_argv; i++)
		*v++ = str(&m->argv[i]);
	*v++ = NULL;
	q->env = v;
	for (size_t i = 0; i < m->n_env; i++)
		*v++ = str(&m->env[i]);
	*v = NULL;
	if (!env_get(q->env, "PATH"))
		*v++ = path;
	*v = NULL;
	if (m->tty && !env_get(q->env, "TERM"))
		*v++ = term;
	*v = NULL;
	q->n_env = (size_t)(v - q->env);
}

/* ---- the process ---- */

/* A cgroup that its last user divided further takes no process any more: try the next. */
static struct refusal spawn_in_cgroup(struct execs *e, struct exec *x, struct child_req *q,
				      const struct cg_limits *l, struct child_result *ret)
{
	for (;;) {
		x->cg = cg_get(&e->cg, l);
		if (x->cg < 0)
			return refusal(x->cg == -EOPNOTSUPP ? "limit" : "cgroup", -x->cg);
		q->cgroup_fd = e->cg.group[x->cg].dir_fd;
		child_begin(&e->child, q, ret);
		if (ret->error != EBUSY || strcmp(ret->step, "clone") != 0)
			return refusal(ret->error ? ret->step : NULL, ret->error);
		cg_spoil(&e->cg, x->cg);
		cg_put(&e->cg, x->cg);
		x->cg = -1;
	}
}

static struct refusal open_streams(struct execs *e, struct exec *x, const Conker__Start *m,
				   struct child_req *q)
{
	int r;

	if (m->builtin && !self_has(str(&m->argv[0])))
		return refusal("exec", ENOENT);
	q->self_fd = m->builtin ? self_fd(&e->self) : -1;
	if (m->builtin && q->self_fd < 0)
		return refusal("exec", -q->self_fd);
	r = m->tty ? open_tty(e, x, m->tty, q) : open_pipes(e, x, m, q);
	return r < 0 ? refusal(m->tty ? "tty" : "pipe", -r) : refusal(NULL, 0);
}

static void fill_request(struct execs *e, const Conker__Start *m, struct child_req *q)
{
	if (m->tty)
		(void)snprintf(e->term, sizeof(e->term), "TERM=%s",
			       m->tty->term.len ? str(&m->tty->term) : "xterm");
	build_vectors(e, m, q, e->term);
	q->cwd = str(&m->cwd);
	q->make_cwd = m->make_cwd;
	q->user = str(&m->user);
	q->mnt_ns = e->box.mnt_ns;
	q->rlimits = m->rlimits;
	q->n_rlimits = m->n_rlimits;
}

/* The process is there; until it execs it shares init's memory. */
static struct refusal await_program(struct execs *e, struct exec *x, const Conker__Start *m,
				    struct child_result *child, int may_wait)
{
	siginfo_t si;
	int r = 0;

	x->pid = child->pid;
	x->pidfd = child->pidfd;
	int is_young = !m->tty && young_take(e, x);
	if (is_young && may_wait && !m->stdin_open)
		young_await(e, x, m->timeout_ms);
	child_end(&e->child, child);
	x->pidfd = child->pidfd;
	x->box_pid = child->box_pid;
	if (child->error)
		return refusal(child->step, child->error);
	if (!is_young)
		r = young_watch_all(e, x);
	if (r == 0 && m->cpu_max_permille)
		r = cg_limit_cpu(&e->cg, x->cg, m->cpu_max_permille);
	if (r == 0)
		return refusal(NULL, 0);
	cg_kill(&e->cg, x->cg);
	(void)sys_waitid(x->pidfd, &si, NULL);
	return refusal("limit", -r);
}

struct refusal run_begin(struct execs *e, struct exec *x, const Conker__Start *m, int may_wait)
{
	struct child_req q = {.in_fd = -1, .out_fd = -1, .err_fd = -1, .tty_fd = -1, .self_fd = -1};
	const struct cg_limits limits = {.memory_max_bytes = m->memory_max_bytes,
					 .pids_max = m->pids_max,
					 .cpu_max_permille = m->cpu_max_permille};
	struct child_result child;

	struct refusal no = open_streams(e, x, m, &q);
	if (!no.step) {
		fill_request(e, m, &q);
		no = spawn_in_cgroup(e, x, &q, &limits, &child);
	}
	close_child_ends(e, x, &q);
	return no.step ? no : await_program(e, x, m, &child, may_wait);
}

/* ---- its end ---- */

void run_unwatch_group(struct execs *e, struct exec *x)
{
	if (x->group_watched)
		poller_unwatch(e->poller, cg_fd(&e->cg, x->cg, CG_EVENTS));
	x->group_watched = 0;
}

void run_end(struct execs *e, struct exec *x)
{
	stdin_drop(e, x);
	output_close(e, x, 0);
	output_close(e, x, 1);
	if (x->pidfd >= 0)
		close(x->pidfd);
	x->pidfd = -1;
	run_unwatch_group(e, x);
	if (x->cg >= 0)
		cg_put(&e->cg, x->cg);
	x->cg = -1;
	if (x->in_used)
		(void)madvise(e->in_mem[exec_index(e, x)], STDIN_WINDOW_BYTES, MADV_DONTNEED);
	x->in_used = 0;
	x->deadline_us = 0;
	x->gen++;
	if (e->young == x)
		e->young = NULL;
}
