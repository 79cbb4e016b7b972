/* SPDX-License-Identifier: Apache-2.0 */
/* init_fixture.h - guest-init's server with everything but the machine, and a client for it: a real
 * server is PID 1 of a pid namespace here, its box is this machine's own root in a mount namespace,
 * and a Unix socket stands for vsock. Tests are skipped where that cannot be had (root and a
 * writable cgroup2 are needed).
 */
#ifndef TESTS_LIB_INIT_FIXTURE_H
#define TESTS_LIB_INIT_FIXTURE_H

#include <dirent.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "guest-init/files/operations.h"
#include "guest-init/serve/generation.h"
#include "guest-init/serve/server.h"
#include "guest-init/sys/env.h"
#include "guest-init/sys/self.h"
#include "guest-init/sys/sys.h"
#include "tests/lib/test.h"

enum { WAIT_MS = 20000, OUT_MAX = 4 << 20 };

/* ---- memory of one test, given back at its end ---- */

static void *kept[16384];
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

/* Groups are removable once their last process is gone, which the end of the server sees to. */
static void remove_cgroup(void)
{
	char path[128];

	for (int i = 0; i < CG_MAX; i++) {
		(void)snprintf(path, sizeof(path), "%s/%d", cgroup, i);
		for (int k = 0; k < 1000 && rmdir(path) < 0 && errno == EBUSY; k++)
			usleep(10000);
	}
	(void)rmdir(cgroup);
}

static int find_cgroup(void)
{
	static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	char probe[128];

	for (size_t i = 0; i < countof(roots); i++) {
		(void)snprintf(cgroup, sizeof(cgroup), "%s/conker-test-%d", roots[i], getpid());
		remove_cgroup(); /* of a process of our number that was killed */
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

/* This program stands for init's executable as well: argv[0] tells. */
__attribute__((constructor)) static void as_builtin(int argc, char **argv)
{
	if (argc > 0 && self_has(argv[0]))
		exit(files_main(argc, argv));
}

/* A test may have something to do in the server's process when it is about to serve. */
__attribute__((weak)) void server_begins(struct server *s);

/* In the namespaces, as PID 1. Exit status 77: it cannot be had here. */
static _Noreturn void serve(int listen_fd, int ready_fd)
{
	struct server *s = server_new();
	const struct cg_limits none = {0};
	char root[96];
	struct err e;

	(void)snprintf(root, sizeof(root), "%s/root", dir);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!s || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mkdir(root, 0755) < 0 ||
	    mount("/", root, NULL, MS_BIND | MS_REC, NULL) < 0)
		_exit(77);
	(void)close(0);
	(void)open("/dev/null", O_RDWR);
	(void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC); /* what the test runner left open */
	s->execs.box.pts_fd = open("/dev/pts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s->execs.self.path = "/proc/self/exe";
	cg_init(&s->execs.cg, open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC), &none);
	if (namespaces_open(&s->execs.box, root, &e) < 0) {
		(void)dprintf(2, "%s\n", e.msg);
		_exit(77);
	}
	(void)!write(ready_fd, "r", 1);
	(void)close(ready_fd);
	s->freezer.root =
		dir; /* where a box has its root directory; here that would be the machine's */
	if (server_begins)
		server_begins(s);
	_exit(server_run(s, listen_fd) == 0 ? 0 : 1);
}

static void stop_server(void)
{
	char path[128];

	free_kept();
	if (server_pid > 0) {
		(void)kill(server_pid, SIGKILL);
		(void)waitpid(server_pid, NULL, 0);
	}
	remove_cgroup();
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s" GENERATION_FILE, dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/run/conker", dir);
	(void)rmdir(path);
	(void)snprintf(path, sizeof(path), "%s/run", dir);
	(void)rmdir(path);
	(void)snprintf(path, sizeof(path), "%s/root", dir);
	(void)rmdir(path);
	(void)rmdir(dir);
}

