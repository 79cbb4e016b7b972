/* SPDX-License-Identifier: Apache-2.0 */
/* init_client.c - whatever a client may send to guest-init: the real server with everything in it but
 * processes and control groups.
 *
 * An input is a script of steps, taken one by one whenever the server has nothing to do. The first byte of a
 * step says which one, the second is its number n:
 *
 *   0-3   a frame of the next n bytes     4   the next n bytes as they are
 *   5     a process ends                  6   a process writes
 *   7     one of: time passes (an idle box freezes); the client goes and a new one comes; it reads no more, or again
 *
 * Time is the script's as well, so that nothing waits. Held: no crash, no assertion (the outbox's bounds are
 * some); a second client is answered all along; after the end of both no view, no execution and no
 * descriptor is left.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/lib/fds.h"
#include "tests/lib/init_world.h"

enum { QUIET_TURNS = 400, FDS_KEPT_MAX = 2, IDLE_MS = 30000 };

static struct {
	struct server *server;
	const uint8_t *script;
	size_t left;
	int listen_fd, bad, good, deaf, turns, over;
	unsigned answers, asked;
	struct sockaddr_un address;
} t;

/* ---- clients ---- */

static int dial(void)
{
	static const uint8_t hello[] = {4, 0, 0, 0, 0x12, 2, 8, PROTO_VERSION};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert(fd >= 0);
	if (connect(fd, (struct sockaddr *)&t.address, sizeof(t.address)) < 0)
		abort();
	(void)!send(fd, hello, sizeof(hello), MSG_NOSIGNAL);
	return fd;
}

static size_t drain(int fd)
{
	static uint8_t sink[64 << 10];
	size_t sum = 0;
	ssize_t n;

	while ((n = recv(fd, sink, sizeof(sink), 0)) > 0)
		sum += (size_t)n;
	return sum;
}

static void ask(void)
{
	static const uint8_t ping[] = {4, 0, 0, 0, 8, 50, 0x4a, 0};

	if (send(t.good, ping, sizeof(ping), MSG_NOSIGNAL) == (ssize_t)sizeof(ping)) {
		t.asked++;
		return;
	}
	assert(t.server->freezer.n > 0); /* it was thrown out, which only Resume may do */
	close(t.good);
	t.good = dial();
}

static void send_bytes(const uint8_t *data, size_t n)
{
	(void)!send(t.bad, data, n, MSG_NOSIGNAL);
}

static void send_frame(const uint8_t *data, size_t n)
{
	uint8_t frame[FRAME_HEADER_BYTES + 255];

	if (n == 0)
		return;
	frame_header(frame, n);
	memcpy(frame + FRAME_HEADER_BYTES, data, n);
	send_bytes(frame, FRAME_HEADER_BYTES + n);
}

/* ---- the script ---- */

static struct process *pick(unsigned n)
{
	return &w.process[n % 8];
}

static void write_something(struct process *p, unsigned n)
{
	static const uint8_t text[4096];

	if (!p->alive || p->ended || p->out_fd < 0)
		return;
	struct pollfd f = {.fd = p->out_fd, .events = POLLOUT};
	if (raw(SYS_poll, (long)&f, 1, 0, 0, 0, 0) == 1)
		(void)!write(p->out_fd, text, 1 + n * 16);
}

static void other_step(unsigned n)
{
	if (n < 100) {
		w.skew_us += (int64_t)n * n * 1000;
	} else if (n < 120) {
		t.deaf = !t.deaf;
		w.fails_to_freeze = n % 2;
	} else if (n < 140) {
		close(t.bad);
		t.bad = dial();
		t.deaf = 0;
	} else {
		ask();
	}
}

static void next_step(void)
{
	unsigned kind = t.script[0] % 8;
	uint8_t n = t.left > 1 ? t.script[1] : 0;
	size_t skip = min_(t.left, (size_t)2);

	t.script += skip;
	t.left -= skip;
	if (kind <= 4) {
		size_t len = min_((size_t)n, t.left);

		if (kind < 4)
			send_frame(t.script, len);
		else
			send_bytes(t.script, len);
		t.script += len;
		t.left -= len;
	} else if (kind == 5) {
		end_process(pick(n), n % 3 ? 0 : n);
	} else if (kind == 6) {
		write_something(pick(n), n);
	} else {
		other_step(n);
	}
}

