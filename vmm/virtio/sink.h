/* SPDX-License-Identifier: Apache-2.0 */
/* sink.h - where console output ends: a file that keeps its newest part, or a reader that may be slow.
 *
 * Nothing here waits for a reader (sink_drain() excepted, for a bounded time; a file's writes end in
 * the page cache) and nothing fails towards
 * the caller: output that cannot be kept is dropped, counted, and a line in its place says how much.
 * Thread: the loop thread.
 */
#ifndef VMM_VIRTIO_SINK_H
#define VMM_VIRTIO_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/loop.h"
#include "util/util.h"

enum {
	SINK_KEEP_BYTES = 1 << 20, /* of a file */
	SINK_SLACK_BYTES =
		1 << 16, /* a file may be that much larger, so that a hole is worth a call */
	SINK_QUEUE_BYTES = 1 << 16, /* held for a slow reader */
};

enum sink_kind {
	SINK_FILE,   /* regular file: appended to, holes at its front */
	SINK_STREAM, /* pipe, terminal: written without blocking, watched when full */
	SINK_SOCKET, /* the same, by send() */
	SINK_DEVICE, /* cannot be watched, never full: /dev/null */
	SINK_GONE,   /* refused for good: everything is dropped */
};

struct sink {
	enum sink_kind kind;
	struct loop *loop;
	struct loop_src src;
	int fd;
	uint64_t end, hole_end; /* file: where the next byte goes; all before hole_end is a hole */
	uint64_t dropped;       /* since the last line that told */
	uint64_t lost;          /* in all */
	uint32_t head, used;    /* queue of a slow reader */
	uint8_t queue[SINK_QUEUE_BYTES];
};

/* A description of our own of the pipe or terminal behind fd, which can be non-blocking without changing
 * it for others who hold the same one. What cannot be opened again, or need not be, is fd itself. */
int sink_own(int fd);

/* fd is borrowed, and made non-blocking. 0, or -errno with the reason in e; sink_fini() copes with
 * both, and with a zeroed s. */
must_check int sink_init(struct sink *s, struct loop *loop, int fd, struct err *e);
void sink_fini(struct sink *s);

void sink_write(struct sink *s, const void *buf, size_t n);

/* What is held for a slow reader: copied to ret (SINK_QUEUE_BYTES), and its length. */
uint32_t sink_queued(const struct sink *s, uint8_t *ret);

/* A fresh sink goes on where another stood: n (at most SINK_QUEUE_BYTES) bytes it held, so many dropped
 * since. */
void sink_restore(struct sink *s, const uint8_t *queued, uint32_t n, uint64_t dropped);

/* Waits at most timeout_ms for a slow reader to take what is queued. */
void sink_drain(struct sink *s, int timeout_ms);

#endif
