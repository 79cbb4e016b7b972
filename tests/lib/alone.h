/* SPDX-License-Identifier: Apache-2.0 */
/* alone.h - a handle of the library on one end of a socket: no VMM, and no directory of a box; and a socket that
 * others connect to.
 */
#ifndef TESTS_LIB_ALONE_H
#define TESTS_LIB_ALONE_H

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/box/box.h"

/* Takes conn. NULL: no memory. */
__attribute__((unused)) static conker_box *alone_open(int conn)
{
	struct err e;
	struct box *b = box_new(&e);

	if (!b) {
		close(conn);
		return NULL;
	}
	b->dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (handle_begin(&b->handle, conn) == 0)
		return &b->handle;
	conker_box_free(&b->handle);
	return NULL;
}

/* Listens at an address that the kernel chooses; or -1. */
__attribute__((unused)) static int alone_listen(struct sockaddr_un *ret, socklen_t *ret_len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	*ret_len = sizeof(*ret);
	if (fd >= 0 && bind(fd, (struct sockaddr *)ret, sizeof(sa_family_t)) == 0 &&
	    listen(fd, 16) == 0 && getsockname(fd, (struct sockaddr *)ret, ret_len) == 0)
		return fd;
	close(fd);
	return -1;
}

#endif
