/* SPDX-License-Identifier: Apache-2.0 */
/* remove.c - remove: a file, or a directory with all that is in it.
 *
 * Others may move things about in there meanwhile. Each name is taken from a directory that is held open, and no
 * symbolic link is followed, so nothing is removed but what lay in that directory. One descriptor is open at a time,
 * whatever the depth: the way back is "..", which must lead to the directory that we came from.
 */
#include "guest-init/files/operations.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/tree.h"

enum {
	REMOVE_DEPTH_MAX = 16384,
	DIR_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
};

struct place {
	dev_t dev;
	ino_t ino;
};

static struct place above[REMOVE_DEPTH_MAX]; /* the directories on the way down */

static int place_of(int fd, struct place *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = (struct place){st.st_dev, st.st_ino};
	return 0;
}

/* 1: it is a directory with something in it. */
static int remove_one(int dir, const char *name)
{
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	int why = errno;
	if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno == ENOTEMPTY || errno == EEXIST)
		return 1;
	return errno == ENOTDIR ? -why : -errno;
}

/* Removes what is in dir, up to a directory with something in it: its descriptor. 0: dir is empty. */
static int empty(int dir)
{
	int own = openat(dir, ".", DIR_FLAGS), r = 0;
	DIR *d = own < 0 ? NULL : fdopendir(own);
	struct dirent *de;

	if (!d)
		return -errno;
	while (r == 0 && (de = readdir(d))) {
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		r = remove_one(own, de->d_name);
		if (r == 1) {
			r = openat(own, de->d_name, DIR_FLAGS);
			r = r >= 0 ? r : errno == ENOENT ? 0 : -errno;
		}
	}
	closedir(d);
	return r;
}

static int back(int dir, const struct place *want)
{
	struct place is = {0};
	auto_close int fd = openat(dir, "..", DIR_FLAGS);
	int r = fd < 0 ? -errno : place_of(fd, &is);

	if (r == 0 && (is.dev != want->dev || is.ino != want->ino))
		r = -ESTALE; /* somebody moved it */
	return r < 0 ? r : take_fd(fd);
}

/* Removes all below top. */
static int empty_all(int top)
{
	auto_close int at = openat(top, ".", DIR_FLAGS);
	size_t depth = 0;

	if (at < 0)
		return -errno;
	for (;;) {
		int next = empty(at);

		if (next == 0 && depth == 0)
			return 0;
		if (next == 0)
			next = back(at, &above[--depth]);
		else if (next > 0 && depth == REMOVE_DEPTH_MAX)
			next = (close(next), -ELOOP);
		else if (next > 0)
			next = place_of(at, &above[depth++]) < 0 ? (close(next), -EIO) : next;
		if (next < 0)
			return next;
		close(at);
		at = next;
	}
}

static int remove_path(int dir, const char *leaf, int recursive)
{
	struct stat st;

	/* A name that is not there is an error, one that went away while we looked is not. */
	if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	int r = remove_one(dir, leaf);
	if (r != 1)
		return r;
	if (!recursive)
		return -ENOTEMPTY;
	auto_close int top = openat(dir, leaf, DIR_FLAGS);
	if (top < 0)
		return -errno;
	r = empty_all(top);
	if (r < 0)
		return r;
	return unlinkat(dir, leaf, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int files_remove(int argc, char **argv, struct err *e)
{
	char leaf[256];
	int r = tree_leaf(argv[1], leaf);

	(void)argc;
	if (r == 0 && !*leaf)
		r = -EINVAL; /* "/", "." and ".." */
	auto_close int dir = r < 0 ? r : tree_open_parent(argv[1]);
	r = dir < 0 ? dir : remove_path(dir, leaf, strchr(argv[0], 'r') != NULL);
	return r < 0 ? err_set(e, -r, "%s: %s", argv[1], strerror(-r)) : 0;
}
