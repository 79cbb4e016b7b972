/* SPDX-License-Identifier: Apache-2.0 */
/* opened.c - from a name to the files of a disk, checked to be whole.
 *
 * A truncated file would otherwise show as I/O errors in the guest, seconds later and far from the cause. The sums of the
 * files are not taken: that would read all of an image for each box. Its manifest has the ID as its own sum, and says how many bytes
 * each file has.
 */
#include "lib/images/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/io.h"
#include "util/le.h"

#define AGAIN "; import or pull it again"

/* ---- one file ------------------------------------------------------------------------------------------ */

/* bytes: of all files of the disk, of which fd is the first. */
static int erofs_check(int fd, uint64_t bytes, const char *what, struct err *e)
{
	/* fs/erofs/erofs_fs.h, struct erofs_super_block */
	enum {
		SUPER_AT = 1024,
		SUPER_BYTES = 128,
		MAGIC_AT = 0,
		BLKSZBITS_AT = 12,
		BLOCKS_AT = 36
	};
	static const uint32_t magic = 0xE0F5E1E2;
	uint8_t sb[SUPER_BYTES];

	ssize_t n = io_pread_all(fd, sb, sizeof(sb), SUPER_AT);
	if (n < 0)
		return err_set(e, (int)-n, "read image '%s': %s", what, strerror((int)-n));
	if (n != (ssize_t)sizeof(sb) || le_get(sb + MAGIC_AT, 4) != magic)
		return err_set(e, EINVAL, "image '%s' is not an EROFS file system" AGAIN, what);
	if (sb[BLKSZBITS_AT] < 9 || sb[BLKSZBITS_AT] > 16)
		return err_set(e, EINVAL, "image '%s' has an impossible block size" AGAIN, what);

	uint64_t want = le_get(sb + BLOCKS_AT, 4) << sb[BLKSZBITS_AT];
	if (bytes < want)
		return err_set(e, EINVAL, "image '%s' is truncated: %llu of %llu bytes" AGAIN, what,
			       (unsigned long long)bytes, (unsigned long long)want);
	return 0;
}

