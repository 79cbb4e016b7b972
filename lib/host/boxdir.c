/* SPDX-License-Identifier: Apache-2.0 */
/* boxdir.c - the sockets in a box's directory. */
#include "lib/host/boxdir.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { BACKLOG = 128 };

static int boxdir_socket(int dir, const char *name, int type, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	(void)snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", dir, name);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int boxdir_connect(int dir, const char *name, int type)
{
	struct sockaddr_un sa;
	auto_close int fd = boxdir_socket(dir, name, type, &sa);

	if (fd < 0)
		return fd;
	return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : take_fd(fd);
}

int boxdir_listen(int dir, const char *name, int type)
{
	struct sockaddr_un sa;
	auto_close int fd = boxdir_socket(dir, name, type, &sa);

	if (fd < 0)
		return fd;
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return take_fd(fd);
}
