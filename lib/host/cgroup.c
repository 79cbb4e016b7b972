/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup.c - the host's own limits for a box: a cgroup (v2) of its VMM's own.
 *
 * They hold when everything else has failed: a VMM that was taken over gets no more memory, threads and
 * processor time than its box was given. Where the host does not let us make one, a box runs without, and
 * `conker info` and `conker doctor` say why.
 *
 *	parent	$CONKER_CGROUP (a cgroup below the top; "none": no cgroups), else
 *		conker/ at the top of the hierarchy, for root, else
 *		conker/ beside our own cgroup, which is where a session of systemd delegates
 *	box	PARENT/ID, entered by the VMM's first process at its birth
 *
 * The file `cgroup` of a box's directory has the path, or "none: REASON", and is written before the cgroup is
 * made: whoever removes the box, after whatever death of its maker, removes both.
 */
#include "lib/host/boxdir.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "util/io.h"

enum {
	/* Beside the guest's memory: the VMM (half a MiB), its buffers, page tables on both levels and what KVM
	 * remembers of each page (at most 1/64 together), and page cache of its disks to work with. */
	OVERHEAD_MIB = 32,
	OVERHEAD_PART = 64,
	/* Beside its vCPUs' threads: loop, disk, the processes of the jail on its way in, threads of KVM. */
	THREADS = 8,
	PERIOD_US = 100000,
	WEIGHT = 100, /* of each CPU; the kernel's default for one cgroup */
	WEIGHT_MAX = 10000,
};

static const char *const wanted[] = {"memory", "pids", "cpu"};
enum { NEEDED = 2 /* of wanted; without the others we live */ };

/* ---- small files -------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static int cgroup_put(int dir, const char *file,
							    const char *fmt, ...)
{
	auto_close int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);
	char text[64];
	va_list ap;

	if (fd < 0)
		return -errno;
	va_start(ap, fmt);
	int len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return io_write_all(fd, text, (size_t)len);
}

static int has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = words; (p = strstr(p, word)); p += len)
		if ((p == words || p[-1] == ' ') && (p[len] == 0 || p[len] == ' '))
			return 1;
	return 0;
}

/* ---- where --------------------------------------------------------------------------------------------- */

/* "ID PARENT MAJ:MIN ROOT MOUNT-POINT OPTIONS ... - cgroup2 ..." */
static int find_mount(char *ret, size_t size)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[PATH_MAX + 256];
	int r = -ENOENT;

	while (f && r < 0 && fgets(line, sizeof(line), f)) {
		char *rest = strstr(line, " - cgroup2 ") ? line : NULL, *point = NULL;

		for (int i = 0; i < 5; i++)
			point = strsep(&rest, " ");
		if (point)
			r = snprintf(ret, size, "%s", point) < (int)size ? 0 : -ENAMETOOLONG;
	}
	if (f)
		(void)fclose(f);
	return r;
}

/* Our own cgroup as a path below the mount point: the line "0::/PATH". */
static int find_own(char *ret, size_t size)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX];
	int r = -ENOENT;

	while (f && r < 0 && fgets(line, sizeof(line), f))
		if (strncmp(line, "0::/", 4) == 0) {
			line[strcspn(line, "\n")] = 0;
			r = snprintf(ret, size, "%s", line + 3) < (int)size ? 0 : -ENAMETOOLONG;
		}
	if (f)
		(void)fclose(f);
	return r;
}

static int parent_path(char ret[CGROUP_BYTES], struct err *e)
{
	const char *told = getenv("CONKER_CGROUP");
	char mount[CGROUP_BYTES], own[CGROUP_BYTES] = "/";

	if (told && strcmp(told, "none") == 0)
		return err_set(e, ENOTSUP, "CONKER_CGROUP=none");
	if (told && *told)
		return *told == '/' && snprintf(ret, CGROUP_BYTES, "%s", told) < CGROUP_BYTES
			       ? 0
			       : err_set(e, EINVAL, "CONKER_CGROUP is not an absolute path");
	if (find_mount(mount, sizeof(mount)) < 0)
		return err_set(e, ENOTSUP, "no cgroup2 is mounted");
	if (geteuid() != 0 && find_own(own, sizeof(own)) < 0)
		return err_set(e, ENOTSUP, "our own cgroup cannot be found");
	if (geteuid() != 0 && strcmp(own, "/") == 0)
		return err_set(e, ENOTSUP, "no cgroup is delegated to this user");
	*strrchr(own, '/') =
		0; /* the one above, whose processes are in cgroups below it, as they must */
	if (snprintf(ret, CGROUP_BYTES, "%s%s/conker", mount, own) >= CGROUP_BYTES)
		return err_set(e, ENAMETOOLONG, "the path of our own cgroup is too long");
	return 0;
}

/* Those of `wanted` that dir can give to its children, switched on. */
static void switch_on(int dir)
{
	char have[256], on[256];

	(void)dir_slurp(dir, "cgroup.controllers", have, sizeof(have));
	(void)dir_slurp(dir, "cgroup.subtree_control", on, sizeof(on));
	for (size_t i = 0; i < countof(wanted); i++)
		if (has_word(have, wanted[i]) && !has_word(on, wanted[i]))
			(void)cgroup_put(dir, "cgroup.subtree_control", "+%s", wanted[i]);
}

