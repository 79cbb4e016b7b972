/* SPDX-License-Identifier: Apache-2.0 */
/* user.h - "name|uid[:group|gid]" against /etc/passwd and /etc/group, without libc's getpwnam(),
 * which allocates, reads through stdio and may talk to a name service daemon of the image.
 *
 * Pure: the files' text is handed in. Lines that are not as passwd(5) and group(5) say are skipped.
 */
#ifndef INIT_SYS_USER_H
#define INIT_SYS_USER_H

#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

enum {
	USER_GROUPS_MAX = 64, /* supplementary groups beyond are left out */
	USER_HOME_MAX_BYTES = 256,
	USER_SPEC_MAX_BYTES = 256,
};

struct user {
	uint32_t uid, gid;
	uint32_t groups[USER_GROUPS_MAX]; /* gid among them */
	size_t n_groups;
	char home[USER_HOME_MAX_BYTES]; /* "/" when passwd does not say */
};

/* A text file in memory; {0} for a file that does not exist. */
struct text {
	const char *p;
	size_t len;
};

/* Resolves spec. A name wins over a number of the same spelling; a uid that passwd does not list is
 * fine and has group 0. With an explicit group the user's supplementary groups are left out.
 * 0, or -EINVAL: no such user or group, or not a spec. */
must_check int user_resolve(const char *spec, struct text passwd, struct text group,
			    struct user *ret);

#endif
