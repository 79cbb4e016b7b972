/* start.c - exec_start(): from a Start message to a running execution. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "guest-init/env.h"
#include "guest-init/exec.h"
#include "guest-init/server.h"
#include "guest-init/sys.h"

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

static int open_pipes(struct exec *x, const Conker__Start *m, struct spawn_req *q)
{
	int r = open_pipe(&x->out[0].fd, &q->out_fd);

	if (r == 0)
		r = open_pipe(&x->out[1].fd, &q->err_fd);
	if (r == 0 && m->stdin_open)
		r = open_pipe(&q->in_fd, &x->in_fd);
	/* Room for one byte is reported as room, so only a non-blocking write is safe. */
	if (r == 0 && m->stdin_open && fcntl(x->in_fd, F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	return r;
}

/* TIOCGPTPEER opens the other side without a path: the box's /dev/pts is not in init's reach. */
static int open_tty(struct server *s, struct exec *x, const Conker__Tty *t, struct spawn_req *q)
{
	struct winsize w = {.ws_row = (uint16_t)t->rows, .ws_col = (uint16_t)t->cols};
	int unlock = 0;
	int fd = openat(s->box.pts_fd, "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	x->tty = 1;
	x->out[0].fd = fd;
	if (fd < 0 || ioctl(fd, TIOCSPTLCK, &unlock) < 0 || ioctl(fd, TIOCSWINSZ, &w) < 0)
		return -errno;
	q->tty_fd = ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (q->tty_fd < 0)
		return -errno;
	x->in_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return x->in_fd < 0 ? -errno : 0;
}

static void close_child_ends(const struct spawn_req *q)
{
	const int fd[] = {q->in_fd, q->out_fd, q->err_fd, q->tty_fd};

	for (size_t i = 0; i < countof(fd); i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

/* ---- argv and env ---- */

/* Both as the kernel wants them, in one vector; the strings stay where they were decoded. A later
 * NAME of the same name does not count, for us as for the program. */
static void build_vectors(struct server *s, const Conker__Start *m, struct spawn_req *q, char *term)
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
	if (s->n_active == EXEC_MAX)
		return refuse("limit", EAGAIN);
	if (m->cwd.len > 0 && m->cwd.data[0] != '/')
		return refuse("cwd", EINVAL);
	for (int i = 0; m->name.len > 0 && i < s->n_active; i++)
		if (strcmp(s->exec[s->active[i]].name, str(&m->name)) == 0)
			return refuse("name", EEXIST);
	return refuse(NULL, 0);
}

static struct exec *take_slot(struct server *s, struct client *c, uint32_t channel,
			      const Conker__Start *m)
{
	unsigned i = s->active[s->n_active++];
	struct exec *x = &s->exec[i];
	uint32_t gen = x->gen;
	uint32_t window = m->window ? m->window : WINDOW_DEFAULT_BYTES;

	memset(x, 0, offsetof(struct exec, argv));
	x->gen = gen;
	x->client = c;
	x->channel = channel;
	x->start_us = s->now_us;
	x->timeout_ms = m->timeout_ms;
	x->grace_ms = m->grace_ms;
	x->pidfd = x->cg = x->in_fd = -1;
	for (int k = 0; k < 2; k++)
		x->out[k] = (struct exec_out){.fd = -1, .flow = {.credit_bytes = window}};
	in_flow_init(&x->in, s->in_mem[i], STDIN_WINDOW_BYTES);
	memcpy(x->name, m->name.data, m->name.len + 1);
	keep_argv(x, m);
	return x;
}

/* Registers what the process will be heard by. */
static int watch(struct server *s, struct exec *x)
{
	int r = exec_watch(s, x, x->pidfd, EPOLLIN, (struct ev_name){.kind = KIND_EXIT});

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
static struct refusal spawn_in_cgroup(struct server *s, struct exec *x, struct spawn_req *q,
				      struct spawn_result *ret)
{
	for (;;) {
		x->cg = cg_get(&s->cg);
		if (x->cg < 0)
			return refuse("cgroup", -x->cg);
		q->cgroup_fd = s->cg.group[x->cg].dir_fd;
		spawn(&s->spawn, q, ret);
		if (ret->error != EBUSY || strcmp(ret->step, "clone") != 0)
			return refuse(ret->error ? ret->step : NULL, ret->error);
		cg_spoil(&s->cg, x->cg);
		cg_put(&s->cg, x->cg);
		x->cg = -1;
	}
}

static struct refusal launch(struct server *s, struct exec *x, const Conker__Start *m)
{
	struct spawn_req q = {.in_fd = -1, .out_fd = -1, .err_fd = -1, .tty_fd = -1};
	char term[TERM_MAX_BYTES + 8];
	struct spawn_result res;
	siginfo_t si;

	int r = m->tty ? open_tty(s, x, m->tty, &q) : open_pipes(x, m, &q);
	if (r < 0) {
		close_child_ends(&q);
		return refuse(m->tty ? "tty" : "pipe", -r);
	}
	if (m->tty)
		(void)snprintf(term, sizeof(term), "TERM=%s",
			       m->tty->term.len ? str(&m->tty->term) : "xterm");
	build_vectors(s, m, &q, term);
	q.cwd = str(&m->cwd);
	q.user = str(&m->user);
	q.mnt_ns = s->box.mnt_ns;
	struct refusal no = spawn_in_cgroup(s, x, &q, &res);
	close_child_ends(&q);
	if (no.step)
		return no;

	x->pid = res.pid;
	x->box_pid = res.box_pid;
	x->pidfd = res.pidfd;
	r = watch(s, x);
	if (r == 0)
		return no;
	cg_kill(&s->cg, x->cg);
	(void)sys_waitid(x->pidfd, &si, NULL);
	return refuse("watch", -r);
}

static void send_refusal(struct client *c, uint32_t channel, const Conker__Start *m,
			 struct refusal no)
{
	char text[160];
	const char *what = strcmp(no.step, "cwd") == 0    ? str(&m->cwd)
			   : strcmp(no.step, "user") == 0 ? str(&m->user)
			   : strcmp(no.step, "name") == 0 ? str(&m->name)
							  : str(&m->argv[0]);

	(void)snprintf(text, sizeof(text), "%.100s: %s", what,
		       strcmp(no.step, "user") == 0 && no.code == EINVAL  ? "no such user or group"
		       : strcmp(no.step, "cwd") == 0 && no.code == EINVAL ? "not an absolute path"
									  : strerror(no.code));
	client_error(c, channel, no.code, no.step, text);
}

void exec_start(struct server *s, struct client *c, uint32_t channel, const Conker__Start *m)
{
	Conker__ServerMsg reply = CONKER__SERVER_MSG__INIT;
	Conker__Started started = CONKER__STARTED__INIT;
	struct refusal no = check(s, m);

	if (no.step) {
		send_refusal(c, channel, m, no);
		return;
	}
	struct exec *x = take_slot(s, c, channel, m);
	no = launch(s, x, m);
	if (no.step) {
		exec_release(s, x);
		send_refusal(c, channel, m, no);
		return;
	}
	x->id = ++s->last_exec_id;
	exec_started(s, x);
	started.exec = x->id;
	started.pid = (uint32_t)x->box_pid;
	reply.channel = channel;
	reply.msg_case = CONKER__SERVER_MSG__MSG_STARTED;
	reply.started = &started;
	if (x->in_fd >= 0) /* a sender waits for it */
		client_send(c, &reply);
	else
		client_send_lazy(s, c, &reply);
}
