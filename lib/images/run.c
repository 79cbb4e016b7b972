/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - programs that work for an image: started with few descriptors, watched, ended with all they started.
 *
 * Each leads a process group of its own, for it may start others (skopeo starts those that know credentials), and dies with us.
 * None of them minds SIGKILL: what they leave half-made lies in the work directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/images/fetch.h"
#include "util/io.h"

enum { TICK_MS = 200, FDS_MAX = 8 };

static int watch(const struct image_run *r, int pidfd, struct err *e)
{
	for (;;) {
		int n = pidfd_wait(pidfd, TICK_MS);

		if (n == 0)
			return 0;
		if (n == -EINTR)
			return err_set(e, EINTR, "interrupted");
		n = r->tick ? r->tick(r->arg, e) : 0;
		if (n < 0)
			return n;
	}
}

static int start_and_watch(const struct image_run *r, const struct spawn *s, struct err *e)
{
	int pidfd_raw = -1;
	pid_t pid = spawn_start(s, &pidfd_raw);
	auto_close int pidfd = pidfd_raw;

	if (pid == -ENOENT)
		return -ENOENT;
	if (pid < 0)
		return err_set(e, -pid, "run %s: %s", r->argv[0], strerror(-pid));
	int n = watch(r, pidfd, e);
	if (n < 0) {
		(void)kill(-pid, SIGKILL); /* not reaped yet, so the number is still its own */
		(void)pidfd_kill(pidfd, SIGKILL); /* if it leads no group yet */
	}
	int status = spawn_reap(pidfd);
	return n < 0 ? n : status;
}

int run_watched(const struct image_run *r, int *ret_said, struct err *e)
{
	static char *const bare[] = {"PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin",
				     "LC_ALL=C", NULL};
	auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return err_errno(e, "open '/dev/null'");
	auto_close int said = spawn_stderr();
	if (said < 0)
		return err_set(e, -said, "run %s: %s", r->argv[0], strerror(-said));

	int fds[FDS_MAX] = {r->in < 0 ? null : r->in, r->out < 0 ? null : r->out, said};
	for (int i = 0; i < r->nfds; i++)
		fds[3 + i] = r->fds[i];
	struct spawn s = {.path = r->argv[0],
			  .argv = (char *const *)r->argv,
			  .env = r->env ? r->env : bare,
			  .fds = fds,
			  .nfds = 3 + r->nfds,
			  .flags = SPAWN_TOOL,
			  .dir = -1};
	int n = start_and_watch(r, &s, e);
	if (n >= 0)
		*ret_said = take_fd(said);
	return n;
}

int run_output(size_t max, struct err *e)
{
	auto_close int fd = memfd_create("conker-output", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)max) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return err_errno(e, "make a file in memory");
	return take_fd(fd);
}

ssize_t run_output_take(int fd, char **ret, struct err *e)
{
	off_t len = lseek(fd, 0, SEEK_CUR); /* which the writer has moved: it was his file, too */

	if (len < 0)
		return err_errno(e, "read a program's output");
	*ret = malloc((size_t)len + 1);
	if (!*ret)
		return err_set(e, ENOMEM, "no memory for a program's output");
	ssize_t n = io_pread_all(fd, *ret, (size_t)len, 0);
	(*ret)[n > 0 ? n : 0] = 0;
	return n < 0 ? err_set(e, (int)-n, "read a program's output: %s", strerror((int)-n)) : n;
}
