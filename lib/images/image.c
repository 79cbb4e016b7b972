/* SPDX-License-Identifier: Apache-2.0 */
/* image.c - named root file systems: NAME.erofs in the image directory.
 *
 * An import works in a directory .import-N beside the target and ends with one rename, so an image is
 * whole or absent. Whoever imports holds a flock on his directory, and so does each tool he runs; the
 * next import or list removes directories that nobody holds.
 *
 * A directory becomes an image as it is. An archive is unpacked first: by GNU tar, which refuses names
 * with ".." and makes symbolic links last, so that nothing in it reaches out of its root. Without root's
 * rights both steps run under fakeroot, which remembers owners and devices from one to the other.
 */
#include "lib/host/host.h"
#include "lib/host/launch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "util/io.h"

#define WORK_PREFIX  ".import-"
#define IMAGE_SUFFIX ".erofs"

enum { ARGV_MAX = 24 };

struct work {
	int images;    /* the image directory */
	int fd;        /* ours in it, flock'd: where the tools work */
	char name[32]; /* its name */
};

/* ---- the working directory ---------------------------------------------------------------------------- */

static int is_held(int images, const char *name)
{
	auto_close int fd = openat(images, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	/* What cannot be looked at may be. */
	return fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0;
}

/* With the image directory locked. */
static void import_sweep(int images)
{
	auto_dir *d = dir_stream(images, ".");
	struct dirent *de;

	while (d && (de = readdir(d)))
		if (strncmp(de->d_name, WORK_PREFIX, strlen(WORK_PREFIX)) == 0 &&
		    !is_held(images, de->d_name))
			(void)tree_remove(images, de->d_name);
}

static int import_begin(struct work *w, struct err *e)
{
	w->fd = -1;
	w->images = place_images(e);
	if (w->images < 0)
		return w->images;

	auto_close int locked = dir_lock(w->images, e);
	if (locked < 0)
		return locked;
	import_sweep(w->images);
	for (unsigned i = 0;; i++) {
		(void)snprintf(w->name, sizeof(w->name), WORK_PREFIX "%u", i);
		if (mkdirat(w->images, w->name, 0700) == 0)
			break;
		if (errno != EEXIST)
			return err_errno(e, "make a directory beside the images");
	}
	w->fd = openat(w->images, w->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->fd < 0 || flock(w->fd, LOCK_EX) < 0)
		return err_errno(e, "open a directory beside the images");
	return 0;
}

static void import_end(struct work *w)
{
	if (w->fd >= 0) {
		(void)tree_remove(w->images,
				  w->name); /* what fails here the next sweep tries again */
		close(w->fd);
	}
	if (w->images >= 0)
		close(w->images);
}

/* ---- the steps ------------------------------------------------------------------------------------------ */

struct argv {
	const char *v[ARGV_MAX];
	int n;
};

static void argv_add(struct argv *a, const char *const *more)
{
	while (*more)
		a->v[a->n++] = *more++;
	a->v[a->n] = NULL;
}

#define ADD(a, ...)    argv_add(a, (const char *const[]){__VA_ARGS__, NULL})

/* All paths are those in the working directory. */
#define FAKEROOT_STATE "fakeroot"

static void argv_add_fakeroot(struct argv *a, const char *flag)
{
	if (geteuid() == 0)
		return;
	ADD(a, "fakeroot", flag, FAKEROOT_STATE, "--");
}

/* A tool may not have said that the disk is full; the disk does. */
static int import_run(const struct work *w, const struct argv *a, struct err *e)
{
	struct statvfs vfs;
	int r = tool_run(a->v, w->fd, e);

	if (r < 0 && r != -EINTR && r != -ENOENT && fstatvfs(w->fd, &vfs) == 0 && vfs.f_bavail == 0)
		return err_set(e, ENOSPC, "no space left on the file system of the images");
	return r;
}

static int import_unpack(const struct work *w, const char *archive, struct err *e)
{
	struct argv a = {0};

	if (mkdirat(w->fd, "root", 0755) < 0)
		return err_errno(e, "make the image's root");
	argv_add_fakeroot(&a, "-s");
	/* --force-local: a colon in the name is no host. */
	ADD(&a, "tar", "--extract", "--file", archive, "--directory=root", "--force-local",
	    "--numeric-owner", "--same-owner", "--same-permissions", "--delay-directory-restore");
	if (geteuid() == 0)
		ADD(&a, "--xattrs", "--xattrs-include=security.capability");
	return import_run(w, &a, e);
}

static int import_make_image(const struct work *w, const char *root, int unpacked, struct err *e)
{
	struct argv a = {0};

	if (unpacked)
		argv_add_fakeroot(&a, "-i");
	ADD(&a, "mkfs.erofs", "--quiet");
	/* Somebody's own files can only have been meant to be root's. */
	if (!unpacked && geteuid() != 0)
		ADD(&a, "--all-root");
	ADD(&a, "image", root);
	return import_run(w, &a, e);
}

static int check_not_empty(int at, const char *name, const char *what, struct err *e)
{
	auto_dir *d = dir_stream(at, name);
	int n = 0;

	if (!d)
		return err_errno(e, "read %s", what);
	while (readdir(d))
		n++;
	return n > 2 ? 0 : err_set(e, EINVAL, "%s is empty", what);
}

static int import_publish(const struct work *w, const char *name, struct err *e)
{
	char file[NAME_BYTES + 8];
	auto_close int fd = openat(w->fd, "image", O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_errno(e, "open the new image");
	(void)snprintf(file, sizeof(file), "%s" IMAGE_SUFFIX, name);
	if (fchmod(fd, 0644) < 0 || fsync(fd) < 0 ||
	    renameat(w->fd, "image", w->images, file) < 0 || fsync(w->images) < 0)
		return err_errno(e, "put the new image in its place");
	return 0;
}

/* Standard input to a file: tar cannot look twice at a pipe to see how it is compressed. */
static int import_spool(const struct work *w, struct err *e)
{
	char buf[4 << 10];
	auto_close int fd = openat(w->fd, "archive", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ssize_t n;

	if (fd < 0)
		return err_errno(e, "make a file for standard input");
	while ((n = read(STDIN_FILENO, buf, sizeof(buf))) != 0) {
		if (n < 0)
			return err_errno(e, "read standard input");
		int r = io_write_all(fd, buf, (size_t)n);
		if (r < 0)
			return err_set(e, -r, "keep standard input: %s", strerror(-r));
	}
	return 0;
}

static int import_archive(const struct work *w, const char *path, struct err *e)
{
	int r = 0;

	if (!path)
		r = import_spool(w, e);
	if (r == 0)
		r = import_unpack(w, path ? path : "archive", e);
	if (r < 0)
		return r;
	r = check_not_empty(w->fd, "root", "the archive", e);
	return r < 0 ? r : import_make_image(w, "root", 1, e);
}

static int import(const struct work *w, const char *path, struct err *e)
{
	char absolute
		[PATH_MAX]; /* the tools work elsewhere; and what begins with '-' is no option */
	struct stat st;

	if (strcmp(path, "-") == 0)
		return import_archive(w, NULL, e);
	if (!realpath(path, absolute) || stat(absolute, &st) < 0)
		return err_set(e, errno, "%s", strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return import_archive(w, absolute, e);
	int r = check_not_empty(AT_FDCWD, absolute, "the directory", e);
	return r < 0 ? r : import_make_image(w, absolute, 0, e);
}

int conker_image_import(const char *name, const char *path, const conker_image_opts *opts)
{
	(void)opts;
	struct err *e = api_enter();
	struct work w = {.images = -1, .fd = -1};

	if (!name || !path)
		return err_set(e, EINVAL, "no name or no path given");
	int r = api_may_wait(e);
	if (r == 0)
		r = name_check("image", name, e);
	if (r < 0)
		return r;
	r = import_begin(&w, e);
	if (r == 0)
		r = import(&w, path, e);
	if (r == 0)
		r = import_publish(&w, name, e);
	import_end(&w);
	return r < 0 ? err_wrap(e, api_descriptors(r, e), "import '%s' as image '%s'", path, name)
		     : 0;
}

/* ---- removing and listing ------------------------------------------------------------------------------- */

int conker_image_remove(const char *name)
{
	struct err *e = api_enter();
	char file[NAME_BYTES + 8];

	if (!name)
		return err_set(e, EINVAL, "no name given");
	int r = name_check("image", name, e);
	if (r < 0)
		return r;

	auto_close int dir = place_images(e);
	if (dir < 0)
		return dir;
	(void)snprintf(file, sizeof(file), "%s" IMAGE_SUFFIX, name);
	if (unlinkat(dir, file, 0) < 0)
		return errno == ENOENT ? err_set(e, ENOENT, "no image named '%s'", name)
				       : err_errno(e, "remove image '%s'", name);
	return 0;
}

static int is_image(const struct dirent *de)
{
	size_t n = strlen(de->d_name), s = strlen(IMAGE_SUFFIX);

	return n > s && de->d_name[0] != '.' && strcmp(de->d_name + n - s, IMAGE_SUFFIX) == 0 &&
	       n - s < NAME_BYTES;
}

typedef int image_fn(const conker_image *i, void *user);

static int tell(int dir, const char *file, image_fn *fn, void *user)
{
	char name[NAME_BYTES];
	struct stat st;

	if (fstatat(dir, file, &st, 0) < 0)
		return 0; /* removed meanwhile */
	(void)snprintf(name, sizeof(name), "%.*s", (int)(strlen(file) - strlen(IMAGE_SUFFIX)),
		       file);
	conker_image i = {.size = sizeof(i), .name = name, .id = "", .bytes = (uint64_t)st.st_size, .created_s = st.st_mtime};
	return fn(&i, user);
}

/* The base image that came with us, unless one of that name hides it. */
static int tell_built_in(int dir, image_fn *fn, void *user)
{
	char path[PATH_MAX];
	struct stat st;

	if (faccessat(dir, "base" IMAGE_SUFFIX, F_OK, 0) == 0 ||
	    place_guest_path("base.erofs", path, sizeof(path), NULL) < 0 || stat(path, &st) < 0)
		return 0;
	conker_image i = {.size = sizeof(i), .name = "base", .id = "", .bytes = (uint64_t)st.st_size, .created_s = st.st_mtime};
	return fn(&i, user);
}

int conker_image_list(image_fn *fn, void *user)
{
	struct err *e = api_enter();
	char path[64];
	struct dirent **list;

	if (!fn)
		return err_set(e, EINVAL, "no function given");

	auto_close int dir = place_images(e);
	if (dir < 0)
		return dir;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
	int locked = dir_lock(dir, e);
	if (locked < 0)
		return locked;
	import_sweep(dir);
	close(locked); /* fn may import */
	int n = scandir(path, &list, is_image, alphasort);
	if (n < 0)
		return err_errno(e, "read the image directory");
	int r = tell_built_in(dir, fn, user);
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = tell(dir, list[i]->d_name, fn, user);
		free(list[i]);
	}
	free(list);
	return r;
}

int conker_image_pull(const char *ref, const conker_image_opts *opts)
{
	(void)ref;
	(void)opts;
	return err_set(api_enter(), ENOSYS, "pull");
}

int conker_image_tag(const char *image, const char *name)
{
	(void)image;
	(void)name;
	return err_set(api_enter(), ENOSYS, "tag");
}

int conker_image_inspect(const char *image, conker_image **ret)
{
	(void)image;
	(void)ret;
	return err_set(api_enter(), ENOSYS, "inspect");
}

conker_image *conker_image_free(conker_image *i)
{
	return i;
}

int conker_image_resolve(const char *image, char ret[256])
{
	(void)image;
	(void)ret;
	return err_set(api_enter(), ENOSYS, "resolve");
}

int conker_image_usage_get(conker_image_usage *ret)
{
	(void)ret;
	return err_set(api_enter(), ENOSYS, "usage");
}

int conker_image_prune(uint32_t flags, int64_t older_s, uint64_t *ret_bytes)
{
	(void)flags;
	(void)older_s;
	(void)ret_bytes;
	return err_set(api_enter(), ENOSYS, "prune");
}
