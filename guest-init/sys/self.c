/* SPDX-License-Identifier: Apache-2.0 */
/* self.c - see self.h. */
#include "guest-init/sys/self.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "proto/files.h"
#include "util/cleanup.h"

enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

int self_has(const char *argv0)
{
	return strcmp(argv0, FILES_PROGRAM) == 0;
}

static int self_copy(const char *path)
{
	enum { CHUNK_BYTES = 1 << 20 };
	auto_close int in = open(path, O_RDONLY | O_CLOEXEC);
	auto_close int out = memfd_create("conker-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ssize_t n;

	if (in < 0 || out < 0)
		return -errno;
	while ((n = sendfile(out, in, NULL, CHUNK_BYTES)) > 0)
		;
	if (n < 0 || fcntl(out, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	return take_fd(out);
}

int self_fd(struct self *s)
{
	if (s->fd <= 0) /* 0 is /dev/null */
		s->fd = self_copy(s->path);
	return s->fd;
}
