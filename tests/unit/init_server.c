/* Rules of guest-init's server, with everything but the machine: a real server is PID 1 of a pid
 * namespace here, its box is this machine's own root in a mount namespace, and a Unix socket stands for
 * vsock. Skipped where that cannot be had (root and a writable cgroup2 are needed).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest-init/env.h"
#include "guest-init/server.h"
#include "guest-init/sys.h"

enum { WAIT_MS = 20000, OUT_MAX = 4 << 20 };

/* ---- memory of one test, given back at its end ---- */

static void *kept[2048];
static size_t n_kept;

static void *keep(size_t n)
{
	cr_assert_lt(n_kept, countof(kept));
	return kept[n_kept++] = malloc(n);
}

static void free_kept(void)
{
	while (n_kept > 0)
		free(kept[--n_kept]);
}

/* ---- the server ---- */

static char dir[64], cgroup[96];
static pid_t server_pid;

static int find_cgroup(void)
{
	static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	char probe[128];

	for (size_t i = 0; i < countof(roots); i++) {
		(void)snprintf(cgroup, sizeof(cgroup), "%s/conker-test-%d", roots[i], getpid());
		if (mkdir(cgroup, 0755) < 0)
			continue;
		(void)snprintf(probe, sizeof(probe), "%s/cgroup.kill", cgroup);
		if (access(probe, W_OK) == 0)
			return 0;
		(void)rmdir(cgroup);
	}
	return -1;
}

static int listen_unix(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", dir);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 16) < 0)
		return -1;
	return fd;
}

/* In the namespaces, as PID 1. Exit status 77: it cannot be had here. */
static _Noreturn void serve(int listen_fd, int ready_fd)
{
	struct server *s = server_new();
	char root[96];
	struct err e;

	(void)snprintf(root, sizeof(root), "%s/root", dir);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!s || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mkdir(root, 0755) < 0 ||
	    mount("/", root, NULL, MS_BIND | MS_REC, NULL) < 0)
		_exit(77);
	(void)close(0);
	(void)open("/dev/null", O_RDONLY);
	(void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC); /* what the test runner left open */
	s->box.pts_fd = open("/dev/pts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cg_init(&s->cg, open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (box_open(&s->box, root, &e) < 0) {
		(void)dprintf(2, "%s\n", e.msg);
		_exit(77);
	}
	(void)!write(ready_fd, "r", 1);
	(void)close(ready_fd);
	_exit(server_run(s, listen_fd) == 0 ? 0 : 1);
}

static void stop_server(void)
{
	char cmd[640];

	free_kept();

	if (server_pid > 0) {
		(void)kill(server_pid, SIGKILL);
		(void)waitpid(server_pid, NULL, 0);
	}
	(void)snprintf(cmd, sizeof(cmd),
		       "sleep 0.2; find %s -mindepth 1 -depth -type d -exec rmdir {} + ; rmdir %s; "
		       "rm -rf %s/s; rmdir %s/root %s",
		       cgroup, cgroup, dir, dir, dir);
	(void)!system(cmd);
}

static void start_server(void)
{
	int ready[2];
	char c;

	(void)strcpy(dir, "/tmp/conker-init-XXXXXX");
	if (geteuid() != 0 || !mkdtemp(dir))
		cr_skip_test("needs root");
	if (find_cgroup() < 0) {
		(void)rmdir(dir);
		cr_skip_test("needs a writable cgroup2");
	}
	int fd = listen_unix();
	cr_assert_geq(fd, 0);
	cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);

	struct clone_args args = {.flags = CLONE_NEWPID | CLONE_NEWNS, .exit_signal = SIGCHLD};
	server_pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (server_pid == 0)
		serve(fd, ready[1]);
	(void)close(ready[1]);
	(void)close(fd);
	if (server_pid < 0 || read(ready[0], &c, 1) != 1) {
		stop_server();
		cr_skip_test("needs namespaces of its own");
	}
	(void)close(ready[0]);
}

TestSuite(init_server, .init = start_server, .fini = stop_server, .timeout = 60);

/* ---- a client ---- */

struct conn {
	int fd;
	uint8_t *in;
	size_t in_len;
	struct arena arena;
};

