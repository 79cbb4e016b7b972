/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.c - processes that the caller's own wait() never meets.
 *
 * A child made with an exit signal of 0 raises no SIGCHLD and is invisible to wait() and waitpid()
 * without __WALL. But exec() makes the signal SIGCHLD again, so what execs must not be our child: a
 * hidden child in between is its parent.
 *	a VMM	the one in between ends at once, init reaps the VMM; a pidfd tells of its end
 *	a tool	the one in between waits for it and hands on its status; both die with us
 *
 * clone(CLONE_VM | CLONE_VFORK) shares our memory until exec or exit, hence the usual duties: all
 * signals blocked meanwhile (a handler run by the child would write to our memory), a stack of its own,
 * and nothing but system calls in there.
 */
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

enum { FD_ASIDE = 640, FD_FEW = 64, STDERR_BYTES = 16 << 10 };

static const size_t stack_bytes = 64 << 10;

struct child {
	const struct spawn *s;
	const char *path;
	char *stack; /* two of stack_bytes: the hidden child's and the last one's */
	pid_t parent;
	sigset_t mask; /* the caller's, restored before exec */
	int pidfd;     /* out, of a VMM */
	int error;     /* out, of a VMM: errno of what failed */
};

#ifdef __SANITIZE_THREAD__
/* The thread sanitizer's clone() takes every child for a fork, and no longer looks at the parent. */
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
#define clone __clone
#endif

/* What runs on the children's stacks is kept from the sanitizers: these functions never return,
 * so the marks it puts around their variables would stay for whoever has the memory next. exit_group()
 * is a plain call for the same reason. */
#define on_child_stack __attribute__((no_sanitize("address"), no_sanitize("thread")))

on_child_stack static void leave(int status)
{
	for (;;)
		(void)syscall(SYS_exit_group, status);
}

/* Not by sigaction(), see place_fds(): it would be the caller's handlers that were gone. */
on_child_stack static void reset_signals(void)
{
	static const uint64_t defaults[4]; /* the kernel's structure: SIG_DFL, no flags, no mask */

	for (int i = 1; i < NSIG; i++) /* fails for KILL and STOP only */
		(void)syscall(SYS_rt_sigaction, i, defaults, NULL, sizeof(defaults[0]));
}

/* As many descriptors as the host lets us have at all. */
on_child_stack static void raise_limit(void)
{
	struct rlimit l;

	if (syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &l) < 0)
		return;
	l.rlim_cur = l.rlim_max;
	(void)syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &l, NULL);
}

/* A duplicate above all that are placed. EINVAL: the limit is below these. It holds as the caller set it, but for a box
 * of many layers, which needs two of each for a moment: more than the usual limit, which nobody set with that in mind. */
on_child_stack static int set_aside(const struct spawn *s, int fd)
{
	int r = fcntl(fd, F_DUPFD_CLOEXEC, s->nfds);

	if (r < 0 && s->nfds > FD_FEW && (errno == EMFILE || errno == EINVAL)) {
		raise_limit();
		r = fcntl(fd, F_DUPFD_CLOEXEC, s->nfds);
	}
	if (r < 0 && errno == EINVAL)
		errno = EMFILE;
	return r;
}

/* Descriptor i of the child becomes fds[i]. First all out of the way, then down, so that no target
 * overwrites a source. Not dup2(): the thread sanitizer would write down in our memory what happens to the
 * child's descriptors, and take them for the caller's. */
on_child_stack static int place_fds(const struct spawn *s)
{
	int aside[FD_ASIDE];

	for (int i = 0; i < s->nfds; i++) {
		aside[i] = set_aside(s, s->fds[i]);
		if (aside[i] < 0)
			return -1;
	}
	for (int i = 0; i < s->nfds; i++)
		if (syscall(SYS_dup3, aside[i], i, 0) < 0)
			return -1;
	(void)syscall(SYS_close_range, (unsigned)s->nfds, ~0U,
		      0); /* before 5.9: ours are CLOEXEC */
	return 0;
}

on_child_stack static int last_main(void *arg)
{
	struct child *c = arg;
	const struct spawn *s = c->s;

	reset_signals();
	if ((s->flags & SPAWN_TOOL) && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		goto fail;
	if (!(s->flags & SPAWN_TOOL) && setsid() < 0)
		goto fail;
	if ((s->flags & SPAWN_TOOL) && s->dir >= 0 && fchdir(s->dir) < 0)
		goto fail;
	if (place_fds(s) < 0)
		goto fail;
	(void)sigprocmask(SIG_SETMASK, &c->mask, NULL);
	execve(c->path, s->argv, s->env);
fail:
	c->error = errno ? errno : EIO;
	leave(127);
	return 0;
}

/* Runs in memory of its own, a copy of ours. */
on_child_stack static void tool_parent(struct child *c)
{
	siginfo_t si = {0};

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != c->parent || setpgid(0, 0) < 0)
		leave(127);
	pid_t pid =
		clone(last_main, c->stack + 2 * stack_bytes, CLONE_VM | CLONE_VFORK | SIGCHLD, c);
	if (pid < 0 || waitid(P_PID, (id_t)pid, &si, WEXITED) < 0)
		leave(127);
	leave(si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status);
}

