/* SPDX-License-Identifier: Apache-2.0 */
/* layer.c - see layer.h. */
#include "image/layer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/array.h"
#include "util/cleanup.h"
#include "util/erofs.h"
#include "util/tar.h"

enum { OUT_BYTES = 128 << 10 };

struct reading {
	const struct layer_job *job;
	struct layer_result *ret;
	struct err *e;
	struct index_out index;
	struct layer_entry entry; /* that is being read */
	char path[TAR_NAME_BYTES], link[TAR_NAME_BYTES];
	struct extent *extents;
	size_t n_extents, extents_room;
	struct sha256 sum;
	struct erofs_xattrs xattrs;
	struct data data;
	struct inflate from;
	uint8_t out[OUT_BYTES];
	struct tar_reader tar; /* last: large, mostly untouched */
};

/* ---- an entry ---------------------------------------------------------------------------------------- */

static int entry_path(struct reading *r, const char *from, char *to)
{
	from += strspn(from, "/");
	memcpy(to, from, strlen(from) + 1);
	if (tar_clean(to) < 0)
		return err_set(r->e, EINVAL, "'%.250s': leads out of the image", from);
	return 0;
}

static int is_of_overlayfs(const char *name)
{
	static const char prefix[] = "trusted.overlay.";

	return strncmp(name, prefix, sizeof(prefix) - 1) == 0;
}

static int entry_xattrs(struct reading *r)
{
	struct tar_xattr x;
	size_t at = 0;

	r->xattrs.bytes = 0;
	if (r->tar.xattrs_over)
		return err_set(r->e, E2BIG, "'%.250s': more than %d bytes of attributes", r->path,
			       EROFS_XATTRS_MAX);
	while (tar_next_xattr(&r->tar, &at, &x)) {
		int n = is_of_overlayfs(x.name)
				? -EOPNOTSUPP
				: erofs_xattr_add(&r->xattrs, x.name, x.value, x.len);

		if (n == -E2BIG)
			return err_set(r->e, E2BIG,
				       "'%.250s': attribute '%.250s': too long, or more than %d "
				       "bytes in all",
				       r->path, x.name, EROFS_XATTRS_MAX);
		r->ret->xattrs_left_out += n < 0;
	}
	return 0;
}

static int too_large(struct reading *r)
{
	return err_set(r->e, EFBIG, "'%.250s': more than %llu bytes of files", r->path,
		       (unsigned long long)r->job->limits->bytes);
}

static int entry_data(struct reading *r)
{
	struct layer_entry *en = &r->entry;

	en->holes = r->tar.entry.sparse && en->size > 0;
	en->block = 0;
	if (en->type != TAR_FILE || en->size == 0)
		return 0;
	if (!en->holes)
		return data_take(&r->data, erofs_chunks(en->size, 0), &en->block) < 0 ? too_large(r)
										      : 0;
	en->chunk_bits = erofs_chunk_bits(en->size, LIMIT_CHUNKS);
	return erofs_chunks(en->size, en->chunk_bits) > LIMIT_CHUNKS ? too_large(r) : 0;
}

static int stream_entry(struct reading *r)
{
	const struct tar_entry *t = &r->tar.entry;
	int n = entry_path(r, t->path, r->path);

	if (n == 0 && t->type == TAR_HARDLINK)
		n = entry_path(r, t->link, r->link);
	else
		memcpy(r->link, t->link, strlen(t->link) + 1);
	if (n == 0)
		n = entry_xattrs(r);
	if (n < 0)
		return n;
	r->n_extents = 0;
	r->entry = (struct layer_entry){
		.type = t->type,
		.mode = t->mode,
		.uid = t->uid,
		.gid = t->gid,
		.major = t->major,
		.minor = t->minor,
		.mtime_s = t->mtime_s,
		.mtime_ns = t->mtime_ns,
		.size = t->size,
		.path = r->path,
		.link = r->link,
		.xattrs = r->xattrs.buf,
		.xattrs_bytes = r->xattrs.bytes,
	};
	return entry_data(r);
}

/* ---- data -------------------------------------------------------------------------------------------- */

static struct extent *extent_add(struct reading *r, struct extent x)
{
	struct extent *more =
		array_grow(r->extents, &r->extents_room, r->n_extents, sizeof(*more), 64);

	if (!more)
		return NULL;
	r->extents = more;
	r->extents[r->n_extents] = x;
	return &r->extents[r->n_extents++];
}

/* The extent with a chunk of a file that has holes: chunks come in order, and each gets its blocks when it is met. */
static int extent_of(struct reading *r, uint32_t chunk, struct extent **ret)
{
	unsigned bits = r->entry.chunk_bits;
	uint64_t blocks = erofs_chunks(r->entry.size, 0) - ((uint64_t)chunk << bits);
	struct extent *last = r->n_extents ? &r->extents[r->n_extents - 1] : NULL;
	uint32_t block;

	*ret = last;
	if (last && chunk < last->first + last->n)
		return 0;
	if (data_take(&r->data, min_(blocks, (uint64_t)1 << bits), &block) < 0)
		return too_large(r);
	if (last && chunk == last->first + last->n) {
		last->n++;
		return 0;
	}
	*ret = extent_add(r, (struct extent){chunk, 1, block});
	return *ret ? 0 : err_set(r->e, ENOMEM, "'%.250s': no memory for its pieces", r->path);
}

static int put_data(struct reading *r, uint64_t at, const uint8_t *p, size_t len)
{
	int n = data_put(&r->data, at, p, len);

	return n < 0 ? err_set(r->e, -n, "'%.250s': write its data: %s", r->path, strerror(-n)) : 0;
}

