/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.c - see namespaces.h. */
#include "guest-init/sys/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-init/sys/sys.h"
#include "util/cleanup.h"

int namespaces_drop_caps(struct err *e)
{
	static const int caps[] = {
		CAP_SYS_BOOT,     /* power-off, kexec */
		CAP_SYS_MODULE,   /* code in the kernel */
		CAP_SYS_RAWIO,    /* I/O ports: the machine's power button is one */
		CAP_SYS_PTRACE,   /* the child that is init until it execs */
		CAP_SYS_NICE,     /* real-time priority starves init */
		CAP_SYS_RESOURCE, /* so does RLIMIT_RTPRIO; and a process that cannot be
				   * chosen when memory is short ends its neighbours */
	};

	for (size_t i = 0; i < countof(caps); i++)
		if (prctl(PR_CAPBSET_DROP, caps[i], 0, 0, 0) < 0)
			return err_errno(e, "drop capability %d", caps[i]);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_errno(e, "become undumpable");
	return 0;
}

static int mount_proc(const char *path)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount("proc", path, "proc", flags, NULL) == 0)
		return 0;
	if (errno == ENOENT && mkdir(path, 0555) == 0 &&
	    mount("proc", path, "proc", flags, NULL) == 0)
		return 0;
	return -errno;
}

enum step { STEP_ROOT, STEP_PROC, STEP_CAPS };

/* What the reaper tells init: 0, or -errno of a step. */
struct report {
	int r;
	enum step step;
};

static struct report told(int r, enum step step)
{
	return (struct report){.r = r < 0 ? -errno : 0, .step = step};
}

/* The initramfs cannot be pivoted away; moving the tree over it hides it as well. */
static struct report enter_new_root(const char *root)
{
	if (chdir(root) < 0)
		return told(-1, STEP_ROOT);

	int r = mount_proc("proc");
	if (r < 0)
		return (struct report){r, STEP_PROC};
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0)
		return told(-1, STEP_ROOT);
	return told(chroot("."), STEP_ROOT);
}

static struct report reenter_root(int mnt_ns)
{
	if (setns(mnt_ns, CLONE_NEWNS) < 0)
		return told(-1, STEP_ROOT);
	(void)umount2("/proc", MNT_DETACH); /* of the dead namespace; perhaps gone already */
	return (struct report){mount_proc("/proc"), STEP_PROC};
}

static struct report give_up_everything(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	return told((int)syscall(SYS_capset, &h, none), STEP_CAPS);
}

/* Of the box's own mounts, as its processes see it; opened before any of them runs. Else it stays init's. */
static void take_null(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		(void)dup3(fd, 0, 0);
}

/* root: of the first reaper; the later ones have NULL, and enter mnt_ns instead. */
static _Noreturn void reaper_main(int mnt_ns, const char *root, int report_fd)
{
	struct report report = root ? enter_new_root(root) : reenter_root(mnt_ns);

	if (report.r == 0 && root)
		take_null();
	if (report.r == 0)
		report = give_up_everything();
	signal(SIGCHLD, SIG_IGN); /* the kernel then buries orphans by itself */
	/* Before the report: init must not close anything that lives on in here. */
	(void)dup3(report_fd, 1, 0);
	(void)syscall(SYS_close_range, 2, ~0U, 0);
	(void)!write(1, &report, sizeof(report));
	(void)close(1);
	if (report.r < 0)
		_exit(1);
	for (;;)
		pause();
}

static int start_reaper(struct namespaces *b, const char *root, struct err *e)
{
	static const char *const steps[] = {[STEP_ROOT] = "enter the root",
					    [STEP_PROC] = "mount proc on the image's /proc",
					    [STEP_CAPS] = "give up capabilities"};
	struct report said = {-EIO, STEP_ROOT};
	int ends[2];
	struct clone_args args = {
		.flags = CLONE_PIDFD | (b->mnt_ns < 0 ? CLONE_NEWNS : 0),
		.pidfd = (uint64_t)(uintptr_t)&b->reaper,
		.exit_signal = SIGCHLD,
	};

	if (unshare(CLONE_NEWPID) < 0)
		return err_errno(e, "new pid namespace");
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(e, "reaper: pipe");

	auto_close int in = ends[0];
	auto_close int out = ends[1];
	long pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return err_errno(e, "reaper: clone3");
	if (pid == 0)
		reaper_main(b->mnt_ns, root, out);
	close(take_fd(out)); /* so that a reaper that dies early reads as an end */
	if (read(in, &said, sizeof(said)) != sizeof(said))
		said = (struct report){-EIO, STEP_ROOT};
	return said.r < 0 ? err_set(e, -said.r, "%s: %s", steps[said.step], strerror(-said.r)) : 0;
}

/* fd 0 of the reaper becomes ours: stdin of every process that is given none. */
static void share_null(int reaper)
{
	auto_close int fd = sys_pidfd_getfd(reaper, 0);

	if (fd >= 0)
		(void)dup3(fd, 0, 0);
}

int namespaces_open(struct namespaces *b, const char *root, struct err *e)
{
	b->mnt_ns = b->reaper = -1;
	b->self = sys_pidfd_open(getpid());
	if (b->self < 0)
		return err_errno(e, "pidfd of init");

	int r = start_reaper(b, root, e);
	if (r < 0)
		return r;
	share_null(b->reaper);
	b->mnt_ns = ioctl(b->reaper, PIDFD_GET_MNT_NS, 0);
	return b->mnt_ns < 0 ? err_errno(e, "mount namespace of the box") : 0;
}

int namespaces_renew(struct namespaces *b, struct err *e)
{
	siginfo_t si;

	(void)sys_waitid(b->reaper, &si, NULL);
	close(take_fd(b->reaper));
	/* unshare() refuses while children would be born into another namespace than our own */
	if (setns(b->self, CLONE_NEWPID) < 0)
		return err_errno(e, "back to init's pid namespace");
	return start_reaper(b, NULL, e);
}
