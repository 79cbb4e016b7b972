/* codec.c - see codec.h.
 *
 * A message passes three gates: protobuf-c parses it into the arena, the kind must be one we know,
 * and check_*() enforces what the schema cannot say. After that it is trusted.
 */
#include "proto/codec.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <string.h>

enum {
	ALIGN_BYTES = alignof(max_align_t),
	TTY_SIZE_MAX = 65535, /* struct winsize holds 16 bits */
};

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

static int has_nul(const ProtobufCBinaryData *b)
{
	return b->len > 0 && memchr(b->data, 0, b->len) != NULL;
}

static int any_nul(const ProtobufCBinaryData *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (has_nul(&b[i]))
			return 1;
	return 0;
}

static const char *check_tty(const Conker__Tty *t)
{
	if (t->rows > TTY_SIZE_MAX || t->cols > TTY_SIZE_MAX)
		return "terminal size above 65535";
	if (t->term.len > TERM_MAX_BYTES || has_nul(&t->term))
		return "terminal name too long or with a NUL";
	return NULL;
}

static const char *check_start(const Conker__Start *s)
{
	if (s->n_argv == 0)
		return "argv is empty";
	if (s->n_argv > ARGS_MAX || s->n_env > ARGS_MAX - s->n_argv)
		return "more than 32768 arguments and environment entries";
	if (any_nul(s->argv, s->n_argv) || any_nul(s->env, s->n_env))
		return "NUL in argv or env";
	if (has_nul(&s->cwd) || has_nul(&s->user) || has_nul(&s->name))
		return "NUL in cwd, user or name";
	if (s->name.len > NAME_MAX_BYTES)
		return "name longer than 64 bytes";
	if (s->window != 0 && (s->window < WINDOW_MIN_BYTES || s->window > WINDOW_MAX_BYTES))
		return "window below 4 KiB or above 8 MiB";
	return s->tty ? check_tty(s->tty) : NULL;
}

static const char *check_signal(const Conker__Signal *s)
{
	if (!s->exec == !s->of_channel)
		return "signal names an execution and a channel, or neither";
	if (s->signo > SIGNO_MAX)
		return "signal number above 64";
	if ((unsigned)s->scope > CONKER__SCOPE__ALL) /* open enum: any int32 arrives */
		return "unknown signal scope";
	return NULL;
}

static const char *check_client(const Conker__ClientMsg *m)
{
	switch (m->msg_case) {
	case CONKER__CLIENT_MSG__MSG_START: return check_start(m->start);
	case CONKER__CLIENT_MSG__MSG_SIGNAL: return check_signal(m->signal);
	case CONKER__CLIENT_MSG__MSG_INPUT:
		return m->input->data.len > FRAME_DATA_BYTES ? "more than 64 KiB of stdin" : NULL;
	case CONKER__CLIENT_MSG__MSG_CREDIT:
		return m->credit->stream != CONKER__STREAM__STDOUT &&
				       m->credit->stream != CONKER__STREAM__STDERR
			       ? "credit for a stream that the client does not receive"
			       : NULL;
	case CONKER__CLIENT_MSG__MSG_RESIZE:
		return m->resize->rows > TTY_SIZE_MAX || m->resize->cols > TTY_SIZE_MAX
			       ? "terminal size above 65535"
			       : NULL;
	default: return NULL;
	}
}

static const char *check_output(const Conker__Output *o)
{
	if (o->stream != CONKER__STREAM__STDOUT && o->stream != CONKER__STREAM__STDERR)
		return "output of an unknown stream";
	if (o->data.len == 0 || o->data.len > FRAME_DATA_BYTES)
		return "output of no bytes or more than 64 KiB";
	if (o->offset > UINT64_MAX - o->data.len)
		return "output offset overflows";
	return NULL;
}

static const char *check_server(const Conker__ServerMsg *m)
{
	switch (m->msg_case) {
	case CONKER__SERVER_MSG__MSG_OUTPUT: return check_output(m->output);
	case CONKER__SERVER_MSG__MSG_STARTED:
		return m->started->exec == 0 ? "execution number 0" : NULL;
	case CONKER__SERVER_MSG__MSG_CREDIT:
		return m->credit->stream != CONKER__STREAM__STDIN
			       ? "credit for a stream that the server does not receive"
			       : NULL;
	case CONKER__SERVER_MSG__MSG_ERROR:
		return m->error->code <= 0 ? "error without a code" : NULL;
	case CONKER__SERVER_MSG__MSG_LISTING:
		return any_nul(m->listing->argv, m->listing->n_argv) ? "NUL in argv" : NULL;
	default: return NULL;
	}
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

static int fix_start(struct arena *a, Conker__Start *s)
{
	int r = fix_all(a, s->argv, s->n_argv);

	if (r == 0)
		r = fix_all(a, s->env, s->n_env);
	if (r == 0)
		r = fix_empty(a, &s->cwd);
	if (r == 0)
		r = fix_empty(a, &s->user);
	if (r == 0)
		r = fix_empty(a, &s->name);
	if (r == 0 && s->tty)
		r = fix_empty(a, &s->tty->term);
	return r;
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
	r = broken_rule(check_client(m), ret_why);
	if (r == 0 && m->msg_case == CONKER__CLIENT_MSG__MSG_START)
		r = fix_start(a, m->start);
	if (r == 0 && m->msg_case == CONKER__CLIENT_MSG__MSG_INPUT)
		r = fix_empty(a, &m->input->data);
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
	r = broken_rule(check_server(m), ret_why);
	if (r == 0 && m->msg_case == CONKER__SERVER_MSG__MSG_LISTING) {
		r = fix_all(a, m->listing->argv, m->listing->n_argv);
		if (r == 0)
			r = fix_empty(a, &m->listing->name);
		if (r < 0)
			return parse_failed(r, ret_why);
	}
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

size_t codec_output_head(uint8_t *data, size_t data_len, uint32_t channel, Conker__Stream stream,
			 uint64_t offset)
{
	enum { VARINT = 0, LEN = 2 };
	uint8_t *p = data;

	assert(data_len > 0 && data_len <= FRAME_DATA_BYTES);
	p = field_before(p, 3, LEN, data_len); /* Output.data, .offset, .stream */
	if (offset)
		p = field_before(p, 2, VARINT, offset);
	p = field_before(p, 1, VARINT, (uint64_t)stream);
	p = field_before(p, 4, LEN, (uint64_t)(data - p) + data_len); /* ServerMsg.output */
	p = field_before(p, 1, VARINT, channel);
	size_t msg_len = (size_t)(data - p) + data_len;
	p -= FRAME_HEADER_BYTES;
	frame_header(p, msg_len);
	return (size_t)(data - p);
}
