/* SPDX-License-Identifier: Apache-2.0 */
/* tar.c - reading tar. See tar.h.
 *
 * A state machine over blocks; whatever is longer than what it was given is gathered in the reader:
 *
 *	HEADER --x, L, K--> EXTRA --> HEADER		what they say is kept for the entry to come
 *	HEADER --S, more map--> MAP (blocks) --+
 *	HEADER --sparse 1.0--> MAP (text) -----+--> DATA --> PADDING --> HEADER
 *	HEADER --two blocks of zeros--> END
 */
#include "util/tar.h"

#include <errno.h>
#include <string.h>

#include "util/num.h"
#include "util/tar_pax.h"

enum {
	AT_MODE = 100,
	AT_UID = 108,
	AT_GID = 116,
	AT_SIZE = 124,
	AT_MTIME = 136,
	AT_CHECKSUM = 148,
	AT_TYPE = 156,
	AT_LINK = 157,
	AT_MAGIC = 257,
	AT_MAJOR = 329,
	AT_MINOR = 337,
	AT_PREFIX = 345,
	AT_OLD_MAP = 386, /* old GNU: four segments, a flag, the size of the file */
	AT_OLD_MORE = 482,
	AT_OLD_SIZE = 483,
	OLD_SEGMENTS = 4,
	EXT_SEGMENTS = 21, /* of a block that continues the map */
	AT_EXT_MORE = 504,
	NUMBER_BYTES = 12,
	ID_BYTES = 8,
	STRING_BYTES = 100,
	PREFIX_BYTES = 155,
};

static int tar_fail(struct tar_reader *r, const char *why)
{
	r->why = why;
	return -EINVAL;
}

int tar_clean(char *path)
{
	char *out = path, *in = path;

	if (*in == '/')
		return -EINVAL;
	while (*in) {
		size_t n = strcspn(in, "/");

		if (n == 2 && in[0] == '.' && in[1] == '.')
			return -EINVAL;
		if (n > 0 && !(n == 1 && in[0] == '.')) {
			if (out != path)
				*out++ = '/';
			memmove(out, in, n);
			out += n;
		}
		in += n;
		in += strspn(in, "/");
	}
	*out = 0;
	return 0;
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Big-endian two's complement; bit 7 of the first byte says that it is one, bit 6 is its sign. */
static int base256(const uint8_t *p, size_t bytes, int64_t *ret)
{
	int minus = (p[0] & 0x40) != 0;
	uint64_t v = minus ? ~0ULL : 0;

	v = v << 6 | (p[0] & 0x3f);
	for (size_t i = 1; i < bytes; i++) {
		if ((v >> 55) != (minus ? 0x1ff : 0))
			return -EINVAL;
		v = v << 8 | p[i];
	}
	*ret = (int64_t)v;
	return 0;
}

static int number(const uint8_t *p, size_t bytes, int64_t *ret)
{
	const char *at = (const char *)p, *end = at + bytes;
	uint64_t v;

	if (p[0] & 0x80)
		return base256(p, bytes, ret);
	while (at < end && *at == ' ')
		at++;
	(void)!num_take(&at, end, 8, INT64_MAX, &v); /* at most 12 digits; without any it is 0 */
	if (at < end && *at != 0 && *at != ' ')
		return -EINVAL;
	*ret = (int64_t)v;
	return 0;
}

static int unsigned_number(const uint8_t *p, size_t bytes, uint64_t max, uint64_t *ret)
{
	int64_t v;

	if (number(p, bytes, &v) < 0 || v < 0 || (uint64_t)v > max)
		return -EINVAL;
	*ret = (uint64_t)v;
	return 0;
}

/* Global records hold from here on, behind those that there are. */
static int on_global(struct tar_reader *r)
{
	if (r->extra_len > TAR_GLOBAL_BYTES - r->global_len)
		return tar_fail(r, "too many global records");
	memcpy(r->global + r->global_len, r->extra, r->extra_len);
	r->global_len += r->extra_len;
	return tar_pax_global(r);
}

/* What was gathered in r->extra is whole. */
static int on_extra(struct tar_reader *r)
{
	size_t len = strnlen((char *)r->extra, r->extra_len);

	r->state = TAR_S_PADDING;
	switch (r->extra_type) {
	case 'x': return tar_pax(r);
	case 'g': return on_global(r);
	case 'L':
		r->over.path = 1;
		return tar_copy_name(r->entry.path, (char *)r->extra, len) < 0
			       ? tar_fail(r, "a long name that is none")
			       : 0;
	case 'K':
		r->over.link = 1;
		return tar_copy_name(r->entry.link, (char *)r->extra, len) < 0
			       ? tar_fail(r, "a long link that is none")
			       : 0;
	default: return 0;
	}
}

/* ---- headers --------------------------------------------------------------------------------- */

static int checksum_ok(const uint8_t *b)
{
	int64_t want;
	long sum = 0, old = 0; /* some old programs added signed bytes */

	for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
		uint8_t c = i >= AT_CHECKSUM && i < AT_CHECKSUM + 8 ? ' ' : b[i];

		sum += c;
		old += (int8_t)c;
	}
	return number(b + AT_CHECKSUM, 8, &want) == 0 && (want == sum || want == old);
}