/* What one execution said. */
struct result {
	int done; /* 'x' Exit, 'e' Error, 'd' Done, 'c' the connection closed */
	Conker__Exit exit;
	int code;
	char step[32];
	uint8_t *out;
	size_t out_len, err_len;
	uint64_t credit;
	int listed;
};

static void send_msg(struct conn *c, const Conker__ClientMsg *m)
{
	size_t n = codec_client_size(m);
	uint8_t *buf = malloc(n);

	(void)codec_client_put(m, buf);
	for (size_t at = 0; at < n;) {
		ssize_t k = send(c->fd, buf + at, n - at, MSG_NOSIGNAL);

		if (k <= 0)
			break;
		at += (size_t)k;
	}
	free(buf);
}

static struct conn connect_raw(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct conn c = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
			 .in = keep(2 << 20),
			 .arena = {.base = keep(1 << 20), .size_bytes = 1 << 20}};

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", dir);
	cr_assert_eq(connect(c.fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return c;
}

static struct conn connect_init(void)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	Conker__Hello h = CONKER__HELLO__INIT;
	struct conn c = connect_raw();

	h.version = PROTO_VERSION;
	m.msg_case = CONKER__CLIENT_MSG__MSG_HELLO;
	m.hello = &h;
	send_msg(&c, &m);
	return c;
}

static void start(struct conn *c, uint32_t channel, Conker__Start *s, const char *const *argv)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	ProtobufCBinaryData v[16];

	for (s->n_argv = 0; argv[s->n_argv]; s->n_argv++)
		v[s->n_argv] = (ProtobufCBinaryData){strlen(argv[s->n_argv]),
						     (uint8_t *)(uintptr_t)argv[s->n_argv]};
	s->argv = v;
	m.channel = channel;
	m.msg_case = CONKER__CLIENT_MSG__MSG_START;
	m.start = s;
	send_msg(c, &m);
}

static void send_sh(struct conn *c, uint32_t channel, const char *script)
{
	Conker__Start s = CONKER__START__INIT;

	start(c, channel, &s, (const char *[]){"/bin/sh", "-c", script, NULL});
}

static void send_stdin(struct conn *c, const void *data, size_t n, int eof)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	Conker__Stdin in = CONKER__STDIN__INIT;

	in.data = (ProtobufCBinaryData){n, (uint8_t *)(uintptr_t)data};
	in.eof = eof;
	m.channel = 1;
	m.msg_case = CONKER__CLIENT_MSG__MSG_INPUT;
	m.input = &in;
	send_msg(c, &m);
}

static void send_signal(struct conn *c, uint32_t of_channel, uint32_t signo, Conker__Scope scope)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	Conker__Signal g = CONKER__SIGNAL__INIT;

	g.of_channel = of_channel;
	g.signo = signo;
	g.scope = scope;
	m.channel = 99;
	m.msg_case = CONKER__CLIENT_MSG__MSG_SIGNAL;
	m.signal = &g;
	send_msg(c, &m);
}

static void grant(struct conn *c, uint32_t channel, const Conker__Output *o)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	Conker__Credit credit = CONKER__CREDIT__INIT;

	credit.stream = o->stream;
	credit.bytes = (uint32_t)o->data.len;
	m.channel = channel;
	m.msg_case = CONKER__CLIENT_MSG__MSG_CREDIT;
	m.credit = &credit;
	send_msg(c, &m);
}

static void take_output(struct conn *c, uint32_t channel, const Conker__Output *o, struct result *r)
{
	size_t *len = o->stream == CONKER__STREAM__STDOUT ? &r->out_len : &r->err_len;

	cr_assert_eq(o->offset, *len, "a gap in the stream");
	if (o->stream == CONKER__STREAM__STDOUT && r->out_len + o->data.len <= OUT_MAX)
		memcpy(r->out + r->out_len, o->data.data, o->data.len);
	*len += o->data.len;
	grant(c, channel, o);
}

