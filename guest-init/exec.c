/* exec.c - see exec.h. Starting is in start.c; here is what happens from then on. */
#include "guest-init/exec.h"

#include <assert.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>

#include "guest-init/server.h"
#include "guest-init/sys.h"

static unsigned index_of(const struct server *s, const struct exec *x)
{
	return (unsigned)(x - s->exec);
}

int exec_watch(struct server *s, const struct exec *x, int fd, uint32_t events, struct ev_name name)
{
	name.index = (uint16_t)index_of(s, x);
	name.gen = x->gen;
	return server_watch(s, EPOLL_CTL_ADD, fd, events, name);
}

/* ---- the end ---- */

static void send_exit(struct exec *x)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Exit e = CONKER__EXIT__INIT;

	e.code = x->code;
	e.signal = x->signo;
	e.timed_out = x->timed_out;
	e.duration_us = (uint64_t)(x->end_us - x->start_us);
	e.user_us = (uint64_t)x->user_us;
	e.sys_us = (uint64_t)x->sys_us;
	e.max_rss_kib = (uint64_t)x->max_rss_kib;
	m.channel = x->channel;
	m.msg_case = CONKER__SERVER_MSG__MSG_EXIT;
	m.exit = &e;
	client_send(x->client, &m);
}

static void close_input(struct server *s, struct exec *x)
{
	if (x->in_fd < 0)
		return;
	if (x->in_armed)
		server_unwatch(s, x->in_fd);
	close(x->in_fd);
	x->in_fd = -1;
	x->in_armed = 0;
}

static void disarm_output(struct server *s, struct exec_out *o)
{
	if (o->armed)
		server_unwatch(s, o->fd);
	o->armed = 0;
}

/* Closing a pipe takes it out of the epoll set. A terminal's master has a second descriptor, for
 * input, and stays in the set until both are closed, so it is taken out by hand. */
static void close_output(struct server *s, struct exec *x, struct exec_out *o)
{
	if (o->fd < 0)
		return;
	if (x->tty)
		disarm_output(s, o);
	close(o->fd);
	o->fd = -1;
	o->armed = 0;
}

void exec_release(struct server *s, struct exec *x)
{
	int i = 0;

	close_input(s, x);
	close_output(s, x, &x->out[0]);
	close_output(s, x, &x->out[1]);
	if (x->pidfd >= 0)
		close(x->pidfd);
	x->pidfd = -1;
	if (x->cg >= 0)
		cg_put(&s->cg, x->cg);
	x->cg = -1;
	if (x->in_used)
		(void)madvise(s->in_mem[index_of(s, x)], STDIN_WINDOW_BYTES, MADV_DONTNEED);
	x->gen++;
	x->client = NULL;
	x->state = EXEC_FREE;
	while (s->active[i] != index_of(s, x))
		i++;
	s->active[i] = s->active[--s->n_active];
	s->active[s->n_active] = (uint16_t)index_of(s, x);
}

/* ---- transitions ---- */

/* Nobody in the cgroup any more: what is in the pipes now is all that will come, even if somebody
 * elsewhere in the box got hold of a writing end. */
static void check_drained(struct server *s, struct exec *x)
{
	x->check_ms = min_(x->check_ms * 2, (uint32_t)DRAIN_CHECK_MAX_MS);
	x->deadline_us = s->now_us + ms_to_us(x->check_ms);
	if (cg_populated(&s->cg, x->cg)) {
		cg_kill(&s->cg, x->cg);
		return;
	}
	for (int i = 0; i < 2; i++) {
		int n = 0;

		if (x->out[i].fd >= 0 && ioctl(x->out[i].fd, FIONREAD, &n) == 0 && n == 0)
			close_output(s, x, &x->out[i]);
	}
}

