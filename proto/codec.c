/* SPDX-License-Identifier: Apache-2.0 */
/* codec.c - see codec.h.
 *
 * A message passes three gates: protobuf-c parses it into the arena, the kind must be one we know,
 * and rules.c enforces what the schema cannot say. After that it is trusted.
 */
#include "proto/codec.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <string.h>

#include "proto/rules.h"

enum { ALIGN_BYTES = alignof(max_align_t) };

struct arena_alloc {
	struct arena *arena;
	int full; /* an allocation was refused: tells E2BIG from EPROTO */
};

/* Zeroes one byte past the end: protobuf-c stores a bytes field in an allocation of exactly its
 * length, which thereby ends in a NUL. */
static void *arena_alloc(void *data, size_t size_bytes)
{
	struct arena_alloc *al = data;
	struct arena *a = al->arena;
	size_t start = (a->used_bytes + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);

	if (start > a->size_bytes || size_bytes >= a->size_bytes - start) {
		al->full = 1;
		return NULL;
	}
	a->used_bytes = start + size_bytes + 1;
	a->base[start + size_bytes] = 0;
	return a->base + start;
}

static void arena_free(void *data, void *p)
{
	(void)data;
	(void)p;
}

/* Both top-level messages begin with `uint32 channel = 1`, which every encoder writes first: good
 * enough to address an error message, and nothing else is done with it. */
static uint32_t peek_channel(const uint8_t *buf, size_t len)
{
	uint64_t v = 0;

	if (len < 2 || buf[0] != 0x08)
		return 0;
	for (size_t i = 1; i < len && i <= 5; i++) {
		v |= (uint64_t)(buf[i] & 0x7f) << (7 * (i - 1));
		if (!(buf[i] & 0x80))
			return (uint32_t)v;
	}
	return 0;
}

static int unpack(const ProtobufCMessageDescriptor *d, const uint8_t *buf, size_t len,
		  struct arena *a, ProtobufCMessage **ret)
{
	struct arena_alloc al = {.arena = a};
	ProtobufCAllocator pa = {.alloc = arena_alloc, .free = arena_free, .allocator_data = &al};
	size_t mark = a->used_bytes;

	*ret = protobuf_c_message_unpack(d, &pa, len, buf);
	if (*ret)
		return 0;
	a->used_bytes = mark;
	return al.full ? -E2BIG : -EPROTO;
}

/* protobuf-c represents an empty bytes field as a NULL pointer; users of the field want a string. */
static int fix_empty(struct arena *a, ProtobufCBinaryData *b)
{
	struct arena_alloc al = {.arena = a};

	if (b->data)
		return 0;
	b->data = arena_alloc(&al, 0);
	return b->data ? 0 : -E2BIG;
}

static int fix_all(struct arena *a, ProtobufCBinaryData *b, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = fix_empty(a, &b[i]);
	return r;
}

/* A kind we do not know arrives as an unknown field of the top-level message. */
static int kind_missing(const ProtobufCMessage *base, const char **ret_why)
{
	if (base->n_unknown_fields > 0) {
		*ret_why = "unknown message";
		return -ENOSYS;
	}
	*ret_why = "no message in the frame";
	return -EPROTO;
}

static int broken_rule(const char *why, const char **ret_why)
{
	*ret_why = why;
	return why ? -EPROTO : 0;
}

static int parse_failed(int r, const char **ret_why)
{
	*ret_why = r == -E2BIG ? "message too large" : "not a message";
	return r;
}

static int fix_ref(struct arena *a, Conker__ExecRef *ref)
{
	int r = ref ? fix_empty(a, &ref->name) : 0;

	return r == 0 && ref ? fix_empty(a, &ref->key) : r;
}

static int fix_start(struct arena *a, Conker__Start *s)
{
	ProtobufCBinaryData *const one[] = {&s->cwd, &s->user, &s->name, &s->key,
					    s->tty ? &s->tty->term : NULL};
	int r = fix_all(a, s->argv, s->n_argv);

	if (r == 0)
		r = fix_all(a, s->env, s->n_env);
	for (size_t i = 0; i < countof(one) && r == 0; i++)
		r = one[i] ? fix_empty(a, one[i]) : 0;
	return r;
}

static int fix_resume(struct arena *a, Conker__Resume *m)
{
	int r = fix_empty(a, &m->hostname);

	if (r == 0)
		r = fix_empty(a, &m->generation);
	return r < 0 ? r : fix_empty(a, &m->seed);
}

static int fix_client(struct arena *a, Conker__ClientMsg *m)
{
	switch (m->msg_case) {
	case CONKER__CLIENT_MSG__MSG_START: return fix_start(a, m->start);
	case CONKER__CLIENT_MSG__MSG_INPUT: return fix_empty(a, &m->input->data);
	case CONKER__CLIENT_MSG__MSG_ATTACH: return fix_ref(a, m->attach->ref);
	case CONKER__CLIENT_MSG__MSG_SIGNAL: return fix_ref(a, m->signal->ref);
	case CONKER__CLIENT_MSG__MSG_LIST: return fix_ref(a, m->list->ref);
	case CONKER__CLIENT_MSG__MSG_AWAIT_PORTS: return fix_ref(a, m->await_ports->ref);
	case CONKER__CLIENT_MSG__MSG_FORGET: return fix_ref(a, m->forget->ref);
	case CONKER__CLIENT_MSG__MSG_RESUME: return fix_resume(a, m->resume);
	default: return 0;
	}
}

