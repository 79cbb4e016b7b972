/* SPDX-License-Identifier: Apache-2.0 */
/* init_cut.c - conversations with guest-init that are cut at every byte, come byte by byte, or never end:
 * it gives back all that belonged to them, and serves the next client. */
#include "tests/lib/init_requests.h"

TestSuite(init_cut, .init = start_server, .fini = stop_server, .timeout = 240);

enum { RECORD_BYTES = 4096, FLOODERS = 12 };

/* ---- what a client says, recorded ---- */

struct record {
	uint8_t data[RECORD_BYTES];
	size_t len;
};

static void say(struct record *r, uint32_t channel, Conker__ClientMsg__MsgCase kind, void *msg)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;

	m.channel = channel;
	m.msg_case = kind;
	m.start = msg; /* as any other member of the union */
	cr_assert_leq(r->len + codec_client_size(&m), RECORD_BYTES);
	r->len += codec_client_put(&m, r->data + r->len);
}

static void say_hello(struct record *r)
{
	Conker__Hello h = CONKER__HELLO__INIT;

	h.version = PROTO_VERSION;
	say(r, 0, CONKER__CLIENT_MSG__MSG_HELLO, &h);
}

static void say_start(struct record *r, uint32_t channel, Conker__Start *s, const char *script)
{
	ProtobufCBinaryData argv[] = {bytes("/bin/sh"), bytes("-c"), bytes(script)};

	s->argv = argv;
	s->n_argv = countof(argv);
	say(r, channel, CONKER__CLIENT_MSG__MSG_START, s);
}

static void say_input(struct record *r, uint32_t channel, const char *text, int eof)
{
	Conker__Stdin in = CONKER__STDIN__INIT;

	in.data = bytes(text);
	in.eof = eof;
	in.flush = 1;
	say(r, channel, CONKER__CLIENT_MSG__MSG_INPUT, &in);
}

static void say_credit(struct record *r, uint32_t channel)
{
	Conker__Credit c = CONKER__CREDIT__INIT;

	c.stream = CONKER__STREAM__STDOUT;
	c.bytes = 1000;
	say(r, channel, CONKER__CLIENT_MSG__MSG_CREDIT, &c);
}

static void say_attach(struct record *r, uint32_t channel, const char *name)
{
	Conker__ExecRef ref = CONKER__EXEC_REF__INIT;
	Conker__Attach a = CONKER__ATTACH__INIT;

	ref.name = bytes(name);
	a.ref = &ref;
	a.follow = a.lossless = 1;
	say(r, channel, CONKER__CLIENT_MSG__MSG_ATTACH, &a);
}

static void say_signal(struct record *r, uint32_t channel, uint32_t of_channel)
{
	Conker__Signal g = CONKER__SIGNAL__INIT;

	g.of_channel = of_channel;
	g.signo = SIGKILL;
	g.scope = CONKER__SCOPE__ALL;
	say(r, channel, CONKER__CLIENT_MSG__MSG_SIGNAL, &g);
}

static void say_list(struct record *r, uint32_t channel)
{
	Conker__List l = CONKER__LIST__INIT;

	l.all = l.usage = 1;
	say(r, channel, CONKER__CLIENT_MSG__MSG_LIST, &l);
}

/* One that reads its stdin, one that talks for ever, a view of it, questions, and a kill. */
static struct record record(void)
{
	struct record r = {0};
	Conker__Start reader = CONKER__START__INIT, talker = CONKER__START__INIT;

	reader.stdin_open = 1;
	talker.name = bytes("talker");
	say_hello(&r);
	say_start(&r, 1, &reader, "exec cat");
	say_input(&r, 1, "some text", 0);
	say_start(&r, 2, &talker, "exec yes");
	say_credit(&r, 1);
	say_attach(&r, 3, "talker");
	say_list(&r, 4);
	say_input(&r, 1, "the rest", 1);
	say_credit(&r, 3);
	say_signal(&r, 5, 2);
	return r;
}

/* ---- what must be left ---- */

/* Of one conversation: pipes, pidfds, terminals and sockets. Groups are kept for others. */
static int count_streams(void)
{
	static const char *const kinds[] = {"pipe:", "socket:", "anon_inode:[pidfd]", "/dev/ptmx"};
	char path[300], to[64];
	struct dirent *e;
	int n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", server_pid);
	DIR *d = opendir(path);
	while (d && (e = readdir(d))) {
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%s", server_pid, e->d_name);
		ssize_t len = readlink(path, to, sizeof(to) - 1);
		to[len > 0 ? len : 0] = 0;
		for (size_t i = 0; i < countof(kinds); i++)
			n += strncmp(to, kinds[i], strlen(kinds[i])) == 0;
	}
	(void)closedir(d);
	return n;
}

/* Before a conversation, with those who came before met: a count that has stood still for a while. */
static int count_settled_streams(void)
{
	struct conn c = connect_init();
	int n, still = 0;

	(void)list_of("", 0, 0);
	for (n = count_streams(); still < 50; usleep(1000)) {
		struct result pong = {0};

		ping(&c); /* a count while init itself stands still is none */
		while (!pong.done)
			step(&c, 50, &pong, 100);
		int now = count_streams();

		still = now == n ? still + 1 : 0;
		n = now;
	}
	return n;
}

static void expect_all_given_back(int streams, const char *when, size_t at)
{
	(void)list_of("", 0, 0); /* init has met those who came before */
	for (int i = 0; i < 10000 && count_streams() != streams; i++)
		usleep(1000);
	cr_assert_eq(count_streams(), streams, "%s %zu: %d descriptors, before %d", when, at,
		     count_streams(), streams);
}

