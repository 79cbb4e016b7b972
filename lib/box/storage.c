/* storage.c - what a box keeps on disk, in a directory of its own (place_state()) that the link `storage` in the box's
 * directory leads to:
 *
 *	manifest, state, memory		a suspended box: what it goes on with
 *	the same with .new		what its VMM will write, or has written, when it is suspended
 *	spare				room for the manifest, for the end
 *	disk-N				a clone's own copy of a writable disk
 *
 * A box is suspended when nobody holds it and there is a manifest. A VMM that has suspended its box says so in its
 * last event line, which makes the .new ones complete; whoever looks first gives them their names, the manifest
 * last. The files are never written a second time: clones may have mapped them.
 *
 * The .new files are made here, once, and live until they get their names, or until the box has been told that it is not
 * suspended. Whoever wants the box written, it itself or somebody by hand, has it written into the same ones: a VMM
 * may have them open, and what it writes into a file without a name is lost. What is in them is the VMM's: it empties them
 * before it writes, and when it fails.
 */
#include "lib/box/snapshot.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/box.h"
#include "util/cleanup.h"

#define LINK  "storage"
#define SPARE "spare"

enum { SPARE_BYTES = 8192 };

int storage_path(int dir, char *ret, size_t size)
{
	ssize_t n = readlinkat(dir, LINK, ret, size - 1);

	if (n < 0)
		return -errno;
	ret[n] = 0;
	return (size_t)n < size - 1 && *ret == '/' ? 0 : -EINVAL;
}

