/* SPDX-License-Identifier: Apache-2.0 */
/* init_world.h - what guest-init's server finds around it, made up: processes that are a few descriptors each,
 * control groups without any, and a clock that can be moved on. The server is the real one but for child.c and
 * cg*.c; whoever includes this decides in on_quiet() what happens when it waits.
 */
#ifndef TESTS_LIB_INIT_WORLD_H
#define TESTS_LIB_INIT_WORLD_H

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "guest-init/serve/server.h"
#include "guest-init/sys/sys.h"

enum { PROCESSES_MAX = EXEC_MAX, WORLD_PIPE_BYTES = 4096 };

struct process {
	int alive, ended; /* alive: not reaped */
	uint64_t number; /* of those that could be started; without restarts the execution's, too */
	int pidfd;       /* the server's, an eventfd */
	int end_fd;      /* ours of the same */
	int out_fd;      /* its stdout, or -1 */
	int in_fd;
	int cg, status;
};

static struct world {
	int64_t skew_us;
	int ending; /* nothing can be started any more */
	int frozen, fails_to_freeze;
	uint64_t n_started;
	struct process process[PROCESSES_MAX];
	uint8_t used[CG_MAX];
} w;

static long raw(long n, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	if (ret < 0 && ret > -4096) {
		errno = (int)-ret;
		return -1;
	}
	return ret;
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	int r = (int)raw(SYS_clock_gettime, clock, (long)ts, 0, 0, 0, 0);
	int64_t ns = ts->tv_nsec + w.skew_us * 1000;

	ts->tv_sec += ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
	return r;
}

/* Of the machine that fuzzes. */
int clock_settime(clockid_t clock, const struct timespec *ts)
{
	assert(clock == CLOCK_REALTIME && ts->tv_nsec >= 0 && ts->tv_nsec < 1000000000);
	return 0;
}

int sethostname(const char *name, size_t len)
{
	assert(len <= HOSTNAME_MAX_BYTES && strnlen(name, len) == len);
	return 0;
}

/* ---- processes ---- */

static struct process *process_of(int pidfd)
{
	for (struct process *p = w.process; p < w.process + PROCESSES_MAX; p++)
		if (p->alive && p->pidfd == pidfd)
			return p;
	return NULL;
}

