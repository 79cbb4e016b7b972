/* SPDX-License-Identifier: Apache-2.0 */
/* index.c - see index.h. */
#include "image/index.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct record {
	uint8_t type, holes, chunk_bits, reserved;
	uint32_t mode, uid, gid, major, minor, mtime_ns, block;
	uint32_t path_bytes, link_bytes, xattrs_bytes, extents;
	int64_t mtime_s;
	uint64_t size;
};

enum { COPY_BYTES = 8 << 10 };

_Static_assert(sizeof(struct index_head) == 16 + 2 * 65 + 6 + 24, "has padding");
_Static_assert(sizeof(struct record) == 64, "has padding");

/* ---- writing ---------------------------------------------------------------------------------------- */

int index_create(struct index_out *x, int fd)
{
	static const struct index_head none;

	x->f = fdopen(fd, "w");
	if (!x->f) {
		int r = -errno;
		(void)close(fd);
		return r;
	}
	x->entries = 0;
	sha256_init(&x->sum);
	return fwrite(&none, sizeof(none), 1, x->f) == 1 ? 0 : -EIO;
}

static int index_put_bytes(struct index_out *x, const void *p, size_t n)
{
	sha256_add(&x->sum, p, n);
	return n == 0 || fwrite(p, n, 1, x->f) == 1 ? 0 : -errno;
}

int index_put(struct index_out *x, const struct layer_entry *en)
{
	struct record rec = {
		.type = (uint8_t)en->type,
		.holes = (uint8_t)en->holes,
		.chunk_bits = (uint8_t)en->chunk_bits,
		.mode = en->mode,
		.uid = en->uid,
		.gid = en->gid,
		.major = en->major,
		.minor = en->minor,
		.mtime_ns = en->mtime_ns,
		.block = en->block,
		.path_bytes = (uint32_t)strlen(en->path) + 1,
		.link_bytes = (uint32_t)strlen(en->link) + 1,
		.xattrs_bytes = (uint32_t)en->xattrs_bytes,
		.extents = (uint32_t)en->n_extents,
		.mtime_s = en->mtime_s,
		.size = en->size,
	};
	int r = index_put_bytes(x, &rec, sizeof(rec));

	if (r == 0)
		r = index_put_bytes(x, en->path, rec.path_bytes);
	if (r == 0)
		r = index_put_bytes(x, en->link, rec.link_bytes);
	if (r == 0)
		r = index_put_bytes(x, en->xattrs, rec.xattrs_bytes);
	if (r == 0)
		r = index_put_bytes(x, en->extents, rec.extents * sizeof(*en->extents));
	x->entries++;
	return r;
}

static void head_sum(struct sha256 *s, const struct index_head *head, char ret[SHA256_TEXT_BYTES])
{
	struct index_head h = *head;

	memset(h.sum, 0, sizeof(h.sum));
	sha256_add(s, &h, sizeof(h));
	sha256_end(s, ret);
}

int index_end(struct index_out *x, struct index_head *head)
{
	int r = 0;

	memcpy(head->magic, INDEX_MAGIC, sizeof(INDEX_MAGIC));
	memset(head->reserved, 0, sizeof(head->reserved));
	head->entries = x->entries;
	head_sum(&x->sum, head, head->sum);
	if (fseek(x->f, 0, SEEK_SET) < 0 || fwrite(head, sizeof(*head), 1, x->f) != 1 ||
	    fflush(x->f) != 0)
		r = -errno;
	index_drop(x);
	return r;
}

void index_drop(struct index_out *x)
{
	if (x->f)
		(void)fclose(x->f);
	x->f = NULL;
}

/* ---- reading ---------------------------------------------------------------------------------------- */

static int sum_is_right(struct index_in *x)
{
	uint8_t buf[COPY_BYTES];
	char text[SHA256_TEXT_BYTES];
	struct sha256 s;
	size_t n;

	sha256_init(&s);
	while ((n = fread(buf, 1, sizeof(buf), x->f)) > 0)
		sha256_add(&s, buf, n);
	head_sum(&s, &x->head, text);
	return memcmp(text, x->head.sum, sizeof(text)) == 0;
}

