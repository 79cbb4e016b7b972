/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c - a directory of this host as an archive, for conker-image, which reads archives only.
 *
 * The files are the user's own, and so is what he may read of them: names, modes, times, links, holes, and the extended attributes
 * that mean something in a box. Owners are kept for root alone: anybody else's files can only have been meant to be root's. Sockets and
 * what the kernel shows (proc, sysfs) are left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/images/store.h"
#include "util/io.h"
#include "util/tar.h"
#include "util/tree.h"

enum { NAMES_BYTES = 64 << 10, VALUE_BYTES = 64 << 10, TELL_EVERY_MS = 100 };

struct packing {
	int to;
	uint64_t bytes;
	int64_t told_ms;
	struct image_watch *watch;
	struct err *e;
	int told; /* what telling returned, if that ended it */
	char names[NAMES_BYTES];
	uint8_t value[VALUE_BYTES];
	uint8_t records[TAR_BLOCK_BYTES + TAR_XATTR_BYTES + TAR_BLOCK_BYTES];
};

static int packing_put(void *arg, const void *buf, size_t len)
{
	struct packing *p = arg;
	int64_t now = now_ms();
	int r = io_write_all(p->to, buf, len);

	p->bytes += len;
	p->watch->now.done_bytes = p->bytes;
	if (r == 0 && now - p->told_ms >= TELL_EVERY_MS) {
		p->told_ms = now;
		r = p->told = image_tell(p->watch, p->e);
	}
	return r;
}

static int is_wanted(const char *name)
{
	return strncmp(name, "user.", 5) == 0 || strncmp(name, "trusted.", 8) == 0 ||
	       strcmp(name, "security.capability") == 0;
}

/* What cannot be read, or has no room, the image does without. */
static size_t packing_xattr(struct packing *p, int fd, const char *name, uint8_t *to, size_t room)
{
	ssize_t n = fgetxattr(fd, name, p->value, sizeof(p->value));
	struct tar_xattr x = {.name = name, .value = p->value, .len = (size_t)n};

	return n < 0 ? 0 : tar_xattr(&x, to, room);
}

static ssize_t packing_before(int fd, const uint8_t **ret, void *arg)
{
	struct packing *p = arg;
	ssize_t n = flistxattr(fd, p->names, sizeof(p->names));
	uint8_t *to = p->records + TAR_BLOCK_BYTES;
	size_t len = 0;

	for (const char *s = p->names; n > 0 && s < p->names + n; s += strlen(s) + 1)
		if (is_wanted(s))
			len += packing_xattr(p, fd, s, to + len, TAR_XATTR_BYTES - len);
	if (len == 0)
		return 0;
	tar_xattr_head(len, p->records);
	memset(to + len, 0, tar_padding(len));
	*ret = p->records;
	return (ssize_t)(TAR_BLOCK_BYTES + len + tar_padding(len));
}

static int check_not_empty(const char *path, struct err *e)
{
	auto_dir *d = dir_stream(AT_FDCWD, path);
	int n = 0;

	if (!d)
		return err_errno(e, "%s", path);
	while (n <= 2 && readdir(d))
		n++;
	return n > 2 ? 0 : err_set(e, EINVAL, "the directory is empty");
}

static int pack_to(struct packing *p, const char *path, struct err *e)
{
	struct tree_pack tree = {.path = path,
				 .name = ".",
				 .flags = TREE_FOLLOW | (geteuid() == 0 ? 0 : TREE_ALL_ROOT),
				 .put = packing_put,
				 .before = packing_before,
				 .arg = p};
	int r = tree_pack(&tree, e);

	if (r == 0 && tree.shrank.count > 0)
		return tree_pack_lacks(&tree, e);
	if (p->told < 0)
		return err_set(e, -p->told, "cancelled");
	return r;
}

int image_pack(const struct image_work *w, const char *path, struct image_watch *watch,
	       struct err *e)
{
	auto_close int fd = openat(w->fd, "archive", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r = fd < 0 || unlinkat(w->fd, "archive", 0) < 0
			? err_errno(e, "make a file beside the images")
			: check_not_empty(path, e);

	if (r < 0)
		return r;
	auto_free struct packing *p = malloc(sizeof(*p));
	if (!p)
		return err_set(e, ENOMEM, "no memory to read a directory");
	p->to = fd;
	p->bytes = 0;
	p->told_ms = 0;
	p->told = 0;
	p->watch = watch;
	p->e = e;
	watch->now.step = CONKER_IMAGE_UNPACK;
	r = pack_to(p, path, e);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = err_errno(e, "read a directory");
	return r < 0 ? r : take_fd(fd);
}
