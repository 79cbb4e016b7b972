/* SPDX-License-Identifier: Apache-2.0 */
/* cg.h - cgroups: one for the box, below it one per running execution, kept and used again.
 *
 *   /            init and the reapers: no limits
 *   /box         everything of the user: memory, pids and CPU limits that leave init its share
 *   /box/N       one execution; the next one takes it over when it ended. Its limits leave the other
 *                executions a share, whether or not it asked for narrower ones
 *
 * Making a cgroup with controllers is dear and most executions leave an empty one, so it is used again.
 * One in which cgroup.kill was used is not: kernels before 6.12.20 kill whatever clone3() starts in
 * it later (they compare its kill count with that of the parent's group). Nor is one that its user
 * divided further, which can hold no process. Those are removed once their last process is gone.
 *
 * The counters of a group are not cleared when another execution takes it over. So figures are differences to what
 * was counted before, and two peaks need care:
 *
 *   memory.peak   is reset after an execution that used more than CG_NOISE_BYTES. What is charged then, files in memory,
 *                 is subtracted from the next figure. A group with much of that is given away last.
 *   pids.peak     is 1 as long as no execution in this group had a second process. Then one read tells three things:
 *                 nobody is left; main's resource usage is all there was; only main can have been killed for memory.
 *                 After a higher peak it is reset, which our kernel alone can do (patch 0025). Elsewhere the group
 *                 counts as shared from then on: groups that are not are given away first, and an execution with
 *                 limits gets no other.
 *
 * What can wait until the Exit is sent is done by cg_tidy().
 *
 * The file system is mounted detached: no mount namespace shows it, and init reaches it by
 * descriptor.
 *
 * A user process that is root may mount cgroup2 itself, but its cgroup namespace begins at its own
 * execution's group, and `nsdelegate` keeps the files of that group read-only to it.
 */
#ifndef INIT_SYS_CG_H
#define INIT_SYS_CG_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/util.h"

enum {
	CG_MAX = 512,
	CG_CPU_MIN_PERMILLE = 10,   /* the kernel's smallest: 1 ms in 100 */
	CG_NOISE_BYTES = 512 << 10, /* of memory.peak: charges are made in batches per CPU */
};

/* 0: none. */
struct cg_limits {
	uint64_t memory_max_bytes;
	uint32_t pids_max, cpu_max_permille;
};

/* What the box gets of the machine, and each execution of the box. */
struct cg_plan {
	struct cg_limits box, each;
};

struct cg_usage {
	uint64_t user_us, sys_us, throttled_us;
	uint64_t memory_bytes, memory_peak_bytes;
	uint32_t pids, pids_peak, oom_kills;
};

/* How main ended, from waitid(). */
struct cg_main {
	uint64_t user_us, sys_us;
	int signo;
};

/* Opened when first needed, then kept. */
enum cg_file {
	CG_EVENTS,
	CG_PIDS,
	CG_PIDS_PEAK,
	CG_MEMORY,
	CG_MEMORY_PEAK,
	CG_MEMORY_EVENTS,
	CG_CPU_STAT,
	CG_N_FILES,
};

struct cg_group {
	int dir_fd;         /* for CLONE_INTO_CGROUP */
	int fd[CG_N_FILES]; /* -1: not open */
	int spent;          /* not to be used again */
	int limited;        /* has limits of its last execution's */
	int untidy;         /* memory.peak is to be reset */
	int was_shared;     /* held more than one process at a time since pids.peak was reset */
	uint64_t memory_base_bytes;
	struct cg_usage told; /* CPU time and OOM kills of its executions so far */
};

struct cg {
	int box_fd;
	int n_made;
	struct cg_limits each;
	struct cg_group group[CG_MAX];
	int n_free, n_spent, n_untidy;
	short free[CG_MAX];  /* a stack: the last one used is the warmest */
	short spent[CG_MAX]; /* waiting for removal */
	short untidy[CG_MAX];
};

/* Shares of a machine with this much memory, of which free_bytes are free and init needs log_bytes for its log. Pure. */
must_check struct cg_plan cg_plan(uint64_t ram_bytes, uint64_t free_bytes, uint64_t log_bytes);

/* Mounts cgroup2 and makes /box with these limits; its directory. A kernel without a controller has
 * no limits of that kind. */
must_check int cg_mount(struct err *e, const struct cg_limits *box);

/* Takes over box_fd, the directory of the box's group. each: what no group may exceed. */
void cg_init(struct cg *c, int box_fd, const struct cg_limits *each);

/* An empty group with these limits of memory and pids: its number, or -errno (EAGAIN: all are in
 * use; EOPNOTSUPP: the kernel lacks a controller that a limit needs, also the one for the CPU). */
must_check int cg_get(struct cg *c, const struct cg_limits *l);

/* The limit of the CPU, for when its first process has execed: init waits for that, and must not be
 * held up by it. 0 or -errno. */
must_check int cg_limit_cpu(struct cg *c, int i, uint32_t permille);

/* No longer in use. */
void cg_put(struct cg *c, int i);

/* Work that was put off: to be called when there is nothing more urgent. */
void cg_tidy(struct cg *c);

/* The group turned out to be of no use for another process. */
void cg_spoil(struct cg *c, int i);

/* SIGKILL to every process in it, also to one that is being forked just now. Spoils it. */
void cg_kill(struct cg *c, int i);

/* Any other signal to every process in it. 0, or -ESRCH when there was none. */
must_check int cg_signal(struct cg *c, int i, int signo);

/* Whether a process is left in it; 1 also when that cannot be said. Reads cgroup.events. */
must_check int cg_populated(struct cg *c, int i);

/* The same for a group whose main process has been reaped; cheaper if that never had company. */
must_check int cg_left_behind(struct cg *c, int i);

/* A descriptor of one of its files; -errno: there is none. The group keeps it. */
must_check int cg_fd(struct cg *c, int i, enum cg_file f);

/* What its execution has used so far; a dozen system calls at worst. */
void cg_usage(struct cg *c, int i, struct cg_usage *ret);

/* At the end of a run: adds what it used to *sum. Returns its OOM kills. */
uint32_t cg_usage_end(struct cg *c, int i, const struct cg_main *m, struct cg_usage *sum);

/* Adds u to *sum; peaks as maxima. */
void cg_usage_add(struct cg_usage *sum, const struct cg_usage *u);

/* The freezer of the whole box: its flag, and the file that says when all stand still, which tells epoll by
 * EPOLLPRI that it has changed since it was last read. */
struct cg_freezer {
	int flag_fd, events_fd;
};

must_check int cg_freezer_open(const struct cg *c, struct cg_freezer *ret);

/* One system call. From the return of a call with `on`, no process of the box gets back to user mode but on
 * another CPU until the kernel's interrupt reaches it. */
must_check int cg_freezer_set(const struct cg_freezer *f, int on);

/* Whether the box has any process. Reads cgroup.events. */
must_check int cg_freezer_has_any(const struct cg_freezer *f);

/* Whether all stand still; one that is in the kernel where it cannot be interrupted does not, and keeps the
 * answer at 0. Reads cgroup.events. */
must_check int cg_freezer_done(const struct cg_freezer *f);

/* Of the whole box since its start. */
void cg_usage_box(struct cg *c, struct cg_usage *ret);

/* The number after "key " at the beginning of a line of text, 0 when there is none; key "" is a file
 * of one number. Pure. */
must_check uint64_t cg_parse(const char *text, const char *key);

#endif
