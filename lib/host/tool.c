/* SPDX-License-Identifier: Apache-2.0 */
/* tool.c - programs of the host that make images: run to their end, their complaint told in one line.
 *
 * A tool runs in a process group of its own, so that an interrupted import ends it with all it started
 * (fakeroot is a shell script), and dies with us.
 */
#include "lib/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *tool, *package;
} packages[] = {
	{"mkfs.erofs", "erofs-utils"},
	{"tar", "tar"},
	{"fakeroot", "fakeroot"},
	{"skopeo", "skopeo"},
};

static const struct {
	const char *text;
	int error;
} meanings[] = {
	{"No space left on device", ENOSPC},
	{"Disk quota exceeded", EDQUOT},
	{"Permission denied", EACCES},
	{"Cannot exec: No such file", ENOENT},
};

const char *tool_package(const char *name)
{
	for (size_t i = 0; i < countof(packages); i++)
		if (strcmp(packages[i].tool, name) == 0)
			return packages[i].package;
	return name;
}

int tool_present(const char *name)
{
	static const char *const dirs[] = {"/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin",
					   "/sbin"};
	char path[256];

	for (size_t i = 0; i < countof(dirs); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
		if (access(path, X_OK) == 0)
			return 1;
	}
	return 0;
}

static int meaning(int stderr_fd)
{
	char all[4096];
	ssize_t n = pread(stderr_fd, all, sizeof(all) - 1, 0);

	all[n > 0 ? n : 0] = 0;
	for (size_t i = 0; i < countof(meanings); i++)
		if (strstr(all, meanings[i].text))
			return meanings[i].error;
	return EINVAL;
}

static int finish(pid_t pid, int pidfd, int stderr_fd, const char *name, struct err *e)
{
	char line[256];

	if (pidfd_wait(pidfd, -1) == -EINTR) {
		(void)kill(-pid, SIGKILL); /* not reaped yet, so the number is still its own */
		(void)spawn_reap(pidfd);
		return err_set(e, EINTR, "interrupted");
	}
	int status = spawn_reap(pidfd);
	if (status == 0)
		return 0;
	spawn_complaint(stderr_fd, line, sizeof(line));
	if (!*line)
		(void)snprintf(line, sizeof(line), "it ended with status %d", status);
	int prefixed = strncmp(line, name, strlen(name)) == 0;
	return err_set(e, meaning(stderr_fd), "%s%s%s", prefixed ? "" : name, prefixed ? "" : ": ",
		       line);
}

int tool_run(const char *const *argv, int dir, struct err *e)
{
	static char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin", "LC_ALL=C",
				    NULL};
	auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int null_errno = errno;
	auto_close int complaints = spawn_stderr();
	int pid, pidfd_raw = -1;

	if (null < 0)
		return err_set(e, null_errno, "open '/dev/null': %s", strerror(null_errno));
	if (complaints < 0)
		return err_set(e, -complaints, "run %s: %s", argv[0], strerror(-complaints));

	int fds[] = {null, null, complaints, dir};
	struct spawn s = {.path = argv[0],
			  .argv = (char *const *)argv,
			  .env = env,
			  .fds = fds,
			  .nfds = dir >= 0 ? 4 : 3,
			  .flags = SPAWN_TOOL,
			  .dir = dir};
	pid = spawn_start(&s, &pidfd_raw);
	auto_close int pidfd = pidfd_raw;
	if (pid == -ENOENT)
		return err_set(e, ENOENT, "%s is not installed; install the package %s", argv[0],
			       tool_package(argv[0]));
	if (pid < 0)
		return err_set(e, -pid, "run %s: %s", argv[0], strerror(-pid));
	return finish(pid, pidfd, complaints, argv[0], e);
}
