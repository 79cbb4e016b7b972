/* SPDX-License-Identifier: Apache-2.0 */
/* frame.c - see frame.h. */
#include "proto/frame.h"

#include <assert.h>
#include <errno.h>

#include "util/le.h"

int frame_peek(const uint8_t *buf, size_t len, size_t max_bytes, const uint8_t **ret_msg,
	       size_t *ret_msg_len, size_t *ret_used)
{
	*ret_used = FRAME_HEADER_BYTES;
	if (len < FRAME_HEADER_BYTES)
		return 0;

	size_t msg_len = le_get(buf, FRAME_HEADER_BYTES);
	if (msg_len == 0 || msg_len > max_bytes)
		return -EPROTO;
	*ret_used = FRAME_HEADER_BYTES + msg_len;
	if (len < *ret_used)
		return 0;
	*ret_msg = buf + FRAME_HEADER_BYTES;
	*ret_msg_len = msg_len;
	return 1;
}

void frame_header(uint8_t buf[FRAME_HEADER_BYTES], size_t msg_len)
{
	assert(msg_len > 0 && msg_len <= FRAME_MAX_BYTES);
	le_put(buf, msg_len, FRAME_HEADER_BYTES);
}
