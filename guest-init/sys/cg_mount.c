/* SPDX-License-Identifier: Apache-2.0 */
/* cg_mount.c - the cgroup file system, the box's group, and who gets how much. See cg.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-init/sys/cg.h"
#include "guest-init/sys/cg_file.h"
#include "guest-init/sys/sys.h"
#include "util/cleanup.h"

/* All controllers at once; one by one if the kernel lacks some, which then has no limits of that
 * kind. */
static void enable_controllers(int dir)
{
	static const char *const one[] = {"+memory", "+pids", "+cpu"};

	if (cg_file_put(dir, "cgroup.subtree_control", "+memory +pids +cpu") == 0)
		return;
	for (size_t i = 0; i < countof(one); i++)
		(void)!cg_file_put(dir, "cgroup.subtree_control", one[i]);
}

/* Of what is free after boot the box may not take: memory for init's log, for the kernel's work on init's
 * behalf (pipes, packets) and its watermarks; of the threads that the kernel allows for this much memory
 * (kernel/fork.c: an eighth of it in 16 KiB stacks), a few. An execution may not take all of that: what is
 * left over is enough for a shell and some tools to look after the box. */
struct cg_plan cg_plan(uint64_t ram_bytes, uint64_t free_bytes, uint64_t log_bytes)
{
	const uint64_t mib = 1 << 20;
	enum { STACK_BYTES = 16 << 10, THREADS_KEPT = 128, THREADS_MIN = 256 };
	uint64_t kept = log_bytes + ram_bytes / 64 + 4 * mib;
	uint64_t threads = min_(ram_bytes / 8 / STACK_BYTES, (uint64_t)INT32_MAX);
	uint64_t box = free_bytes > 2 * kept ? free_bytes - kept : free_bytes;
	uint64_t left = box / 16 > 4 * mib ? box / 16 : min_(box / 4, 4 * mib);
	uint32_t pids = (uint32_t)(threads > THREADS_MIN ? threads : THREADS_MIN) - THREADS_KEPT;

	return (struct cg_plan){
		.box = {.memory_max_bytes = box, .pids_max = pids},
		.each = {.memory_max_bytes = box - left, .pids_max = pids / 2},
	};
}

/* A low weight: what init and the kernel do, who are rarely busy, goes before the box when both want the
 * CPU. */
static void box_set_limits(int box, const struct cg_limits *l)
{
	(void)!cg_file_put_number(box, "memory.max", l->memory_max_bytes);
	(void)!cg_file_put_number(box, "pids.max", l->pids_max);
	(void)!cg_file_put(box, "cpu.weight", "10");
}

int cg_mount(struct err *e, const struct cg_limits *l)
{
	auto_close int root = sys_mount_detached("cgroup2", "nsdelegate");

	if (root < 0)
		return err_set(e, -root, "mount cgroup2: %s", strerror(-root));
	enable_controllers(root);
	if (mkdirat(root, "box", 0755) < 0)
		return err_errno(e, "cgroup2: make the box's group");

	int box = openat(root, "box", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (box < 0)
		return err_errno(e, "cgroup2: open the box's group");
	enable_controllers(box);
	box_set_limits(box, l);
	return box;
}
