/* SPDX-License-Identifier: Apache-2.0 */
/* rules.c - each rule of proto/rules.c, broken once, and the nearest message that keeps it. */
#include "proto/rules.h"
#include "tests/lib/test.h"

static ProtobufCBinaryData bytes(const char *s)
{
	return (ProtobufCBinaryData){.len = strlen(s), .data = (uint8_t *)(uintptr_t)s};
}

static ProtobufCBinaryData of_length(size_t n)
{
	static uint8_t room[1024];

	memset(room, 'x', sizeof(room));
	return (ProtobufCBinaryData){.len = n, .data = room};
}

static ProtobufCBinaryData with_nul(void)
{
	return (ProtobufCBinaryData){.len = 3, .data = (uint8_t *)(uintptr_t) "a\0b"};
}

/* A message with nothing wrong; tests spoil one thing. */
static struct {
	Conker__ClientMsg msg;
	Conker__Start start;
	ProtobufCBinaryData argv[2];
	Conker__Tty tty;
	Conker__Restart restart;
	Conker__Rlimit limit, *limits[RLIMITS_MAX + 1];
	Conker__ExecRef ref;
	Conker__Attach attach;
	Conker__Signal signal;
	Conker__AwaitPorts await;
	Conker__Forget forget;
	Conker__List list;
	uint32_t ports[PORTS_MAX + 1];
} f;

static void set_up(void)
{
	f.msg = (Conker__ClientMsg)CONKER__CLIENT_MSG__INIT;
	f.start = (Conker__Start)CONKER__START__INIT;
	f.tty = (Conker__Tty)CONKER__TTY__INIT;
	f.restart = (Conker__Restart)CONKER__RESTART__INIT;
	f.limit = (Conker__Rlimit)CONKER__RLIMIT__INIT;
	f.ref = (Conker__ExecRef)CONKER__EXEC_REF__INIT;
	f.attach = (Conker__Attach)CONKER__ATTACH__INIT;
	f.signal = (Conker__Signal)CONKER__SIGNAL__INIT;
	f.await = (Conker__AwaitPorts)CONKER__AWAIT_PORTS__INIT;
	f.forget = (Conker__Forget)CONKER__FORGET__INIT;
	f.list = (Conker__List)CONKER__LIST__INIT;
	f.argv[0] = bytes("true");
	f.argv[1] = bytes("");
	f.start.argv = f.argv;
	f.start.n_argv = 2;
	f.ref.exec = 7;
	f.ports[0] = 80;
	f.await.ports = f.ports;
	f.await.n_ports = 1;
	for (size_t i = 0; i < countof(f.limits); i++)
		f.limits[i] = &f.limit;
	f.start.rlimits = f.limits;
	f.msg.channel = 1;
	f.msg.msg_case = CONKER__CLIENT_MSG__MSG_START;
	f.msg.start = &f.start;
}

TestSuite(rules, .init = set_up);

static void ok(void)
{
	const char *why = rules_client(&f.msg);

	cr_assert_null(why, "refused: %s", why);
}

static void broken(const char *part)
{
	const char *why = rules_client(&f.msg);

	cr_assert(why && strstr(why, part), "'%s' expected, got '%s'", part, why ? why : "nothing");
}

static void kind(Conker__ClientMsg__MsgCase c, void *m)
{
	f.msg.msg_case = c;
	f.msg.start = m; /* a union of pointers */
}

Test(rules, a_plain_start_is_fine)
{
	ok();
}

Test(rules, strings_hold_no_nul)
{
	ProtobufCBinaryData *const each[] = {&f.argv[1], &f.start.cwd, &f.start.user, &f.start.name,
					     &f.start.key};

	for (size_t i = 0; i < countof(each); i++) {
		*each[i] = with_nul();
		broken("NUL");
		*each[i] = bytes("");
		ok();
	}
}

Test(rules, argv_has_an_element)
{
	f.start.n_argv = 0;
	broken("argv is empty");
}

Test(rules, argv_and_env_are_bounded_together)
{
	f.start.n_env = ARGS_MAX - 1;
	broken("32768");
}

Test(rules, a_name_means_nothing_but_itself)
{
	static const char *const bad[] = {"4",      "007",           "key:x", "a:b", ":",
					  "a\x1bz", "\xc2\x9b\x31m", "a\x9b", "a\n"};
	static const char *const good[] = {"web", "4a", "-1", "a b", "\xc3\xa4", "1.2", "key"};

	for (size_t i = 0; i < countof(bad); i++)
		cr_expect(rules_exec_name(bad[i], strlen(bad[i])), "%zu", i);
	for (size_t i = 0; i < countof(good); i++)
		cr_expect_null(rules_exec_name(good[i], strlen(good[i])), "%s", good[i]);
	/* What runs by such a name can be named all the same, and is no broken rule. */
	f.start.name = bytes("4");
	ok();
}