static void take(struct conn *c, const Conker__ServerMsg *m, struct result *r)
{
	switch (m->msg_case) {
	case CONKER__SERVER_MSG__MSG_OUTPUT: take_output(c, m->channel, m->output, r); break;
	case CONKER__SERVER_MSG__MSG_CREDIT: r->credit += m->credit->bytes; break;
	case CONKER__SERVER_MSG__MSG_LISTING: r->listed++; break;
	case CONKER__SERVER_MSG__MSG_DONE: r->done = 'd'; break;
	case CONKER__SERVER_MSG__MSG_EXIT:
		r->done = 'x';
		r->exit = *m->exit;
		break;
	case CONKER__SERVER_MSG__MSG_ERROR:
		r->done = 'e';
		r->code = m->error->code;
		(void)snprintf(r->step, sizeof(r->step), "%s", m->error->step);
		break;
	default: break;
	}
}

/* Reads once, at most for ms, and handles what there is for channel (others are skipped). */
static void step(struct conn *c, uint32_t channel, struct result *r, int ms)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	size_t at = 0, used, len;
	const uint8_t *msg;

	if (poll(&p, 1, ms) <= 0)
		return;
	ssize_t n = recv(c->fd, c->in + c->in_len, (2 << 20) - c->in_len, 0);
	if (n <= 0)
		r->done = 'c';
	c->in_len += n > 0 ? (size_t)n : 0;
	while (!(r->done && r->done != 'c') &&
	       frame_peek(c->in + at, c->in_len - at, FRAME_MAX_BYTES, &msg, &len, &used) == 1) {
		Conker__ServerMsg *m;
		const char *why;
		uint32_t ch;

		c->arena.used_bytes = 0;
		cr_assert_eq(codec_decode_server(msg, len, &c->arena, &m, &ch, &why), 0, "%s", why);
		at += used;
		if (ch == channel || (ch == 0 && m->msg_case == CONKER__SERVER_MSG__MSG_ERROR))
			take(c, m, r);
	}
	c->in_len -= at;
	memmove(c->in, c->in + at, c->in_len);
}

static struct result finish(struct conn *c, uint32_t channel)
{
	struct result r = {.out = keep(OUT_MAX)};

	for (int64_t end = now_us() + WAIT_MS * 1000; !r.done && now_us() < end;)
		step(c, channel, &r, 100);
	cr_assert_neq(r.done, 0, "no end of channel %u", channel);
	return r;
}

static struct result sh(const char *script)
{
	struct conn c = connect_init();

	send_sh(&c, 1, script);
	return finish(&c, 1);
}

static int said(const struct result *r, const char *text)
{
	return r->out_len == strlen(text) && memcmp(r->out, text, r->out_len) == 0;
}

static void ping(struct conn *c)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	Conker__Ping p = CONKER__PING__INIT;

	m.channel = 50;
	m.msg_case = CONKER__CLIENT_MSG__MSG_PING;
	m.ping = &p;
	send_msg(c, &m);
}

/* ---- rules ---- */

Test(init_server, reports_exit_code_after_all_output_of_both_streams)
{
	struct result r = sh("echo out; echo error >&2; exit 7");

	cr_assert_eq(r.done, 'x');
	cr_assert_eq(r.exit.code, 7);
	cr_assert_eq(r.exit.signal, 0);
	cr_assert(said(&r, "out\n"));
	cr_assert_eq(r.err_len, 6);
}

Test(init_server, reports_the_signal_that_ended_it)
{
	struct result r = sh("kill -USR1 $$");

	cr_assert_eq(r.exit.signal, SIGUSR1);
}

Test(init_server, stdin_that_is_not_open_reads_eof)
{
	struct result r = sh("cat; echo end");

	cr_assert(said(&r, "end\n"));
}

Test(init_server, gives_defaults_for_path_and_home_and_a_clean_table_of_files)
{
	struct result r = sh("echo $HOME $PATH; ls /proc/self/fd | wc -l; pwd");

	cr_assert(said(&r, "/root " ENV_PATH_DEFAULT "\n4\n/\n"), "%.*s", (int)r.out_len, r.out);
}