static void header_name(struct tar_reader *r)
{
	const uint8_t *b = r->block;
	char *to = r->entry.path;
	size_t prefix = 0;

	if (memcmp(b + AT_MAGIC, "ustar\0", 6) == 0) {
		prefix = strnlen((const char *)b + AT_PREFIX, PREFIX_BYTES);
		memcpy(to, b + AT_PREFIX, prefix);
	}
	if (prefix > 0)
		to[prefix++] = '/';
	size_t n = strnlen((const char *)b, STRING_BYTES);
	memcpy(to + prefix, b, n);
	to[prefix + n] = 0;
}

static int header_type(struct tar_reader *r, char c)
{
	enum tar_type *t = &r->entry.type;
	size_t len = strlen(r->entry.path);

	switch (c) {
	case 0:
	case '0':
	case '7':
	case 'S':
		*t = c != 'S' && len > 0 && r->entry.path[len - 1] == '/' ? TAR_DIR : TAR_FILE;
		return 0;
	case '1': *t = TAR_HARDLINK; return 0;
	case '2': *t = TAR_SYMLINK; return 0;
	case '3': *t = TAR_CHAR; return 0;
	case '4': *t = TAR_BLOCK; return 0;
	case '5': *t = TAR_DIR; return 0;
	case '6': *t = TAR_FIFO; return 0;
	default: return tar_fail(r, "an entry of a kind that is not understood");
	}
}

static int header_numbers(struct tar_reader *r, uint64_t size)
{
	struct tar_entry *e = &r->entry;
	const struct tar_over *o = &r->over;
	const uint8_t *b = r->block;
	uint64_t mode, uid, gid, major = 0, minor = 0;
	int64_t mtime;

	if (unsigned_number(b + AT_MODE, ID_BYTES, UINT32_MAX, &mode) < 0 ||
	    unsigned_number(b + AT_UID, ID_BYTES, UINT32_MAX - 1, &uid) < 0 ||
	    unsigned_number(b + AT_GID, ID_BYTES, UINT32_MAX - 1, &gid) < 0 ||
	    number(b + AT_MTIME, NUMBER_BYTES, &mtime) < 0)
		return tar_fail(r, "a header with numbers that are none");
	if ((e->type == TAR_CHAR || e->type == TAR_BLOCK) &&
	    (unsigned_number(b + AT_MAJOR, ID_BYTES, UINT32_MAX, &major) < 0 ||
	     unsigned_number(b + AT_MINOR, ID_BYTES, UINT32_MAX, &minor) < 0))
		return tar_fail(r, "a device with numbers that are none");
	e->mode = mode & 07777;
	e->uid = o->uid ? o->uid_is : (uint32_t)uid;
	e->gid = o->gid ? o->gid_is : (uint32_t)gid;
	e->major = (uint32_t)major;
	e->minor = (uint32_t)minor;
	e->mtime_s = o->mtime ? o->mtime_s : mtime;
	e->mtime_ns = o->mtime ? o->mtime_ns : 0;
	e->size = size;
	return 0;
}

