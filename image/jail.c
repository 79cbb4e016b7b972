/* SPDX-License-Identifier: Apache-2.0 */
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

/* A confine_lacks_fn. */
static int jail_lacks(void *arg, const char *layer, int code)
{
	const struct jail *j = arg;

	if (j->mode == JAIL_REQUIRED)
		return err_set(j->e, code, "the jail lacks a layer on this host: %s: %s", layer,
			       strerror(code));
	if (j->told >= 0)
		(void)dprintf(j->told, "unjailed %s %s\n", layer, strerror(code));
	return 0;
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

int jail_enter(struct jail *j, int *keep, size_t n)
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
	struct confine c = {.root = geteuid() == 0,
			    .limits = limits,
			    .n_limits = countof(limits) - SANITIZED,
			    .lacks = jail_lacks,
			    .arg = j};

	confine_descriptors(keep, n);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (j->mode == JAIL_OFF)
		return 0;
	confine_environment();
	int apart = confine_namespaces(namespaces | (c.root ? 0 : CLONE_NEWUSER));
	int r = confine_without(&c, "namespaces", apart);
	c.uid = c.root ? confine_uid() : 0;
	if (r == 0 && apart == 0)
		r = confine_without(&c, "empty-root", confine_root());
	if (r == 0)
		r = confine_rights(&c);
	/* Again: the change of user has forgotten it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	return r == 0 ? confine_without(&c, "seccomp", jail_filter()) : r;
}