Test(init_server, cannot_start_is_an_error_with_step_and_errno)
{
	static const struct {
		const char *argv0, *cwd, *user, *step;
		int code;
	} cases[] = {
		{"no-such-program", "", "", "exec", ENOENT},
		{"/no/such/program", "", "", "exec", ENOENT},
		{"/etc/passwd", "", "", "exec", EACCES},
		{"/", "", "", "exec", EACCES},
		{"true", "/nowhere", "", "cwd", ENOENT},
		{"true", "relative", "", "cwd", EINVAL},
		{"true", "", "no-such-user", "user", EINVAL},
	};
	struct conn c = connect_init();

	for (uint32_t i = 0; i < countof(cases); i++) {
		Conker__Start s = CONKER__START__INIT;

		s.cwd = (ProtobufCBinaryData){strlen(cases[i].cwd),
					      (uint8_t *)(uintptr_t)cases[i].cwd};
		s.user = (ProtobufCBinaryData){strlen(cases[i].user),
					       (uint8_t *)(uintptr_t)cases[i].user};
		start(&c, i + 1, &s, (const char *[]){cases[i].argv0, NULL});
		struct result r = finish(&c, i + 1);
		cr_assert_eq(r.done, 'e', "case %u", i);
		cr_assert_eq(r.code, cases[i].code, "case %u: %d", i, r.code);
		cr_assert_str_eq(r.step, cases[i].step);
	}
}

Test(init_server, a_megabyte_through_cat_comes_back_unchanged)
{
	enum { TOTAL = 3 << 20, CHUNK = 60000 };
	struct result r = {.out = keep(OUT_MAX)};
	Conker__Start s = CONKER__START__INIT;
	uint8_t *data = keep(TOTAL);
	struct conn c = connect_init();
	size_t sent = 0;

	for (size_t i = 0; i < TOTAL; i++)
		data[i] = (uint8_t)(i * 31 + (i >> 8) * 7);
	s.stdin_open = 1;
	start(&c, 1, &s, (const char *[]){"/bin/cat", NULL});
	for (int64_t end = now_us() + WAIT_MS * 1000; !r.done && now_us() < end;) {
		size_t window = STDIN_WINDOW_BYTES + r.credit - sent;
		size_t n = min_(window, TOTAL - sent);

		n = min_(n, (size_t)CHUNK);

		if (n > 0) {
			send_stdin(&c, data + sent, n, sent + n == TOTAL);
			sent += n;
		}
		step(&c, 1, &r, n > 0 ? 0 : 100);
	}
	cr_assert_eq(r.done, 'x');
	cr_assert_eq(r.out_len, TOTAL);
	cr_assert_arr_eq(r.out, data, TOTAL);
}

Test(init_server, more_stdin_than_the_window_breaks_the_connection)
{
	static uint8_t chunk[FRAME_DATA_BYTES];
	Conker__Start s = CONKER__START__INIT;
	struct conn c = connect_init();

	s.stdin_open = 1;
	start(&c, 1, &s, (const char *[]){"/bin/sleep", "30", NULL});
	for (int i = 0; i < 6; i++) /* the window and a pipe's worth, and more */
		send_stdin(&c, chunk, sizeof(chunk), 0);
	struct result r = finish(&c, 1);
	cr_assert(r.done == 'e' || r.done == 'c');
}

Test(init_server, a_process_that_closed_its_stdin_does_not_starve_the_sender)
{
	static uint8_t chunk[FRAME_DATA_BYTES];
	struct result r = {.out = keep(OUT_MAX)};
	Conker__Start s = CONKER__START__INIT;
	struct conn c = connect_init();
	size_t sent = 0;

	s.stdin_open = 1;
	start(&c, 1, &s, (const char *[]){"/bin/sh", "-c", "exec <&-; sleep 1; exit 3", NULL});
	for (int64_t end = now_us() + WAIT_MS * 1000; !r.done && now_us() < end;) {
		if (sent + sizeof(chunk) <= STDIN_WINDOW_BYTES + r.credit && sent < (2 << 20)) {
			send_stdin(&c, chunk, sizeof(chunk), 0);
			sent += sizeof(chunk);
		}
		step(&c, 1, &r, 10);
	}
	cr_assert_eq(r.exit.code, 3);
	cr_assert_eq(sent, 2 << 20);
}

Test(init_server, what_it_left_behind_dies_with_it_and_does_not_delay_the_exit)
{
	int64_t t = now_us();
	struct result r = sh("sleep 4321 & (setsid sleep 4321 &) ; echo x");

	cr_assert(said(&r, "x\n"));
	cr_assert_lt(now_us() - t, 5000000);
	usleep(300000);
	struct result ps =
		sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 432[1]'; true");
	cr_assert(said(&ps, "0\n"), "%.*s", (int)ps.out_len, ps.out);
}

