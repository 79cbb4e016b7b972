/* cg.c - see cg.h. */
#include "guest-init/cg.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/cleanup.h"

enum { CHILDREN_DEPTH_MAX = 8 };

/* The kernel's struct linux_dirent64; its reader is all that is used of opendir(3), which allocates. */
struct dirent64_ {
	uint64_t d_ino;
	int64_t d_off;
	unsigned short d_reclen;
	unsigned char d_type;
	char d_name[];
};

enum { FSCONFIG_FLAG = 0, FSCONFIG_CREATE = 6, FSOPEN_CLOEXEC_ = 1, FSMOUNT_CLOEXEC_ = 1 };

static int mount_detached(struct err *e)
{
	auto_close int fs = (int)syscall(SYS_fsopen, "cgroup2", FSOPEN_CLOEXEC_);

	if (fs < 0)
		return err_errno(e, "cgroup2");
	if (syscall(SYS_fsconfig, fs, FSCONFIG_FLAG, "nsdelegate", NULL, 0) < 0 ||
	    syscall(SYS_fsconfig, fs, FSCONFIG_CREATE, NULL, NULL, 0) < 0)
		return err_errno(e, "cgroup2: set up");

	int mnt = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC_, 0);
	return mnt < 0 ? err_errno(e, "cgroup2: mount") : mnt;
}

static int put_file(int dir, const char *name, const char *value)
{
	auto_close int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, value, strlen(value)) >= 0 ? 0 : -errno;
}

/* All controllers at once; one by one if the kernel lacks some, which then has no limits of that
 * kind. */
static void enable_controllers(int dir)
{
	static const char *const one[] = {"+memory", "+pids", "+cpu"};

	if (put_file(dir, "cgroup.subtree_control", "+memory +pids +cpu") == 0)
		return;
	for (size_t i = 0; i < countof(one); i++)
		(void)put_file(dir, "cgroup.subtree_control", one[i]);
}

/* What the box may not take: memory for the kernel's work on init's behalf (pipes, packets), and a
 * few of the threads that the kernel allows for this much memory (kernel/fork.c: an eighth of it in
 * 16 KiB stacks). */
static void set_limits(int box, unsigned long long ram_bytes)
{
	unsigned long long reserve = ram_bytes / 32 + (4 << 20);
	unsigned long long threads = ram_bytes / 8 / (16 << 10);
	char v[24];

	(void)snprintf(v, sizeof(v), "%llu",
		       ram_bytes > 2 * reserve ? ram_bytes - reserve : ram_bytes);
	(void)put_file(box, "memory.max", v);
	(void)snprintf(v, sizeof(v), "%llu", threads > 256 ? threads - 128 : 128);
	(void)put_file(box, "pids.max", v);
}

int cg_mount(struct err *e, unsigned long long ram_bytes)
{
	auto_close int root = mount_detached(e);

	if (root < 0)
		return root;
	enable_controllers(root);
	if (mkdirat(root, "box", 0755) < 0)
		return err_errno(e, "cgroup2: make the box's group");

	int box = openat(root, "box", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (box < 0)
		return err_errno(e, "cgroup2: open the box's group");
	enable_controllers(box);
	set_limits(box, ram_bytes);
	return box;
}

void cg_init(struct cg *c, int box_fd)
{
	c->box_fd = box_fd;
	c->n_made = c->n_free = c->n_spent = 0;
}

static void group_name(char name[16], int i)
{
	(void)snprintf(name, 16, "%d", i);
}

static int make_group(struct cg *c, int i)
{
	struct cg_group *g = &c->group[i];
	char name[16];

	group_name(name, i);
	if (mkdirat(c->box_fd, name, 0755) < 0)
		return -errno;

	auto_close int dir = openat(c->box_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	g->events_fd = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
	if (g->events_fd < 0)
		return -errno;
	g->dir_fd = take_fd(dir);
	g->spent = 0;
	return i;
}

/* Groups below a group, made by its user: the deepest first. */
static void remove_children(int dir, int depth)
{
	_Alignas(struct dirent64_) char buf[1024];
	long n;

	if (depth == 0 || lseek(dir, 0, SEEK_SET) < 0)
		return;
	while ((n = syscall(SYS_getdents64, dir, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n;) {
			const struct dirent64_ *d = (const void *)(buf + at);

			at += d->d_reclen;
			if (d->d_type != DT_DIR || d->d_name[0] == '.')
				continue;
			auto_close int sub =
				openat(dir, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (sub >= 0)
				remove_children(sub, depth - 1);
			(void)unlinkat(dir, d->d_name, AT_REMOVEDIR);
		}
	}
}

/* 0, or -EBUSY while a process of it is still dying. */
static int remove_group(struct cg *c, int i)
{
	struct cg_group *g = &c->group[i];
	char name[16];

	if (cg_populated(c, i))
		return -EBUSY;
	group_name(name, i);
	if (unlinkat(c->box_fd, name, AT_REMOVEDIR) < 0) {
		remove_children(g->dir_fd, CHILDREN_DEPTH_MAX);
		if (unlinkat(c->box_fd, name, AT_REMOVEDIR) < 0)
			return -errno;
	}
	close(g->dir_fd);
	close(g->events_fd);
	return 0;
}

/* A removed group's number is free for a new one; -1 when none could be removed. */
static int reclaim(struct cg *c)
{
	for (int k = 0; k < c->n_spent; k++) {
		int i = c->spent[k];

		if (remove_group(c, i) < 0)
			continue;
		c->spent[k] = c->spent[--c->n_spent];
		return i;
	}
	return -1;
}

int cg_get(struct cg *c)
{
	if (c->n_free > 0)
		return c->free[--c->n_free];

	int i = c->n_spent > 0 ? reclaim(c) : -1;
	if (i < 0 && c->n_made == CG_MAX)
		return -EAGAIN;
	if (i >= 0)
		return make_group(c, i);
	i = make_group(c, c->n_made);
	c->n_made += i >= 0;
	return i;
}

void cg_put(struct cg *c, int i)
{
	if (c->group[i].spent)
		c->spent[c->n_spent++] = (short)i;
	else
		c->free[c->n_free++] = (short)i;
}

void cg_spoil(struct cg *c, int i)
{
	c->group[i].spent = 1;
}

void cg_kill(struct cg *c, int i)
{
	(void)!put_file(c->group[i].dir_fd, "cgroup.kill",
			"1"); /* fails only for a removed group */
	cg_spoil(c, i);
}

/* cgroup.procs lists one process a line; a number may be cut at the end of a read. */
int cg_signal(struct cg *c, int i, int signo)
{
	auto_close int fd = openat(c->group[i].dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	int r = -ESRCH, pid = 0;
	char buf[1024];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t k = 0; k < n; k++) {
			if (buf[k] >= '0' && buf[k] <= '9') {
				pid = pid * 10 + (buf[k] - '0');
				continue;
			}
			if (pid > 1 && kill(pid, signo) == 0) /* 0: not visible from here */
				r = 0;
			pid = 0;
		}
	}
	return r;
}

int cg_populated(struct cg *c, int i)
{
	char buf[64] = "";

	if (pread(c->group[i].events_fd, buf, sizeof(buf) - 1, 0) <= 0)
		return 1;
	return strstr(buf, "populated 0") == NULL;
}
