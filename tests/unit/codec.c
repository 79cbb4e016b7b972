/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of proto/codec.h. */
#include "proto/codec.h"
#include "tests/lib/test.h"

struct fixture {
	struct arena arena;
	uint8_t *buf;
	uint32_t channel;
	const char *why;
	Conker__ClientMsg *client;
	Conker__ServerMsg *server;
};

static struct fixture f;

static void setup(void)
{
	f.arena = (struct arena){.base = malloc(ARENA_MAX_BYTES), .size_bytes = ARENA_MAX_BYTES};
	f.buf = malloc(FRAME_MAX_BYTES + FRAME_HEADER_BYTES);
}

static void teardown(void)
{
	free(f.arena.base);
	free(f.buf);
}

TestSuite(codec, .init = setup, .fini = teardown);

static int client_trip(const Conker__ClientMsg *m)
{
	size_t n = codec_client_put(m, f.buf);

	cr_assert_eq(n, codec_client_size(m));
	return codec_decode_client(f.buf + 4, n - 4, &f.arena, &f.client, &f.channel, &f.why);
}

static int server_trip(const Conker__ServerMsg *m)
{
	size_t n = codec_server_put(m, f.buf);

	cr_assert_eq(n, codec_server_size(m));
	return codec_decode_server(f.buf + 4, n - 4, &f.arena, &f.server, &f.channel, &f.why);
}

static ProtobufCBinaryData bytes(const char *s)
{
	return (ProtobufCBinaryData){.len = strlen(s), .data = (uint8_t *)(uintptr_t)s};
}

/* Start on channel 7 with the given fields. */
static int start_trip(Conker__Start *s)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;

	m.channel = 7;
	m.msg_case = CONKER__CLIENT_MSG__MSG_START;
	m.start = s;
	return client_trip(&m);
}

static int signal_trip(uint64_t exec, uint32_t of_channel, uint32_t signo, int scope)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	Conker__Signal s = CONKER__SIGNAL__INIT;

	s.exec = exec;
	s.of_channel = of_channel;
	s.signo = signo;
	s.scope = (Conker__Scope)scope;
	m.channel = 9;
	m.msg_case = CONKER__CLIENT_MSG__MSG_SIGNAL;
	m.signal = &s;
	return client_trip(&m);
}

Test(codec, start_survives_the_trip)
{
	ProtobufCBinaryData argv[] = {bytes("echo"), bytes(""), bytes("\xff\xfe")};
	ProtobufCBinaryData env[] = {bytes("A=1")};
	Conker__Start s = CONKER__START__INIT;
	Conker__Tty t = CONKER__TTY__INIT;

	t.rows = 24;
	t.cols = 65535;
	s.argv = argv;
	s.n_argv = 3;
	s.env = env;
	s.n_env = 1;
	s.tty = &t;
	s.window = WINDOW_MAX_BYTES;
	cr_assert_eq(start_trip(&s), 0);
	cr_assert_eq(f.channel, 7);
	cr_assert_eq(f.client->start->n_argv, 3);
	cr_assert_str_eq((char *)f.client->start->argv[2].data, "\xff\xfe");
	cr_assert_eq(f.client->start->tty->cols, 65535);
}

Test(codec, bytes_end_in_nul_and_are_never_null)
{
	ProtobufCBinaryData argv[] = {bytes("true"), bytes("")};
	Conker__Start s = CONKER__START__INIT;

	memset(f.arena.base, 0xaa, f.arena.size_bytes);
	s.argv = argv;
	s.n_argv = 2;
	cr_assert_eq(start_trip(&s), 0);
	cr_assert_eq(f.client->start->argv[0].data[4], 0);
	cr_assert_str_eq((char *)f.client->start->argv[1].data, "");
	cr_assert_str_eq((char *)f.client->start->cwd.data, "");
	cr_assert_str_eq((char *)f.client->start->user.data, "");
	cr_assert_str_eq((char *)f.client->start->name.data, "");
}

