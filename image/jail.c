/* jail.c - see jail.h.
 *
 * Root makes the namespaces by its own right, becomes a user that owns nothing and enters a user namespace as that one;
 * an ordinary user gets the right from the user namespace, which comes first. No process namespace: no filter lets the
 * reader name a process.
 *
 * What is beside the code that needs it: files and blobs, and their sizes,
 * #syscalls reader: read pread64 write pwrite64 close ftruncate fstat newfstatat? lseek fcntl
 * the door,
 * #syscalls reader: sendto recvmsg
 * and memory and the end, of the C library.
 * #syscalls reader: mmap munmap mremap? mprotect? brk madvise? exit_group getrandom? clock_gettime?
 */
#include "image/jail.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "image/limits.h"
#include "image_rules.h"
#include "util/confine.h"

#define SECCOMP_DENY BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
#include "util/seccomp_bpf.h"

enum { FDS_MAX = 64 };

/* Shadow memory has no bound, and the runtimes of sanitizers make calls of their own. */
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static const int namespaces =
	CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

/* A step that failed is a layer that is lacking. 0: go on without it. */
static int without(const struct jail *j, const char *layer, int r, struct err *e)
{
	if (r >= 0)
		return 0;
	if (j->mode == JAIL_REQUIRED)
		return err_set(e, -r, "the jail lacks a layer on this host: %s: %s", layer,
			       strerror(-r));
	if (j->told >= 0)
		(void)dprintf(j->told, "unjailed %s %s\n", layer, strerror(-r));
	return 0;
}

static int jail_limits(const struct jail *j)
{
	const struct confine_limit limits[] = {
		{RLIMIT_CORE, 0},
		{RLIMIT_NOFILE, FDS_MAX},
		{RLIMIT_MEMLOCK, 0},
		{RLIMIT_MSGQUEUE, 0},
		{RLIMIT_CPU, LIMIT_CPU_S},
		{RLIMIT_FSIZE, j->file_bytes},
		{RLIMIT_AS, LIMIT_MEMORY_BYTES},
	};

	return confine_limits(limits, countof(limits) - SANITIZED);
}

static int jail_filter(void)
{
	static const struct sock_filter rules[] = {SECCOMP_START,
						   SECCOMP_RULES_READER SECCOMP_DENY};
	const struct sock_fprog program = {countof(rules), (struct sock_filter *)rules};

	if (SANITIZED)
		return 0;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

static int enter_namespaces(int which)
{
	return unshare(which) < 0 ? -errno : 0;
}

static int give_up_rights(const struct jail *j, bool root, uid_t uid, struct err *e)
{
	int r = without(j, "capability-bounds", confine_capability_bounds(), e);

	if (r == 0 && root)
		r = without(j, "user-id", confine_user(uid), e);
	/* In there the bounds are wide again. */
	if (r == 0 && root)
		r = without(j, "user-namespace", enter_namespaces(CLONE_NEWUSER), e);
	if (r == 0 && root)
		r = without(j, "capability-bounds", confine_capability_bounds(), e);
	if (r == 0)
		r = without(j, "capabilities", confine_capabilities(), e);
	if (r == 0)
		r = without(j, "no-new-privs", confine_no_new_privileges(), e);
	if (r == 0)
		r = without(j, "limits", jail_limits(j), e);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0,
		    0); /* after the change of user, which forgets it */
	return r;
}

int jail_enter(const struct jail *j, int *keep, size_t n, struct err *e)
{
	bool root = geteuid() == 0;

	confine_descriptors(keep, n);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (j->mode == JAIL_OFF)
		return 0;
	confine_environment();
	int apart = enter_namespaces(namespaces | (root ? 0 : CLONE_NEWUSER));
	int r = without(j, "namespaces", apart, e);
	uid_t uid = root ? confine_uid() : 0;
	if (r == 0 && apart == 0)
		r = without(j, "empty-root", confine_root(), e);
	if (r == 0)
		r = give_up_rights(j, root, uid, e);
	return r == 0 ? without(j, "seccomp", jail_filter(), e) : r;
}
