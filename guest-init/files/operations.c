/* SPDX-License-Identifier: Apache-2.0 */
/* operations.c - the program that works on a box's files: one operation, and its end. See proto/files.h.
 *
 * It is started by init inside the box and trusted by nobody: what it may do is what its user may do, and what
 * it prints the host checks. It may block and allocate like any program. Everything that a user can be asked for
 * is bounded: names by FILES_STRING_MAX, depth by TREE_DEPTH_MAX and REMOVE_DEPTH_MAX, memory by the tree of
 * hard links (a name each).
 */
#include "guest-init/files/operations.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/files.h"
#include "util/clean.h"
#include "util/cleanup.h"
#include "util/io.h"
#include "util/num.h"
#include "util/tree.h"

enum {
	BUFFER_BYTES = 64 << 10,
	MODE_DEFAULT = 0644,
};

int files_send(const void *buf, size_t len)
{
	return io_write_all(STDOUT_FILENO, buf, len);
}

int files_write_out(int fd, const char *path, const void *buf, size_t len, struct err *e)
{
	int r = io_write_all(fd, buf, len);

	return r < 0 ? err_set(e, -r, "%s: %s", path, strerror(-r)) : 0;
}

static int operation_fail(struct err *e, const char *path)
{
	return err_errno(e, "%s", path);
}

static int number_of(const char *s, unsigned base, uint64_t max, uint64_t *ret, struct err *e)
{
	return num_parse(s, strlen(s), base, max, ret) < 0
		       ? err_set(e, EINVAL, "%s: not a number that fits", s)
		       : 0;
}

/* ---- contents ------------------------------------------------------------------------------------- */

int files_read(int argc, char **argv, struct err *e)
{
	static char buf[BUFFER_BYTES];
	const char *path = argv[1];
	uint64_t max, sent = 0;
	struct stat st;
	ssize_t n;

	(void)argc;
	if (number_of(argv[2], 10, UINT64_MAX, &max, e) < 0)
		return -EINVAL;
	/* A fifo without a writer is empty rather than waited for. */
	auto_close int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return operation_fail(e, path);
	/* A size without blocks may be none: /sys says 4096 of each of its files. */
	if (S_ISREG(st.st_mode) && st.st_blocks && (uint64_t)st.st_size > max)
		return err_set(e, EFBIG, "%s: larger than %" PRIu64 " bytes", path, max);
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		if ((uint64_t)n > max - sent)
			return err_set(e, EFBIG, "%s: larger than %" PRIu64 " bytes", path, max);
		int r = files_send(buf, (size_t)n);
		if (r < 0)
			return err_set(e, -r, "send: %s", strerror(-r));
		sent += (uint64_t)n;
	}
	return n < 0 ? operation_fail(e, path) : 0;
}

static int receive(int fd, uint64_t len, const char *path, struct err *e)
{
	static char buf[BUFFER_BYTES];

	while (len > 0) {
		ssize_t n = read(STDIN_FILENO, buf, (size_t)min_(len, (uint64_t)sizeof(buf)));

		if (n == 0)
			return err_set(e, ECANCELED, "%s: only a part of it arrived", path);
		if (n < 0)
			return err_errno(e, "receive");
		int r = files_write_out(fd, path, buf, (size_t)n, e);
		if (r < 0)
			return r;
		len -= (uint64_t)n;
	}
	return 0;
}

/* What a process of our number left that was killed may still be there. */
static int make_temp(int dir, char ret[48])
{
	enum { TRIES = 100, FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC };
	struct timespec now;
	int fd = -1;

	for (int i = 0; i < TRIES && fd < 0 && (i == 0 || errno == EEXIST); i++) {
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		(void)snprintf(ret, 48, ".conker-%d-%lld-%ld-w", (int)getpid(),
			       (long long)now.tv_sec, now.tv_nsec);
		fd = openat(dir, ret, FLAGS, 0600);
	}
	return fd;
}

/* The new file, under a name of its own, becomes the old one: with its mode, and if we may, its owner. */
static int write_new(int dir, const char *leaf, const char *path, unsigned mode, uint64_t len,
		     struct err *e)
{
	char temp[48];
	struct stat old;
	int there = fstatat(dir, leaf, &old, AT_SYMLINK_NOFOLLOW) == 0;

