/* SPDX-License-Identifier: Apache-2.0 */
/* storage.c - what a box keeps on disk: a directory of its own below place_state(), which the link `storage` in the box's
 * directory leads to. What is in it is box/suspended.c's business, but that a manifest there means: the box is
 * suspended, if nobody holds it.
 */
#include "lib/host/boxdir.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINK "storage"

int storage_path(int dir, char *ret, size_t size)
{
	ssize_t n = readlinkat(dir, LINK, ret, size - 1);

	if (n < 0)
		return -errno;
	ret[n] = 0;
	return (size_t)n < size - 1 && *ret == '/' ? 0 : -EINVAL;
}

int storage_open(int dir)
{
	int fd = openat(dir, LINK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int storage_make(int dir, const char *id, struct err *e)
{
	char path[PATH_MAX - ID_BYTES - 1], own[PATH_MAX];
	int fd = storage_open(dir);

	if (fd >= 0)
		return fd;
	auto_close int all = place_state("kept", path, sizeof(path), e);
	if (all < 0)
		return all;
	(void)snprintf(own, sizeof(own), "%s/%s", path, id);
	if ((mkdirat(all, id, 0700) < 0 && errno != EEXIST) || symlinkat(own, dir, LINK) < 0)
		return err_errno(e, "make the directory '%s'", own);
	fd = storage_open(dir);
	return fd < 0 ? err_set(e, -fd, "open '%s': %s", own, strerror(-fd)) : fd;
}

void storage_remove(int dir)
{
	char path[PATH_MAX];

	if (storage_path(dir, path, sizeof(path)) == 0)
		(void)tree_remove(AT_FDCWD, path);
	(void)unlinkat(dir, LINK, 0);
}

void storage_remove_empty(int dir)
{
	char path[PATH_MAX];

	if (storage_path(dir, path, sizeof(path)) == 0 && rmdir(path) == 0)
		(void)unlinkat(dir, LINK, 0);
}

int storage_has(int storage, const char *name)
{
	struct stat st;

	if (fstatat(storage, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return st.st_size > 0;
}

int storage_is_suspended(int dir)
{
	auto_close int storage = storage_open(dir);

	return storage < 0 ? storage != -ENOENT : storage_has(storage, "manifest") != 0;
}
