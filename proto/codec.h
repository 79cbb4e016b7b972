/* SPDX-License-Identifier: Apache-2.0 */
/* codec.h - messages in and out of bytes: protobuf-c plus the rules (rules.h) that the schema cannot say.
 *
 * This header is the only door to protobuf-c: it hands on the generated types (Conker__Start, ...),
 * and nobody else includes protobuf-c. Decoding allocates from an arena that the caller owns and
 * resets, so that a message costs no malloc and cannot cost more than the arena holds.
 *
 * Pure: no descriptor, no clock. Thread: any, as long as an arena is used by one at a time.
 */
#ifndef PROTO_CODEC_H
#define PROTO_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "exec.pb-c.h" /* generated into the build directory */
#include "proto/frame.h"
#include "util/util.h"

enum {
	PROTO_VERSION = 1,
	STDIN_WINDOW_BYTES = 256 << 10, /* stdin bytes that need no credit */
	WINDOW_MIN_BYTES = 4 << 10,     /* smallest and largest Start.window; 0 means the default */
	WINDOW_DEFAULT_BYTES = 256 << 10,
	WINDOW_MAX_BYTES = 8 << 20,
	ARGS_MAX = 32768, /* argv and env entries together */
	NAME_MAX_BYTES = 64,
	KEY_MAX_BYTES = 128,
	TERM_MAX_BYTES = 64,
	SIGNO_MAX = 64,
	RLIMITS_MAX = 16,
	RESOURCE_MAX = 15, /* RLIMIT_RTTIME */
	PORTS_MAX = 32,
	HOSTNAME_MAX_BYTES = 64, /* Linux's */
	GENERATION_BYTES = 16,
	SEED_BYTES = 32,
	LOG_DEFAULT_BYTES = 128 << 10, /* newest output kept per stream */
	LOG_MAX_BYTES = 8 << 20,
	OUTPUT_HEAD_BYTES = 56,    /* room that codec_output_head() may need */
	ARENA_MAX_BYTES = 8 << 20, /* no valid frame needs more; untouched pages cost nothing */
};

struct arena {
	uint8_t *base; /* aligned for any type */
	size_t size_bytes, used_bytes;
};

/* Decodes and validates one message; everything it points to lies in the arena and is valid until
 * the arena's next reset (used_bytes = 0). A bytes field is followed by a NUL that its length does
 * not count, and its pointer is never NULL, so that argv, env and names serve as C strings as they
 * are (the rules refuse a NUL inside). 0, or
 *   -EPROTO: not a message of this kind, or it breaks a rule (*ret_why says which, for Error.text;
 *            *ret_channel is the channel if that much could be read, else 0)
 *   -ENOSYS: a well-formed message whose kind is unknown to this version (ret_channel is set)
 *   -E2BIG:  it needs more than the arena holds. */
must_check int codec_decode_client(const uint8_t *buf, size_t len, struct arena *a,
				   Conker__ClientMsg **ret, uint32_t *ret_channel,
				   const char **ret_why);
must_check int codec_decode_server(const uint8_t *buf, size_t len, struct arena *a,
				   Conker__ServerMsg **ret, uint32_t *ret_channel,
				   const char **ret_why);

/* Bytes that the frame (header included) of m takes. */
must_check size_t codec_client_size(const Conker__ClientMsg *m);
must_check size_t codec_server_size(const Conker__ServerMsg *m);

/* Writes the whole frame; buf holds what the size function said. Returns the bytes written. */
size_t codec_client_put(const Conker__ClientMsg *m, uint8_t *buf);
size_t codec_server_put(const Conker__ServerMsg *m, uint8_t *buf);

/* What an Output frame says beside its data. */
struct output_head {
	uint32_t channel;
	Conker__Stream stream;
	uint64_t offset, time_us;
};

/* Output without a copy: the sender puts data_len bytes (1 to FRAME_DATA_BYTES) at `data`, and this
 * writes the rest of the frame in front of them, ending at `data`. At least OUTPUT_HEAD_BYTES before
 * `data` are the caller's. Returns the bytes written: the frame begins there, at data - returned. */
size_t codec_output_head(uint8_t *data, size_t data_len, const struct output_head *h);

#endif