	if (there && S_ISDIR(old.st_mode))
		return err_set(e, EISDIR, "%s: %s", path, strerror(EISDIR));
	if (mode == 0)
		mode = there ? old.st_mode & 07777 : MODE_DEFAULT;
	auto_close int fd = make_temp(dir, temp);
	if (fd < 0)
		return operation_fail(e, path);
	int r = receive(fd, len, path, e);
	if (r == 0) {
		if (there)
			(void)!fchown(fd, old.st_uid, old.st_gid);
		if (fchmod(fd, mode) < 0 || renameat(dir, temp, dir, leaf) < 0)
			r = operation_fail(e, path);
	}
	if (r < 0)
		(void)unlinkat(dir, temp, 0);
	return r;
}

static int write_into(const char *path, uint64_t len, struct err *e)
{
	auto_close int fd = tree_open_special(path, 0, e);

	return fd < 0 ? fd : receive(fd, len, path, e);
}

int files_write(int argc, char **argv, struct err *e)
{
	char real[PATH_MAX], leaf[256];
	const char *path = argv[1];
	uint64_t mode, len;

	(void)argc;
	if (number_of(argv[2], 8, 07777, &mode, e) < 0 ||
	    number_of(argv[3], 10, INT64_MAX, &len, e) < 0)
		return -EINVAL;
	if (tree_is_special(path))
		return write_into(path, len, e);
	int r = tree_follow(path, real);
	if (r == 0)
		r = tree_leaf(real, leaf);
	if (r == 0 && !*leaf)
		r = -EISDIR;
	auto_close int dir = r < 0 ? r : tree_open_parent(real);
	if (dir < 0)
		return err_set(e, -dir, "%s: %s", path, strerror(-dir));
	return write_new(dir, leaf, path, (unsigned)mode, len, e);
}

/* ---- what is there -------------------------------------------------------------------------------- */

struct replies {
	size_t n;
	uint8_t buf[BUFFER_BYTES];
};

static int replies_flush(struct replies *q)
{
	size_t n = q->n;

	q->n = 0;
	return files_send(q->buf, n);
}

