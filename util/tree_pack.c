/* SPDX-License-Identifier: Apache-2.0 */
/* tree_pack.c - a tree of files as a tar stream. See tree.h. */
#include "util/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/tar.h"

enum {
	BUFFER_BYTES = 64 << 10,
	PLAIN_DEVS = 8,
	WHOLE_MAX_BYTES = 64 << 20, /* of a file whose size the file system does not know */
	LINK_BUCKETS = 4096,
};

struct link_name { /* of a file with several names, the first that was met */
	struct link_name *next;
	dev_t dev;
	ino_t ino;
	char path[];
};

struct walk {
	dev_t plain[PLAIN_DEVS]; /* known to be none of the kernel's */
	size_t n_plain;
	struct tree_pack *p;
	struct err *e;
	struct tar_entry *entry; /* its path is the walk's current one */
	size_t path_len;
	int depth;
	uint64_t bytes; /* of contents, so far */
	struct link_name *links[LINK_BUCKETS];
	size_t n_links;
	dev_t dev;      /* of the directory that the walk is in */
	uint8_t *whole; /* a file that is read before its size is told */
	size_t whole_cap;
	size_t n; /* in buf */
	uint8_t buf[BUFFER_BYTES];
};

static void walk_free(struct walk *w)
{
	for (size_t i = 0; i < LINK_BUCKETS; i++)
		while (w->links[i]) {
			struct link_name *l = w->links[i];

			w->links[i] = l->next;
			free(l);
		}
	free(w->whole);
	free(w->entry);
	free(w);
}

static int fail_at(struct walk *w, int code)
{
	return err_set(w->e, code, "%s: %s", w->p->path, strerror(code));
}

/* Names the file: by its path in the archive below the top's own. */
static int walk_fail(struct walk *w, int code)
{
	const char *below = w->entry->path + strlen(w->p->name);
	size_t n = strlen(w->p->path);

	while (*below == '/' && n > 0 && w->p->path[n - 1] == '/')
		n--;
	return err_set(w->e, code, "%.*s%s: %s", (int)n, w->p->path, below, strerror(code));
}

