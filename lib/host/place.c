/* SPDX-License-Identifier: Apache-2.0 */
/* place.c - where boxes, images and our own files are.
 *
 *	boxes	$XDG_RUNTIME_DIR/conker/boxes, else /run/conker/boxes (root), else /tmp/conker-UID/boxes
 *	images	$CONKER_IMAGES, else $XDG_DATA_HOME/conker/images, else $HOME/.local/share/conker/images,
 *		else /var/lib/conker/images
 *	state	$XDG_STATE_HOME/conker, else /var/lib/conker (root), else $HOME/.local/state/conker:
 *		what suspended boxes and clones keep on disk
 *	cache	$XDG_CACHE_HOME/conker, else /var/cache/conker (root), else $HOME/.cache/conker:
 *		templates, checksums
 *	VMM	$CONKER_VMM, else conker-vmm beside the running program, else in the installed folder
 *	conker-image	$CONKER_IMAGE_PROGRAM, else likewise
 *	guest	$CONKER_GUEST, else guest/ beside the running program, else in the installed folder
 *
 * /tmp and an inherited XDG_RUNTIME_DIR may belong to somebody else (sudo keeps the variable): a
 * directory that is not ours alone is never used.
 */
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef CONKER_LIBDIR
#define CONKER_LIBDIR "/usr/local/lib/conker"
#endif

