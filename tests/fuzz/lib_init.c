/* SPDX-License-Identifier: Apache-2.0 */
/* lib_init.c - the real library against the real guest-init over a socket: two connections, and commands that are
 * started, attached to, fed, read, left and ended in any order. Neither may ever find that the other breaks the protocol.
 *
 * An input is a script of steps of two bytes, taken one by one whenever init has nothing to do. The low half of the
 * first byte says which step, the high half which handle or process, the second its number n:
 *
 *   0 1   start, attach; n: with stdin, kept or following, acknowledged by hand, small window or lossless, connection
 *   2 3   conker_exec_write(), _write_all()     4 5 6   _close_stdin(), _detach(), _free()
 *   7 8   a process reads, writes               9 10    it closes its stdin, ends
 *   11    kill        12   acknowledge          13      a connection goes, and a new one comes
 *   14    one connection is dispatched          15      from now on it is not, or is again, after every step
 *
 * Held: what a process reads is what its feeders wrote, one after the other, each from its first byte and without a
 * hole; a ticket that succeeds has reached the pipe, and what is pending counts no less than what has not; once
 * everything has been read all of it has arrived, and whoever feeds can write again; output is in place, and all of it
 * there before EXIT; nobody is LOST of the protocol; each execution has one last event; nothing is left in the end.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/alone.h"
#include "tests/lib/fds.h"
#include "tests/lib/init_alone.h"

enum {
	BOXES = 2,
	HANDLES = 15, /* in one input, so that each byte of stdin tells whose it is */
	EXECS = HANDLES,
	TICKETS = 32,
	STEPS_MAX = 400,
	SETTLED_TURNS = 12, /* without anything happening */
	END_TURNS = 60,
	BIG = 256 << 10,
};

struct handle {
	conker_exec *e; /* NULL: freed, or never opened */
	int box, ends, frees;
	int is_view, feeds, exact; /* exact: no output may be missing */
	int left;                  /* detached, freed or its connection gone: no more is promised */
	int closed, failed;        /* its stdin: by us; by whatever made a write say so */
	uint64_t exec;             /* 0: not known yet */
	uint64_t written, arrived; /* bytes of stdin */
	uint64_t out_at;
	uint64_t ticket[TICKETS]; /* where each ends */
	size_t n_tickets;
};

struct model {           /* an execution, from outside */
	int feeder;      /* whose bytes came last; 0: nobody's */
	int has_in;      /* it was started with stdin */
	int in_over;     /* somebody has ended it */
	uint64_t out_at; /* bytes that it has written */
};

static struct {
	const uint8_t *script;
	size_t left;
	int steps, settled, ending, turns;
	struct sockaddr_un address;
	socklen_t address_len;
	conker_box *box[BOXES];
	int lazy[BOXES];
	struct handle handle[HANDLES + 1]; /* from 1 */
	int n_handles;
	struct model exec[EXECS + 1]; /* by number */
} t;

/* ---- bytes that tell where they belong ---- */

static uint8_t in_byte(int h, uint64_t at)
{
	return (uint8_t)(h << 4 | (int)(at % 13));
}

static uint8_t out_byte(uint64_t exec, uint64_t at)
{
	return (uint8_t)(exec * 16 + at % 251);
}

/* The first later feeder whose byte this can be. */
static int next_feeder(uint64_t exec, uint8_t byte)
{
	int h = byte >> 4;
	const struct handle *f = &t.handle[h];

	assert(h > t.exec[exec].feeder && f->feeds && f->written > 0);
	assert(f->exec == exec || (!f->is_view && f->exec == 0));
	if (t.exec[exec].feeder)
		assert(t.handle[t.exec[exec].feeder].left);
	return h;
}

