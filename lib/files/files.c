/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - single files and directories of a box: read, write, stat, list, remove, mkdir, rename, watch.
 *
 * Each call runs init's program for files (proto/files.h) in the box and takes its answer for what it is: bytes of a
 * guest. Records are checked by files_take(), contents are bounded by the caller, an errno is one of 255.
 */
#include "lib/files/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/files.h"

enum {
	READ_DEFAULT_BYTES = 64 << 20,
	READ_FIRST_BYTES = 64 << 10,
	MODE_MAX = 07777,
	DIR_MODE_DEFAULT = 0755,
	NUMBER_BYTES = 24,
};

int files_enter(conker_box *b, const char *path, struct err **ret_e)
{
	int r = box_enter_to_wait(b, ret_e);

	if (r == 0 && (!path || path[0] != '/'))
		r = err_set(*ret_e, EINVAL, "the path '%.80s' in the box is not absolute",
			    path ? path : "");
	return r;
}

int files_leave(struct err *to, int r, struct err *from)
{
	if (r >= 0)
		return r;
	return err_set(to, -r, "%s", from->msg);
}

/* An operation without input or output. */
static int simple(conker_box *b, const char *const *argv, const char *user, struct err *e)
{
	struct err err = {0};
	struct stream *s = NULL;
	int r = stream_open(b, argv, user, 0, &s, &err);

	if (r == 0)
		r = stream_finish(s, &err);
	stream_free(s);
	return files_leave(e, r, &err);
}

int conker_file_remove(conker_box *b, const char *path, const char *user, uint32_t flags)
{
	const char *argv[] = {"remove", flags & CONKER_FILE_RECURSIVE ? "r" : "-", path, NULL};
	struct err *e;
	int r = files_enter(b, path, &e);

	if (r == 0 && (flags & ~(uint32_t)CONKER_FILE_RECURSIVE))
		r = err_set(e, EINVAL, "unknown flags 0x%x", flags);
	return r < 0 ? r : simple(b, argv, user, e);
}

int conker_file_mkdir(conker_box *b, const char *path, const char *user, uint32_t mode,
		      uint32_t flags)
{
	char octal[NUMBER_BYTES];
	const char *argv[] = {"mkdir", flags & CONKER_FILE_RECURSIVE ? "p" : "-", path, octal,
			      NULL};
	struct err *e;
	int r = files_enter(b, path, &e);

	if (r == 0 && ((flags & ~(uint32_t)CONKER_FILE_RECURSIVE) || mode > MODE_MAX))
		r = err_set(e, EINVAL, "unknown flags 0x%x, or an impossible mode 0%o", flags,
			    mode);
	if (r < 0)
		return r;
	(void)snprintf(octal, sizeof(octal), "%o", mode ? mode : DIR_MODE_DEFAULT);
	return simple(b, argv, user, e);
}

int conker_file_rename(conker_box *b, const char *from, const char *to, const char *user)
{
	const char *argv[] = {"rename", "-", from, to, NULL};
	struct err *e;
	int r = files_enter(b, from, &e);

	if (r == 0)
		r = files_enter(b, to, &e);
	return r < 0 ? r : simple(b, argv, user, e);
}

/* ---- contents ------------------------------------------------------------------------------------- */

struct bytes {
	char *data;
	size_t len, cap;
};

/* Room for one byte more than there is, at most max and a NUL. */
static int grow(struct bytes *b, size_t max)
{
	if (b->cap - b->len > 1)
		return 0;
	size_t cap = b->cap ? 2 * b->cap : READ_FIRST_BYTES;
	cap = min_(cap, max + 2);
	char *p = realloc(b->data, cap);
	if (!p)
		return -ENOMEM;
	b->data = p;
	b->cap = cap;
	return 0;
}

static int read_all(struct stream *s, struct bytes *b, size_t max, struct err *e)
{
	for (;;) {
		if (grow(b, max) < 0)
			return err_set(e, ENOMEM, "no memory for the file");
		ssize_t n = stream_read(s, b->data + b->len, b->cap - b->len - 1, -1);
		if (n < 0)
			return err_set(e, (int)-n, "read: %s", strerror((int)-n));
		if (n == 0)
			break;
		b->len += (size_t)n;
		if (b->len > max)
			return err_set(e, EFBIG, "the file is larger than %zu bytes", max);
	}
	b->data[b->len] = 0;
	return stream_finish(s, e);
}