Test(rules, names_and_keys_are_bounded)
{
	f.start.name = of_length(NAME_MAX_BYTES);
	f.start.key = of_length(KEY_MAX_BYTES);
	ok();
	f.start.name = of_length(NAME_MAX_BYTES + 1);
	broken("name");
	f.start.name = bytes("");
	f.start.key = of_length(KEY_MAX_BYTES + 1);
	broken("key");
}

Test(rules, windows_have_a_range)
{
	static const uint32_t good[] = {0, WINDOW_MIN_BYTES, WINDOW_MAX_BYTES};
	static const uint32_t bad[] = {1, WINDOW_MIN_BYTES - 1, WINDOW_MAX_BYTES + 1};

	f.attach.ref = &f.ref;
	for (size_t i = 0; i < countof(good); i++) {
		kind(CONKER__CLIENT_MSG__MSG_START, &f.start);
		f.start.window = good[i];
		ok();
		f.start.window = bad[i];
		broken("window");
		kind(CONKER__CLIENT_MSG__MSG_ATTACH, &f.attach);
		f.attach.window = good[i];
		ok();
		f.attach.window = bad[i];
		broken("window");
	}
}

Test(rules, disposal_of_streams)
{
	f.start.err = CONKER__DISPOSAL__MERGE;
	f.start.out = CONKER__DISPOSAL__DISCARD;
	ok();
	f.start.tty = &f.tty;
	broken("terminal");
	f.start.tty = NULL;
	f.start.out = CONKER__DISPOSAL__MERGE;
	broken("stdout");
	f.start.out = 0;
	f.start.err = (Conker__Disposal)3;
	broken("stderr");
	f.start.err = (Conker__Disposal)-1;
	broken("stderr");
}

Test(rules, rlimits_are_bounded_and_ordered)
{
	f.start.n_rlimits = RLIMITS_MAX;
	f.limit.resource = RESOURCE_MAX;
	f.limit.soft = f.limit.hard = UINT64_MAX;
	ok();
	f.start.n_rlimits = RLIMITS_MAX + 1;
	broken("16");
	f.start.n_rlimits = 1;
	f.limit.resource = RESOURCE_MAX + 1;
	broken("unknown rlimit");
	f.limit.resource = 0;
	f.limit.hard = 1;
	broken("soft");
}

Test(rules, restart_policies)
{
	f.start.restart = &f.restart;
	f.restart.policy = CONKER__RESTART__POLICY__ALWAYS;
	ok();
	f.start.leave_children = 1;
	broken("leave");
	f.restart.policy = CONKER__RESTART__POLICY__NEVER;
	ok();
	f.start.leave_children = 0;
	f.restart.policy = (Conker__Restart__Policy)9;
	broken("policy");
}

Test(rules, logs_are_bounded)
{
	f.start.log_bytes = LOG_MAX_BYTES;
	ok();
	f.start.log_bytes++;
	broken("log");
}

Test(rules, terminal_sizes_fit_a_winsize)
{
	Conker__Resize z = CONKER__RESIZE__INIT;

	f.start.tty = &f.tty;
	f.tty.rows = 65535;
	ok();
	f.tty.cols = 65536;
	broken("size");
	f.tty.cols = 0;
	f.tty.term = of_length(TERM_MAX_BYTES + 1);
	broken("terminal name");
	kind(CONKER__CLIENT_MSG__MSG_RESIZE, &z);
	z.rows = 65536;
	broken("size");
}

Test(rules, a_reference_names_one_thing)
{
	f.attach.ref = &f.ref;
	kind(CONKER__CLIENT_MSG__MSG_ATTACH, &f.attach);
	ok();
	f.ref.name = bytes("worker");
	broken("one of them");
	f.ref.exec = 0;
	ok();
	f.ref.name = bytes("");
	broken("one of them");
	f.ref.key = bytes("k");
	ok();
	f.ref.key = with_nul();
	broken("NUL");
}

Test(rules, some_requests_need_a_reference)
{
	kind(CONKER__CLIENT_MSG__MSG_ATTACH, &f.attach);
	broken("no execution");
	kind(CONKER__CLIENT_MSG__MSG_FORGET, &f.forget);
	broken("no execution");
	kind(CONKER__CLIENT_MSG__MSG_LIST, &f.list);
	ok();
	kind(CONKER__CLIENT_MSG__MSG_AWAIT_PORTS, &f.await);
	ok();
}

Test(rules, a_signal_has_one_target_and_a_number)
{
	kind(CONKER__CLIENT_MSG__MSG_SIGNAL, &f.signal);
	broken("names no execution");
	f.signal.of_channel = 1;
	f.signal.signo = SIGNO_MAX;
	ok();
	f.signal.ref = &f.ref;
	broken("more than one");
	f.signal.of_channel = 0;
	ok();
	f.signal.signo = SIGNO_MAX + 1;
	broken("signal number");
	f.signal.signo = 0;
	f.signal.scope = (Conker__Scope)3;
	broken("scope");
}

