/* SPDX-License-Identifier: Apache-2.0 */
/* make.c - see make.h.
 *
 * What an input is, by content: a directory must be an OCI layout. Anything else is an archive. One that can be looked
 * at twice (a file, not compressed) is read where it is; of any other a copy is made first, in a file of the work
 * directory that has no name, since the list of an image's layers often comes behind them. Then: with oci-layout and
 * index.json it is an OCI layout; with a manifest.json that lists layers, a docker archive; else a root file system.
 *
 * A layer that is there already, from an earlier image or further down in this one, is not read: its index is.
 */
#include "image/make.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/archive.h"
#include "image/blobs.h"
#include "image/describe.h"
#include "image/docker.h"
#include "image/door.h"
#include "image/inflate.h"
#include "image/layer.h"
#include "image/meta.h"
#include "image/tree.h"
#include "util/cleanup.h"
#include "util/io.h"

enum { COPY_BYTES = 128 << 10 };

struct making {
	struct make_job *job;
	struct err *e;
	struct archive archive;
	struct blobs blobs;
	struct tree tree;
	uint64_t bytes; /* of the streams read so far */
	uint64_t base[LIMIT_LAYERS + 1];
	uint64_t data_blocks;
	struct layer_result layers[LIMIT_LAYERS];
	struct image image;
};

/* ---- through the door ------------------------------------------------------------------------------------ */

static int make_ask(const struct making *m, enum door_verb verb, enum door_slot slot,
		    const char *what)
{
	struct door_request q = {.verb = verb, .slot = slot};
	int r = door_ask(m->job->door, &q);

	return r < 0 ? err_set(m->e, -r, "make %s: %s", what, strerror(-r)) : r;
}

static int make_keep(const struct making *m, enum door_slot slot, enum door_name name,
		     const char *hex)
{
	struct door_request q = {.verb = DOOR_KEEP, .slot = slot, .name = name};

	memcpy(q.hex, hex, strlen(hex) + 1);
	int r = door_ask(m->job->door, &q);
	return r < 0 ? err_set(m->e, -r, "give a file its name: %s", strerror(-r)) : 0;
}

static int keep_text(const struct making *m, enum door_name name, char *text)
{
	auto_free char *owned = text;

	if (!owned)
		return err_set(m->e, ENOMEM, "no memory to describe the image");
	auto_close int fd = make_ask(m, DOOR_NEW, SLOT_OTHER, "a description");
	if (fd < 0)
		return fd;
	int r = io_write_all(fd, owned, strlen(owned));
	if (r < 0)
		return err_set(m->e, -r, "write a description: %s", strerror(-r));
	return make_keep(m, SLOT_OTHER, name, "");
}

/* ---- what the input is ----------------------------------------------------------------------------------- */

static int is_plain_file(int fd)
{
	static const uint8_t gzip[] = {0x1f, 0x8b}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
	uint8_t head[sizeof(zstd)] = {0};
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       pread(fd, head, sizeof(head), 0) >= 0 && memcmp(head, gzip, sizeof(gzip)) != 0 &&
	       memcmp(head, zstd, sizeof(zstd)) != 0;
}

struct copying { /* of an archive that cannot be looked at twice */
	struct inflate from;
	uint8_t buf[COPY_BYTES];
};

/* All of the stream to fd. */
static int spool_stream(struct making *m, struct copying *c, uint64_t of, int fd)
{
	ssize_t n;

	while ((n = inflate_read(&c->from, c->buf, sizeof(c->buf), m->e)) > 0) {
		if (c->from.bytes_out > m->job->limits.bytes)
			return err_set(m->e, EFBIG, "the archive has more than %llu bytes",
				       (unsigned long long)m->job->limits.bytes);
		int r = io_write_all(fd, c->buf, (size_t)n);
		if (r < 0)
			return err_set(m->e, -r, "copy the archive: %s", strerror(-r));
		progress_blob(&m->job->progress, c->from.bytes_in, of, 0);
	}
	return (int)n;
}

