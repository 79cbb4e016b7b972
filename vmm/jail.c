/* jail.c - see jail.h.
 *
 * Root and an ordinary user take the same way, with one difference. Root has the rights to make
 * namespaces, uses them, becomes a user that owns nothing and enters a user namespace as that one. An
 * ordinary user gets the rights from the user namespace, which therefore comes first; nobody is mapped
 * into it.
 */
#include "vmm/jail.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/seccomp.h"
#include "vmm/snap/memfile.h"
#include "vmm/vm.h"

enum {
	FDS_OWN = 256, /* of a machine with all its devices */
	FDS_MAX = FDS_OWN + 1024,
	UID_BASE = 0x70000000, /* a range that no distribution gives away */
	UID_MASK = 0x03ffffff,
	UID_NOBODY = 65534,
	CAPS_MAX = 64,
};

static const int namespaces =
	CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

struct jail {
	const struct config *config;
	const struct events *events;
	struct err *e;
	bool apart; /* the namespaces are our own */
};

/* A layer that cannot be had. 0: go on without it. */
static int lacks(const struct jail *j, const char *layer, int code)
{
	if (j->config->jail == JAIL_REQUIRED)
		return err_set(j->e, code,
			       "the jail lacks a layer on this host: %s: %s (conker doctor tells)",
			       layer, strerror(code));
	events_emit(j->events, "unjailed %s %s", layer, strerror(code));
	return 0;
}

/* --- descriptors, environment ------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* Closes what was inherited and is no business of ours. Before Linux 5.9 it stays open. */
static void close_others(const struct config *c)
{
	int keep[VMM_FDS], next = STDERR_FILENO + 1;

	memcpy(keep, c->fd, sizeof(keep));
	qsort(keep, countof(keep), sizeof(keep[0]), by_value);
	for (size_t i = 0; i < countof(keep); i++) {
		if (keep[i] > next)
			(void)syscall(SYS_close_range, (unsigned)next, (unsigned)keep[i] - 1, 0);
		if (keep[i] >= next)
			next = keep[i] + 1;
	}
	(void)syscall(SYS_close_range, (unsigned)next, ~0U, 0);
}

/* The strings themselves: /proc shows them, and so would a read of the stack. */
static void wipe_environment(void)
{
	for (char **v = environ; v && *v; v++)
		explicit_bzero(*v, strlen(*v));
	environ = NULL;
}

/* --- the parent ---------------------------------------------------------------------------------- */

/* Somebody at a terminal waits for us: we are the child's stand-in. Does not return. */
_Noreturn static void stand_in(pid_t child, const sigset_t *set)
{
	siginfo_t si;
	int status = 0;

	while (waitpid(child, &status, WNOHANG) == 0)
		if (sigwaitinfo(set, &si) > 0 && si.si_signo != SIGCHLD)
			(void)kill(child, si.si_signo);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* 0 in the child. */
static int fork_in(struct jail *j)
{
	bool owned = j->config->fd[VMM_FD_OWNER] >= 0 || j->config->detach;
	sigset_t set, was;

	vm_signals(&set);
	sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, &was);
	pid_t pid = fork();
	if (pid < 0)
		return err_errno(j->e, "fork");
	if (pid > 0 && owned)
		_exit(0);
	if (pid > 0)
		stand_in(pid, &set);
	(void)sigprocmask(SIG_SETMASK, &was, NULL);
	if (j->config->detach && setsid() < 0)
		return err_errno(j->e, "setsid");
	return 0;
}

/* --- file system ----------------------------------------------------------------------------------- */

/* An empty, read-only root. It is mounted on /dev, which every host with a /dev/kvm has, and the old
 * root, stacked upon it by pivot_root(), is let go with all that is mounted in it. */
static int empty_root(void)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/dev", "tmpfs", flags, "size=4k,nr_inodes=1,mode=555") < 0 ||
	    chdir("/dev") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

/* --- rights -------------------------------------------------------------------------------------- */

/* Of a range of which the network namespace, ours alone while it exists, picks one: boxes of root do
 * not share a user either. */