static const char *env(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

/* Opens name below at, made if missing with mode. */
static int open_made(int at, const char *name, mode_t mode)
{
	if (mkdirat(at, name, mode) < 0 && errno != EEXIST)
		return -errno;

	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* mkdir -p, then open. */
static int open_path_made(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	auto_close int at = open(path[0] == '/' ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (at < 0)
		return -errno;
	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");

		if (n >= sizeof(part))
			return -ENAMETOOLONG;
		if (n > 0) {
			memcpy(part, p, n);
			part[n] = 0;
			int fd = open_made(at, part, mode);
			if (fd < 0)
				return fd;
			close(at);
			at = fd;
		}
		p += n + (p[n] == '/');
	}
	return take_fd(at);
}

/* 1, 0, or -errno. */
static int is_ours(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_uid == geteuid() && !(st.st_mode & 022);
}

static int runtime_base(char *ret, size_t size)
{
	const char *xdg = env("XDG_RUNTIME_DIR");
	struct stat st;
	int n;

	int found = xdg ? stat(xdg, &st) : -1;
	if (xdg && found < 0 && errno != ENOENT && errno != ENOTDIR && errno != EACCES)
		return -errno; /* boxes would be looked for where they are not */
	if (found == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
		n = snprintf(ret, size, "%s/conker", xdg);
	else if (geteuid() == 0)
		n = snprintf(ret, size, "/run/conker");
	else
		n = snprintf(ret, size, "/tmp/conker-%u", (unsigned)geteuid());
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* Opens a directory that holds boxes, or their memory: ours alone. */
static int open_private(const char *path, const char *var, struct err *e)
{
	auto_close int fd = open_path_made(path, 0700);
	int r = fd < 0 ? fd : is_ours(fd);

	if (r < 0)
		return err_set(e, -r, "directory '%s': %s", path, strerror(-r));
	if (!r)
		return err_set(e, EPERM,
			       "directory '%s' belongs to somebody else or is open to others; "
			       "set %s to a directory of yours",
			       path, var);
	return take_fd(fd);
}

int place_boxes(struct err *e)
{
	static const char var[] = "XDG_RUNTIME_DIR";
	char path[PATH_MAX];
	int r = runtime_base(path, sizeof(path));

	if (r < 0)
		return err_set(e, -r, "%s: %s", var, strerror(-r));
	auto_close int base = open_private(path, var, e);
	if (base < 0)
		return base;
	int fd = open_made(base, "boxes", 0700);
	return fd < 0 ? err_set(e, -fd, "directory '%s/boxes': %s", path, strerror(-fd)) : fd;
}

static int place_kept(const char *var, const char *root, const char *home, const char *sub,
		      char *ret, size_t size)
{
	int n;

	if (env(var) && *env(var) == '/')
		n = snprintf(ret, size, "%s/conker/%s", env(var), sub);
	else if (geteuid() == 0)
		n = snprintf(ret, size, "%s/conker/%s", root, sub);
	else if (env("HOME") && *env("HOME") == '/')
		n = snprintf(ret, size, "%s/%s/conker/%s", env("HOME"), home, sub);
	else
		return -ENOENT;
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int place_state(const char *sub, char *ret, size_t size, struct err *e)
{
	static const char var[] = "XDG_STATE_HOME";
	int r = place_kept(var, "/var/lib", ".local/state", sub, ret, size);

	return r < 0 ? err_set(e, -r, "no place for what boxes keep; set %s", var)
		     : open_private(ret, var, e);
}

int place_cache_path(const char *sub, char *ret, size_t size, struct err *e)
{
	static const char var[] = "XDG_CACHE_HOME";
	int r = place_kept(var, "/var/cache", ".cache", sub, ret, size);

	return r < 0 ? err_set(e, -r, "no place for the cache; set %s", var)
		     : open_private(ret, var, e);
}

int place_cache(const char *sub, struct err *e)
{
	char path[PATH_MAX];

	return place_cache_path(sub, path, sizeof(path), e);
}

int place_images(struct err *e)
{
	char path[PATH_MAX];
	int n;

	if (env("CONKER_IMAGES"))
		n = snprintf(path, sizeof(path), "%s", env("CONKER_IMAGES"));
	else if (env("XDG_DATA_HOME"))
		n = snprintf(path, sizeof(path), "%s/conker/images", env("XDG_DATA_HOME"));
	else if (env("HOME"))
		n = snprintf(path, sizeof(path), "%s/.local/share/conker/images", env("HOME"));
	else
		n = snprintf(path, sizeof(path), "/var/lib/conker/images");
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, ENAMETOOLONG, "the path of the images is too long");

	int fd = open_path_made(path, 0755);
	if (fd < 0)
		return err_set(e, -fd, "image directory '%s': %s", path, strerror(-fd));
	return fd;
}

/* "<directory of the running program>/<file>" when it exists, else the installed one. */
static int beside_or_installed(const char *file, char *ret, size_t size)
{
	char exe[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash;

	if (len > 0) {
		exe[len] = 0;
		slash = strrchr(exe, '/');
		if (slash) {
			*slash = 0;
			int n = snprintf(ret, size, "%s/%s", exe, file);
			if (n > 0 && (size_t)n < size && access(ret, F_OK) == 0)
				return 0;
		}
	}
	int n = snprintf(ret, size, CONKER_LIBDIR "/%s", file);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int place_program(const char *var, const char *file, char *ret, size_t size, struct err *e)
{
	const char *set = env(var);
	int r = 0;

	if (set)
		(void)snprintf(ret, size, "%s", set);
	else
		r = beside_or_installed(file, ret, size);
	if (r < 0)
		return err_set(e, -r, "the path of %s is too long", file);
	if (access(ret, X_OK) < 0)
		return err_set(e, errno, "%s '%s': %s; build or install it, or set %s", file, ret,
			       strerror(errno), var);
	return 0;
}

int place_vmm(char *ret, size_t size, struct err *e)
{
	return place_program("CONKER_VMM", "conker-vmm", ret, size, e);
}

int place_image_program(char *ret, size_t size, struct err *e)
{
	return place_program("CONKER_IMAGE_PROGRAM", "conker-image", ret, size, e);
}

int place_guest_path(const char *file, char *ret, size_t size, struct err *e)
{
	const char *set = env("CONKER_GUEST");
	char name[NAME_MAX];
	int r = 0;

	if (set) {
		int n = snprintf(ret, size, "%s/%s", set, file);
		r = n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
	} else {
		(void)snprintf(name, sizeof(name), "guest/%s", file);
		r = beside_or_installed(name, ret, size);
	}
	return r < 0 ? err_set(e, -r, "the path of '%s' is too long", file) : 0;
}

int place_guest(const char *file, struct err *e)
{
	char path[PATH_MAX];
	int r = place_guest_path(file, path, sizeof(path), e);

	if (r < 0)
		return r;

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, errno, "'%s': %s%s", path, strerror(errno),
			       errno == ENOENT
				       ? "; build or install it (`make`), or set CONKER_GUEST"
				       : "");
	return fd;
}
