/* SPDX-License-Identifier: Apache-2.0 */
/* meta.c - see meta.h. Places all inodes, then writes them in that order, then the blocks of directories. */
#include "image/meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/array.h"
#include "util/cleanup.h"
#include "util/erofs.h"
#include "util/io.h"

enum { OUT_BYTES = 64 << 10 };

enum part { SIZE, BLOCKS, TAIL }; /* of a directory */

struct meta {
	const struct meta_plan *plan;
	struct err *e;
	struct node **order; /* a name of each inode, in the order of their places */
	size_t n, room;
	uint64_t end;        /* of the last inode that is placed */
	uint32_t dir_blocks; /* of all directories */
	uint64_t data_at;    /* the first block behind the metadata */
	int chunks;

	int fd;
	uint64_t written; /* what is in out included */
	size_t out_len;
	struct sha256 sum;
	struct erofs_dir dir;
	uint8_t block[EROFS_BLOCK_BYTES], out[OUT_BYTES];
};

/* ---- bytes to the file --------------------------------------------------------------------------------- */

static int meta_flush(struct meta *m)
{
	sha256_add(&m->sum, m->out, m->out_len);
	int r = io_write_all(m->fd, m->out, m->out_len);

	if (r < 0)
		return err_set(m->e, -r, "write the image's metadata: %s", strerror(-r));
	m->out_len = 0;
	return 0;
}

/* p NULL: zeros. */
static int meta_put(struct meta *m, const void *p, uint64_t len)
{
	int r = 0;

	while (len > 0 && r == 0) {
		size_t n = (size_t)min_(len, (uint64_t)(sizeof(m->out) - m->out_len));

		if (p)
			memcpy(m->out + m->out_len, p, n);
		else
			memset(m->out + m->out_len, 0, n);
		p = p ? (const uint8_t *)p + n : NULL;
		m->out_len += n;
		m->written += n;
		len -= n;
		if (m->out_len == sizeof(m->out))
			r = meta_flush(m);
	}
	return r;
}

/* ---- directories --------------------------------------------------------------------------------------- */

struct dir_size {
	uint32_t blocks;
	size_t tail;
};

static int dir_add(struct meta *m, const char *name, const struct inode *i, enum part part,
		   struct dir_size *size)
{
	struct erofs_dirent d = {.name = name, .nid = i->nid, .mode = i->mode};

	if (!erofs_dir_add(&m->dir, &d, part == SIZE ? NULL : m->block))
		return 0;
	size->blocks++;
	return part == BLOCKS ? meta_put(m, m->block, sizeof(m->block)) : 0;
}

/* "." and ".." stand where the order of names has them, which is not always first. */
static int dir_add_before(struct meta *m, const struct node *dir, const char *name, int *dots,
			  enum part part, struct dir_size *size)
{
	static const char *const dot[] = {".", ".."};
	int r = 0;

	for (; *dots < 2 && r == 0 && (!name || strcmp(dot[*dots], name) < 0); ++*dots)
		r = dir_add(m, dot[*dots], (*dots ? dir->parent : dir)->inode, part, size);
	return r;
}

static int dir_put(struct meta *m, const struct node *dir, struct node *const *children,
		   enum part part, struct dir_size *size)
{
	int r = 0, dots = 0;

	*size = (struct dir_size){0};
	for (uint32_t i = 0; i < dir->n_children && r == 0; i++) {
		r = dir_add_before(m, dir, children[i]->name, &dots, part, size);
		if (r == 0)
			r = dir_add(m, children[i]->name, children[i]->inode, part, size);
	}
	if (r == 0)
		r = dir_add_before(m, dir, NULL, &dots, part, size);
	if (r < 0)
		return r;
	size->tail = erofs_dir_end(&m->dir, part == SIZE ? NULL : m->block);
	if (size->tail == EROFS_BLOCK_BYTES) {
		size->tail = 0;
		size->blocks++;
		return part == BLOCKS ? meta_put(m, m->block, sizeof(m->block)) : 0;
	}
	return part == TAIL ? meta_put(m, m->block, size->tail) : 0;
}

