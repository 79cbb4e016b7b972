/* SPDX-License-Identifier: Apache-2.0 */
/* cg_file.h - reading and writing the small files of a cgroup; dir is its directory. */
#ifndef INIT_SYS_CG_FILE_H
#define INIT_SYS_CG_FILE_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/util.h"

/* 0 or -errno (ENOENT: the kernel lacks it). */
must_check static inline int cg_file_put(int dir, const char *name, const char *value)
{
	auto_close int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, value, strlen(value)) >= 0 ? 0 : -errno;
}

must_check static inline int cg_file_put_number(int dir, const char *name, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, value);
	return cg_file_put(dir, name, text);
}

/* The text of an open file from its beginning, ended by a NUL and perhaps cut. 0 or -errno. */
must_check static inline int cg_file_get(int fd, char *buf, size_t size_bytes)
{
	ssize_t n = pread(fd, buf, size_bytes - 1, 0);

	buf[n > 0 ? n : 0] = 0;
	return n < 0 ? -errno : 0;
}

/* Whether a group whose cgroup.events this is has processes; what cannot be read may have. */
must_check static inline int cg_file_populated(int events_fd)
{
	char text[64];

	return cg_file_get(events_fd, text, sizeof(text)) < 0 ||
	       strstr(text, "populated 0") == NULL;
}

#endif
