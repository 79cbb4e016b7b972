/* SPDX-License-Identifier: Apache-2.0 */
/* fakeinit.c - see fakeinit.h. One thread, one poll loop; failures of its own end it with a message. */
#include "tests/lib/fakeinit.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/codec.h"
#include "tests/lib/fakefiles.h"
#include "tests/lib/fakeparts.h"
#include "tests/lib/fakeshow.h"

static _Noreturn void die(const char *what)
{
	(void)dprintf(2, "fakeinit: %s: %s\n", what, strerror(errno));
	_exit(99);
}

static void send_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
		if (n <= 0)
			return; /* the client has gone: its end is seen when reading */
		p += n;
		len -= (size_t)n;
	}
}

static void put(struct fake *f, int conn, Conker__ServerMsg *m)
{
	size_t n = codec_server_size(m);
	uint8_t *buf = malloc(n);

	if (!buf)
		die("malloc");
	send_all(f->conn[conn].fd, buf, codec_server_put(m, buf));
	free(buf);
}

/* A message with an embedded body; body's type is what the macro says. */
#define PUT(f, conn_, channel_, CASE, field, body)               \
	do {                                                     \
		Conker__ServerMsg m_ = CONKER__SERVER_MSG__INIT; \
		m_.channel = (channel_);                         \
		m_.msg_case = CONKER__SERVER_MSG__MSG_##CASE;    \
		m_.field = (body);                               \
		put((f), (conn_), &m_);                          \
	} while (0)

static void put_error(struct fake *f, int conn, uint32_t channel, int code, char *step, char *text)
{
	Conker__Error e = CONKER__ERROR__INIT;

	e.code = code;
	e.step = step;
	e.text = text;
	PUT(f, conn, channel, ERROR, error, &e);
}

static void put_done(struct fake *f, int conn, uint32_t channel)
{
	Conker__Done d = CONKER__DONE__INIT;

	PUT(f, conn, channel, DONE, done, &d);
}

static void put_output(struct fake *f, struct fexec *x, int stream, const char *data, size_t len)
{
	Conker__Output o = CONKER__OUTPUT__INIT;

	o.stream = stream ? CONKER__STREAM__STDERR : CONKER__STREAM__STDOUT;
	o.offset = x->offset[stream];
	o.data.data = (uint8_t *)data;
	o.data.len = len;
	x->offset[stream] += len;
	x->window[stream] -= len;
	PUT(f, x->conn, x->channel, OUTPUT, output, &o);
}

static void put_exit(struct fake *f, struct fexec *x, int code, int signo)
{
	Conker__Exit e = CONKER__EXIT__INIT;

	e.code = code;
	e.signal = signo;
	e.status = signo ? CONKER__STATUS__KILLED : CONKER__STATUS__EXITED;
	e.out_bytes = x->offset[0];
	e.err_bytes = x->offset[1];
	e.duration_us = 1234;
	e.max_rss_kib = 5;
	PUT(f, x->conn, x->channel, EXIT, exit, &e);
	free(x->held);
	fakefiles_free(x->files);
	memset(x, 0, sizeof(*x));
}

/* ---- making output --------------------------------------------------------------------------------- */

static void hold(struct fexec *x, const void *data, size_t len)
{
	x->held = realloc(x->held, HELD_ROOM);
	if (!x->held || x->held_len + len > HELD_ROOM) {
		errno = ENOBUFS;
		die("the client exceeds the stdin window");
	}
	memcpy(x->held + x->held_len, data, len);
	x->held_len += len;
}

/* opened: of bytes that another has fed. */
static void put_stdin_credit(struct fake *f, struct fexec *x, size_t bytes, uint32_t opened)
{
	Conker__Credit c = CONKER__CREDIT__INIT;

	c.stream = CONKER__STREAM__STDIN;
	c.bytes = (uint32_t)bytes;
	c.opened = opened;
	PUT(f, x->conn, x->channel, CREDIT, credit, &c);
}

static void pump_flood(struct fake *f, struct fexec *x)
{
	static char buf[FRAME_DATA_BYTES];

	while (x->flood > 0 && x->window[0] > 0) {
		size_t n = min_(x->flood, x->window[0]);
		n = min_(n, sizeof(buf));
		for (size_t i = 0; i < n; i++)
			buf[i] = (char)('a' + (x->offset[0] + i) % 23); /* tests know it too */
		put_output(f, x, 0, buf, n);
		x->flood -= n;
	}
}

