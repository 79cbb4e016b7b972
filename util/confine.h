/* SPDX-License-Identifier: Apache-2.0 */
/* confine.h - the steps that a jail is made of: what a process gives up before it meets a stranger's bytes.
 *
 * Each returns 0 or -errno; what a step that fails means is its caller's to say. Order: descriptors, namespaces, the
 * root, rights, which forbid the former, and then the filter of system calls, which is the caller's.
 */
#ifndef UTIL_CONFINE_H
#define UTIL_CONFINE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/util.h"

/* JAIL_ON goes on without a layer that the host lacks, and says so; JAIL_REQUIRED fails. */
enum jail_mode { JAIL_OFF, JAIL_ON, JAIL_REQUIRED };

/* "off", "on", "required"; -EINVAL. */
must_check int jail_mode_parse(const char *s, enum jail_mode *ret);

struct confine_limit {
	int resource;
	uint64_t max;
};

/* A layer that the host does not offer, by its name and why (a positive errno). 0: go on without it. */
typedef int confine_lacks_fn(void *arg, const char *layer, int code);

struct confine {
	int root;  /* we are: the user namespace comes after the change of user */
	uid_t uid; /* that root becomes: confine_uid() */
	const struct confine_limit *limits;
	size_t n_limits;
	confine_lacks_fn *lacks;
	void *arg;
};

/* Of a step that returned r: 0, or what lacks() says of its failure. */
must_check int confine_without(const struct confine *c, const char *layer, int r);

/* Closes every descriptor but the three standard ones and these n, which are sorted by it; negative ones are none. Before Linux 5.9 nothing is closed. */
void confine_descriptors(int *keep, size_t n);
/* The strings themselves: /proc shows them, and so would a read of the stack. */
void confine_environment(void);
/* An empty, read-only root, in a mount namespace of its own. */
must_check int confine_root(void);
/* Namespaces (CLONE_*) of our own. */
must_check int confine_namespaces(int which);
/* Of root: a user that owns nothing and that nobody else is, for as long as this network namespace exists. */
uid_t confine_uid(void);
/* User, capabilities, privileges, limits, and whether others may look at us, in the order that they need. Forgets the
 * signal of PR_SET_PDEATHSIG. What lacks() returned, if that is not 0. */
must_check int confine_rights(const struct confine *c);

#endif
