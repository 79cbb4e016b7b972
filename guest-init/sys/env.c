/* SPDX-License-Identifier: Apache-2.0 */
/* env.c - see env.h. */
#include "guest-init/sys/env.h"

#include <errno.h>
#include <string.h>

const char *env_get(char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (; *env; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

int env_path_next(const char **path, const char *file, char *buf, size_t size_bytes)
{
	const char *dir = *path;
	size_t file_len = strlen(file);

	if (!dir)
		return 0;

	size_t dir_len = strcspn(dir, ":");
	*path = dir[dir_len] == ':' ? dir + dir_len + 1 : NULL;
	if (dir_len == 0) {
		dir = ".";
		dir_len = 1;
	}
	if (dir_len >= size_bytes || file_len + 2 > size_bytes - dir_len)
		return -ENAMETOOLONG;
	memcpy(buf, dir, dir_len);
	buf[dir_len] = '/';
	memcpy(buf + dir_len + 1, file, file_len + 1);
	return 1;
}