static void pump(struct fake *f, struct fexec *x)
{
	size_t at = 0;

	pump_flood(f, x);
	while (at < x->held_len && x->window[0] > 0) {
		size_t n = min_(x->held_len - at, x->window[0]);
		n = min_(n, (size_t)FRAME_DATA_BYTES);
		put_output(f, x, 0, x->held + at, n);
		at += n;
	}
	if (at) {
		memmove(x->held, x->held + at, x->held_len - at);
		x->held_len -= at;
		if (strcmp(x->kind, "cat") == 0)
			put_stdin_credit(f, x, at, 0);
	}
	if (x->held_len == 0 && x->flood == 0 &&
	    (x->has_exit || (x->eof && strcmp(x->kind, "cat") == 0)))
		put_exit(f, x, x->exit_code, x->exit_signo);
}

/* Its input is whole. */
static void run_files(struct fake *f, struct fexec *x)
{
	struct fakefiles_end end = fakefiles_run(x->files);

	if (end.err[0])
		put_output(f, x, 1, end.err, strlen(end.err));
	hold(x, end.out, end.out_len);
	free(end.out);
	x->exit_code = end.code;
	x->exit_signo = end.signo;
	x->has_exit = 1;
}

/* ---- commands ---------------------------------------------------------------------------------------- */

static const struct {
	const char *word;
	enum fake_end end;
} ends[] = {
	{"panic", FAKE_PANIC}, {"poweroff", FAKE_POWEROFF}, {"crash", FAKE_CRASH},
	{"die", FAKE_DIE},     {"vanish", FAKE_VANISH},     {"idle", FAKE_SUSPEND},
};