Test(rules, awaited_ports_are_few_and_real)
{
	kind(CONKER__CLIENT_MSG__MSG_AWAIT_PORTS, &f.await);
	f.await.n_ports = 0;
	broken("no ports");
	f.await.n_ports = PORTS_MAX + 1;
	broken("more than 32");
	f.await.n_ports = 1;
	f.ports[0] = 0;
	broken("port 0");
	f.ports[0] = 65536;
	broken("65535");
	f.ports[0] = 65535;
	ok();
}

Test(rules, a_new_world_has_a_time_a_name_and_a_generation_in_bounds)
{
	Conker__Resume p = CONKER__RESUME__INIT;

	kind(CONKER__CLIENT_MSG__MSG_RESUME, &p);
	ok();
	p.realtime_us = UINT64_C(8000000000) * 1000000;
	p.hostname = of_length(HOSTNAME_MAX_BYTES);
	p.generation = of_length(GENERATION_BYTES);
	p.seed = of_length(SEED_BYTES);
	ok();
	p.realtime_us++;
	broken("2223");
	p.realtime_us = 0;
	p.hostname = of_length(HOSTNAME_MAX_BYTES + 1);
	broken("hostname");
	p.hostname = with_nul();
	broken("hostname");
	p.hostname = bytes("");
	p.generation = of_length(GENERATION_BYTES - 1);
	broken("16 bytes");
	p.generation = of_length(GENERATION_BYTES + 1);
	broken("16 bytes");
	p.generation = of_length(GENERATION_BYTES);
	p.seed = of_length(SEED_BYTES - 1);
	broken("32 bytes");
	p.seed = bytes("");
	broken("with a generation");
	p.generation = bytes("");
	p.seed = of_length(SEED_BYTES);
	broken("with a generation");
}

/* ---- from the guest -------------------------------------------------------------------------- */

Test(rules, exits_are_in_range)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Exit x = CONKER__EXIT__INIT;

	m.msg_case = CONKER__SERVER_MSG__MSG_EXIT;
	m.exit = &x;
	x.code = 255;
	x.status = CONKER__STATUS__LEFT;
	cr_assert_null(rules_server(&m));
	x.code = 256;
	cr_assert_not_null(rules_server(&m));
	x.code = -1;
	cr_assert_not_null(rules_server(&m));
	x.code = 0;
	x.signal = SIGNO_MAX + 1;
	cr_assert_not_null(rules_server(&m));
	x.signal = 0;
	x.status = (Conker__Status)10;
	cr_assert_not_null(rules_server(&m));
}

Test(rules, listings_are_checked_with_their_exit)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Listing l = CONKER__LISTING__INIT;
	Conker__Exit x = CONKER__EXIT__INIT;

	m.msg_case = CONKER__SERVER_MSG__MSG_LISTING;
	m.listing = &l;
	cr_assert_not_null(rules_server(&m), "number 0");
	l.exec = 1;
	cr_assert_null(rules_server(&m));
	l.exit = &x;
	x.code = 1000;
	cr_assert_not_null(rules_server(&m), "its exit");
	x.code = 0;
	l.name = of_length(NAME_MAX_BYTES + 1);
	cr_assert_not_null(rules_server(&m), "its name");
}

/* ---- the document ---------------------------------------------------------------------------- */

/* The hexadecimal bytes of the smallest conversation in docs/protocol.md, line by line. */
static size_t document_bytes(const char *line, uint8_t *ret)
{
	size_t n = 0;
	unsigned v;
	int used;

	for (line += strspn(line, " <>-"); sscanf(line, "%2x %n", &v, &used) == 1; line += used) {
		if (line[0] == 'c' || line[2] != ' ')
			break; /* "channel 1, ..." */
		ret[n++] = (uint8_t)v;
	}
	return n;
}

Test(rules, the_protocol_documents_bytes_are_what_the_codec_writes)
{
	Conker__Hello hello = CONKER__HELLO__INIT;
	uint8_t mine[64], theirs[64];
	char line[256];
	int found = 0;
	FILE *doc = fopen("docs/protocol.md", "re");

	cr_assert_not_null(doc, "run from the top of the tree");
	f.start.n_argv = 1;
	hello.version = PROTO_VERSION;
	while (fgets(line, sizeof(line), doc)) {
		int start = strstr(line, "start{argv") != NULL;

		if (strncmp(line, "    -> 0", 8) != 0)
			continue;
		f.msg.channel = start ? 1 : 0;
		kind(start ? CONKER__CLIENT_MSG__MSG_START : CONKER__CLIENT_MSG__MSG_HELLO,
		     start ? (void *)&f.start : &hello);
		size_t n = codec_client_put(&f.msg, mine);
		cr_assert_eq(document_bytes(line, theirs), n, "%s", line);
		cr_assert_arr_eq(mine, theirs, n, "%s", line);
		found++;
	}
	(void)fclose(doc);
	cr_assert_eq(found, 2);
}
