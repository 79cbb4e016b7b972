/* SPDX-License-Identifier: Apache-2.0 */
/* store.c - the directories of the store, and those of who works in it.
 *
 * Whoever makes an image works in a directory .work-N of his own, on the same file system, and holds a flock on it, as do the
 * programs that he runs. One that nobody holds is what is left of somebody who was killed. The store's own lock is for moments: to
 * look at what there is, to rename, to remove.
 */
#include "lib/images/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORK_PREFIX   ".work-"
#define FORMER_PREFIX ".import-" /* of the former version */

int store_sub_there(int store, const char *name)
{
	int fd = openat(store, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

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

int store_walk(int store, const char *name, store_entry_fn *fn, void *arg)
{
	auto_dir *d = dir_stream(store, name);
	struct dirent *de;
	int r = 0;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	for (errno = 0; r == 0 && (de = readdir(d)); errno = 0)
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			r = fn(dirfd(d), de->d_name, arg);
	return r == 0 && errno ? -errno : r;
}

void made_path(const char *id, char ret[MADE_PATH_BYTES])
{
	(void)snprintf(ret, MADE_PATH_BYTES, "made/%s", id);
}

/* ---- somebody's own ------------------------------------------------------------------------------------ */

static int is_held(int store, const char *name)
{
	auto_close int fd = openat(store, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	/* What cannot be looked at may be. */
	return fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0;
}

static int work_sweep(int store, const char *file, void *arg)
{
	(void)arg;
	if ((strncmp(file, WORK_PREFIX, sizeof(WORK_PREFIX) - 1) == 0 ||
	     strncmp(file, FORMER_PREFIX, sizeof(FORMER_PREFIX) - 1) == 0) &&
	    !is_held(store, file))
		(void)tree_remove(store, file);
	return 0;
}

void works_sweep(int store)
{
	(void)!store_walk(store, ".", work_sweep, NULL);
}

static int work_make(struct image_work *w, struct err *e)
{
	for (unsigned i = 0;; i++) {
		(void)snprintf(w->name, sizeof(w->name), WORK_PREFIX "%u", i);
		if (mkdirat(w->store, w->name, 0700) == 0)
			break;
		if (errno != EEXIST)
			return err_errno(e, "make a directory beside the images");
	}
	w->fd = openat(w->store, w->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (w->fd < 0 || flock(w->fd, LOCK_EX) < 0)
		return err_errno(e, "open a directory beside the images");
	return 0;
}

int work_begin(struct image_work *w, struct err *e)
{
	*w = (struct image_work){.store = place_images(e), .fd = -1};
	if (w->store < 0)
		return w->store;
	auto_close int locked = dir_lock(w->store, e);
	if (locked < 0)
		return locked;
	works_sweep(w->store);
	return work_make(w, e);
}

void work_end(struct image_work *w)
{
	if (w->fd >= 0) {
		/* What fails here the next sweep tries again. */
		(void)tree_remove(w->store, w->name);
		(void)close(take_fd(w->fd));
	}
	if (w->store >= 0)
		(void)close(take_fd(w->store));
}