Test(codec, refuses_start_without_argv)
{
	Conker__Start s = CONKER__START__INIT;

	cr_assert_eq(start_trip(&s), -EPROTO);
	cr_assert_eq(f.channel, 7);
	cr_assert_str_eq(f.why, "argv is empty");
}

Test(codec, refuses_nul_inside_argv)
{
	ProtobufCBinaryData argv[] = {{.len = 3, .data = (uint8_t[]){'a', 0, 'b'}}};
	Conker__Start s = CONKER__START__INIT;

	s.argv = argv;
	s.n_argv = 1;
	cr_assert_eq(start_trip(&s), -EPROTO);
}

Test(codec, bounds_the_window)
{
	static const struct {
		uint32_t window;
		int r;
	} cases[] = {{0, 0},
		     {WINDOW_MIN_BYTES - 1, -EPROTO},
		     {WINDOW_MIN_BYTES, 0},
		     {WINDOW_MAX_BYTES + 1, -EPROTO}};
	ProtobufCBinaryData argv[] = {bytes("x")};
	Conker__Start s = CONKER__START__INIT;

	s.argv = argv;
	s.n_argv = 1;
	for (size_t i = 0; i < countof(cases); i++) {
		s.window = cases[i].window;
		cr_assert_eq(start_trip(&s), cases[i].r, "window %u", cases[i].window);
	}
}

Test(codec, takes_the_most_arguments_and_refuses_one_more)
{
	ProtobufCBinaryData *argv = calloc(ARGS_MAX + 1, sizeof(*argv));
	Conker__Start s = CONKER__START__INIT;

	for (size_t i = 0; i <= ARGS_MAX; i++)
		argv[i] = bytes("sixteen bytes ok");
	s.argv = s.env = argv;
	s.n_argv = 1;
	s.n_env = ARGS_MAX - 1;
	cr_assert_eq(start_trip(&s), 0, "%s", f.why);
	f.arena.used_bytes = 0;
	s.n_env++;
	cr_assert_eq(start_trip(&s), -EPROTO);
	free(argv);
}

Test(codec, one_argument_may_fill_the_largest_frame)
{
	ProtobufCBinaryData argv = {.len = FRAME_MAX_BYTES - 32};
	Conker__Start s = CONKER__START__INIT;

	argv.data = malloc(argv.len);
	memset(argv.data, 'x', argv.len);
	s.argv = &argv;
	s.n_argv = 1;
	cr_assert_eq(start_trip(&s), 0);
	free(argv.data);
}

Test(codec, message_above_the_arena_is_e2big_and_leaves_it_as_it_was)
{
	ProtobufCBinaryData argv[] = {bytes("0123456789012345678901234567890123456789")};
	Conker__Start s = CONKER__START__INIT;

	s.argv = argv;
	s.n_argv = 1;
	cr_assert_eq(start_trip(&s), 0);
	size_t need = f.arena.used_bytes;

	for (size_t size = 0; size < need; size++) {
		f.arena.used_bytes = 0;
		f.arena.size_bytes = size;
		cr_assert_eq(start_trip(&s), -E2BIG, "arena of %zu", size);
	}
	f.arena.used_bytes = 0;
	f.arena.size_bytes = need;
	cr_assert_eq(start_trip(&s), 0);
}

Test(codec, hello_and_channel_zero_belong_together)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	Conker__Hello h = CONKER__HELLO__INIT;
	Conker__Ping p = CONKER__PING__INIT;

	m.msg_case = CONKER__CLIENT_MSG__MSG_HELLO;
	m.hello = &h;
	cr_assert_eq(client_trip(&m), 0);
	m.channel = 1;
	cr_assert_eq(client_trip(&m), -EPROTO);
	m.msg_case = CONKER__CLIENT_MSG__MSG_PING;
	m.ping = &p;
	cr_assert_eq(client_trip(&m), 0);
	m.channel = 0;
	cr_assert_eq(client_trip(&m), -EPROTO);
}

