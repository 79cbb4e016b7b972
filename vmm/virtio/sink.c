/* SPDX-License-Identifier: Apache-2.0 */
/* sink.c - see sink.h.
 *
 * A file's offsets are absolute: a reader that remembers one finds the same byte there later, or a
 * hole. So old output is punched out, not rotated away. Where the file system knows no holes, the
 * file is emptied by truncation instead and goes on behind a hole of its own.
 *
 * #syscalls loop: pwrite64 fallocate ftruncate? write sendto poll?
 */
#include "vmm/virtio/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/io.h"

enum {
	MARK_BYTES = 80, /* room for the line that tells of dropped output */
	PAGE_BYTES = 4096,
};

static void on_writable(struct loop_src *src, uint32_t revents);

/* ---- regular files ---- */

/* Everything but the newest SINK_KEEP_BYTES becomes a hole. */
static void trim(struct sink *s)
{
	if (s->end - s->hole_end < SINK_KEEP_BYTES + SINK_SLACK_BYTES)
		return;
	uint64_t to = (s->end - SINK_KEEP_BYTES) / PAGE_BYTES * PAGE_BYTES;
	if (fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)s->hole_end,
		      (off_t)(to - s->hole_end)) == 0)
		s->hole_end = to;
	else if (ftruncate(s->fd, 0) == 0)
		s->hole_end = s->end;
	else
		s->kind = SINK_GONE; /* it must not grow without bound */
}

static size_t write_file(struct sink *s, const uint8_t *buf, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = pwrite(s->fd, buf + done, n - done, (off_t)s->end);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break; /* full disk: dropped, and told when there is room again */
		done += (size_t)r;
		s->end += (uint64_t)r;
		trim(s);
	}
	return done;
}

/* ---- readers ---- */

/* What fits without blocking. */
static size_t write_reader(struct sink *s, const uint8_t *buf, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = s->kind == SINK_SOCKET
				    ? send(s->fd, buf + done, n - done, MSG_DONTWAIT | MSG_NOSIGNAL)
				    : write(s->fd, buf + done, n - done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno != EAGAIN)
			s->kind = SINK_GONE; /* nobody will ever read it */
		if (r <= 0)
			break;
		done += (size_t)r;
	}
	return done;
}

static void enqueue(struct sink *s, const uint8_t *buf, size_t n)
{
	uint32_t at = (s->head + s->used) % SINK_QUEUE_BYTES;
	size_t first = min_(n, (size_t)(SINK_QUEUE_BYTES - at));

	memcpy(s->queue + at, buf, first);
	memcpy(s->queue, buf + first, n - first);
	s->used += (uint32_t)n;
}

/* Watches the reader while there is something for it. A failure to watch is a reader lost. */
static void watch(struct sink *s)
{
	bool wanted = s->used > 0 && s->kind != SINK_GONE;

	if (!wanted)
		loop_del(s->loop, &s->src);
	else if (s->src.fd < 0 && loop_add(s->loop, &s->src, s->fd, EPOLLOUT, on_writable) < 0)
		s->kind = SINK_GONE;
}

static void flush(struct sink *s)
{
	while (s->used) {
		size_t run = min_(s->used, SINK_QUEUE_BYTES - s->head);
		size_t n = write_reader(s, s->queue + s->head, run);

		s->head = (uint32_t)((s->head + n) % SINK_QUEUE_BYTES);
		s->used -= (uint32_t)n;
		if (n < run)
			break;
	}
	if (s->kind == SINK_GONE)
		s->used = 0;
}

/* ---- all ---- */

static void drop(struct sink *s, uint64_t n)
{
	s->dropped += n;
	s->lost += n;
}

static void sink_pass(struct sink *s, const uint8_t *buf, size_t n)
{
	size_t done = 0;

	if (s->kind == SINK_FILE) {
		drop(s, n - write_file(s, buf, n));
		return;
	}
	if (!s->used && s->kind != SINK_GONE)
		done = write_reader(s, buf, n);
	if (s->kind != SINK_GONE && done < n) {
		size_t room = min_(n - done, (size_t)(SINK_QUEUE_BYTES - s->used));

		enqueue(s, buf + done, room);
		done += room;
	}
	drop(s, n - done);
}

