/* SPDX-License-Identifier: Apache-2.0 */
/* tar.h - the tar format, in and out: pure, no descriptor, no clock, no allocation.
 *
 * A tar stream is a chain of blocks of 512 bytes: per entry a header, then its data, padded; two blocks of
 * zeros end it. What the header has no room for travels in an entry of its own in front of it: type `x`
 * (pax: "LENGTH KEY=VALUE\n" records) today, `L` and `K` (a long name, a long link) in old archives.
 *
 *	offset   0 name 100 | mode 8 | uid 8 | gid 8 | size 12 | mtime 12 | checksum 8 | type 1
 *	       157 link 100 | magic "ustar\0" "00" 8 | uname 32 | gname 32 | major 8 | minor 8 | prefix 155
 *
 * Numbers are octal text, or, with the top bit of the first byte set, big-endian (GNU). A sparse file is its
 * data without the holes, and a map: in pax records (GNU.sparse 0.0, 0.1), as text in front of the data
 * (1.0), or in the header (old GNU, type `S`).
 *
 * Reading accepts all of that and trusts none: the map must be in order, within the file and add up to the
 * data; sizes cannot be negative; what precedes an entry is bounded by TAR_PAX_BYTES. Writing uses ustar, pax
 * where needed, and GNU.sparse 1.0.
 *
 * Extended attributes come as pax records, SCHILY.xattr.NAME or, in base64, LIBARCHIVE.xattr.NAME. Global pax records
 * (type `g`) hold for all entries behind them; of these, times, owners and extended attributes are heeded.
 *
 * Limits: names of 4,095 bytes, TAR_SEGMENTS_MAX stretches of data in a sparse file, TAR_XATTR_BYTES of extended
 * attributes (what is more is left out and told), TAR_GLOBAL_BYTES of global records. Not understood: ACLs as text
 * (skipped), archives of several volumes (refused).
 */
#ifndef UTIL_TAR_H
#define UTIL_TAR_H

#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

enum {
	TAR_BLOCK_BYTES = 512,
	TAR_NAME_BYTES = 4096,       /* a path with its NUL */
	TAR_PAX_BYTES = 1 << 20,     /* of one extended header */
	TAR_GLOBAL_BYTES = 16 << 10, /* of all global records: they are read again for each entry */
	TAR_XATTR_BYTES = 128 << 10, /* of one entry's attributes, names and values */
	TAR_SEGMENTS_MAX = 32768,    /* of one sparse file */
	TAR_HEAD_MAX_BYTES = 10 << 10, /* what tar_head() may write */
	TAR_LINE_MAX_BYTES = 48,       /* what tar_map_line() may write */
	TAR_END_BYTES = 2 * TAR_BLOCK_BYTES,
};

enum tar_type { TAR_FILE, TAR_DIR, TAR_SYMLINK, TAR_HARDLINK, TAR_FIFO, TAR_CHAR, TAR_BLOCK };

struct tar_segment { /* a stretch of data between holes */
	uint64_t offset, bytes;
};

struct tar_entry {
	enum tar_type type;
	uint32_t mode; /* permissions, set-id and sticky bits */
	uint32_t uid, gid, major, minor;
	uint64_t size; /* of a file, with its holes */
	int64_t mtime_s;
	uint32_t mtime_ns;
	int sparse; /* the segments are all the data there is; else it has no holes */
	size_t n_segments;
	char path[TAR_NAME_BYTES], link[TAR_NAME_BYTES]; /* as in the archive: see tar_clean() */
	struct tar_segment segments[TAR_SEGMENTS_MAX];   /* last: mostly untouched */
};

/* Makes a path from an archive safe to use below a directory: no leading '/', no "..", no "." and no empty
 * components; "" is the directory itself. 0, or -EINVAL: it would leave the directory. */
must_check int tar_clean(char *path);

struct tar_xattr {
	const char *name; /* with its namespace: "user.x" */
	const uint8_t *value;
	size_t len;
};

/* ---- writing -------------------------------------------------------------------------------------- */

/* Everything in front of an entry's data, for an entry without fault: sizes, names and map as above. Returns
 * the bytes, whole blocks. */
size_t tar_head(const struct tar_entry *e, uint8_t *buf);
/* In front of that, for an entry with extended attributes: one record for each, behind the head of them all. The bytes of a
 * record, 0 if buf has no room for it; the head is one block, and the records are padded to blocks. */
