/* SPDX-License-Identifier: Apache-2.0 */
/* copy.c - files and trees in and out of a box, as tar streams (util/tar.h).
 *
 * One side packs while the other unpacks, with the stream's window in between; memory does not grow
 * with the tree. The host's own tree is packed and unpacked in the thread of the caller, with no
 * lock held. What a box sends is unpacked by rules that no archive gets around (util/tree.h), below
 * one name that the caller chose, without device nodes, and without set-id bits unless owners were
 * asked for.
 */
#include "lib/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util/tree.h"

enum {
	BUFFER_BYTES = 64 << 10,
	COPY_FLAGS = CONKER_COPY_OWNERS | CONKER_COPY_NO_CLOBBER | CONKER_COPY_FOLLOW |
		     CONKER_COPY_PARENTS,
};

struct copy {
	conker_copy_opts o;
	struct stream *s;
	struct err err; /* of this copy; the thread's own is reset by calls in between */
	uint64_t bytes; /* of a tar stream that is passed on */
	char buf[BUFFER_BYTES];
};

/* The flags of tar-in that o asks for. */
static const char *in_flags(const conker_copy_opts *o, int named, char ret[8])
{
	char *p = ret;

	if (named)
		*p++ = 'c';
	if (o->flags & CONKER_COPY_OWNERS)
		*p++ = 'o';
	if (o->flags & CONKER_COPY_NO_CLOBBER)
		*p++ = 'n';
	if (o->flags & CONKER_COPY_PARENTS)
		*p++ = 'p';
	if (p == ret)
		*p++ = '-';
	*p = 0;
	return ret;
}

static const char *out_flags(const conker_copy_opts *o)
{
	return o->flags & CONKER_COPY_FOLLOW ? "L" : "-";
}

/* To be given to copy_end(); or NULL with *ret_r. */
static struct copy *copy_begin(conker_box *b, const char *box_path, const conker_copy_opts *opts,
			       struct err **ret_e, int *ret_r)
{
	static const conker_copy_opts none = {.size = sizeof(none)};
	conker_copy_opts o = none;
	int r = files_enter(b, box_path, ret_e);

	if (r == 0)
		r = opts_in(&o, sizeof(o), opts ? opts : &none, *ret_e);
	if (r == 0 && (o.flags & ~(uint32_t)COPY_FLAGS))
		r = err_set(*ret_e, EINVAL, "unknown flags 0x%x of a copy", o.flags);
	struct copy *c = r == 0 ? calloc(1, sizeof(*c)) : NULL;
	if (r == 0 && !c)
		r = err_set(*ret_e, ENOMEM, "no memory for a copy");
	if (c)
		c->o = o;
	*ret_r = r;
	return c;
}

static int copy_end(struct copy *c, int r, struct err *e)
{
	stream_free(c->s);
	r = files_leave(e, r, &c->err);
	free(c);
	return r;
}

static void progress(uint64_t bytes, const char *path, void *arg)
{
	struct copy *c = arg;

	if (c->o.progress)
		c->o.progress(bytes, path, c->o.progress_data);
}

/* What is no failure, and worth a line all the same. */
static void note(const struct copy *c, char *text)
{
	text[strcspn(text, "\n")] = 0;
	clean_text(text);
	if (*text && c->o.note)
		c->o.note(text, c->o.note_data);
}

static void note_of_box(const struct copy *c)
{
	char text[TEXT_BYTES];

	stream_said(c->s, text);
	note(c, text);
}

/* ---- into the box ---------------------------------------------------------------------------- */

static int archive_put(void *arg, const void *buf, size_t len)
{
	struct copy *c = arg;

	return stream_write(c->s, buf, len);
}

static int copy_in(conker_box *b, struct copy *c, const char *host_path, const char *box_path)
{
	char flags[8], leaf[256];
	const char *argv[] = {"tar-in", in_flags(&c->o, 1, flags), box_path, leaf, NULL};
	struct tree_pack p = {
		.path = host_path,
		.name = ".",
		.flags = c->o.flags & CONKER_COPY_FOLLOW ? TREE_FOLLOW : 0,
		.put = archive_put,
		.progress = progress,
		.arg = c,
	};
	struct stat st;
	int r = tree_leaf(host_path, leaf);

	if (r < 0 || lstat(host_path, &st) < 0)
		return err_set(&c->err, r < 0 ? -r : errno, "%s: %s", host_path,
			       strerror(r < 0 ? -r : errno));
	r = stream_open(b, argv, c->o.user, STREAM_INPUT, &c->s, &c->err);
	if (r == 0)
		r = tree_pack(&p, &c->err);
	if (c->s && (r == 0 || r == -EPIPE)) /* EPIPE: the box's side has ended, and says why */
		r = stream_finish(c->s, &c->err);
	if (r == 0)
		r = tree_pack_lacks(&p, &c->err);
	if (r < 0)
		return r;
	tree_pack_note(&p, c->buf, sizeof(c->buf));
	note(c, c->buf);
	return 0;
}