Test(codec, unknown_kind_is_enosys_with_its_channel)
{
	/* channel 300, field 99 with an empty message */
	static const uint8_t msg[] = {0x08, 0xac, 0x02, 0x9a, 0x06, 0x00};
	int r = codec_decode_client(msg, sizeof(msg), &f.arena, &f.client, &f.channel, &f.why);

	cr_assert_eq(r, -ENOSYS);
	cr_assert_eq(f.channel, 300);
	r = codec_decode_server(msg, sizeof(msg), &f.arena, &f.server, &f.channel, &f.why);
	cr_assert_eq(r, -ENOSYS);
}

Test(codec, unknown_field_of_a_known_kind_is_kept_quiet)
{
	/* channel 1, ping { field 15 = 1 } */
	static const uint8_t msg[] = {0x08, 0x01, 0x4a, 0x02, 0x78, 0x01};

	cr_assert_eq(codec_decode_client(msg, sizeof(msg), &f.arena, &f.client, &f.channel, &f.why),
		     0);
	cr_assert_eq(f.client->msg_case, CONKER__CLIENT_MSG__MSG_PING);
}

Test(codec, frame_with_a_channel_only_is_refused)
{
	static const uint8_t msg[] = {0x08, 0x05};

	cr_assert_eq(codec_decode_client(msg, sizeof(msg), &f.arena, &f.client, &f.channel, &f.why),
		     -EPROTO);
	cr_assert_eq(f.channel, 5);
}

Test(codec, truncated_message_is_refused_with_its_channel)
{
	ProtobufCBinaryData argv[] = {bytes("a long argument")};
	Conker__Start s = CONKER__START__INIT;

	s.argv = argv;
	s.n_argv = 1;
	cr_assert_eq(start_trip(&s), 0);
	size_t len = codec_client_size(f.client) - 4;

	for (size_t n = 3; n < len; n++) {
		f.channel = 0;
		cr_assert_eq(
			codec_decode_client(f.buf + 4, n, &f.arena, &f.client, &f.channel, &f.why),
			-EPROTO, "%zu bytes", n);
		cr_assert_eq(f.channel, 7);
	}
}

Test(codec, signal_names_exactly_one_target)
{
	cr_assert_eq(signal_trip(1, 0, 9, CONKER__SCOPE__ALL), 0);
	cr_assert_eq(signal_trip(0, 1, 9, CONKER__SCOPE__PROCESS), 0);
	cr_assert_eq(signal_trip(0, 0, 9, CONKER__SCOPE__PROCESS), -EPROTO);
	cr_assert_eq(signal_trip(1, 1, 9, CONKER__SCOPE__PROCESS), -EPROTO);
}

Test(codec, signal_number_and_scope_are_bounded)
{
	cr_assert_eq(signal_trip(1, 0, SIGNO_MAX, 0), 0);
	cr_assert_eq(signal_trip(1, 0, SIGNO_MAX + 1, 0), -EPROTO);
	cr_assert_eq(signal_trip(1, 0, 9, 3), -EPROTO);
	cr_assert_eq(signal_trip(1, 0, 9, -1), -EPROTO);
}

static int stdin_trip(size_t len)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	Conker__Stdin s = CONKER__STDIN__INIT;
	uint8_t *data = calloc(1, len + 1);

	s.data = (ProtobufCBinaryData){.len = len, .data = data};
	s.eof = 1;
	m.channel = 1;
	m.msg_case = CONKER__CLIENT_MSG__MSG_INPUT;
	m.input = &s;
	int r = client_trip(&m);
	free(data);
	return r;
}

Test(codec, stdin_data_is_bounded_and_may_be_empty)
{
	cr_assert_eq(stdin_trip(0), 0);
	cr_assert_not_null(f.client->input->data.data);
	cr_assert_eq(stdin_trip(FRAME_DATA_BYTES), 0);
	cr_assert_leq(codec_client_size(f.client), FRAME_SMALL_BYTES + FRAME_HEADER_BYTES);
	cr_assert_eq(stdin_trip(FRAME_DATA_BYTES + 1), -EPROTO);
}