static int old_segments(struct tar_reader *r, const uint8_t *p, int n)
{
	for (int i = 0; i < n; i++, p += 2UL * NUMBER_BYTES) {
		uint64_t offset, bytes;

		if (p[0] == 0 && p[NUMBER_BYTES] == 0)
			return 0;
		if (unsigned_number(p, NUMBER_BYTES, INT64_MAX, &offset) < 0 ||
		    unsigned_number(p + NUMBER_BYTES, NUMBER_BYTES, INT64_MAX, &bytes) < 0 ||
		    tar_add_segment(&r->entry, offset, bytes) < 0)
			return tar_fail(r, "a sparse file with an impossible map");
	}
	return 0;
}

/* The map is whole: it must lie within the file and add up to the data that are there. */
static int map_done(struct tar_reader *r)
{
	const struct tar_entry *e = &r->entry;
	uint64_t sum = 0;

	for (size_t i = 0; i < e->n_segments; i++) {
		sum += e->segments[i].bytes; /* in order and below 2^63: cannot overflow */
		if (e->segments[i].offset + e->segments[i].bytes > e->size)
			return tar_fail(r, "a sparse file whose data is behind its end");
	}
	if (sum != r->left)
		return tar_fail(r, "a sparse file whose map and data differ");
	r->segment_at = 0;
	r->state = TAR_S_DATA;
	return 0;
}

/* GNU.sparse: the size in the header is that of map and data. */
static int sparse_begin(struct tar_reader *r, char type)
{
	struct tar_entry *e = &r->entry;
	const struct tar_over *o = &r->over;

	e->sparse = 1;
	if (type == 'S') {
		if (unsigned_number(r->block + AT_OLD_SIZE, NUMBER_BYTES, INT64_MAX, &e->size) <
			    0 ||
		    o->sparse)
			return tar_fail(r, "a sparse file without a size");
		if (old_segments(r, r->block + AT_OLD_MAP, OLD_SEGMENTS) < 0)
			return -EINVAL;
		r->map_ext = r->block[AT_OLD_MORE] != 0;
		r->state = TAR_S_MAP;
		return r->map_ext ? 0 : map_done(r);
	}
	e->size = o->real_bytes;
	if (o->sparse == 1)
		return r->numbers % 2 ? tar_fail(r, "a sparse file with half a segment")
				      : map_done(r);
	if (e->n_segments)
		return tar_fail(r, "a sparse file with two maps");
	r->map_wanted = 1;
	r->numbers = r->numbers_total = r->number = 0;
	r->digits = 0;
	r->state = TAR_S_MAP;
	return 0;
}

static int entry_begin(struct tar_reader *r, char type, uint64_t size)
{
	struct tar_entry *e = &r->entry;

	if (!r->over.path)
		header_name(r);
	if (!r->over.link) {
		size_t n = strnlen((const char *)r->block + AT_LINK, STRING_BYTES);
		memcpy(e->link, r->block + AT_LINK, n);
		e->link[n] = 0;
	}
	if (header_type(r, type) < 0 || header_numbers(r, size) < 0)
		return -EINVAL;
	if ((e->type == TAR_HARDLINK || e->type == TAR_SYMLINK) && !*e->link)
		return tar_fail(r, "a link without a target");
	r->left = size;
	/* Old programs write the size of the file into its hard links, without the data. */
	if (e->type != TAR_FILE && !(e->type == TAR_HARDLINK && r->over.pax))
		r->left = 0;
	if (e->type != TAR_FILE)
		e->size = 0;
	r->padding = tar_padding(r->left);
	r->state = TAR_S_DATA;
	if (e->type == TAR_FILE && (type == 'S' || r->over.sparse))
		return sparse_begin(r, type);
	return 0;
}

static int is_extra(char type)
{
	return type == 'x' || type == 'X' || type == 'g' || type == 'L' || type == 'K' ||
	       type == 'V';
}

