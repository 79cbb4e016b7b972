/* SPDX-License-Identifier: Apache-2.0 */
/* guest-init's server under requests in no sensible order: several clients start, attach, detach, feed, signal,
 * list and forget at random, read little and go away at any time. Nothing of that may end the server (an
 * assertion there is the end of the machine) or leave anything behind. */
#include "tests/lib/init_requests.h"

TestSuite(init_chaos, .init = start_server, .fini = stop_server, .timeout = 120);

enum { CLIENTS = 6, CHANNELS = 24, STEPS = 4000 };

static unsigned seed = 1;

static unsigned any(unsigned n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 12) % n;
}

static const char *const scripts[] = {
	"true",
	"echo out; echo err >&2",
	"yes",
	"yes >&2",
	"cat",
	"exec <&-; sleep 1",
	"head -c 100",
	"sleep 0.05; exit 3",
	"sleep 60",
	"sleep 0.1 & sleep 0.2 & echo parent",
	"(sleep 0.05; echo late) & exit 1",
	"kill -STOP $$",
	"kill -9 $$",
	"yes | head -c 400000",
	"i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo $i; echo $i >&2; done",
};

static void random_start(struct conn *c, uint32_t channel)
{
	static const char *const names[] = {"", "", "", "a", "b"};
	Conker__Start s = CONKER__START__INIT;
	Conker__Restart p = CONKER__RESTART__INIT;
	Conker__Tty t = CONKER__TTY__INIT;

	s.stdin_open = any(2) == 0;
	s.detached = any(3) == 0;
	s.name = bytes(names[any(countof(names))]);
	s.key = bytes(any(6) == 0 ? "key" : "");
	s.log_bytes = any(2) ? 0 : any(30000);
	s.window = any(2) ? 0 : WINDOW_MIN_BYTES;
	s.leave_children = any(3) == 0;
	s.timeout_ms = any(4) ? 0 : any(300) + 1;
	s.grace_ms = any(100);
	s.tty = any(8) == 0 ? &t : NULL;
	if (!s.tty) {
		s.out = any(6) == 0 ? CONKER__DISPOSAL__DISCARD : CONKER__DISPOSAL__CAPTURE;
		s.err = (Conker__Disposal)(any(4) ? 0 : any(3));
	}
	p.policy = (Conker__Restart__Policy)any(3);
	p.max = any(4);
	p.backoff_ms = any(100) + 1;
	if (!s.leave_children && any(3) == 0)
		s.restart = &p;
	start(c, channel, &s,
	      (const char *[]){"/bin/sh", "-c", scripts[any(countof(scripts))], NULL});
}

static void random_attach(struct conn *c, uint32_t channel)
{
	Conker__Attach a = CONKER__ATTACH__INIT;

	a.no_out = any(4) == 0;
	a.no_err = any(4) == 0;
	a.out_from = any(3) ? 0 : any(100000);
	a.follow = any(2) == 0;
	a.lossless = any(2) == 0;
	a.feed = any(3) == 0;
	a.window = any(2) ? 0 : WINDOW_MIN_BYTES;
	a.tail_bytes = any(3) ? 0 : any(5000);
	attach(c, channel, any(400) + 1, &a);
}

static void random_credit(struct conn *c, uint32_t channel)
{
	Conker__Output o = CONKER__OUTPUT__INIT;

	o.stream = any(2) ? CONKER__STREAM__STDOUT : CONKER__STREAM__STDERR;
	o.data.len = any(300000);
	grant(c, channel, &o);
}

static void random_input(struct conn *c, uint32_t channel)
{
	static uint8_t data[2000]; /* few: more than a window would end the connection */
	Conker__Stdin in = CONKER__STDIN__INIT;

	in.data = (ProtobufCBinaryData){any(sizeof(data)), data};
	in.eof = any(5) == 0;
	in.flush = any(2) == 0;
	ask(c, channel, CONKER__CLIENT_MSG__MSG_INPUT, &in);
}

static void random_question(struct conn *c)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	Conker__ExecRef ref = CONKER__EXEC_REF__INIT;
	Conker__List l = CONKER__LIST__INIT;
	Conker__Forget f = CONKER__FORGET__INIT;
	Conker__Signal g = CONKER__SIGNAL__INIT;
	static const uint32_t signals[] = {0, SIGKILL, SIGTERM, SIGSTOP, SIGCONT, SIGUSR1};

	ref.exec = any(400) + 1;
	l.all = 1;
	g.exec = ref.exec;
	g.signo = signals[any(countof(signals))];
	g.scope = (Conker__Scope)any(3);
	f.ref = &ref;
	m.channel = 1U << 30;
	m.msg_case = CONKER__CLIENT_MSG__MSG_SIGNAL;
	m.signal = &g;
	if (any(4) == 0) {
		m.msg_case = CONKER__CLIENT_MSG__MSG_LIST;
		m.list = &l;
	} else if (any(3) == 0) {
		m.msg_case = CONKER__CLIENT_MSG__MSG_FORGET;
		m.forget = &f;
	}
	send_msg(c, &m);
}