static void take_input(uint64_t exec, const uint8_t *data, size_t len)
{
	struct model *m = &t.exec[exec];

	for (size_t i = 0; i < len; i++) {
		if (m->feeder != data[i] >> 4)
			m->feeder = next_feeder(exec, data[i]);
		struct handle *f = &t.handle[m->feeder];
		assert(data[i] == in_byte(m->feeder, f->arrived) && f->arrived < f->written);
		f->arrived++;
	}
}

/* Returns whether there was something. */
static int read_input(uint64_t exec, size_t most)
{
	static uint8_t buf[BIG];
	ssize_t n = init_alone_read(exec, buf, min_(most, sizeof(buf)));

	if (n > 0)
		take_input(exec, buf, (size_t)n);
	return n > 0;
}

static void write_output(uint64_t exec, size_t len)
{
	uint8_t buf[4096];
	struct model *m = &t.exec[exec];

	len = min_(len, sizeof(buf));
	for (size_t i = 0; i < len; i++)
		buf[i] = out_byte(exec, m->out_at + i);
	ssize_t n = init_alone_write(exec, buf, len);
	m->out_at += n > 0 ? (size_t)n : 0;
}

/* ---- what the library says ---- */

static struct handle *of(void *user)
{
	return &t.handle[(uintptr_t)user];
}

static void on_started(struct handle *h, conker_exec *e)
{
	uint64_t id = conker_exec_id(e);

	assert(id > 0 && id <= EXECS && (h->exec == 0 || h->exec == id));
	h->exec = id;
	if (!h->is_view)
		t.exec[id].has_in = h->feeds;
	t.exec[id].in_over |= h->feeds && h->closed;
}

static void on_output(struct handle *h, const conker_output *o)
{
	const uint8_t *data = o->bytes;
	uint64_t at = o->offset;

	assert(h->exact ? at == h->out_at : at >= h->out_at);
	for (size_t i = 0; i < o->len; i++)
		assert(data[i] == out_byte(h->exec, at + i));
	h->out_at = at + o->len;
	assert(h->out_at <= t.exec[h->exec].out_at);
}

static void on_written(struct handle *h, const conker_written *d)
{
	assert(d->ticket >= 1 && (size_t)d->ticket <= h->n_tickets);
	if (d->error)
		return;
	while (read_input(h->exec, BIG))
		;
	if (h->left || t.exec[h->exec].in_over)
		return;
	assert(h->arrived >= h->ticket[d->ticket - 1]);
	assert(conker_exec_stdin_pending(h->e) >= h->written - h->arrived);
}

static void on_lost(const struct handle *h, const conker_failure *f)
{
	int known = f->error == ESRCH || f->error == EBUSY || f->error == EAGAIN;

	if (f->error == EPROTO)
		fprintf(stderr, "%s\n", f->text);
	assert(f->error != EPROTO);
	assert(known || h->left);
}

static void on_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
		     void *user)
{
	struct handle *h = of(user);

	assert(h->ends == 0 && h->frees == 0);
	switch (ev) {
	case CONKER_STARTED: on_started(h, e); break;
	case CONKER_STDOUT: on_output(h, &data->output); break;
	case CONKER_WRITTEN: on_written(h, &data->written); break;
	case CONKER_LOST: on_lost(h, &data->failure); break;
	case CONKER_EXIT: assert(data->status.stdout_bytes == t.exec[h->exec].out_at); break;
	case CONKER_GAP: assert(!h->exact); break;
	default: break;
	}
	h->ends += ev == CONKER_EXIT || ev == CONKER_LOST || ev == CONKER_DETACHED;
}

static void on_free(void *user)
{
	of(user)->frees++;
}

/* ---- steps ---- */

static void open_box(int i)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&t.address, t.address_len) < 0)
		abort();
	t.box[i] = alone_open(fd);
	if (!t.box[i])
		abort();
}

static void leave(struct handle *h)
{
	h->left = 1;
	h->e = conker_exec_free(h->e);
}

