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
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "guest-init/server.h"
#include "guest-init/sys.h"

enum { PROCESSES_MAX = EXEC_MAX, QUIET_TURNS = 400, FDS_KEPT_MAX = 2, IDLE_MS = 30000 };

/* ---- the world around the server ---- */

struct process {
	int alive, ended; /* alive: not reaped */
	int pidfd;        /* the server's, an eventfd */
	int end_fd;       /* ours of the same */
	int out_fd;       /* its stdout, or -1 */
	int in_fd;
	int cg, status;
};

static struct {
	struct server *server;
	const uint8_t *script;
	size_t left;
	int64_t skew_us;
	int64_t passes_us; /* so much time the server is ready to wait */
	int listen_fd, bad, good, deaf, ending, turns, over;
	int frozen, fails_to_freeze;
	unsigned answers, asked;
	struct sockaddr_un address;
	struct process process[PROCESSES_MAX];
	uint8_t used[CG_MAX];
} w;

static long raw(long n, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	if (ret < 0 && ret > -4096) {
		errno = (int)-ret;
		return -1;
	}
	return ret;
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	int r = (int)raw(SYS_clock_gettime, clock, (long)ts, 0, 0, 0, 0);
	int64_t ns = ts->tv_nsec + w.skew_us * 1000;

	ts->tv_sec += ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
	return r;
}

/* Of the machine that fuzzes. */
int clock_settime(clockid_t clock, const struct timespec *ts)
{
	assert(clock == CLOCK_REALTIME && ts->tv_nsec >= 0 && ts->tv_nsec < 1000000000);
	return 0;
}

int sethostname(const char *name, size_t len)
{
	assert(len <= HOSTNAME_MAX_BYTES && strnlen(name, len) == len);
	return 0;
}

/* ---- processes ---- */

static struct process *process_of(int pidfd)
{
	for (struct process *p = w.process; p < w.process + PROCESSES_MAX; p++)
		if (p->alive && p->pidfd == pidfd)
			return p;
	return NULL;
}