static int check_controllers(int dir, const char *file, const char *path, struct err *e)
{
	char have[256];

	(void)dir_slurp(dir, file, have, sizeof(have));
	for (size_t i = 0; i < NEEDED; i++)
		if (!has_word(have, wanted[i]))
			return err_set(e, ENOTSUP, "no controller `%s` in %s", wanted[i], path);
	return 0;
}

/* Before anything is made or changed: whether there are controllers to be had at all. A hierarchy beside one of
 * version 1 often has none. */
static int open_above(const char *path, struct err *e)
{
	char above[CGROUP_BYTES];
	struct statfs fs;

	(void)snprintf(above, sizeof(above), "%s", path);
	char *slash = strrchr(above, '/');
	slash[slash == above] = 0;
	auto_close int dir = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fstatfs(dir, &fs) < 0)
		return err_errno(e, "open %s", above);
	if (fs.f_type != CGROUP2_SUPER_MAGIC)
		return err_set(e, ENOTSUP, "%s is no cgroup (v2)", above);
	int r = check_controllers(dir, "cgroup.controllers", above, e);
	return r < 0 ? r : take_fd(dir);
}

int cgroup_parent(char ret_path[CGROUP_BYTES], struct err *e)
{
	int r = parent_path(ret_path, e);

	if (r < 0)
		return r;
	auto_close int above = open_above(ret_path, e);
	if (above < 0)
		return above;
	int made = mkdir(ret_path, 0755) == 0;
	if (!made && errno != EEXIST)
		return err_errno(e, "make %s", ret_path);
	auto_close int dir = open(ret_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_errno(e, "open %s", ret_path);
	switch_on(above);
	switch_on(dir);
	r = check_controllers(dir, "cgroup.subtree_control", ret_path, e);
	if (r < 0 &&
	    made) /* a container's root has processes of its own: it can give nothing away */
		(void)rmdir(ret_path);
	return r < 0 ? r : take_fd(dir);
}

/* ---- making -------------------------------------------------------------------------------------------- */

static int set_limits(int cg, const struct meta *m, struct err *e)
{
	uint64_t guest = (uint64_t)m->memory_mib << 20;
	uint64_t overhead = ((uint64_t)OVERHEAD_MIB << 20) + guest / OVERHEAD_PART;
	unsigned weight = min_(m->cpus * WEIGHT, (unsigned)WEIGHT_MAX);

	int r = cgroup_put(cg, "memory.max", "%" PRIu64, guest + overhead);
	if (r == 0)
		r = cgroup_put(cg, "pids.max", "%u", m->cpus + THREADS);
	if (r < 0)
		return err_set(e, -r, "set its limits: %s", strerror(-r));
	/* What a host may lack: swap accounting, the cpu controller. */
	(void)cgroup_put(cg, "memory.swap.max", "%" PRIu64, guest);
	(void)cgroup_put(cg, "memory.oom.group", "1");
	/* One CPU more than the guest has: its devices must not wait for its spinning. */
	(void)cgroup_put(cg, "cpu.max", "%u %u", (m->cpus + 1) * PERIOD_US, PERIOD_US);
	(void)cgroup_put(cg, "cpu.weight", "%u", weight);
	return 0;
}

static int note(int dir, const char *text)
{
	auto_close int fd =
		openat(dir, "cgroup", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -errno : io_write_all(fd, text, strlen(text));
}

static int make(int dir, const struct meta *m, struct err *e)
{
	char path[CGROUP_BYTES], whole[CGROUP_BYTES + ID_BYTES];
	auto_close int parent = cgroup_parent(path, e);

	if (parent < 0)
		return parent;
	(void)snprintf(whole, sizeof(whole), "%s/%s", path, m->id);
	if (note(dir, whole) < 0)
		return err_set(e, EIO, "its path cannot be written down");
	if (mkdirat(parent, m->id, 0755) < 0)
		return err_errno(e, "make %s", whole);
	auto_close int cg = openat(parent, m->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = cg < 0 ? err_errno(e, "open %s", whole) : set_limits(cg, m, e);
	if (r < 0) {
		(void)unlinkat(parent, m->id, AT_REMOVEDIR);
		return r;
	}
	return take_fd(cg);
}

int cgroup_make(int dir, const struct meta *m)
{
	struct err e = {0};
	int cg = make(dir, m, &e);

	if (cg < 0)
		cgroup_none(dir, e.msg);
	return cg;
}

void cgroup_none(int dir, const char *reason)
{
	char text[CGROUP_BYTES];

	cgroup_remove(dir);
	(void)snprintf(text, sizeof(text), "none: %.*s", CGROUP_BYTES - 8, reason);
	(void)note(dir, text);
}

void cgroup_describe(int dir, char *ret, size_t size)
{
	(void)dir_slurp(dir, "cgroup", ret, size);
}

/* ---- removing ------------------------------------------------------------------------------------------ */

void cgroup_remove(int dir)
{
	enum { ROUNDS = 200, STEP_NS = 5000000 };
	char path[CGROUP_BYTES + ID_BYTES];
	struct statfs fs;

	(void)dir_slurp(dir, "cgroup", path, sizeof(path));
	if (*path != '/')
		return;
	auto_close int cg = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (cg < 0 || fstatfs(cg, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return;
	(void)cgroup_put(cg, "cgroup.kill",
			 "1"); /* since Linux 5.14; whoever calls has ended the VMM anyway */
	for (int i = 0; i < ROUNDS && unlinkat(AT_FDCWD, path, AT_REMOVEDIR) < 0 && errno == EBUSY;
	     i++)
		(void)nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
}
