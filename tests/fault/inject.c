/* SPDX-License-Identifier: Apache-2.0 */
/* inject.c - see inject.h. An object for the linker's --wrap: each __wrap_NAME here leads NAME through us.
 *
 * Nothing here allocates or makes a system call on the way of a call that shall succeed: programs under
 * test run it in a jail, in signal handlers, and in children that share their memory.
 */
#include "tests/fault/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FDS = 1024, INHERITED = 32 };

static struct fault_page before_main, *page = &before_main;
/* Of KERNELS_OWN, eventfds, pipes and such, reads and writes succeed. */
enum what { NOTHING, OPEN, SOCKET, KERNELS_OWN };

static _Atomic unsigned char known[FDS]; /* an enum what each */
static _Atomic unsigned char opened[FDS];

#define NAME(name) __wrap_##name
#define REAL(name)                                     \
	__extension__({                                \
		extern __typeof__(name) __real_##name; \
		&__real_##name;                        \
	})

/* What a libc calls of itself may come here too, and is not meant. */
static _Thread_local int inside;
#define ASIDE(call)                \
	__extension__({            \
		inside++;          \
		void *p_ = (call); \
		inside--;          \
		p_;                \
	})

/* libc's differ. */
#ifdef __GLIBC__
typedef unsigned long ioctl_request;
typedef __rlimit_resource_t rlimit_resource;
#else
typedef int ioctl_request;
typedef int rlimit_resource;
#endif

void inject_use(struct fault_page *p)
{
	page = p;
	atomic_store(&page->loaded, 1);
}

/* Without errno, for who must not touch it. */
static int falls_on(enum fault_kind kind, int error, const char *call)
{
	if (inside)
		return 0;
	long n = atomic_fetch_add(&page->count[kind], 1) + 1;

	if (atomic_load(&page->kind) != (int)kind || n < atomic_load(&page->at) ||
	    (n > page->at && !page->lasts))
		return 0;
	if (atomic_load(&page->hit))
		return 1;
	(void)strncpy(page->call, call, sizeof(page->call) - 1);
	(void)strncpy(page->text, strerror(error), sizeof(page->text) - 1);
	atomic_store(&page->error, error);
	atomic_store(&page->hit, 1);
	return 1;
}

static int fails(enum fault_kind kind, int error, const char *call)
{
	int r = falls_on(kind, error, call);

	if (r)
		errno = error;
	return r;
}

__attribute__((constructor(101))) static void find_page(void)
{
	const char *path = getenv(FAULT_PAGE_ENV);
	int fd = path ? REAL(open)(path, O_RDWR | O_CLOEXEC) : -1;
	void *p =
		fd < 0 ? MAP_FAILED
		       : REAL(mmap)(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd >= 0)
		REAL(close)(fd);
	if (p == MAP_FAILED)
		return;
	page = p;
	atomic_store(&page->loaded, 1);
	for (int i = 0; i < INHERITED; i++) { /* now, because a jail may not let us ask */
		int type;
		socklen_t len = sizeof(type);

		if (getsockopt(i, SOL_SOCKET, SO_TYPE, &type, &len) == 0)
			atomic_store(&known[i], SOCKET);
	}
	atomic_fetch_add(&page->allocs, before_main.allocs);
}

__attribute__((destructor)) static void at_exit(void)
{
	atomic_store(&page->exited, 1);
}

/* ---- memory --------------------------------------------------------------------------------------- */

static void *given(void *p)
{
	if (p && !inside)
		atomic_fetch_add(&page->allocs, 1);
	return p;
}

void *NAME(malloc)(size_t n)
{
	return fails(FAULT_ALLOC, ENOMEM, "malloc") ? NULL : given(ASIDE(REAL(malloc)(n)));
}

void *NAME(calloc)(size_t n, size_t size)
{
	return fails(FAULT_ALLOC, ENOMEM, "calloc") ? NULL : given(ASIDE(REAL(calloc)(n, size)));
}

