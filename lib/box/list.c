/* SPDX-License-Identifier: Apache-2.0 */
/* list.c - boxes by name, without a handle: list, look up, remove, console. */
#include "lib/box/snapshot.h"
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int list_lookup(const char *name, conker_box_info *ret, struct err *e)
{
	struct meta m;
	struct vm_events v;
	auto_close int dir = registry_open(name, &m, e);

	if (dir < 0)
		return dir;
	int r = events_load(&v, dir);
	if (r == 0)
		r = info_fill(ret, &m, &v, dir);
	if (r < 0)
		return err_set(e, -r, "look what box '%s' does: %s", m.name, strerror(-r));
	ret->size = sizeof(*ret);
	return 0;
}

int conker_box_list(int (*fn)(const conker_box_info *info, void *user), void *user)
{
	struct err *e = api_enter();
	char(*names)[NAME_BYTES] = NULL;
	conker_box_info info;
	struct err one;
	size_t n;

	if (!fn)
		return err_set(e, EINVAL, "no function given");
	int r = registry_names(&names, &n, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r == 0; i++) {
		r = list_lookup(names[i], &info, &one);
		if (r == 0)
			r = fn(&info, user);
		else if (r == -ENOENT)
			r = 0; /* it was removed meanwhile */
		else
			*e = one;
	}
	free(names);
	return r;
}

int conker_box_lookup(const char *name, conker_box_info *ret)
{
	struct err *e = api_enter();
	conker_box_info info;

	if (!name || !ret || ret->size < sizeof(ret->size))
		return err_set(e, EINVAL, "no name, or the info's size field is not set");
	int r = list_lookup(name, &info, e);
	if (r == 0)
		opts_out(ret, &info, sizeof(info));
	return r;
}

static int list_kill_vmm(int dir, const char *name, pid_t vmm, struct err *e)
{
	int r = registry_kill(dir);
	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT, "box '%s': its VMM (pid %d) does not end", name,
			       (int)vmm);
	return r < 0 ? err_set(e, -r, "box '%s': end its VMM: %s", name, strerror(-r)) : 0;
}

/* Whether it has gone to disk, or just goes, with all it has; or -errno. */
static int list_is_suspended(int dir, int alive, const struct vm_events *v)
{
	return alive == BOX_OVER ? suspended_settle(dir, v)
				 : v->over && v->end == CONKER_BOX_SUSPENDED;
}

/* Sees to it that nobody is in there any more, nor resumes it before *ret_held is released. */
static int list_end_box(int dir, const char *name, uint32_t flags, int *ret_held, struct err *e)
{
	struct vm_events v;
	pid_t vmm;
	/* A resume that goes on comes to its end; the child of one that failed may still hold its lock. */
	int force = (flags & CONKER_RM_FORCE) != 0;
	int r = force && storage_is_suspended(dir) ? registry_await_starter(dir) : 0;
	int alive = r < 0 ? r : registry_hold(dir, &vmm, ret_held);

	r = alive < 0 ? alive : events_load(&v, dir);

	/* One that has said its last word only takes its machine apart. */
	if (r == 0 && alive == BOX_RUNS && !v.over && !force)
		return err_set(e, EBUSY, "box '%s' is running; stop it first, or force", name);
	if (r == 0 && !force)
		r = list_is_suspended(dir, alive, &v);
	if (r > 0)
		return err_set(e, EBUSY,
			       "box '%s' is suspended, with memory and files that would be lost; "
			       "stop it first, or force",
			       name);
	if (r == 0 && alive == BOX_RUNS) {
		r = list_kill_vmm(dir, name, vmm, e);
		if (r < 0)
			return r;
		alive = registry_hold(dir, &vmm, ret_held);
		r = alive < 0 ? alive : events_load(&v, dir);
	}
	/* One being born has no VMM to end yet; one that ended goes, though its starter still looks. */
	if (r < 0)
		return err_set(e, -r, "look what box '%s' does: %s", name, strerror(-r));
	if (alive == BOX_STARTING && ((!v.started && !v.over) || storage_is_suspended(dir)))
		return err_set(e, EBUSY, "box '%s' is just being started; try again", name);
	return 0;
}

int conker_box_remove(const char *name, uint32_t flags)
{
	struct err *e = api_enter();
	struct meta m;

	if (!name || (flags & ~(uint32_t)CONKER_RM_FORCE))
		return err_set(e, EINVAL, "no name, or unknown flags");
	int r = flags & CONKER_RM_FORCE ? api_may_wait(e) : 0;
	if (r < 0)
		return r;

	auto_close int dir = registry_open(name, &m, e);
	if (dir < 0)
		return dir;
	auto_hold int held = -1;
	r = list_end_box(dir, name, flags, &held, e);
	if (r < 0)
		return r;
	r = registry_remove(m.name, dir);
	return r < 0 ? err_set(e, -r, "remove box '%s': %s", m.name, strerror(-r)) : 0;
}

int conker_box_console(const char *name)
{
	struct err *e = api_enter();
	struct meta m;

	if (!name)
		return err_set(e, EINVAL, "no name given");

	auto_close int dir = registry_open(name, &m, e);
	if (dir < 0)
		return dir;
	auto_close int fd = openat(dir, "console", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(e, "console of box '%s'", name);
	/* Old output becomes a hole. -1 when there is no data at all: then position 0 is right. */
	(void)lseek(fd, 0, SEEK_DATA);
	return take_fd(fd);
}