Test(init_server, timeout_terminates_and_then_kills_everything)
{
	Conker__Start s = CONKER__START__INIT;
	struct conn c = connect_init();

	s.timeout_ms = 200;
	s.grace_ms = 200;
	start(&c, 1, &s,
	      (const char *[]){"/bin/sh", "-c", "trap '' TERM; sleep 30 & sleep 30; wait; sleep 30",
			       NULL});
	struct result r = finish(&c, 1);
	cr_assert(r.exit.timed_out);
	cr_assert_eq(r.exit.signal, SIGKILL);
	cr_assert_lt(r.exit.duration_us, 5000000);
}

Test(init_server, a_finished_execution_cannot_be_signalled)
{
	struct conn c = connect_init();

	send_sh(&c, 1, "true");
	(void)finish(&c, 1);
	send_signal(&c, 1, SIGKILL, CONKER__SCOPE__PROCESS);
	struct result r = finish(&c, 99);
	cr_assert_eq(r.done, 'e');
	cr_assert_eq(r.code, ESRCH);
}

Test(init_server, signals_reach_process_group_and_all)
{
	for (Conker__Scope scope = CONKER__SCOPE__PROCESS; scope <= CONKER__SCOPE__ALL; scope++) {
		struct conn c = connect_init();

		send_sh(&c, 1, "exec sleep 30");
		send_signal(&c, 1, SIGTERM, scope);
		struct result r = finish(&c, 1);
		cr_assert_eq(r.exit.signal, SIGTERM, "scope %d", (int)scope);
	}
}

Test(init_server, a_client_that_does_not_read_stops_only_its_own)
{
	struct conn slow = connect_init(), other = connect_init();

	for (uint32_t ch = 1; ch <= 8; ch++)
		send_sh(&slow, ch, "yes");
	for (int i = 0; i < 20; i++) {
		send_sh(&other, 1, "echo alive");
		struct result r = finish(&other, 1);
		cr_assert(said(&r, "alive\n"));
	}
}

Test(init_server, what_a_client_started_dies_with_its_connection)
{
	struct conn c = connect_init();

	send_sh(&c, 1, "sleep 8765");
	usleep(300000);
	(void)close(c.fd);
	usleep(500000);
	struct result ps =
		sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 876[5]'; true");
	cr_assert(said(&ps, "0\n"));
}

