/* SPDX-License-Identifier: Apache-2.0 */
/* tar_into.c - an archive of one file, whose bytes go into a device or a FIFO that is there. See proto/files.h. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest-init/files/operations.h"
#include "util/cleanup.h"
#include "util/tar.h"
#include "util/tree.h"

enum { BUFFER_BYTES = 64 << 10 };

struct into {
	int fd;
	const char *path; /* of fd */
	int entries;
	uint64_t end;          /* of what was written */
	struct tar_reader tar; /* last: large, mostly untouched */
};

static int into_put(struct into *w, const void *buf, size_t len, struct err *e)
{
	w->end += len;
	return files_write_out(w->fd, w->path, buf, len, e);
}

/* A hole cannot be skipped in what may not be sought in. */
static int put_hole(struct into *w, uint64_t to, struct err *e)
{
	static const uint8_t zeros[BUFFER_BYTES];
	int r = 0;

	while (r == 0 && w->end < to)
		r = into_put(w, zeros, (size_t)min_(to - w->end, (uint64_t)sizeof(zeros)), e);
	return r;
}

static int put_data(struct into *w, const struct tar_step *s, struct err *e)
{
	int r = put_hole(w, s->offset, e);

	return r < 0 ? r : into_put(w, s->data, s->len, e);
}

static int on_step(struct into *w, const struct tar_step *s, struct err *e)
{
	switch (s->event) {
	case TAR_ENTRY:
		if (w->tar.entry.type == TAR_FILE && w->entries++ == 0)
			return 0;
		return err_set(e, EINVAL,
			       "%s is neither a file nor a directory: only a single file's bytes "
			       "can be written into it",
			       w->path);
	case TAR_DATA: return put_data(w, s, e);
	case TAR_DONE: return put_hole(w, w->tar.entry.size, e);
	case TAR_MORE:
	case TAR_END: return 0;
	}
	return 0;
}

static int feed(struct into *w, const uint8_t *p, size_t len, struct err *e)
{
	struct tar_step s;
	int r = 0;

	do {
		if (tar_read(&w->tar, p, len, &s) < 0)
			return err_set(e, EINVAL, "%s", w->tar.why);
		p += s.used;
		len -= s.used;
		r = on_step(w, &s, e);
	} while (r == 0 && s.event != TAR_MORE && s.event != TAR_END);
	return r;
}

int files_tar_into(const char *path, int flags, struct err *e)
{
	static uint8_t buf[BUFFER_BYTES];
	auto_close int fd = tree_open_special(path, flags, e);
	auto_free struct into *w = fd < 0 ? NULL : calloc(1, sizeof(*w));
	int r = 0;
	ssize_t n;

	if (!w)
		return fd < 0 ? fd : err_set(e, ENOMEM, "no memory");
	w->fd = fd;
	w->path = path;
	tar_reader_init(&w->tar);
	while (r == 0 && (n = read(STDIN_FILENO, buf, sizeof(buf))) != 0) {
		if (n < 0)
			return err_errno(e, "receive");
		r = feed(w, buf, (size_t)n, e);
	}
	if (r == 0 && !tar_may_end(&w->tar))
		r = err_set(e, EINVAL, "the archive is cut short");
	return r;
}
