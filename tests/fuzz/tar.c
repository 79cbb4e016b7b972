/* SPDX-License-Identifier: Apache-2.0 */
/* tar - any bytes as an archive: never beyond the buffer, never outside the file or the target, and the same whole
 * and in pieces. Blocks that look like headers get a right checksum, or hardly any input would pass it. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fix_checksum(uint8_t *b)
{
	unsigned sum = 0;

	if (b[155] != ' ')
		return;
	memset(b + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
		sum += b[i];
	for (int i = 5; i >= 0; i--, sum >>= 3)
		b[148 + i] = (uint8_t)('0' + (sum & 7));
	b[154] = 0;
}

static void check_entry(const struct tar_entry *e)
{
	char path[TAR_NAME_BYTES];
	uint64_t at = 0;

	assert(memchr(e->path, 0, sizeof(e->path)) && memchr(e->link, 0, sizeof(e->link)));
	assert(e->n_segments <= TAR_SEGMENTS_MAX && e->size <= INT64_MAX);
	assert(e->uid != UINT32_MAX && e->gid != UINT32_MAX && e->mode <= 07777 &&
	       e->mtime_ns < 1000000000);
	for (size_t i = 0; i < e->n_segments; i++) {
		assert(e->segments[i].offset >= at);
		at = e->segments[i].offset + e->segments[i].bytes;
		assert(at <= e->size);
	}
	memcpy(path, e->path, sizeof(path));
	if (tar_clean(path) < 0)
		return;
	assert(path[0] != '/' && !strstr(path, "//") && strcmp(path, "..") != 0);
	assert(strncmp(path, "../", 3) != 0 && !strstr(path, "/../"));
}

static void check_xattrs(const struct tar_reader *r)
{
	struct tar_xattr x;
	size_t at = 0, was = 0;

	for (; tar_next_xattr(r, &at, &x); was = at) {
		assert(at > was && at <= r->xattr_len && r->xattr_len <= TAR_XATTR_BYTES);
		assert(*x.name && (const uint8_t *)x.name >= r->xattr + was);
		assert(x.value + x.len == r->xattr + at);
	}
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	return (h ^ v) * 0x100000001b3ULL;
}

/* A fingerprint of all that was said. */
static uint64_t read_all(struct tar_reader *r, const uint8_t *data, size_t size, size_t piece)
{
	uint64_t h = 1;
	size_t at = 0;
	struct tar_step s;

	tar_reader_init(r);
	for (;;) {
		size_t len = min_(piece, size - at);

		if (tar_read(r, data + at, len, &s) < 0) {
			assert(*r->why);
			return mix(h, 'F');
		}
		assert(s.used <= len);
		if (s.event == TAR_DATA) {
			assert(s.len > 0 && s.data >= data + at &&
			       s.data + s.len <= data + at + s.used);
			assert(s.offset <= r->entry.size && s.len <= r->entry.size - s.offset);
			for (size_t i = 0; i < s.len; i++)
				h = mix(mix(h, s.offset + i), s.data[i]);
		} else if (s.event == TAR_ENTRY || s.event == TAR_DONE) {
			h = mix(h, s.event);
		}
		if (s.event == TAR_ENTRY) {
			check_entry(&r->entry);
			check_xattrs(r);
			h = mix(mix(h, r->entry.size), r->entry.n_segments);
		}
		at += s.used;
		if (at == size && (s.event == TAR_MORE || s.event == TAR_END))
			return h;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tar_reader r;
	uint8_t *copy = malloc(size ? size : 1);

	memcpy(copy, data, size);
	for (size_t at = 0; at + TAR_BLOCK_BYTES <= size; at += TAR_BLOCK_BYTES)
		fix_checksum(copy + at);
	uint64_t whole = read_all(&r, copy, size, SIZE_MAX);
	assert(read_all(&r, copy, size, 1) == whole);
	assert(read_all(&r, copy, size, 700) == whole);
	free(copy);
	return 0;
}