static int run_bad(struct fake *f, struct fexec *x, const char *cmd)
{
	static const uint8_t length[4] = {0xff, 0xff, 0xff, 0x7f},
			     junk[8] = {4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t later[] = {6, 0, 0, 0, 0x08, 1, 0xfa, 0x01, 1, 'x'};
	static char big[FRAME_DATA_BYTES];

	if (strcmp(cmd, "bad-offset") == 0) {
		put_output(f, x, 0, "xy", 2);
		x->offset[0] = 1;
		put_output(f, x, 0, "y", 1);
	} else if (strcmp(cmd, "bad-window") == 0) {
		for (int i = 0; i < 200; i++)
			put_output(f, x, 0, big, sizeof(big));
	} else if (strcmp(cmd, "bad-order") == 0) {
		Conker__Started s = CONKER__STARTED__INIT;
		s.exec = x->id;
		PUT(f, x->conn, x->channel, STARTED, started, &s);
	} else if (strcmp(cmd, "bad-length") == 0) {
		send_all(f->conn[x->conn].fd, length, sizeof(length));
	} else if (strcmp(cmd, "bad-bytes") == 0) {
		send_all(f->conn[x->conn].fd, junk, sizeof(junk));
	} else if (strcmp(cmd, "bad-answer") == 0) {
		put_done(f, x->conn, x->channel);
	} else if (strcmp(cmd, "new-kind") == 0) {
		send_all(f->conn[x->conn].fd, later, sizeof(later));
		x->has_exit = 1;
	} else {
		return 0;
	}
	return 1;
}

static void run(struct fake *f, struct fexec *x, const Conker__Start *s)
{
	const char *cmd = (char *)s->argv[0].data,
		   *arg = s->n_argv > 1 ? (char *)s->argv[1].data : "";

	for (size_t i = 0; i < countof(ends); i++)
		if (strcmp(cmd, ends[i].word) == 0) {
			f->end = ends[i].end;
			f->ended = 1;
			return;
		}
	if (run_bad(f, x, cmd))
		return;
	if (strcmp(cmd, "signal") == 0) {
		put_exit(f, x, 0, (int)strtoll(arg, NULL, 10));
		return;
	}
	if (strcmp(cmd, "hangup") == 0) {
		shutdown(f->conn[x->conn].fd, SHUT_RDWR);
		return;
	}
	if (strcmp(cmd, "cat") == 0 || strcmp(cmd, "sleep") == 0 || strcmp(cmd, "deaf") == 0 ||
	    strcmp(cmd, "closes") == 0)
		return;
	if (strcmp(cmd, "gap") == 0) { /* five bytes are missing before "x", and three behind it */
		x->offset[0] = 5;
		put_output(f, x, 0, "x", 1);
		x->offset[0] += 3;
	}
	x->has_exit = 1;
	if (strcmp(cmd, "exit") == 0)
		x->exit_code = (int)strtoll(arg, NULL, 10);
	if (strcmp(cmd, "flood") == 0)
		x->flood = strtoull(arg, NULL, 10);
	if (strcmp(cmd, "both") == 0) {
		hold(x, "out\n", 4);
		put_output(f, x, 1, "err\n", 4);
	}
	if (strcmp(cmd, "show") == 0) {
		char *text = fakeshow_start(s);

		hold(x, text, strlen(text));
		free(text);
	}
	if (strcmp(cmd, "lifetime") == 0)
		hold(x, f->lifetime, strlen(f->lifetime));
	for (size_t i = 1; strcmp(cmd, "echo") == 0 && i < s->n_argv; i++) {
		hold(x, s->argv[i].data, s->argv[i].len);
		hold(x, i + 1 < s->n_argv ? " " : "\n", 1);
	}
}

static struct fexec *find(struct fake *f, int conn, uint32_t channel)
{
	for (int i = 0; i < EXECS; i++)
		if (f->exec[i].channel == channel && f->exec[i].conn == conn && channel)
			return &f->exec[i];
	return NULL;
}

static struct fexec *find_ref(struct fake *f, const Conker__ExecRef *r)
{
	for (int i = 0; i < EXECS; i++)
		if (f->exec[i].channel && f->exec[i].conn >= 0 &&
		    (r->exec ? f->exec[i].id == r->exec
			     : strcmp(f->exec[i].name, (char *)r->name.data) == 0))
			return &f->exec[i];
	return NULL;
}

static struct fexec *slot(struct fake *f)
{
	for (int i = 0; i < EXECS; i++)
		if (!f->exec[i].channel)
			return &f->exec[i];
	errno = ENOBUFS;
	die("too many executions");
}

static void put_started(struct fake *f, const struct fexec *x, int existing, uint32_t window)
{
	Conker__Started st = CONKER__STARTED__INIT;

	st.exec = x->id;
	st.pid = (uint32_t)(1000 + x->id);
	st.existing = existing;
	st.feeds = !x->eof;
	st.stdin_window = x->eof ? 0 : window;
	if (!f->s->drowsy)
		PUT(f, x->conn, x->channel, STARTED, started, &st);
}

/* A view says "view" and ends: by Done, or, following, by an Exit. One that feeds becomes a cat. */
static void on_attach(struct fake *f, int conn, uint32_t channel, const Conker__Attach *a)
{
	const struct fexec *of = find_ref(f, a->ref);

	if (!of) {
		put_error(f, conn, channel, ESRCH, (char *)"", (char *)"no such execution");
		return;
	}
	struct fexec *x = slot(f);
	*x = (struct fexec){.channel = channel, .conn = conn, .id = of->id, .eof = !a->feed};
	x->window[0] = x->window[1] = WINDOW_DEFAULT_BYTES;
	(void)snprintf(x->kind, sizeof(x->kind), "%s", a->feed ? "cat" : "view");
	x->offset[0] = a->out_from;
	int clogged = strcmp(of->name, "clogged") == 0;
	put_started(f, x, 0, clogged ? 0 : STDIN_WINDOW_BYTES);
	if (a->feed && clogged)
		put_stdin_credit(f, x, 0, STDIN_WINDOW_BYTES);
	if (a->feed)
		return;
	if (!a->no_out)
		put_output(f, x, 0, "view\n", 5);
	if (a->follow) {
		put_exit(f, x, 3, 0);
	} else {
		put_done(f, conn, channel);
		memset(x, 0, sizeof(*x));
	}
}

static void on_detach(struct fake *f, struct fexec *x)
{
	put_done(f, x->conn, x->channel);
	free(x->held);
	x->held = NULL;
	x->held_len = x->flood = 0;
	x->conn = -1; /* runs on, without a view */
}

static void on_stats(struct fake *f, int conn, uint32_t channel)
{
	Conker__BoxStats b = CONKER__BOX_STATS__INIT;
	Conker__Usage u = CONKER__USAGE__INIT;

	b.running = 2;
	b.started = f->ids;
	b.usage = &u;
	u.memory_bytes = 4711;
	PUT(f, conn, channel, BOX_STATS, box_stats, &b);
}

static void on_ports(struct fake *f, int conn, uint32_t channel, const Conker__AwaitPorts *a)
{
	if (a->ports[0] == 1)
		put_error(f, conn, channel, ETIMEDOUT, (char *)"", (char *)"port 1");
	else
		put_done(f, conn, channel);
}

static void on_start(struct fake *f, int conn, uint32_t channel, const Conker__Start *s)
{
	struct fexec *x;

	if (strcmp((char *)s->argv[0].data, "missing") == 0) {
		put_error(f, conn, channel, ENOENT, (char *)"exec",
			  (char *)"missing: not found\x1b[31m");
		return;
	}
	if (f->frozen) {
		put_error(f, conn, channel, EBUSY, (char *)"", (char *)"frozen");
		return;
	}
	x = slot(f);
	*x = (struct fexec){
		.channel = channel, .conn = conn, .id = ++f->ids, .eof = !s->stdin_open};
	x->window[0] = x->window[1] = s->window;
	(void)snprintf(x->kind, sizeof(x->kind), "%.15s", (char *)s->argv[0].data);
	(void)snprintf(x->name, sizeof(x->name), "%.79s", (char *)s->name.data);

	put_started(f, x, strcmp((char *)s->key.data, "known") == 0, STDIN_WINDOW_BYTES);
	if (s->builtin)
		x->files = fakefiles_new(s);
	else
		run(f, x, s);
	if (s->builtin && x->eof)
		run_files(f, x);
	if (x->channel && strncmp(x->kind, "bad-", 4) != 0)
		pump(f, x);
}

static void on_signal(struct fake *f, int conn, uint32_t channel, const Conker__Signal *s)
{
	struct fexec *x = s->of_channel ? find(f, conn, s->of_channel)
			  : s->ref      ? find_ref(f, s->ref)
					: NULL;

	for (int i = 0; s->exec && i < EXECS; i++)
		if (f->exec[i].channel && f->exec[i].id == s->exec)
			x = &f->exec[i];
	if (!x) {
		put_error(f, conn, channel, ESRCH, (char *)"", (char *)"no such execution");
		return;
	}
	put_done(f, conn, channel);
	x->window[0] = UINT32_MAX; /* irrelevant: what it still held is gone with it */
	x->held_len = 0;
	put_exit(f, x, 0, (int)s->signo);
}

static void on_list(struct fake *f, int conn, uint32_t channel, const Conker__List *list)
{
	const struct fexec *only = list->ref ? find_ref(f, list->ref) : NULL;

	if (list->ref && !only) {
		put_error(f, conn, channel, ESRCH, (char *)"", (char *)"no such execution");
		return;
	}
	for (int i = 0; i < EXECS; i++) {
		Conker__Listing l = CONKER__LISTING__INIT;
		ProtobufCBinaryData arg;
		struct fexec *x = &f->exec[i];

		if (!x->channel || (only && x != only))
			continue;
		arg = (ProtobufCBinaryData){.data = (uint8_t *)x->kind, .len = strlen(x->kind)};
		l.exec = x->id;
		l.pid = (uint32_t)(1000 + x->id);
		l.name = (ProtobufCBinaryData){.data = (uint8_t *)x->name, .len = strlen(x->name)};
		l.n_argv = 1;
		l.argv = &arg;
		PUT(f, conn, channel, LISTING, listing, &l);
	}
	put_done(f, conn, channel);
}

static void on_hello(struct fake *f, int conn)
{
	Conker__Hello h = CONKER__HELLO__INIT;

	h.version = (uint32_t)f->s->hello_version;
	if (h.version)
		PUT(f, conn, 0, HELLO, hello, &h);
}

static void on_input(struct fake *f, struct fexec *x, const Conker__Stdin *in)
{
	if (strcmp(x->kind, "closes") == 0) {
		Conker__Credit c = CONKER__CREDIT__INIT;

		c.bytes = (uint32_t)in->data.len;
		c.dropped = 1;
		PUT(f, x->conn, x->channel, CREDIT, credit, &c);
		return;
	}
	if (in->data.len && x->files) {
		fakefiles_input(x->files, in->data.data, in->data.len);
		put_stdin_credit(f, x, in->data.len, 0);
	} else if (in->data.len && strcmp(x->kind, "deaf") != 0) {
		hold(x, in->data.data, in->data.len);
	}
	if (x->files && in->eof && !x->eof)
		run_files(f, x);
	x->eof |= in->eof;
	pump(f, x);
}

static void on_freeze(struct fake *f, int conn, uint32_t channel, int frozen, int refuse)
{
	if (refuse || f->frozen == frozen) {
		put_error(f, conn, channel, frozen ? EBUSY : EINVAL, (char *)"", (char *)"no");
		return;
	}
	f->frozen = frozen;
	f->holder = conn;
	put_done(f, conn, channel);
}

static void on_resume(struct fake *f, int conn, uint32_t channel, const Conker__Resume *m)
{
	fakeshow_lifetime(f->lifetime, sizeof(f->lifetime), m->lifetime);
	on_freeze(f, conn, channel, 0, f->s->noresume || m->hostname.len == 0);
}

static void on_msg(struct fake *f, int conn, const Conker__ClientMsg *m)
{
	struct fexec *x = find(f, conn, m->channel);

	switch (m->msg_case) {
	case CONKER__CLIENT_MSG__MSG_HELLO: on_hello(f, conn); break;
	case CONKER__CLIENT_MSG__MSG_START: on_start(f, conn, m->channel, m->start); break;
	case CONKER__CLIENT_MSG__MSG_SIGNAL: on_signal(f, conn, m->channel, m->signal); break;
	case CONKER__CLIENT_MSG__MSG_LIST: on_list(f, conn, m->channel, m->list); break;
	case CONKER__CLIENT_MSG__MSG_ATTACH: on_attach(f, conn, m->channel, m->attach); break;
	case CONKER__CLIENT_MSG__MSG_FORGET: put_done(f, conn, m->channel); break;
	case CONKER__CLIENT_MSG__MSG_STATS: on_stats(f, conn, m->channel); break;
	case CONKER__CLIENT_MSG__MSG_AWAIT_PORTS:
		on_ports(f, conn, m->channel, m->await_ports);
		break;
	case CONKER__CLIENT_MSG__MSG_DETACH:
		if (x)
			on_detach(f, x);
		break;
	case CONKER__CLIENT_MSG__MSG_FREEZE: on_freeze(f, conn, m->channel, 1, 0); break;
	case CONKER__CLIENT_MSG__MSG_THAW:
		if (f->s->drowsy) {
			put_error(f, conn, m->channel, EPERM, (char *)"", (char *)"frozen");
			f->end = FAKE_SUSPEND;
			f->ended = 1;
			break;
		}
		on_freeze(f, conn, m->channel, 0, 0);
		break;
	case CONKER__CLIENT_MSG__MSG_RESUME: on_resume(f, conn, m->channel, m->resume); break;
	case CONKER__CLIENT_MSG__MSG_PING: put_done(f, conn, m->channel); break;
	case CONKER__CLIENT_MSG__MSG_SHUTDOWN:
		put_done(f, conn, m->channel);
		f->end = f->s->sleepy ? FAKE_SUSPEND : FAKE_POWEROFF;
		f->ended = 1;
		break;
	case CONKER__CLIENT_MSG__MSG_INPUT:
		if (x)
			on_input(f, x, m->input);
		break;
	case CONKER__CLIENT_MSG__MSG_CREDIT:
		if (x) {
			x->window[m->credit->stream == CONKER__STREAM__STDERR] += m->credit->bytes;
			pump(f, x);
		}
		break;
	default: break;
	}
}

/* ---- connections -------------------------------------------------------------------------------------- */

static void drop(struct fake *f, int conn)
{
	for (int i = 0; i < EXECS; i++)
		if (f->exec[i].conn == conn) {
			free(f->exec[i].held);
			memset(&f->exec[i], 0, sizeof(f->exec[i]));
		}
	if (f->frozen && f->holder == conn)
		f->frozen = 0;
	close(f->conn[conn].fd);
	free(f->conn[conn].in);
	f->conn[conn] = (struct fconn){.fd = -1};
}

static void on_frames(struct fake *f, int conn, struct arena *a)
{
	struct fconn *c = &f->conn[conn];
	const uint8_t *msg;
	size_t msg_len, used;
	Conker__ClientMsg *m;
	uint32_t channel;
	const char *why = "";

	while (frame_peek(c->in, c->len, FRAME_MAX_BYTES, &msg, &msg_len, &used) == 1) {
		a->used_bytes = 0;
		if (codec_decode_client(msg, msg_len, a, &m, &channel, &why) < 0) {
			errno = EPROTO;
			die(why);
		}
		c->waits = m->msg_case == CONKER__CLIENT_MSG__MSG_START && f->frozen &&
			   f->holder != conn;
		if (c->waits)
			return;
		on_msg(f, conn, m);
		if (f->ended)
			return;
		c->len -= used;
		memmove(c->in, c->in + used, c->len);
	}
}

static void on_readable(struct fake *f, int conn, struct arena *a)
{
	struct fconn *c = &f->conn[conn];
	ssize_t n = recv(c->fd, c->in + c->len, IN_ROOM - c->len, 0);

	if (n <= 0) {
		drop(f, conn);
		return;
	}
	if (f->s->mute && conn > 0)
		return; /* the first is who made it */
	c->len += (size_t)n;
	on_frames(f, conn, a);
}

static void on_accept(struct fake *f)
{
	int fd = accept4(f->s->listener, NULL, NULL, SOCK_CLOEXEC);

	for (int i = 0; fd >= 0 && i < CONNS; i++)
		if (f->conn[i].fd < 0) {
			f->conn[i] = (struct fconn){.fd = fd, .in = malloc(IN_ROOM)};
			if (!f->conn[i].in)
				die("malloc");
			return;
		}
	close(fd);
}

static void on_ctl(struct fake *f)
{
	int fd = accept4(f->s->ctl, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (f->s->on_ctl(f->s->user, fd, f->ids)) {
		f->end = FAKE_SUSPEND;
		f->ended = 1;
	}
	close(fd);
}

static void turn(struct fake *f, struct arena *a)
{
	struct pollfd p[CONNS + 4];

	for (int i = 0; i < CONNS; i++)
		p[i] = (struct pollfd){.fd = f->conn[i].fd, .events = POLLIN};
	p[CONNS] = (struct pollfd){.fd = f->s->listener, .events = POLLIN};
	p[CONNS + 1] = (struct pollfd){.fd = f->s->quit[0], .events = POLLIN};
	p[CONNS + 2] = (struct pollfd){.fd = f->s->quit[1], .events = POLLIN};
	p[CONNS + 3] = (struct pollfd){.fd = f->s->ctl, .events = POLLIN};
	if (poll(p, CONNS + 4, -1) < 0)
		return;
	if (p[CONNS + 1].revents || p[CONNS + 2].revents)
		f->ended = 1;
	for (int i = 0; i < CONNS && !f->ended; i++)
		if (p[i].revents)
			on_readable(f, i, a);
	if (!f->ended && p[CONNS].revents)
		on_accept(f);
	if (!f->ended && p[CONNS + 3].revents)
		on_ctl(f);
	for (int i = 0; i < CONNS && !f->ended && !f->frozen; i++)
		if (f->conn[i].waits)
			on_frames(f, i, a);
}

enum fake_end fakeinit_serve(const struct fake_server *s)
{
	struct fake *f = calloc(1, sizeof(*f));
	struct arena a = {.base = malloc(ARENA_MAX_BYTES), .size_bytes = ARENA_MAX_BYTES};

	if (!f || !a.base)
		die("malloc");
	f->s = s;
	f->frozen = s->frozen;
	f->holder = -1;
	f->ids = s->execs;
	for (int i = 0; i < CONNS; i++)
		f->conn[i].fd = -1;
	while (!f->ended)
		turn(f, &a);

	enum fake_end end = f->end;
	for (int i = 0; i < CONNS; i++)
		if (f->conn[i].fd >= 0)
			drop(f, i);
	free(a.base);
	free(f);
	return end;
}