int storage_open(int dir)
{
	int fd = openat(dir, LINK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int storage_make(int dir, const char *id, struct err *e)
{
	char path[PATH_MAX - ID_BYTES - 1], own[PATH_MAX];
	int fd = storage_open(dir);

	if (fd >= 0)
		return fd;
	auto_close int all = place_state("kept", path, sizeof(path), e);
	if (all < 0)
		return all;
	(void)snprintf(own, sizeof(own), "%s/%s", path, id);
	if ((mkdirat(all, id, 0700) < 0 && errno != EEXIST) || symlinkat(own, dir, LINK) < 0)
		return err_errno(e, "make the directory '%s'", own);
	fd = storage_open(dir);
	return fd < 0 ? err_set(e, -fd, "open '%s': %s", own, strerror(-fd)) : fd;
}

void storage_remove(int dir)
{
	char path[PATH_MAX];

	if (storage_path(dir, path, sizeof(path)) == 0)
		(void)tree_remove(AT_FDCWD, path);
	(void)unlinkat(dir, LINK, 0);
}

/* ---- suspended boxes ----------------------------------------------------------------------------------- */

/* It may be being written, or hold what an attempt that failed has left. */
static int open_new(int storage, const char *name)
{
	int fd = openat(storage, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -errno : fd;
}

/* The memory may take the last of the disk, and the manifest comes after it. Without it that is a little less sure. */
static void keep_room(int storage)
{
	static const char zeros[SPARE_BYTES];
	auto_close int fd =
		openat(storage, SPARE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0)
		(void)!write(fd, zeros, sizeof(zeros));
}

/* On a full disk that of a suspended box, which is resumed to make room, does as well: what is not known yet is not looked
 * at. */
static int note_new(int storage, const struct manifest *m, struct err *e)
{
	int r = manifest_save(storage, "manifest.new", m, e);

	if (r != -ENOSPC && r != -EDQUOT)
		return r;
	return linkat(storage, "manifest", storage, "manifest.new", 0) == 0 || errno == EEXIST ? 0
											       : r;
}

/* Not complete yet, so that nothing is known of the files but their names. */
static void make_incomplete(struct manifest *m)
{
	m->state = (struct layer){.path = (char *)"state"};
	m->memory = (struct layer){.path = (char *)"memory"};
	m->synced = 0;
	host_boot(m->boot);
	for (uint64_t i = 0; i < m->ndisks; i++)
		if (!m->disk[i].ro)
			m->disk[i].is.mtime_ns = 0;
}

int storage_begin(int dir, const struct manifest *m, int ret[2], struct err *e)
{
	struct manifest mine = *m;
	auto_close int storage = storage_make(dir, m->id, e);

	if (storage < 0)
		return storage;
	make_incomplete(&mine);
	int r = note_new(storage, &mine, e);
	if (r < 0)
		return r;
	keep_room(storage);
	auto_close int state = open_new(storage, "state.new");
	auto_close int memory = open_new(storage, "memory.new");
	if (state < 0 || memory < 0)
		return err_set(e, state < 0 ? -state : -memory,
			       "make the files of a suspended box: %s",
			       strerror(state < 0 ? -state : -memory));
	ret[0] = take_fd(state);
	ret[1] = take_fd(memory);
	return 0;
}

void storage_abandon(int dir)
{
	static const char *const files[] = {"state.new", "memory.new", "manifest.new", SPARE};
	char path[PATH_MAX];
	auto_close int storage = storage_open(dir);

	for (size_t i = 0; storage >= 0 && i < countof(files); i++)
		(void)unlinkat(storage, files[i], 0);
	/* It goes if nothing else is in it. */
	if (storage_path(dir, path, sizeof(path)) == 0 && rmdir(path) == 0)
		(void)unlinkat(dir, LINK, 0);
}

/* 1: there is one, not empty; 0; -errno. */
static int has(int storage, const char *name)
{
	struct stat st;

	if (fstatat(storage, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return st.st_size > 0;
}

static int learn(int storage, const char *name, struct layer *l)
{
	auto_close int fd = openat(storage, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : layer_of(fd, l->path, l->ro, l);
}

/* How it goes on after this. */
static void make_complete(struct manifest *m, const struct vm_events *v)
{
	m->taken_s = m->memory.is.mtime_ns / 1000000000;
	m->synced = 0;
	host_boot(m->boot);
	if (m->life_ms && v->life_ms)
		m->life_ms = min_(m->life_ms, v->life_ms);
}

/* The manifest of what has been written, now that it is known. */
static int complete(int storage, struct manifest *m, const struct vm_events *v)
{
	int r = learn(storage, "state", &m->state);

	if (r == 0)
		r = learn(storage, "memory", &m->memory);
	for (uint64_t i = 0; r == 0 && i < m->ndisks; i++)
		if (!m->disk[i].ro)
			r = learn(storage, m->disk[i].path, &m->disk[i]);
	if (r < 0)
		return r;
	make_complete(m, v);
	r = manifest_save(storage, "manifest", m, NULL);
	if (r == -ENOSPC || r == -EDQUOT) {
		(void)unlinkat(storage, SPARE, 0);
		r = manifest_save(storage, "manifest", m, NULL);
	}
	if (r == 0)
		(void)unlinkat(storage, "manifest.new", 0);
	(void)unlinkat(storage, SPARE, 0);
	return r;
}

/* Whether what lies there under the name is a memory of that box. */
static int is_memory(int storage, const char *name, const struct manifest *m)
{
	struct stat st;

	return fstatat(storage, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == (m->memory_mib << 20) + MEMORY_TAIL_BYTES;
}

int storage_is_suspended(int dir)
{
	auto_close int storage = storage_open(dir);

	return storage < 0 ? storage != -ENOENT : has(storage, "manifest") != 0;
}

/* The VMM's files get their names; may be done by several at a time, and again, and by one that was killed half-way. A
 * state of no bytes: it wrote them elsewhere. What does not belong together is left alone. */
static int take_names(int storage, const struct manifest *m)
{
	int r = has(storage, "state.new");

	if (r <= 0)
		return r;
	if (!is_memory(storage, "memory.new", m) && !is_memory(storage, "memory", m))
		return 0;
	if ((renameat(storage, "memory.new", storage, "memory") < 0 && errno != ENOENT) ||
	    (renameat(storage, "state.new", storage, "state") < 0 && errno != ENOENT))
		return -errno;
	return 0;
}

static int adopt(int storage, const struct vm_events *v)
{
	auto_free char *text = NULL;
	auto_free struct manifest *m = malloc(sizeof(*m));
	int r = m ? manifest_load(storage, "manifest.new", m, &text, NULL) : -ENOMEM;

	if (r == 0)
		r = take_names(storage, m);
	if (r == 0)
		r = has(storage, "state");
	if (r > 0)
		r = is_memory(storage, "memory", m) ? complete(storage, m, v) : 0;
	return r; /* auto_free is unknown to it. NOLINT(clang-analyzer-unix.Malloc) */
}

int storage_settle(int dir, const struct vm_events *v)
{
	auto_close int storage = storage_open(dir);
	int r = 0;

	if (storage < 0)
		return storage == -ENOENT ? 0 : storage;
	if (v->over && v->end == CONKER_BOX_SUSPENDED)
		r = adopt(storage, v);
	/* Somebody else may have been faster. */
	return r < 0 && r != -ENOENT ? r : has(storage, "manifest");
}

void storage_resumed(int dir)
{
	static const char *const files[] = {"manifest", "state", "memory"};
	auto_close int storage = storage_open(dir);

	for (size_t i = 0; storage >= 0 && i < countof(files); i++)
		(void)unlinkat(storage, files[i], 0);
}

void storage_figures(int dir, int64_t *ret_since_s, uint64_t *ret_bytes)
{
	static const char *const files[] = {"state", "memory"};
	auto_close int storage = storage_open(dir);
	struct stat st;

	*ret_since_s = 0;
	*ret_bytes = 0;
	for (size_t i = 0; storage >= 0 && i < countof(files); i++)
		if (fstatat(storage, files[i], &st, AT_SYMLINK_NOFOLLOW) == 0) {
			*ret_since_s = max_(*ret_since_s, (int64_t)st.st_mtime);
			*ret_bytes += (uint64_t)st.st_blocks * 512;
		}
}

/* ---- disks --------------------------------------------------------------------------------------------- */

/* Data only; what lies between stays a hole. */
static int copy_data(int from, int to, off_t size)
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

int storage_copy(int from, int to_dir, const char *to_name, struct err *e)
{
	struct stat st;
	auto_close int to =
		openat(to_dir, to_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (to < 0 || fstat(from, &st) < 0)
		return err_errno(e, "copy a disk to '%s'", to_name);
	if (ioctl(to, FICLONE, from) == 0)
		return take_fd(to);
	int r = ftruncate(to, st.st_size) < 0 ? -errno : copy_data(from, to, st.st_size);
	return r < 0 ? err_set(e, -r, "copy a disk to '%s': %s", to_name, strerror(-r))
		     : take_fd(to);
}