static uid_t box_uid(void)
{
	struct stat st;

	if (stat("/proc/self/ns/net", &st) < 0)
		return UID_NOBODY;
	return UID_BASE + (uid_t)(st.st_ino & UID_MASK);
}

static int become(uid_t uid)
{
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	return 0;
}

/* A container may map few users: nobody is the one it has. */
static int leave_root(uid_t uid)
{
	int r = become(uid);

	return r == -EINVAL ? become(UID_NOBODY) : r;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	return syscall(SYS_capset, &h, none) < 0 ? -errno : 0;
}

static int drop_bounds(void)
{
	for (unsigned long cap = 0; cap < CAPS_MAX; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return errno == EINVAL && cap > 0 ? 0 : -errno; /* past the last one */
	return 0;
}

static int limit(int resource, rlim_t max)
{
	struct rlimit was, l = {max, max};

	/* The call itself: the C libraries differ in the type of a resource. */
	if (syscall(SYS_prlimit64, 0, resource, NULL, &was) == 0 && was.rlim_max < max)
		l.rlim_cur = l.rlim_max = was.rlim_max;
	return syscall(SYS_prlimit64, 0, resource, &l, NULL) < 0 ? -errno : 0;
}

/* Not RLIMIT_NPROC: since Linux 6.13 the first KVM_RUN makes a kernel thread that counts as ours, and no
 * filter lets us start one anyway. */
static int set_limits(void)
{
	const struct {
		int resource;
		rlim_t max;
	} limits[] = {
		{RLIMIT_CORE, 0}, /* a core would hold the guest's memory */
		{RLIMIT_NOFILE, FDS_MAX},
		{RLIMIT_MEMLOCK, 0},
		{RLIMIT_MSGQUEUE, 0},
	};
	int r = 0;

	for (size_t i = 0; i < countof(limits) && r == 0; i++)
		r = limit(limits[i].resource, limits[i].max);
	return r;
}

/* --- all ----------------------------------------------------------------------------------------- */

/* Each step returns 0 or -errno, which makes its name one of a layer that is lacking. */
static int without(const struct jail *j, const char *layer, int r)
{
	return r < 0 ? lacks(j, layer, -r) : 0;
}

static int enter_user_namespace(void)
{
	return unshare(CLONE_NEWUSER) < 0 ? -errno : 0;
}

static int no_new_privileges(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int give_up_rights(const struct jail *j, bool root, uid_t uid)
{
	int r = without(j, "capability-bounds", drop_bounds());

	if (r == 0 && root)
		r = without(j, "user-id", leave_root(uid));
	/* In there the bounds are wide again. */
	if (r == 0 && root)
		r = without(j, "user-namespace", enter_user_namespace());
	if (r == 0 && root)
		r = without(j, "capability-bounds", drop_bounds());
	if (r == 0)
		r = without(j, "capabilities", drop_capabilities());
	if (r == 0)
		r = without(j, "no-new-privs", no_new_privileges());
	if (r == 0)
		r = without(j, "limits", set_limits());
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return r;
}

int jail_enter(struct config *c, const struct events *ev, struct err *e)
{
	struct jail j = {.config = c, .events = ev, .e = e};
	bool root = geteuid() == 0;

	close_others(c);
	wipe_environment();
	j.apart = unshare(namespaces | (root ? 0 : CLONE_NEWUSER)) == 0;
	int r = j.apart ? 0 : lacks(&j, "namespaces", errno);
	uid_t uid = root ? box_uid() : 0;
	if (r == 0)
		r = fork_in(&j);
	if (r == 0 && config_may_snapshot(c))
		c->fd[VMM_FD_PAGEMAP] = memfile_pagemap();
	if (r == 0 && j.apart)
		r = without(&j, "empty-root", empty_root());
	if (r == 0)
		r = give_up_rights(&j, root, uid);
	/* After the change of user, which forgets it. Those who stand in for us take us with them. */
	if (r == 0 && c->fd[VMM_FD_OWNER] < 0 && !c->detach)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	return r == 0 ? without(&j, "seccomp", seccomp_check()) : r;
}
