/* confine.h - the steps that a jail is made of: what a process gives up before it meets a stranger's bytes.
 *
 * Each returns 0 or -errno; what a step that fails means is its caller's to say. Order: namespaces, then the root,
 * then rights and limits, which forbid the former.
 */
#ifndef UTIL_CONFINE_H
#define UTIL_CONFINE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/util.h"

struct confine_limit {
	int resource;
	uint64_t max;
};

/* Closes every descriptor but the three standard ones and these n, which are sorted by it; negative ones are none. Before Linux 5.9 nothing is closed. */
void confine_descriptors(int *keep, size_t n);
/* The strings themselves: /proc shows them, and so would a read of the stack. */
void confine_environment(void);
/* An empty, read-only root, in a mount namespace of its own. */
must_check int confine_root(void);
/* Of root: a user that owns nothing and that nobody else is, for as long as this network namespace exists. */
uid_t confine_uid(void);
/* Becomes it, or nobody in a container that maps few users. */
must_check int confine_user(uid_t uid);
must_check int confine_capabilities(void);
must_check int confine_capability_bounds(void);
must_check int confine_no_new_privileges(void);
must_check int confine_limits(const struct confine_limit *limits, size_t n);

#endif
