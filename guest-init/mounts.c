/* mounts.c - see mounts.h. */
#include "guest-init/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Images need not have the directory; the layer above them can. */
static int mount_at(const char *source, const char *target, const char *type, unsigned long flags,
		    const char *options, struct err *e)
{
	if (mount(source, target, type, flags, options) == 0)
		return 0;
	if (errno == ENOENT && mkdir(target, 0755) == 0 &&
	    mount(source, target, type, flags, options) == 0)
		return 0;
	return err_errno(e, "mount %s on %s", source, target);
}

int mounts_dev(struct err *e)
{
	return mount_at("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755", e);
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
	static const char layers[] = "lowerdir=/img,upperdir=/up,workdir=/work";

	if (!disk)
		return mount("/", MOUNTS_ROOT, NULL, MS_BIND, NULL) < 0
			       ? err_errno(e, "initramfs as root")
			       : 0;

	int r = mount_image(disk, e);
	return r < 0 ? r : mount_at("overlay", MOUNTS_ROOT, "overlay", 0, layers, e);
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
		(void)symlink(link[i][0], link[i][1]);
}

int mounts_box(const char *disk, struct err *e)
{
	const unsigned long safe = MS_NOSUID | MS_NOEXEC;
	int r = mount_root(disk, e);

	if (r == 0)
		r = mount_at("/dev", MOUNTS_ROOT "/dev", NULL, MS_MOVE, NULL, e);
	if (r == 0)
		r = mount_at("devpts", MOUNTS_ROOT "/dev/pts", "devpts", safe,
			     "gid=5,mode=620,ptmxmode=666", e);
	if (r == 0)
		r = mount_at("tmpfs", MOUNTS_ROOT "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV,
			     "mode=1777", e);
	if (r == 0)
		r = mount_at("sysfs", MOUNTS_ROOT "/sys", "sysfs", safe | MS_NODEV | MS_RDONLY,
			     NULL, e);
	if (r < 0)
		return r;
	add_links();
	int pts = open(MOUNTS_ROOT "/dev/pts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return pts < 0 ? err_errno(e, "open /dev/pts") : pts;
}