static void transit(struct server *s, struct exec *x, enum exec_event event)
{
	struct exec_step step = exec_fsm(x->state, event);

	x->state = step.next;
	switch (step.action) {
	case ACT_NONE: break;
	case ACT_BUG: assert(0); break;
	case ACT_ARM:
		x->deadline_us = x->timeout_ms ? s->now_us + ms_to_us(x->timeout_ms) : 0;
		break;
	case ACT_TERM:
		x->timed_out = 1;
		(void)!cg_signal(&s->cg, x->cg, SIGTERM); /* all dead: the exit is on its way */
		x->deadline_us = s->now_us + ms_to_us(x->grace_ms);
		break;
	case ACT_KILL:
		cg_kill(&s->cg, x->cg);
		x->deadline_us = s->now_us + ms_to_us(KILL_AGAIN_MS);
		break;
	case ACT_DRAIN:
		if (cg_populated(&s->cg, x->cg))
			cg_kill(&s->cg, x->cg);
		close_input(s, x);
		x->check_ms = DRAIN_CHECK_MS;
		x->deadline_us = s->now_us + ms_to_us(DRAIN_CHECK_MS);
		break;
	case ACT_CHECK: check_drained(s, x); break;
	case ACT_REPORT:
		if (x->client)
			send_exit(x);
		exec_release(s, x);
		break;
	}
}

/* Raises EV_OUTPUT_END when no output is left; also after the exit, when it may have ended before. */
static void check_output_end(struct server *s, struct exec *x)
{
	if (x->state != EXEC_FREE && x->out[0].fd < 0 && x->out[1].fd < 0)
		transit(s, x, EV_OUTPUT_END);
}

void exec_started(struct server *s, struct exec *x)
{
	transit(s, x, EV_STARTED);
}

void exec_on_exit(struct server *s, struct exec *x)
{
	struct rusage ru = {0};
	siginfo_t si = {0};

	if (sys_waitid(x->pidfd, &si, &ru) < 0)
		return;
	close(x->pidfd);
	x->pidfd = -1;
	if (si.si_code == CLD_EXITED)
		x->code = si.si_status;
	else
		x->signo = si.si_status;
	x->end_us = s->now_us;
	x->user_us = ru.ru_utime.tv_sec * INT64_C(1000000) + ru.ru_utime.tv_usec;
	x->sys_us = ru.ru_stime.tv_sec * INT64_C(1000000) + ru.ru_stime.tv_usec;
	x->max_rss_kib = ru.ru_maxrss;
	transit(s, x, EV_EXITED);
	check_output_end(s, x);
}

void exec_on_timer(struct server *s, struct exec *x)
{
	x->deadline_us = 0;
	transit(s, x, EV_TIMEOUT);
	check_output_end(s, x);
}

static void lose_client(struct server *s, struct exec *x)
{
	x->client = NULL;
	close_input(s, x);
	close_output(s, x, &x->out[0]);
	close_output(s, x, &x->out[1]);
	transit(s, x, EV_CLIENT_GONE);
	check_output_end(s, x);
}

void exec_client_gone(struct server *s, struct client *c)
{
	for (int i = s->n_active - 1; i >= 0;
	     i--) /* backwards: a release moves the last one here */
		if (s->exec[s->active[i]].client == c)
			lose_client(s, &s->exec[s->active[i]]);
}

void exec_kill_all(struct server *s)
{
	for (int i = 0; i < s->n_active; i++)
		cg_kill(&s->cg, s->exec[s->active[i]].cg);
}

/* ---- output ---- */

/* Reads straight into the frame: the head's length is known but for its length fields, which a short
 * read makes shorter; only then is the data moved. */
static ssize_t read_frame(struct exec *x, int stream, size_t want)
{
	struct exec_out *o = &x->out[stream];
	struct outbox *box = &x->client->out;
	Conker__Stream name = stream ? CONKER__STREAM__STDERR : CONKER__STREAM__STDOUT;
	uint8_t scratch[OUTPUT_HEAD_BYTES];
	size_t head = codec_output_head(scratch + sizeof(scratch), want, x->channel, name,
					o->flow.offset);
	uint8_t *frame = outbox_room(box, head + want);
	ssize_t n = read(o->fd, frame + head, want);

	if (n <= 0)
		return n < 0 ? -errno : 0;

	size_t real = codec_output_head(scratch + sizeof(scratch), (size_t)n, x->channel, name,
					o->flow.offset);
	if (real != head)
		memmove(frame + real, frame + head, (size_t)n);
	memcpy(frame, scratch + sizeof(scratch) - real, real);
	outbox_commit(box, real + (size_t)n);
	out_flow_sent(&o->flow, (size_t)n);
	x->client->urgent = 1;
	return n;
}