static void close_if(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void end_process(struct process *p, int status)
{
	if (!p->alive || p->ended)
		return;
	p->ended = 1;
	p->status = status;
	close_if(&p->out_fd);
	close_if(&p->in_fd);
	(void)eventfd_write(p->end_fd, 1);
	close_if(&p->end_fd);
}

static long wait_process(int pidfd, siginfo_t *si)
{
	struct process *p = process_of(pidfd);

	if (!p || !p->ended) {
		errno = EAGAIN;
		return -1;
	}
	si->si_code = p->status < 256 ? CLD_EXITED : CLD_KILLED;
	si->si_status = p->status & 255;
	p->alive = 0;
	return 0;
}

/* sys.h's calls about processes. Reads arguments that were not passed, as libc's own does. */
__attribute__((no_sanitize("address"))) long syscall(long n, ...)
{
	va_list ap;
	long a[6];

	va_start(ap, n);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (n == SYS_waitid)
		return (a[3] & WNOHANG) ? 0 : wait_process((int)a[1], (siginfo_t *)a[2]);
	if (n == SYS_pidfd_send_signal) {
		if ((int)a[1] == SIGKILL && process_of((int)a[0]))
			end_process(process_of((int)a[0]), 256 + SIGKILL);
		return 0;
	}
	return raw(n, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int copy_fd(int fd)
{
	return fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
}

/* What child_end() will say is in the area until then, as with the real one; "!" fails there, "?" at once. */
void child_begin(struct child_area *a, const struct child_req *req, struct child_result *ret)
{
	struct process *p = w.process;

	assert(!w.frozen);
	assert(a->tid == 0); /* the one before has been waited for */
	memset(ret, 0, sizeof(*ret));
	ret->pidfd = -1;
	while (p < w.process + PROCESSES_MAX && p->alive)
		p++;
	if (w.ending || p == w.process + PROCESSES_MAX || req->argv[0][0] == '?') {
		ret->error = ENOENT;
		ret->step = "clone";
		return;
	}
	a->tid = 1;
	a->error = req->argv[0][0] == '!' ? ENOENT : 0;
	*p = (struct process){.alive = 1, .pidfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	p->end_fd = copy_fd(p->pidfd);
	p->out_fd = copy_fd(req->tty_fd >= 0 ? req->tty_fd : req->out_fd);
	p->in_fd = copy_fd(req->in_fd);
	(void)fcntl(p->in_fd, F_SETPIPE_SZ, WORLD_PIPE_BYTES); /* so that input soon has to wait */
	p->cg = req->cgroup_fd;
	ret->pidfd = p->pidfd;
	ret->pid = (pid_t)(p - w.process) + 2;
}

void child_end(struct child_area *a, struct child_result *ret)
{
	assert(a->tid == 1);
	a->tid = 0;
	ret->box_pid = ret->pid;
	ret->error = a->error;
	ret->step = "exec";
	struct process *p = process_of(ret->pidfd);
	if (ret->error == 0) {
		p->number = ++w.n_started;
		return;
	}
	if (p) {
		end_process(p, 127);
		p->alive = 0;
	}
	close(ret->pidfd);
	ret->pidfd = -1;
}

/* ---- control groups ---- */

void cg_init(struct cg *c, int box_fd, const struct cg_limits *each)
{
	c->box_fd = box_fd;
	c->each = *each;
}

int cg_get(struct cg *c, const struct cg_limits *l)
{
	(void)l;
	for (int i = 0; i < CG_MAX; i++) {
		if (w.used[i])
			continue;
		w.used[i] = 1;
		c->group[i].dir_fd = i;
		return i;
	}
	return -EAGAIN;
}

void cg_put(struct cg *c, int i)
{
	(void)c;
	assert(w.used[i]);
	w.used[i] = 0;
}

int cg_populated(struct cg *c, int i)
{
	(void)c;
	for (struct process *p = w.process; p < w.process + PROCESSES_MAX; p++)
		if (p->alive && !p->ended && p->cg == i)
			return 1;
	return 0;
}

void cg_kill(struct cg *c, int i)
{
	(void)c;
	for (struct process *p = w.process; p < w.process + PROCESSES_MAX; p++)
		if (p->alive && p->cg == i)
			end_process(p, 256 + SIGKILL);
}

int cg_signal(struct cg *c, int i, int signo)
{
	(void)signo;
	return cg_populated(c, i) ? 0 : -ESRCH;
}

int cg_left_behind(struct cg *c, int i)
{
	return cg_populated(c, i);
}

int cg_fd(struct cg *c, int i, enum cg_file f)
{
	(void)c, (void)i, (void)f;
	return -ENOENT;
}

int cg_limit_cpu(struct cg *c, int i, uint32_t permille)
{
	(void)c, (void)i;
	return permille == 1 ? -EOPNOTSUPP : 0;
}

void cg_tidy(struct cg *c)
{
	(void)c;
}

void cg_spoil(struct cg *c, int i)
{
	(void)c, (void)i;
}

int cg_freezer_open(const struct cg *c, struct cg_freezer *ret)
{
	(void)c;
	ret->flag_fd = eventfd(0, EFD_CLOEXEC);
	ret->events_fd = eventfd(0, EFD_CLOEXEC);
	return 0;
}

/* Its flag tells who may be started. */
int cg_freezer_set(const struct cg_freezer *f, int on)
{
	(void)f;
	w.frozen = on;
	return 0;
}

/* Always, so that the flag tells. */
int cg_freezer_has_any(const struct cg_freezer *f)
{
	(void)f;
	return 1;
}

int cg_freezer_done(const struct cg_freezer *f)
{
	(void)f;
	return !w.fails_to_freeze;
}

static int ring(void)
{
	assert(w.frozen);
	return eventfd(0, EFD_CLOEXEC);
}

void cg_usage(struct cg *c, int i, struct cg_usage *ret)
{
	(void)c, (void)i;
	memset(ret, 0, sizeof(*ret));
}

uint32_t cg_usage_end(struct cg *c, int i, const struct cg_main *m, struct cg_usage *sum)
{
	(void)c, (void)i, (void)m, (void)sum;
	return 0;
}

void cg_usage_add(struct cg_usage *sum, const struct cg_usage *u)
{
	(void)sum, (void)u;
}

void cg_usage_box(struct cg *c, struct cg_usage *ret)
{
	cg_usage(c, 0, ret);
}

/* ---- waiting ---- */

/* The server has nothing to do: whoever includes this decides what happens then. Returns what its wait is to return. */
static int on_quiet(int timeout_ms);

int epoll_wait(int ep, struct epoll_event *ev, int max, int timeout_ms)
{
	int n = (int)raw(SYS_epoll_wait, ep, (long)ev, max, 0, 0, 0);

	return n ? n : on_quiet(timeout_ms);
}

int poll(struct pollfd *p, nfds_t n, int timeout_ms)
{
	int r = (int)raw(SYS_poll, (long)p, (long)n, 0, 0, 0, 0);

	return r ? r : on_quiet(timeout_ms);
}

#endif
