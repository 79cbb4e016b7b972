/* SPDX-License-Identifier: Apache-2.0 */
/* restore.c - from a snapshot's directory to what a VMM needs.
 *
 * Everything is checked before anything runs: that the manifest is whole, that this host and this release can go on
 * with it, that each file is still the one that was meant. That is a handful of opens and stats; a file is read only
 * if its identity has changed since.
 */
#include "lib/box/snapshot.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- does it fit? -------------------------------------------------------------------------------------- */

/* What the caller asks for beside: the same, or nothing. */
static int restore_check_asked(const conker_box_opts *o, const struct manifest *m, struct err *e)
{
	if (o->memory_mib && o->memory_mib != m->memory_mib)
		return err_set(e, EINVAL, "it is of a box with %u MiB of memory; leave that out",
			       (unsigned)m->memory_mib);
	if (o->cpus && o->cpus != m->cpus)
		return err_set(e, EINVAL, "it is of a box with %u CPU%s; leave that out",
			       (unsigned)m->cpus, m->cpus == 1 ? "" : "s");
	int same = o->image ? boximage_is(m, o->image, e) : 1;
	if (same < 0)
		return same;
	if (!same)
		return err_set(e, EINVAL, "it is of a box with image '%s'; leave that out",
			       m->image);
	if (o->disks && o->disks[0])
		return err_set(e, EINVAL, "its disks are part of it; leave them out");
	if (o->cmdline_append && strcmp(o->cmdline_append, m->append ? m->append : "") != 0)
		return err_set(e, EINVAL, "its kernel has booted with other words; leave them out");
	return 0;
}

static int restore_check_kernel(const conker_box_opts *o, const struct manifest *m, struct err *e)
{
	if (!o->kernel)
		return 0;
	auto_close int fd = open(o->kernel, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "kernel '%s'", o->kernel);
	return m->kernel.path && layer_check(fd, &m->kernel) == 0
		       ? 0
		       : err_set(e, EINVAL,
				 "it has booted another kernel than '%s'; leave that out",
				 o->kernel);
}

static int restore_check_host(const struct manifest *m, struct err *e)
{
	struct manifest here = {0};
	char boot[BOOT_BYTES];

	int r = host_identify(&here);
	if (r < 0)
		return err_set(e, -r, "look what KVM this is: %s", strerror(-r));
	if (strcmp(m->version, here.version) != 0)
		return err_set(e, ESTALE, "it was taken by conker %s, this is %s", m->version,
			       here.version);
	if (strcmp(m->host, here.host) != 0)
		return err_set(e, ESTALE, "it was taken under KVM of kind '%s', this is '%s'",
			       m->host, here.host);
	if (strcmp(m->cpu, here.cpu) != 0)
		return err_set(e, ESTALE, "it was taken on another kind of CPU (%s), this is %s%s",
			       m->cpu_name, here.cpu_name,
			       strcmp(m->cpu_name, here.cpu_name) == 0 ? " with other features"
								       : "");
	if (m->synced)
		return 0;
	host_boot(boot);
	return strcmp(m->boot, boot) == 0
		       ? 0
		       : err_set(e, ESTALE,
				 "it was not on disk yet when this host went down, and is lost");
}

/* ---- its files ----------------------------------------------------------------------------------------- */