void exec_on_output(struct server *s, struct exec *x, int stream, uint32_t revents)
{
	struct exec_out *o = &x->out[stream];
	size_t want = min_((size_t)o->flow.credit_bytes, (size_t)FRAME_DATA_BYTES);

	if (o->fd < 0)
		return;
	if (revents & EPOLLIN) {
		int full = outbox_pending(&x->client->out) >= OUTBOX_DATA_BYTES;

		x->client->stalled |= full;
		if (full || want == 0) {
			disarm_output(s, o);
			return;
		}
		ssize_t n = read_frame(x, stream, want);
		if (n > 0 || n == -EINTR || n == -EAGAIN)
			return;
	}
	close_output(s, x, o); /* hung up and empty; a terminal says EIO */
	check_output_end(s, x);
}

static void rearm_outputs(struct server *s, struct exec *x)
{
	for (int i = 0; i < 2; i++) {
		struct exec_out *o = &x->out[i];

		if (o->fd < 0 || o->armed || o->flow.credit_bytes == 0)
			continue;
		o->armed = exec_watch(s, x, o->fd, EPOLLIN,
				      (struct ev_name){.kind = KIND_OUTPUT,
						       .stream = (uint8_t)i}) == 0;
	}
}

void exec_credit(struct server *s, struct exec *x, const Conker__Credit *m)
{
	out_flow_grant(&x->out[m->stream == CONKER__STREAM__STDERR].flow, m->bytes);
	rearm_outputs(s, x);
}

void exec_resume(struct server *s, struct client *c)
{
	for (int i = 0; i < s->n_active; i++)
		if (s->exec[s->active[i]].client == c)
			rearm_outputs(s, &s->exec[s->active[i]]);
}

/* ---- input ---- */

static void send_stdin_credit(struct exec *x)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Credit credit = CONKER__CREDIT__INIT;

	credit.bytes = in_flow_take_credit(&x->in);
	if (credit.bytes == 0)
		return;
	credit.stream = CONKER__STREAM__STDIN;
	m.channel = x->channel;
	m.msg_case = CONKER__SERVER_MSG__MSG_CREDIT;
	m.credit = &credit;
	client_send(x->client, &m);
}

/* The process closed its stdin: what is and will be sent goes nowhere, but the sender must not
 * starve. */
static void drop_input(struct server *s, struct exec *x)
{
	uint32_t n = x->in.len;

	in_flow_drop(&x->in, n);
	in_flow_done(&x->in, n);
	close_input(s, x);
}

