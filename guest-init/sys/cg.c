/* SPDX-License-Identifier: Apache-2.0 */
/* cg.c - see cg.h: the groups of executions. Figures are in cg_usage.c, the box's group in cg_mount.c. */
#include "guest-init/sys/cg.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "guest-init/sys/cg_file.h"
#include "util/num.h"

enum { CHILDREN_DEPTH_MAX = 8, CPU_PERIOD_US = 100000, MISSING = -2 };

/* The kernel's struct linux_dirent64; its reader is all that is used of opendir(3), which allocates. */
struct dirent64_ {
	uint64_t d_ino;
	int64_t d_off;
	unsigned short d_reclen;
	unsigned char d_type;
	char d_name[];
};

void cg_init(struct cg *c, int box_fd, const struct cg_limits *each)
{
	c->box_fd = box_fd;
	c->each = *each;
	c->n_made = c->n_free = c->n_spent = c->n_untidy = 0;
}

/* ---- making and removing ---- */

static void group_name(char name[16], int i)
{
	(void)snprintf(name, 16, "%d", i);
}

/* A kernel that lacks a controller has been told about on the way to the first group with limits. */
static void set_shares(struct cg *c, int dir)
{
	if (c->each.memory_max_bytes)
		(void)!cg_file_put_number(dir, "memory.max", c->each.memory_max_bytes);
	if (c->each.pids_max)
		(void)!cg_file_put_number(dir, "pids.max", c->each.pids_max);
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
	set_shares(c, dir);
	*g = (struct cg_group){.dir_fd = take_fd(dir)};
	for (int f = 0; f < CG_N_FILES; f++)
		g->fd[f] = -1;
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
	for (int f = 0; f < CG_N_FILES; f++)
		if (g->fd[f] >= 0)
			close(g->fd[f]);
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

static int make_another(struct cg *c)
{
	int i = c->n_spent > 0 ? reclaim(c) : -1;

	if (i >= 0)
		return make_group(c, i);
	if (c->n_made == CG_MAX)
		return -EAGAIN;
	i = make_group(c, c->n_made);
	c->n_made += i >= 0;
	return i;
}

/* ---- choosing ---- */

static int is_limited(const struct cg_limits *l)
{
	return l->memory_max_bytes || l->pids_max || l->cpu_max_permille;
}

/* Files in memory that earlier executions left, and that would count for the next one. */
static int is_heavy(const struct cg *c, const struct cg_group *g, const struct cg_limits *l)
{
	uint64_t most = l->memory_max_bytes ? CG_NOISE_BYTES : c->each.memory_max_bytes / 4;

	return most && g->memory_base_bytes > most;
}

static int take_free(struct cg *c, int k)
{
	int i = c->free[k];

	c->n_free--;
	memmove(&c->free[k], &c->free[k + 1], (size_t)(c->n_free - k) * sizeof(c->free[0]));
	return i;
}

/* -1: none will do. */
static int choose(struct cg *c, const struct cg_limits *l)
{
	int second = -1;

	for (int k = c->n_free - 1; k >= 0; k--) {
		const struct cg_group *g = &c->group[c->free[k]];

		if (is_heavy(c, g, l))
			continue;
		if (!g->was_shared)
			return take_free(c, k);
		if (second < 0 && !is_limited(l))
			second = k;
	}
	return second < 0 ? -1 : take_free(c, second);
}

/* The files may have been removed since. */
static void weigh_again(struct cg *c, const struct cg_limits *l)
{
	char text[24];

	for (int k = 0; k < c->n_free; k++) {
		struct cg_group *g = &c->group[c->free[k]];
		int fd = is_heavy(c, g, l) ? cg_fd(c, c->free[k], CG_MEMORY) : -1;

		if (fd >= 0 && cg_file_get(fd, text, sizeof(text)) == 0)
			g->memory_base_bytes = cg_parse(text, "");
	}
}

static int get_any(struct cg *c, const struct cg_limits *l)
{
	if (c->n_free == 0)
		cg_tidy(c);
	int i = choose(c, l);
	if (i >= 0)
		return i;
	weigh_again(c, l);
	i = choose(c, l);
	if (i >= 0)
		return i;
	i = make_another(c);
	return i < 0 && c->n_free > 0 ? take_free(c, c->n_free - 1) : i;
}

/* ---- limits ---- */

/* Killed for its memory, an execution goes as a whole: what is left of it would not be what was asked
 * for. */
static int limit_memory(int dir, uint64_t bytes)
{
	int r = cg_file_put_number(dir, "memory.max", bytes);

	return r < 0 ? r : cg_file_put(dir, "memory.oom.group", "1");
}

static int group_set_limits(int dir, const struct cg_limits *l)
{
	int r = 0;

	if (l->memory_max_bytes)
		r = limit_memory(dir, l->memory_max_bytes);
	if (r == 0 && l->pids_max)
		r = cg_file_put_number(dir, "pids.max", l->pids_max);
	if (r == 0 && l->cpu_max_permille && faccessat(dir, "cpu.max", W_OK, 0) < 0)
		r = -errno;
	return r == -ENOENT ? -EOPNOTSUPP : r;
}

static void lift_limits(struct cg *c, int dir)
{
	(void)!cg_file_put(dir, "memory.max", "max");
	(void)!cg_file_put(dir, "memory.oom.group", "0");
	(void)!cg_file_put(dir, "pids.max", "max");
	(void)!cg_file_put(dir, "cpu.max", "max");
	set_shares(c, dir);
}

int cg_limit_cpu(struct cg *c, int i, uint32_t permille)
{
	uint64_t most = permille < CG_CPU_MIN_PERMILLE ? CG_CPU_MIN_PERMILLE : permille;
	char text[48];

	(void)snprintf(text, sizeof(text), "%" PRIu64 " %d", most * (CPU_PERIOD_US / 1000),
		       CPU_PERIOD_US);
	return cg_file_put(c->group[i].dir_fd, "cpu.max", text);
}

/* ---- taking and giving back ---- */

int cg_get(struct cg *c, const struct cg_limits *l)
{
	int i = get_any(c, l);

	if (i < 0 || !is_limited(l))
		return i;
	c->group[i].limited = 1;
	int r = group_set_limits(c->group[i].dir_fd, l);
	if (r == 0)
		return i;
	cg_put(c, i);
	return r;
}

void cg_put(struct cg *c, int i)
{
	const struct cg_group *g = &c->group[i];

	if (g->spent)
		c->spent[c->n_spent++] = (short)i;
	else if (g->limited || g->untidy || g->was_shared)
		c->untidy[c->n_untidy++] = (short)i;
	else
		c->free[c->n_free++] = (short)i;
}

/* Kernels other than ours refuse: the group then stays one that was shared. */
static void reset_pids_peak(struct cg *c, int i)
{
	struct cg_group *g = &c->group[i];
	int fd = g->was_shared ? cg_fd(c, i, CG_PIDS_PEAK) : -1;

	if (fd >= 0 && pwrite(fd, "0", 1, 0) == 1)
		g->was_shared = 0;
}

/* Kernels before 6.12 refuse to reset memory.peak; it is then an upper bound. */
static void reset_memory_peak(struct cg *c, int i)
{
	struct cg_group *g = &c->group[i];
	int fd = cg_fd(c, i, CG_MEMORY_PEAK);
	char text[24];

	g->untidy = 0;
	if (fd < 0 || pwrite(fd, "0", 1, 0) < 0 || cg_file_get(fd, text, sizeof(text)) < 0)
		return;
	g->memory_base_bytes = cg_parse(text, "");
}

void cg_tidy(struct cg *c)
{
	while (c->n_untidy > 0) {
		int i = c->untidy[--c->n_untidy];
		struct cg_group *g = &c->group[i];

		if (g->limited)
			lift_limits(c, g->dir_fd);
		if (g->limited || g->untidy)
			reset_memory_peak(c, i);
		g->limited = 0;
		reset_pids_peak(c, i);
		c->free[c->n_free++] = (short)i;
	}
	if (c->n_free > 0 || c->n_spent == 0)
		return;
	int i = reclaim(c);
	if (i >= 0 && make_group(c, i) >= 0)
		c->free[c->n_free++] = (short)i;
}

void cg_spoil(struct cg *c, int i)
{
	c->group[i].spent = 1;
}

void cg_kill(struct cg *c, int i)
{
	(void)!cg_file_put(c->group[i].dir_fd, "cgroup.kill",
			   "1"); /* fails only for a removed group */
	cg_spoil(c, i);
}

/* cgroup.procs lists one process a line; a number may be cut at the end of a read. */
int cg_signal(struct cg *c, int i, int signo)
{
	auto_close int fd = openat(c->group[i].dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	int r = -ESRCH;
	uint64_t pid = 0;
	char buf[1024];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t k = 0; k < n; k++) {
			if (num_append(&pid, 10, buf[k]) == 0)
				continue;
			if (pid > 1 && kill((pid_t)pid, signo) == 0) /* 0: not visible from here */
				r = 0;
			pid = 0;
		}
	}
	return r;
}

