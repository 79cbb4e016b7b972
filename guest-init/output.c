/* output.c - see output.h. */
#include "guest-init/output.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "guest-init/server.h"
#include "guest-init/sys.h"

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

/* 1: as much as there was, or nothing for now; 0: the end. */
static int read_some(struct server *s, struct exec *x, int k, size_t want)
{
	ssize_t n = read(x->out[k].fd, s->stage + OUTPUT_HEAD_BYTES, want);

	if (n > 0)
		view_deliver(s, x, k, (size_t)n);
	return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

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
		if (read_some(s, x, k, want)) {
			if (x->state == EXEC_LEAVING)
				exec_check_output_end(s, x);
			return;
		}
	}
	output_close(s, x, k); /* hung up and empty; a terminal says EIO */
	exec_check_output_end(s, x);
}

void output_rearm(struct server *s, struct exec *x)
{
	for (int k = 0; k < 2; k++) {
		struct exec_out *o = &x->out[k];

		if (o->fd < 0 || o->armed || view_room(s, x, k) == 0)
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
