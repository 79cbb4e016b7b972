/* SPDX-License-Identifier: Apache-2.0 */
/* generation.c - see generation.h. */
#include "guest-init/serve/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/random.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/util.h"

#define RNDTWISTKEY _IOW('R', 0x70, uint8_t[SEED_BYTES]) /* our patch 0028 */

enum { TEXT_BYTES = 2 * GENERATION_BYTES + 1 };

/* A directory below dir, which counts as the root directory for its symbolic links; made when missing. */
static int open_dir(int dir, const char *name)
{
	const struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
				     .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};

	if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

static int make_file(const char *root)
{
	static const uint8_t none[GENERATION_BYTES];
	auto_close int top = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int run = top < 0 ? -1 : open_dir(top, "run");
	auto_close int dir = run < 0 ? -1 : open_dir(run, "conker");

	if (dir < 0)
		return -1;
	(void)unlinkat(dir, "generation", 0);
	int fd = openat(dir, "generation", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd >= 0)
		generation_put(fd, none);
	return fd;
}

void generation_open(int *fd, const char *root)
{
	struct stat st;

	if (*fd > 0 && fstat(*fd, &st) == 0 && st.st_nlink > 0)
		return;
	if (*fd > 0)
		close(*fd);
	*fd = make_file(root);
	if (*fd < 0)
		*fd = 0;
}

/* The directory is the box's, whose root user may have put anything in the place of the device: nothing that waits
 * when it is opened, and it is looked at before it is used. */
int generation_open_random(const char *root)
{
	enum { MEM_MAJOR = 1, URANDOM_MINOR = 9 };
	struct stat st;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/dev/urandom", root);
	auto_close int fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) ||
	    st.st_rdev != makedev(MEM_MAJOR, URANDOM_MINOR))
		return 0;
	return take_fd(fd);
}

void generation_seed(int random_fd, const uint8_t seed[SEED_BYTES])
{
	if (ioctl(random_fd, RNDTWISTKEY, seed) == 0)
		return;
	(void)!write(random_fd, seed, SEED_BYTES);
	(void)ioctl(random_fd, RNDRESEEDCRNG);
}

void generation_put(int fd, const uint8_t generation[GENERATION_BYTES])
{
	static const char digit[] = "0123456789abcdef";
	char text[TEXT_BYTES];

	for (size_t i = 0; i < GENERATION_BYTES; i++) {
		text[2 * i] = digit[generation[i] >> 4];
		text[2 * i + 1] = digit[generation[i] & 15];
	}
	text[TEXT_BYTES - 1] = '\n';
	(void)!pwrite(fd, text, sizeof(text), 0); /* no memory: it stays as it is */
}