static int reply(struct replies *q, int dir, const char *at, const char *name)
{
	static char target[FILES_STRING_MAX + 1];
	struct stat st;
	ssize_t n = 0;

	if (fstatat(dir, at, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		n = readlinkat(dir, at, target, FILES_STRING_MAX);
	target[n > 0 ? n : 0] = 0;

	struct files_record r = {
		.kind = FILES_ENTRY,
		.mode = st.st_mode,
		.uid = st.st_uid,
		.gid = st.st_gid,
		.nlink = (uint32_t)st.st_nlink,
		.bytes = (uint64_t)st.st_size,
		.allocated_bytes = (uint64_t)st.st_blocks * 512,
		.mtime_us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000,
		.name = name,
		.target = target,
	};
	if (sizeof(q->buf) - q->n < FILES_RECORD_MAX) {
		int sent = replies_flush(q);
		if (sent < 0)
			return sent;
	}
	int bytes = files_put(&r, q->buf + q->n);
	q->n += bytes > 0 ? (size_t)bytes : 0;
	return bytes < 0 ? bytes : 0;
}

static struct replies replies;

int files_stat(int argc, char **argv, struct err *e)
{
	(void)argc;
	int r = reply(&replies, AT_FDCWD, argv[1], argv[1]);

	if (r == 0)
		r = replies_flush(&replies);
	return r < 0 ? err_set(e, -r, "%s: %s", argv[1], strerror(-r)) : 0;
}

int files_list(int argc, char **argv, struct err *e)
{
	DIR *d = opendir(argv[1]);
	struct dirent *de;
	int r = 0;

	(void)argc;
	if (!d)
		return operation_fail(e, argv[1]);
	for (errno = 0; r == 0 && (de = readdir(d)); errno = 0) {
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		r = reply(&replies, dirfd(d), de->d_name, de->d_name);
		if (r == -ENOENT)
			r = 0; /* gone again */
	}
	if (r == 0)
		r = -errno;
	closedir(d);
	if (r == 0)
		r = replies_flush(&replies);
	return r < 0 ? err_set(e, -r, "%s: %s", argv[1], strerror(-r)) : 0;
}

/* ---- names ---------------------------------------------------------------------------------------- */

int files_mkdir(int argc, char **argv, struct err *e)
{
	int parents = strchr(argv[0], 'p') != NULL;
	uint64_t mode;
	struct stat st;
	int r = 0;

	(void)argc;
	if (number_of(argv[2], 8, 07777, &mode, e) < 0)
		return -EINVAL;
	if (parents)
		r = tree_make_parents(argv[1]);
	if (r == 0 && mkdir(argv[1], (mode_t)mode) < 0)
		r = -errno;
	if (r == -EEXIST && parents && stat(argv[1], &st) == 0 && S_ISDIR(st.st_mode))
		r = 0;
	return r < 0 ? err_set(e, -r, "%s: %s", argv[1], strerror(-r)) : 0;
}

int files_rename(int argc, char **argv, struct err *e)
{
	(void)argc;
	return rename(argv[1], argv[2]) < 0 ? err_errno(e, "%s to %s", argv[1], argv[2]) : 0;
}

/* ---- trees ---------------------------------------------------------------------------------------- */

static int tar_put(void *arg, const void *buf, size_t len)
{
	(void)arg;
	return files_send(buf, len);
}

int files_tar_out(int argc, char **argv, struct err *e)
{
	struct tree_pack p = {
		.path = argv[1],
		.name = argv[2],
		.flags = strchr(argv[0], 'L') ? TREE_FOLLOW : 0,
		.put = tar_put,
	};

	char note[ERR_MSG_BYTES];

	(void)argc;
	int r = tree_pack(&p, e);
	if (r == 0)
		r = tree_pack_lacks(&p, e);
	if (r < 0)
		return r;
	tree_pack_note(&p, note, sizeof(note));
	clean_text(note);
	if (*note)
		(void)dprintf(STDERR_FILENO, "%s\n", note);
	return 0;
}

static int unpack_stdin(struct tree_unpack *u, struct err *e)
{
	static char buf[BUFFER_BYTES];
	int r = 0;
	ssize_t n;

	while (r == 0 && (n = read(STDIN_FILENO, buf, sizeof(buf))) != 0) {
		if (n < 0)
			return err_errno(e, "receive");
		r = tree_unpack_feed(u, buf, (size_t)n, e);
	}
	return r < 0 ? r : tree_unpack_end(u, e);
}

/* The directory to unpack into, and the one name below it that all is to be put under, or "". */
static int destination(const char *flags, const char *dest, const char *leaf, char ret_prefix[256],
		       int *tree_flags)
{
	int r = 0;

	ret_prefix[0] = 0;
	if (strlen(leaf) > 255)
		return -ENAMETOOLONG;
	if (strchr(flags, 'p'))
		r = tree_make_parents(dest);
	if (r < 0)
		return r;
	if (strchr(flags, 'c'))
		return tree_destination(dest, leaf, ret_prefix, tree_flags);
	if (strchr(flags, 'p') && mkdir(dest, 0755) < 0 && errno != EEXIST && errno != EISDIR)
		return -errno;
	r = open(dest, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

int files_tar_in(int argc, char **argv, struct err *e)
{
	char prefix[256];
	const char *flags = argv[0];
	int tree_flags = TREE_DEVICES | (strchr(flags, 'o') ? TREE_OWNERS : 0) |
			 (strchr(flags, 'n') ? TREE_NO_CLOBBER : 0);

	if (strchr(flags, 'c') && tree_is_special(argv[1]))
		return files_tar_into(argv[1], tree_flags, e);
	auto_close int dir =
		destination(flags, argv[1], argc > 2 ? argv[2] : "", prefix, &tree_flags);
	if (dir < 0)
		return err_set(e, -dir, "%s: %s", argv[1], strerror(-dir));

	struct tree_unpack_opts o = {
		.dir = dir,
		.prefix = prefix,
		.flags = tree_flags,
	};
	struct tree_unpack *u = tree_unpack_new(&o);
	if (!u)
		return err_set(e, ENOMEM, "no memory");
	int r = unpack_stdin(u, e);
	if (r == 0)
		r = tree_lacks(tree_unpack_left_out(u), e);
	tree_unpack_free(u);
	return r;
}