/* A copy that can be looked at as often as one likes: its descriptor. */
static int spool(struct making *m)
{
	auto_free struct copying *c = malloc(sizeof(*c));
	struct span span = span_of(m->job->input);

	if (!c)
		return err_set(m->e, ENOMEM, "no memory to copy the archive");
	auto_close int fd = make_ask(m, DOOR_TEMP, SLOT_OTHER, "a copy of the archive");
	if (fd < 0)
		return fd; /* auto_free is unknown to it. NOLINT(clang-analyzer-unix.Malloc) */
	int r = inflate_open(&c->from, &span, m->job->limits.ratio, m->e);
	if (r == 0)
		r = spool_stream(m, c, span.pipe ? 0 : span.bytes, fd);
	inflate_close(&c->from);
	return r < 0 ? r : take_fd(fd);
}

static int is_layout(const struct blobs *b)
{
	static const char *const marks[] = {"oci-layout", "index.json"};
	struct span s;

	for (size_t i = 0; i < countof(marks); i++) {
		if (blob_open_named(b, marks[i], &s) < 0)
			return 0;
		blob_close(b, &s);
	}
	return 1;
}

/* One layer, of which nothing is known. */
static void open_plain(struct making *m)
{
	m->image = (struct image){.n = 1};
	m->image.layers[0].bytes = -1;
	m->image.layers[0].from = span_of(m->archive.fd);
}

static int open_archive(struct making *m)
{
	int fd = is_plain_file(m->job->input) ? m->job->input : spool(m);
	int r = fd < 0 ? fd : archive_scan(&m->archive, fd, m->e);

	if (r < 0)
		return r;
	m->blobs.archive = &m->archive;
	if (is_layout(&m->blobs))
		return oci_open(&m->blobs, &m->job->want, &m->image, m->e);
	r = docker_open(&m->archive, &m->job->want, &m->image, m->e);
	if (r != -ENOENT || m->e->code != 0)
		return r;
	open_plain(m);
	return 0;
}

static int open_layout(struct making *m)
{
	if (!is_layout(&m->blobs))
		return err_set(m->e, EINVAL, "the directory is not an OCI image layout");
	return oci_open(&m->blobs, &m->job->want, &m->image, m->e);
}

/* ---- layers ---------------------------------------------------------------------------------------------- */

/* -EBADMSG: what is there cannot be used. */
static int try_index(struct making *m, const char *diff_id, struct layer_result *ret)
{
	struct door_request q = {.verb = DOOR_LAYER};
	auto_free struct index_in *x = malloc(sizeof(*x));

	memcpy(q.hex, diff_id, strlen(diff_id) + 1);
	int fd = door_ask(m->job->door, &q);
	if (fd < 0)
		return -EBADMSG; /* auto_free is unknown to it. NOLINT(clang-analyzer-unix.Malloc) */
	if (!x) {
		(void)close(fd);
		return err_set(m->e, ENOMEM, "no memory to read a layer's index");
	}
	if (index_open(x, fd, diff_id) < 0)
		return -EBADMSG;
	memcpy(ret->diff_id, diff_id, sizeof(ret->diff_id));
	ret->blocks = x->head.blocks;
	ret->stream_bytes = x->head.stream_bytes;
	int r = layer_apply(&m->tree, x, m->e);
	index_close(x);
	return r == -EBADMSG ? -EIO : r; /* half of it is in the tree */
}

static int check_digest(const struct making *m, const char *what, const char *is,
			const char *should)
{
	if (!*should || strcmp(is, should) == 0)
		return 0;
	return err_set(m->e, EBADMSG,
		       "layer %u: the digest of its %s is sha256:%s, and should be sha256:%s",
		       m->job->progress.layer, what, is, should);
}

static int read_layer_from(struct making *m, const struct image_layer *l, const struct span *from,
			   struct layer_result *ret)
{
	struct layer_job job = {.tree = &m->tree,
				.limits = &m->job->limits,
				.progress = &m->job->progress,
				.bytes = &m->bytes};
	auto_close int data = make_ask(m, DOOR_NEW, SLOT_DATA, "a layer");

	if (data < 0)
		return data;
	job.data_fd = data;
	job.index_fd = make_ask(m, DOOR_NEW, SLOT_INDEX, "a layer's index");
	if (job.index_fd < 0)
		return job.index_fd;
	int r = layer_read(&job, from, ret, m->e);
	if (r == 0)
		r = check_digest(m, "blob", ret->blob, l->blob);
	if (r == 0)
		r = check_digest(m, "content", ret->diff_id, l->diff_id);
	if (r == 0)
		r = make_keep(m, SLOT_DATA, NAME_DATA, ret->diff_id);
	return r < 0 ? r : make_keep(m, SLOT_INDEX, NAME_INDEX, ret->diff_id);
}

