/* SPDX-License-Identifier: Apache-2.0 */
/* env.h - environments and the search along PATH, as plain functions on arrays of strings. Pure. */
#ifndef INIT_SYS_ENV_H
#define INIT_SYS_ENV_H

#include <stddef.h>

#include "util/util.h"

/* What Debian's and Docker's root have. */
#define ENV_PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The value of name in the NULL-terminated env (the first one counts, as for getenv), or NULL. */
const char *env_get(char *const *env, const char *name);

/* The next candidate for `file` along *path (a PATH value; an empty element is "."): written to buf,
 * and *path moves on. 1; 0 when path is used up; -ENAMETOOLONG: the candidate does not fit into buf
 * (*path moved on: try the next). */
must_check int env_path_next(const char **path, const char *file, char *buf, size_t size_bytes);

#endif