static void start_server(void)
{
	int ready[2];
	char c;

	(void)snprintf(dir, sizeof(dir), "/tmp/conker-init-XXXXXX");
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

/* ---- a client ---- */

struct conn {
	int fd;
	uint8_t *in;
	size_t in_len;
	struct arena arena;
};

/* What one channel said. */
struct result {
	int done;    /* 'x' Exit, 'e' Error, 'd' Done, 'c' the connection closed */
	int stingy;  /* the test's: no credit is granted */
	int may_gap; /* the test's: offsets may jump; the sum is in gap */
	int started;
	Conker__Started start;
	uint64_t gap[2], dropped; /* dropped: stdin */
	uint64_t opened;          /* the window of stdin, by others' bytes */
	int n_credits;
	Conker__Listing listing; /* the last one; only its numbers are valid */
	char order[256];         /* 'o' or 'e' for each Output */
	size_t n_outputs;
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

/* A request of any kind, which says what msg is. */
static void ask(struct conn *c, uint32_t channel, Conker__ClientMsg__MsgCase kind, void *msg)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;

	m.channel = channel;
	m.msg_case = kind;
	m.start = msg; /* as any other member of the union */
	send_msg(c, &m);
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

static void hello(struct conn *c)
{
	Conker__Hello h = CONKER__HELLO__INIT;

	h.version = PROTO_VERSION;
	ask(c, 0, CONKER__CLIENT_MSG__MSG_HELLO, &h);
}

static struct conn connect_init(void)
{
	struct conn c = connect_raw();

	hello(&c);
	return c;
}

static void start(struct conn *c, uint32_t channel, Conker__Start *s, const char *const *argv)
{
	ProtobufCBinaryData v[16];

	for (s->n_argv = 0; argv[s->n_argv]; s->n_argv++)
		v[s->n_argv] = (ProtobufCBinaryData){strlen(argv[s->n_argv]),
						     (uint8_t *)(uintptr_t)argv[s->n_argv]};
	s->argv = v;
	ask(c, channel, CONKER__CLIENT_MSG__MSG_START, s);
}

static void send_sh(struct conn *c, uint32_t channel, const char *script)
{
	Conker__Start s = CONKER__START__INIT;

	start(c, channel, &s, (const char *[]){"/bin/sh", "-c", script, NULL});
}

__attribute__((unused)) static void send_stdin(struct conn *c, const void *data, size_t n, int eof)
{
	Conker__Stdin in = CONKER__STDIN__INIT;

	in.data = (ProtobufCBinaryData){n, (uint8_t *)(uintptr_t)data};
	in.eof = eof;
	ask(c, 1, CONKER__CLIENT_MSG__MSG_INPUT, &in);
}

__attribute__((unused)) static void send_signal(struct conn *c, uint32_t of_channel, uint32_t signo,
						Conker__Scope scope)
{
	Conker__Signal g = CONKER__SIGNAL__INIT;

	g.of_channel = of_channel;
	g.signo = signo;
	g.scope = scope;
	ask(c, 99, CONKER__CLIENT_MSG__MSG_SIGNAL, &g);
}

static void grant(struct conn *c, uint32_t channel, const Conker__Output *o)
{
	Conker__Credit credit = CONKER__CREDIT__INIT;

	credit.stream = o->stream;
	credit.bytes = (uint32_t)o->data.len;
	ask(c, channel, CONKER__CLIENT_MSG__MSG_CREDIT, &credit);
}

static void take_output(struct conn *c, uint32_t channel, const Conker__Output *o, struct result *r)
{
	int k = o->stream != CONKER__STREAM__STDOUT;
	size_t *len = k ? &r->err_len : &r->out_len;

	cr_assert_geq(o->offset, *len + r->gap[k], "the stream went back");
	cr_assert(r->may_gap || o->offset == *len, "a gap in the stream");
	r->gap[k] = o->offset - *len;
	if (r->n_outputs < sizeof(r->order))
		r->order[r->n_outputs++] = k ? 'e' : 'o';
	if (o->stream == CONKER__STREAM__STDOUT && r->out_len + o->data.len <= OUT_MAX)
		memcpy(r->out + r->out_len, o->data.data, o->data.len);
	*len += o->data.len;
	if (!r->stingy)
		grant(c, channel, o);
}

static void take(struct conn *c, const Conker__ServerMsg *m, struct result *r)
{
	switch (m->msg_case) {
	case CONKER__SERVER_MSG__MSG_OUTPUT: take_output(c, m->channel, m->output, r); break;
	case CONKER__SERVER_MSG__MSG_STARTED:
		r->started = 1;
		r->start = *m->started;
		break;
	case CONKER__SERVER_MSG__MSG_CREDIT:
		r->credit += m->credit->bytes;
		r->opened += m->credit->opened;
		r->dropped += m->credit->dropped ? m->credit->bytes : 0;
		r->n_credits++;
		break;
	case CONKER__SERVER_MSG__MSG_LISTING:
		r->listed++;
		r->listing = *m->listing;
		break;
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

	if (poll(&p, 1, ms) > 0) { /* what is in the buffer is looked at in any case */
		ssize_t n = recv(c->fd, c->in + c->in_len, (2 << 20) - c->in_len, 0);

		if (n <= 0)
			r->done = 'c';
		c->in_len += n > 0 ? (size_t)n : 0;
	}
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

__attribute__((unused)) static struct result sh(const char *script)
{
	struct conn c = connect_init();

	send_sh(&c, 1, script);
	return finish(&c, 1);
}

__attribute__((unused)) static void await_started(struct conn *c, uint32_t channel)
{
	struct result r = {.out = keep(OUT_MAX)};

	for (int64_t end = now_us() + WAIT_MS * 1000; !r.started && !r.done && now_us() < end;)
		step(c, channel, &r, 100);
	cr_assert(r.started, "error %d at %s", r.code, r.step);
}

__attribute__((unused)) static int said(const struct result *r, const char *text)
{
	return r->out_len == strlen(text) && memcmp(r->out, text, r->out_len) == 0;
}

__attribute__((unused)) static void ping(struct conn *c)
{
	Conker__Ping p = CONKER__PING__INIT;

	ask(c, 50, CONKER__CLIENT_MSG__MSG_PING, &p);
}

/* ---- what most tests begin with ---- */

static struct conn caller;
static __attribute__((unused)) Conker__Start cmd = CONKER__START__INIT;

static __attribute__((unused)) void serve_and_connect(void)
{
	start_server();
	caller = connect_init();
}

#endif