static int read_layer(struct making *m, const struct image_layer *l, struct layer_result *ret)
{
	struct span from = l->from;

	if (!*l->blob)
		return read_layer_from(m, l, &from, ret);
	int r = blob_open(&m->blobs, l->blob, l->bytes, &from, m->e);
	if (r < 0)
		return r;
	r = read_layer_from(m, l, &from, ret);
	blob_close(&m->blobs, &from);
	return r;
}

static int make_layer(struct making *m, size_t i)
{
	const struct image_layer *l = &m->image.layers[i];
	struct layer_result *ret = &m->layers[i];
	int r = -EBADMSG;

	m->job->progress.layer = (unsigned)i + 1;
	tree_next_layer(&m->tree);
	if (*l->diff_id)
		r = try_index(m, l->diff_id, ret);
	if (r != -EBADMSG && r < 0)
		return r;
	if (r == 0) {
		memcpy(ret->blob, l->blob, sizeof(ret->blob));
		ret->blob_bytes = l->bytes > 0 ? (uint64_t)l->bytes : 0;
		progress_have(&m->job->progress);
		return 0;
	}
	r = read_layer(m, l, ret);
	return r < 0 ? err_wrap(m->e, r, "layer %zu of %zu", i + 1, m->image.n) : 0;
}

/* A layer that comes twice is in the disk once. */
static void find_base(struct making *m, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(m->layers[k].diff_id, m->layers[i].diff_id) == 0) {
			m->base[i + 1] = m->base[k + 1];
			return;
		}
	m->base[i + 1] = m->data_blocks;
	m->data_blocks += m->layers[i].blocks;
}

static int make_layers(struct making *m)
{
	int r = 0;

	m->job->progress.layers = (unsigned)m->image.n;
	for (size_t i = 0; i < m->image.n && r == 0; i++) {
		r = make_layer(m, i);
		find_base(m, i);
	}
	return r;
}

/* ---- the image ------------------------------------------------------------------------------------------- */

/* The same layers make the same image, to the bit. */
static void uuid_of(const struct making *m, uint8_t uuid[16])
{
	char text[SHA256_TEXT_BYTES];
	struct sha256 s;

	sha256_init(&s);
	for (size_t i = 0; i < m->image.n; i++)
		sha256_add(&s, m->layers[i].diff_id, SHA256_TEXT_BYTES);
	sha256_end(&s, text);
	memcpy(uuid, text, 16); /* sixteen digits are 64 bits of it */
}

static int write_meta(struct making *m, struct meta_result *ret)
{
	struct meta_plan plan = {.base = m->base, .data_blocks = m->data_blocks};
	auto_close int fd = make_ask(m, DOOR_NEW, SLOT_OTHER, "the image's metadata");

	if (fd < 0)
		return fd;
	uuid_of(m, plan.uuid);
	int r = meta_write(&m->tree, &plan, fd, ret, m->e);
	return r < 0 ? r : make_keep(m, SLOT_OTHER, NAME_META, "");
}

static int make_from_image(struct making *m)
{
	struct meta_result meta;
	struct image_parts parts = {
		.image = &m->image, .want = &m->job->want, .layers = m->layers, .meta = &meta};
	int r = tree_init(&m->tree, m->job->limits.entries, m->e);

	if (r == 0)
		r = make_layers(m);
	if (r == 0)
		r = write_meta(m, &meta);
	parts.entries_left_out = m->tree.left_out;
	if (r == 0)
		r = keep_text(m, NAME_CONFIG, describe_config(&m->image, &m->job->want));
	if (r == 0)
		r = keep_text(m, NAME_MANIFEST, describe_manifest(&parts));
	return r;
}

int make_image(struct make_job *job, struct err *e)
{
	auto_free struct making *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(e, ENOMEM, "no memory to make an image");
	e->code = 0;
	m->job = job;
	m->e = e;
	m->blobs.door = job->door;
	int r = job->input < 0 ? open_layout(m) : open_archive(m);
	if (r == 0)
		r = make_from_image(m);
	tree_free(&m->tree);
	image_free(&m->image);
	archive_free(&m->archive);
	return r;
}
