/* spawn.c - children that the caller's own wait() never meets.
 *
 * A child made with exit signal 0 raises no SIGCHLD and is invisible to wait() and waitpid() without
 * __WALL, so a program that embeds the library is not confused by it; we reap it through its pidfd.
 * posix_spawn() cannot do that. clone(CLONE_VM | CLONE_VFORK) shares our memory until exec, hence the
 * usual duties: all signals blocked meanwhile (a handler run by the child would write to our memory),
 * a stack of its own, and nothing but system calls in child_main().
 */
#include "lib/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

enum { STACK_BYTES = 64 << 10, FD_ASIDE = 64, STDERR_BYTES = 16 << 10 };

struct child {
	const struct spawn *s;
	const char *path;
	pid_t parent;
	sigset_t mask; /* the caller's, restored before exec */
	int error;     /* out: errno of what failed */
};

static void reset_signals(const struct child *c)
{
	struct sigaction sa = {.sa_handler = SIG_DFL};

	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &sa, NULL); /* fails for KILL, STOP and libc's own only */
	(void)c;
}

/* Descriptor i of the child becomes fds[i]. First all out of the way, then down, so that no target
 * overwrites a source. */
static int place_fds(const struct spawn *s)
{
	int aside[FD_ASIDE];

	for (int i = 0; i < s->nfds; i++) {
		aside[i] = fcntl(s->fds[i], F_DUPFD_CLOEXEC, FD_ASIDE);
		if (aside[i] < 0)
			return -1;
	}
	for (int i = 0; i < s->nfds; i++)
		if (dup2(aside[i], i) < 0)
			return -1;
	(void)syscall(SYS_close_range, (unsigned)s->nfds, ~0U,
		      0); /* before 5.9: ours are CLOEXEC */
	return 0;
}

static int child_main(void *arg)
{
	struct child *c = arg;
	const struct spawn *s = c->s;

	reset_signals(c);
	if ((s->flags & SPAWN_SESSION) && setsid() < 0)
		goto fail;
	if ((s->flags & SPAWN_GROUP) && setpgid(0, 0) < 0)
		goto fail;
	if ((s->flags & SPAWN_DIE_WITH_US) &&
	    (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != c->parent))
		goto fail;
	if (place_fds(s) < 0)
		goto fail;
	(void)sigprocmask(SIG_SETMASK, &c->mask, NULL);
	execve(c->path, s->argv, s->env);
fail:
	c->error = errno ? errno : ESRCH;
	_exit(127);
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

int spawn_start(const struct spawn *s, int *ret_pidfd)
{
	char path[4096];
	struct child c = {.s = s, .path = path, .parent = getpid()};
	sigset_t all;

	if (s->nfds > FD_ASIDE)
		return -EINVAL;
	if (find_path(s, path, sizeof(path)) < 0)
		return -ENOENT;

	char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &c.mask);
	int pidfd = -1;
	pid_t pid = clone(child_main, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | CLONE_PIDFD, &c,
			  &pidfd);
	int r = pid < 0 ? -errno : 0;
	(void)pthread_sigmask(SIG_SETMASK, &c.mask, NULL);
	(void)munmap(stack, STACK_BYTES);
	if (r < 0)
		return r;
	if (c.error) {
		(void)spawn_reap(pidfd);
		close(pidfd);
		return -c.error;
	}
	*ret_pidfd = pidfd;
	return pid;
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
	text_clean(ret);
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