static int append(struct walk *w, const char *name)
{
	size_t n = strlen(name);

	if (n > TAR_NAME_BYTES - 2 - w->path_len) /* a directory gets a slash behind it */
		return walk_fail(w, ENAMETOOLONG);
	memcpy(w->entry->path + w->path_len, name, n + 1);
	w->path_len += n;
	return 0;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static int flush(struct walk *w)
{
	size_t n = w->n;

	w->n = 0;
	int r = n ? w->p->put(w->p->arg, w->buf, n) : 0;
	return r < 0 ? err_set(w->e, -r, "send the archive: %s", strerror(-r)) : 0;
}

static int reserve(struct walk *w, size_t n)
{
	return n > BUFFER_BYTES - w->n ? flush(w) : 0;
}

static int walk_put(struct walk *w, const void *data, size_t n)
{
	int r = reserve(w, n);

	if (r == 0) {
		memcpy(w->buf + w->n, data, n);
		w->n += n;
	}
	return r;
}

static int zeros(struct walk *w, uint64_t n)
{
	int r = 0;

	while (n > 0 && r == 0) {
		r = reserve(w, 1);
		if (r < 0)
			break;
		size_t k = (size_t)min_((uint64_t)(BUFFER_BYTES - w->n), n);
		memset(w->buf + w->n, 0, k);
		w->n += k;
		n -= k;
	}
	return r;
}

static void progress(struct walk *w)
{
	if (w->p->progress)
		w->p->progress(w->bytes, w->entry->path, w->p->arg);
}

/* n bytes of fd at offset, straight into the buffer; what is not there (any more) reads as
 * zeros. */
static int data(struct walk *w, int fd, uint64_t offset, uint64_t n)
{
	while (n > 0) {
		int r = reserve(w, 1);
		if (r < 0)
			return r;
		size_t room = (size_t)min_((uint64_t)(BUFFER_BYTES - w->n), n);
		ssize_t k = pread(fd, w->buf + w->n, room, (off_t)offset);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return walk_fail(w, errno);
		if (k == 0) {
			tree_leave_out(&w->p->shrank, w->entry->path);
			return zeros(w, n);
		}
		w->n += (size_t)k;
		offset += (size_t)k;
		n -= (size_t)k;
		w->bytes += (size_t)k;
		progress(w);
	}
	return 0;
}

/* ---- entries --------------------------------------------------------------------------------- */

static void entry_set(struct walk *w, enum tar_type type, const struct stat *st)
{
	struct tar_entry *t = w->entry;

	t->type = type;
	t->mode = st->st_mode & 07777;
	t->uid = w->p->flags & TREE_ALL_ROOT ? 0 : st->st_uid;
	t->gid = w->p->flags & TREE_ALL_ROOT ? 0 : st->st_gid;
	t->mtime_s = st->st_mtim.tv_sec;
	t->mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
	t->size = type == TAR_FILE ? (uint64_t)st->st_size : 0;
	t->major = t->minor = 0;
	t->sparse = 0;
	t->n_segments = 0;
	t->link[0] = 0;
}

static int head(struct walk *w)
{
	int r = reserve(w, TAR_HEAD_MAX_BYTES);

	if (r == 0)
		w->n += tar_head(w->entry, w->buf + w->n);
	progress(w);
	return r;
}

/* What the packer has to say of the file before its head. */
static int before(struct walk *w, int fd)
{
	const uint8_t *piece;
	ssize_t n = w->p->before ? w->p->before(fd, &piece, w->p->arg) : 0;

	if (n < 0)
		return walk_fail(w, (int)-n);
	for (size_t done = 0, k; done < (size_t)n; done += k) {
		k = min_((size_t)n - done, (size_t)BUFFER_BYTES);
		int r = walk_put(w, piece + done, k);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Looks for holes; what does not fit the map is stored with them. Files without any, and file systems that
 * do not tell, come out as one stretch of data, which is no map. */
static void find_holes(struct tar_entry *t, int fd)
{
	uint64_t at = 0;

	while (at < t->size && t->n_segments < TAR_SEGMENTS_MAX - 1) {
		off_t from = lseek(fd, (off_t)at, SEEK_DATA);
		off_t to = from < 0 ? -1 : lseek(fd, from, SEEK_HOLE);

		if (from < 0 && errno != ENXIO) {
			t->n_segments = 0;
			return;
		}
		if (from < 0 || (uint64_t)from >= t->size)
			break;
		at = to > from && (uint64_t)to < t->size ? (uint64_t)to : t->size;
		if (t->n_segments == TAR_SEGMENTS_MAX - 2)
			at = t->size;
		t->segments[t->n_segments++] =
			(struct tar_segment){(uint64_t)from, at - (uint64_t)from};
	}
	t->sparse = t->n_segments != 1 || t->segments[0].bytes != t->size;
	const struct tar_segment *last = t->n_segments ? &t->segments[t->n_segments - 1] : NULL;
	/* GNU tar takes the end of the map for the end of the file. */
	if (t->sparse && (!last || last->offset + last->bytes < t->size))
		t->segments[t->n_segments++] = (struct tar_segment){t->size, 0};
}

static int sparse_map(struct walk *w)
{
	char line[TAR_LINE_MAX_BYTES];
	uint64_t bytes = 0;
	int r = 0;

	for (size_t i = 0; i <= w->entry->n_segments && r == 0; i++) {
		size_t n = tar_map_line(w->entry, i, line);

		bytes += n;
		r = walk_put(w, line, n);
	}
	return r < 0 ? r : zeros(w, tar_padding(bytes));
}

static int contents(struct walk *w, int fd)
{
	const struct tar_entry *t = w->entry;
	int r = 0;

	if (!t->sparse)
		return data(w, fd, 0, t->size);
	r = sparse_map(w);
	for (size_t i = 0; i < t->n_segments && r == 0; i++)
		r = data(w, fd, t->segments[i].offset, t->segments[i].bytes);
	return r;
}

/* The first name of a file with several becomes the file, the others links to it. 1: it was one. */
static int hard_link(struct walk *w, const struct stat *st)
{
	struct link_name **bucket = &w->links[(st->st_ino ^ st->st_dev) % LINK_BUCKETS];

	if (st->st_nlink < 2)
		return 0;
	for (const struct link_name *l = *bucket; l; l = l->next)
		if (l->ino == st->st_ino && l->dev == st->st_dev) {
			entry_set(w, TAR_HARDLINK, st);
			memcpy(w->entry->link, l->path, strlen(l->path) + 1);
			int r = head(w);
			return r < 0 ? r : 1;
		}
	struct link_name *l =
		w->n_links < TREE_LINKS_MAX ? malloc(sizeof(*l) + w->path_len + 1) : NULL;
	if (!l)
		return 0; /* its other names become copies */
	*l = (struct link_name){.next = *bucket, .dev = st->st_dev, .ino = st->st_ino};
	memcpy(l->path, w->entry->path, w->path_len + 1);
	*bucket = l;
	w->n_links++;
	return 0;
}

/* ---- files that are read first --------------------------------------------------------------- */

static int more_room(struct walk *w)
{
	size_t cap = w->whole_cap ? 2 * w->whole_cap : (size_t)2 * BUFFER_BYTES;
	uint8_t *p = cap > WHOLE_MAX_BYTES ? NULL : realloc(w->whole, cap);

	if (!p)
		return walk_fail(w, cap > WHOLE_MAX_BYTES ? EFBIG : ENOMEM);
	w->whole = p;
	w->whole_cap = cap;
	return 0;
}

/* Whether it has grown since its size was asked for, rather than that its file system tells none:
 * then the size that it has by now is one. */
static int has_grown(int fd, size_t n, uint64_t *size)
{
	struct stat st;

	if (n <= *size || fstat(fd, &st) < 0 || (uint64_t)st.st_size < n)
		return 0;
	*size = (uint64_t)st.st_size;
	return 1;
}

/* Reads up to the end, or until the size is known to be one: *size, *ret_n bytes of it in w->whole.
 * -ENOENT: what it tells of has gone, as a process has behind a file of /proc. */
static int read_first(struct walk *w, int fd, uint64_t *size, size_t *ret_n)
{
	size_t n = 0;
	ssize_t k;

	for (;;) {
		if (n == w->whole_cap && n > 0 && has_grown(fd, n, size))
			break;
		int r = n == w->whole_cap ? more_room(w) : 0;
		if (r < 0)
			return r;
		k = read(fd, w->whole + n, w->whole_cap - n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return errno == ESRCH || errno == ENODEV ? -ENOENT : walk_fail(w, errno);
		if (k == 0) {
			*size = n;
			break;
		}
		n += (size_t)k;
	}
	*ret_n = n;
	return 0;
}

/* A file whose size may be none: /proc says 0 of all of its files, /sys 4096; what is small may as
 * well have changed. The archive has the size in front of the bytes. */
static int pack_unsized(struct walk *w, int fd)
{
	size_t n = 0;
	int r = read_first(w, fd, &w->entry->size, &n);

	if (r == 0)
		r = head(w);
	for (size_t done = 0, k; done < n && r == 0; done += k) {
		k = min_(n - done, (size_t)BUFFER_BYTES);
		r = walk_put(w, w->whole + done, k);
		w->bytes += k;
	}
	if (r == 0)
		progress(w);
	return r < 0 ? r : data(w, fd, n, w->entry->size - n);
}

/* ---- by type --------------------------------------------------------------------------------- */

static int pack_file(struct walk *w, int fd, const struct stat *st)
{
	int r = hard_link(w, st);

	if (r != 0)
		return min_(r, 0);
	entry_set(w, TAR_FILE, st);
	if ((uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size) {
		find_holes(w->entry, fd);
		(void)lseek(fd, 0, SEEK_SET);
	}
	r = before(w, fd);
	if (r < 0)
		return r;
	if (!w->entry->sparse && w->entry->size <= BUFFER_BYTES) {
		r = pack_unsized(w, fd);
	} else {
		r = head(w);
		if (r == 0)
			r = contents(w, fd);
	}
	return r < 0 ? r : zeros(w, tar_padding(tar_payload_bytes(w->entry)));
}

static int pack_symlink(struct walk *w, int dir, const char *name, const struct stat *st)
{
	int r = hard_link(w, st);

	if (r != 0)
		return min_(r, 0);
	entry_set(w, TAR_SYMLINK, st);
	ssize_t n = readlinkat(dir, name, w->entry->link, TAR_NAME_BYTES - 1);
	if (n < 0)
		return errno == ENOENT ? 0 : walk_fail(w, errno);
	w->entry->link[n] = 0;
	return head(w);
}

static int pack_special(struct walk *w, const struct stat *st)
{
	enum tar_type type = S_ISFIFO(st->st_mode)  ? TAR_FIFO
			     : S_ISCHR(st->st_mode) ? TAR_CHAR
						    : TAR_BLOCK;

	if (S_ISSOCK(st->st_mode)) {
		tree_leave_out(&w->p->left_out, w->entry->path);
		return 0;
	}
	entry_set(w, type, st);
	if (type != TAR_FIFO) {
		w->entry->major = major(st->st_rdev);
		w->entry->minor = minor(st->st_rdev);
	}
	return head(w);
}

static int pack_dir(struct walk *w, int fd, const struct stat *st);

/* An overlay has a device of its own for the files of each layer: all of them would be looked up,
 * one by one. */
static int is_kernels(struct walk *w, dev_t dev)
{
	for (size_t i = 0; i < min_(w->n_plain, (size_t)PLAIN_DEVS); i++)
		if (w->plain[i] == dev)
			return 0;
	if (tree_is_kernels(dev))
		return 1;
	w->plain[w->n_plain++ % PLAIN_DEVS] = dev;
	return 0;
}

/* What the kernel shows below the tree is nobody's files: the place stays, as it is in the tree
 * without the mount. */
static int pack_mount(struct walk *w, const struct stat *st)
{
	tree_leave_out(&w->p->mounts, w->entry->path);
	if (!S_ISDIR(st->st_mode))
		return 0;
	int r = append(w, "/");
	if (r < 0)
		return r;
	entry_set(w, TAR_DIR, st);
	return head(w);
}

/* What fd is open on, and it may be anything. */
static int pack_fd(struct walk *w, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return walk_fail(w, errno);
	if (S_ISDIR(st.st_mode))
		return pack_dir(w, fd, &st);
	return S_ISREG(st.st_mode) ? pack_file(w, fd, &st) : pack_special(w, &st);
}

/* Only files and directories are opened: opening a fifo or a device would do something. */
static int pack_at(struct walk *w, int dir, const char *name, int follow)
{
	struct stat st;

	if (fstatat(dir, name, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? -ENOENT : walk_fail(w, errno);
	if (w->depth > 0 && st.st_dev != w->dev && is_kernels(w, st.st_dev))
		return pack_mount(w, &st);
	if (S_ISLNK(st.st_mode))
		return pack_symlink(w, dir, name, &st);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return pack_special(w, &st);
	int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);
	auto_close int fd = openat(dir, name, flags);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : walk_fail(w, errno);
	return pack_fd(w, fd);
}

static int pack_names(struct walk *w, DIR *d)
{
	size_t base = w->path_len;
	struct dirent *de;
	int r = 0;

	for (errno = 0; r == 0 && (de = readdir(d)); errno = 0) {
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		r = append(w, de->d_name);
		if (r == 0)
			r = pack_at(w, dirfd(d), de->d_name, 0);
		if (r == -ENOENT)
			r = 0; /* it went away while we walked */
		w->path_len = base;
		w->entry->path[base] = 0;
	}
	return r == 0 && errno ? walk_fail(w, errno) : r;
}

static int pack_dir(struct walk *w, int fd, const struct stat *st)
{
	int r = w->depth == TREE_DEPTH_MAX ? walk_fail(w, ELOOP) : append(w, "/");

	if (r < 0)
		return r;
	entry_set(w, TAR_DIR, st);
	r = before(w, fd);
	if (r == 0)
		r = head(w);
	if (r < 0)
		return r;
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	DIR *d = own < 0 ? NULL : fdopendir(own);
	if (!d) {
		r = walk_fail(w, errno);
		if (own >= 0)
			close(own);
		return r;
	}
	dev_t above = w->dev;
	w->dev = st->st_dev;
	w->depth++;
	r = pack_names(w, d);
	w->depth--;
	w->dev = above;
	closedir(d);
	return r;
}

static int pack(struct walk *w)
{
	int r = append(w, w->p->name);

	if (r == 0)
		r = pack_at(w, AT_FDCWD, w->p->path, w->p->flags & TREE_FOLLOW);
	if (r == -ENOENT)
		r = fail_at(w, ENOENT);
	if (r == 0)
		r = zeros(w, TAR_END_BYTES);
	return r < 0 ? r : flush(w);
}

int tree_pack(struct tree_pack *p, struct err *e)
{
	struct walk *w = calloc(1, sizeof(*w));

	if (!w)
		return err_set(e, ENOMEM, "no memory");
	w->p = p;
	w->e = e;
	w->entry = calloc(1, sizeof(*w->entry));
	int r = w->entry ? pack(w) : err_set(e, ENOMEM, "no memory");
	walk_free(w);
	return r;
}