static void begin_the_end(void)
{
	w.ending = 1;
	ask();
	close(t.bad);
	t.bad = -1;
}

/* The server has nothing to do. Returns what its wait is to return. */
static int on_quiet(int timeout_ms)
{
	if (timeout_ms != 0)
		w.skew_us += timeout_ms < 0 ? 1000000 : ms_to_us(timeout_ms);
	if (t.bad >= 0 && !t.deaf)
		(void)drain(t.bad);
	t.answers += (unsigned)(drain(t.good) > 0);
	if (t.left > 0) {
		next_step();
		return 0;
	}
	if (!w.ending)
		begin_the_end();
	for (struct process *p = w.process; p < w.process + PROCESSES_MAX; p++)
		end_process(p, 0);
	if (t.turns++ < QUIET_TURNS)
		return 0;
	t.over = 1;
	errno = EBADF;
	return -1;
}

/* ---- one input ---- */

static void open_world(const uint8_t *data, size_t len)
{
	memset(&w, 0, sizeof(w));
	memset(&t, 0, sizeof(t));
	t.script = data;
	t.left = len;
	t.address.sun_family = AF_UNIX;
	(void)snprintf(t.address.sun_path + 1, sizeof(t.address.sun_path) - 1,
		       "conker-fuzz-init-%d", getpid());
	t.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(t.listen_fd, (struct sockaddr *)&t.address, sizeof(t.address)) < 0 ||
	    listen(t.listen_fd, 16) < 0)
		abort();
	t.good = dial();
	t.bad = dial();
}

static void check_server(struct server *s)
{
	unsigned waiting = 0;

	for (unsigned i = 0; i < s->execs.n_live; i++)
		waiting += s->execs.exec[s->execs.live[i]].restart.start !=
			   NULL; /* for a day not yet come */
	assert(s->execs.n_live == waiting);
	assert(s->execs.views.n == 0);
	while (s->execs.n_live > 0)
		execs_release(&s->execs, &s->execs.exec[s->execs.live[0]]);
	for (int i = 0; i < CG_MAX; i++)
		assert(!w.used[i]);
	assert(t.answers > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int fds = open_fds(), first_fd = copy_fd(0);
	struct cg_limits none = {0};

	close(first_fd);
	open_world(data, len);
	struct server *s = server_new();
	if (!s)
		abort();
	t.server = s;
	s->execs.box = (struct namespaces){-1, -1, eventfd(0, EFD_CLOEXEC),
					   open("/dev/pts", O_DIRECTORY | O_CLOEXEC)};
	s->execs.self.path = "/nowhere";
	cg_init(&s->execs.cg, -1, &none);
	s->idle = (struct idle){.idle_ms = IDLE_MS, .suspends = 1};
	s->freezer.ring = ring;
	if (server_run(s, t.listen_fd) != -EBADF)
		assert(s->power_off_us); /* it was asked to */
	else
		check_server(s);
	w.ending = 1;
	for (struct process *p = w.process; p < w.process + PROCESSES_MAX; p++)
		end_process(p, 0);
	if (t.bad >= 0)
		close(t.bad);
	close(t.good);
	close(t.listen_fd);
	close(s->poller.ep);
	if (s->freezer.is_open) {
		close(s->freezer.files.flag_fd);
		close(s->freezer.files.events_fd);
	}
	if (s->freezer.ring_fd > 0)
		close(s->freezer.ring_fd);
	close(s->execs.box.reaper);
	close(s->execs.box.pts_fd);
	if (t.over)
		assert(open_fds() <= fds + FDS_KEPT_MAX + 1);
	(void)raw(SYS_close_range, first_fd, ~0U, 0, 0, 0, 0); /* after a power-off */
	(void)munmap(s, sizeof(*s));
	w.skew_us = 0;
	return 0;
}