static void close_box(int i)
{
	for (int h = 1; h <= t.n_handles; h++)
		if (t.handle[h].box == i && t.handle[h].e)
			leave(&t.handle[h]);
	t.box[i] = conker_box_free(t.box[i]);
}

static struct handle *new_handle(unsigned n)
{
	if (t.n_handles == HANDLES)
		return NULL;
	struct handle *h = &t.handle[++t.n_handles];

	h->box = n >> 4 & 1;
	h->feeds = n & 1;
	return h;
}

static conker_exec_cb callbacks(const struct handle *h)
{
	return (conker_exec_cb){on_event, (void *)(uintptr_t)(h - t.handle), on_free};
}

static void start(unsigned n)
{
	static const char *const argv[] = {"x", NULL};
	conker_exec_opts o = {.size = sizeof(o), .argv = argv};
	struct handle *h = new_handle(n);

	if (!h)
		return;
	o.flags = (n & 1 ? CONKER_EXEC_STDIN : 0) | (n & 2 ? CONKER_EXEC_KEEP : 0) |
		  (n & 4 ? CONKER_EXEC_MANUAL_ACK : 0);
	o.window_bytes = n & 8 ? WINDOW_MIN_BYTES : 0;
	h->exact = 1;
	if (conker_exec_start(t.box[h->box], &o, callbacks(h), &h->e) < 0)
		abort();
}

static void attach(unsigned n, uint64_t exec)
{
	conker_view_opts o = {.size = sizeof(o)};
	struct handle *h = exec ? new_handle(n) : NULL;

	if (!h)
		return;
	o.flags = (n & 1 ? CONKER_VIEW_STDIN : 0) | (n & 2 ? CONKER_VIEW_FOLLOW : 0) |
		  (n & 4 ? CONKER_VIEW_MANUAL_ACK : 0) | (n & 8 ? CONKER_VIEW_LOSSLESS : 0);
	h->is_view = 1;
	h->exec = exec;
	const conker_exec_ref ref = {.id = exec};
	if (conker_exec_attach(t.box[h->box], &ref, &o, callbacks(h), &h->e) < 0)
		abort();
}

static const uint8_t *bytes_of(const struct handle *h, size_t len)
{
	static uint8_t buf[BIG];

	assert(len <= sizeof(buf));
	for (size_t i = 0; i < len; i++)
		buf[i] = in_byte((int)(h - t.handle), h->written + i);
	return buf;
}

/* Bytes that were taken; only then is the state worth a look. */
static ssize_t write_some(struct handle *h, size_t len)
{
	ssize_t n = conker_exec_write(h->e, bytes_of(h, len), len);

	h->written += n > 0 ? (size_t)n : 0;
	h->failed |= n < 0 && n != -EAGAIN;
	return n;
}

static void write_all(struct handle *h, size_t len)
{
	if (h->n_tickets == TICKETS)
		return;
	int64_t ticket = conker_exec_write_all(h->e, bytes_of(h, len), len);

	h->failed |= ticket < 0;
	if (ticket < 0)
		return;
	assert((uint64_t)ticket == h->n_tickets + 1);
	h->written += len;
	h->ticket[h->n_tickets++] = h->written;
}

static void close_stdin(struct handle *h)
{
	h->closed = 1;
	if (h->feeds && h->exec)
		t.exec[h->exec].in_over = 1;
	(void)conker_exec_close_stdin(h->e);
}

static void detach(struct handle *h)
{
	h->left = 1;
	(void)conker_exec_detach(h->e);
}

static void handle_step(unsigned kind, struct handle *h, unsigned n)
{
	if (!h || !h->e)
		return;
	switch (kind) {
	case 2: (void)write_some(h, n * 1024); break;
	case 3: write_all(h, n * 512); break;
	case 4: close_stdin(h); break;
	case 5: detach(h); break;
	case 6: leave(h); break;
	case 11: (void)conker_exec_kill(h->e, n & 1 ? SIGKILL : SIGTERM, (int)(n >> 1) % 3); break;
	default: (void)conker_exec_ack(h->e, CONKER_STDOUT, n * 64); break;
	}
}

