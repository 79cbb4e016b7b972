/* SPDX-License-Identifier: Apache-2.0 */
/* span.h - where bytes of a stranger lie: a stretch of a file, or a pipe. */
#ifndef IMAGE_SPAN_H
#define IMAGE_SPAN_H

#include <errno.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/util.h"

struct span {
	int fd;
	int pipe; /* is read in order, up to its end; `bytes` is not known */
	uint64_t at, bytes;
};

/* All of a file, or what comes from a pipe. */
static inline struct span span_of(int fd)
{
	struct stat st;
	int file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);

	return (struct span){.fd = fd, .pipe = !file, .bytes = file ? (uint64_t)st.st_size : 0};
}

/* What is there at the front of the span, at most room bytes, which are then behind it. 0: its end; or -errno. */
static inline ssize_t span_read(struct span *s, void *buf, size_t room)
{
	size_t want = s->pipe || room < s->bytes ? room : (size_t)s->bytes;
	ssize_t n;

	do
		n = s->pipe ? read(s->fd, buf, want) : pread(s->fd, buf, want, (off_t)s->at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	s->at += (uint64_t)n;
	s->bytes -= s->pipe ? 0 : (uint64_t)n;
	return n;
}

#endif