static void drain(struct conn *c)
{
	static uint8_t buf[1 << 20];

	if (recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT) == 0) { /* we broke the protocol */
		(void)close(c->fd);
		c->fd = -1;
	}
}

/* ---- a snapshot now and then: frozen, and thawed or found in a new world ---- */

static struct conn keeper;
static int is_frozen;

static void ask_keeper(Conker__ClientMsg__MsgCase kind, void *msg)
{
	static uint32_t channel;

	ask(&keeper, ++channel, kind, msg);
	cr_assert_eq(finish(&keeper, channel).done, 'd');
}

static void freeze_or_not(void)
{
	Conker__Freeze f = CONKER__FREEZE__INIT;
	Conker__Thaw t = CONKER__THAW__INIT;
	Conker__Resume p = CONKER__RESUME__INIT;

	if (!is_frozen) {
		ask_keeper(CONKER__CLIENT_MSG__MSG_FREEZE, &f);
	} else if (any(2)) {
		ask_keeper(CONKER__CLIENT_MSG__MSG_THAW, &t);
	} else {
		(void)close(keeper.fd);
		keeper = connect_init();
		ask_keeper(CONKER__CLIENT_MSG__MSG_RESUME, &p);
	}
	is_frozen = !is_frozen;
}

/* Channels are not used twice, which would end the connection; the last ones are talked about. */
static void random_step(struct conn *c)
{
	static uint32_t next = CHANNELS;
	uint32_t channel = next - any(CHANNELS);

	switch (any(10)) {
	case 0:
	case 1: random_start(c, ++next); break;
	case 2:
	case 3: random_attach(c, ++next); break;
	case 4: detach(c, channel); break;
	case 5: random_credit(c, channel); break;
	case 6: random_input(c, channel); break;
	case 7:
	case 8: random_question(c); break;
	default: drain(c); break;
	}
}

static struct conn open_client(void)
{
	const int n = 1 << 20;
	struct conn c = connect_init();

	(void)setsockopt(c.fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof(n));
	return c;
}

/* Not the cgroups', which are kept for the next executions. */
static int count_streams(pid_t pid)
{
	char path[300], to[64];
	struct dirent *e;
	int n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *d = opendir(path);
	while (d && (e = readdir(d))) {
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, e->d_name);
		ssize_t len = readlink(path, to, sizeof(to) - 1);
		to[len > 0 ? len : 0] = 0;
		n += strncmp(to, "pipe:", 5) == 0 || strstr(to, "pidfd") || strstr(to, "ptmx");
	}
	(void)closedir(d);
	return n;
}

/* Everything that lives is killed until nothing does. */
static void end_all(void)
{
	for (int64_t end = now_us() + WAIT_MS * 1000; now_us() < end;) {
		struct result r = list_of("", 0, 0);

		if (r.listed == 0)
			return;
		(void)signal_exec(r.listing.exec, SIGKILL, CONKER__SCOPE__ALL);
	}
	cr_assert_eq(list_of("", 0, 0).listed, 0);
}

static void run(unsigned first_seed)
{
	struct result r = sh("true"); /* and its start-up is over */
	int before = count_streams(server_pid);
	struct conn c[CLIENTS];

	seed = first_seed;
	keeper = connect_init();
	is_frozen = 0;
	for (int i = 0; i < CLIENTS; i++)
		c[i] = open_client();
	for (int i = 0; i < STEPS; i++) {
		struct conn *mine = &c[any(CLIENTS)];

		if (mine->fd < 0 || any(100) == 0) {
			if (mine->fd >= 0)
				(void)close(mine->fd);
			*mine = open_client();
		}
		struct pollfd p = {.fd = mine->fd, .events = POLLOUT};
		if (poll(&p, 1, 0) == 1 && !(p.revents & POLLERR))
			random_step(mine);
		else
			drain(mine);
		if (i % 50 == 0)
			cr_assert_eq(kill(server_pid, 0), 0);
		if (any(is_frozen ? 10 : 300) == 0)
			freeze_or_not();
	}
	if (is_frozen)
		freeze_or_not();
	(void)close(keeper.fd);
	for (int i = 0; i < CLIENTS; i++)
		(void)close(c[i].fd);
	end_all();
	r = sh("echo alive");
	cr_assert(said(&r, "alive\n"));
	cr_assert_leq(list_of("", 0, 1).listed, RETAINED_MAX);
	cr_assert_gt(r.start.exec, 150, "too few were started for this to say much");
	cr_assert_eq(count_streams(server_pid), before);
}

Test(init_chaos, seed_1)
{
	run(1);
}

Test(init_chaos, seed_2)
{
	run(2);
}

Test(init_chaos, seed_3)
{
	run(3);
}
