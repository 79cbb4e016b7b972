/* SPDX-License-Identifier: Apache-2.0 */
/* child.c - see child.h. */
#include "guest-init/sys/child.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "guest-init/sys/env.h"
#include "guest-init/sys/sys.h"

/* ---- in the child: no malloc, no stdio, nothing that another thread would notice. errno is what it would: every
 * call that may fail is sys_raw(), for init goes on meanwhile. ---- */

static int child_fail(struct child_area *a, const char *step, int error)
{
	a->step = step;
	a->error = error;
	return 127;
}

/* A file that is missing reads as empty, as for getpwnam(). */
static struct text load(const char *path, char *buf, size_t size_bytes)
{
	struct text t = {.p = buf};
	int fd = (int)sys_raw(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && t.len < size_bytes) {
		ssize_t n = sys_raw(SYS_read, fd, buf + t.len, size_bytes - t.len);

		if (n <= 0)
			break;
		t.len += (size_t)n;
	}
	if (fd >= 0)
		(void)sys_raw(SYS_close, fd);
	return t;
}

static int take_rlimits(const struct child_req *q)
{
	for (size_t i = 0; i < q->n_rlimits; i++) {
		const struct rlimit l = {.rlim_cur = q->rlimits[i]->soft,
					 .rlim_max = q->rlimits[i]->hard};
		int r = (int)sys_raw(SYS_prlimit64, 0, q->rlimits[i]->resource, &l, NULL);

		if (r < 0)
			return r;
	}
	return 0;
}

static int find_user(struct child_area *a)
{
	struct text passwd = load("/etc/passwd", a->passwd, sizeof(a->passwd));
	struct text group = load("/etc/group", a->group, sizeof(a->group));

	return user_resolve(a->req.user, passwd, group, &a->user);
}

static int become_user(const struct child_req *q, const struct user *u)
{
	long r = q->tty_fd >= 0 ? sys_raw(SYS_fchown, 0, u->uid, (gid_t)-1) : 0;

	if (r == 0)
		r = sys_raw(SYS_setgroups, u->n_groups, u->groups);
	if (r == 0)
		r = sys_raw(SYS_setresgid, u->gid, u->gid, u->gid);
	if (r == 0)
		r = sys_raw(SYS_setresuid, u->uid, u->uid, u->uid);
	return (int)r;
}

/* The rlimits come while it is still root, who may raise what init itself was given, and after the lookup,
 * which may need more descriptors than they allow. */
static int take_identity(struct child_area *a)
{
	const struct child_req *q = &a->req;
	int r = q->user[0] ? find_user(a) : 0;

	if (r < 0)
		return child_fail(a, "user", -r);
	r = take_rlimits(q);
	if (r < 0)
		return child_fail(a, "rlimit", -r);
	r = q->user[0] ? become_user(q, &a->user) : 0;
	return r < 0 ? child_fail(a, "user", -r) : 0;
}

static void add_home(struct child_area *a, const char *home)
{
	const struct child_req *q = &a->req;

	if (env_get(q->env, "HOME"))
		return;
	memcpy(a->home, "HOME=", 5);
	memcpy(a->home + 5, home, strlen(home) + 1);
	q->env[q->n_env] = a->home;
	q->env[q->n_env + 1] = NULL;
}

static int take_streams(const struct child_req *q)
{
	int in = q->tty_fd >= 0 ? q->tty_fd : q->in_fd;
	int out = q->tty_fd >= 0 ? q->tty_fd : q->out_fd;
	int err = q->tty_fd >= 0 ? q->tty_fd : q->err_fd;

	long r = in >= 0 ? sys_raw(SYS_dup3, in, 0, 0) : 0;

	if (r >= 0)
		r = sys_raw(SYS_dup3, out, 1, 0);
	if (r >= 0)
		r = sys_raw(SYS_dup3, err, 2, 0);
	if (r >= 0 && q->tty_fd >= 0)
		r = sys_raw(SYS_ioctl, 0, TIOCSCTTY, 0);
	return (int)min_(r, 0L);
}

/* All that init has open is closed before the first path of the box's is followed: a user's file, the working
 * directory, the program and its interpreter may be links into /proc/self/fd, and execve() itself would close too
 * late. init's own executable, if that is what is to run, stays as SELF_FD. */
static int leave_init(struct child_area *a)
{
	enum { SELF_FD = 3 };
	unsigned first = SELF_FD;
	int r = 0;

	if (a->req.self_fd >= 0) {
		if (a->req.self_fd != SELF_FD)
			r = (int)sys_raw(SYS_dup3, a->req.self_fd, SELF_FD, O_CLOEXEC);
		a->req.self_fd = SELF_FD;
		first++;
	}
	return r < 0 ? r : (int)sys_raw(SYS_close_range, first, ~0U, 0);
}

/* execvp() but for its fallback to /bin/sh: a file without a known format is the caller's error. A
 * directory that may not be searched hides what is behind it, but is remembered. */
