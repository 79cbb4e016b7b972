/* SPDX-License-Identifier: Apache-2.0 */
/* disk.c - a file that is a box's disk has one writer, or any number of readers.
 *
 * The lock belongs to the open file description that the VMM is given (F_OFD_SETLK): it is there before the VMM
 * is, ends with the last process that has the description, whatever becomes of the starter, and no other close() of
 * the file loses it. A suspended box holds none: its resume takes it anew.
 *
 * Limits: between programs that ask, as all boxes do; a file system without locks has none, and there nobody is
 * refused.
 */
#include "lib/box/snapshot.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* A VMM that ends lets go of its disks moments after its box is over. */
enum { RETRIES = 20, RETRY_MS = 10 };

static int disk_is_same(const struct identity *a, const struct identity *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

/* Has the box in dir this file, in a way that shuts us out? */
static int has_disk(int dir, const struct identity *is, int ro, struct manifest *m)
{
	char *text = NULL;
	int found = 0;

	if (manifest_load(dir, "manifest", m, &text, NULL) == 0)
		for (uint64_t i = 0; i < m->ndisks; i++)
			found |= disk_is_same(&m->disk[i].is, is) && !(ro && m->disk[i].ro);
	free(text);
	return found;
}

/* Which box is it? "" if it is none of this user's. */
static void disk_find_holder(const struct identity *is, int ro, struct manifest *m,
			     char ret[NAME_BYTES])
{
	char(*names)[NAME_BYTES] = NULL;
	auto_close int reg = place_boxes(NULL);
	size_t n = 0;
	pid_t vmm;

	*ret = 0;
	if (reg < 0 || registry_names(&names, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n && !*ret; i++) {
		auto_close int dir = openat(reg, names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (dir >= 0 && registry_liveness(dir, &vmm) > BOX_OVER && vmm > 0 &&
		    has_disk(dir, is, ro, m))
			memcpy(ret, names[i], NAME_BYTES);
	}
	free(names);
}

static int disk_refuse(const struct origin *a, int i, struct err *e)
{
	const struct layer *l = &a->m->disk[i];
	struct manifest *m = calloc(1, sizeof(*m));
	char who[NAME_BYTES] = "";

	if (m)
		disk_find_holder(&l->is, l->ro, m, who);
	free(m);
	return err_set(e, EBUSY,
		       "disk '%s' is in use by %s%s%s: it may have one writer or many readers",
		       l->path, *who ? "box '" : "another process", who, *who ? "'" : "");
}

/* 0, -EAGAIN: somebody else's, or -errno. */
static int disk_lock(int fd, int ro)
{
	struct flock l = {.l_type = ro ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};

	for (int i = 0; fcntl(fd, F_OFD_SETLK, &l) < 0; i++) {
		if (errno == ENOLCK || errno == EOPNOTSUPP || errno == EINVAL)
			return 0; /* not on this file system */
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return -errno;
		if (i == RETRIES)
			return -EAGAIN;
		(void)poll(NULL, 0, RETRY_MS);
	}
	return 0;
}

static int disk_check_twice(const struct origin *a, int i, struct err *e)
{
	const struct layer *d = a->m->disk;

	for (int k = 0; k < i; k++)
		if (disk_is_same(&d[k].is, &d[i].is) && !(d[k].ro && d[i].ro))
			return err_set(e, EINVAL,
				       "disk '%s' is given twice, which only readers may be",
				       d[i].path);
	return 0;
}

int disks_lock(const struct origin *a, struct err *e)
{
	for (int i = 0; i < a->files.ndisks; i++) {
		int r = disk_check_twice(a, i, e);

		if (r < 0)
			return r;
		r = disk_lock(a->files.disk[i], a->files.ro[i]);
		if (r == -EAGAIN)
			return disk_refuse(a, i, e);
		if (r < 0)
			return err_set(e, -r, "lock disk '%s': %s", a->m->disk[i].path,
				       strerror(-r));
	}
	return 0;
}

/* ---- copies -------------------------------------------------------------------------------------------- */

/* Data only; what lies between stays a hole. */
static int disk_copy_data(int from, int to, off_t size)
{
	for (off_t at = 0, end; at < size; at = end) {
		at = lseek(from, at, SEEK_DATA);
		if (at < 0)
			return errno == ENXIO ? 0 : -errno;
		end = lseek(from, at, SEEK_HOLE);
		if (end < 0)
			return -errno;
		for (off_t in = at, out = at; in < end;) {
			ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - in), 0);
			if (n <= 0)
				return n < 0 ? -errno : -EIO;
		}
	}
	return 0;
}

int disk_copy(int from, int to_dir, const char *to_name, struct err *e)
{
	struct stat st;
	auto_close int to =
		openat(to_dir, to_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (to < 0 || fstat(from, &st) < 0)
		return err_errno(e, "copy a disk to '%s'", to_name);
	if (ioctl(to, FICLONE, from) == 0)
		return take_fd(to);
	int r = ftruncate(to, st.st_size) < 0 ? -errno : disk_copy_data(from, to, st.st_size);
	return r < 0 ? err_set(e, -r, "copy a disk to '%s': %s", to_name, strerror(-r))
		     : take_fd(to);
}
