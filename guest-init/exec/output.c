/* output.c - see output.h. */
#include "guest-init/exec/output.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "guest-init/serve/server.h"
#include "guest-init/sys/sys.h"

static void disarm(struct server *s, struct exec *x, int k)
{
	struct exec_out *o = &x->out[k];

	if (s->young == x)
		server_graduate(s);
	if (o->armed)
		server_unwatch(s, o->fd);
	o->armed = 0;
}

/* Closing a pipe takes it out of the epoll set. A terminal's master has a second descriptor, for
 * input, and stays in the set until both are closed, so it is taken out by hand. */
void output_close(struct server *s, struct exec *x, int k)
{
	struct exec_out *o = &x->out[k];

	if (o->fd < 0)
		return;
	if (x->tty)
		disarm(s, x, k);
	close(o->fd);
	o->fd = -1;
	o->armed = 0;
	o->due_us = 0;
	output_close_writer(o);
}

void output_close_writer(struct exec_out *o)
{
	if (o->wr >= 0)
		close(o->wr);
	o->wr = -1;
}

void output_main_ended(struct server *s, struct exec *x)
{
	const struct pipe_ends e[2] = {{x->out[0].fd, x->out[0].wr}, {x->out[1].fd, x->out[1].wr}};
	unsigned taken = pipes_put(&s->pipes, e);

	for (int k = 0; k < 2; k++) {
		struct exec_out *o = &x->out[k];

		if (!(taken >> k & 1)) {
			output_close_writer(o);
			continue;
		}
		if (s->young != x)
			disarm(s, x, k);
		o->fd = o->wr = -1;
		o->armed = 0;
	}
}

/* Bytes, 0 for nothing now, or -1: the end. */
static ssize_t read_some(struct server *s, struct exec *x, int k, size_t want)
{
	ssize_t n = read(x->out[k].fd, s->stage + OUTPUT_HEAD_BYTES, want);

	if (n > 0)
		view_deliver(s, x, k, (size_t)n);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	return n > 0 ? n : -1;
}

static void at_end(struct server *s, struct exec *x, int k)
{
	output_close(s, x, k); /* hung up and empty; a terminal says EIO */
	exec_check_output_end(s, x);
}

/* ---- terminals ---- */

enum {
	GATHER_SOON_MS = 20, /* pieces that follow each other so closely are gathered... */
	GATHER_MIN_MS = 5,   /* ...for so long at first... */
	GATHER_MAX_MS = 40,  /* ...and at last */
	GATHER_ENOUGH_BYTES = 1024,
};

/* A terminal has just said so little that it is worth waiting for more. */
static void gather(struct server *s, struct exec *x)
{
	struct exec_out *o = &x->out[0];

	if (o->armed)
		disarm(s, x, 0);
	o->gather_ms =
		o->gather_ms ? min_(o->gather_ms * 2, (uint32_t)GATHER_MAX_MS) : GATHER_MIN_MS;
	o->due_us = s->now_us + ms_to_us(o->gather_ms);
}

/* Only of one whose main process lives: its end shall not have to wait. */
static void was_read(struct server *s, struct exec *x, size_t n)
{
	struct exec_out *o = &x->out[0];
	int soon = s->now_us - o->read_us < ms_to_us(GATHER_SOON_MS);

	o->read_us = s->now_us;
	if (soon && n < GATHER_ENOUGH_BYTES && x->pidfd >= 0)
		gather(s, x);
	else
		o->gather_ms = 0;
}

/* It was gathered for long enough; looks again if that brought nothing, or as much as it could. */
static void take_gathered(struct server *s, struct exec *x)
{
	struct exec_out *o = &x->out[0];
	size_t want = view_room(s, x, 0);
	ssize_t n = 0;

	o->due_us = 0;
	if (want > 0) /* else it comes back with credit or room */
		n = read_some(s, x, 0, want);
	o->read_us = s->now_us;
	if (n < 0)
		at_end(s, x, 0);
	else if (n > 0 && n < GATHER_ENOUGH_BYTES)
		gather(s, x);
	else
		output_hurry(s, x);
}

void output_hurry(struct server *s, struct exec *x)
{
	x->out[0].due_us = 0;
	x->out[0].gather_ms = 0;
	output_rearm(s, x);
}

void output_run(struct server *s)
{
	for (unsigned i = s->n_live; i-- > 0;) { /* backwards, as one may end */
		struct exec *x = &s->exec[s->live[i]];

		if (x->out[0].due_us && x->out[0].due_us <= s->now_us) {
			exec_start_finish(s);
			take_gathered(s, x);
		}
	}
}

int64_t output_due_us(const struct server *s)
{
	int64_t due = INT64_MAX;

	for (unsigned i = 0; i < s->n_live; i++) {
		int64_t d = s->exec[s->live[i]].out[0].due_us;

		due = d && d < due ? d : due;
	}
	return due;
}

/* ---- events ---- */

void output_on_event(struct server *s, struct exec *x, int k, uint32_t revents)
{
	if (x->out[k].fd < 0)
		return;
	if (revents & EPOLLIN) {
		size_t want = view_room(s, x, k);

		if (want == 0) {
			disarm(s, x, k);
			return;
		}
		ssize_t n = read_some(s, x, k, want);

		if (n > 0 && x->tty)
			was_read(s, x, (size_t)n);
		if (n >= 0) {
			if (x->state == EXEC_LEAVING)
				exec_check_output_end(s, x);
			return;
		}
	}
	at_end(s, x, k);
}

void output_rearm(struct server *s, struct exec *x)
{
	for (int k = 0; k < 2; k++) {
		struct exec_out *o = &x->out[k];

		if (o->fd < 0 || o->armed || o->due_us || view_room(s, x, k) == 0)
			continue;
		o->armed = exec_watch(s, x, o->fd, EPOLLIN,
				      (struct ev_name){.kind = KIND_OUTPUT,
						       .stream = (uint8_t)k}) == 0;
	}
}

static int readable(const struct exec_out *o)
{
	int n = 0;

	return o->fd >= 0 && ioctl(o->fd, FIONREAD, &n) == 0 ? n : 0;
}

void output_close_drained(struct server *s, struct exec *x)
{
	for (int k = 0; k < 2; k++)
		if (readable(&x->out[k]) == 0)
			output_close(s, x, k);
}

void output_settle(struct server *s, struct exec *x)
{
	for (int k = 0; k < 2; k++)
		x->out[k].settled = exec_log(s, x, k)->end + (uint64_t)readable(&x->out[k]);
}

int output_is_over(struct server *s, struct exec *x)
{
	for (int k = 0; k < 2; k++)
		if (x->out[k].fd >= 0 &&
		    (x->state != EXEC_LEAVING || exec_log(s, x, k)->end < x->out[k].settled))
			return 0;
	return 1;
}