static int fix_server(struct arena *a, Conker__ServerMsg *m)
{
	if (m->msg_case != CONKER__SERVER_MSG__MSG_LISTING)
		return 0;
	int r = fix_all(a, m->listing->argv, m->listing->n_argv);

	if (r == 0)
		r = fix_empty(a, &m->listing->name);
	return r < 0 ? r : fix_empty(a, &m->listing->key);
}

int codec_decode_client(const uint8_t *buf, size_t len, struct arena *a, Conker__ClientMsg **ret,
			uint32_t *ret_channel, const char **ret_why)
{
	ProtobufCMessage *base;

	*ret_channel = peek_channel(buf, len);
	int r = unpack(&conker__client_msg__descriptor, buf, len, a, &base);
	if (r < 0)
		return parse_failed(r, ret_why);

	Conker__ClientMsg *m = (Conker__ClientMsg *)base;
	*ret_channel = m->channel;
	if (m->msg_case == CONKER__CLIENT_MSG__MSG__NOT_SET)
		return kind_missing(base, ret_why);
	if ((m->msg_case == CONKER__CLIENT_MSG__MSG_HELLO) != (m->channel == 0))
		return broken_rule("channel 0 is for Hello, and Hello for channel 0", ret_why);
	r = broken_rule(rules_client(m), ret_why);
	if (r == 0)
		r = fix_client(a, m);
	if (r == -E2BIG)
		return parse_failed(r, ret_why);
	*ret = m;
	return r;
}

int codec_decode_server(const uint8_t *buf, size_t len, struct arena *a, Conker__ServerMsg **ret,
			uint32_t *ret_channel, const char **ret_why)
{
	ProtobufCMessage *base;

	*ret_channel = peek_channel(buf, len);
	int r = unpack(&conker__server_msg__descriptor, buf, len, a, &base);
	if (r < 0)
		return parse_failed(r, ret_why);

	Conker__ServerMsg *m = (Conker__ServerMsg *)base;
	*ret_channel = m->channel;
	if (m->msg_case == CONKER__SERVER_MSG__MSG__NOT_SET)
		return kind_missing(base, ret_why);
	/* An Error may concern the connection, and then has channel 0 as well. */
	if (m->msg_case == CONKER__SERVER_MSG__MSG_HELLO
		    ? m->channel != 0
		    : m->channel == 0 && m->msg_case != CONKER__SERVER_MSG__MSG_ERROR)
		return broken_rule("channel 0 is for Hello, and Hello for channel 0", ret_why);
	r = broken_rule(rules_server(m), ret_why);
	if (r == 0)
		r = fix_server(a, m);
	if (r == -E2BIG)
		return parse_failed(r, ret_why);
	*ret = m;
	return r;
}

size_t codec_client_size(const Conker__ClientMsg *m)
{
	return FRAME_HEADER_BYTES + protobuf_c_message_get_packed_size(&m->base);
}

size_t codec_server_size(const Conker__ServerMsg *m)
{
	return FRAME_HEADER_BYTES + protobuf_c_message_get_packed_size(&m->base);
}

size_t codec_client_put(const Conker__ClientMsg *m, uint8_t *buf)
{
	size_t n = protobuf_c_message_pack(&m->base, buf + FRAME_HEADER_BYTES);

	frame_header(buf, n);
	return FRAME_HEADER_BYTES + n;
}

size_t codec_server_put(const Conker__ServerMsg *m, uint8_t *buf)
{
	size_t n = protobuf_c_message_pack(&m->base, buf + FRAME_HEADER_BYTES);

	frame_header(buf, n);
	return FRAME_HEADER_BYTES + n;
}

/* Writes backwards: v as a varint that ends at p; returns where it begins. */
static uint8_t *varint_before(uint8_t *p, uint64_t v)
{
	unsigned n = 1;

	for (uint64_t rest = v >> 7; rest; rest >>= 7)
		n++;
	p -= n;
	for (unsigned i = 0; i < n; i++, v >>= 7)
		p[i] = (uint8_t)((v & 0x7f) | (i + 1 < n ? 0x80 : 0));
	return p;
}

static uint8_t *field_before(uint8_t *p, unsigned number, unsigned wire_type, uint64_t v)
{
	return varint_before(varint_before(p, v), number << 3 | wire_type);
}

size_t codec_output_head(uint8_t *data, size_t data_len, const struct output_head *h)
{
	enum { VARINT = 0, LEN = 2 };
	uint8_t *p = data;

	assert(data_len > 0 && data_len <= FRAME_DATA_BYTES);
	p = field_before(p, 4, LEN, data_len); /* Output.data, .time_us, .offset, .stream */
	if (h->time_us)
		p = field_before(p, 3, VARINT, h->time_us);
	if (h->offset)
		p = field_before(p, 2, VARINT, h->offset);
	p = field_before(p, 1, VARINT, (uint64_t)h->stream);
	p = field_before(p, 4, LEN, (uint64_t)(data - p) + data_len); /* ServerMsg.output */
	p = field_before(p, 1, VARINT, h->channel);
	size_t msg_len = (size_t)(data - p) + data_len;
	p -= FRAME_HEADER_BYTES;
	frame_header(p, msg_len);
	return (size_t)(data - p);
}
