/* SPDX-License-Identifier: Apache-2.0 */
/* init_alone.c - see init_alone.h. */
#include "tests/lib/init_alone.h"

#include <signal.h>

#include "tests/lib/init_world.h"

static struct {
	int (*next)(void *user);
	void *user;
	int over;
} t;

/* Time passes as far as the server is ready to wait. */
static int on_quiet(int timeout_ms)
{
	if (timeout_ms != 0)
		w.skew_us += timeout_ms < 0 ? 1000000 : ms_to_us(timeout_ms);
	if (t.next(t.user))
		return 0;
	t.over = 1;
	errno = EBADF;
	return -1;
}

static void check(struct server *s)
{
	assert(s->execs.n_live == 0);
	assert(s->execs.views.n == 0);
	for (int i = 0; i < CG_MAX; i++)
		assert(!w.used[i]);
	for (unsigned i = 0; i < s->clients.n_slots; i++)
		assert(s->clients.client[i].fd < 0);
}

void init_alone_serve(int listen_fd, int (*next)(void *user), void *user)
{
	const struct cg_limits none = {0};
	struct server *s = server_new();

	memset(&w, 0, sizeof(w));
	t.next = next;
	t.user = user;
	t.over = 0;
	(void)signal(SIGPIPE, SIG_IGN); /* the kernel spares PID 1 that */
	if (!s)
		abort();
	s->execs.box = (struct namespaces){-1, -1, eventfd(0, EFD_CLOEXEC), -1};
	s->execs.self.path = "/nowhere";
	cg_init(&s->execs.cg, -1, &none);
	s->freezer.ring = ring;
	if (server_run(s, listen_fd) != -EBADF || !t.over)
		abort();
	check(s);
	while (s->execs.pipes.n > 0) {
		close(s->execs.pipes.spare[--s->execs.pipes.n].rd);
		close(s->execs.pipes.spare[s->execs.pipes.n].wr);
	}
	close(s->poller.ep);
	close(s->execs.box.reaper);
	(void)munmap(s, sizeof(*s));
}

uint64_t init_alone_started(void)
{
	return w.n_started;
}

/* NULL: it has ended. */
static struct process *find(uint64_t exec)
{
	for (struct process *p = w.process; p < w.process + PROCESSES_MAX; p++)
		if (p->alive && !p->ended && p->number == exec)
			return p;
	return NULL;
}

static int is_ready(int fd, short events)
{
	struct pollfd f = {.fd = fd, .events = events};

	return raw(SYS_poll, (long)&f, 1, 0, 0, 0, 0) == 1;
}

ssize_t init_alone_read(uint64_t exec, void *buf, size_t len)
{
	struct process *p = find(exec);

	if (!p || p->in_fd < 0)
		return 0;
	return is_ready(p->in_fd, POLLIN) ? read(p->in_fd, buf, len) : -1;
}

/* As much as a pipe that has room takes without waiting. */
ssize_t init_alone_write(uint64_t exec, const void *buf, size_t len)
{
	struct process *p = find(exec);

	if (!p || p->out_fd < 0)
		return 0;
	return is_ready(p->out_fd, POLLOUT) ? write(p->out_fd, buf, min_(len, (size_t)PIPE_BUF))
					    : -1;
}

void init_alone_close_stdin(uint64_t exec)
{
	struct process *p = find(exec);

	if (p)
		close_if(&p->in_fd);
}

void init_alone_end(uint64_t exec, int code)
{
	struct process *p = find(exec);

	if (p)
		end_process(p, code);
}

void init_alone_end_all(void)
{
	w.ending = 1;
	for (struct process *p = w.process; p < w.process + PROCESSES_MAX; p++)
		end_process(p, 0);
}
