/* SPDX-License-Identifier: Apache-2.0 */
/* frame.h - where one message ends and the next begins.
 *
 * A frame is a 32-bit little-endian length, then that many bytes: one ClientMsg or ServerMsg. A
 * length of 0 or above the limit is a protocol error, and the connection is of no further use.
 *
 * Pure: no descriptor, no clock, no allocation; the buffer is the caller's.
 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

enum {
	FRAME_HEADER_BYTES = 4,
	FRAME_MAX_BYTES = 2 << 20,   /* longest message; a Start with a large environment */
	FRAME_DATA_BYTES = 64 << 10, /* most data in one Output or Stdin */
	FRAME_SMALL_BYTES = (64 << 10) + 256, /* every message but Start fits into this */
};

/* Looks at the len bytes at buf: the beginning of a stream, or what follows a whole frame.
 * 1: a whole frame is there; *ret_msg and *ret_msg_len name its message, *ret_used how many bytes
 *    of buf the frame takes.
 * 0: more is needed; *ret_used is then the number of bytes the whole frame will take, or
 *    FRAME_HEADER_BYTES while even the length is incomplete.
 * -EPROTO: length 0 or above max_bytes. */
must_check int frame_peek(const uint8_t *buf, size_t len, size_t max_bytes, const uint8_t **ret_msg,
			  size_t *ret_msg_len, size_t *ret_used);

/* Writes the header for a message of msg_len bytes. */
void frame_header(uint8_t buf[FRAME_HEADER_BYTES], size_t msg_len);

#endif