static int dir_put_alone(struct meta *m, const struct node *dir, enum part part)
{
	auto_free struct node **children = tree_children(dir);
	struct dir_size size;

	if (!children)
		return err_set(m->e, ENOMEM, "no memory for the image's directories");
	return dir_put(m, dir, children, part, &size);
}

/* ---- placing ------------------------------------------------------------------------------------------- */

static int remember(struct meta *m, struct node *n)
{
	struct node **more = array_grow(m->order, &m->room, m->n, sizeof(struct node *), 1024);

	if (!more)
		return err_set(m->e, ENOMEM, "no memory for the image's inodes");
	m->order = more;
	m->order[m->n++] = n;
	return 0;
}

static uint64_t map_bytes(const struct inode *i)
{
	return i->holes ? sizeof(uint32_t) * erofs_chunks(i->size, i->chunk_bits) : 0;
}

static int place_one(struct meta *m, struct node *n, size_t tail)
{
	struct inode *i = n->inode;
	size_t head = erofs_head_bytes(i->xattrs_bytes);
	uint64_t at = erofs_place(m->end, head, tail);

	i->nid = at / EROFS_SLOT_BYTES;
	m->end = at + head + tail + map_bytes(i);
	m->chunks |= i->holes;
	return remember(m, n);
}

static int place_node(struct meta *m, struct node *n);

static int place_dir(struct meta *m, struct node *n)
{
	auto_free struct node **children = tree_children(n);
	struct dir_size size;

	if (!children)
		return err_set(m->e, ENOMEM, "no memory for the image's directories");
	int r = dir_put(m, n, children, SIZE, &size);
	n->inode->size = (uint64_t)size.blocks * EROFS_BLOCK_BYTES + size.tail;
	n->dir_at = m->dir_blocks;
	n->dir_blocks = size.blocks;
	m->dir_blocks += size.blocks;
	if (r == 0)
		r = place_one(m, n, size.tail);
	for (uint32_t i = 0; i < n->n_children && r == 0; i++)
		r = place_node(m, children[i]);
	return r;
}

