/* SPDX-License-Identifier: Apache-2.0 */
/* erofs.h - the EROFS file system, as far as an image needs it, in the making: pure, no descriptor, no clock.
 *
 * What it makes is read by Linux since 5.15: blocks of 4 KiB, nothing compressed, each inode of the long kind (64 bytes,
 * with owners of 32 bits and its own time in nanoseconds). The metadata are one run of blocks from block 0,
 *
 *	0      1024          1152 = EROFS_FIRST_INODE         whole blocks
 *	| ...  | super block | inode, inode, inode, ...       | blocks of directories | then: data, not made here
 *
 * and what they say of data is a number of a block, so that data may lie in other files which the reader sees joined
 * behind the metadata. Number of an inode: its place in units of 32 bytes. That of the root must fit 16 bits: it is
 * placed first. After an inode come its attributes, then
 *
 *	flat     nothing: its data is in blocks that follow each other
 *	inline   the last bytes of its data, which lie within one block; blocks before these as flat
 *	chunks   for each chunk of 4 KiB << n the number of its first block, or EROFS_HOLE: a file with holes
 *
 * A directory is a sorted list of names with inode and type, in blocks of their own: first all entries of 12 bytes,
 * then the names.
 *
 * Who makes one: erofs_dir_*() and erofs_place() for each inode, in any order that begins with the root; then the same
 * inodes in the same order by erofs_inode(), each at its place, with what belongs behind it.
 */
#ifndef UTIL_EROFS_H
#define UTIL_EROFS_H

#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

enum {
	EROFS_BLOCK_BYTES = 4096,
	EROFS_BLOCK_BITS = 12,
	EROFS_SLOT_BYTES = 32, /* of numbers of inodes */
	EROFS_SUPER_AT = 1024,
	EROFS_SUPER_BYTES = 128,
	EROFS_FIRST_INODE = EROFS_SUPER_AT + EROFS_SUPER_BYTES,
	EROFS_INODE_BYTES = 64,
	EROFS_XATTR_HEAD_BYTES = 12,
	EROFS_XATTRS_MAX = 64 << 10, /* of one inode: four times that would fit */
	EROFS_XATTR_NAME_MAX = 255,  /* without the namespace */
	EROFS_NAME_MAX = 255,
	EROFS_DIRENT_BYTES = 12,
	EROFS_DIRENTS_MAX = EROFS_BLOCK_BYTES / (EROFS_DIRENT_BYTES + 1),
	EROFS_CHUNK_BITS_MAX = 31,
};

#define EROFS_HOLE UINT32_MAX

enum erofs_layout { EROFS_FLAT = 0, EROFS_INLINE = 2, EROFS_CHUNKS = 4 };

struct erofs_super {
	uint64_t root_nid, inodes;
	uint32_t blocks; /* data included */
	int chunks;      /* some inode is EROFS_CHUNKS */
	uint8_t uuid[16];
};

struct erofs_inode {
	uint32_t mode; /* with its type, as stat() has it */
	uint32_t uid, gid, nlink, number;
	uint64_t size;
	int64_t mtime_s;
	uint32_t mtime_ns;
	enum erofs_layout layout;
	uint32_t
		where; /* first block, device as erofs_device() has it, or, of chunks, their size: erofs_chunks() */
	size_t xattrs_bytes; /* of the entries, without the head */
};

/* EROFS_SUPER_BYTES. */
void erofs_super(const struct erofs_super *s, uint8_t *buf);
/* EROFS_INODE_BYTES. */
void erofs_inode(const struct erofs_inode *i, uint8_t *buf);

/* ---- places ---------------------------------------------------------------------------------------- */

/* Bytes of an inode and its attributes. */
static inline size_t erofs_head_bytes(size_t xattrs_bytes)
{
	return EROFS_INODE_BYTES + (xattrs_bytes ? EROFS_XATTR_HEAD_BYTES + xattrs_bytes : 0);
}
/* Where the next inode may be, at or behind `at`: within one block itself, and so are the `tail` bytes behind its `head`
 * bytes. */
uint64_t erofs_place(uint64_t at, size_t head, size_t tail);

/* Of a device: 0, or -ERANGE for numbers that Linux does not have. */
must_check int erofs_device(uint32_t major, uint32_t minor, uint32_t *ret);
/* The smallest chunks of which at most `max` make up a file. */
unsigned erofs_chunk_bits(uint64_t size, uint64_t max);
static inline uint64_t erofs_chunks(uint64_t size, unsigned bits)
{
	return size == 0 ? 0 : ((size - 1) >> (EROFS_BLOCK_BITS + bits)) + 1;
}

/* ---- attributes -------------------------------------------------------------------------------------- */

/* Entries as they lie behind the head, which is all zeros: */
struct erofs_xattrs {
	size_t bytes;
	uint8_t buf[EROFS_XATTRS_MAX];
};

/* One more, in place of one of the same name. 0; -EOPNOTSUPP: of a namespace that an image has no room for; -E2BIG: name
 * or value too long, or no more room. */
must_check int erofs_xattr_add(struct erofs_xattrs *x, const char *name, const uint8_t *value,
			       size_t len);
/* Whether (buf, bytes) are such entries. */
must_check int erofs_xattrs_valid(const uint8_t *buf, size_t bytes);

/* ---- directories --------------------------------------------------------------------------------------- */

struct erofs_dirent {
	const char *name;
	uint64_t nid;
	uint32_t mode; /* of the inode: its type */
};

/* The block that is being filled; all zeros at first. */
struct erofs_dir {
	size_t n, names_bytes;
	struct erofs_dirent entry[EROFS_DIRENTS_MAX];
};

/* One more entry; names come in the order of strcmp(). Whether a block was whole before it, and is put to
 * `block` (EROFS_BLOCK_BYTES; NULL: only the count is wanted). */
int erofs_dir_add(struct erofs_dir *d, const struct erofs_dirent *e, uint8_t *block);
/* The last block. Its bytes, which are the directory's tail: EROFS_BLOCK_BYTES at most. */
size_t erofs_dir_end(struct erofs_dir *d, uint8_t *block);

#endif
