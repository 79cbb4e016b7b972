/* SPDX-License-Identifier: Apache-2.0 */
/* suspend.c - a box that goes to disk and comes back, under the same name.
 *
 * A suspended box is its own snapshot (suspended.c has its files).
 *
 * Protocol: suspending is a snapshot that stops. The files become the box's when its VMM's last line says that they are
 * complete; so a box that suspended itself, with nobody there, is no other case. Resuming starts a VMM in the same
 * directory, with the starter's lock held.
 *
 * Duties: the suspended files are given up only after the new VMM is ready. Whoever dies on the way leaves the box
 * suspended. A suspend that fails leaves the box running and the disk as it was.
 *
 * Limits: END_MS for a VMM to become ready, or to end.
 */
#include "lib/box/snapshot.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { END_MS = 60000 };

/* ---- resume ---------------------------------------------------------------------------------------------- */

int suspend_await(struct box *b, struct err *e)
{
	int r = api_may_wait(e);

	if (r < 0)
		return r;
	auto_close int vmm = registry_vmm(b->dir);
	if (vmm >= 0) {
		r = pidfd_wait(vmm, END_MS);
		return err_set(e, r < 0 ? -r : ERESTART, "box '%s' is being suspended",
			       b->meta.name);
	}
	/* The starter holds it until the box runs, or has failed to. */
	r = registry_await_starter(b->dir);
	return r < 0 ? err_set(e, -r, "wait for box '%s' to be resumed: %s", b->meta.name,
			       strerror(-r))
		     : -ERESTART;
}

