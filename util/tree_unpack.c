/* SPDX-License-Identifier: Apache-2.0 */
/* tree_unpack.c - a tar stream as a tree of files, whoever wrote it. See tree.h.
 *
 * Where an entry goes is (descriptor of its directory, last name), and every system call takes just
 * those. The descriptor comes from open_dir(), which follows no symbolic link and no "..", so it is
 * always of a directory that was below the target when it was opened. The last one is kept: entries
 * of one directory come together.
 *
 * Directories are made writable first; mode, owner and time follow when the stream leaves them.
 * Those that it is in form a stack, all prefixes of one path.
 */
#include "util/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/io.h"
#include "util/tar.h"

enum {
	TEMP_BYTES = 48,
	TEMP_TRIES = 100,
	NO_REPLACE = 1, /* RENAME_NOREPLACE, which musl does not know */
	DIR_FLAGS = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, /* and O_PATH, or O_RDONLY */
	SETID_BITS = 06000,
	PATH_BYTES = TAR_NAME_BYTES + 257, /* with the prefix */
};

struct meta {
	uint32_t mode, uid, gid;
	int64_t mtime_s;
	uint32_t mtime_ns;
};

struct open_dir { /* that the stream is in: the first path_len bytes of u->dirs_path */
	size_t path_len;
	struct meta meta;
};

struct tree_unpack {
	struct tree_unpack_opts o;
	struct tree_left_out left_out;
	uint64_t bytes;
	int no_openat2;

	int parent; /* descriptor of the directory parent_path, or -1 */
	char parent_path[PATH_BYTES];

	char path[PATH_BYTES]; /* of the entry, prefix included */
	int fd;                /* of the file being written, or -1 */
	uint64_t end;          /* of what was written */
	char temp[TEMP_BYTES]; /* the file's name for now; "": it has its own already */
	char leaf[256];        /* its own, in parent */

	size_t n_dirs;
	struct open_dir dirs[TREE_DEPTH_MAX];
	char dirs_path[PATH_BYTES];

	struct tar_reader tar; /* last: large, mostly untouched */
};

static int unpack_fail(struct tree_unpack *u, struct err *e, int code)
{
	return err_set(e, code, "%s: %s", u->path[0] ? u->path : ".", strerror(code));
}

/* ---- directories by path, without leaving the target ----------------------------------------- */

static int openat2_dir(int dir, const char *path, int mode)
{
	struct open_how how = {
		.flags = (unsigned)(DIR_FLAGS | mode),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static int step_into(int dir, const char *name, int mode)
{
	int fd = openat(dir, name, DIR_FLAGS | mode);

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(dir, name, 0777) < 0 && errno != EEXIST)
			return -errno;
		fd = openat(dir, name, DIR_FLAGS | mode);
	}
	return fd < 0 ? -errno : fd;
}

/* One component at a time, each opened without following a link; what is missing is made. */
static int walk_dir(int dir, const char *path, int mode)
{
	auto_close int at = openat(dir, ".", DIR_FLAGS | mode);
	char name[256];

	while (at >= 0 && *path) {
		size_t n = strcspn(path, "/");

		if (n >= sizeof(name))
			return -ENAMETOOLONG;
		memcpy(name, path, n);
		name[n] = 0;
		int next = step_into(at, name, mode);
		if (next < 0)
			return next;
		close(at);
		at = next;
		path += n;
		path += *path == '/';
	}
	return at < 0 ? -errno : take_fd(at);
}

/* path: clean; what is missing of it is made. mode: O_PATH, or O_RDONLY to change it. ENOTDIR:
 * something else is in the way. */
static int open_dir(struct tree_unpack *u, const char *path, int mode)
{
	int fd = -ENOSYS;

	if (!*path) {
		fd = openat(u->o.dir, ".", DIR_FLAGS | mode);
		return fd < 0 ? -errno : fd;
	}
	if (!u->no_openat2)
		fd = openat2_dir(u->o.dir, path, mode);
	if (fd == -ENOSYS || fd == -EPERM) /* EPERM: what some sandboxes say instead */
		u->no_openat2 = 1;
	if (u->no_openat2 || fd == -ENOENT)
		fd = walk_dir(u->o.dir, path, mode);
	return fd == -ELOOP ? -ENOTDIR : fd;
}

/* Makes u->parent and u->leaf those of path, which has at least one name. */
static int locate(struct tree_unpack *u, const char *path, char ret_leaf[256])
{
	const char *slash = strrchr(path, '/');
	const char *leaf = slash ? slash + 1 : path;
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (strlen(leaf) > 255)
		return -ENAMETOOLONG;
	memcpy(ret_leaf, leaf, strlen(leaf) + 1);
	if (u->parent >= 0 && strncmp(u->parent_path, path, n) == 0 && !u->parent_path[n])
		return 0;
	if (u->parent >= 0)
		close(take_fd(u->parent));
	memcpy(u->parent_path, path, n);
	u->parent_path[n] = 0;
	u->parent = open_dir(u, u->parent_path, O_PATH);
	if (u->parent >= 0)
		return 0;
	int r = u->parent;
	u->parent = -1;
	return r;
}

