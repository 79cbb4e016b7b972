/* SPDX-License-Identifier: Apache-2.0 */
/* output.c - see output.h. */
#include "guest-init/exec/output.h"

#include <sys/ioctl.h>

#include "guest-init/exec/views.h"
#include "guest-init/exec/young.h"
#include "guest-init/sys/sys.h"

static void output_disarm(struct execs *e, struct exec *x, int k)
{
	struct exec_out *o = &x->out[k];

	if (e->young == x)
		young_graduate(e);
	if (o->armed)
		poller_unwatch(e->poller, o->fd);
	o->armed = 0;
}

/* Closing a pipe takes it out of the epoll set. A terminal's master has a second descriptor, for
 * input, and stays in the set until both are closed, so it is taken out by hand. */
void output_close(struct execs *e, struct exec *x, int k)
{
	struct exec_out *o = &x->out[k];

	if (o->fd < 0)
		return;
	if (x->tty)
		output_disarm(e, x, k);
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

void output_main_ended(struct execs *e, struct exec *x)
{
	const struct pipe_ends ends[2] = {{x->out[0].fd, x->out[0].wr},
					  {x->out[1].fd, x->out[1].wr}};
	unsigned taken = pipes_put(&e->pipes, ends);

	for (int k = 0; k < 2; k++) {
		struct exec_out *o = &x->out[k];

		if (!(taken >> k & 1)) {
			output_close_writer(o);
			continue;
		}
		if (e->young != x)
			output_disarm(e, x, k);
		o->fd = o->wr = -1;
		o->armed = 0;
	}
}

/* Bytes, 0 for nothing now, or -1: the end. */
static ssize_t read_some(struct execs *e, struct exec *x, int k, size_t want)
{
	ssize_t n = read(x->out[k].fd, e->stage + OUTPUT_HEAD_BYTES, want);

	if (n > 0)
		view_deliver(e, x, k, (size_t)n);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	return n > 0 ? n : -1;
}

/* ---- terminals ---- */

enum {
	GATHER_SOON_MS = 20, /* pieces that follow each other so closely are gathered... */
	GATHER_MIN_MS = 5,   /* ...for so long at first... */
	GATHER_MAX_MS = 40,  /* ...and at last */
	GATHER_ENOUGH_BYTES = 1024,
};

/* A terminal has just said so little that it is worth waiting for more. */
static void gather(struct execs *e, struct exec *x)
{
	struct exec_out *o = &x->out[0];

	if (o->armed)
		output_disarm(e, x, 0);
	o->gather_ms =
		o->gather_ms ? min_(o->gather_ms * 2, (uint32_t)GATHER_MAX_MS) : GATHER_MIN_MS;
	o->due_us = e->poller->now_us + ms_to_us(o->gather_ms);
}

/* Only of one whose main process lives: its end shall not have to wait. */
static void was_read(struct execs *e, struct exec *x, size_t n)
{
	struct exec_out *o = &x->out[0];
	int soon = e->poller->now_us - o->read_us < ms_to_us(GATHER_SOON_MS);

	o->read_us = e->poller->now_us;
	if (soon && n < GATHER_ENOUGH_BYTES && x->pidfd >= 0)
		gather(e, x);
	else
		o->gather_ms = 0;
}

/* It was gathered for long enough; looks again if that brought nothing, or as much as it could. */
void output_take_gathered(struct execs *e, struct exec *x)
{
	struct exec_out *o = &x->out[0];
	size_t want = view_room(x, 0);
	ssize_t n = 0;

	o->due_us = 0;
	if (want > 0) /* else it comes back with credit or room */
		n = read_some(e, x, 0, want);
	o->read_us = e->poller->now_us;
	if (n < 0)
		output_close(e, x, 0);
	else if (n > 0 && n < GATHER_ENOUGH_BYTES)
		gather(e, x);
	else
		output_hurry(e, x);
}

void output_hurry(struct execs *e, struct exec *x)
{
	x->out[0].due_us = 0;
	x->out[0].gather_ms = 0;
	output_rearm(e, x);
}

/* ---- events ---- */

void output_on_event(struct execs *e, struct exec *x, int k, uint32_t revents)
{
	if (x->out[k].fd < 0)
		return;
	if (revents & EPOLLIN) {
		size_t want = view_room(x, k);

		if (want == 0) {
			output_disarm(e, x, k);
			return;
		}
		ssize_t n = read_some(e, x, k, want);

		if (n > 0 && x->tty)
			was_read(e, x, (size_t)n);
		if (n >= 0)
			return;
	}
	output_close(e, x, k); /* hung up and empty; a terminal says EIO */
}

void output_rearm(struct execs *e, struct exec *x)
{
	for (int k = 0; k < 2; k++) {
		struct exec_out *o = &x->out[k];

		if (o->fd < 0 || o->armed || o->due_us || view_room(x, k) == 0)
			continue;
		o->armed = exec_watch(e, x, o->fd, EPOLLIN, KIND_OUTPUT, k) == 0;
	}
}

static int pipe_has(const struct exec_out *o)
{
	int n = 0;

	return o->fd >= 0 && ioctl(o->fd, FIONREAD, &n) == 0 ? n : 0;
}

void output_close_drained(struct execs *e, struct exec *x)
{
	for (int k = 0; k < 2; k++)
		if (pipe_has(&x->out[k]) == 0)
			output_close(e, x, k);
}

void output_settle(struct exec *x)
{
	for (int k = 0; k < 2; k++)
		x->out[k].settled = x->log[k]->end + (uint64_t)pipe_has(&x->out[k]);
}

int output_is_over(const struct exec *x)
{
	for (int k = 0; k < 2; k++)
		if (x->out[k].fd >= 0 &&
		    (x->state != EXEC_LEAVING || x->log[k]->end < x->out[k].settled))
			return 0;
	return 1;
}