static int exec_along_path(struct child_area *a)
{
	const struct child_req *q = &a->req;
	const char *path = env_get(q->env, "PATH");
	int denied = 0, r;

	if (q->argv[0][0] == 0)
		return ENOENT;
	if (strchr(q->argv[0], '/'))
		return -(int)sys_raw(SYS_execve, q->argv[0], q->argv, q->env);
	while ((r = env_path_next(&path, q->argv[0], a->path, sizeof(a->path))) != 0) {
		if (r < 0)
			continue;
		r = (int)sys_raw(SYS_execve, a->path, q->argv, q->env);
		if (r == -EACCES)
			denied = 1;
		else if (r != -ENOENT && r != -ENOTDIR)
			return -r;
	}
	return denied ? EACCES : ENOENT;
}

static int exec_program(struct child_area *a)
{
	const struct child_req *q = &a->req;

	if (q->self_fd < 0)
		return exec_along_path(a);
	return -(int)sys_raw(SYS_execveat, q->self_fd, "", q->argv, q->env, AT_EMPTY_PATH);
}

/* The box's mounts, and a cgroup namespace that begins at the group it was born into: by one call of our kernel
 * (its patch 0029), by two of others. */
static int enter_box(int mnt_ns)
{
	long r = sys_raw(SYS_setns, mnt_ns, CLONE_NEWNS | CLONE_NEWCGROUP);

	if (r != -EINVAL)
		return (int)r;
	r = sys_raw(SYS_setns, mnt_ns, CLONE_NEWNS);
	return (int)(r == 0 ? sys_raw(SYS_unshare, CLONE_NEWCGROUP) : r);
}

/* As mkdir -p. What fails is told by the chdir that comes after it. */
static void make_cwd(struct child_area *a)
{
	const char *cwd = a->req.cwd;
	size_t len = strlen(cwd);

	if (len >= sizeof(a->path) || sys_raw(SYS_faccessat, AT_FDCWD, cwd, F_OK) == 0)
		return;
	for (size_t i = 1; i <= len; i++) {
		if (cwd[i] && cwd[i] != '/')
			continue;
		memcpy(a->path, cwd, i);
		a->path[i] = 0;
		(void)sys_raw(SYS_mkdirat, AT_FDCWD, a->path, 0755);
	}
}

static int child(void *arg)
{
	struct child_area *a = arg;
	const struct child_req *q = &a->req;
	const char *home = "/root";
	int r;

	a->box_pid = a->tid;
	r = enter_box(q->mnt_ns);
	if (r < 0)
		return child_fail(a, "namespace", -r);
	(void)sys_raw(SYS_setsid); /* cannot fail: a new process leads no group */
	r = take_streams(q);
	if (r < 0)
		return child_fail(a, "tty", -r);
	r = leave_init(a);
	if (r < 0)
		return child_fail(a, "namespace", -r);
	if (q->make_cwd)
		make_cwd(a);
	if (take_identity(a) != 0)
		return 127;
	if (q->user[0])
		home = a->user.home;
	add_home(a, home);
	r = q->cwd[0] ? (int)sys_raw(SYS_chdir, q->cwd) : 0;
	if (r < 0)
		return child_fail(a, "cwd", -r);
	return child_fail(a, "exec", exec_program(a));
}

/* ---- in init ---- */

/* The kernel zeroes tid and wakes us when the child has execed or died. Somebody in the box may have
 * stopped it before that: SIGCONT undoes it, and SIGKILL ends it when time is up. */
static void await_exec(struct child_area *a, int pidfd)
{
	enum { SLICE_MS = 100 };
	const struct timespec slice = {.tv_nsec = SLICE_MS * 1000000L};
	int waited_ms = 0;
	pid_t tid;

	while ((tid = __atomic_load_n(&a->tid, __ATOMIC_ACQUIRE)) != 0) {
		if (syscall(SYS_futex, &a->tid, FUTEX_WAIT, tid, &slice, NULL, 0) == 0 ||
		    errno != ETIMEDOUT)
			continue;
		waited_ms += SLICE_MS;
		(void)sys_pidfd_signal(pidfd, waited_ms < CHILD_STUCK_MS ? SIGCONT : SIGKILL, 0);
	}
}

void child_begin(struct child_area *a, const struct child_req *req, struct child_result *ret)
{
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_PIDFD | CLONE_INTO_CGROUP | CLONE_CHILD_SETTID |
			 CLONE_CHILD_CLEARTID,
		.pidfd = (uint64_t)(uintptr_t)&ret->pidfd,
		.child_tid = (uint64_t)(uintptr_t)&a->tid,
		.exit_signal = SIGCHLD,
		.stack = (uint64_t)(uintptr_t)a->stack,
		.stack_size = sizeof(a->stack),
		.cgroup = (unsigned)req->cgroup_fd,
	};

	*ret = (struct child_result){.pidfd = -1};
	a->req = *req;
	a->error = 0;
	a->tid = -1; /* not yet born; anything but 0 */
	long pid = sys_clone3(&args, child, a);
	if (pid < 0) {
		ret->error = (int)-pid;
		ret->step = "clone";
		return;
	}
	ret->pid = (pid_t)pid;
}

void child_end(struct child_area *a, struct child_result *ret)
{
	siginfo_t si;

	await_exec(a, ret->pidfd);
	ret->box_pid = a->box_pid;
	ret->error = a->error;
	ret->step = a->step;
	if (ret->error == 0)
		return;
	(void)sys_waitid(ret->pidfd, &si, NULL);
	close(ret->pidfd);
	ret->pidfd = -1;
}