/* ---- mode, owner, time ----------------------------------------------------------------------- */

static struct meta meta_of(const struct tree_unpack *u, const struct tar_entry *t)
{
	struct meta m = {.mode = t->mode,
			 .uid = t->uid,
			 .gid = t->gid,
			 .mtime_s = t->mtime_s,
			 .mtime_ns = t->mtime_ns};

	if (u->o.flags & TREE_NO_SETID)
		m.mode &= ~(uint32_t)SETID_BITS;
	return m;
}

static void times_of(const struct meta *m, struct timespec ret[2])
{
	ret[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
	ret[1] = (struct timespec){.tv_sec = m->mtime_s, .tv_nsec = (long)m->mtime_ns};
}

/* Owner first: giving a file away drops its set-id bits. */
static int set_meta_fd(const struct tree_unpack *u, int fd, const struct meta *m)
{
	struct timespec times[2];

	times_of(m, times);
	if ((u->o.flags & TREE_OWNERS) && fchown(fd, m->uid, m->gid) < 0)
		return -errno;
	return fchmod(fd, m->mode) < 0 || futimens(fd, times) < 0 ? -errno : 0;
}

/* Of something that was just made in u->parent and cannot be opened. A link has no mode. */
static int set_meta_at(const struct tree_unpack *u, const char *name, const struct meta *m,
		       int is_link)
{
	struct timespec times[2];

	times_of(m, times);
	if ((u->o.flags & TREE_OWNERS) &&
	    fchownat(u->parent, name, m->uid, m->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!is_link && fchmodat(u->parent, name, m->mode, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return utimensat(u->parent, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* ---- the stack of directories ---------------------------------------------------------------- */

/* The stream has left the directory on top. */
static int leave_dir(struct tree_unpack *u)
{
	struct open_dir *d = &u->dirs[u->n_dirs - 1];

	u->dirs_path[d->path_len] = 0;
	u->n_dirs--;
	auto_close int fd = open_dir(u, u->dirs_path, O_RDONLY);
	return fd < 0 ? fd : set_meta_fd(u, fd, &d->meta);
}

/* Whether path is the first n bytes of u->dirs_path, or below that. */
static int is_below(const struct tree_unpack *u, const char *path, size_t n)
{
	return strncmp(u->dirs_path, path, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static int leave_dirs(struct tree_unpack *u, const char *path)
{
	int r = 0;

	while (r == 0 && u->n_dirs > 0 && !is_below(u, path, u->dirs[u->n_dirs - 1].path_len))
		r = leave_dir(u);
	return r;
}

static int enter_dir(struct tree_unpack *u, const struct tar_entry *t)
{
	size_t n = strlen(u->path);
	struct open_dir *d;

	if (u->n_dirs > 0 && u->dirs[u->n_dirs - 1].path_len == n)
		u->n_dirs--; /* the same once more: the later one counts */
	if (u->n_dirs == TREE_DEPTH_MAX)
		return -ELOOP;
	d = &u->dirs[u->n_dirs++];
	d->path_len = n;
	d->meta = meta_of(u, t);
	memcpy(u->dirs_path, u->path, n + 1);
	return 0;
}

/* ---- making things --------------------------------------------------------------------------- */

typedef int make_fn(struct tree_unpack *u, const struct tar_entry *t, const char *name);

static int make_file(struct tree_unpack *u, const struct tar_entry *t, const char *name)
{
	(void)t;
	u->fd = openat(u->parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	u->end = 0;
	return u->fd < 0 ? -errno : 0;
}

static int make_symlink(struct tree_unpack *u, const struct tar_entry *t, const char *name)
{
	return symlinkat(t->link, u->parent, name) < 0 ? -errno : 0;
}

static int make_special(struct tree_unpack *u, const struct tar_entry *t, const char *name)
{
	mode_t type = t->type == TAR_FIFO ? S_IFIFO : t->type == TAR_CHAR ? S_IFCHR : S_IFBLK;

	return mknodat(u->parent, name, type | 0600, makedev(t->major, t->minor)) < 0 ? -errno : 0;
}

/* The target is a path of the archive like any other, clean by now. */
static int make_link(struct tree_unpack *u, const struct tar_entry *t, const char *name)
{
	char path[PATH_BYTES], *slash;

	(void)snprintf(path, sizeof(path), "%s%s%s", u->o.prefix,
		       *u->o.prefix && *t->link ? "/" : "", t->link);
	slash = strrchr(path, '/');
	if (slash)
		*slash = 0;
	auto_close int dir = open_dir(u, slash ? path : "", O_PATH);
	if (dir < 0)
		return dir;
	return linkat(dir, slash ? slash + 1 : path, u->parent, name, 0) < 0 ? -errno : 0;
}

/* Under a name that nobody has, to be moved over what is in the way. And that nobody is going to
 * have: a name of the process, counted up, would be taken again by another of its threads as soon
 * as into_place() has moved the file, whose unlink() then hits the other's. Threads of one number
 * exist where containers share a directory: so the moment is in it as well. */
static int make_temp(struct tree_unpack *u, const struct tar_entry *t, make_fn *make)
{
	struct timespec now;
	int r = -EEXIST;

	for (int i = 0; i < TEMP_TRIES && r == -EEXIST; i++) {
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		(void)snprintf(u->temp, sizeof(u->temp), ".conker-%d-%lld-%ld", (int)gettid(),
			       (long long)now.tv_sec, now.tv_nsec);
		r = make(u, t, u->temp);
	}
	if (r < 0)
		u->temp[0] = 0;
	return r;
}

/* Makes what cannot be there yet; u->temp says under which name. */
static int make_any(struct tree_unpack *u, const struct tar_entry *t, make_fn *make)
{
	u->temp[0] = 0;
	int r = make(u, t, u->leaf);
	if (r != -EEXIST || (u->o.flags & TREE_NO_CLOBBER))
		return r;
	return make_temp(u, t, make);
}

static const char *name_now(const struct tree_unpack *u)
{
	return u->temp[0] ? u->temp : u->leaf;
}

/* To a name that must be free. Not every file system can be told that, but most then have links. */
static int rename_to_free(struct tree_unpack *u)
{
	if (syscall(SYS_renameat2, u->parent, u->temp, u->parent, u->leaf, NO_REPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(u->parent, u->temp, u->parent, u->leaf, 0) < 0)
		return -errno;
	return unlinkat(u->parent, u->temp, 0) < 0 ? -errno : 0;
}

/* It is complete. */
static int into_place(struct tree_unpack *u)
{
	int r = 0;

	if (!u->temp[0])
		return 0;
	if (u->o.flags & TREE_NO_CLOBBER)
		r = rename_to_free(u);
	else if (renameat(u->parent, u->temp, u->parent, u->leaf) < 0)
		r = -errno;
	/* rename() of one name of a file over another one of it does nothing. Else the name is
	 * free, and stays so. */
	if (r < 0 || u->tar.entry.type == TAR_HARDLINK)
		(void)unlinkat(u->parent, u->temp, 0);
	u->temp[0] = 0;
	return r;
}

/* Under a name of its own until it is complete, also when nothing is in the way. */
static int unpack_file(struct tree_unpack *u, const struct tar_entry *t)
{
	struct stat st;

	if ((u->o.flags & TREE_NO_CLOBBER) &&
	    fstatat(u->parent, u->leaf, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST; /* before it has come */
	return make_temp(u, t, make_file);
}

static int unpack_dir(struct tree_unpack *u, const struct tar_entry *t)
{
	struct stat st;

	if (mkdirat(u->parent, u->leaf, 0700 | (t->mode & 0777)) == 0)
		return enter_dir(u, t);
	if (errno != EEXIST)
		return -errno;
	if (fstatat(u->parent, u->leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? enter_dir(u, t) : -ENOTDIR;
}

static int unpack_at_once(struct tree_unpack *u, const struct tar_entry *t, make_fn *make)
{
	struct meta m = meta_of(u, t);
	int r = make_any(u, t, make);

	if (r == 0 && t->type != TAR_HARDLINK)
		r = set_meta_at(u, name_now(u), &m, t->type == TAR_SYMLINK);
	if (r == 0)
		return into_place(u);
	if (u->temp[0])
		(void)unlinkat(u->parent, u->temp, 0);
	u->temp[0] = 0;
	return r;
}

static int unpack_device(struct tree_unpack *u, const struct tar_entry *t)
{
	int r = u->o.flags & TREE_DEVICES ? unpack_at_once(u, t, make_special) : -EPERM;

	if (r != -EPERM)
		return r;
	tree_leave_out(&u->left_out, u->path);
	return 0;
}

static int unpack_located(struct tree_unpack *u, const struct tar_entry *t)
{
	switch (t->type) {
	case TAR_FILE: return unpack_file(u, t);
	case TAR_DIR: return unpack_dir(u, t);
	case TAR_SYMLINK: return unpack_at_once(u, t, make_symlink);
	case TAR_HARDLINK: return unpack_at_once(u, t, make_link);
	case TAR_FIFO: return unpack_at_once(u, t, make_special);
	case TAR_CHAR:
	case TAR_BLOCK: return unpack_device(u, t);
	}
	return -EINVAL;
}

/* ---- the stream ------------------------------------------------------------------------------ */

static void progress(struct tree_unpack *u)
{
	if (u->o.progress)
		u->o.progress(u->bytes, u->path, u->o.arg);
}

static int on_entry(struct tree_unpack *u, struct err *e)
{
	struct tar_entry *t = &u->tar.entry;

	if (tar_clean(t->path) < 0)
		return err_set(e, EINVAL, "the archive wants to write outside its target: '%s'",
			       t->path);
	if (t->type == TAR_HARDLINK && tar_clean(t->link) < 0)
		return err_set(e, EINVAL, "the archive wants to link outside its target: '%s'",
			       t->link);
	(void)snprintf(u->path, sizeof(u->path), "%s%s%s", u->o.prefix,
		       *u->o.prefix && *t->path ? "/" : "", t->path);
	progress(u);
	int r = leave_dirs(u, u->path);
	if (r == 0 && !u->path[0]) /* the target itself, which is there and stays as it is */
		return t->type == TAR_DIR ? 0 : unpack_fail(u, e, EISDIR);
	if (!*t->path && t->type != TAR_DIR && (u->o.flags & TREE_ROOT_IS_DIR))
		return unpack_fail(u, e, ENOTDIR);
	if (r == 0)
		r = locate(u, u->path, u->leaf);
	if (r == 0)
		r = unpack_located(u, t);
	return r < 0 ? unpack_fail(u, e, -r) : 0;
}

static int on_data(struct tree_unpack *u, const struct tar_step *s, struct err *e)
{
	int r = io_pwrite_all(u->fd, s->data, s->len, s->offset);

	if (r < 0)
		return unpack_fail(u, e, -r);
	u->end = s->offset + s->len;
	u->bytes += s->len;
	progress(u);
	return 0;
}

static int on_done(struct tree_unpack *u, struct err *e)
{
	const struct tar_entry *t = &u->tar.entry;
	struct meta m = meta_of(u, t);
	int r = 0;

	if (u->fd < 0)
		return 0;
	if (u->end < t->size && ftruncate(u->fd, (off_t)t->size) < 0)
		r = -errno;
	if (r == 0)
		r = set_meta_fd(u, u->fd, &m);
	if (r < 0)
		return unpack_fail(u, e, -r);
	close(take_fd(u->fd));
	r = into_place(u);
	return r < 0 ? unpack_fail(u, e, -r) : 0;
}

static int on_step(struct tree_unpack *u, const struct tar_step *s, struct err *e)
{
	switch (s->event) {
	case TAR_ENTRY: return on_entry(u, e);
	case TAR_DATA: return on_data(u, s, e);
	case TAR_DONE: return on_done(u, e);
	case TAR_MORE:
	case TAR_END: return 0;
	}
	return 0;
}

struct tree_unpack *tree_unpack_new(const struct tree_unpack_opts *o)
{
	struct tree_unpack *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->o = *o;
	u->parent = u->fd = -1;
	u->no_openat2 = (o->flags & TREE_NO_OPENAT2) != 0;
	tar_reader_init(&u->tar);
	return u;
}

int tree_unpack_feed(struct tree_unpack *u, const void *buf, size_t len, struct err *e)
{
	const uint8_t *p = buf;
	struct tar_step s;
	int r = 0;

	do {
		if (tar_read(&u->tar, p, len, &s) < 0)
			return err_set(e, EINVAL, "%s", u->tar.why);
		p += s.used;
		len -= s.used;
		r = on_step(u, &s, e);
	} while (r == 0 && s.event != TAR_MORE && s.event != TAR_END);
	return r;
}

int tree_unpack_end(struct tree_unpack *u, struct err *e)
{
	if (!tar_may_end(&u->tar))
		return err_set(e, EINVAL, "the archive is cut short");
	while (u->n_dirs > 0) {
		int r = leave_dir(u);

		if (r < 0)
			return err_set(e, -r, "%s: %s", u->dirs_path, strerror(-r));
	}
	return 0;
}

const struct tree_left_out *tree_unpack_left_out(const struct tree_unpack *u)
{
	return &u->left_out;
}

struct tree_unpack *tree_unpack_free(struct tree_unpack *u)
{
	if (!u)
		return NULL;
	if (u->fd >= 0) {
		close(u->fd);
		(void)unlinkat(u->parent, name_now(u), 0);
	}
	if (u->parent >= 0)
		close(u->parent);
	free(u);
	return NULL;
}