void *NAME(realloc)(void *p, size_t n)
{
	if (fails(FAULT_ALLOC, ENOMEM, "realloc"))
		return NULL;
	return p ? ASIDE(REAL(realloc)(p, n)) : given(ASIDE(REAL(realloc)(p, n)));
}

void *NAME(aligned_alloc)(size_t align, size_t n)
{
	return fails(FAULT_ALLOC, ENOMEM, "aligned_alloc")
		       ? NULL
		       : given(ASIDE(REAL(aligned_alloc)(align, n)));
}

void NAME(free)(void *p)
{
	if (p && !inside)
		atomic_fetch_sub(&page->allocs, 1);
	(void)ASIDE((REAL(free)(p), NULL));
}

void *NAME(mmap)(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	if (fails(FAULT_MMAP, ENOMEM, "mmap"))
		return MAP_FAILED;
	void *p = REAL(mmap)(at, len, prot, flags, fd, off);
	if (p != MAP_FAILED && !(flags & MAP_FIXED))
		atomic_fetch_add(&page->maps, 1);
	return p;
}

int NAME(munmap)(void *p, size_t len)
{
	int r = REAL(munmap)(p, len);

	if (r == 0 && !inside)
		atomic_fetch_sub(&page->maps, 1);
	return r;
}

/* ---- calls that give -1 --------------------------------------------------------------------------- */