int index_open(struct index_in *x, int fd, const char *diff_id)
{
	x->f = fdopen(fd, "r");
	if (!x->f) {
		int r = -errno;
		(void)close(fd);
		return r;
	}
	if (fread(&x->head, sizeof(x->head), 1, x->f) != 1 ||
	    memcmp(x->head.magic, INDEX_MAGIC, sizeof(INDEX_MAGIC)) != 0 ||
	    memcmp(x->head.diff_id, diff_id, SHA256_TEXT_BYTES) != 0 ||
	    x->head.blocks >= EROFS_HOLE || !sum_is_right(x) ||
	    fseek(x->f, sizeof(x->head), SEEK_SET) < 0) {
		index_close(x);
		return -EBADMSG;
	}
	x->left = x->head.entries;
	return 0;
}

void index_close(struct index_in *x)
{
	if (x->f)
		(void)fclose(x->f);
	x->f = NULL;
}

static int index_get_bytes(struct index_in *x, void *p, size_t n)
{
	return n == 0 || fread(p, n, 1, x->f) == 1 ? 0 : -EBADMSG;
}

static int index_get_text(struct index_in *x, char *p, uint32_t bytes)
{
	if (bytes == 0 || bytes > TAR_NAME_BYTES || index_get_bytes(x, p, bytes) < 0)
		return -EBADMSG;
	return memchr(p, 0, bytes) == p + bytes - 1 ? 0 : -EBADMSG;
}

/* Within the file and the data, and in order. */
static int extents_are_sound(const struct index_in *x, const struct layer_entry *en)
{
	uint64_t chunks = erofs_chunks(en->size, en->chunk_bits), at = 0;

	for (size_t i = 0; i < en->n_extents; i++) {
		const struct extent *t = &en->extents[i];

		if (t->first < at || t->n == 0 || (uint64_t)t->first + t->n > chunks ||
		    t->block + ((uint64_t)(t->n - 1) << en->chunk_bits) >= x->head.blocks)
			return 0;
		at = (uint64_t)t->first + t->n;
	}
	return chunks <= LIMIT_CHUNKS && en->chunk_bits <= EROFS_CHUNK_BITS_MAX;
}

static int is_sound(const struct index_in *x, const struct layer_entry *en)
{
	uint64_t blocks = erofs_chunks(en->size, 0);

	if (en->type > TAR_BLOCK || en->mode > 07777 || en->mtime_ns >= 1000000000 ||
	    !erofs_xattrs_valid(en->xattrs, en->xattrs_bytes))
		return 0;
	if (en->holes)
		return extents_are_sound(x, en);
	return en->n_extents == 0 &&
	       (en->type != TAR_FILE ||
		(blocks <= x->head.blocks && en->block <= x->head.blocks - blocks));
}

int index_next(struct index_in *x, struct layer_entry *ret)
{
	struct record rec;

	if (x->left == 0)
		return 0;
	x->left--;
	if (index_get_bytes(x, &rec, sizeof(rec)) < 0 || rec.xattrs_bytes > sizeof(x->xattrs) ||
	    rec.extents > LIMIT_CHUNKS || index_get_text(x, x->path, rec.path_bytes) < 0 ||
	    index_get_text(x, x->link, rec.link_bytes) < 0 ||
	    index_get_bytes(x, x->xattrs, rec.xattrs_bytes) < 0 ||
	    index_get_bytes(x, x->extents, rec.extents * sizeof(x->extents[0])) < 0)
		return -EBADMSG;
	*ret = (struct layer_entry){
		.type = rec.type,
		.holes = rec.holes,
		.chunk_bits = rec.chunk_bits,
		.mode = rec.mode,
		.uid = rec.uid,
		.gid = rec.gid,
		.major = rec.major,
		.minor = rec.minor,
		.mtime_ns = rec.mtime_ns,
		.block = rec.block,
		.mtime_s = rec.mtime_s,
		.size = rec.size,
		.path = x->path,
		.link = x->link,
		.xattrs = x->xattrs,
		.xattrs_bytes = rec.xattrs_bytes,
		.extents = x->extents,
		.n_extents = rec.extents,
	};
	if (tar_clean(x->path) < 0 || !is_sound(x, ret))
		return -EBADMSG;
	return 1;
}
