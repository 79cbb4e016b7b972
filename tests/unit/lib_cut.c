/* SPDX-License-Identifier: Apache-2.0 */
/* lib_cut.c - a conversation with a guest that is cut at every byte, comes byte by byte, or meets a
 * host without memory at every allocation: each execution ends exactly once, each call returns,
 * nothing is left.
 *
 * The guest's side is recorded; it is in the socket before the library asks, which for the library
 * is the same as a guest that is fast.
 */
#include <malloc.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/lib/alone.h"
#include "tests/lib/fds.h"
#include "tests/lib/test.h"

TestSuite(lib_cut, .timeout = 240);

enum { EXECS = 4, RECORD_BYTES = 4096 };

#ifdef __SANITIZE_ADDRESS__
enum { CAN_FAIL_MALLOC = 0 };
static long left_to_succeed;
#else
/* ---- an allocator that fails once, when told to ---- */

enum { CAN_FAIL_MALLOC = 1 };
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static __thread long left_to_succeed; /* 0: all succeed */

static int fails(void)
{
	if (left_to_succeed == 0 || --left_to_succeed > 0)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t n)
{
	return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return fails() ? NULL : __libc_realloc(p, n);
}
#endif

/* ---- what the guest says, recorded ---- */

struct record {
	uint8_t data[RECORD_BYTES];
	size_t len;
};

static void say(struct record *r, uint32_t channel, Conker__ServerMsg__MsgCase kind,
		ProtobufCMessage *body)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;

	m.channel = channel;
	m.msg_case = kind;
	m.hello = (Conker__Hello *)(void *)body; /* one of a union of pointers */
	cr_assert_leq(r->len + codec_server_size(&m), RECORD_BYTES);
	r->len += codec_server_put(&m, r->data + r->len);
}

static void say_hello(struct record *r)
{
	Conker__Hello h = CONKER__HELLO__INIT;

	h.version = PROTO_VERSION;
	say(r, 0, CONKER__SERVER_MSG__MSG_HELLO, &h.base);
}

static void say_started(struct record *r, uint32_t channel, uint32_t stdin_window)
{
	Conker__Started s = CONKER__STARTED__INIT;

	s.exec = channel + 10;
	s.pid = channel + 100;
	s.stdin_window = stdin_window;
	say(r, channel, CONKER__SERVER_MSG__MSG_STARTED, &s.base);
}

static void say_output(struct record *r, uint32_t channel, Conker__Stream stream, uint64_t offset,
		       const char *text)
{
	Conker__Output o = CONKER__OUTPUT__INIT;

	o.stream = stream;
	o.offset = offset;
	o.time_us = 1;
	o.data = (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
	say(r, channel, CONKER__SERVER_MSG__MSG_OUTPUT, &o.base);
}

static void say_credit(struct record *r, uint32_t channel, uint32_t bytes)
{
	Conker__Credit c = CONKER__CREDIT__INIT;

	c.stream = CONKER__STREAM__STDIN;
	c.bytes = bytes;
	say(r, channel, CONKER__SERVER_MSG__MSG_CREDIT, &c.base);
}

static void say_exit(struct record *r, uint32_t channel, int32_t code, uint64_t out_bytes,
		     uint64_t err_bytes)
{
	Conker__Exit x = CONKER__EXIT__INIT;

	x.code = code;
	x.status = CONKER__STATUS__EXITED;
	x.out_bytes = out_bytes;
	x.err_bytes = err_bytes;
	say(r, channel, CONKER__SERVER_MSG__MSG_EXIT, &x.base);
}

static void say_error(struct record *r, uint32_t channel)
{
	Conker__Error e = CONKER__ERROR__INIT;

	e.code = ENOENT;
	e.step = (char *)(uintptr_t) "exec";
	e.text = (char *)(uintptr_t) "x: No such file or directory";
	say(r, channel, CONKER__SERVER_MSG__MSG_ERROR, &e.base);
}

static void say_done(struct record *r, uint32_t channel)
{
	Conker__Done d = CONKER__DONE__INIT;

	say(r, channel, CONKER__SERVER_MSG__MSG_DONE, &d.base);
}

static void say_listing(struct record *r, uint32_t channel)
{
	ProtobufCBinaryData argv = {1, (uint8_t *)(uintptr_t) "x"};
	Conker__Listing l = CONKER__LISTING__INIT;

	l.exec = 11;
	l.argv = &argv;
	l.n_argv = 1;
	say(r, channel, CONKER__SERVER_MSG__MSG_LISTING, &l.base);
}

/* Channels count from 1 in the order in which talk() asks. */
static struct record record(void)
{
	struct record r = {0};

	say_hello(&r);
	say_started(&r, 1, 0);
	say_output(&r, 1, CONKER__STREAM__STDOUT, 0, "first\n");
	say_error(&r, 3);
	say_started(&r, 2, STDIN_WINDOW_BYTES);
	say_output(&r, 1, CONKER__STREAM__STDERR, 0, "error\n");
	say_credit(&r, 2, 4);
	say_started(&r, 4, 0);
	say_output(&r, 4, CONKER__STREAM__STDOUT, 100, "after a gap"); /* without a newline */
	say_output(&r, 2, CONKER__STREAM__STDOUT, 0, "text");
	say_exit(&r, 1, 7, 6, 6);
	say_exit(&r, 2, 0, 4, 0);
	say_exit(&r, 4, 0, 111, 0);
	say_listing(&r, 5);
	say_listing(&r, 5);
	say_done(&r, 5);
	return r;
}

/* ---- what the library makes of it ---- */

struct seen {
	int exits, losts, frees;
	size_t bytes;
};

static void on_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
		     void *user)
{
	struct seen *s = user;

	(void)e;
	cr_assert_eq(s->exits + s->losts + s->frees, 0, "an event after the end");
	s->exits += ev == CONKER_EXIT;
	s->losts += ev == CONKER_LOST;
	if (ev == CONKER_STDOUT || ev == CONKER_STDERR)
		s->bytes += data->output.len;
}

