/* cg.h - cgroups: one for the box, below it one per running execution, kept and used again.
 *
 *   /            init and the reapers: no limits
 *   /box         everything of the user: memory and pids limits that leave init its share
 *   /box/N       one execution; the next one takes it over when it ended
 *
 * Making a cgroup with controllers is dear and most executions leave an empty one, so it is used again.
 * One in which cgroup.kill was used is not: kernels before 6.12.20 kill whatever clone3() starts in
 * it later (they compare its kill count with that of the parent's group). Nor is one that its user
 * divided further, which can hold no process. Those are removed once their last process is gone.
 *
 * The file system is mounted detached: no mount namespace shows it, and init reaches it by
 * descriptor.
 *
 * A user process that is root may mount cgroup2 itself, but its cgroup namespace begins at its own
 * execution's group, and `nsdelegate` keeps the files of that group read-only to it.
 */
#ifndef INIT_CG_H
#define INIT_CG_H

#include "util/err.h"
#include "util/util.h"

enum { CG_MAX = 512 };

struct cg_group {
	int dir_fd;    /* for CLONE_INTO_CGROUP */
	int events_fd; /* cgroup.events */
	int spent;     /* not to be used again */
};

struct cg {
	int box_fd;
	int n_made;
	struct cg_group group[CG_MAX];
	int n_free, n_spent;
	short free[CG_MAX];  /* a stack: the last one used is the warmest */
	short spent[CG_MAX]; /* waiting for removal */
};

/* Mounts cgroup2 and makes /box with its limits. ram_bytes: the machine's. */
must_check int cg_mount(struct err *e, unsigned long long ram_bytes);

/* Takes over box_fd, the directory of the box's group. */
void cg_init(struct cg *c, int box_fd);

/* An empty group: its number, or -errno (EAGAIN: all are in use). */
must_check int cg_get(struct cg *c);
void cg_put(struct cg *c, int i);

/* The group turned out to be of no use for another process. */
void cg_spoil(struct cg *c, int i);

/* SIGKILL to every process in it, also to one that is being forked just now. Spoils it. */
void cg_kill(struct cg *c, int i);

/* Any other signal to every process in it. 0, or -ESRCH when there was none. */
must_check int cg_signal(struct cg *c, int i, int signo);

/* Whether a process is left in it; 1 also when that cannot be said. */
must_check int cg_populated(struct cg *c, int i);

#endif
