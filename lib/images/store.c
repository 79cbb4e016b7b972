/* SPDX-License-Identifier: Apache-2.0 */
/* store.c - the directories of the store. */
#include "lib/images/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int store_sub(int store, const char *name, struct err *e)
{
	int fd = store_sub_there(store, name);

	if (fd == -ENOENT) {
		if (mkdirat(store, name, 0755) < 0 && errno != EEXIST)
			return err_errno(e, "make '%s' in the image directory", name);
		fd = store_sub_there(store, name);
	}
	return fd < 0 ? err_set(e, -fd, "'%s' in the image directory: %s", name, strerror(-fd))
		      : fd;
}

int store_sub_there(int store, const char *name)
{
	int fd = openat(store, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

void made_path(const char *id, char ret[MADE_PATH_BYTES])
{
	(void)snprintf(ret, MADE_PATH_BYTES, "made/%s", id);
}