/* A process like those of clone(), born in a cgroup. To enter one later, by writing to its cgroup.procs, takes
 * milliseconds: that waits for every processor. clone3() returns in the child on a stack of its own, which C
 * cannot express. */
on_child_stack static int clone_into(struct child *c, int flags)
{
#ifdef __x86_64__
	struct clone_args a = {
		.flags = (unsigned)flags | CLONE_INTO_CGROUP,
		.pidfd = (uintptr_t)&c->pidfd,
		.exit_signal = SIGCHLD,
		.stack = (uintptr_t)c->stack + stack_bytes,
		.stack_size = stack_bytes,
		.cgroup = (unsigned)c->s->cgroup,
	};
	long r;

	/* The child: a frame that ends here, and last_main(c), which does not return. */
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %[arg], %%rdi\n\t"
			 "call *%[fn]\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(r)
			 : "0"((long)SYS_clone3), "D"(&a),
			   "S"(sizeof(a)), [fn] "r"(last_main), [arg] "r"(c)
			 : "rcx", "r11", "memory");
	if (r < 0)
		errno = (int)-r;
	return r < 0 ? -1 : (int)r;
#else
	(void)c;
	(void)flags;
	errno = ENOSYS;
	return -1;
#endif
}

on_child_stack static int start_last(struct child *c)
{
	enum { FLAGS = CLONE_VM | CLONE_VFORK | CLONE_PIDFD };

	if (c->s->cgroup >= 0)
		return clone_into(c, FLAGS);
	return clone(last_main, c->stack + 2 * stack_bytes, FLAGS | SIGCHLD, c, &c->pidfd);
}

on_child_stack static int hidden_main(void *arg)
{
	struct child *c = arg;

	if (c->s->flags & SPAWN_TOOL)
		tool_parent(c);
	/* Our descriptor table is the caller's: the pidfd is made in there. */
	if (start_last(c) < 0)
		c->error = errno;
	leave(0);
	return 0;
}

static int find_path(const struct spawn *s, char *ret, size_t size)
{
	static const char *const dirs[] = {"/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin",
					   "/sbin"};

	if (strchr(s->path, '/')) {
		(void)snprintf(ret, size, "%s", s->path);
		return 0;
	}
	for (size_t i = 0; i < countof(dirs); i++) {
		(void)snprintf(ret, size, "%s/%s", dirs[i], s->path);
		if (access(ret, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

/* With all signals blocked. The hidden child's pid, or -errno. */
static pid_t start_hidden(struct child *c, int *ret_pidfd)
{
	enum { VMM = CLONE_VM | CLONE_VFORK | CLONE_FILES };
	int flags = CLONE_PIDFD | (c->s->flags & SPAWN_TOOL ? 0 : VMM); /* exit signal: 0 */
	pid_t pid = clone(hidden_main, c->stack + stack_bytes, flags, c, ret_pidfd);

	return pid < 0 ? -errno : pid;
}

static int start(struct child *c, int *ret_pidfd)
{
	int hidden = -1;
	pid_t pid = start_hidden(c, &hidden);

	if (pid < 0)
		return pid;
	if (c->s->flags & SPAWN_TOOL) {
		*ret_pidfd = hidden;
		return pid;
	}
	(void)spawn_reap(hidden);
	close(hidden);
	if (c->error) {
		if (c->pidfd >= 0)
			close(c->pidfd);
		return -c->error;
	}
	*ret_pidfd = c->pidfd;
	return pid;
}

int spawn_start(const struct spawn *s, int *ret_pidfd)
{
	char path[4096];
	struct child c = {.s = s, .path = path, .parent = getpid(), .pidfd = -1};
	sigset_t all;

	if (s->nfds > FD_ASIDE)
		return -EINVAL;
	if (find_path(s, path, sizeof(path)) < 0)
		return -ENOENT;
	c.stack = mmap(NULL, 2 * stack_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (c.stack == MAP_FAILED)
		return -errno;
	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &c.mask);
	int r = start(&c, ret_pidfd);
	(void)pthread_sigmask(SIG_SETMASK, &c.mask, NULL);
	(void)munmap(c.stack, 2 * stack_bytes);
	return r;
}

int spawn_stderr(void)
{
	auto_close int fd = memfd_create("conker-stderr", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, STDERR_BYTES) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return -errno;
	return take_fd(fd);
}

void spawn_complaint(int fd, char *ret, size_t size)
{
	ssize_t n = pread(fd, ret, size - 1, 0);

	ret[n > 0 ? n : 0] = 0;
	ret[strcspn(ret, "\n")] = 0;
	clean_text(ret);
}

int spawn_reap(int pidfd)
{
	siginfo_t si = {0};
	int r;

	do
		r = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &si, WEXITED | __WALL);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
}

int pidfd_wait(int pidfd, int timeout_ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int n = poll(&p, 1, timeout_ms);

	if (n < 0)
		return -errno;
	return n == 0 ? -ETIMEDOUT : 0;
}

int pidfd_of(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd; /* close-on-exec by itself */
}

int pidfd_kill(int pidfd, int signo)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}
