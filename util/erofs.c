/* SPDX-License-Identifier: Apache-2.0 */
/* erofs.c - see erofs.h. */
#include "util/erofs.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "util/le.h"

enum {
	HAS_MTIME = 2,  /* feature_compat: times are mtimes */
	HAS_CHUNKS = 4, /* feature_incompat */
	LONG_INODE = 1,
	XATTR_ENTRY_BYTES = 4,
	XATTR_VALUE_MAX = UINT16_MAX,
	MINOR_LOW = 0xff,
};

static const uint32_t magic = 0xe0f5e1e2;

void erofs_super(const struct erofs_super *s, uint8_t *buf)
{
	assert(s->root_nid <= UINT16_MAX);
	memset(buf, 0, EROFS_SUPER_BYTES);
	le_put(buf, magic, 4);
	le_put(buf + 8, HAS_MTIME, 4);
	buf[12] = EROFS_BLOCK_BITS;
	le_put(buf + 14, s->root_nid, 2);
	le_put(buf + 16, s->inodes, 8);
	le_put(buf + 36, s->blocks, 4);
	memcpy(buf + 48, s->uuid, sizeof(s->uuid));
	le_put(buf + 80, s->chunks ? HAS_CHUNKS : 0, 4);
}

void erofs_inode(const struct erofs_inode *i, uint8_t *buf)
{
	assert(i->xattrs_bytes <= EROFS_XATTRS_MAX && i->xattrs_bytes % XATTR_ENTRY_BYTES == 0);
	memset(buf, 0, EROFS_INODE_BYTES);
	le_put(buf, (uint32_t)i->layout << 1 | LONG_INODE, 2);
	le_put(buf + 2, i->xattrs_bytes ? (uint32_t)(i->xattrs_bytes / XATTR_ENTRY_BYTES) + 1 : 0,
	       2);
	le_put(buf + 4, i->mode, 2);
	le_put(buf + 8, i->size, 8);
	le_put(buf + 16, i->where, 4);
	le_put(buf + 20, i->number, 4);
	le_put(buf + 24, i->uid, 4);
	le_put(buf + 28, i->gid, 4);
	le_put(buf + 32, (uint64_t)i->mtime_s, 8);
	le_put(buf + 40, i->mtime_ns, 4);
	le_put(buf + 44, i->nlink, 4);
}

/* ---- places ---------------------------------------------------------------------------------------- */

static int lies_in_one_block(uint64_t at, size_t len)
{
	return at % EROFS_BLOCK_BYTES + len <= EROFS_BLOCK_BYTES;
}

uint64_t erofs_place(uint64_t at, size_t head, size_t tail)
{
	assert(tail <= EROFS_BLOCK_BYTES);
	at = (at + EROFS_SLOT_BYTES - 1) & ~(uint64_t)(EROFS_SLOT_BYTES - 1);
	while (!lies_in_one_block(at, EROFS_INODE_BYTES) || !lies_in_one_block(at + head, tail))
		at += EROFS_SLOT_BYTES;
	return at;
}

int erofs_device(uint32_t major, uint32_t minor, uint32_t *ret)
{
	if (major >= 1 << 12 || minor >= 1 << 20)
		return -ERANGE;
	*ret = (minor & MINOR_LOW) | major << 8 | (minor & ~(uint32_t)MINOR_LOW) << 12;
	return 0;
}

unsigned erofs_chunk_bits(uint64_t size, uint64_t max)
{
	unsigned bits = 0;

	while (bits < EROFS_CHUNK_BITS_MAX && erofs_chunks(size, bits) > max)
		bits++;
	return bits;
}

/* ---- attributes -------------------------------------------------------------------------------------- */

/* Of the namespaces. What access control lists would need more than this is not there. */
static const struct {
	const char *prefix;
	uint8_t index;
} namespaces[] = {{"user.", 1}, {"trusted.", 4}, {"security.", 6}};

static int namespace_of(const char **name, uint8_t *ret_index)
{
	for (size_t i = 0; i < countof(namespaces); i++) {
		size_t n = strlen(namespaces[i].prefix);

		if (strncmp(*name, namespaces[i].prefix, n) == 0 && (*name)[n]) {
			*name += n;
			*ret_index = namespaces[i].index;
			return 0;
		}
	}
	return -EOPNOTSUPP;
}