Test(codec, credit_goes_to_the_sender_of_the_stream)
{
	Conker__ClientMsg c = CONKER__CLIENT_MSG__INIT;
	Conker__ServerMsg s = CONKER__SERVER_MSG__INIT;
	Conker__Credit credit = CONKER__CREDIT__INIT;

	c.channel = s.channel = 1;
	c.msg_case = CONKER__CLIENT_MSG__MSG_CREDIT;
	s.msg_case = CONKER__SERVER_MSG__MSG_CREDIT;
	c.credit = s.credit = &credit;
	credit.stream = CONKER__STREAM__STDIN;
	cr_assert_eq(client_trip(&c), -EPROTO);
	cr_assert_eq(server_trip(&s), 0);
	credit.stream = CONKER__STREAM__STDERR;
	cr_assert_eq(client_trip(&c), 0);
	cr_assert_eq(server_trip(&s), -EPROTO);
}

/* codec_output_head() against the generated encoder: the bytes must be the same. */
static void check_head(struct output_head h, size_t len)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Output o = CONKER__OUTPUT__INIT;
	uint8_t *mine = malloc(OUTPUT_HEAD_BYTES + len);
	uint8_t *data = mine + OUTPUT_HEAD_BYTES;

	memset(data, 'd', len);
	size_t head = codec_output_head(data, len, &h);
	o.stream = h.stream;
	o.offset = h.offset;
	o.time_us = h.time_us;
	o.data = (ProtobufCBinaryData){.len = len, .data = data};
	m.channel = h.channel;
	m.msg_case = CONKER__SERVER_MSG__MSG_OUTPUT;
	m.output = &o;
	cr_assert_leq(head, OUTPUT_HEAD_BYTES);
	cr_assert_eq(head + len, codec_server_put(&m, f.buf));
	cr_assert_arr_eq(f.buf, data - head, head + len);
	free(mine);
}

Test(codec, output_head_equals_the_generated_encoding)
{
	check_head((struct output_head){1, CONKER__STREAM__STDOUT, 0, 0}, 1);
	check_head((struct output_head){127, CONKER__STREAM__STDERR, 127, 1}, 128);
	check_head((struct output_head){128, CONKER__STREAM__STDOUT, 1ULL << 35, 1ULL << 50},
		   16384);
	check_head((struct output_head){UINT32_MAX, CONKER__STREAM__STDERR,
					UINT64_MAX - FRAME_DATA_BYTES, UINT64_MAX},
		   FRAME_DATA_BYTES);
}

Test(codec, output_rules)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Output o = CONKER__OUTPUT__INIT;

	m.channel = 3;
	m.msg_case = CONKER__SERVER_MSG__MSG_OUTPUT;
	m.output = &o;
	o.stream = CONKER__STREAM__STDOUT;
	cr_assert_eq(server_trip(&m), -EPROTO, "no bytes");
	o.data = bytes("x");
	cr_assert_eq(server_trip(&m), 0);
	o.offset = UINT64_MAX;
	cr_assert_eq(server_trip(&m), -EPROTO, "offset overflow");
	o.offset = 0;
	o.stream = CONKER__STREAM__STDIN;
	cr_assert_eq(server_trip(&m), -EPROTO, "stream");
}

Test(codec, error_may_concern_the_connection_but_needs_a_code)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Error e = CONKER__ERROR__INIT;

	m.msg_case = CONKER__SERVER_MSG__MSG_ERROR;
	m.error = &e;
	cr_assert_eq(server_trip(&m), -EPROTO);
	e.code = EPROTO;
	cr_assert_eq(server_trip(&m), 0);
	cr_assert_str_eq(f.server->error->text, "");
}