int conker_file_read(conker_box *b, const char *path, const char *user, size_t max_bytes,
		     char **ret, size_t *ret_len)
{
	char max[NUMBER_BYTES];
	const char *argv[] = {"read", "-", path, max, NULL};
	struct err *e, err = {0};
	struct bytes got = {0};
	struct stream *s = NULL;
	int r = files_enter(b, path, &e);

	if (r < 0)
		return r;
	if (!ret || !ret_len || max_bytes > SSIZE_MAX - 2)
		return err_set(e, EINVAL, "nowhere to put the file, or an impossible limit");
	max_bytes = max_bytes ? max_bytes : READ_DEFAULT_BYTES;
	(void)snprintf(max, sizeof(max), "%zu", max_bytes);
	r = stream_open(b, argv, user, 0, &s, &err);
	if (r == 0)
		r = read_all(s, &got, max_bytes, &err);
	stream_free(s);
	if (r < 0) {
		free(got.data);
		return files_leave(e, r, &err);
	}
	*ret = got.data;
	*ret_len = got.len;
	return 0;
}

int conker_file_write(conker_box *b, const char *path, const char *user, const void *buf,
		      size_t len, uint32_t mode)
{
	char octal[NUMBER_BYTES], bytes[NUMBER_BYTES];
	const char *argv[] = {"write", "-", path, octal, bytes, NULL};
	struct err *e, err = {0};
	struct stream *s = NULL;
	int r = files_enter(b, path, &e);

	if (r == 0 && ((!buf && len > 0) || mode > MODE_MAX))
		r = err_set(e, EINVAL, "no bytes given, or an impossible mode 0%o", mode);
	if (r < 0)
		return r;
	(void)snprintf(octal, sizeof(octal), "%o", mode);
	(void)snprintf(bytes, sizeof(bytes), "%zu", len);
	r = stream_open(b, argv, user, STREAM_INPUT, &s, &err);
	if (r == 0)
		r = stream_write(s, buf, len);
	if (s && (r == 0 || r == -EPIPE))
		r = stream_finish(s, &err);
	else if (s)
		r = err_set(&err, -r, "write: %s", strerror(-r));
	stream_free(s);
	return files_leave(e, r, &err);
}

/* ---- records -------------------------------------------------------------------------------------- */

typedef int record_fn(const struct files_record *f, void *arg);

struct records {
	record_fn *fn;
	void *arg;
	int stopped; /* what fn returned, when not zero */
	size_t len;
	uint8_t buf[4 * FILES_RECORD_MAX];
};

/* Those that are whole. */
static int take_records(struct records *q, struct err *e)
{
	struct files_record f;
	size_t at = 0, used;
	int r;

	while ((r = files_take(q->buf + at, q->len - at, &f, &used)) == 1 && !q->stopped) {
		q->stopped = q->fn(&f, q->arg);
		at += used;
	}
	memmove(q->buf, q->buf + at, q->len - at);
	q->len -= at;
	return r < 0 ? err_set(e, EPROTO, "the box's program for files sent no records") : 0;
}

static int read_records(struct stream *s, struct records *q, int timeout_ms, struct err *e)
{
	int64_t deadline = now_ms() + timeout_ms;

	while (!q->stopped) {
		int64_t left = timeout_ms < 0 ? -1 : deadline - now_ms();
		ssize_t n = stream_read(s, q->buf + q->len, sizeof(q->buf) - q->len,
					timeout_ms < 0 ? -1 : (int)(left > 0 ? left : 0));

		if (n == 0)
			break;
		if (n < 0)
			return err_set(e, (int)-n, "wait: %s", strerror((int)-n));
		q->len += (size_t)n;
		int r = take_records(q, e);
		if (r < 0)
			return r;
	}
	if (q->stopped)
		return 0;
	int r = stream_finish(s, e);
	return r == 0 && q->len ? err_set(e, EPROTO, "the last record is cut short") : r;
}

struct question {
	const char *op, *path, *user;
	int timeout_ms;
	record_fn *fn;
	void *arg;
};