#define WRAP(ret, name, params, args, kind, error) \
	ret NAME(name) params                      \
	{                                          \
		if (fails(kind, error, #name))     \
			return (ret)-1;            \
		return REAL(name) args;            \
	}

/* Enters a descriptor in the books. */
static int made(int fd, enum what what)
{
	if (fd < 0 || fd >= FDS)
		return fd;
	atomic_store(&known[fd], (unsigned char)what);
	if (atomic_exchange(&opened[fd], 1) == 0)
		atomic_fetch_add(&page->fds, 1);
	return fd;
}

#define WRAP_FD(name, params, args, kind, error, what) \
	int NAME(name) params                          \
	{                                              \
		if (fails(kind, error, #name))         \
			return -1;                     \
		return made(REAL(name) args, what);    \
	}

WRAP_FD(eventfd, (unsigned n, int flags), (n, flags), FAULT_EVENTFD, EMFILE, KERNELS_OWN)
WRAP_FD(timerfd_create, (int clock, int flags), (clock, flags), FAULT_EVENTFD, EMFILE, KERNELS_OWN)
WRAP_FD(signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags), FAULT_EVENTFD, EMFILE,
	KERNELS_OWN)
WRAP_FD(inotify_init1, (int flags), (flags), FAULT_EVENTFD, EMFILE, KERNELS_OWN)
WRAP_FD(memfd_create, (const char *name, unsigned flags), (name, flags), FAULT_EVENTFD, EMFILE,
	OPEN)

int NAME(close)(int fd)
{
	if (fd >= 0 && fd < FDS) {
		atomic_store(&known[fd], NOTHING);
		if (atomic_exchange(&opened[fd], 0) != 0)
			atomic_fetch_sub(&page->fds, 1);
	}
	return REAL(close)(fd);
}

static mode_t mode_of(int flags, va_list ap)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

/* A terminal's end is read as EIO, and no other error is. */
static enum what what_of(const char *path)
{
	return strstr(path, "ptmx") ? KERNELS_OWN : OPEN;
}

int NAME(open)(const char *path, int flags, ...)
{
	va_list ap;

	va_start(ap, flags);
	mode_t mode = mode_of(flags, ap);
	va_end(ap);
	return fails(FAULT_OPEN, EMFILE, "open")
		       ? -1
		       : made(REAL(open)(path, flags, mode), what_of(path));
}

int NAME(openat)(int dir, const char *path, int flags, ...)
{
	va_list ap;

	va_start(ap, flags);
	mode_t mode = mode_of(flags, ap);
	va_end(ap);
	return fails(FAULT_OPEN, EMFILE, "openat")
		       ? -1
		       : made(REAL(openat)(dir, path, flags, mode), what_of(path));
}

#ifdef __GLIBC__
int NAME(__open_2)(const char *path, int flags);
int NAME(__open_2)(const char *path, int flags)
{
	return NAME(open)(path, flags);
}

int NAME(__openat_2)(int dir, const char *path, int flags);
int NAME(__openat_2)(int dir, const char *path, int flags)
{
	return NAME(openat)(dir, path, flags);
}
#endif

WRAP_FD(epoll_create1, (int flags), (flags), FAULT_EPOLL, EMFILE, OPEN)

int NAME(epoll_ctl)(int ep, int op, int fd, struct epoll_event *ev)
{
	if (op == EPOLL_CTL_ADD && fails(FAULT_EPOLL_CTL, ENOSPC, "epoll_ctl"))
		return -1; /* the other operations find all they need */
	return REAL(epoll_ctl)(ep, op, fd, ev);
}

WRAP_FD(socket, (int domain, int type, int proto), (domain, type, proto), FAULT_SOCKET, EMFILE,
	SOCKET)

int NAME(socketpair)(int domain, int type, int proto, int ret[2])
{
	if (fails(FAULT_SOCKET, EMFILE, "socketpair"))
		return -1;
	int r = REAL(socketpair)(domain, type, proto, ret);
	for (int i = 0; r == 0 && i < 2; i++)
		(void)made(ret[i], SOCKET);
	return r;
}

int NAME(pipe2)(int ret[2], int flags)
{
	if (fails(FAULT_SOCKET, EMFILE, "pipe2"))
		return -1;
	int r = REAL(pipe2)(ret, flags);
	for (int i = 0; r == 0 && i < 2; i++)
		(void)made(ret[i], KERNELS_OWN);
	return r;
}

WRAP(int, bind, (int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len), FAULT_SOCKET,
     ENOSPC)
WRAP(int, listen, (int fd, int backlog), (fd, backlog), FAULT_SOCKET, EADDRINUSE)
WRAP(int, connect, (int fd, const struct sockaddr *sa, socklen_t len), (fd, sa, len), FAULT_SOCKET,
     EAGAIN)
WRAP_FD(accept4, (int fd, struct sockaddr *sa, socklen_t *len, int flags), (fd, sa, len, flags),
	FAULT_SOCKET, EMFILE, SOCKET)

static int may_fail(unsigned long request)
{
	switch (request) {
	case KVM_GET_API_VERSION:
	case KVM_CHECK_EXTENSION:
	case KVM_GET_VCPU_MMAP_SIZE: return 0;
	default: return 1;
	}
}

int NAME(ioctl)(int fd, ioctl_request request, ...)
{
	va_list ap;

	va_start(ap, request);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	if (may_fail(request) && fails(FAULT_IOCTL, request == KVM_RUN ? EFAULT : ENOMEM, "ioctl"))
		return -1;
	int r = REAL(ioctl)(fd, request, arg);
	return request == KVM_CREATE_VM || request == KVM_CREATE_VCPU ? made(r, OPEN) : r;
}

/* ---- processes ------------------------------------------------------------------------------------ */

WRAP(pid_t, fork, (void), (), FAULT_CLONE, EAGAIN)

int NAME(clone)(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	va_list ap;

	va_start(ap, arg);
	void *ptid = va_arg(ap, void *), *tls = va_arg(ap, void *), *ctid = va_arg(ap, void *);
	va_end(ap);
	return fails(FAULT_CLONE, EAGAIN, "clone")
		       ? -1
		       : REAL(clone)(fn, stack, flags, arg, ptid, tls, ctid);
}

/* guest-init's own (guest-init/sys.h). */
struct clone_args;
long sys_clone3(struct clone_args *args, int (*fn)(void *), void *arg);
long NAME(sys_clone3)(struct clone_args *args, int (*fn)(void *), void *arg)
{
	return fails(FAULT_CLONE, EAGAIN, "clone3") ? -EAGAIN : REAL(sys_clone3)(args, fn, arg);
}

int NAME(pthread_create)(pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	if (fails(FAULT_CLONE, EAGAIN, "pthread_create"))
		return EAGAIN;
	atomic_fetch_add(&page->threads, 1);
	return REAL(pthread_create)(ret, attr, fn, arg);
}

int NAME(fcntl)(int fd, int cmd, ...)
{
	va_list ap;

	va_start(ap, cmd);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	int locks = cmd == F_SETLK || cmd == F_SETLKW || cmd == F_GETLK;
	int copies = cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC;
	if ((locks || copies) && fails(FAULT_PROCESS, locks ? ENOLCK : EMFILE, "fcntl"))
		return -1;
	return REAL(fcntl)(fd, cmd, arg);
}

int NAME(prctl)(int option, ...)
{
	unsigned long a[4];
	va_list ap;

	va_start(ap, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	enum fault_kind kind = option == PR_SET_PDEATHSIG ? FAULT_PROCESS : FAULT_JAIL;
	int counts = option != PR_SET_DUMPABLE && option != PR_SET_NAME &&
		     !(option == PR_CAPBSET_DROP && a[0] != 1);
	if (counts && fails(kind, EPERM, "prctl"))
		return -1;
	return REAL(prctl)(option, a[0], a[1], a[2], a[3]);
}

WRAP(int, dup3, (int from, int to, int flags), (from, to, flags), FAULT_PROCESS, EMFILE)
WRAP(int, dup2, (int from, int to), (from, to), FAULT_PROCESS, EMFILE)
WRAP(pid_t, setsid, (void), (), FAULT_PROCESS, EPERM)
WRAP(int, setpgid, (pid_t pid, pid_t group), (pid, group), FAULT_PROCESS, EACCES)
WRAP(int, execve, (const char *path, char *const *argv, char *const *env), (path, argv, env),
     FAULT_PROCESS, ENOMEM)
WRAP(int, fchdir, (int fd), (fd), FAULT_PROCESS, EACCES)
WRAP(int, setrlimit, (rlimit_resource what, const struct rlimit *l), (what, l), FAULT_PROCESS,
     EPERM)

WRAP(int, unshare, (int flags), (flags), FAULT_JAIL, EPERM)
WRAP(int, setns, (int fd, int type), (fd, type), FAULT_JAIL, EPERM)
WRAP(int, mount,
     (const char *from, const char *to, const char *type, unsigned long flags, const void *data),
     (from, to, type, flags, data), FAULT_JAIL, EPERM)
WRAP(int, umount2, (const char *at, int flags), (at, flags), FAULT_JAIL, EBUSY)
WRAP(int, chdir, (const char *path), (path), FAULT_JAIL, EACCES)
WRAP(int, chroot, (const char *path), (path), FAULT_JAIL, EPERM)
WRAP(int, setgroups, (size_t n, const gid_t *list), (n, list), FAULT_JAIL, EPERM)
WRAP(int, setresgid, (gid_t a, gid_t b, gid_t c), (a, b, c), FAULT_JAIL, EPERM)
WRAP(int, setresuid, (uid_t a, uid_t b, uid_t c), (a, b, c), FAULT_JAIL, EAGAIN)
WRAP(int, sethostname, (const char *name, size_t len), (name, len), FAULT_JAIL, EPERM)

/* What a raw system call is, and what it may say. */
static enum fault_kind kind_of(long number, int *ret_error)
{
	switch (number) {
	case SYS_openat:
	case SYS_openat2: *ret_error = EMFILE; return FAULT_OPEN;
	case SYS_pidfd_open: *ret_error = EMFILE; return FAULT_EVENTFD;
	case SYS_close_range: *ret_error = ENOSYS; return FAULT_PROCESS;
	case SYS_dup3: *ret_error = EMFILE; return FAULT_PROCESS;
	case SYS_execve: *ret_error = ENOMEM; return FAULT_PROCESS;
	case SYS_ioctl: *ret_error = ENOMEM; return FAULT_IOCTL;
	case SYS_read: *ret_error = EIO; return FAULT_READ;
	case SYS_clone3: *ret_error = EAGAIN; return FAULT_CLONE;
	case SYS_pidfd_send_signal: /* to a process of ours */
	case SYS_close:
	case SYS_exit:
	case SYS_exit_group:
	case SYS_futex: return FAULT_NONE;
	default: *ret_error = EPERM; return FAULT_JAIL;
	}
}

long NAME(syscall)(long number, ...)
{
	long a[6];
	int error = 0;
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	int only_asks = number == SYS_prlimit64 && a[2] == 0;
	enum fault_kind kind = only_asks ? FAULT_NONE : kind_of(number, &error);
	if (kind != FAULT_NONE && fails(kind, error, "syscall"))
		return -1;
	long r = REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	return kind == FAULT_OPEN || kind == FAULT_EVENTFD ? made((int)r, OPEN) : r;
}

/* guest-init's own, in a child whose descriptors are none of ours. */
long sys_raw(long number, ...);
long NAME(sys_raw)(long number, ...)
{
	long a[5];
	int error = 0;
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 5; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	enum fault_kind kind = kind_of(number, &error);
	if (kind != FAULT_NONE && falls_on(kind, error, "sys_raw"))
		return -error;
	return REAL(sys_raw)(number, a[0], a[1], a[2], a[3], a[4]);
}

/* ---- reading and writing -------------------------------------------------------------------------- */

static int on_kernels_own(int fd)
{
	return fd >= 0 && fd < FDS && atomic_load(&known[fd]) == KERNELS_OWN;
}

static int transfer_fails(enum fault_kind kind, int fd, const char *call)
{
	int sock = fd >= 0 && fd < FDS && atomic_load(&known[fd]) == SOCKET;
	int error = kind == FAULT_READ ? (sock ? ECONNRESET : EIO) : sock ? EPIPE : ENOSPC;

	return !on_kernels_own(fd) && fails(kind, error, call);
}

#define WRAP_IO(kind, name, params, args)            \
	ssize_t NAME(name) params                    \
	{                                            \
		if (transfer_fails(kind, fd, #name)) \
			return -1;                   \
		return REAL(name) args;              \
	}

WRAP_IO(FAULT_READ, read, (int fd, void *buf, size_t n), (fd, buf, n))
WRAP_IO(FAULT_READ, pread, (int fd, void *buf, size_t n, off_t at), (fd, buf, n, at))
WRAP_IO(FAULT_READ, readv, (int fd, const struct iovec *v, int n), (fd, v, n))
WRAP_IO(FAULT_READ, preadv, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
#ifdef __GLIBC__
WRAP_IO(FAULT_READ, preadv2, (int fd, const struct iovec *v, int n, off_t at, int flags),
	(fd, v, n, at, flags))
#endif
WRAP_IO(FAULT_READ, recv, (int fd, void *buf, size_t n, int flags), (fd, buf, n, flags))
WRAP_IO(FAULT_READ, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
WRAP_IO(FAULT_WRITE, write, (int fd, const void *buf, size_t n), (fd, buf, n))
WRAP_IO(FAULT_WRITE, pwrite, (int fd, const void *buf, size_t n, off_t at), (fd, buf, n, at))
WRAP_IO(FAULT_WRITE, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
#ifdef __GLIBC__
WRAP_IO(FAULT_WRITE, pwritev2, (int fd, const struct iovec *v, int n, off_t at, int flags),
	(fd, v, n, at, flags))
#endif
WRAP_IO(FAULT_WRITE, send, (int fd, const void *buf, size_t n, int flags), (fd, buf, n, flags))
WRAP_IO(FAULT_WRITE, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))

#ifdef __GLIBC__
ssize_t NAME(__read_chk)(int fd, void *buf, size_t n, size_t room);
ssize_t NAME(__read_chk)(int fd, void *buf, size_t n, size_t room)
{
	return n > room ? (abort(), -1) : NAME(read)(fd, buf, n);
}

ssize_t NAME(__pread_chk)(int fd, void *buf, size_t n, off_t at, size_t room);
ssize_t NAME(__pread_chk)(int fd, void *buf, size_t n, off_t at, size_t room)
{
	return n > room ? (abort(), -1) : NAME(pread)(fd, buf, n, at);
}

ssize_t NAME(__recv_chk)(int fd, void *buf, size_t n, size_t room, int flags);
ssize_t NAME(__recv_chk)(int fd, void *buf, size_t n, size_t room, int flags)
{
	return n > room ? (abort(), -1) : NAME(recv)(fd, buf, n, flags);
}

#endif

WRAP(ssize_t, getrandom, (void *buf, size_t n, unsigned flags), (buf, n, flags), FAULT_READ, ENOSYS)

/* ---- files ---------------------------------------------------------------------------------------- */

WRAP(int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode), FAULT_FILE, ENOSPC)
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), FAULT_FILE, ENOSPC)
WRAP(int, renameat, (int from, const char *a, int to, const char *b), (from, a, to, b), FAULT_FILE,
     ENOSPC)
WRAP(int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags), FAULT_FILE, EIO)
WRAP(int, ftruncate, (int fd, off_t len), (fd, len), FAULT_FILE, ENOSPC)
WRAP(int, fallocate, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len), FAULT_FILE,
     EOPNOTSUPP)
WRAP(int, flock, (int fd, int op), (fd, op), FAULT_FILE, ENOLCK)
WRAP(int, fstat, (int fd, struct stat *st), (fd, st), FAULT_FILE, EIO)
WRAP(int, stat, (const char *path, struct stat *st), (path, st), FAULT_FILE, EIO)
WRAP(int, lstat, (const char *path, struct stat *st), (path, st), FAULT_FILE, EIO)
WRAP(int, fstatat, (int dir, const char *path, struct stat *st, int flags), (dir, path, st, flags),
     FAULT_FILE, EIO)
WRAP(int, access, (const char *path, int mode), (path, mode), FAULT_FILE, EACCES)
WRAP(int, faccessat, (int dir, const char *path, int mode, int flags), (dir, path, mode, flags),
     FAULT_FILE, EACCES)
WRAP(int, fsync, (int fd), (fd), FAULT_FILE, EIO)
WRAP(int, fdatasync, (int fd), (fd), FAULT_FILE, EIO)
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), FAULT_FILE, EPERM)
WRAP(int, fchmodat, (int dir, const char *path, mode_t mode, int flags), (dir, path, mode, flags),
     FAULT_FILE, EPERM)
WRAP(int, futimens, (int fd, const struct timespec t[2]), (fd, t), FAULT_FILE, EPERM)
WRAP(int, utimensat, (int dir, const char *path, const struct timespec t[2], int flags),
     (dir, path, t, flags), FAULT_FILE, EPERM)

/* ---- sleeping ------------------------------------------------------------------------------------- */

WRAP(int, epoll_wait, (int ep, struct epoll_event *ev, int n, int ms), (ep, ev, n, ms),
     FAULT_INTERRUPT, EINTR)
WRAP(int, poll, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms), FAULT_INTERRUPT, EINTR)
WRAP(int, ppoll, (struct pollfd * fds, nfds_t n, const struct timespec *t, const sigset_t *mask),
     (fds, n, t, mask), FAULT_INTERRUPT, EINTR)