/* Says what was dropped, where it would have been. Not before half the queue is free, so that a
 * reader that crawls gets stretches of output and not mostly such lines. */
static void mark(struct sink *s)
{
	char line[MARK_BYTES];

	if (!s->dropped || s->used > SINK_QUEUE_BYTES / 2)
		return;
	int n = snprintf(line, sizeof(line),
			 "\r\n[conker: %llu bytes of console output dropped]\r\n",
			 (unsigned long long)s->dropped);
	uint64_t was = s->dropped;
	s->dropped = 0;
	sink_pass(s, (uint8_t *)line, (size_t)n);
	if (s->dropped) { /* still full */
		s->lost -= s->dropped;
		s->dropped = was;
	}
}

void sink_write(struct sink *s, const void *buf, size_t n)
{
	mark(s);
	if (s->dropped)
		drop(s, n); /* order: nothing may overtake the line */
	else
		sink_pass(s, buf, n);
	watch(s);
}

static void on_writable(struct loop_src *src, uint32_t revents)
{
	struct sink *s = container_of(src, struct sink, src);

	(void)revents; /* an error shows in the write */
	flush(s);
	mark(s);
	watch(s);
}

uint32_t sink_queued(const struct sink *s, uint8_t *ret)
{
	uint32_t first = min_(s->used, SINK_QUEUE_BYTES - s->head);

	memcpy(ret, s->queue + s->head, first);
	memcpy(ret + first, s->queue, s->used - first);
	return s->used;
}

void sink_restore(struct sink *s, const uint8_t *queued, uint32_t n, uint64_t dropped)
{
	sink_pass(s, queued, n);
	drop(s, dropped);
	mark(s);
	watch(s);
}

static int64_t now_ms(void)
{
	return (int64_t)(clock_now_ns() / 1000000);
}

void sink_drain(struct sink *s, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms;

	for (;;) {
		flush(s);
		mark(s);
		int64_t left = end - now_ms();
		if (!s->used || left <= 0)
			break;
		struct pollfd p = {.fd = s->fd, .events = POLLOUT};
		(void)!poll(&p, 1, (int)left);
	}
	watch(s);
}

/* ---- life ---- */

int sink_own(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode))
		return fd;
	int own = io_reopen(fd, O_WRONLY | O_NONBLOCK | O_NOCTTY);
	return own < 0 ? fd : own;
}

static int make_nonblocking(struct sink *s)
{
	int flags = fcntl(s->fd, F_GETFL);

	return flags < 0 || fcntl(s->fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

/* Finds out once whether the loop can watch it at all. */
static int probe_watch(struct sink *s)
{
	int r = loop_add(s->loop, &s->src, s->fd, EPOLLOUT, on_writable);

	if (r == -EPERM)
		s->kind = SINK_DEVICE;
	loop_del(s->loop, &s->src);
	return r == -EPERM ? 0 : r;
}

int sink_init(struct sink *s, struct loop *loop, int fd, struct err *e)
{
	struct stat st;

	*s = (struct sink){.kind = SINK_STREAM, .loop = loop, .fd = fd};
	s->src.fd = -1;
	if (fstat(fd, &st) < 0)
		return err_errno(e, "console output");
	if (S_ISREG(st.st_mode)) {
		s->kind = SINK_FILE;
		s->end = (uint64_t)st.st_size;
		trim(s);
		return 0;
	}
	int r = 0;
	if (S_ISSOCK(st.st_mode))
		s->kind = SINK_SOCKET;
	else
		r = make_nonblocking(s);
	if (r == 0)
		r = probe_watch(s);
	return r < 0 ? err_set(e, -r, "console output: %s", strerror(-r)) : 0;
}

void sink_fini(struct sink *s)
{
	if (s->loop)
		loop_del(s->loop, &s->src);
}