static void on_free(void *user)
{
	((struct seen *)user)->frees++;
}

static int on_listing(const conker_exec_info *i, void *user)
{
	(void)i;
	++*(int *)user;
	return 0;
}

struct outcome {
	struct seen seen[EXECS];
	conker_exec *exec[EXECS];
	int opened, started[EXECS], list, listed;
};

static int start(conker_box *b, struct outcome *o, int i)
{
	static const char *const argv[] = {"x", NULL};
	static const uint32_t flags[] = {0, CONKER_EXEC_STDIN, 0};
	conker_exec_opts opts = {.size = sizeof(opts), .argv = argv, .flags = flags[i]};
	conker_exec_cb cb = {on_event, &o->seen[i], on_free};

	return conker_exec_start(b, &opts, cb, &o->exec[i]);
}

static int attach(conker_box *b, struct outcome *o, int i)
{
	conker_view_opts opts = {.size = sizeof(opts),
				 .flags = CONKER_VIEW_FOLLOW | CONKER_VIEW_LINES};

	const conker_exec_ref ref = {.name = "other"};

	return conker_exec_attach(b, &ref, &opts, (conker_exec_cb){on_event, &o->seen[i], on_free},
				  &o->exec[i]);
}

/* The whole conversation over one end of a socket. */
static struct outcome talk(int conn)
{
	struct outcome o = {0};
	conker_box *b = alone_open(conn);

	if (!b)
		return o;
	o.opened = 1;
	for (int i = 0; i < EXECS - 1; i++)
		o.started[i] = start(b, &o, i);
	o.started[EXECS - 1] = attach(b, &o, EXECS - 1);
	if (o.exec[1]) {
		(void)conker_exec_write(o.exec[1], "text", 4);
		(void)conker_exec_write_all(o.exec[1], "text", 4);
		(void)conker_exec_close_stdin(o.exec[1]);
	}
	o.list = conker_exec_list(b, CONKER_LIST_ALL, on_listing, &o.listed);
	while (conker_box_dispatch(b) > 0)
		;
	for (int i = 0; i < EXECS; i++)
		conker_exec_free(o.exec[i]);
	conker_box_free(b);
	return o;
}

static void expect_defined(const struct outcome *o, const char *what, size_t at)
{
	for (int i = 0; i < EXECS && o->opened; i++) {
		const struct seen *s = &o->seen[i];

		cr_assert_eq(s->frees, 1, "%s %zu: execution %d: %d frees", what, at, i, s->frees);
		cr_assert_eq(s->exits + s->losts, o->started[i] == 0,
			     "%s %zu: execution %d: %d ends", what, at, i, s->exits + s->losts);
	}
}

static void expect_whole(const struct outcome *o)
{
	static const size_t bytes[EXECS] = {12, 4, 0, 11};

	expect_defined(o, "whole", 0);
	for (int i = 0; i < EXECS; i++) {
		cr_assert_eq(o->seen[i].exits, i != 2, "execution %d", i);
		cr_assert_eq(o->seen[i].bytes, bytes[i]);
	}
	cr_assert_eq(o->list, 0);
	cr_assert_eq(o->listed, 2);
}

