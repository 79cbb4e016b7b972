/* codec - both decoders on arbitrary bytes; what decodes must encode and decode again. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t arena_bytes[1 << 20], frame[1 << 20];

/* protobuf-c keeps unknown fields as they came, also ones whose tag is not canonical, and such do not
 * survive a round trip. We never send on what we received, so only known fields must. */
static int known_only(const ProtobufCMessage *top, const ProtobufCMessage *inner)
{
	return top->n_unknown_fields == 0 && inner->n_unknown_fields == 0;
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
	if (!known_only(&m->base, &m->hello->base) ||
	    (m->msg_case == CONKER__CLIENT_MSG__MSG_START && m->start->tty))
		return;
	a.used_bytes = 0;
	assert(codec_decode_client(frame + FRAME_HEADER_BYTES, n - FRAME_HEADER_BYTES, &a, &m,
				   &channel, &why) == 0);
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
	if (!known_only(&m->base, &m->hello->base))
		return;
	a.used_bytes = 0;
	assert(codec_decode_server(frame + FRAME_HEADER_BYTES, n - FRAME_HEADER_BYTES, &a, &m,
				   &channel, &why) == 0);
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
