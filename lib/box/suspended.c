/* SPDX-License-Identifier: Apache-2.0 */
/* suspended.c - the files of a suspended box, in its directory on disk (lib/host/storage.c):
 *
 *	manifest, state, memory		a suspended box: what it goes on with
 *	the same with .new		what its VMM will write, or has written, when it is suspended
 *	spare				room for the manifest, for the end
 *	disk-N				a clone's own copy of a writable disk
 *
 * Protocol: a box is suspended when nobody holds it and there is a manifest. A VMM that has suspended its box says so
 * in its last event line. That line makes the .new files complete. Whoever looks first gives them their names, the
 * manifest last.
 *
 * Duties: a box that could go on can still go on after any failure, and after any death. The .new files are made here,
 * once. They live until they get their names, or until the box has been told that it is not suspended. Whoever wants the
 * box written, the box itself or somebody by hand, has it written into the same files: a VMM may have them open, and
 * what it writes into a file without a name is lost. Their contents are the VMM's: it empties them before it writes, and
 * when it fails. The files are never written a second time: clones may have mapped them.
 *
 * Limits: a block is set aside for the manifest, which comes when the disk may be full.
 */
#include "lib/box/snapshot.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/box.h"

#define SPARE "spare"

enum { SPARE_BYTES = 8192 };

/* ---- suspended boxes ----------------------------------------------------------------------------------- */

/* It may be being written, or hold what an attempt that failed has left. */
static int storage_open_new(int storage, const char *name)
{
	int fd = openat(storage, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -errno : fd;
}

/* The memory may take the last of the disk, and the manifest comes after it. Without it that is a little less sure. */
static void storage_keep_room(int storage)
{
	static const char zeros[SPARE_BYTES];
	auto_close int fd =
		openat(storage, SPARE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0)
		(void)!write(fd, zeros, sizeof(zeros));
}

/* On a full disk that of a suspended box, which is resumed to make room, does as well: what is not known yet is not looked
 * at. */
static int storage_note_new(int storage, const struct manifest *m, struct err *e)
{
	int r = manifest_save(storage, "manifest.new", m, e);

	if (r != -ENOSPC && r != -EDQUOT)
		return r;
	return linkat(storage, "manifest", storage, "manifest.new", 0) == 0 || errno == EEXIST ? 0
											       : r;
}

/* Not complete yet, so that nothing is known of the files but their names. */
static void manifest_make_incomplete(struct manifest *m)
{
	m->state = (struct layer){.path = (char *)"state"};
	m->memory = (struct layer){.path = (char *)"memory"};
	m->synced = 0;
	host_boot(m->boot);
	for (uint64_t i = 0; i < m->ndisks; i++)
		if (!m->disk[i].ro)
			m->disk[i].is.mtime_ns = 0;
}

int suspended_begin(int dir, const struct manifest *m, int ret[2], struct err *e)
{
	struct manifest mine = *m;
	auto_close int storage = storage_make(dir, m->id, e);

	if (storage < 0)
		return storage;
	manifest_make_incomplete(&mine);
	int r = storage_note_new(storage, &mine, e);
	if (r < 0)
		return r;
	storage_keep_room(storage);
	auto_close int state = storage_open_new(storage, "state.new");
	auto_close int memory = storage_open_new(storage, "memory.new");
	if (state < 0 || memory < 0)
		return err_set(e, state < 0 ? -state : -memory,
			       "make the files of a suspended box: %s",
			       strerror(state < 0 ? -state : -memory));
	ret[0] = take_fd(state);
	ret[1] = take_fd(memory);
	return 0;
}

void suspended_abandon(int dir)
{
	static const char *const files[] = {"state.new", "memory.new", "manifest.new", SPARE, NULL};
	auto_close int storage = storage_open(dir);

	if (storage >= 0)
		(void)dir_unlink(storage, files);
	storage_remove_empty(dir);
}

static int storage_learn(int storage, const char *name, struct layer *l)
{
	auto_close int fd = openat(storage, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : layer_of(fd, l->path, l->ro, l);
}

/* How it goes on after this. */
static void manifest_make_complete(struct manifest *m, const struct vm_events *v)
{
	m->taken_s = m->memory.is.mtime_ns / 1000000000;
	m->synced = 0;
	host_boot(m->boot);
	if (m->life_ms && v->life_ms)
		m->life_ms = min_(m->life_ms, v->life_ms);
}

/* The manifest of what has been written, now that it is known. */
static int storage_complete(int storage, struct manifest *m, const struct vm_events *v)
{
	int r = storage_learn(storage, "state", &m->state);

	if (r == 0)
		r = storage_learn(storage, "memory", &m->memory);
	for (uint64_t i = 0; r == 0 && i < m->ndisks; i++)
		if (!m->disk[i].ro)
			r = storage_learn(storage, m->disk[i].path, &m->disk[i]);
	if (r < 0)
		return r;
	manifest_make_complete(m, v);
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

/* Whether what lies there under the name is a memory of that box: 1, 0, or -errno: that cannot be told. */
static int storage_is_memory(int storage, const char *name, const struct manifest *m)
{
	struct stat st;

	if (fstatat(storage, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == (m->memory_mib << 20) + MEMORY_TAIL_BYTES;
}

/* The VMM's files get their names; may be done by several at a time, and again, and by one that was killed half-way. A
 * state of no bytes: it wrote them elsewhere. What does not belong together is left alone. */
static int storage_take_names(int storage, const struct manifest *m)
{
	int r = storage_has(storage, "state.new");

	if (r <= 0)
		return r;
	int fits = storage_is_memory(storage, "memory.new", m);
	if (fits == 0)
		fits = storage_is_memory(storage, "memory", m);
	if (fits <= 0)
		return fits;
	if ((renameat(storage, "memory.new", storage, "memory") < 0 && errno != ENOENT) ||
	    (renameat(storage, "state.new", storage, "state") < 0 && errno != ENOENT))
		return -errno;
	return 0;
}

static int storage_adopt(int storage, const struct vm_events *v)
{
	auto_free char *text = NULL;
	auto_free struct manifest *m = malloc(sizeof(*m));
	int r = m ? manifest_load(storage, "manifest.new", m, &text, NULL) : -ENOMEM;

	if (r == 0)
		r = storage_take_names(storage, m);
	if (r == 0)
		r = storage_has(storage, "state");
	if (r > 0)
		r = storage_is_memory(storage, "memory", m);
	if (r > 0)
		r = storage_complete(storage, m, v);
	return r; /* auto_free is unknown to it. NOLINT(clang-analyzer-unix.Malloc) */
}

int suspended_settle(int dir, const struct vm_events *v)
{
	auto_close int storage = storage_open(dir);
	int r = 0;

	if (storage < 0)
		return storage == -ENOENT ? 0 : storage;
	if (v->over && v->end == CONKER_BOX_SUSPENDED)
		r = storage_adopt(storage, v);
	/* Somebody else may have been faster. */
	return r < 0 && r != -ENOENT ? r : storage_has(storage, "manifest");
}

void suspended_resumed(int dir)
{
	static const char *const files[] = {"manifest", "state", "memory", NULL};
	auto_close int storage = storage_open(dir);

	if (storage >= 0)
		(void)dir_unlink(storage, files);
}

void suspended_figures(int dir, int64_t *ret_since_s, uint64_t *ret_bytes)
{
	static const char *const files[] = {"state", "memory", NULL};
	auto_close int storage = storage_open(dir);

	*ret_bytes = dir_disk_bytes(storage, files, ret_since_s);
}