typedef int copy_fn(conker_box *b, struct copy *c, const char *host_path, const char *box_path);

static int copy(copy_fn *fn, conker_box *b, const char *host_path, const char *box_path,
		const conker_copy_opts *opts)
{
	struct err *e;
	int r;
	struct copy *c = copy_begin(b, box_path, opts, &e, &r);

	if (!c)
		return r;
	r = host_path ? fn(b, c, host_path, box_path)
		      : err_set(&c->err, EINVAL, "no path of the host given");
	return copy_end(c, r, e);
}

int conker_copy_in(conker_box *b, const char *host_path, const char *box_path,
		   const conker_copy_opts *opts)
{
	return copy(copy_in, b, host_path, box_path, opts);
}

static int pump_in(struct copy *c, int fd, const char *box_dir)
{
	for (;;) {
		int r = stream_await_fd(c->s, fd);
		ssize_t n = r < 0 ? 0 : read(fd, c->buf, sizeof(c->buf));

		if (n < 0 && errno == EAGAIN)
			continue;
		if (n < 0)
			return err_errno(&c->err, "read the archive");
		if (r == 0 && n > 0)
			r = stream_write(c->s, c->buf, (size_t)n);
		if (r == -EPIPE || (r == 0 && n == 0))
			return stream_finish(c->s, &c->err);
		if (r < 0)
			return err_set(&c->err, -r, "send the archive: %s", strerror(-r));
		c->bytes += (size_t)n;
		progress(c->bytes, box_dir, c);
	}
}

int conker_tar_in(conker_box *b, int fd, const char *box_dir, const conker_copy_opts *opts)
{
	char flags[8];
	struct err *e;
	int r;
	struct copy *c = copy_begin(b, box_dir, opts, &e, &r);

	if (!c)
		return r;
	const char *argv[] = {"tar-in", in_flags(&c->o, 0, flags), box_dir, NULL};
	r = stream_open(b, argv, c->o.user, STREAM_INPUT, &c->s, &c->err);
	if (r == 0)
		r = pump_in(c, fd, box_dir);
	return copy_end(c, r, e);
}

/* ---- out of the box -------------------------------------------------------------------------- */

/* The signals of a write that fails (to a pipe without a reader, or beyond the limit of a file's
 * size) are kept from the process: each would stay pending for this thread only. */
struct quiet {
	sigset_t set, old, pending;
};

static void quiet_begin(struct quiet *q)
{
	sigemptyset(&q->set);
	sigaddset(&q->set, SIGPIPE);
	sigaddset(&q->set, SIGXFSZ);
	sigpending(&q->pending);
	pthread_sigmask(SIG_BLOCK, &q->set, &q->old);
}

/* failed: an error of the write, or 0. */
static void quiet_end(struct quiet *q, int failed)
{
	const struct timespec now = {0};
	int signo = failed == EPIPE ? SIGPIPE : SIGXFSZ;

	sigdelset(&q->set, signo == SIGPIPE ? SIGXFSZ : SIGPIPE);
	if ((failed == EPIPE || failed == EFBIG) && !sigismember(&q->pending, signo))
		while (sigtimedwait(&q->set, NULL, &now) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &q->old, NULL);
}

static int feed(struct copy *c, struct tree_unpack *u, size_t len)
{
	struct quiet q;

	quiet_begin(&q);
	int r = tree_unpack_feed(u, c->buf, len, &c->err);
	quiet_end(&q, -r);
	return r;
}

static int unpack(struct copy *c, struct tree_unpack *u)
{
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = stream_read(c->s, c->buf, sizeof(c->buf), -1)) != 0)
		r = n < 0 ? err_set(&c->err, (int)-n, "receive: %s", strerror((int)-n))
			  : feed(c, u, (size_t)n);
	if (r < 0)
		return r;
	/* What went wrong in the box explains an archive that is cut short; one that lacks a
	 * socket, or the end of a file, is whole. */
	int finished = stream_finish(c->s, &c->err);
	if (finished < 0 && finished != -EOPNOTSUPP && finished != -ESTALE)
		return finished;
	struct err end = {0};
	r = tree_unpack_end(u, &end);
	if (r < 0) {
		c->err = end;
		return r;
	}
	if (finished == 0)
		finished = tree_lacks(tree_unpack_left_out(u), &c->err);
	if (finished == 0)
		note_of_box(c);
	return finished;
}

