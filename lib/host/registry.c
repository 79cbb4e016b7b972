/* SPDX-License-Identifier: Apache-2.0 */
/* registry.c - boxes as directories, and who is alive.
 *
 * A box is a directory boxes/NAME with
 *	lock	the VMM holds a POSIX lock on it for life: F_GETLK names it, even across pid namespaces
 *		(proto/box.h: and whether it is writing the machine to disk);
 *		the starter, while it has its handle, holds a flock. The two kinds ignore each other
 *	box	what was asked for, key=value; complete or absent
 *	state	the VMM's event lines
 *	manifest	what a snapshot of it has to say (box/snapshot.h); written before its VMM starts
 *	storage	a link to what it keeps on disk, if it does (storage.c): a box is suspended when nobody holds the
 *		lock and there is something to go on with
 *	console, exec.sock, forward.sock, ctl.sock
 *
 * Births, sweeps and removals take the registry's own flock (on boxes/), and a directory is born
 * together with the starter's lock under it. So one whose lock file neither a VMM nor a starter holds
 * is over for good, whatever was killed when. It is swept when nobody can want it any more: it died
 * with its starter, or before it ever was ready.
 */
#include "lib/host/boxdir.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/box.h"
#include "util/array.h"
#include "util/io.h"
#include "util/num.h"

/* ---- one box's directory ------------------------------------------------------------------------- */

/* 0: nobody; or -errno. */
static pid_t lock_holder(int lock)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(lock, F_GETLK, &fl) < 0)
		return -errno;
	return fl.l_type == F_UNLCK ? 0 : fl.l_pid;
}