/* We are the starter, unless somebody else is. Shared locks are of those who look or wait. */
static int become_starter(struct box *b, struct err *e)
{
	auto_close int lock = openat(b->dir, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (lock < 0)
		return err_errno(e, "lock box '%s'", b->meta.name);
	if (flock(lock, LOCK_EX) < 0)
		return err_errno(e, "lock box '%s'", b->meta.name);
	pid_t vmm;
	int again = registry_liveness(b->dir, &vmm) == BOX_RUNS || !storage_is_suspended(b->dir);
	b->starter = again ? -1 : take_fd(lock);
	return again ? -ERESTART : 0;
}

/* What the new VMM makes again. */
static int suspend_clear_dir(int dir, struct err *e)
{
	static const char *const files[] = {"exec.sock", "forward.sock", "ctl.sock", "state", NULL};
	int r = dir_unlink(dir, files);

	if (r < 0)
		return err_set(e, -r, "remove its old sockets: %s", strerror(-r));
	cgroup_remove(dir);
	return 0;
}

static int resume_with(struct box *b, struct origin *a, struct err *e)
{
	char path[PATH_MAX];
	conker_box_opts o = {.size = sizeof(o),
			     .from = path,
			     .flags = b->meta.flags,
			     .ready_timeout_ms = END_MS};
	int r = storage_path(b->dir, path, sizeof(path));

	if (r < 0)
		return err_set(e, -r, "its files: %s", strerror(-r));
	r = restore_open_suspended(a, &o, b->meta.name, e);
	if (r < 0)
		return r;
	r = suspend_clear_dir(b->dir, e);
	b->events = (struct vm_events){0};
	if (r == 0)
		r = birth_launch(b, &o, a, e);
	if (r == 0)
		r = birth_await_ready(b, &o, a, e);
	return r;
}

int suspend_resume(struct box *b, struct err *e)
{
	struct origin a;
	int r = api_may_wait(e);

	if (r == 0)
		r = become_starter(b, e);
	if (r < 0)
		return r;
	/* We keep the starter's lock longer than birth_await_ready() does: until the old memory is removed. Else the box
	 * could suspend itself again before that, and we would remove its new memory. */
	auto_close int starter = take_fd(b->starter);
	r = origin_init(&a, e);
	if (r == 0)
		r = resume_with(b, &a, e);
	origin_close(&a);
	if (r < 0)
		(void)!box_end_vmm(b); /* the box stays suspended */
	if (r < 0)
		return err_wrap(e, r, "resume box '%s'", b->meta.name);
	suspended_resumed(b->dir);
	return 0;
}

/* ---- suspend --------------------------------------------------------------------------------------------- */

/* Somebody may resume it as soon as its VMM has ended; then it has been suspended, and the rest is not ours. */
static int suspend_settle(int dir)
{
	struct vm_events v;
	pid_t vmm;
	auto_hold int held = -1;
	int alive = registry_hold(dir, &vmm, &held);

	if (alive != BOX_OVER)
		return alive < 0 ? alive : 1;
	int r = events_load(&v, dir);
	return r < 0 ? r : suspended_settle(dir, &v);
}

static int suspend_note_synced(int dir, int storage)
{
	auto_free struct manifest *m = NULL;
	auto_free char *text = NULL;
	pid_t vmm;
	auto_hold int held = -1;
	int alive = registry_hold(dir, &vmm, &held);

	if (alive != BOX_OVER)
		return min_(alive, 0);
	m = malloc(sizeof(*m));
	int r = m ? manifest_load(storage, "manifest", m, &text, NULL) : -ENOMEM;
	if (r < 0)
		return r; /* auto_free is unknown to it. NOLINT(clang-analyzer-unix.Malloc) */
	m->synced = 1;
	return manifest_save(storage, "manifest", m, NULL);
}

/* So that it outlives a crash of the host. */
static int sync_storage(int dir)
{
	static const char *const files[] = {"state", "memory"};
	auto_close int storage = storage_open(dir);
	int r = min_(storage, 0);

	for (size_t i = 0; i < countof(files) && r == 0; i++) {
		auto_close int fd = openat(storage, files[i], O_RDONLY | O_CLOEXEC);
		r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
	}
	if (r == 0)
		r = suspend_note_synced(dir, storage);
	return r == -ENOENT ? 0 : r; /* it has been resumed */
}

struct files { /* of a box in its storage */
	const struct box *box;
	const struct manifest *m;
	int fds[2];
};

static int suspend_files_open(void *user, int ret_fds[2], struct err *e)
{
	struct files *f = user;
	int r = suspended_begin(f->box->dir, f->m, f->fds, e);

	memcpy(ret_fds, f->fds, sizeof(f->fds));
	return r;
}

/* Nothing is left, on a disk that may be full. A VMM that may suspend itself keeps the files, which are empty again. */
static void suspend_files_failed(void *user)
{
	const struct files *f = user;

	if (!f->box->meta.idle_suspend_ms)
		suspended_abandon(f->box->dir);
}

static int suspend_into(struct box *b, const struct manifest *m, conker_snapshot_result *ret,
			struct err *e)
{
	struct files f = {.box = b, .m = m, .fds = {-1, -1}};
	int r = snapshot_take(
		b, &(struct snapshot_files){suspend_files_open, suspend_files_failed, &f},
		CONKER_SNAPSHOT_STOP, ret, e);

	for (int i = 0; i < 2 && f.fds[i] >= 0; i++)
		close(f.fds[i]);
	if (r < 0)
		return r;
	r = suspend_settle(b->dir);
	if (r == 0)
		return err_set(e, EIO, "its VMM ended without having written all of it");
	if (r > 0)
		r = sync_storage(b->dir);
	return r < 0 ? err_set(e, -r, "write it to disk: %s", strerror(-r)) : 0;
}

int conker_box_suspend(conker_box *b, conker_snapshot_result *ret)
{
	conker_snapshot_result ours = {.size = sizeof(ours)};
	auto_free struct manifest *m = NULL;
	auto_free char *text = NULL;
	int64_t begun_us = clock_us();
	struct err *e;
	int r = box_enter_to_wait(b, &e);

	if (r < 0)
		return r;
	struct box *own = box_of(b);
	if (ret && ret->size < sizeof(size_t))
		return err_set(e, EINVAL, "the result's size field is not set");
	if (!(own->meta.flags & CONKER_BOX_DETACHED))
		return err_set(e, EINVAL,
			       "box '%s' ends with the program that started it, and cannot be "
			       "suspended",
			       own->meta.name);
	m = malloc(sizeof(*m));
	r = m ? snapshot_manifest(own, m, &text, e)
	      : err_set(e, ENOMEM, "no memory for a manifest");
	if (r == 0)
		r = suspend_into(own, m, &ours, e);
	if (r < 0)
		return err_wrap(e, r, "suspend box '%s'", own->meta.name);
	ours.total_us = (uint64_t)(clock_us() - begun_us);
	if (ret)
		opts_out(ret, &ours, sizeof(ours));
	return 0;
}
