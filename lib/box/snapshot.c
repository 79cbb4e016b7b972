/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c - taking a snapshot of a running box.
 *
 *	1. init stops the box's processes (a connection of our own, so that others are not disturbed)
 *	2. the VMM stops the CPUs, writes state and memory into two files of ours, and goes on, or ends
 *	3. init lets the processes go on
 *	4. checksums, manifest, to disk; the directory gets its name
 *
 * Only 2 is a pause of the machine, and nothing in it is ours. Whatever fails, the box goes on as if nothing had been
 * asked; if we are killed, init thaws by itself and a directory with a name of its own is left.
 */
#include "lib/box/snapshot.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/num.h"

enum {
	ANSWER_BYTES = 512,
	ANSWER_MS = 300000, /* a large memory on a slow disk */
	END_MS = 30000,
};

/* ---- the VMM --------------------------------------------------------------------------------------------- */

static int ctl_connect(int dir, struct err *e)
{
	int fd = boxdir_connect(dir, "ctl.sock", SOCK_SEQPACKET);

	return fd < 0 ? err_set(e, -fd, "connect to its VMM: %s", strerror(-fd)) : fd;
}

static int ctl_send(int ctl, const char *text, const int fds[2])
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(2 * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (char *)text, .iov_len = strlen(text)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.buf,
			   .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(c), fds, 2 * sizeof(int));
	return sendmsg(ctl, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* The number behind `before`, if that comes next; too large a one is the largest there is. */
static int number_after(const char *before, const char **at, uint64_t *ret)
{
	size_t n = strlen(before);

	if (strncmp(*at, before, n) != 0)
		return 0;
	*at += n;
	return num_take(at, NULL, 10, UINT64_MAX, ret) != -EINVAL;
}

int snapshot_answer(char *text, conker_snapshot_result *ret, struct err *e)
{
	const char *at = text;
	uint64_t pause_us, memory_bytes, code;

	clean_text(text);
	if (number_after("done ", &at, &pause_us) && number_after(" ", &at, &memory_bytes)) {
		ret->pause_us = pause_us;
		ret->memory_bytes = memory_bytes;
		return 0;
	}
	at = text;
	if (number_after("failed ", &at, &code) && code > 0 && code < 4096)
		return err_set(e, (int)code, "%s", at + strspn(at, " "));
	return err_set(e, EPROTO, "its VMM answered '%.80s'", text);
}

/* *ret_asked: 0, if it says that it failed. */
static int ctl_await_answer(int ctl, conker_snapshot_result *ret, int *ret_asked, struct err *e)
{
	struct pollfd p = {.fd = ctl, .events = POLLIN};
	char text[ANSWER_BYTES + 1];
	int n;

	do /* what has been asked is done in any case */
		n = poll(&p, 1, ANSWER_MS);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_errno(e, "wait for its VMM");
	if (n == 0)
		return err_set(e, ETIMEDOUT, "its VMM does not answer");
	ssize_t len = recv(ctl, text, ANSWER_BYTES, 0);
	if (len < 0)
		return err_errno(e, "hear from its VMM");
	if (len == 0)
		return err_set(e, ECONNABORTED, "its VMM ended without an answer");
	text[len] = 0;
	int r = snapshot_answer(text, ret, e);
	*ret_asked = r == 0;
	return r;
}

/* port: of our connection to init, which is to go on in copies of the box: that saves them making one. *ret_asked: it may
 * be writing, or have written all. */
static int ctl_ask(struct box *c, const int fds[2], uint32_t flags, uint32_t port,
		   conker_snapshot_result *ret, int *ret_asked, struct err *e)
{
	int stop = (flags & CONKER_SNAPSHOT_STOP) != 0;
	char text[ANSWER_BYTES];

	(void)snprintf(text, sizeof(text), "snapshot%s keep %u", stop ? " stop" : "", port);
	auto_close int ctl = ctl_connect(c->dir, e);

	if (ctl < 0)
		return ctl;
	int r = ctl_send(ctl, text, fds);
	if (r < 0)
		return err_set(e, -r, "ask its VMM: %s", strerror(-r));
	*ret_asked = 1;
	r = ctl_await_answer(ctl, ret, ret_asked, e);
	if (r < 0 || !stop)
		return r;
	do
		r = pidfd_wait(c->vmm, END_MS);
	while (r == -EINTR); /* the box is in our hands only */
	return r < 0 ? err_set(e, -r, "its VMM does not end") : 0;
}

int snapshot_take(const struct box *b, const struct snapshot_files *to, uint32_t flags,
		  conker_snapshot_result *ret, struct err *e)
{
	struct box *c = box_second(b, e);
	struct err later;
	int fds[2];

	if (!c)
		return -e->code;
	int64_t begun_us = clock_us();
	uint32_t port;
	int r = box_freeze(&c->handle, &port, e);
	if (r == 0) {
		int asked = 0;
		r = to->open(to->user, fds, e);
		if (r == 0)
			r = ctl_ask(c, fds, flags, port, ret, &asked, e);
		if (r < 0 && to->failed && (!asked || pidfd_wait(c->vmm, 0) == 0))
			to->failed(to->user);
		/* One that the VMM has ended cannot, and one that was too long has thawed by itself. */
		while ((r < 0 || !(flags & CONKER_SNAPSHOT_STOP)) &&
		       box_thaw(&c->handle, &later) == -EINTR)
			;
	}
	ret->frozen_us = (uint64_t)(clock_us() - begun_us);
	box_teardown(c);
	return r;
}

/* ---- what it depends on ------------------------------------------------------------------------------------ */

/* The files are the ones that the box was made of; those it runs on, and does not need again, need not be. */
static int layer_check_unchanged(struct layer *l, int needed, int with_sum)
{
	auto_close int fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct identity is = {0};
	int r = fd < 0 ? -errno : identity_of(fd, &is);

	if (r == 0 && !identity_same(&is, &l->is))
		r = -ESTALE;
	if (r == 0 && with_sum)
		r = layer_sum(fd, &is, l->sum);
	return needed ? r : 0;
}

int snapshot_manifest(const struct box *b, struct manifest *ret, char **ret_text, struct err *e)
{
	int r = manifest_load(b->dir, "manifest", ret, ret_text, e);

	if (r < 0)
		return r;
	for (uint64_t i = 0; i < ret->ndisks && r == 0; i++)
		if (ret->disk[i].ro)
			r = layer_check_unchanged(&ret->disk[i], 1, 0);
	if (r == -ENOENT || r == -ESTALE)
		return err_set(e, ESTALE,
			       "its image or another disk has been replaced since it was created");
	return r < 0 ? err_set(e, -r, "look at its disks: %s", strerror(-r)) : 0;
}

static int manifest_add_sums(struct manifest *m)
{
	int r = layer_check_unchanged(&m->kernel, 0, 1);

	if (r == 0)
		r = layer_check_unchanged(&m->initrd, 0, 1);
	for (uint64_t i = 0; i < m->ndisks && r == 0; i++)
		if (m->disk[i].ro)
			r = layer_check_unchanged(&m->disk[i], 1, 1);
	return r;
}

static int manifest_has_writable(const struct manifest *m)
{
	for (uint64_t i = 0; i < m->ndisks; i++)
		if (!m->disk[i].ro)
			return 1;
	return 0;
}

/* ---- the directory ------------------------------------------------------------------------------------------ */

static const char *const disk_names[] = {"disk-0",  "disk-1",  "disk-2",  "disk-3",  "disk-4",
					 "disk-5",  "disk-6",  "disk-7",  "disk-8",  "disk-9",
					 "disk-10", "disk-11", "disk-12", "disk-13", "disk-14",
					 "disk-15", NULL};
_Static_assert(countof(disk_names) == DISKS_MAX + 2, "one for each");

struct work {
	int parent, dir; /* where it will be; the new one */
	char name[NAME_MAX + 1], beside[NAME_MAX + 1];
	int fds[2], made; /* made: it has not got its name yet */
	struct manifest m;
	char *text;
};

/* DIR as the directory it will be in, and its name there. */
static int work_split_path(const char *path, struct work *w, struct err *e)
{
	char above[PATH_MAX];
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	if (n == 0 || n >= sizeof(above))
		return err_set(e, EINVAL, "'%.80s' cannot be the name of a directory", path);
	memcpy(above, path, n);
	above[n] = 0;
	char *slash = strrchr(above, '/'), *name = slash ? slash + 1 : above;
	size_t len = strlen(name);
	if (len == 0 || len > NAME_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_set(e, EINVAL, "'%.80s' cannot be the name of a new directory", path);
	memcpy(w->name, name, len + 1);
	*name = 0;
	w->parent = open(*above ? above : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return w->parent < 0 ? err_errno(e, "directory '%s'", *above ? above : ".") : 0;
}

static int work_begin(struct work *w, const char *path, struct err *e)
{
	static const char *const files[] = {"state", "memory"};
	struct stat st;
	int r = work_split_path(path, w, e);

	if (r < 0)
		return r;
	if (fstatat(w->parent, w->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(e, EEXIST, "'%s' exists; name a new directory", path);
	(void)snprintf(w->beside, sizeof(w->beside), ".conker-snapshot-%d-%" PRIx64, (int)getpid(),
		       (uint64_t)clock_us());
	if (mkdirat(w->parent, w->beside, 0700) < 0)
		return err_errno(e, "make a directory beside '%s'", path);
	w->made = 1;
	w->dir = openat(w->parent, w->beside, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	for (size_t i = 0; w->dir >= 0 && i < 2; i++)
		w->fds[i] = openat(w->dir, files[i], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return w->fds[0] < 0 || w->fds[1] < 0 ? err_errno(e, "make the files of '%s'", path) : 0;
}

/* What is left has no name of its own yet. By names, because a process out of descriptors could not list them. */
static void work_end(struct work *w)
{
	static const char *const files[] = {"manifest", "manifest.part", "state", "memory", NULL};

	for (size_t i = 0; i < 2; i++)
		if (w->fds[i] >= 0)
			close(w->fds[i]);
	if (w->made && w->dir >= 0) {
		(void)dir_unlink(w->dir, files);
		(void)dir_unlink(w->dir, disk_names);
	}
	if (w->made)
		(void)unlinkat(w->parent, w->beside, AT_REMOVEDIR);
	if (w->dir >= 0)
		close(w->dir);
	if (w->parent >= 0)
		close(w->parent);
	free(w->text);
}

static int work_copy_disks(struct work *w, struct err *e)
{
	for (uint64_t i = 0; i < w->m.ndisks; i++) {
		struct layer *l = &w->m.disk[i];

		if (l->ro)
			continue;
		auto_close int from = open(l->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (from < 0)
			return err_errno(e, "disk '%s'", l->path);
		auto_close int to = disk_copy(from, w->dir, disk_names[i], e);
		if (to < 0)
			return to;
		int r = fsync(to) < 0 ? -errno : layer_of(to, (char *)disk_names[i], 0, l);
		if (r == 0)
			r = layer_sum_sparse(to, l->sum);
		if (r < 0)
			return err_set(e, -r, "disk '%s': %s", l->path, strerror(-r));
	}
	return 0;
}

/* Never replaces what has got that name meanwhile: a plain rename would take an empty directory's. There are file systems
 * that cannot tell. */
static int work_take_name(const struct work *w)
{
	int r = (int)syscall(SYS_renameat2, w->parent, w->beside, w->parent, w->name,
			     RENAME_NOREPLACE);

	if (r == 0 || (errno != EINVAL && errno != ENOSYS))
		return r;
	return renameat(w->parent, w->beside, w->parent, w->name);
}

static int work_finish(struct work *w, struct err *e)
{
	struct layer *own[] = {&w->m.state, &w->m.memory};
	static char *const names[] = {(char *)"state", (char *)"memory"};
	int r = manifest_add_sums(&w->m);

	for (size_t i = 0; i < 2 && r == 0; i++) {
		r = fsync(w->fds[i]) < 0 ? -errno : layer_of(w->fds[i], names[i], 1, own[i]);
		if (r == 0)
			r = layer_sum_sparse(w->fds[i], own[i]->sum);
	}
	if (r < 0)
		return err_set(e, -r, "complete the snapshot: %s", strerror(-r));
	w->m.synced = 1;
	w->m.taken_s = (uint64_t)time(NULL);
	host_boot(w->m.boot);
	r = manifest_save(w->dir, "manifest", &w->m, e);
	if (r < 0)
		return r;
	if (fsync(w->dir) < 0 || work_take_name(w) < 0)
		return err_errno(e, "give the snapshot its name '%s'", w->name);
	w->made = 0;
	r = boximage_used(&w->m.disk[0], w->dir, e);
	if (r < 0)
		return r;
	(void)fsync(w->parent); /* what is lost in a crash now is all of it */
	return 0;
}

static int work_files(void *user, int ret_fds[2], struct err *e)
{
	const struct work *w = user;

	(void)e;
	memcpy(ret_fds, w->fds, sizeof(w->fds));
	return 0;
}

static int snapshot_into(const struct box *b, const char *dir, uint32_t flags, struct work *w,
			 conker_snapshot_result *ret, struct err *e)
{
	int64_t begun_us = clock_us();
	int r = snapshot_manifest(b, &w->m, &w->text, e);

	if (r < 0)
		return r;
	if (manifest_has_writable(&w->m) && !(flags & CONKER_SNAPSHOT_STOP))
		return err_set(e, ENOTSUP,
			       "its writable disks would change meanwhile; let it stop (--stop)");
	r = work_begin(w, dir, e);
	if (r == 0)
		r = snapshot_take(b, &(struct snapshot_files){work_files, NULL, w}, flags, ret, e);
	if (r == 0)
		r = work_copy_disks(w, e);
	if (r == 0)
		r = work_finish(w, e);
	ret->total_us = (uint64_t)(clock_us() - begun_us);
	return r;
}

int conker_box_snapshot(conker_box *b, const char *dir, const conker_snapshot_opts *opts,
			conker_snapshot_result *ret)
{
	static const conker_snapshot_opts none = {.size = sizeof(none)};
	conker_snapshot_result ours = {.size = sizeof(ours)};
	struct work w = {-1, -1, .fds = {-1, -1}};
	conker_snapshot_opts o = {0};
	struct err *e;
	int r = box_enter_to_wait(b, &e);

	if (r == 0)
		r = opts_in(&o, sizeof(o), opts ? opts : &none, e);
	if (r < 0)
		return r;
	if (!dir || (o.flags & ~(uint32_t)CONKER_SNAPSHOT_STOP) ||
	    (ret && ret->size < sizeof(size_t)))
		return err_set(e, EINVAL, "no directory, unknown flags, or a result without size");
	r = snapshot_into(box_of(b), dir, o.flags, &w, &ours, e);
	work_end(&w);
	if (r < 0)
		return err_wrap(e, r, "snapshot of box '%s'", b->name);
	if (ret)
		opts_out(ret, &ours, sizeof(ours));
	return 0;
}