int registry_hold(int dir, pid_t *ret_vmm, int *ret_held)
{
	auto_hold int lock = openat(dir, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	*ret_vmm = 0;
	*ret_held = -1;
	if (lock < 0)
		return errno == ENOENT ? BOX_OVER : -errno;
	/* Shared, so that two who look at the same time do not take each other for the starter. And first: looked at
	 * behind the VMM's lock, a starter that finishes in between would leave the impression that nobody is there. */
	int has_starter = flock(lock, LOCK_SH | LOCK_NB) < 0;
	if (has_starter && errno != EWOULDBLOCK)
		return -errno;

	pid_t pid = lock_holder(lock);
	if (pid < 0)
		return pid;
	*ret_vmm = pid;
	if (pid > 0)
		return BOX_RUNS;
	if (has_starter)
		return BOX_STARTING;
	*ret_held = take_fd(lock);
	return BOX_OVER;
}

int registry_is_writing(int dir)
{
	struct flock fl = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_IDLE_BYTE, .l_len = 1};
	auto_close int lock = openat(dir, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	return lock >= 0 && lock_holder(lock) > 0 && fcntl(lock, F_GETLK, &fl) == 0 &&
	       fl.l_type == F_UNLCK;
}

/* Not by closing it alone: a child that another thread has just forked may have it too. */
void registry_release(const int *held)
{
	if (*held < 0)
		return;
	(void)flock(*held, LOCK_UN);
	close(*held);
}

int registry_liveness(int dir, pid_t *ret_vmm)
{
	auto_hold int held = -1;

	return registry_hold(dir, ret_vmm, &held);
}

int registry_await_starter(int dir)
{
	auto_close int lock = openat(dir, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	return lock < 0 || flock(lock, LOCK_SH) < 0 ? -errno : 0;
}

int registry_vmm(int dir)
{
	auto_close int lock = openat(dir, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (lock < 0)
		return errno == ENOENT ? -ESRCH : -errno;

	pid_t pid = lock_holder(lock);
	if (pid <= 0)
		return pid < 0 ? pid : -ESRCH;

	auto_close int fd = pidfd_of(pid);
	if (fd < 0)
		return fd;
	/* The same number still holds the lock: it is the process that we opened. */
	pid_t again = lock_holder(lock);
	if (again < 0)
		return again;
	return again == pid ? take_fd(fd) : -ESRCH;
}

int registry_kill(int dir)
{
	enum { TRIES = 100, STEP_MS = 100, REFUSALS = 3 };
	int refused = 0;

	for (int i = 0; i < TRIES; i++) {
		auto_close int vmm = registry_vmm(dir);
		if (vmm == -ESRCH)
			return 0;
		if (vmm < 0) { /* the host is short of something, maybe not for long */
			if (++refused == REFUSALS)
				return vmm;
			(void)poll(NULL, 0, STEP_MS);
			continue;
		}
		(void)pidfd_kill(vmm, SIGKILL); /* it may be ending already */
		if (pidfd_wait(vmm, STEP_MS) == 0)
			return 0;
	}
	return -ETIMEDOUT;
}

enum { META_BYTES = 2048 }; /* of the file `box`, at most */

static void parse_line(struct meta *m, const char *key, const char *value)
{
	const struct {
		const char *key;
		uint32_t *to;
	} numbers[] = {
		{"memory_mib", &m->memory_mib},
		{"cpus", &m->cpus},
		{"flags", &m->flags},
		{"max_life_ms", &m->max_life_ms},
		{"idle_timeout_ms", &m->idle_timeout_ms},
		{"idle_suspend_ms", &m->idle_suspend_ms},
	};

	for (size_t i = 0; i < countof(numbers); i++)
		if (strcmp(key, numbers[i].key) == 0)
			*numbers[i].to = (uint32_t)num_at(value);
	if (strcmp(key, "id") == 0)
		(void)snprintf(m->id, sizeof(m->id), "%s", value);
	else if (strcmp(key, "name") == 0)
		(void)snprintf(m->name, sizeof(m->name), "%s", value);
	else if (strcmp(key, "image") == 0)
		(void)snprintf(m->image, sizeof(m->image), "%s", value);
	else if (strcmp(key, "from") == 0)
		(void)snprintf(m->from, sizeof(m->from), "%s", value);
	else if (strcmp(key, "created_s") == 0)
		m->created_s = (int64_t)num_at(value);
}

int meta_load(int dir, struct meta *ret)
{
	char buf[META_BYTES];
	char *save;
	auto_close int fd = openat(dir, "box", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	memset(ret, 0, sizeof(*ret));
	if (fd < 0)
		return -errno;

	ssize_t n = read(fd, buf, sizeof(buf) - 1);
	if (n < 0)
		return -errno;
	buf[n] = 0;
	for (char *l = strtok_r(buf, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char *eq = strchr(l, '=');
		if (!eq)
			continue;
		*eq = 0;
		parse_line(ret, l, eq + 1);
	}
	return ret->name[0] ? 0 : -EINVAL;
}

/* What meta_load() and opening say of that which is no box, or not yet, or no longer. */
static int is_no_box(int r)
{
	return r == -ENOENT || r == -EINVAL || r == -ENOTDIR || r == -ELOOP;
}

/* Written beside and renamed: who reads it sees all or nothing. */
static int meta_save(int dir, const struct meta *m)
{
	char buf[META_BYTES];
	auto_close int fd = openat(dir, "box.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;

	int n = snprintf(buf, sizeof(buf),
			 "id=%s\nname=%s\nimage=%s\nfrom=%s\nmemory_mib=%u\ncpus=%u\nflags=%"
			 "u\nmax_life_ms=%u\nidle_timeout_ms=%u\nidle_suspend_ms=%u\n"
			 "created_s=%lld\nstarter_pid=%d\n",
			 m->id, m->name, m->image, m->from, m->memory_mib, m->cpus, m->flags,
			 m->max_life_ms, m->idle_timeout_ms, m->idle_suspend_ms,
			 (long long)m->created_s, (int)getpid());
	int r = io_write_all(fd, buf, (size_t)n);
	if (r < 0)
		return r;
	return renameat(dir, "box.new", dir, "box") < 0 ? -errno : 0;
}

/* ---- removal --------------------------------------------------------------------------------------- */

/* By name, because a process out of descriptors could not list them. `box` goes first: what is left when
 * we are killed half-way is swept like an unfinished birth. */
static int remove_dir(int reg, const char *name, int dir)
{
	static const char *const files[] = {
		"box",  "box.new", "image",    "exec.sock",     "forward.sock", "console", "state",
		"lock", "cgroup",  "manifest", "manifest.part", "ctl.sock",     NULL};

	cgroup_remove(dir);
	storage_remove(dir);
	int r = dir_unlink(dir, files);
	if (unlinkat(reg, name, AT_REMOVEDIR) < 0 && errno != ENOENT && r == 0)
		r = -errno;
	return r;
}

int registry_remove(const char *name, int dir)
{
	struct stat a, b;
	auto_close int reg = place_boxes(NULL);
	auto_close int lock = reg < 0 ? reg : dir_lock(reg, NULL);

	if (lock < 0)
		return lock;
	if (fstat(dir, &a) < 0 || fstatat(reg, name, &b, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	/* The name may have been given to a new box since; ours goes only by its own name. */
	return a.st_ino == b.st_ino && a.st_dev == b.st_dev ? remove_dir(reg, name, dir) : 0;
}

/* What cannot be looked at, because there are no more descriptors for instance, is none. */
static int is_junk(int dir)
{
	struct meta m;
	struct vm_events v;
	pid_t vmm;
	auto_hold int held = -1; /* nobody may resume it between two looks */

	if (registry_hold(dir, &vmm, &held) != BOX_OVER)
		return 0;
	int r = meta_load(dir, &m);
	if (r < 0)
		return is_no_box(r);
	if (!(m.flags & CONKER_BOX_DETACHED))
		return 1;
	return events_load(&v, dir) == 0 && !v.ready && !storage_is_suspended(dir);
}

/* With the registry locked. */
static void sweep_one(int reg, const char *name)
{
	auto_close int dir = openat(reg, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (dir >= 0 && is_junk(dir))
		(void)remove_dir(reg, name, dir);
}

/* ---- birth ----------------------------------------------------------------------------------------- */

static int make_id(char ret[ID_BYTES])
{
	uint8_t raw[6];

	ssize_t n = getrandom(raw, sizeof(raw), 0); /* as few come whole or not at all */
	if (n < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(raw); i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", raw[i]);
	return 0;
}

static int open_by_id(int reg, const char *id, struct meta *ret);

/* A box may be named by its id as well, which then must not be another's name. */
static int check_no_id(int reg, const struct meta *m, struct err *e)
{
	struct meta other;

	if (strcmp(m->name, m->id) == 0 || strlen(m->name) != strlen(m->id) ||
	    strspn(m->name, "0123456789abcdef") < strlen(m->id))
		return 0;
	auto_close int dir = open_by_id(reg, m->name, &other);
	if (dir < 0 || strcmp(other.name, m->name) == 0)
		return 0;
	return err_set(e, EEXIST, "'%s' is the id of the box '%s'; choose another name", m->name,
		       other.name);
}

static int refuse_name(int reg, const char *name, name_taken_fn *taken, struct err *e)
{
	auto_close int dir = openat(reg, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return taken(dir, name, e);
}

static int birth_in(int reg, struct meta *m, name_taken_fn *taken, struct birth *ret, struct err *e)
{
	auto_close int locked = dir_lock(reg, e);

	if (locked < 0)
		return locked;
	sweep_one(reg, m->name);
	int r = check_no_id(reg, m, e);
	if (r < 0)
		return r;
	if (mkdirat(reg, m->name, 0700) < 0)
		return errno == EEXIST ? refuse_name(reg, m->name, taken, e)
				       : err_errno(e, "make the directory of box '%s'", m->name);

	auto_close int dir = openat(reg, m->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	auto_close int starter =
		dir < 0 ? -1 : openat(dir, "lock", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (starter < 0 || flock(starter, LOCK_EX) < 0) {
		r = err_errno(e, "make the lock of box '%s'", m->name);
		(void)remove_dir(reg, m->name, dir);
		return r;
	}

	r = meta_save(dir, m);
	if (r < 0) {
		(void)remove_dir(reg, m->name, dir);
		return err_set(e, -r, "write the description of box '%s': %s", m->name,
			       strerror(-r));
	}
	ret->dir = take_fd(dir);
	ret->starter = take_fd(starter);
	return 0;
}

int registry_birth(struct meta *m, name_taken_fn *taken, struct birth *ret, struct err *e)
{
	auto_close int reg = place_boxes(e);

	if (reg < 0)
		return reg;
	int r = make_id(m->id);
	if (r < 0)
		return err_set(e, -r, "a random number for the box's id: %s", strerror(-r));
	if (!m->name[0])
		memcpy(m->name, m->id, ID_BYTES);
	m->created_s = time(NULL);
	return birth_in(reg, m, taken, ret, e);
}

/* ---- looking --------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int names_in(int reg, char (**ret)[NAME_BYTES], size_t *ret_n)
{
	char(*names)[NAME_BYTES] = NULL;
	size_t n = 0, cap = 0;
	auto_dir *d = dir_stream(reg, ".");
	struct dirent *de;

	if (!d)
		return -errno;
	while ((de = readdir(d))) {
		if (name_check("box", de->d_name, NULL) < 0)
			continue;
		void *p = array_grow(names, &cap, n, sizeof(*names), 16);
		if (!p) {
			free(names);
			return -ENOMEM;
		}
		names = p;
		memcpy(names[n++], de->d_name, strlen(de->d_name) + 1); /* name_check() bounds it */
	}
	if (n)
		qsort(names, n, sizeof(*names), by_name);
	*ret = names;
	*ret_n = n;
	return 0;
}

int registry_names(char (**ret)[NAME_BYTES], size_t *ret_n, struct err *e)
{
	auto_close int reg = place_boxes(e);
	auto_close int locked = reg < 0 ? -1 : dir_lock(reg, e);
	char(*names)[NAME_BYTES];
	size_t n, kept = 0;

	if (locked < 0)
		return reg < 0 ? reg : locked;
	int r = names_in(reg, &names, &n);
	if (r < 0)
		return err_set(e, -r, "read the directory of boxes: %s", strerror(-r));
	for (size_t i = 0; i < n; i++) {
		sweep_one(reg, names[i]);
		if (faccessat(reg, names[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
			memmove(names[kept++], names[i], NAME_BYTES);
	}
	*ret = names;
	*ret_n = kept;
	return 0;
}

static int open_named(int reg, const char *name, struct meta *ret)
{
	auto_close int dir = openat(reg, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (dir < 0)
		return -errno;
	int r = meta_load(dir, ret);
	return r < 0 ? r : take_fd(dir);
}

static int open_by_id(int reg, const char *id, struct meta *ret)
{
	char(*names)[NAME_BYTES] = NULL;
	size_t n = 0;
	int found = names_in(reg, &names, &n);

	if (found < 0)
		return found;
	found = -ENOENT;
	for (size_t i = 0; i < n && found < 0; i++) {
		int dir = open_named(reg, names[i], ret);
		/* One that cannot be looked at may be it. */
		int is_it = dir < 0 ? !is_no_box(dir) : strcmp(ret->id, id) == 0;
		if (is_it)
			found = dir;
		else if (dir >= 0)
			close(dir);
	}
	free(names);
	return found;
}

int registry_open(const char *name, struct meta *ret, struct err *e)
{
	auto_close int reg = place_boxes(e);

	if (reg < 0)
		return reg;
	int r = name_check("box", name, e);
	if (r < 0)
		return r;

	auto_close int locked = dir_lock(reg, e);
	if (locked < 0)
		return locked;
	sweep_one(reg, name);
	int dir = open_named(reg, name, ret);
	if (dir < 0 && is_no_box(dir))
		dir = open_by_id(reg, name, ret);
	if (dir < 0 && !is_no_box(dir))
		return err_set(e, -dir, "box '%s': %s", name, strerror(-dir));
	if (dir < 0)
		return err_set(e, ENOENT, "no box named '%s'; `conker ls --all` lists them", name);
	return dir;
}
