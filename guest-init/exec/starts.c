/* start.c - exec_start(): from a Start message to a running execution. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>

#include "guest-init/sys/env.h"
#include "guest-init/exec/execution.h"
#include "guest-init/exec/stdin.h"
#include "guest-init/serve/listing.h"
#include "guest-init/exec/output.h"
#include "guest-init/sys/self.h"
#include "guest-init/serve/server.h"
#include "guest-init/sys/sys.h"
#include "proto/rules.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

/* Why a start failed; NULL as step means that it did not. */
struct refusal {
	const char *step;
	int code;
};

static struct refusal refuse(const char *step, int code)
{
	return (struct refusal){step, code};
}

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

/* init's fd 0 is /dev/null, open both ways, and costs no call. */
/* init keeps the writing end too, until it knows whether the pipe can be used again. */
static int open_output(struct server *s, struct exec_out *o, int *ret_write)
{
	struct pipe_ends e;
	int r = pipes_get(&s->pipes, &e);

	if (r < 0)
		return r;
	o->fd = e.rd;
	o->wr = *ret_write = e.wr;
	return 0;
}

static int open_pipes(struct server *s, struct exec *x, const Conker__Start *m, struct child_req *q)
{
	int r = 0;

	if (m->out == CONKER__DISPOSAL__DISCARD)
		q->out_fd = 0;
	else
		r = open_output(s, &x->out[0], &q->out_fd);
	if (m->err == CONKER__DISPOSAL__DISCARD)
		q->err_fd = 0;
	else if (m->err == CONKER__DISPOSAL__MERGE)
		q->err_fd = q->out_fd;
	else if (r == 0)
		r = open_output(s, &x->out[1], &q->err_fd);
	if (r < 0 || !m->stdin_open || x->in_eof)
		return r;
	r = open_pipe(&q->in_fd, &x->in_fd);
	/* Room for one byte is reported as room, so only a non-blocking write is safe. */
	if (r == 0 && fcntl(x->in_fd, F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	return r;
}

/* TIOCGPTPEER opens the other side without a path: the box's /dev/pts is not in init's reach. */
static int open_tty(struct server *s, struct exec *x, const Conker__Tty *t, struct child_req *q)
{
	struct winsize w = {.ws_row = (uint16_t)t->rows, .ws_col = (uint16_t)t->cols};
	int unlock = 0;
	int fd = openat(s->box.pts_fd, "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

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
static void close_child_ends(const struct server *s, struct exec *x, const struct child_req *q)
{
	if (q->in_fd >= 0)
		close(q->in_fd);
	if (q->tty_fd >= 0)
		close(q->tty_fd);
	for (int k = 0; k < 2 && s->pipes.unusable; k++)
		output_close_writer(&x->out[k]);
}

/* ---- argv and env ---- */

/* Both as the kernel wants them, in one vector; the strings stay where they were decoded. A later
 * NAME of the same name does not count, for us as for the program. */
static void build_vectors(struct server *s, const Conker__Start *m, struct child_req *q, char *term)
{
	static char path[] = "PATH=" ENV_PATH_DEFAULT;
	char **v = s->vec;

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

/* ---- the start ---- */

static struct refusal check(struct server *s, const Conker__Start *m)
{
	if (s->n_live == EXEC_MAX)
		return refuse("limit", EAGAIN);
	if (m->cwd.len > 0 && m->cwd.data[0] != '/')
		return refuse("cwd", EINVAL);
	if (m->name.len > 0 && rules_exec_name(str(&m->name), m->name.len))
		return refuse("name", EINVAL);
	for (unsigned i = 0; m->name.len > 0 && i < s->n_live; i++)
		if (strcmp(s->exec[s->live[i]].name, str(&m->name)) == 0)
			return refuse("name", EEXIST);
	return refuse(NULL, 0);
}

/* For the next run the message itself is kept, in a mapping that only such an execution costs. */
static struct refusal keep_start(struct server *s, struct exec *x, const Conker__Restart *m)
{
	struct exec_restart *r = &x->restart;

	if (!m || m->policy == CONKER__RESTART__POLICY__NEVER)
		return refuse(NULL, 0);
	void *p =
		mmap(NULL, s->msg_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return refuse("restart", errno);
	memcpy(p, s->msg, s->msg_len);
	*r = (struct exec_restart){.policy = m->policy,
				   .max = m->max,
				   .backoff_ms = m->backoff_ms ? m->backoff_ms : BACKOFF_MS,
				   .backoff_max_ms =
					   m->backoff_max_ms ? m->backoff_max_ms : BACKOFF_MAX_MS,
				   .start = p,
				   .start_len = s->msg_len};
	r->backoff_ms = min_(r->backoff_ms, r->backoff_max_ms);
	return refuse(NULL, 0);
}

static struct exec *take_slot(struct server *s, const Conker__Start *m)
{
	struct exec *x = exec_take_slot(s);

	if (!x)
		return NULL;
	x->start_us = x->run_us = s->now_us;
	x->started_real_us = real_us();
	x->timeout_ms = m->timeout_ms;
	x->grace_ms = m->grace_ms;
	x->detached = m->detached || m->key.len > 0;
	x->leave = m->leave_children;
	x->keep_alive = m->keep_alive;
	if (x->keep_alive)
		idle_enter(s);
	x->builtin = m->builtin;
	x->in_open = m->stdin_open || m->tty;
	for (int k = 0; k < 2; k++)
		log_open(&s->log, exec_log_id(s, x, k),
			 m->log_bytes ? m->log_bytes : LOG_DEFAULT_BYTES);
	memcpy(x->name, m->name.data, m->name.len + 1);
	memcpy(x->key, m->key.data, m->key.len + 1);
	keep_argv(x, m);
	return x;
}

int exec_watch_all(struct server *s, struct exec *x)
{
	int r = x->pidfd < 0
			? 0
			: exec_watch(s, x, x->pidfd, EPOLLIN, (struct ev_name){.kind = KIND_EXIT});

	for (uint8_t k = 0; k < 2 && r == 0; k++) {
		if (x->out[k].fd < 0)
			continue;
		r = exec_watch(s, x, x->out[k].fd, EPOLLIN,
			       (struct ev_name){.kind = KIND_OUTPUT, .stream = k});
		x->out[k].armed = r == 0;
	}
	return r;
}

/* A cgroup that its last user divided further takes no process any more: try the next. */
static struct refusal spawn_in_cgroup(struct server *s, struct exec *x, struct child_req *q,
				      const struct cg_limits *l, struct child_result *ret)
{
	for (;;) {
		x->cg = cg_get(&s->cg, l);
		if (x->cg < 0)
			return refuse(x->cg == -EOPNOTSUPP ? "limit" : "cgroup", -x->cg);
		q->cgroup_fd = s->cg.group[x->cg].dir_fd;
		child_begin(&s->spawn, q, ret);
		if (ret->error != EBUSY || strcmp(ret->step, "clone") != 0)
			return refuse(ret->error ? ret->step : NULL, ret->error);
		cg_spoil(&s->cg, x->cg);
		cg_put(&s->cg, x->cg);
		x->cg = -1;
	}
}

/* The executable of a program of init's own. */
static struct refusal find_builtin(struct server *s, const char *argv0, int *ret_fd)
{
	if (!self_has(argv0))
		return refuse("exec", ENOENT);
	if (s->self_fd <= 0) /* 0 is /dev/null */
		s->self_fd = self_copy(s->self_path);
	*ret_fd = s->self_fd;
	return s->self_fd < 0 ? refuse("exec", -s->self_fd) : refuse(NULL, 0);
}

/* Makes the process; settle() is the rest. */
static struct refusal launch(struct server *s, struct exec *x, const Conker__Start *m,
			     struct child_result *ret)
{
	struct child_req q = {.in_fd = -1, .out_fd = -1, .err_fd = -1, .tty_fd = -1, .self_fd = -1};
	const struct cg_limits limits = {.memory_max_bytes = m->memory_max_bytes,
					 .pids_max = m->pids_max,
					 .cpu_max_permille = m->cpu_max_permille};

	if (m->builtin) {
		struct refusal no = find_builtin(s, str(&m->argv[0]), &q.self_fd);
		if (no.step)
			return no;
	}
	int r = m->tty ? open_tty(s, x, m->tty, &q) : open_pipes(s, x, m, &q);
	if (r < 0) {
		close_child_ends(s, x, &q);
		return refuse(m->tty ? "tty" : "pipe", -r);
	}
	if (m->tty)
		(void)snprintf(s->term, sizeof(s->term), "TERM=%s",
			       m->tty->term.len ? str(&m->tty->term) : "xterm");
	build_vectors(s, m, &q, s->term);
	q.cwd = str(&m->cwd);
	q.user = str(&m->user);
	q.mnt_ns = s->box.mnt_ns;
	q.rlimits = m->rlimits;
	q.n_rlimits = m->n_rlimits;
	struct refusal no = spawn_in_cgroup(s, x, &q, &limits, ret);
	close_child_ends(s, x, &q);
	if (no.step)
		return no;
	x->pid = ret->pid;
	x->pidfd = ret->pidfd;
	if (!m->tty)
		(void)server_take_young(s, x);
	return no;
}

/* The process runs, or could not. */
static struct refusal settle(struct server *s, struct exec *x, const Conker__Start *m,
			     struct child_result *res)
{
	int r = 0;
	siginfo_t si;

	child_end(&s->spawn, res);
	x->pidfd = res->pidfd;
	x->box_pid = res->box_pid;
	if (res->error)
		return refuse(res->step, res->error);
	if (s->young != x)
		r = exec_watch_all(s, x);
	if (r == 0 && m->cpu_max_permille)
		r = cg_limit_cpu(&s->cg, x->cg, m->cpu_max_permille);
	if (r == 0)
		return refuse(NULL, 0);
	cg_kill(&s->cg, x->cg);
	(void)sys_waitid(x->pidfd, &si, NULL);
	return refuse("limit", -r);
}

static void send_refusal(struct client *c, uint32_t channel, const Conker__Start *m,
			 struct refusal no)
{
	char text[160];
	const char *name = rules_exec_name(str(&m->name), m->name.len);
	const char *what = strcmp(no.step, "cwd") == 0    ? str(&m->cwd)
			   : strcmp(no.step, "user") == 0 ? str(&m->user)
			   : strcmp(no.step, "name") == 0 ? str(&m->name)
							  : str(&m->argv[0]);

	(void)snprintf(text, sizeof(text), "%.100s: %s", what,
		       strcmp(no.step, "user") == 0 && no.code == EINVAL   ? "no such user or group"
		       : strcmp(no.step, "cwd") == 0 && no.code == EINVAL  ? "not an absolute path"
		       : strcmp(no.step, "name") == 0 && no.code == EINVAL ? name
		       : strcmp(no.step, "name") == 0 ? "an execution of that name has not ended"
						      : strerror(no.code));
	client_error(c, channel, no.code, no.step, text);
}

static void open_view(struct server *s, struct client *c, uint32_t channel, struct exec *x,
		      uint32_t window)
{
	struct view *v = view_open(s, c, channel, x);

	assert(v); /* Attach leaves one for each that may live */
	v->flags = VIEW_OUT | VIEW_ERR | VIEW_FOLLOW | VIEW_LOSSLESS | VIEW_STARTER;
	for (int k = 0; k < 2; k++)
		v->stream[k].credit_bytes = window ? window : WINDOW_DEFAULT_BYTES;
	input_join(x, v);
	list_send_started(s, v, 0);
}

static void give_up(struct server *s, struct refusal no)
{
	struct starting st = s->starting;

	s->starting.x = NULL;
	exec_release(s, st.x);
	send_refusal(st.client, st.channel, st.m, no);
}

void exec_start(struct server *s, struct client *c, uint32_t channel, const Conker__Start *m)
{
	struct exec *x = m->key.len > 0 ? exec_by_key(s, str(&m->key)) : NULL;
	struct refusal no;

	if (x) {
		list_start_existing(s, c, channel, x, m);
		return;
	}
	no = check(s, m);
	if (no.step) {
		send_refusal(c, channel, m, no);
		return;
	}
	x = take_slot(s, m);
	s->starting = (struct starting){.x = x, .client = c, .channel = channel, .m = m};
	no = keep_start(s, x, m->restart);
	if (!no.step)
		no = launch(s, x, m, &s->starting.process);
	if (no.step)
		give_up(s, no);
	else if (s->young != x || m->stdin_open)
		exec_start_finish(s);
}

void exec_start_finish(struct server *s)
{
	struct starting *st = &s->starting;
	struct exec *x = st->x;

	if (!x)
		return;
	struct refusal no = settle(s, x, st->m, &st->process);
	if (no.step) {
		give_up(s, no);
		return;
	}
	st->x = NULL;
	x->id = ++s->last_exec_id;
	exec_started(s, x);
	open_view(s, st->client, st->channel, x, st->m->window);
}

int exec_start_again(struct server *s, struct exec *x)
{
	struct child_result process;
	Conker__ClientMsg *m;
	const char *why;
	uint32_t channel;

	exec_start_finish(s); /* there is one arena, and one process at a time may live in it */
	s->arena.used_bytes = 0;
	int r = codec_decode_client(x->restart.start, x->restart.start_len, &s->arena, &m, &channel,
				    &why);
	assert(r == 0); /* it could be decoded before */
	x->timed_out = x->asked = 0;
	x->run_us = s->now_us;
	x->restart.n++;
	struct refusal no = launch(s, x, m->start, &process);
	if (!no.step)
		no = settle(s, x, m->start, &process);
	if (!no.step)
		return 0;
	x->failed = 1;
	x->signo = 0;
	x->code = no.code == ENOENT ? 127 : 126; /* as a shell puts it */
	x->end_us = s->now_us;
	return -no.code;
}
