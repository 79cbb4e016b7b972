/* SPDX-License-Identifier: Apache-2.0 */
/* frame - a stream of arbitrary bytes, fed whole and cut anywhere, is split the same way. */
#include <assert.h>
#include <stdint.h>

#include "proto/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *msg;
	size_t msg_len, used, at = 0;

	while (at < size) {
		int r = frame_peek(data + at, size - at, FRAME_SMALL_BYTES, &msg, &msg_len, &used);

		if (r < 0)
			return 0;
		assert(used >= FRAME_HEADER_BYTES);
		if (r == 0) {
			assert(used > size - at);
			return 0;
		}
		assert(msg == data + at + FRAME_HEADER_BYTES &&
		       msg_len + FRAME_HEADER_BYTES == used);
		assert(used <= size - at && msg_len <= FRAME_SMALL_BYTES && msg_len > 0);
		/* One byte less of it is not a frame yet. */
		assert(frame_peek(data + at, used - 1, FRAME_SMALL_BYTES, &msg, &msg_len, &used) ==
		       0);
		at += used;
	}
	return 0;
}
