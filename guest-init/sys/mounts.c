/* SPDX-License-Identifier: Apache-2.0 */
/* mounts.c - see mounts.h. */
#include "guest-init/sys/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct mount_spec {
	const char *source, *target, *type;
	unsigned long flags;
	const char *options;
};

static const struct mount_spec own_dev = {"devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755"};
static const struct mount_spec overlay = {"overlay", MOUNTS_ROOT, "overlay", 0,
					  "lowerdir=/img,upperdir=/up,workdir=/work"};
static const struct mount_spec box_mounts[] = {
	{"/dev", MOUNTS_ROOT "/dev", NULL, MS_MOVE, NULL},
	{"devpts", MOUNTS_ROOT "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
	 "gid=5,mode=620,ptmxmode=666"},
	{"tmpfs", MOUNTS_ROOT "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"},
	{"sysfs", MOUNTS_ROOT "/sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL},
};

/* Images need not have the directory; the layer above them can. */
static int mount_one(const struct mount_spec *m, struct err *e)
{
	if (mount(m->source, m->target, m->type, m->flags, m->options) == 0)
		return 0;
	if (errno == ENOENT && mkdir(m->target, 0755) == 0 &&
	    mount(m->source, m->target, m->type, m->flags, m->options) == 0)
		return 0;
	int why = errno; /* of the image, whose path is not ours */
	const char *in_box = m->target + strlen(MOUNTS_ROOT);
	int is_box = strncmp(m->target, MOUNTS_ROOT "/", sizeof(MOUNTS_ROOT)) == 0;
	return err_set(e, why, "mount %s on %s%s: %s", m->type ? m->type : m->source,
		       is_box ? "the image's " : "", is_box ? in_box : m->target, strerror(why));
}

int mounts_dev(struct err *e)
{
	return mount_one(&own_dev, e);
}

/* A wrong file system says EINVAL; anything else is about the disk itself. */
static int mount_image(const char *disk, struct err *e)
{
	static const char *const types[] = {"erofs", "ext4", "squashfs"};
	char path[64];

	(void)snprintf(path, sizeof(path), "/dev/%s", disk);
	for (size_t i = 0; i < countof(types); i++) {
		if (mount(path, "/img", types[i], MS_RDONLY, NULL) == 0)
			return 0;
		if (errno != EINVAL && errno != ENODEV && errno != EUCLEAN)
			return err_errno(e, "root image %s", path);
	}
	return err_set(e, EINVAL, "root image %s: neither erofs nor ext4 nor squashfs", path);
}

static int mount_root(const char *disk, struct err *e)
{
	if (!disk)
		return mount("/", MOUNTS_ROOT, NULL, MS_BIND, NULL) < 0
			       ? err_errno(e, "initramfs as root")
			       : 0;

	int r = mount_image(disk, e);
	return r < 0 ? r : mount_one(&overlay, e);
}

/* What devtmpfs lacks beside device nodes; programs can do without, so failures do not matter. */
static void add_links(void)
{
	static const char *const link[][2] = {
		{"/proc/self/fd", MOUNTS_ROOT "/dev/fd"},
		{"/proc/self/fd/0", MOUNTS_ROOT "/dev/stdin"},
		{"/proc/self/fd/1", MOUNTS_ROOT "/dev/stdout"},
		{"/proc/self/fd/2", MOUNTS_ROOT "/dev/stderr"},
	};

	for (size_t i = 0; i < countof(link); i++)
		(void)!symlink(link[i][0], link[i][1]);
}

int mounts_seal(struct err *e)
{
	const unsigned long flags = MS_RDONLY | MS_NOEXEC | MS_NOSUID | MS_NODEV;

	return mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | flags, NULL) < 0
		       ? err_errno(e, "seal init's root")
		       : 0;
}

int mounts_box(const char *disk, struct err *e)
{
	int r = mount_root(disk, e);

	for (size_t i = 0; i < countof(box_mounts) && r == 0; i++)
		r = mount_one(&box_mounts[i], e);
	if (r < 0)
		return r;
	add_links();
	int pts = open(MOUNTS_ROOT "/dev/pts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return pts < 0 ? err_errno(e, "open /dev/pts") : pts;
}