/* ---- its files ---- */

static int open_file(int dir, enum cg_file f)
{
	static const char *const name[CG_N_FILES] = {
		[CG_EVENTS] = "cgroup.events",    [CG_PIDS] = "pids.current",
		[CG_PIDS_PEAK] = "pids.peak",     [CG_MEMORY] = "memory.current",
		[CG_MEMORY_PEAK] = "memory.peak", [CG_MEMORY_EVENTS] = "memory.events",
		[CG_CPU_STAT] = "cpu.stat",
	};
	int is_peak = f == CG_MEMORY_PEAK || f == CG_PIDS_PEAK;
	int fd = is_peak ? openat(dir, name[f], O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		fd = openat(dir, name[f], O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : -errno;
}

int cg_fd(struct cg *c, int i, enum cg_file f)
{
	int *fd = &c->group[i].fd[f];

	if (*fd == -1) {
		int r = open_file(c->group[i].dir_fd, f);

		if (r < 0 && r != -ENOENT)
			return r;
		*fd = r < 0 ? MISSING : r;
	}
	return *fd == MISSING ? -ENOENT : *fd;
}

int cg_populated(struct cg *c, int i)
{
	int fd = cg_fd(c, i, CG_EVENTS);

	return fd < 0 || cg_file_populated(fd);
}

int cg_left_behind(struct cg *c, int i)
{
	struct cg_group *g = &c->group[i];
	int fd = g->was_shared ? -1 : cg_fd(c, i, CG_PIDS_PEAK);
	char text[24];

	if (fd >= 0 && cg_file_get(fd, text, sizeof(text)) == 0 && cg_parse(text, "") == 1)
		return 0;
	g->was_shared = 1;
	return cg_populated(c, i);
}