static void process_step(unsigned kind, uint64_t exec, unsigned n)
{
	if (!exec)
		return;
	switch (kind) {
	case 7: (void)read_input(exec, 1 + n * 1024); break;
	case 8: write_output(exec, 1 + n * 16); break;
	case 9:
		t.exec[exec].in_over = 1;
		init_alone_close_stdin(exec);
		break;
	default: t.exec[exec].in_over = 1; init_alone_end(exec, (int)n);
	}
}

static void dispatch(int i)
{
	(void)conker_box_dispatch(t.box[i]);
}

static void next_step(void)
{
	unsigned kind = t.script[0] % 16, which = t.script[0] / 16, n = t.script[1];
	uint64_t started = init_alone_started();
	uint64_t exec = started ? 1 + which % started : 0;
	struct handle *h = t.n_handles ? &t.handle[1 + which % (unsigned)t.n_handles] : NULL;

	t.script += 2;
	t.left -= 2;
	if (kind == 0)
		start(n);
	else if (kind == 1)
		attach(n, exec);
	else if (kind >= 7 && kind <= 10)
		process_step(kind, exec, n);
	else if (kind == 13) {
		close_box(n & 1);
		open_box(n & 1);
	} else if (kind == 14)
		dispatch(n & 1);
	else if (kind == 15)
		t.lazy[n & 1] = !t.lazy[n & 1];
	else
		handle_step(kind, h, n);
}

/* ---- the end ---- */

static int count_arrived(void)
{
	int n = 0;

	for (uint64_t x = 1; x <= init_alone_started(); x++)
		while (read_input(x, BIG))
			n++;
	return n;
}

/* Whether all that is promised to whoever feeds is still promised. */
static int is_owed(const struct handle *h)
{
	return h->e && h->feeds && h->exec && !h->left && !h->ends && !h->failed;
}

static void check_settled(void)
{
	for (int i = 1; i <= t.n_handles; i++) {
		struct handle *h = &t.handle[i];

		if (!is_owed(h) || !t.exec[h->exec].has_in || t.exec[h->exec].in_over)
			continue;
		assert(h->arrived == h->written);
		assert(conker_exec_stdin_pending(h->e) <
		       STDIN_WINDOW_BYTES / 4); /* it need not say all */
		assert(write_some(h, 1) == 1);
	}
}

static void end_all(void)
{
	for (int i = 0; i < BOXES; i++)
		close_box(i);
	for (int i = 1; i <= t.n_handles; i++)
		assert(t.handle[i].frees == 1);
	init_alone_end_all();
	t.ending = 1;
}

/* A script, then everything is read until nothing moves, then the end. */
static int next(void *user)
{
	(void)user;
	if (t.ending) {
		init_alone_end_all(); /* those too that were just being started */
		return t.turns++ < END_TURNS;
	}
	if (t.left >= 2 && t.steps++ < STEPS_MAX) {
		next_step();
		for (int i = 0; i < BOXES; i++)
			if (!t.lazy[i])
				dispatch(i);
		return 1;
	}
	for (int i = 0; i < BOXES; i++)
		t.settled = conker_box_dispatch(t.box[i]) > 0 ? 0 : t.settled;
	t.settled = count_arrived() > 0 ? 0 : t.settled + 1;
	if (t.settled == SETTLED_TURNS) {
		check_settled();
		end_all();
	}
	return 1;
}

/* ---- one input ---- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int fds = open_fds();

	memset(&t, 0, sizeof(t));
	t.script = data;
	t.left = len;
	int fd = alone_listen(&t.address, &t.address_len);
	if (fd < 0)
		abort();
	for (int i = 0; i < BOXES; i++)
		open_box(i);
	init_alone_serve(fd, next, NULL);
	close(fd);
	assert(open_fds() <= fds);
	return 0;
}
