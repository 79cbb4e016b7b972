/* SPDX-License-Identifier: Apache-2.0 */
/* confine.c - see confine.h. */
#include "util/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	UID_BASE = 0x70000000, /* a range that no distribution gives away */
	UID_MASK = 0x03ffffff,
	UID_NOBODY = 65534,
	CAPS_MAX = 64,
};

int jail_mode_parse(const char *s, enum jail_mode *ret)
{
	static const char *const modes[] = {
		[JAIL_OFF] = "off", [JAIL_ON] = "on", [JAIL_REQUIRED] = "required"};

	for (size_t i = 0; i < countof(modes); i++)
		if (strcmp(s, modes[i]) == 0) {
			*ret = (enum jail_mode)i;
			return 0;
		}
	return -EINVAL;
}

static int by_value(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

void confine_descriptors(int *keep, size_t n)
{
	int next = STDERR_FILENO + 1;

	qsort(keep, n, sizeof(keep[0]), by_value);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] > next)
			(void)syscall(SYS_close_range, (unsigned)next, (unsigned)keep[i] - 1, 0);
		if (keep[i] >= next)
			next = keep[i] + 1;
	}
	(void)syscall(SYS_close_range, (unsigned)next, ~0U, 0);
}

void confine_environment(void)
{
	for (char **v = environ; v && *v; v++)
		explicit_bzero(*v, strlen(*v));
	environ = NULL;
}

int confine_namespaces(int which)
{
	return unshare(which) < 0 ? -errno : 0;
}

/* It is mounted on /dev, which every host has, and the old root, stacked upon it by pivot_root(), is let go with all
 * that is mounted in it. */
int confine_root(void)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/dev", "tmpfs", flags, "size=4k,nr_inodes=1,mode=555") < 0 ||
	    chdir("/dev") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

/* The namespace, ours alone while it exists, picks one of the range. */
uid_t confine_uid(void)
{
	struct stat st;

	if (stat("/proc/self/ns/net", &st) < 0)
		return UID_NOBODY;
	return UID_BASE + (uid_t)(st.st_ino & UID_MASK);
}

static int become(uid_t uid)
{
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	return 0;
}

/* Or nobody, in a container that maps few users. */
static int confine_user(uid_t uid)
{
	int r = become(uid);

	return r == -EINVAL ? become(UID_NOBODY) : r;
}

static int confine_capabilities(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	return syscall(SYS_capset, &h, none) < 0 ? -errno : 0;
}

static int confine_capability_bounds(void)
{
	for (unsigned long cap = 0; cap < CAPS_MAX; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return errno == EINVAL && cap > 0 ? 0 : -errno; /* past the last one */
	return 0;
}

static int confine_no_new_privileges(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int limit(int resource, rlim_t max)
{
	struct rlimit was, l = {max, max};

	/* The call itself: the C libraries differ in the type of a resource. */
	if (syscall(SYS_prlimit64, 0, resource, NULL, &was) == 0 && was.rlim_max < max)
		l.rlim_cur = l.rlim_max = was.rlim_max;
	return syscall(SYS_prlimit64, 0, resource, &l, NULL) < 0 ? -errno : 0;
}

static int confine_limits(const struct confine_limit *limits, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = limit(limits[i].resource, limits[i].max);
	return r;
}

int confine_without(const struct confine *c, const char *layer, int r)
{
	return r < 0 ? c->lacks(c->arg, layer, -r) : 0;
}

int confine_rights(const struct confine *c)
{
	int r = confine_without(c, "capability-bounds", confine_capability_bounds());

	if (r == 0 && c->root)
		r = confine_without(c, "user-id", confine_user(c->uid));
	/* In there the bounds are wide again. */
	if (r == 0 && c->root)
		r = confine_without(c, "user-namespace", confine_namespaces(CLONE_NEWUSER));
	if (r == 0 && c->root)
		r = confine_without(c, "capability-bounds", confine_capability_bounds());
	if (r == 0)
		r = confine_without(c, "capabilities", confine_capabilities());
	if (r == 0)
		r = confine_without(c, "no-new-privs", confine_no_new_privileges());
	if (r == 0)
		r = confine_without(c, "limits", confine_limits(c->limits, c->n_limits));
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return r;
}
