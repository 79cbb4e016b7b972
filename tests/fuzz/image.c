/* SPDX-License-Identifier: Apache-2.0 */
/* image.c - any file at all as kernel image: image_parse() must accept or refuse it, and what it
 * accepts must be what image.h promises. */
#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "vmm/arch/x86/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct image im;
	struct err e = {0};
	uint64_t file_bytes;

	/* the file's size is a guess of its own: a head says nothing about what follows it */
	if (len < sizeof(file_bytes))
		return 0;
	memcpy(&file_bytes, data, sizeof(file_bytes));
	data += sizeof(file_bytes);
	len -= sizeof(file_bytes);
	len = min_(len, (size_t)IMAGE_HEAD_BYTES);
	if (file_bytes < len)
		file_bytes = len;

	if (image_parse(data, len, file_bytes, &im, &e) < 0) {
		assert(e.code && e.msg[0]);
		return 0;
	}
	bool entered = false;
	assert(im.nsegs >= 1 && im.nsegs <= IMAGE_SEGS && im.setup_bytes <= IMAGE_SETUP_BYTES);
	for (unsigned i = 0; i < im.nsegs; i++) {
		const struct image_seg *s = &im.seg[i];

		assert(s->file_off <= file_bytes && s->file_bytes <= file_bytes - s->file_off);
		assert(s->file_bytes <= s->mem_bytes);
		assert(s->gpa >= 1 << 20 && s->gpa + s->mem_bytes > s->gpa);
		assert(s->gpa + s->mem_bytes <= im.end);
		entered |= im.entry - s->gpa < s->file_bytes;
	}
	assert(entered);
	return 0;
}
