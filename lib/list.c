/* list.c - boxes by name, without a handle: list, look up, remove, console. */
#include "lib/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"

static int lookup(const char *name, conker_box_info *ret, struct err *e)
{
	struct meta m;
	struct vm_events v;
	auto_close int dir = registry_open(name, &m, e);

	if (dir < 0)
		return dir;
	events_load(&v, dir);
	info_fill(ret, &m, &v, dir);
	ret->size = sizeof(*ret);
	return 0;
}

int conker_box_list(int (*fn)(const conker_box_info *info, void *user), void *user)
{
	struct err *e = api_enter();
	char(*names)[NAME_BYTES] = NULL;
	conker_box_info info;
	size_t n;

	if (!fn)
		return err_set(e, EINVAL, "no function given");
	int r = registry_names(&names, &n, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r == 0; i++)
		if (lookup(names[i], &info, NULL) == 0) /* else it was removed meanwhile */
			r = fn(&info, user);
	free(names);
	return r;
}

int conker_box_lookup(const char *name, conker_box_info *ret)
{
	struct err *e = api_enter();
	conker_box_info info;

	if (!name || !ret || ret->size < sizeof(ret->size))
		return err_set(e, EINVAL, "no name, or the info's size field is not set");
	int r = lookup(name, &info, e);
	if (r == 0)
		opts_out(ret, &info, sizeof(info));
	return r;
}

int conker_box_remove(const char *name, uint32_t flags)
{
	struct err *e = api_enter();
	struct meta m;
	struct vm_events v;
	pid_t vmm;

	if (!name || (flags & ~(uint32_t)CONKER_RM_FORCE))
		return err_set(e, EINVAL, "no name, or unknown flags");
	int r = flags & CONKER_RM_FORCE ? api_may_wait(e) : 0;
	if (r < 0)
		return r;

	auto_close int dir = registry_open(name, &m, e);
	if (dir < 0)
		return dir;
	if (registry_liveness(dir, &vmm) == BOX_RUNS) {
		if (!(flags & CONKER_RM_FORCE))
			return err_set(e, EBUSY, "box '%s' is running; stop it first, or force",
				       name);
		if (registry_kill(dir) < 0)
			return err_set(e, ETIMEDOUT, "box '%s': its VMM (pid %d) does not end",
				       name, (int)vmm);
	}
	/* One being born has no VMM to end yet; one that ended goes, though its starter still looks. */
	events_load(&v, dir);
	if (registry_liveness(dir, &vmm) == BOX_STARTING && !v.started && !v.over)
		return err_set(e, EBUSY, "box '%s' is just being created; try again", name);
	registry_remove(m.name, dir);
	return 0;
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
