/* SPDX-License-Identifier: Apache-2.0 */
/* child.h - one new process in the box, with as few system calls as Linux allows.
 *
 * The child shares init's memory until it execs (no page tables are copied) but runs beside it on a
 * stack of its own, not in place of it as after vfork(): a vforked parent sleeps until its child execs,
 * and root in the box could stop that child and thereby init. So init sleeps on a futex, with a
 * time limit, that the kernel clears when the child leaves the shared memory. Until then it goes on with
 * other work, and the child must not touch what both have, errno least of all: its calls are sys_raw().
 *
 * Child:  setns (mounts of the box, a new cgroup namespace), setsid, one dup3 per stream, close_range,
 *         one prlimit per rlimit, with a terminal TIOCSCTTY, with a user the lookup and three id calls, with a cwd chdir, execve.
 * What needs no call: fd 0 of init is the box's /dev/null; signals are at their
 * defaults and none is blocked, since PID 1 needs no handlers to be safe from them; bounding set and
 * umask are inherited; the cgroup is given to clone3.
 */
#ifndef INIT_SYS_CHILD_H
#define INIT_SYS_CHILD_H

#include <sys/types.h>

#include "guest-init/sys/user.h"
#include "proto/codec.h"
#include "util/util.h"

enum {
	CHILD_STACK_BYTES = 64 << 10,
	CHILD_FILE_MAX_BYTES = 256
			       << 10, /* of /etc/passwd and of /etc/group; more is not looked at */
	CHILD_PATH_MAX_BYTES = 4096,
	CHILD_STUCK_MS = 10000, /* an execve that takes longer is given up */
};

struct child_req {
	char **argv;
	char **env; /* NULL-terminated, and with room for one more pointer (HOME) */
	size_t n_env;
	const char *cwd;  /* absolute, or "" */
	int make_cwd;     /* by root, where it is missing */
	const char *user; /* a spec for user_resolve(), or "": root */
	Conker__Rlimit *const *rlimits;
	size_t n_rlimits;
	int in_fd; /* -1: init's fd 0, which is the box's /dev/null */
	int out_fd, err_fd;
	int tty_fd;  /* -1, or the terminal that takes the place of all three */
	int self_fd; /* -1, or init's own executable, which is run in place of argv[0]'s */
	int mnt_ns, cgroup_fd;
};

struct child_result {
	int pidfd;
	pid_t pid;     /* as init sees it */
	pid_t box_pid; /* as the box sees it */
	int error;     /* errno; 0: it runs */
	const char *
		step; /* what failed: "clone", "namespace", "tty", "rlimit", "user", "cwd", "exec" */
};

/* Memory that init and the child share; one child at a time. Zeroed by its owner once. */
struct child_area {
	_Alignas(64) uint8_t stack[CHILD_STACK_BYTES];
	char passwd[CHILD_FILE_MAX_BYTES], group[CHILD_FILE_MAX_BYTES];
	char path[CHILD_PATH_MAX_BYTES];
	char home[USER_HOME_MAX_BYTES + 8];
	struct user user;
	struct child_req req;
	pid_t tid; /* futex word: the child's number while it shares this memory, then 0 */
	pid_t box_pid;
	int error;
	const char *step;
};

/* Makes the process; ret->error says that there is none. It lives in a and in what req points to until
 * child_end(), which comes before the next child_begin(). Fills pidfd and pid. */
void child_begin(struct child_area *a, const struct child_req *req, struct child_result *ret);

/* Waits until it runs or failed, and fills the rest of ret; on failure nothing is left to clean up. No call if
 * it is known to run already, as one is that has ended or said something. */
void child_end(struct child_area *a, struct child_result *ret);

#endif