static size_t xattr_entry_bytes(const uint8_t *p)
{
	size_t n = XATTR_ENTRY_BYTES + p[0] + (size_t)le_get(p + 2, 2);

	return (n + XATTR_ENTRY_BYTES - 1) & ~(size_t)(XATTR_ENTRY_BYTES - 1);
}

static void xattr_remove(struct erofs_xattrs *x, uint8_t index, const char *name, size_t name_len)
{
	for (size_t at = 0, n; at < x->bytes; at += n) {
		uint8_t *p = x->buf + at;

		n = xattr_entry_bytes(p);
		if (p[0] != name_len || p[1] != index ||
		    memcmp(p + XATTR_ENTRY_BYTES, name, name_len) != 0)
			continue;
		memmove(p, p + n, x->bytes - at - n);
		x->bytes -= n;
		return;
	}
}

int erofs_xattr_add(struct erofs_xattrs *x, const char *name, const uint8_t *value, size_t len)
{
	uint8_t index, head[XATTR_ENTRY_BYTES];

	if (namespace_of(&name, &index) < 0)
		return -EOPNOTSUPP;
	size_t name_len = strlen(name);
	if (name_len > EROFS_XATTR_NAME_MAX || len > XATTR_VALUE_MAX)
		return -E2BIG;
	head[0] = (uint8_t)name_len;
	head[1] = index;
	le_put(head + 2, len, 2);
	xattr_remove(x, index, name, name_len);
	size_t n = xattr_entry_bytes(head);
	if (n > sizeof(x->buf) - x->bytes)
		return -E2BIG;
	uint8_t *p = x->buf + x->bytes;
	memset(p, 0, n);
	memcpy(p, head, sizeof(head));
	/* No string: NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
	memcpy(p + XATTR_ENTRY_BYTES, name, name_len);
	memcpy(p + XATTR_ENTRY_BYTES + name_len, value, len);
	x->bytes += n;
	return 0;
}

int erofs_xattrs_valid(const uint8_t *buf, size_t bytes)
{
	size_t at = 0;

	if (bytes > EROFS_XATTRS_MAX || bytes % XATTR_ENTRY_BYTES)
		return 0;
	while (at < bytes && buf[at] > 0 && xattr_entry_bytes(buf + at) <= bytes - at)
		at += xattr_entry_bytes(buf + at);
	return at == bytes;
}

/* ---- directories --------------------------------------------------------------------------------------- */

static uint8_t dirent_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return 1;
	case S_IFDIR: return 2;
	case S_IFCHR: return 3;
	case S_IFBLK: return 4;
	case S_IFIFO: return 5;
	case S_IFSOCK: return 6;
	case S_IFLNK: return 7;
	default: return 0;
	}
}

size_t erofs_dir_end(struct erofs_dir *d, uint8_t *block)
{
	size_t at = EROFS_DIRENT_BYTES * d->n, end = at + d->names_bytes;

	for (size_t i = 0; block && i < d->n; i++) {
		const struct erofs_dirent *e = &d->entry[i];
		uint8_t *p = block + EROFS_DIRENT_BYTES * i;
		size_t len = strlen(e->name);

		le_put(p, e->nid, 8);
		le_put(p + 8, at, 2);
		p[10] = dirent_type(e->mode);
		p[11] = 0;
		memcpy(block + at, e->name, len);
		at += len;
	}
	if (block)
		memset(block + end, 0, EROFS_BLOCK_BYTES - end);
	d->n = d->names_bytes = 0;
	return end;
}

int erofs_dir_add(struct erofs_dir *d, const struct erofs_dirent *e, uint8_t *block)
{
	size_t len = strlen(e->name);
	int whole = EROFS_DIRENT_BYTES * (d->n + 1) + d->names_bytes + len > EROFS_BLOCK_BYTES;

	assert(len > 0 && len <= EROFS_NAME_MAX);
	if (whole)
		(void)erofs_dir_end(d, block);
	d->entry[d->n++] = *e;
	d->names_bytes += len;
	return whole;
}