/* A new descriptor of a regular file, and its size. Nobody waits at a pipe that somebody put there. */
static int open_regular(int at, const char *path, uint64_t *ret_bytes, const char *what,
			struct err *e)
{
	struct stat st;
	auto_close int fd = openat(at, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(e, "image '%s': %s", what, path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "image '%s': '%s' is not a regular file", what, path);
	*ret_bytes = (uint64_t)st.st_size;
	return take_fd(fd);
}

/* The disk is this file alone. */
static int take_single(struct opened_image *i, int fd, uint64_t bytes, struct err *e)
{
	i->fd[0] = fd;
	i->nfds = 1;
	int r = fd_path(fd, i->path, sizeof(i->path));
	if (r < 0)
		return err_set(e, -r, "image '%s': %s", i->name, strerror(-r));
	return erofs_check(fd, bytes, i->name, e);
}

static int open_built_in(struct opened_image *i, struct err *e)
{
	struct stat st;
	auto_close int fd = place_guest("base.erofs", e);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_errno(e, "image '%s'", i->name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "image '%s' is not a regular file", i->name);
	return take_single(i, take_fd(fd), (uint64_t)st.st_size, e);
}

static int open_former(int store, struct opened_image *i, struct err *e)
{
	char file[FORMER_BYTES];
	uint64_t bytes = 0;
	int r = former_file(i->name, file);

	if (r == 0 && strcmp(i->name, "base") == 0 &&
	    faccessat(store, file, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return open_built_in(i, e);
	int fd = r < 0 ? r : open_regular(store, file, &bytes, i->name, e);
	return fd < 0 ? fd : take_single(i, fd, bytes, e);
}

/* ---- an image of several files ------------------------------------------------------------------------- */

static int take_part(struct opened_image *i, int at, const char *path, uint64_t want, struct err *e)
{
	uint64_t bytes = 0;
	int fd = open_regular(at, path, &bytes, i->name, e);

	if (fd == -ENOENT)
		return err_set(e, ENOENT, "image '%s' lacks the file '%s'" AGAIN, i->name, path);
	if (fd < 0)
		return fd;
	i->fd[i->nfds++] = fd;
	if (bytes == want)
		return 0;
	return err_set(e, EINVAL, "image '%s': '%s' has %llu bytes instead of %llu" AGAIN, i->name,
		       path, (unsigned long long)bytes, (unsigned long long)want);
}

static int take_parts(struct opened_image *i, int dir, const struct made *m, struct err *e)
{
	char path[sizeof("../../layers/.data") + SHA256_TEXT_BYTES];
	uint64_t bytes = m->meta_bytes;
	int r = take_part(i, dir, "meta.erofs", m->meta_bytes, e);

	for (uint32_t k = 0; k < m->ndata && r == 0; k++) {
		(void)snprintf(path, sizeof(path), "../../layers/%s.data", m->data[k].diff_id);
		r = take_part(i, dir, path, m->data[k].bytes, e);
		bytes += m->data[k].bytes;
	}
	return r < 0 ? r : erofs_check(i->fd[0], bytes, i->name, e);
}

/* dir: that of the image, whose ID i has. */
static int open_made(struct opened_image *i, int dir, struct err *e)
{
	int r = fd_path(dir, i->path, sizeof(i->path));

	if (r < 0)
		return err_set(e, -r, "image '%s': %s", i->name, strerror(-r));
	auto_free struct made *m = malloc(sizeof(*m));
	if (!m)
		return err_set(e, ENOMEM, "no memory for image '%s'", i->name);
	r = made_load(dir, i->id, m, e);
	if (r < 0)
		return err_wrap(e, r, "image '%s'", i->name);
	return take_parts(i, dir, m, e);
}

static int open_made_in(int store, struct opened_image *i, struct err *e)
{
	char path[MADE_PATH_BYTES];

	made_path(i->id, path);
	auto_close int dir = openat(store, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0 && errno == ENOENT)
		return err_set(e, ENOENT, "image '%s' has a name, but nothing is behind it" AGAIN,
			       i->name);
	return dir < 0 ? err_errno(e, "image '%s'", i->name) : open_made(i, dir, e);
}

static void opened_init(struct opened_image *i)
{
	i->name[0] = i->id[0] = i->path[0] = 0;
	i->nfds = 0;
}

static int open_found(int store, const char *name, struct opened_image *i, struct err *e)
{
	int r = image_find(store, name, i->name, i->id, e);

	if (r < 0)
		return r;
	return *i->id ? open_made_in(store, i, e) : open_former(store, i, e);
}

/* Its name may be given to another image, and this one be removed, while we look: without a lock, for that would wait for who
 * writes to disk. */
static int open_named(const char *name, struct opened_image *i, struct err *e)
{
	char id[IMAGE_ID_BYTES] = "";
	auto_close int store = place_images(e);
	int r;

	if (store < 0)
		return store;
	for (;;) {
		r = open_found(store, name, i, e);
		if (r != -ENOENT || strcmp(id, i->id) == 0)
			return r;
		memcpy(id, i->id, sizeof(id));
		image_close(i);
	}
}

int image_open(const char *name, struct opened_image *ret, struct err *e)
{
	int r;

	opened_init(ret);
	if (name) {
		r = open_named(name, ret, e);
	} else {
		(void)snprintf(ret->name, sizeof(ret->name), "base");
		r = open_built_in(ret, e);
	}
	if (r < 0)
		image_close(ret);
	return r;
}

int image_open_made(const char *path, struct opened_image *ret, struct err *e)
{
	const char *id = strrchr(path, '/');

	opened_init(ret);
	if (!id || !sha256_is_at(id + 1) || strlen(id + 1) != IMAGE_ID_BYTES - 1)
		return err_set(e, EINVAL, "'%s' is no image", path);
	(void)snprintf(ret->name, sizeof(ret->name), "%s", id + 1);
	memcpy(ret->id, id + 1, IMAGE_ID_BYTES);
	auto_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_set(e, ENOENT, "image '%.12s' is not here any more" AGAIN, ret->id);
	int r = dir < 0 ? err_errno(e, "image '%s'", path) : open_made(ret, dir, e);
	if (r < 0)
		image_close(ret);
	return r;
}

void image_close(struct opened_image *i)
{
	for (int k = 0; k < i->nfds; k++)
		if (i->fd[k] >= 0)
			(void)close(i->fd[k]);
	i->nfds = 0;
}
