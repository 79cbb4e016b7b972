/* SPDX-License-Identifier: Apache-2.0 */
/* files.h - what is built on executions. */
#ifndef LIB_FILES_FILES_H
#define LIB_FILES_FILES_H

#include "lib/handle/exec.h"

/* ---- stream.c, files.c, copy.c: files of the box ---------------------------------------------------------- */

struct stream; /* the program of proto/files.h at work, for one call that waits */

enum { STREAM_INPUT = 1 << 0 /* it reads stdin */ };

/* argv: what follows FILES_PROGRAM, NULL-terminated. */
must_check int stream_open(conker_box *b, const char *const *argv, const char *user, int flags,
			   struct stream **ret, struct err *e);
/* Its next output: bytes, 0 at its end, -ETIMEDOUT (timeout_ms >= 0), -EINTR. */
must_check ssize_t stream_read(struct stream *s, void *buf, size_t len, int timeout_ms);
/* All of it as its input. 0, -EPIPE: it takes no more, and stream_finish() says why; -EINTR. */
must_check int stream_write(struct stream *s, const void *buf, size_t len);
/* Waits until fd can be read without blocking: 0; -EPIPE: it has ended; -EINTR. */
must_check int stream_await_fd(struct stream *s, int fd);
/* No more input; drops what it still says and waits for its end. 0, or why it failed, with message. */
must_check int stream_finish(struct stream *s, struct err *e);
/* The first line of what it said on its stderr; also of one that ended well. */
void stream_said(const struct stream *s, char ret[TEXT_BYTES]);
/* Ends it, letting it clean up if it still runs. NULL is fine; returns NULL. */
struct stream *stream_free(struct stream *s);

/* Begins every call of a box's files: 0, or what is wrong with the call. */
must_check int files_enter(conker_box *b, const char *path, struct err **ret_e);
/* Ends it: r, with the message of a local error as this thread's. */
must_check int files_leave(struct err *to, int r, struct err *from);

#endif
