/* SPDX-License-Identifier: Apache-2.0 */
/* image_layers - any bytes as the layers of an image, cut by a mark: refused with a message, or an image in which every
 * rule of the format holds, by a reader that shares nothing with the writer, and which is the same when it is made again
 * of the indices of its layers. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/image_erofs.h"
#include "tests/lib/image_fixture.h"
#include "util/erofs.h"
#include "util/tar.h"

enum { LAYERS_MAX = 8, ENTRIES_MAX = 2000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What looks like a header gets a right checksum, or hardly any input would pass it. */
static void fix_checksums(struct bytes *b)
{
	for (size_t at = 0; at + TAR_BLOCK_BYTES <= b->len; at += TAR_BLOCK_BYTES) {
		uint8_t *h = b->p + at;
		unsigned sum = 0;

		if (h[155] != ' ')
			continue;
		memset(h + 148, ' ', 8);
		for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
			sum += h[i];
		for (int i = 5; i >= 0; i--, sum >>= 3)
			h[148 + i] = (uint8_t)('0' + (sum & 7));
		h[154] = 0;
	}
}

/* A layer ends before a block that begins with these bytes. */
static size_t layer_len(const uint8_t *p, size_t len)
{
	static const char mark[] = "\nNEXT LAYER\n";

	for (size_t at = 0; at + TAR_BLOCK_BYTES <= len; at += TAR_BLOCK_BYTES)
		if (memcmp(p + at, mark, sizeof(mark) - 1) == 0)
			return at;
	return len;
}

static int read_layers(struct made *m, const uint8_t *p, size_t len)
{
	int r = 0;

	while (len > 0 && m->n < LAYERS_MAX && r == 0) {
		struct bytes b = {0};
		size_t n = layer_len(p, len);

		bytes_add(&b, p, n);
		fix_checksums(&b);
		r = made_layer(m, &b);
		assert(r == 0 || (m->e.code == -r && *m->e.msg));
		bytes_free(&b);
		n = n + TAR_BLOCK_BYTES < len ? n + TAR_BLOCK_BYTES : len;
		p += n;
		len -= n;
	}
	return r;
}

static void make_again(const struct made *first)
{
	static struct made m;

	made_begin(&m);
	for (size_t i = 0; i < first->n; i++) {
		int r = made_layer_from(&m, first, i);
		assert(r == 0);
	}
	made_disk(&m);
	assert(m.disk.len == first->disk.len && memcmp(m.disk.p, first->disk.p, m.disk.len) == 0);
	made_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct made m;

	made_begin(&m);
	m.limits = (struct limits){.entries = ENTRIES_MAX, .bytes = 8 << 20, .ratio = LIMIT_RATIO};
	if (read_layers(&m, data, size) == 0) {
		made_disk(&m);
		struct erofs_disk d = {m.disk.p, m.disk.len};
		(void)erofs_check(&d);
		make_again(&m);
	}
	made_free(&m);
	return 0;
}