/* How many of n bytes the process took; the rest must wait. -errno when it takes no more at all. */
static ssize_t feed(struct exec *x, const uint8_t *data, size_t n)
{
	ssize_t r = n ? write(x->in_fd, data, n) : 0;

	if (r < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	in_flow_done(&x->in, (size_t)r);
	return r;
}

/* A terminal has no end of its own: the line discipline makes one of VEOF. */
static void end_input(struct server *s, struct exec *x)
{
	static const char veof = 4;

	if (x->tty)
		(void)!write(x->in_fd, &veof, 1);
	close_input(s, x);
}

void exec_on_input(struct server *s, struct exec *x)
{
	const uint8_t *data;
	size_t n;

	if (x->in_fd < 0)
		return;
	while ((n = in_flow_peek(&x->in, &data)) > 0) {
		ssize_t r = feed(x, data, n);

		if (r < 0) {
			drop_input(s, x);
			break;
		}
		in_flow_drop(&x->in, (size_t)r);
		if ((size_t)r < n)
			break;
	}
	send_stdin_credit(x);
	if (x->in.len > 0 || x->in_fd < 0)
		return;
	if (x->in_eof) {
		end_input(s, x);
		return;
	}
	server_unwatch(s, x->in_fd);
	x->in_armed = 0;
}

int exec_stdin(struct server *s, struct exec *x, const Conker__Stdin *m, const char **ret_why)
{
	const ProtobufCBinaryData *d = &m->data;
	ssize_t r = 0;

	if (in_flow_receive(&x->in, d->len) < 0) {
		*ret_why = "more stdin than its window";
		return -EPROTO;
	}
	if (x->in_fd < 0 || x->in_eof) { /* closed, or never open */
		in_flow_done(&x->in, d->len);
		send_stdin_credit(x);
		return 0;
	}
	x->in_eof = m->eof;
	if (x->in.len == 0)
		r = feed(x, d->data, d->len);
	if (r < 0) {
		in_flow_done(&x->in, d->len);
		drop_input(s, x);
	} else if ((size_t)r < d->len) {
		in_flow_queue(&x->in, d->data + r, d->len - (size_t)r);
		x->in_used = 1;
		if (!x->in_armed)
			x->in_armed = exec_watch(s, x, x->in_fd, EPOLLOUT,
						 (struct ev_name){.kind = KIND_INPUT}) == 0;
	} else if (x->in_eof && x->in.len == 0) {
		end_input(s, x);
	}
	send_stdin_credit(x);
	return 0;
}

/* ---- requests about one that runs ---- */

void exec_resize(struct exec *x, const Conker__Resize *m)
{
	struct winsize w = {.ws_row = (uint16_t)m->rows, .ws_col = (uint16_t)m->cols};

	if (x->tty && x->out[0].fd >= 0)
		(void)ioctl(x->out[0].fd, TIOCSWINSZ, &w);
}

int exec_signal(struct server *s, struct exec *x, int signo, Conker__Scope scope)
{
	if (x->pidfd < 0)
		return -ESRCH;
	if (scope != CONKER__SCOPE__ALL)
		return sys_pidfd_signal(x->pidfd, signo,
					scope == CONKER__SCOPE__GROUP ? PIDFD_SIGNAL_GROUP : 0);
	if (signo != SIGKILL)
		return cg_signal(&s->cg, x->cg, signo);
	cg_kill(&s->cg, x->cg);
	return 0;
}

static void send_listing(struct server *s, struct exec *x, struct client *c, uint32_t channel)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__Listing l = CONKER__LISTING__INIT;
	ProtobufCBinaryData argv[EXEC_ARGV_BYTES / 2];
	const char *p = x->argv;

	for (l.n_argv = 0; l.n_argv < x->n_argv; l.n_argv++) {
		argv[l.n_argv] = (ProtobufCBinaryData){strlen(p), (uint8_t *)(uintptr_t)p};
		p += strlen(p) + 1;
	}
	l.exec = x->id;
	l.pid = (uint32_t)x->box_pid;
	l.name = (ProtobufCBinaryData){strlen(x->name), (uint8_t *)x->name};
	l.argv = argv;
	l.age_us = (uint64_t)(s->now_us - x->start_us);
	m.channel = channel;
	m.msg_case = CONKER__SERVER_MSG__MSG_LISTING;
	m.listing = &l;
	client_send(c, &m);
}

void exec_list(struct server *s, struct client *c, uint32_t channel)
{
	for (int i = 0; i < s->n_active; i++)
		if (s->exec[s->active[i]].pidfd >= 0)
			send_listing(s, &s->exec[s->active[i]], c, channel);
}

struct exec *exec_by_channel(struct server *s, const struct client *c, uint32_t channel)
{
	for (int i = 0; i < s->n_active; i++) {
		struct exec *x = &s->exec[s->active[i]];

		if (x->client == c && x->channel == channel)
			return x;
	}
	return NULL;
}

struct exec *exec_by_id(struct server *s, uint64_t id)
{
	for (int i = 0; i < s->n_active; i++)
		if (s->exec[s->active[i]].id == id)
			return &s->exec[s->active[i]];
	return NULL;
}