/* An inode has its place from its first name. */
static int place_node(struct meta *m, struct node *n)
{
	const struct inode *i = n->inode;

	if (i->nid)
		return 0;
	if (S_ISDIR(i->mode))
		return place_dir(m, n);
	return place_one(m, n, S_ISLNK(i->mode) ? i->size : 0);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static uint32_t block_in_disk(const struct meta *m, const struct inode *i, uint32_t block)
{
	return (uint32_t)(m->data_at + m->plan->base[i->layer] + block);
}

static void inode_describe(const struct meta *m, const struct node *n, struct erofs_inode *ret)
{
	const struct inode *i = n->inode;

	if (S_ISDIR(i->mode)) {
		ret->nlink = 2 + n->n_dirs;
		ret->layout = i->size % EROFS_BLOCK_BYTES ? EROFS_INLINE : EROFS_FLAT;
		ret->where = n->dir_blocks ? (uint32_t)(m->data_at - m->dir_blocks + n->dir_at) : 0;
	} else if (S_ISLNK(i->mode)) {
		ret->layout = EROFS_INLINE;
	} else if (i->holes) {
		ret->layout = EROFS_CHUNKS;
		ret->where = i->chunk_bits;
	} else if (S_ISREG(i->mode)) {
		ret->where = i->size ? block_in_disk(m, i, i->block) : 0;
	} else {
		ret->where = i->device;
	}
}

static int put_map(struct meta *m, const struct inode *i)
{
	uint64_t n = erofs_chunks(i->size, i->chunk_bits), at = 0;
	int r = 0;

	for (uint32_t x = 0; x < i->n_extents && r == 0; x++) {
		const struct extent *t = &i->extents[x];
		const uint32_t hole = EROFS_HOLE;

		for (; at < t->first && r == 0; at++)
			r = meta_put(m, &hole, sizeof(hole));
		for (uint32_t k = 0; k < t->n && r == 0; k++, at++) {
			uint32_t block = block_in_disk(m, i, t->block + (k << i->chunk_bits));

			r = meta_put(m, &block, sizeof(block));
		}
	}
	for (const uint32_t hole = EROFS_HOLE; at < n && r == 0; at++)
		r = meta_put(m, &hole, sizeof(hole));
	return r;
}

static int put_xattrs(struct meta *m, const struct inode *i)
{
	if (i->xattrs_bytes == 0)
		return 0;
	int r = meta_put(m, NULL, EROFS_XATTR_HEAD_BYTES);
	return r < 0 ? r : meta_put(m, i->xattrs, i->xattrs_bytes);
}

static int put_inode(struct meta *m, const struct node *n, uint32_t number)
{
	const struct inode *i = n->inode;
	uint8_t buf[EROFS_INODE_BYTES];
	struct erofs_inode in = {
		.mode = i->mode,
		.uid = i->uid,
		.gid = i->gid,
		.nlink = i->names,
		.number = number,
		.size = i->size,
		.mtime_s = i->mtime_s,
		.mtime_ns = i->mtime_ns,
		.xattrs_bytes = i->xattrs_bytes,
	};

	inode_describe(m, n, &in);
	erofs_inode(&in, buf);
	int r = meta_put(m, NULL, i->nid * EROFS_SLOT_BYTES - m->written);
	if (r == 0)
		r = meta_put(m, buf, sizeof(buf));
	if (r == 0)
		r = put_xattrs(m, i);
	if (r == 0 && S_ISLNK(i->mode))
		r = meta_put(m, i->target, i->size);
	if (r == 0 && S_ISDIR(i->mode))
		r = dir_put_alone(m, n, TAIL);
	if (r == 0 && i->holes)
		r = put_map(m, i);
	return r;
}

static int put_super(struct meta *m, uint64_t nid)
{
	struct erofs_super super = {
		.root_nid = nid,
		.inodes = m->n,
		.blocks = (uint32_t)(m->data_at + m->plan->data_blocks),
		.chunks = m->chunks,
	};
	uint8_t buf[EROFS_SUPER_BYTES];
	int r = meta_put(m, NULL, EROFS_SUPER_AT);

	memcpy(super.uuid, m->plan->uuid, sizeof(super.uuid));
	erofs_super(&super, buf);
	return r < 0 ? r : meta_put(m, buf, sizeof(buf));
}

static int put_all(struct meta *m)
{
	int r = put_super(m, m->order[0]->inode->nid);

	for (size_t i = 0; i < m->n && r == 0; i++)
		r = put_inode(m, m->order[i], (uint32_t)i + 1);
	if (r == 0)
		r = meta_put(m, NULL, -m->written % EROFS_BLOCK_BYTES);
	for (size_t i = 0; i < m->n && r == 0; i++)
		if (m->order[i]->dir_blocks)
			r = dir_put_alone(m, m->order[i], BLOCKS);
	return r < 0 ? r : meta_flush(m);
}

static int meta_make(struct meta *m, struct tree *t)
{
	int r = place_node(m, t->root);

	if (r < 0)
		return r;
	m->data_at = (m->end + EROFS_BLOCK_BYTES - 1) / EROFS_BLOCK_BYTES + m->dir_blocks;
	if (m->data_at + m->plan->data_blocks >= EROFS_HOLE)
		return err_set(m->e, EFBIG, "the image has more blocks than EROFS can count");
	return put_all(m);
}

int meta_write(struct tree *t, const struct meta_plan *plan, int fd, struct meta_result *ret,
	       struct err *e)
{
	auto_free struct meta *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(e, ENOMEM, "no memory to write the image's metadata");
	m->plan = plan;
	m->e = e;
	m->fd = fd;
	m->end = EROFS_FIRST_INODE;
	sha256_init(&m->sum);
	int r = meta_make(m, t);
	free(m->order);
	ret->bytes = m->written;
	ret->inodes = m->n;
	sha256_end(&m->sum, ret->sum);
	return r;
}