static int on_header(struct tar_reader *r)
{
	static const uint8_t zeros[TAR_BLOCK_BYTES];
	const uint8_t *b = r->block;
	char type = (char)b[AT_TYPE];
	uint64_t size;

	if (memcmp(b, zeros, sizeof(zeros)) == 0) {
		if (++r->zero_blocks == 2)
			r->state = TAR_S_END;
		return 0;
	}
	r->zero_blocks = 0;
	if (!checksum_ok(b))
		return tar_fail(r, "not a tar archive, or a damaged one");
	if (unsigned_number(b + AT_SIZE, NUMBER_BYTES, INT64_MAX, &size) < 0)
		return tar_fail(r, "an entry with an impossible size");
	if (!is_extra(type))
		return entry_begin(r, type, r->over.size ? r->over.size_bytes : size);

	/* A volume's name, which nobody reads, may be as long as it likes; the rest is gathered. */
	r->extra_type = type == 'X' ? 'x' : type;
	r->extra_len = 0;
	if (type != 'V' && size > TAR_PAX_BYTES)
		return tar_fail(r, "an extended header that is too large");
	r->left = size;
	r->padding = tar_padding(size);
	r->state = TAR_S_EXTRA;
	return 0;
}

/* ---- the machine ----------------------------------------------------------------------------- */

static int entry_reset(struct tar_reader *r)
{
	memset(&r->entry, 0, offsetof(struct tar_entry, path));
	r->entry.path[0] = r->entry.link[0] = 0;
	r->over = (struct tar_over){0};
	r->announced = r->map_wanted = r->map_ext = 0;
	r->segment = 0;
	r->numbers = 0;
	r->xattr_len = 0;
	r->xattrs_over = 0;
	return r->global_len ? tar_pax_global(r) : 0;
}

void tar_reader_init(struct tar_reader *r)
{
	/* Not all of it: most of the memory is never touched. */
	r->state = TAR_S_HEADER;
	r->why = "";
	r->block_len = r->padding = 0;
	r->zero_blocks = 0;
	r->left = 0;
	r->global_len = 0;
	(void)entry_reset(r);
}

/* Fills r->block. Whether it is whole. */
static int gather_block(struct tar_reader *r, const uint8_t *buf, size_t len, struct tar_step *ret)
{
	size_t n = min_(len - ret->used, TAR_BLOCK_BYTES - r->block_len);

	memcpy(r->block + r->block_len, buf + ret->used, n);
	r->block_len += n;
	ret->used += n;
	if (r->block_len < TAR_BLOCK_BYTES)
		return 0;
	r->block_len = 0;
	return 1;
}

static int step_header(struct tar_reader *r, const uint8_t *buf, size_t len, struct tar_step *ret)
{
	return gather_block(r, buf, len, ret) ? on_header(r) : 0;
}

static int step_extra(struct tar_reader *r, const uint8_t *buf, size_t len, struct tar_step *ret)
{
	size_t n = (size_t)min_((uint64_t)(len - ret->used), r->left);

	if (r->extra_type != 'V') {
		memcpy(r->extra + r->extra_len, buf + ret->used, n);
		r->extra_len += n;
	}
	ret->used += n;
	r->left -= n;
	if (r->left > 0)
		return 0;
	r->extra[r->extra_len] = 0;
	return on_extra(r);
}

/* A character of the map in text; it ends with the last number's newline. */
static int map_char(struct tar_reader *r, char c)
{
	if (num_append(&r->number, 10, c) == 0) {
		r->digits = 1;
		return 0;
	}
	if (c != '\n' || !r->digits)
		return -EINVAL;
	if (r->numbers_total == 0) {
		if (r->number > TAR_SEGMENTS_MAX)
			return -EINVAL;
		r->numbers_total = 2 * r->number + 1;
	} else if (tar_map_number(r, r->number) < 0) {
		return -EINVAL;
	}
	r->number = 0;
	r->digits = 0;
	return 0;
}

