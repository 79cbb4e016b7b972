/* SPDX-License-Identifier: Apache-2.0 */
/* blobs.c - blobs by digest: those that the store keeps, and those of the layout that is being fetched.
 *
 * A blob in both is one file with two names. So the layout stays whole when somebody prunes the store, skopeo finds in its
 * destination what is here already, and the store gets a blob, whole, by link(). Skopeo writes nowhere but into the
 * layout, for it would write a manifest in place, under its digest, where another pull may be reading it.
 *
 * That a blob has the bytes of its digest is checked by who reads it; here its size is looked at, for a crash may have cut it
 * off. A file system without hard links keeps nothing, and all is fetched each time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/images/fetch.h"
#include "util/io.h"

#define NEW_BLOB ".new"

static int open_made_below(int at, const char *const *names)
{
	auto_close int dir = fcntl(at, F_DUPFD_CLOEXEC, 0);

	for (; *names && dir >= 0; names++) {
		if (mkdirat(dir, *names, 0755) < 0 && errno != EEXIST)
			return -errno;
		int next = openat(dir, *names, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return -errno;
		(void)close(dir);
		dir = next;
	}
	return dir < 0 ? -errno : take_fd(dir);
}

int blobs_open(const struct image_work *w, struct blobs *ret, struct err *e)
{
	static const char *const kept[] = {"blobs", "sha256", NULL};
	static const char *const layout[] = {"layout", "blobs", "sha256", NULL};

	*ret = (struct blobs){open_made_below(w->store, kept), open_made_below(w->fd, layout)};
	int r = min_(ret->kept, ret->layout);
	if (r >= 0)
		return 0;
	blobs_close(ret);
	return err_set(e, -r, "make directories for blobs: %s", strerror(-r));
}

void blobs_close(struct blobs *b)
{
	if (b->kept >= 0)
		(void)close(b->kept);
	if (b->layout >= 0)
		(void)close(b->layout);
	*b = (struct blobs){-1, -1};
}

int64_t blob_bytes(int dir, const char *hex)
{
	struct stat st;

	if (fstatat(dir, hex, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return -1;
	return st.st_size;
}

int blob_take(const struct blobs *b, const char *hex, uint64_t bytes)
{
	int64_t there = blob_bytes(b->kept, hex);

	if (there >= 0 && (uint64_t)there != bytes)
		(void)unlinkat(b->kept, hex, 0);
	if (there < 0 || (uint64_t)there != bytes)
		return 0;
	return linkat(b->kept, hex, b->layout, hex, 0) == 0 || errno == EEXIST;
}

void blob_keep(const struct blobs *b, const char *hex)
{
	(void)!linkat(b->layout, hex, b->kept, hex, 0);
}

int blob_put(const struct blobs *b, const char *hex, const char *data, size_t len, struct err *e)
{
	(void)unlinkat(b->layout, NEW_BLOB, 0);
	auto_close int fd =
		openat(b->layout, NEW_BLOB, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : io_write_all(fd, data, len);

	if (r == 0 && renameat(b->layout, NEW_BLOB, b->layout, hex) < 0)
		r = -errno;
	if (r < 0)
		return err_set(e, -r, "write the blob sha256:%s: %s", hex, strerror(-r));
	blob_keep(b, hex);
	return 0;
}

static int has_digest(int fd, const char *hex)
{
	char text[SHA256_TEXT_BYTES], buf[4096];
	struct sha256 sum;
	ssize_t n;

	sha256_init(&sum);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		sha256_add(&sum, buf, (size_t)n);
	sha256_end(&sum, text);
	return n == 0 && strcmp(text, hex) == 0;
}

int blob_take_checked(const struct blobs *b, const char *hex)
{
	int64_t bytes = blob_bytes(b->kept, hex);

	if (bytes < 0 || bytes > BLOB_SMALL_MAX || !blob_take(b, hex, (uint64_t)bytes))
		return 0;
	auto_close int fd = openat(b->layout, hex, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && has_digest(fd, hex))
		return 1;
	(void)unlinkat(b->layout, hex, 0);
	(void)unlinkat(b->kept, hex, 0);
	return 0;
}