static int put_chunks(struct reading *r, uint64_t offset, const uint8_t *p, size_t len)
{
	unsigned shift = EROFS_BLOCK_BITS + r->entry.chunk_bits;
	struct extent *x = NULL;
	int n = 0;

	while (len > 0 && n == 0) {
		uint64_t in = offset & ((1ULL << shift) - 1);
		size_t some = (size_t)min_((uint64_t)len, (1ULL << shift) - in);
		uint32_t chunk = (uint32_t)(offset >> shift);

		n = extent_of(r, chunk, &x);
		if (n < 0)
			break;
		assert(x);
		uint64_t to = (uint64_t)x->block * EROFS_BLOCK_BYTES +
			      ((uint64_t)(chunk - x->first) << shift);
		n = put_data(r, to + in, p, some);
		offset += some;
		p += some;
		len -= some;
	}
	return n;
}

static int stream_data(struct reading *r, const struct tar_step *s)
{
	if (r->entry.holes)
		return put_chunks(r, s->offset, s->data, s->len);
	return put_data(r, (uint64_t)r->entry.block * EROFS_BLOCK_BYTES + s->offset, s->data,
			s->len);
}

static int stream_done(struct reading *r)
{
	r->entry.extents = r->extents;
	r->entry.n_extents = r->n_extents;
	int n = index_put(&r->index, &r->entry);

	if (n < 0)
		return err_set(r->e, -n, "write the index of a layer: %s", strerror(-n));
	return tree_apply(r->job->tree, &r->entry, r->e);
}

/* ---- the stream --------------------------------------------------------------------------------------- */

static int not_tar(struct reading *r)
{
	return err_set(r->e, EINVAL, "behind '%.250s': %s", r->path, r->tar.why);
}

static int stream_event(struct reading *r, const struct tar_step *s)
{
	switch (s->event) {
	case TAR_ENTRY: return stream_entry(r);
	case TAR_DATA: return stream_data(r, s);
	case TAR_DONE: return stream_done(r);
	default: return 0;
	}
}

/* len may be 0: what needs no more bytes is done then. */
static int stream_bytes(struct reading *r, const uint8_t *p, size_t len)
{
	struct tar_step s;
	int n;

	do {
		if (tar_read(&r->tar, p, len, &s) < 0)
			return not_tar(r);
		n = stream_event(r, &s);
		p += s.used;
		len -= s.used;
	} while (n == 0 && s.event != TAR_MORE && s.event != TAR_END);
	return n;
}

static int stream_read(struct reading *r, uint64_t of)
{
	const struct limits *l = r->job->limits;
	ssize_t n;
	int err = 0;

	while ((n = inflate_read(&r->from, r->out, sizeof(r->out), r->e)) > 0) {
		*r->job->bytes += (uint64_t)n;
		if (*r->job->bytes > l->bytes)
			return err_set(r->e, EFBIG,
				       "'%.250s': the layers have more than %llu bytes", r->path,
				       (unsigned long long)l->bytes);
		sha256_add(&r->sum, r->out, (size_t)n);
		err = stream_bytes(r, r->out, (size_t)n);
		if (err < 0)
			return err;
		progress_blob(r->job->progress, r->from.bytes_in, of, 0);
	}
	if (n < 0)
		return err_wrap(r->e, (int)n, "behind '%.250s'", r->path);
	err = stream_bytes(r, r->out, 0);
	if (err == 0 && !tar_may_end(&r->tar))
		return err_set(r->e, EINVAL,
			       "behind '%.250s': the archive ends in the middle: truncated",
			       r->path);
	progress_blob(r->job->progress, r->from.bytes_in, of, 1);
	return err;
}

static int layer_finish(struct reading *r)
{
	struct layer_result *ret = r->ret;
	struct index_head head = {.blocks = r->data.blocks};

	ret->blob_bytes = r->from.bytes_in;
	ret->stream_bytes = head.stream_bytes = r->from.bytes_out;
	ret->blocks = r->data.blocks;
	sha256_end(&r->from.sum, ret->blob);
	sha256_end(&r->sum, ret->diff_id);
	memcpy(head.diff_id, ret->diff_id, sizeof(head.diff_id));
	int n = data_end(&r->data);
	if (n == 0)
		n = index_end(&r->index, &head);
	return n < 0 ? err_set(r->e, -n, "write a layer: %s", strerror(-n)) : 0;
}

int layer_read(const struct layer_job *job, const struct span *from, struct layer_result *ret,
	       struct err *e)
{
	auto_free struct reading *r = malloc(sizeof(*r));

	*ret = (struct layer_result){0};
	if (!r) {
		(void)close(job->index_fd);
		return err_set(e, ENOMEM, "no memory to read a layer");
	}
	r->job = job;
	r->ret = ret;
	r->e = e;
	r->path[0] = 0;
	r->extents = NULL;
	r->n_extents = r->extents_room = 0;
	sha256_init(&r->sum);
	tar_reader_init(&r->tar);
	data_init(&r->data, job->data_fd, job->limits->bytes);
	int n = index_create(&r->index, job->index_fd);
	if (n < 0)
		return err_set(e, -n, "write the index of a layer: %s", strerror(-n));
	job->progress->told = 0;
	n = inflate_open(&r->from, from, job->limits->ratio, e);
	if (n == 0)
		n = stream_read(r, from->pipe ? 0 : from->bytes);
	if (n == 0)
		n = layer_finish(r);
	index_drop(&r->index);
	inflate_close(&r->from);
	free(r->extents);
	return n;
}

int layer_apply(struct tree *t, struct index_in *x, struct err *e)
{
	struct layer_entry en;
	int r;

	while ((r = index_next(x, &en)) > 0)
		if ((r = tree_apply(t, &en, e)) < 0)
			return r;
	return r < 0 ? err_set(e, EBADMSG, "the index of a layer that is there is damaged") : 0;
}
