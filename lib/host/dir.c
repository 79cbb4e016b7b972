/* SPDX-License-Identifier: Apache-2.0 */
/* dir.c - directories and small files of the host. */
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

void dir_closep(DIR *const *d)
{
	if (*d)
		closedir(*d);
}

DIR *dir_stream(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

int dir_lock(int dir, struct err *e)
{
	/* A new open file description: the lock ends when this fd does, and not with another's. */
	auto_close int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(e, "lock directory");
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_errno(e, "lock directory");
	return take_fd(fd);
}

const char *dir_slurp(int at, const char *file, char *buf, size_t size)
{
	auto_close int fd = openat(at, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);

	buf[n > 0 ? n : 0] = 0;
	if (n > 0 && buf[n - 1] == '\n')
		buf[n - 1] = 0;
	return buf;
}

int dir_unlink(int dir, const char *const *files)
{
	int r = 0;

	for (; *files; files++)
		if (unlinkat(dir, *files, 0) < 0 && errno != ENOENT && r == 0)
			r = -errno;
	return r;
}

uint64_t dir_disk_bytes(int dir, const char *const *files, int64_t *ret_changed_s)
{
	uint64_t bytes = 0;
	int64_t changed_s = 0;
	struct stat st;

	for (; *files; files++)
		if (fstatat(dir, *files, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			bytes += (uint64_t)st.st_blocks * 512;
			changed_s = max_(changed_s, (int64_t)st.st_mtime);
		}
	if (ret_changed_s)
		*ret_changed_s = changed_s;
	return bytes;
}

int fd_path(int fd, char *ret, size_t size)
{
	char link[32];

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, ret, size - 1);
	ret[n > 0 ? n : 0] = 0;
	return n < 0 ? -errno : 0;
}

/* ---- removing a tree --------------------------------------------------------------------------------- */

/* Empties the directory `name` of top; its subdirectories move up to top, to have their turn. Thus no
 * depth that an archive may have costs us descriptors or stack. */
static void tree_flatten(int top, const char *name, unsigned *serial)
{
	char moved[32];

	(void)!fchmodat(top, name, 0700, 0);
	auto_dir *d = dir_stream(top, name);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(d), de->d_name, 0) == 0 || errno != EISDIR)
			continue;
		(void)snprintf(moved, sizeof(moved), ".gone-%u", (*serial)++);
		(void)!fchmodat(dirfd(d), de->d_name, 0700,
				0); /* a move writes to the directory itself */
		(void)renameat(dirfd(d), de->d_name, top, moved);
	}
	(void)unlinkat(top, name, AT_REMOVEDIR);
}

/* One pass over top; the number of entries that are gone from it. */
static int tree_pass(int top, unsigned *serial)
{
	auto_dir *d = dir_stream(top, ".");
	struct dirent *de;
	int n = 0;

	while (d && (de = readdir(d))) {
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (unlinkat(top, de->d_name, 0) < 0)
			tree_flatten(top, de->d_name, serial);
		n += faccessat(top, de->d_name, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
	}
	return n;
}

int tree_remove(int parent, const char *name)
{
	auto_close int top = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	unsigned serial = 0;

	if (top < 0)
		return -errno;
	while (tree_pass(top, &serial) > 0)
		;
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}