static struct outcome talk_to(const uint8_t *data, size_t len)
{
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	(void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
	if (len > 0)
		cr_assert_eq(write(pair[1], data, len), (ssize_t)len);
	(void)shutdown(pair[1], SHUT_WR);
	struct outcome o = talk(pair[0]);
	close(pair[1]);
	return o;
}

Test(lib_cut, the_whole_conversation_ends_well)
{
	struct record r = record();
	struct outcome o = talk_to(r.data, r.len);

	expect_whole(&o);
}

Test(lib_cut, a_connection_may_end_after_every_byte)
{
	struct record r = record();
	int fds = open_fds();
	size_t heap = 0;

	for (size_t at = 0; at < r.len; at++) {
		struct outcome o = talk_to(r.data, at);

		expect_defined(&o, "cut at", at);
		cr_assert_lt(o.list, 0);
		if (at == 0)
			heap = mallinfo2().uordblks;
	}
	cr_assert_eq(open_fds(), fds);
	cr_assert_leq(mallinfo2().uordblks, heap + 4096, "%zu bytes more than after the first",
		      mallinfo2().uordblks - heap);
}

Test(lib_cut, answers_may_come_byte_by_byte)
{
	struct record r = record();
	int pair[2], status;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	(void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
	pid_t guest = fork();
	if (guest == 0) {
		close(pair[0]);
		for (size_t at = 0; at < r.len; at++) {
			(void)!write(pair[1], r.data + at, 1);
			usleep(300);
		}
		_exit(0);
	}
	close(pair[1]);
	struct outcome o = talk(pair[0]);
	cr_assert_eq(waitpid(guest, &status, 0), guest);
	expect_whole(&o);
}

Test(lib_cut, a_byte_that_flips_leaves_a_defined_state)
{
	struct record r = record();
	int fds = open_fds();

	for (size_t at = 0; at < r.len; at++) {
		r.data[at] ^= 0x81;
		struct outcome o = talk_to(r.data, r.len);

		r.data[at] ^= 0x81;
		expect_defined(&o, "flipped at", at);
	}
	cr_assert_eq(open_fds(), fds);
}

/* Returns how many allocations there are. */
static long run_out_of_memory(const struct record *r)
{
	long n = 0;

	for (long rest = 0; rest == 0 && n < 10000; n++) {
		left_to_succeed = n + 1;
		struct outcome o = talk_to(r->data, r->len);

		rest = left_to_succeed; /* not 0: it never came to the one that fails */
		left_to_succeed = 0;
		expect_defined(&o, "allocation", (size_t)n);
	}
	return n;
}

/* The allocator's caches fill in the first rounds; a leak goes on growing. */
Test(lib_cut, memory_may_run_out_at_every_allocation)
{
	struct record r = record();
	int fds = open_fds();

	if (!CAN_FAIL_MALLOC)
		cr_skip_test("the sanitizer's allocator");
	for (int i = 0; i < 8; i++)
		(void)run_out_of_memory(&r);
	size_t heap = mallinfo2().uordblks;
	for (int i = 0; i < 8; i++) {
		long n = run_out_of_memory(&r);

		cr_assert_gt(n, 8);
		cr_assert_lt(n, 10000);
	}
	cr_assert_eq(open_fds(), fds);
	cr_assert_leq(mallinfo2().uordblks, heap, "%zu bytes more than after eight rounds",
		      mallinfo2().uordblks - heap);
}

/* ---- a full socket ---- */

static void count_writable(conker_exec *e, enum conker_event ev, const conker_event_data *data,
			   void *user)
{
	(void)e, (void)data;
	*(int *)user += ev == CONKER_WRITABLE;
}

/* The one whose window opens again may not write yet: what others have said still waits for the
 * socket. */
Test(lib_cut, whose_credit_comes_while_much_is_being_sent_is_told_when_there_is_room)
{
	enum { STDINS = 3 };
	static const char *const argv[] = {"x", NULL};
	static uint8_t bytes[STDIN_WINDOW_BYTES];
	conker_exec_opts opts = {.size = sizeof(opts), .argv = argv, .flags = CONKER_EXEC_STDIN};
	struct record r = {0};
	conker_exec *e[STDINS];
	int s[2], small = 4096, writable = 0;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	cr_assert_eq(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	conker_box *b = alone_open(s[0]);
	cr_assert_not_null(b);
	say_hello(&r);
	for (uint32_t i = 0; i < STDINS; i++) {
		conker_exec_cb cb = {.fn = i == 0 ? count_writable : NULL, .user = &writable};

		cr_assert_eq(conker_exec_start(b, &opts, cb, &e[i]), 0);
		say_started(&r, i + 1, STDIN_WINDOW_BYTES);
	}
	cr_assert_eq(write(s[1], r.data, r.len), (ssize_t)r.len);
	while (conker_box_dispatch(b) > 0)
		;
	/* Its whole window, which the guest takes; then others fill the buffer, and it is the
	 * guest's turn. */
	cr_assert_eq(conker_exec_write(e[0], bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
	cr_assert_eq(conker_exec_write(e[0], bytes, 1), -EAGAIN);
	for (int i = 1; i < STDINS; i++)
		cr_assert_eq(conker_exec_write(e[i], bytes, 100000), 100000);
	r.len = 0;
	say_credit(&r, 1, STDIN_WINDOW_BYTES);
	cr_assert_eq(write(s[1], r.data, r.len), (ssize_t)r.len);
	(void)conker_box_dispatch(b);
	cr_assert_eq(writable, 0, "the buffer is full");
	while (recv(s[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0 || conker_box_dispatch(b) > 0 ||
	       b->wire.out.tail > b->wire.out.head)
		;
	(void)conker_box_dispatch(b);
	cr_assert_eq(writable, 1);
	for (int i = 0; i < STDINS; i++)
		conker_exec_free(e[i]);
	conker_box_free(b);
	close(s[1]);
}
