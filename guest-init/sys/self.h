/* SPDX-License-Identifier: Apache-2.0 */
/* self.h - init's own executable, for the programs in it that run inside the box (Start.builtin).
 *
 * They are executed from a sealed copy in memory, never from the file in the initramfs: /proc/PID/exe of
 * such a process leads root in the box to what it executes, and from a file on a mount of init's to
 * everything on that mount. Of the copy nothing can be changed by anybody.
 *
 * The copy is made for the first such program; most boxes need none.
 */
#ifndef INIT_SYS_SELF_H
#define INIT_SYS_SELF_H

#include "util/util.h"

/* Whether argv[0] names a program of init's own. */
must_check int self_has(const char *argv0);

struct self {
	const char *path; /* of init's own executable, as init sees it */
	int fd;           /* 0, or its copy */
};

/* A descriptor for execveat(), CLOEXEC, of a sealed copy, made if there is none yet; or -errno. */
must_check int self_fd(struct self *s);

#endif
