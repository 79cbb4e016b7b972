/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - paths of trees. See tree.h. */
#include "util/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LEAF_MAX = 255 };

static size_t without_slashes(const char *path)
{
	size_t n = strlen(path);

	while (n > 0 && path[n - 1] == '/')
		n--;
	return n;
}

/* Where the last name of path[0..n) begins. */
static size_t leaf_at(const char *path, size_t n)
{
	while (n > 0 && path[n - 1] != '/')
		n--;
	return n;
}

int tree_leaf(const char *path, char ret[256])
{
	size_t end = without_slashes(path), at = leaf_at(path, end), n = end - at;

	if (n > LEAF_MAX)
		return -ENAMETOOLONG;
	memcpy(ret, path + at, n);
	ret[n] = 0;
	if (strcmp(ret, ".") == 0 || strcmp(ret, "..") == 0)
		ret[0] = 0;
	return 0;
}

/* path without its last name; "/" or "." when nothing is left. */
static int parent_path(const char *path, char ret[PATH_MAX])
{
	size_t n = leaf_at(path, without_slashes(path));

	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(ret, path, n);
	ret[n] = 0;
	if (n == 0)
		memcpy(ret, path[0] == '/' ? "/" : ".", 2);
	return 0;
}

int tree_open_parent(const char *path)
{
	char dir[PATH_MAX];
	int r = parent_path(path, dir);

	if (r < 0)
		return r;
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int tree_follow(const char *path, char ret[PATH_MAX])
{
	struct stat st, there = {0};
	size_t n = without_slashes(path);

	if (stat(path, &there) < 0 && errno != ENOENT)
		return -errno;
	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	n = n == 0 && *path ? 1 : n;
	memcpy(ret, path, n);
	ret[n] = 0;
	if (lstat(ret, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISLNK(st.st_mode))
		return 0;
	if (!realpath(path, ret) || stat(ret, &st) < 0)
		return -errno;
	/* A link of /proc leads to an open file, whose name may be another one's by now. */
	return st.st_dev == there.st_dev && st.st_ino == there.st_ino ? 0 : -ENOENT;
}

int tree_is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

int tree_open_special(const char *path, int flags, struct err *e)
{
	struct stat st;

	if (flags & TREE_NO_CLOBBER)
		return err_set(e, EEXIST, "%s: %s", path, strerror(EEXIST));
	int fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	int why = errno;
	if (fd < 0 && stat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		return err_set(e, why, "%s is a socket, which takes no file", path);
	return fd < 0 ? err_set(e, why, "%s: %s", path, strerror(why)) : fd;
}

int tree_destination(const char *dest, const char *leaf, char ret_name[256], int *flags)
{
	char real[PATH_MAX];
	int fd = open(dest, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		memcpy(ret_name, leaf, strlen(leaf) + 1);
		return fd;
	}
	int is_file = errno == ENOTDIR, slash = dest[without_slashes(dest)] == '/';
	if ((errno != ENOENT && !is_file) || (is_file && slash))
		return -errno;
	int r = tree_follow(dest, real);
	if (r == 0)
		r = tree_leaf(real, ret_name);
	if (r == 0 && !ret_name[0])
		r = -ENOENT;
	*flags |= slash ? TREE_ROOT_IS_DIR : 0;
	return r < 0 ? r : tree_open_parent(real);
}

int tree_make_parents(const char *path)
{
	char dir[PATH_MAX];
	int r = parent_path(path, dir);

	if (r < 0)
		return r;
	for (char *p = dir + strspn(dir, "/"); *p; p += strspn(p, "/")) {
		p += strcspn(p, "/");
		char was = *p;
		*p = 0;
		/* A symbolic link to a directory is fine, so whether it is one shows later. */
		if (mkdir(dir, 0777) < 0 && errno != EEXIST && errno != EISDIR)
			return -errno;
		*p = was;
	}
	return 0;
}
