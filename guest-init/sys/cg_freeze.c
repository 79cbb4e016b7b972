/* SPDX-License-Identifier: Apache-2.0 */
/* cg_freeze.c - the freezer of the box's group. See cg.h.
 *
 * It is a part of cgroup2 itself and needs no controller. What is below the group freezes with it, also what
 * is started there later; groups that a user of the box has frozen himself stay so.
 */
#include "guest-init/sys/cg.h"
#include "guest-init/sys/cg_file.h"

int cg_freezer_open(const struct cg *c, struct cg_freezer *ret)
{
	auto_close int flag = openat(c->box_fd, "cgroup.freeze", O_WRONLY | O_CLOEXEC);

	if (flag < 0)
		return -errno;
	ret->events_fd = openat(c->box_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	if (ret->events_fd < 0)
		return -errno;
	ret->flag_fd = take_fd(flag);
	return 0;
}

int cg_freezer_set(const struct cg_freezer *f, int on)
{
	return pwrite(f->flag_fd, on ? "1" : "0", 1, 0) < 0 ? -errno : 0;
}

int cg_freezer_has_any(const struct cg_freezer *f)
{
	return cg_file_populated(f->events_fd);
}

int cg_freezer_done(const struct cg_freezer *f)
{
	char text[64];

	return cg_file_get(f->events_fd, text, sizeof(text)) == 0 &&
	       strstr(text, "frozen 1") != NULL;
}