static void send_all(int fd, const uint8_t *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = send(fd, data + at, len - at, MSG_NOSIGNAL);

		cr_assert_gt(n, 0);
		at += (size_t)n;
	}
}

static void give_back_memory(void)
{
	free_kept();
}

/* ---- cut ---- */

Test(init_cut, a_connection_may_end_after_every_byte)
{
	struct record r = record();
	int streams = count_settled_streams();

	for (size_t at = 0; at <= r.len; at++) {
		struct conn c = connect_raw();

		send_all(c.fd, r.data, at);
		(void)close(c.fd);
		expect_all_given_back(streams, "cut at", at);
		give_back_memory();
	}
	struct result alive = sh("echo alive");
	cr_assert(said(&alive, "alive\n"));
	cr_assert_eq(list_of("", 0, 0).listed, 0);
}

/* The client says no more, but reads: the end of its half is the end of the connection. */
Test(init_cut, one_half_of_a_connection_may_end_after_every_byte)
{
	struct record r = record();
	int streams = count_settled_streams();

	for (size_t at = 0; at <= r.len; at++) {
		struct conn c = connect_raw();
		uint8_t sink[4096];

		send_all(c.fd, r.data, at);
		(void)shutdown(c.fd, SHUT_WR);
		while (recv(c.fd, sink, sizeof(sink), 0) > 0)
			;
		(void)close(c.fd);
		expect_all_given_back(streams, "half cut at", at);
		give_back_memory();
	}
	cr_assert_eq(list_of("", 0, 0).listed, 0);
}

Test(init_cut, requests_may_come_byte_by_byte)
{
	struct record r = record();
	struct conn c = connect_raw();
	struct result of[6] = {0};

	for (size_t at = 0; at < r.len; at++) {
		send_all(c.fd, r.data + at, 1);
		if (at % 8 == 0)
			usleep(200);
	}
	of[5] = finish(&c, 5);
	cr_assert_eq(of[5].done, 'd');
	(void)close(c.fd);
	struct result alive = sh("echo alive");
	cr_assert(said(&alive, "alive\n"));
}

Test(init_cut, a_byte_that_flips_ends_at_most_its_own_connection)
{
	struct record r = record();
	struct conn other = connect_init();
	int streams = count_settled_streams() + 1;

	ping(&other);
	cr_assert_eq(finish(&other, 50).done, 'd');
	for (size_t at = 0; at < r.len; at++) {
		struct conn c = connect_raw();

		r.data[at] ^= 0x81;
		(void)!send(c.fd, r.data, r.len, MSG_NOSIGNAL);
		r.data[at] ^= 0x81;
		(void)close(c.fd);
		give_back_memory();
	}
	other = connect_init();
	struct result alive = sh("echo alive");
	cr_assert(said(&alive, "alive\n"));
	(void)close(other.fd);
	cr_assert_leq(count_streams(), streams + 4 * (int)r.len, "only detached ones may live");
}

/* ---- floods ---- */

static void nonblocking(int fd)
{
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* As many bytes of it as fit, over and over, without ever reading. */
static size_t pour(int fd, const struct record *r, size_t most)
{
	size_t sent = 0;

	while (sent < most) {
		size_t at = sent % r->len;
		ssize_t n = send(fd, r->data + at, r->len - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	return sent;
}

static void expect_served(void)
{
	int64_t begin = now_us();
	struct conn c = connect_init();

	send_sh(&c, 1, "echo alive");
	struct result r = finish(&c, 1);
	(void)close(c.fd);
	cr_assert(said(&r, "alive\n"));
	cr_assert_lt(now_us() - begin, 10000000);
}

Test(init_cut, questions_without_end_and_unread_answers_hold_up_nobody)
{
	struct record hello = {0}, list = {0};
	int fds[FLOODERS], streams = count_settled_streams();
	uint64_t long_lived = sh_detached("exec sleep 1000");

	say_hello(&hello);
	for (uint32_t i = 0; i < 30; i++)
		say_list(&list, 1000);
	for (int i = 0; i < FLOODERS; i++) {
		fds[i] = connect_raw().fd;
		send_all(fds[i], hello.data, hello.len);
		nonblocking(fds[i]);
	}
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < FLOODERS; i++)
			(void)pour(fds[i], &list, 100000 * list.len / 30);
		if (round % 20 == 0)
			expect_served();
	}
	for (int i = 0; i < FLOODERS; i++)
		(void)close(fds[i]);
	(void)signal_exec(long_lived, SIGKILL, CONKER__SCOPE__ALL);
	expect_all_given_back(streams, "after floods of", FLOODERS);
}

Test(init_cut, half_a_frame_on_every_other_connection_holds_up_nobody)
{
	static const uint8_t head[] = {0xff, 0xff, 0x1f, 0}; /* just below the limit */
	static uint8_t part[100000];
	struct record hello = {0};
	int fds[FLOODERS], streams = count_settled_streams();

	say_hello(&hello);
	for (int i = 0; i < FLOODERS; i++) {
		fds[i] = connect_raw().fd;
		send_all(fds[i], hello.data, hello.len);
		send_all(fds[i], head, i % 2 ? sizeof(head) : 2);
		nonblocking(fds[i]);
		if (i % 2)
			(void)!send(fds[i], part, sizeof(part), MSG_NOSIGNAL);
	}
	expect_served();
	for (int i = 0; i < FLOODERS; i++)
		(void)close(fds[i]);
	expect_all_given_back(streams, "after half frames of", FLOODERS);
}