size_t tar_xattr(const struct tar_xattr *x, uint8_t *buf, size_t room);
void tar_xattr_head(uint64_t records, uint8_t *buf);
/* The map of a sparse file comes first in its data: lines 0 to n_segments, then zeros up to a whole block. */
size_t tar_map_line(const struct tar_entry *e, size_t line, char *buf);
/* Bytes that follow the head: map, padding of the map, data; without the padding at the end. */
uint64_t tar_payload_bytes(const struct tar_entry *e);
static inline size_t tar_padding(uint64_t bytes)
{
	return (size_t)(-bytes % TAR_BLOCK_BYTES);
}

/* ---- reading -------------------------------------------------------------------------------------- */

enum tar_event {
	TAR_MORE,  /* all bytes were used */
	TAR_ENTRY, /* the entry is complete but for its data */
	TAR_DATA,  /* data, len: bytes of the file at offset */
	TAR_DONE,  /* no data of this entry follows */
	TAR_END,   /* of the archive: what follows is padding */
};

struct tar_step {
	enum tar_event event;
	size_t used; /* bytes of the buffer, which are not to be given again */
	const uint8_t *data;
	size_t len;
	uint64_t offset;
};

enum tar_state { TAR_S_HEADER, TAR_S_EXTRA, TAR_S_MAP, TAR_S_DATA, TAR_S_PADDING, TAR_S_END };

struct tar_reader {
	enum tar_state state;
	const char *why; /* after a failure: what is wrong, one line */
	struct tar_entry entry;
	int xattrs_over; /* the entry has more attributes than there is room for */

	/* the rest is the reader's own */
	uint8_t block[TAR_BLOCK_BYTES];
	size_t block_len;
	int zero_blocks;
	int announced;       /* TAR_ENTRY was told */
	uint64_t left;       /* of the entry's data, map included, or of the extra's */
	size_t padding;      /* behind it */
	size_t segment;      /* being read ... */
	uint64_t segment_at; /* ... and how far */
	char extra_type;     /* x, L, K; or g and others: skipped */
	size_t extra_len;
	int map_wanted;  /* 1.0: the data begins with the map */
	int map_ext;     /* old GNU: more blocks of map follow the header */
	uint64_t number; /* of the map, being read ... */
	int digits;
	uint64_t numbers, numbers_total;
	struct tar_over { /* what extra headers said of the entry to come */
		int path, link, size, mtime, uid, gid, pax;
		int sparse; /* 0: no; 1: in pax records; 2: version 1.0 */
		uint64_t size_bytes, real_bytes;
		int64_t mtime_s;
		uint32_t mtime_ns, uid_is, gid_is;
	} over;
	size_t xattr_len, global_len;
	uint8_t xattr[TAR_XATTR_BYTES]; /* each: name, NUL, size in four bytes, value */
	uint8_t global[TAR_GLOBAL_BYTES + 1], scratch[TAR_GLOBAL_BYTES + 1];
	uint8_t extra[TAR_PAX_BYTES + 1];
};

void tar_reader_init(struct tar_reader *r);

/* Reads on, up to the next event. 0 with *ret, or -EINVAL with r->why; then the archive is beyond help. */
must_check int tar_read(struct tar_reader *r, const uint8_t *buf, size_t len, struct tar_step *ret);

/* The next extended attribute of the entry that was told last, until the next call of tar_read(): of two of one name
 * the later holds. *at begins at 0. Whether there is one. */
must_check int tar_next_xattr(const struct tar_reader *r, size_t *at, struct tar_xattr *ret);

/* Right after TAR_ENTRY: leaves out the entry's data. Returns how many bytes of the stream are not to be given. */
must_check uint64_t tar_skip(struct tar_reader *r);

/* Whether the stream may end here: behind the end mark, or between two entries; some writers leave out the padding of the
 * last one, which readers of others do not miss. */
static inline int tar_may_end(const struct tar_reader *r)
{
	return r->state == TAR_S_END || (r->state == TAR_S_PADDING && r->announced) ||
	       (r->state == TAR_S_HEADER && r->block_len == 0 && !r->over.pax && !r->over.path &&
		!r->over.link);
}

#endif