static int map_text_block(struct tar_reader *r)
{
	if (r->left < TAR_BLOCK_BYTES)
		return tar_fail(r, "a sparse file with half a map");
	r->left -= TAR_BLOCK_BYTES;
	for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
		if (r->numbers_total > 0 && r->numbers + 1 == r->numbers_total)
			break; /* the rest is padding */
		if (map_char(r, (char)r->block[i]) < 0)
			return tar_fail(r, "a sparse file with a broken map");
	}
	if (r->numbers_total == 0 || r->numbers + 1 < r->numbers_total)
		return 0;
	r->map_wanted = 0;
	return map_done(r);
}

static int step_map(struct tar_reader *r, const uint8_t *buf, size_t len, struct tar_step *ret)
{
	if (!gather_block(r, buf, len, ret))
		return 0;
	if (r->map_wanted)
		return map_text_block(r);
	if (old_segments(r, r->block, EXT_SEGMENTS) < 0)
		return -EINVAL;
	r->map_ext = r->block[AT_EXT_MORE] != 0;
	return r->map_ext ? 0 : map_done(r);
}

/* Where in the file the next byte of data belongs, and how many may come there in a row. */
static uint64_t place(struct tar_reader *r, uint64_t *ret_room)
{
	const struct tar_entry *e = &r->entry;

	if (!e->sparse) {
		*ret_room = r->left;
		return e->size - r->left;
	}
	while (r->segment_at == e->segments[r->segment].bytes) {
		r->segment++; /* there is one: the map adds up to the data */
		r->segment_at = 0;
	}
	*ret_room = e->segments[r->segment].bytes - r->segment_at;
	return e->segments[r->segment].offset + r->segment_at;
}

static void step_data(struct tar_reader *r, const uint8_t *buf, size_t len, struct tar_step *ret)
{
	uint64_t room;

	if (!r->announced) {
		r->announced = 1;
		ret->event = TAR_ENTRY;
		return;
	}
	if (r->left == 0) {
		r->state = TAR_S_PADDING;
		ret->event = TAR_DONE;
		return;
	}
	if (ret->used == len)
		return;
	if (r->entry.type == TAR_FILE) {
		ret->offset = place(r, &room);
		ret->event = TAR_DATA;
	} else {
		room = r->left; /* of a hard link: the file has them already */
	}
	ret->data = buf + ret->used;
	ret->len = (size_t)min_((uint64_t)(len - ret->used), room);
	ret->used += ret->len;
	r->segment_at += ret->len;
	r->left -= ret->len;
}

static int step_padding(struct tar_reader *r, size_t len, struct tar_step *ret)
{
	size_t n = min_(len - ret->used, r->padding);

	ret->used += n;
	r->padding -= n;
	if (r->padding > 0)
		return 0;
	r->state = TAR_S_HEADER;
	return r->announced ? entry_reset(r) : 0;
}

uint64_t tar_skip(struct tar_reader *r)
{
	uint64_t bytes = r->left;

	r->left = 0;
	return bytes;
}

int tar_read(struct tar_reader *r, const uint8_t *buf, size_t len, struct tar_step *ret)
{
	int e = 0;

	*ret = (struct tar_step){.event = TAR_MORE};
	while (e == 0 && ret->event == TAR_MORE) {
		/* These go on without bytes when there are none to come. */
		int free_step = (r->state == TAR_S_DATA && (!r->announced || r->left == 0)) ||
				(r->state == TAR_S_PADDING && r->padding == 0) ||
				(r->state == TAR_S_EXTRA && r->left == 0);

		if (ret->used == len && !free_step)
			break;
		switch (r->state) {
		case TAR_S_HEADER: e = step_header(r, buf, len, ret); break;
		case TAR_S_EXTRA: e = step_extra(r, buf, len, ret); break;
		case TAR_S_MAP: e = step_map(r, buf, len, ret); break;
		case TAR_S_DATA: step_data(r, buf, len, ret); break;
		case TAR_S_PADDING: e = step_padding(r, len, ret); break;
		case TAR_S_END:
			ret->used = len;
			ret->event = TAR_END;
			break;
		}
	}
	return e;
}
