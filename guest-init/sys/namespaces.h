/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.h - the namespaces that user processes live in, and the reaper that holds them open.
 *
 * Everything a user starts is in a pid and a mount namespace that init is not in: it cannot name init,
 * so it cannot signal or trace it, and what it mounts or unmounts is its own affair. PID 1 in there is
 * the reaper, a fork of init without capabilities, and with /dev/null alone: all that it does is to exist, since
 * the kernel buries orphans by itself for a parent that ignores SIGCHLD. When the reaper dies, the
 * kernel kills everything in the pid namespace; namespaces_renew() then makes a new one around the same
 * mounts. Between its death and its burial, for which all its children must be reaped, a start fails with
 * ENOMEM.
 *
 * Until execve() a new process still holds init's memory, and its descriptors until it follows the first path of
 * the box's (child.c). It is safe from its neighbours: it is not dumpable, has more capabilities than they, and they
 * have no CAP_SYS_PTRACE.
 */
#ifndef INIT_SYS_NAMESPACES_H
#define INIT_SYS_NAMESPACES_H

#include "util/err.h"
#include "util/util.h"

struct namespaces {
	int mnt_ns; /* the mount namespace of the box */
	int self;   /* pidfd of init, the way back to its own pid namespace */
	int reaper; /* pidfd */
	int pts_fd; /* the directory /dev/pts of the box */
};

/* Takes away for good, from init's bounding set and so from everything it will exec, what would let
 * root in the box reach past its namespaces; makes init undumpable. */
must_check int namespaces_drop_caps(struct err *e);

/* Starts the reaper around the tree at `root`, a mount point with everything mounted below it but
 * /proc. From here on, children of init are born into the box's pid namespace, and init's fd 0 is the box's
 * /dev/null. */
must_check int namespaces_open(struct namespaces *b, const char *root, struct err *e);

/* After the reaper died: a new pid namespace with a new reaper. */
must_check int namespaces_renew(struct namespaces *b, struct err *e);

#endif
