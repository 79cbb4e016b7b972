/* frame.c - see frame.h. */
#include "proto/frame.h"

#include <assert.h>
#include <errno.h>

static uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int frame_peek(const uint8_t *buf, size_t len, size_t max_bytes, const uint8_t **ret_msg,
	       size_t *ret_msg_len, size_t *ret_used)
{
	*ret_used = FRAME_HEADER_BYTES;
	if (len < FRAME_HEADER_BYTES)
		return 0;

	size_t msg_len = get_le32(buf);
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
	buf[0] = (uint8_t)msg_len;
	buf[1] = (uint8_t)(msg_len >> 8);
	buf[2] = (uint8_t)(msg_len >> 16);
	buf[3] = (uint8_t)(msg_len >> 24);
}
