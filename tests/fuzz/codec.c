/* SPDX-License-Identifier: Apache-2.0 */
/* codec - both decoders on arbitrary bytes; what decodes must encode, decode again, and encode to the same. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t arena_bytes[1 << 20], frame[1 << 20], again[1 << 20];

static const ProtobufCMessage *message_at(const ProtobufCMessage *m,
					  const ProtobufCFieldDescriptor *f, size_t i)
{
	const char *at = (const char *)m + f->offset,
		   *how_many = (const char *)m + f->quantifier_offset;

	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return i < *(const size_t *)(const void *)how_many
			       ? (*(ProtobufCMessage *const *const *)(const void *)at)[i]
			       : NULL;
	if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
	    *(const uint32_t *)(const void *)how_many != f->id)
		return NULL;
	return i == 0 ? *(ProtobufCMessage *const *)(const void *)at : NULL;
}

/* protobuf-c keeps unknown fields as they came, also ones whose tag is not canonical, and such do not
 * survive a round trip. We never send on what we received, so only known fields must. */
static int known_only(const ProtobufCMessage *m)
{
	const ProtobufCMessage *sub;

	for (unsigned k = 0; k < m->descriptor->n_fields; k++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[k];

		if (f->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		for (size_t i = 0; (sub = message_at(m, f, i)) != NULL; i++)
			if (!known_only(sub))
				return 0;
	}
	return m->n_unknown_fields == 0;
}

static void client(const uint8_t *data, size_t size)
{
	struct arena a = {.base = arena_bytes, .size_bytes = sizeof(arena_bytes)};
	Conker__ClientMsg *m;
	uint32_t channel;
	const char *why;

	if (codec_decode_client(data, size, &a, &m, &channel, &why) < 0)
		return;
	size_t n = codec_client_size(m);
	if (n > sizeof(frame))
		return;
	assert(codec_client_put(m, frame) == n);
	if (!known_only(&m->base))
		return;
	a.used_bytes = 0;
	assert(codec_decode_client(frame + FRAME_HEADER_BYTES, n - FRAME_HEADER_BYTES, &a, &m,
				   &channel, &why) == 0);
	assert(codec_client_size(m) == n && codec_client_put(m, again) == n);
	assert(memcmp(frame, again, n) == 0);
}

static void server(const uint8_t *data, size_t size)
{
	struct arena a = {.base = arena_bytes, .size_bytes = sizeof(arena_bytes)};
	Conker__ServerMsg *m;
	uint32_t channel;
	const char *why;

	if (codec_decode_server(data, size, &a, &m, &channel, &why) < 0)
		return;
	size_t n = codec_server_size(m);
	if (n > sizeof(frame))
		return;
	assert(codec_server_put(m, frame) == n);
	if (!known_only(&m->base))
		return;
	a.used_bytes = 0;
	assert(codec_decode_server(frame + FRAME_HEADER_BYTES, n - FRAME_HEADER_BYTES, &a, &m,
				   &channel, &why) == 0);
	assert(codec_server_size(m) == n && codec_server_put(m, again) == n);
	assert(memcmp(frame, again, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		client(data + 1, size - 1);
	else
		server(data + 1, size - 1);
	return 0;
}