static void close_if(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void end_process(struct process *p, int status)
{
	if (!p->alive || p->ended)
		return;
	p->ended = 1;
	p->status = status;
	close_if(&p->out_fd);
	close_if(&p->in_fd);
	(void)eventfd_write(p->end_fd, 1);
	close_if(&p->end_fd);
}

static long wait_process(int pidfd, siginfo_t *si)
{
	struct process *p = process_of(pidfd);

	if (!p || !p->ended) {
		errno = EAGAIN;
		return -1;
	}
	si->si_code = p->status < 256 ? CLD_EXITED : CLD_KILLED;
	si->si_status = p->status & 255;
	p->alive = 0;
	return 0;
}

/* sys.h's calls about processes. Reads arguments that were not passed, as libc's own does. */
__attribute__((no_sanitize("address"))) long syscall(long n, ...)
{
	va_list ap;
	long a[6];

	va_start(ap, n);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (n == SYS_waitid)
		return (a[3] & WNOHANG) ? 0 : wait_process((int)a[1], (siginfo_t *)a[2]);
	if (n == SYS_pidfd_send_signal) {
		if ((int)a[1] == SIGKILL && process_of((int)a[0]))
			end_process(process_of((int)a[0]), 256 + SIGKILL);
		return 0;
	}
	return raw(n, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int copy_fd(int fd)
{
	return fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
}

/* What spawn_end() will say is in the area until then, as with the real one; "!" fails there, "?" at once. */
void spawn_begin(struct spawn_area *a, const struct spawn_req *req, struct spawn_result *ret)
{
	struct process *p = w.process;

	assert(!w.frozen);
	assert(a->tid == 0); /* the one before has been waited for */
	memset(ret, 0, sizeof(*ret));
	ret->pidfd = -1;
	while (p < w.process + PROCESSES_MAX && p->alive)
		p++;
	if (w.ending || p == w.process + PROCESSES_MAX || req->argv[0][0] == '?') {
		ret->error = ENOENT;
		ret->step = "clone";
		return;
	}
	a->tid = 1;
	a->error = req->argv[0][0] == '!' ? ENOENT : 0;
	*p = (struct process){.alive = 1, .pidfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	p->end_fd = copy_fd(p->pidfd);
	p->out_fd = copy_fd(req->tty_fd >= 0 ? req->tty_fd : req->out_fd);
	p->in_fd = copy_fd(req->in_fd);
	p->cg = req->cgroup_fd;
	ret->pidfd = p->pidfd;
	ret->pid = (pid_t)(p - w.process) + 2;
}

void spawn_end(struct spawn_area *a, struct spawn_result *ret)
{
	assert(a->tid == 1);
	a->tid = 0;
	ret->box_pid = ret->pid;
	ret->error = a->error;
	ret->step = "exec";
	if (ret->error == 0)
		return;
	struct process *p = process_of(ret->pidfd);
	if (p) {
		end_process(p, 127);
		p->alive = 0;
	}
	close(ret->pidfd);
	ret->pidfd = -1;
}

/* ---- control groups ---- */

void cg_init(struct cg *c, int box_fd, const struct cg_limits *each)
{
	c->box_fd = box_fd;
	c->each = *each;
}

int cg_get(struct cg *c, const struct cg_limits *l)
{
	(void)l;
	for (int i = 0; i < CG_MAX; i++) {
		if (w.used[i])
			continue;
		w.used[i] = 1;
		c->group[i].dir_fd = i;
		return i;
	}
	return -EAGAIN;
}

void cg_put(struct cg *c, int i)
{
	(void)c;
	assert(w.used[i]);
	w.used[i] = 0;
}

int cg_populated(struct cg *c, int i)
{
	(void)c;
	for (struct process *p = w.process; p < w.process + PROCESSES_MAX; p++)
		if (p->alive && !p->ended && p->cg == i)
			return 1;
	return 0;
}

void cg_kill(struct cg *c, int i)
{
	(void)c;
	for (struct process *p = w.process; p < w.process + PROCESSES_MAX; p++)
		if (p->alive && p->cg == i)
			end_process(p, 256 + SIGKILL);
}

int cg_signal(struct cg *c, int i, int signo)
{
	(void)signo;
	return cg_populated(c, i) ? 0 : -ESRCH;
}

int cg_left_behind(struct cg *c, int i)
{
	return cg_populated(c, i);
}

int cg_fd(struct cg *c, int i, enum cg_file f)
{
	(void)c, (void)i, (void)f;
	return -ENOENT;
}

int cg_limit_cpu(struct cg *c, int i, uint32_t permille)
{
	(void)c, (void)i;
	return permille == 1 ? -EOPNOTSUPP : 0;
}

void cg_tidy(struct cg *c)
{
	(void)c;
}

void cg_spoil(struct cg *c, int i)
{
	(void)c, (void)i;
}

int cg_freezer_open(const struct cg *c, struct cg_freezer *ret)
{
	(void)c;
	ret->flag_fd = eventfd(0, EFD_CLOEXEC);
	ret->events_fd = eventfd(0, EFD_CLOEXEC);
	return 0;
}

/* Its flag tells who may be started. */
int cg_freezer_set(const struct cg_freezer *f, int on)
{
	(void)f;
	w.frozen = on;
	return 0;
}

/* Always, so that the flag tells. */
int cg_freezer_has_any(const struct cg_freezer *f)
{
	(void)f;
	return 1;
}

int cg_freezer_done(const struct cg_freezer *f)
{
	(void)f;
	return !w.fails_to_freeze;
}

static int ring(void)
{
	assert(w.frozen);
	return eventfd(0, EFD_CLOEXEC);
}

void cg_usage(struct cg *c, int i, struct cg_usage *ret)
{
	(void)c, (void)i;
	memset(ret, 0, sizeof(*ret));
}

uint32_t cg_usage_end(struct cg *c, int i, const struct cg_main *m, struct cg_usage *sum)
{
	(void)c, (void)i, (void)m, (void)sum;
	return 0;
}

void cg_usage_add(struct cg_usage *sum, const struct cg_usage *u)
{
	(void)sum, (void)u;
}

void cg_usage_box(struct cg *c, struct cg_usage *ret)
{
	cg_usage(c, 0, ret);
}

/* ---- clients ---- */

static int dial(void)
{
	static const uint8_t hello[] = {4, 0, 0, 0, 0x12, 2, 8, PROTO_VERSION};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert(fd >= 0);
	if (connect(fd, (struct sockaddr *)&w.address, sizeof(w.address)) < 0)
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

	if (send(w.good, ping, sizeof(ping), MSG_NOSIGNAL) == (ssize_t)sizeof(ping)) {
		w.asked++;
		return;
	}
	assert(w.server->freeze.n > 0); /* it was thrown out, which only Resume may do */
	close(w.good);
	w.good = dial();
}

static void send_bytes(const uint8_t *data, size_t n)
{
	(void)!send(w.bad, data, n, MSG_NOSIGNAL);
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
		w.deaf = !w.deaf;
		w.fails_to_freeze = n % 2;
	} else if (n < 140) {
		close(w.bad);
		w.bad = dial();
		w.deaf = 0;
	} else {
		ask();
	}
}

static void next_step(void)
{
	unsigned kind = w.script[0] % 8;
	uint8_t n = w.left > 1 ? w.script[1] : 0;
	size_t skip = min_(w.left, (size_t)2);

	w.script += skip;
	w.left -= skip;
	if (kind <= 4) {
		size_t len = min_((size_t)n, w.left);

		if (kind < 4)
			send_frame(w.script, len);
		else
			send_bytes(w.script, len);
		w.script += len;
		w.left -= len;
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
	close(w.bad);
	w.bad = -1;
}

/* The server has nothing to do. Returns what its wait is to return. */
static int on_quiet(int timeout_ms)
{
	if (timeout_ms != 0)
		w.skew_us += timeout_ms < 0 ? 1000000 : ms_to_us(timeout_ms);
	if (w.bad >= 0 && !w.deaf)
		(void)drain(w.bad);
	w.answers += (unsigned)(drain(w.good) > 0);
	if (w.left > 0) {
		next_step();
		return 0;
	}
	if (!w.ending)
		begin_the_end();
	for (struct process *p = w.process; p < w.process + PROCESSES_MAX; p++)
		end_process(p, 0);
	if (w.turns++ < QUIET_TURNS)
		return 0;
	w.over = 1;
	errno = EBADF;
	return -1;
}

int epoll_wait(int ep, struct epoll_event *ev, int max, int timeout_ms)
{
	int n = (int)raw(SYS_epoll_wait, ep, (long)ev, max, 0, 0, 0);

	return n ? n : on_quiet(timeout_ms);
}

int poll(struct pollfd *p, nfds_t n, int timeout_ms)
{
	int r = (int)raw(SYS_poll, (long)p, (long)n, 0, 0, 0, 0);

	return r ? r : on_quiet(timeout_ms);
}

/* ---- one input ---- */

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void open_world(const uint8_t *data, size_t len)
{
	memset(&w, 0, sizeof(w));
	w.script = data;
	w.left = len;
	w.address.sun_family = AF_UNIX;
	(void)snprintf(w.address.sun_path + 1, sizeof(w.address.sun_path) - 1,
		       "conker-fuzz-init-%d", getpid());
	w.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(w.listen_fd, (struct sockaddr *)&w.address, sizeof(w.address)) < 0 ||
	    listen(w.listen_fd, 16) < 0)
		abort();
	w.good = dial();
	w.bad = dial();
}

static void check_server(struct server *s)
{
	unsigned waiting = 0;

	for (unsigned i = 0; i < s->n_live; i++)
		waiting += s->exec[s->live[i]].restart.start != NULL; /* for a day not yet come */
	assert(s->n_live == waiting);
	assert(s->views.n == 0);
	while (s->n_live > 0)
		exec_release(s, &s->exec[s->live[0]]);
	for (int i = 0; i < CG_MAX; i++)
		assert(!w.used[i]);
	assert(w.answers > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int fds = count_fds(), first_fd = copy_fd(0);
	struct cg_limits none = {0};

	close(first_fd);
	open_world(data, len);
	struct server *s = server_new();
	if (!s)
		abort();
	w.server = s;
	s->box = (struct box){-1, -1, eventfd(0, EFD_CLOEXEC),
			      open("/dev/pts", O_DIRECTORY | O_CLOEXEC)};
	s->self_path = "/nowhere";
	cg_init(&s->cg, -1, &none);
	s->idle = (struct idle){.idle_ms = IDLE_MS, .suspends = 1, .since_us = now_us()};
	s->freeze.ring = ring;
	if (server_run(s, w.listen_fd) != -EBADF)
		assert(s->power_off_us); /* it was asked to */
	else
		check_server(s);
	w.ending = 1;
	for (struct process *p = w.process; p < w.process + PROCESSES_MAX; p++)
		end_process(p, 0);
	if (w.bad >= 0)
		close(w.bad);
	close(w.good);
	close(w.listen_fd);
	close(s->ep);
	if (s->freeze.is_open) {
		close(s->freeze.freezer.flag_fd);
		close(s->freeze.freezer.events_fd);
	}
	if (s->freeze.ring_fd > 0)
		close(s->freeze.ring_fd);
	close(s->box.reaper);
	close(s->box.pts_fd);
	if (w.over)
		assert(count_fds() <= fds + FDS_KEPT_MAX + 1);
	(void)raw(SYS_close_range, first_fd, ~0U, 0, 0, 0, 0); /* after a power-off */
	(void)munmap(s, sizeof(*s));
	w.skew_us = 0;
	return 0;
}