/* Runs an operation that answers with records. 0, what fn returned, or -errno. */
static int ask(conker_box *b, const struct question *w, struct err *e)
{
	const char *argv[] = {w->op, "-", w->path, NULL};
	struct records *q = malloc(sizeof(*q));
	struct err err = {0};
	struct stream *s = NULL;

	if (!q)
		return err_set(e, ENOMEM, "no memory");
	q->fn = w->fn;
	q->arg = w->arg;
	q->stopped = 0;
	q->len = 0;
	int r = stream_open(b, argv, w->user, 0, &s, &err);
	if (r == 0)
		r = read_records(s, q, w->timeout_ms, &err);
	stream_free(s);
	r = r < 0 ? files_leave(e, r, &err) : q->stopped;
	free(q);
	return r;
}

static conker_file_info info_of(const struct files_record *f)
{
	return (conker_file_info){
		.size = sizeof(conker_file_info),
		.name = f->name,
		.target = f->target,
		.mode = f->mode,
		.uid = f->uid,
		.gid = f->gid,
		.nlink = f->nlink,
		.bytes = f->bytes,
		.allocated_bytes = f->allocated_bytes,
		.mtime_us = f->mtime_us,
	};
}

struct entries {
	int (*fn)(const conker_file_info *f, void *data);
	void *data;
};

static int on_entry(const struct files_record *f, void *arg)
{
	const struct entries *t = arg;
	const conker_file_info info = info_of(f);

	return f->kind == FILES_ENTRY ? t->fn(&info, t->data) : -EPROTO;
}

int conker_file_list(conker_box *b, const char *dir, const char *user,
		     int (*fn)(const conker_file_info *f, void *data), void *data)
{
	struct entries t = {fn, data};
	const struct question w = {"list", dir, user, -1, on_entry, &t};
	struct err *e;
	int r = files_enter(b, dir, &e);

	if (r == 0 && !fn)
		r = err_set(e, EINVAL, "no function given");
	return r < 0 ? r : ask(b, &w, e);
}

/* One block: the structure, then its two texts. */
static conker_file_info *info_copy(const conker_file_info *f)
{
	size_t name = strlen(f->name) + 1, target = strlen(f->target) + 1;
	conker_file_info *ret = malloc(sizeof(*ret) + name + target);

	if (!ret)
		return NULL;
	char *texts = (char *)(ret + 1);
	*ret = *f;
	ret->name = memcpy(texts, f->name, name);
	ret->target = memcpy(texts + name, f->target, target);
	return ret;
}

struct stat_answer {
	int came;
	conker_file_info *info; /* NULL: no memory for it */
};

/* Only the first answer counts. */
static int on_stat(const struct files_record *f, void *arg)
{
	struct stat_answer *a = arg;
	const conker_file_info info = info_of(f);

	if (f->kind != FILES_ENTRY || a->came)
		return 0;
	a->came = 1;
	a->info = info_copy(&info);
	return 0;
}

int conker_file_stat(conker_box *b, const char *path, const char *user, conker_file_info **ret)
{
	struct stat_answer a = {0};
	const struct question w = {"stat", path, user, -1, on_stat, &a};
	struct err *e;
	int r = files_enter(b, path, &e);

	if (r < 0)
		return r;
	if (!ret)
		return err_set(e, EINVAL, "nowhere to put what is found");
	r = ask(b, &w, e);
	if (r == 0 && !a.came)
		r = err_set(e, EPROTO, "the box's program for files did not answer");
	else if (r == 0 && !a.info)
		r = err_set(e, ENOMEM, "no memory for the answer");
	if (r == 0)
		*ret = a.info;
	else
		free(a.info);
	return r;
}

conker_file_info *conker_file_info_free(conker_file_info *f)
{
	free(f);
	return NULL;
}

struct watch {
	void (*ready)(void *data);
	conker_watch_fn *fn;
	void *data;
};

static int on_change(const struct files_record *f, void *arg)
{
	const struct watch *w = arg;

	if (f->kind == FILES_CHANGE)
		return w->fn((enum conker_change)f->change, f->name, w->data);
	if (f->kind == FILES_READY && w->ready)
		w->ready(w->data);
	return 0;
}

int conker_file_watch(conker_box *b, const char *path, const char *user, int timeout_ms,
		      void (*ready)(void *data), conker_watch_fn *fn, void *data)
{
	struct watch w = {ready, fn, data};
	const struct question q = {"watch", path, user, timeout_ms, on_change, &w};
	struct err *e;
	int r = files_enter(b, path, &e);

	if (r == 0 && !fn)
		r = err_set(e, EINVAL, "no function given");
	return r < 0 ? r : ask(b, &q, e);
}