Test(init_server, a_breach_of_protocol_costs_only_that_connection)
{
	static const uint8_t garbage[] = {9,    0,    0,    0,    0xff, 0xff, 0xff,
					  0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	struct conn bad = connect_init(), good = connect_init();

	(void)!write(bad.fd, garbage, sizeof(garbage));
	struct result r = finish(&bad, 0);
	cr_assert_eq(r.done, 'e');
	cr_assert_eq(r.code, EPROTO);
	r.done = 0;
	for (int i = 0; i < 50 && r.done != 'c'; i++)
		step(&bad, 0, &r, 100);
	cr_assert_eq(r.done, 'c');
	ping(&good);
	r = finish(&good, 50);
	cr_assert_eq(r.done, 'd');
}

Test(init_server, the_first_message_must_be_hello)
{
	struct conn c = connect_raw();

	ping(&c);
	struct result r = finish(&c, 50);
	cr_assert_eq(r.done, 'e');
	cr_assert_eq(r.code, EPROTO);
}

Test(init_server, a_channel_in_use_cannot_be_opened_again)
{
	struct conn c = connect_init();

	send_sh(&c, 1, "sleep 30");
	send_sh(&c, 1, "true");
	struct result r = finish(&c, 1);
	cr_assert_eq(r.done, 'e');
	cr_assert_eq(r.code, EPROTO);
}

Test(init_server, stopping_the_newborn_does_not_stop_init)
{
	struct conn storm = connect_init(), c = connect_init();

	send_sh(&storm, 1, "while :; do kill -STOP -1; done 2>/dev/null");
	for (int i = 0; i < 20; i++) {
		send_sh(&c, 1, "true");
		usleep(20000);
		send_signal(&c, 1, SIGKILL,
			    CONKER__SCOPE__PROCESS); /* it may be stopped later on */
		(void)finish(&c, 1);
	}
}

Test(init_server, a_terminal_has_its_size_and_ends_like_a_pipe)
{
	Conker__Start s = CONKER__START__INIT;
	Conker__Tty t = CONKER__TTY__INIT;
	struct conn c = connect_init();

	t.rows = 33;
	t.cols = 44;
	s.tty = &t;
	start(&c, 1, &s,
	      (const char *[]){"/bin/sh", "-c", "stty size; echo $TERM; tty >/dev/null && exit 5",
			       NULL});
	struct result r = finish(&c, 1);
	cr_assert_eq(r.exit.code, 5);
	cr_assert(said(&r, "33 44\r\nxterm\r\n"), "%.*s", (int)r.out_len, r.out);
}

Test(init_server, control_c_on_a_terminal_interrupts_and_eof_ends_input)
{
	Conker__Start s = CONKER__START__INIT;
	Conker__Tty t = CONKER__TTY__INIT;
	struct conn c = connect_init();

	s.tty = &t;
	start(&c, 1, &s, (const char *[]){"/bin/sleep", "30", NULL});
	usleep(300000);
	send_stdin(&c, "\x03", 1, 0);
	struct result r = finish(&c, 1);
	cr_assert_eq(r.exit.signal, SIGINT);
	start(&c, 1, &s, (const char *[]){"/bin/cat", NULL});
	send_stdin(&c, "", 0, 1);
	r = finish(&c, 1);
	cr_assert_eq(r.exit.code, 0);
}

Test(init_server, runs_as_the_user_asked_for)
{
	Conker__Start s = CONKER__START__INIT;
	struct conn c = connect_init();

	s.user = (ProtobufCBinaryData){11, (uint8_t *)(uintptr_t) "12345:23456"};
	start(&c, 1, &s,
	      (const char *[]){"/bin/sh", "-c",
			       "id -u; id -g; id -G; grep -c 'CapEff:.0*$' /proc/self/status",
			       NULL});
	struct result r = finish(&c, 1);
	cr_assert(said(&r, "12345\n23456\n23456\n1\n"), "%.*s", (int)r.out_len, r.out);
}

/* The reaper is the server's first child. */
Test(init_server, the_box_survives_its_reaper)
{
	struct conn c = connect_init();
	char path[64];
	int reaper = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", server_pid, server_pid);
	FILE *f = fopen(path, "r");
	if (!f || fscanf(f, "%d", &reaper) != 1)
		cr_skip_test("needs /proc/PID/task/TID/children");
	(void)fclose(f);
	send_sh(&c, 1, "sleep 30");
	usleep(200000);
	cr_assert_eq(kill(reaper, SIGKILL), 0);
	struct result r = finish(&c, 1);
	cr_assert_eq(r.exit.signal, SIGKILL);
	usleep(300000); /* until it is buried, a start is refused */
	send_sh(&c, 1, "echo $$; test -d /proc/self/fd && echo proc");
	r = finish(&c, 1);
	cr_assert(said(&r, "2\nproc\n"), "%.*s", (int)r.out_len, r.out);
}

Test(init_server, killing_everything_from_inside_spares_init)
{
	struct result r = sh("kill -9 -1; kill -9 1; echo still");

	cr_assert_eq(r.done, 'x');
	r = sh("echo next");
	cr_assert(said(&r, "next\n"));
}

Test(init_server, a_thousand_executions_leave_nothing_behind)
{
	struct conn c = connect_init();

	for (uint32_t i = 0; i < 1000; i++) {
		Conker__Start s = CONKER__START__INIT;

		start(&c, i % 7 + 1, &s, (const char *[]){"/bin/true", NULL});
		struct result r = finish(&c, i % 7 + 1);
		cr_assert_eq(r.done, 'x');
		cr_assert_eq(r.exit.code, 0);
	}
	char path[64];
	(void)snprintf(path, sizeof(path), "ls /proc/%d/fd | wc -l", server_pid);
	FILE *f = popen(path, "r");
	int n = 0;
	cr_assert_eq(fscanf(f, "%d", &n), 1);
	cr_assert_lt(n, 32, "%d descriptors", n);
	(void)pclose(f);
}