static int copy_tree_out(conker_box *b, struct copy *c, const char *host_path, const char *box_path)
{
	const char *argv[] = {"tar-out", out_flags(&c->o), box_path, ".", NULL};
	char leaf[256], prefix[256];
	int flags = (c->o.flags & CONKER_COPY_OWNERS ? TREE_OWNERS : TREE_NO_SETID) |
		    (c->o.flags & CONKER_COPY_NO_CLOBBER ? TREE_NO_CLOBBER : 0);
	int r = tree_leaf(box_path, leaf);

	if (r == 0 && (c->o.flags & CONKER_COPY_PARENTS))
		r = tree_make_parents(host_path);
	auto_close int dir = r < 0 ? r : tree_destination(host_path, leaf, prefix, &flags);
	if (dir < 0)
		return err_set(&c->err, -dir, "%s: %s", host_path, strerror(-dir));

	struct tree_unpack_opts o = {
		.dir = dir,
		.prefix = prefix,
		.flags = flags,
		.progress = progress,
		.arg = c,
	};
	struct tree_unpack *u = tree_unpack_new(&o);
	r = u ? stream_open(b, argv, c->o.user, 0, &c->s, &c->err)
	      : err_set(&c->err, ENOMEM, "no memory to unpack");
	if (r == 0)
		r = unpack(c, u);
	tree_unpack_free(u);
	return r;
}

static ssize_t write_quietly(int fd, const void *buf, size_t len)
{
	struct quiet q;

	quiet_begin(&q);
	ssize_t n = write(fd, buf, len);
	int why = errno;
	quiet_end(&q, n < 0 ? why : 0);
	errno = why;
	return n;
}

static int write_all(struct copy *c, int fd, size_t len)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	for (size_t done = 0; done < len;) {
		ssize_t n = write_quietly(fd, c->buf + done, len - done);

		if (n < 0 && errno == EAGAIN)
			n = poll(&p, 1, -1) < 0 ? -1 : 0;
		if (n < 0)
			return err_errno(&c->err, "write what the box sent");
		done += (size_t)n;
	}
	return 0;
}

static int pump_out(struct copy *c, int fd, const char *box_path)
{
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = stream_read(c->s, c->buf, sizeof(c->buf), -1)) != 0) {
		if (n < 0)
			return err_set(&c->err, (int)-n, "receive: %s", strerror((int)-n));
		r = write_all(c, fd, (size_t)n);
		c->bytes += (size_t)n;
		progress(c->bytes, box_path, c);
	}
	if (r == 0)
		r = stream_finish(c->s, &c->err);
	if (r == 0)
		note_of_box(c);
	return r;
}

/* The bytes of one file, into a device or a FIFO. */
static int copy_into(conker_box *b, struct copy *c, const char *host_path, const char *box_path)
{
	char max[24];
	const char *argv[] = {"read", "-", box_path, max, NULL};
	int flags = c->o.flags & CONKER_COPY_NO_CLOBBER ? TREE_NO_CLOBBER : 0;
	auto_close int fd = tree_open_special(host_path, flags, &c->err);

	if (fd < 0)
		return fd;
	(void)snprintf(max, sizeof(max), "%llu", ULLONG_MAX);
	int r = stream_open(b, argv, c->o.user, 0, &c->s, &c->err);
	if (r == 0)
		r = pump_out(c, fd, box_path);
	/* Not -EINTR, after which a caller may begin again: what was written stays written. */
	if (r == -EINTR && c->bytes > 0)
		r = err_set(&c->err, ECANCELED, "%s: interrupted, and only a part is written",
			    host_path);
	return r;
}

static int copy_out(conker_box *b, struct copy *c, const char *host_path, const char *box_path)
{
	if ((c->o.flags & CONKER_COPY_OWNERS) && geteuid() != 0)
		return err_set(&c->err, EPERM, "only root can keep owners of what leaves a box");
	if (tree_is_special(host_path))
		return copy_into(b, c, host_path, box_path);
	return copy_tree_out(b, c, host_path, box_path);
}

int conker_copy_out(conker_box *b, const char *box_path, const char *host_path,
		    const conker_copy_opts *opts)
{
	return copy(copy_out, b, host_path, box_path, opts);
}

int conker_tar_out(conker_box *b, const char *box_path, int fd, const conker_copy_opts *opts)
{
	char leaf[256];
	struct err *e;
	int r;
	struct copy *c = copy_begin(b, box_path, opts, &e, &r);

	if (!c)
		return r;
	r = tree_leaf(box_path, leaf);
	const char *argv[] = {"tar-out", out_flags(&c->o), box_path, *leaf ? leaf : ".", NULL};
	r = r < 0 ? err_set(&c->err, -r, "%.80s: %s", box_path, strerror(-r))
		  : stream_open(b, argv, c->o.user, 0, &c->s, &c->err);
	if (r == 0)
		r = pump_out(c, fd, box_path);
	return copy_end(c, r, e);
}