static int restore_open_own(int dir, const struct layer *l, const char *what, struct err *e)
{
	struct stat st;

	if (!l->path || *l->path == '/')
		return err_set(e, EBADMSG, "its manifest names no %s", what);
	auto_close int fd = openat(dir, l->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err_set(e, errno == ENOENT ? EBADMSG : errno, "its %s: %s", what,
			       strerror(errno));
	if (fstat(fd, &st) < 0)
		return err_errno(e, "its %s", what);
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return err_set(e, EBADMSG, "its %s is no file, or an empty one", what);
	int r = layer_check(fd, l);
	if (r == -ESTALE)
		return err_set(e, EBADMSG, "its %s has been changed since, or is damaged", what);
	return r < 0 ? err_set(e, -r, "read its %s: %s", what, strerror(-r)) : take_fd(fd);
}

/* Its image, or a disk of the host. */
static int restore_open_layer(const struct layer *l, struct err *e)
{
	auto_close int fd = open(l->path, (l->ro ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_set(e, errno == ENOENT ? ESTALE : errno, "it needs '%s': %s", l->path,
			       strerror(errno));
	int r = layer_check(fd, l);
	if (r == -ESTALE)
		return err_set(e, ESTALE, "it needs '%s' as it was, and that has been replaced",
			       l->path);
	return r < 0 ? err_set(e, -r, "read '%s': %s", l->path, strerror(-r)) : take_fd(fd);
}

static int restore_open_files(struct origin *a, struct err *e)
{
	const struct manifest *m = a->m;

	a->files.state = restore_open_own(a->snapshot, &m->state, "state file", e);
	if (a->files.state < 0)
		return a->files.state;
	a->files.memory = restore_open_own(a->snapshot, &m->memory, "memory file", e);
	if (a->files.memory < 0)
		return a->files.memory;
	for (uint64_t i = 0; i < m->ndisks; i++) {
		const struct layer *l = &m->disk[i];
		int own = *l->path != '/'; /* the clone gets a copy: restore_disks() */
		int fd = own ? -1 : restore_open_layer(l, e);

		if (fd < 0 && !own)
			return fd;
		if (i == 0) {
			int r = boximage_take(&a->files, l, fd, e);
			if (r < 0)
				return r;
			continue;
		}
		a->files.ro[a->files.ndisks] = l->ro;
		a->files.disk[a->files.ndisks++] = fd;
	}
	return 0;
}

/* Disk i as a copy of the snapshot's, under a path of its own. */
static int restore_give_disk(struct origin *a, int i, int dir, const char *id, struct err *e)
{
	struct layer *l = &a->m->disk[i];
	char name[24];
	auto_close int storage = storage_make(dir, id, e);
	auto_close int from = storage < 0 ? storage : restore_open_own(a->snapshot, l, "disk", e);

	if (from < 0)
		return from;
	(void)snprintf(name, sizeof(name), "disk-%d", i);
	a->files.disk[i] = disk_copy(from, storage, name, e);
	if (a->files.disk[i] < 0)
		return a->files.disk[i];
	if (!a->paths)
		a->paths = malloc((size_t)a->files.ndisks * LAYER_PATH_BYTES);
	char *path = a->paths ? a->paths + (size_t)i * LAYER_PATH_BYTES : NULL;
	int r = path ? storage_path(dir, path, LAYER_PATH_BYTES - NAME_BYTES) : -ENOMEM;
	if (r == 0) {
		(void)snprintf(path + strlen(path), NAME_BYTES, "/%s", name);
		r = layer_of(a->files.disk[i], path, l->ro, l);
	}
	return r < 0 ? err_set(e, -r, "look at a disk: %s", strerror(-r)) : 0;
}

int restore_disks(struct origin *a, int dir, const char *id, struct err *e)
{
	for (int i = 0; i < a->files.ndisks; i++) {
		int r = a->files.disk[i] >= 0 ? 0 : restore_give_disk(a, i, dir, id, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static void restore_adopt_rate(conker_rate *to, const uint64_t from[2])
{
	if (!to->bytes_per_s && !to->ops_per_s)
		*to = (conker_rate){.bytes_per_s = from[0], .ops_per_s = from[1]};
}

/* What the caller left open is as it was. */
static void restore_adopt(conker_box_opts *o, const struct manifest *m)
{
	o->memory_mib = (uint32_t)m->memory_mib;
	o->cpus = (uint32_t)m->cpus;
	restore_adopt_rate(&o->disk_rate, m->disk_rate);
	restore_adopt_rate(&o->vsock_rate, m->vsock_rate);
	restore_adopt_rate(&o->console_rate, m->console_rate);
}

static int restore_open_snapshot(struct origin *a, conker_box_opts *o, struct err *e)
{
	a->snapshot = open(o->from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->snapshot < 0)
		return err_errno(e, "open it");
	int r = manifest_load(a->snapshot, "manifest", a->m, &a->text, e);
	if (r == -ENOENT)
		return err_set(e, EBADMSG,
			       "it has no manifest: no snapshot, or one that was never "
			       "completed");
	if (r == 0)
		r = restore_check_host(a->m, e);
	if (r == 0)
		r = restore_check_asked(o, a->m, e);
	if (r == 0)
		r = restore_check_kernel(o, a->m, e);
	return r < 0 ? r : restore_open_files(a, e);
}

/* To an error after which the snapshot cannot be used any more, adds what the user can do. */
static int restore_advise(struct err *e, int r, const char *what)
{
	char said[ERR_MSG_BYTES];

	if (!e || (r != -EBADMSG && r != -ESTALE))
		return r;
	memcpy(said, e->msg, sizeof(said));
	return err_set(e, -r, "%s; %s", said, what);
}

static int restore_open_any(struct origin *a, conker_box_opts *o, struct err *e)
{
	int r = restore_open_snapshot(a, o, e);

	if (r < 0)
		return err_wrap(e, r, "snapshot '%s'", o->from);
	restore_adopt(o, a->m);
	(void)fd_path(a->snapshot, a->from, sizeof(a->from));
	clean_text(a->from);
	return 0;
}

int restore_open(struct origin *a, conker_box_opts *o, struct err *e)
{
	return restore_advise(e, restore_open_any(a, o, e), "take it again");
}

int restore_open_suspended(struct origin *a, conker_box_opts *o, const char *name, struct err *e)
{
	char what[NAME_BYTES + 32];

	(void)snprintf(what, sizeof(what), "`conker rm -f %s` removes it", name);
	int r = restore_advise(e, restore_open_any(a, o, e), what);
	if (r < 0)
		return r;
	a->suspended = 1;
	o->idle_timeout_ms = (int)a->m->idle_ms;
	o->idle_suspend_ms = (int)a->m->idle_suspend_ms;
	o->max_life_ms = (int)a->m->life_ms;
	return 0;
}
