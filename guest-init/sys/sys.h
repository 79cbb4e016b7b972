/* SPDX-License-Identifier: Apache-2.0 */
/* sys.h - system calls that musl 1.2 has no wrapper for, or whose wrapper does too much.
 *
 * The id setters go straight to the kernel: libc's versions run a handshake over all threads, which
 * must not happen in a child that shares init's memory.
 */
#ifndef INIT_SYS_SYS_H
#define INIT_SYS_SYS_H

#include <errno.h>
#include <grp.h>
#include <linux/sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	PIDFD_SIGNAL_GROUP = 1 << 2, /* PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9 */
	PIDFD_GET_MNT_NS = 0xff03,   /* PIDFD_GET_MNT_NAMESPACE, Linux 6.11 */
	P_PIDFD_ = 3,
};

static inline int sys_pidfd_signal(int pidfd, int signo, unsigned flags)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, flags) < 0 ? -errno : 0;
}

static inline int sys_pidfd_open(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static inline int sys_pidfd_getfd(int pidfd, int fd)
{
	return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
}

/* The kernel's waitid() also returns the resource usage. */
static inline int sys_waitid(int pidfd, siginfo_t *si, struct rusage *ru)
{
	return syscall(SYS_waitid, P_PIDFD_, pidfd, si, WEXITED, ru) < 0 ? -errno : 0;
}

/* Whether it is stopped by job control, without taking that news from anybody. */
static inline int sys_is_stopped(int pidfd)
{
	siginfo_t si = {0};

	return syscall(SYS_waitid, P_PIDFD_, pidfd, &si, WSTOPPED | WNOHANG | WNOWAIT, NULL) == 0 &&
	       si.si_pid != 0;
}

/* A file system that no mount namespace shows, to be reached by the returned descriptor of its root alone;
 * flag is an option without value, or NULL. -errno. */
int sys_mount_detached(const char *type, const char *flag);

/* clone3() whose child runs fn(arg) on a stack of its own and exits with what it returns. */
long sys_clone3(struct clone_args *args, int (*fn)(void *), void *arg);

/* A call with up to five arguments that leaves errno alone; -errno. For a child that shares init's memory:
 * errno is the same for both, and init may be about to read what its own call put there. */
long sys_raw(long number, ...);

static inline int64_t ms_to_us(int64_t ms)
{
	return ms * 1000;
}

static inline int64_t clock_us(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static inline int64_t now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

/* For people: it may be set at any time. */
static inline int64_t real_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

#endif
