/* server.c - see server.h. */
#include "guest-init/serve/server.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>

#include <linux/vm_sockets.h>

#include "guest-init/exec/stdin.h"
#include "guest-init/exec/output.h"
#include "guest-init/sys/sys.h"

enum { BATCH = 64, YOUNG_MS = 60 };

int server_watch(struct server *s, int op, int fd, uint32_t events, struct ev_name name)
{
	struct epoll_event e = {.events = events};

	memcpy(&e.data.u64, &name, sizeof(name));
	return epoll_ctl(s->ep, op, fd, &e) < 0 ? -errno : 0;
}

void server_unwatch(struct server *s, int fd)
{
	(void)epoll_ctl(s->ep, EPOLL_CTL_DEL, fd, NULL); /* fails only if it was not in the set */
}

static void init_log(struct server *s)
{
	struct sysinfo info;

	(void)sysinfo(&info); /* fails only for a bad pointer */
	uint64_t bytes = log_store_bytes((uint64_t)info.totalram * info.mem_unit);
	log_store_init(&s->log, s->log_mem, (uint32_t)(bytes / LOG_CHUNK_BYTES));
}

/* NORESERVE: the kernel must not weigh the buffers' full size against the machine's memory. */
struct server *server_new(void)
{
	struct server *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (s == MAP_FAILED)
		return NULL;
	init_log(s);
	view_table_init(&s->views);
	s->arena = (struct arena){.base = s->arena_mem, .size_bytes = sizeof(s->arena_mem)};
	return s;
}

/* Only the host: its CID is 2, whatever else can reach this port. (In tests: a Unix socket.) */
static int is_host(const struct sockaddr_vm *peer)
{
	return peer->svm_family != AF_VSOCK || peer->svm_cid == VMADDR_CID_HOST;
}

static void on_listen(struct server *s, int listen_fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_vm vm;
		struct sockaddr_storage room;
	} peer = {0};
	socklen_t len = sizeof(peer);
	int fd = accept4(listen_fd, &peer.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (!is_host(&peer.vm))
		close(fd);
	else if (listen_fd == s->forward_listen_fd)
		forward_open(s, fd);
	else
		client_open(s, fd);
}

static int on_reaper_death(struct server *s)
{
	int r = namespaces_renew(&s->box, NULL);

	return r < 0 ? r
		     : server_watch(s, EPOLL_CTL_ADD, s->box.reaper, EPOLLIN,
				    (struct ev_name){.kind = KIND_REAPER});
}

static void on_exec_event(struct server *s, struct ev_name name, uint32_t revents)
{
	struct exec *x = &s->exec[name.index];

	if (x->gen != name.gen)
		return;
	if (name.kind == KIND_EXIT)
		exec_on_exit(s, x);
	else if (name.kind == KIND_OUTPUT)
		output_on_event(s, x, name.stream, revents);
	else if (name.kind == KIND_GROUP)
		exec_on_group(s, x);
	else
		input_on_event(s, x);
}

static int on_event(struct server *s, const struct epoll_event *e)
{
	struct ev_name name;

	memcpy(&name, &e->data.u64, sizeof(name));
	switch ((enum ev_kind)name.kind) {
	case KIND_LISTEN: on_listen(s, s->listen_fd); break;
	case KIND_FORWARD_LISTEN: on_listen(s, s->forward_listen_fd); break;
	case KIND_FORWARD:
		if (s->forward[name.index].gen == name.gen)
			forward_on_event(s, name.index, name.stream, e->events);
		break;
	case KIND_REAPER: return on_reaper_death(s);
	case KIND_FREEZER: freeze_on_event(s); break;
	case KIND_CLIENT:
		if (s->client[name.index].gen == name.gen)
			client_on_event(s, &s->client[name.index], e->events);
		break;
	case KIND_EXIT:
	case KIND_OUTPUT:
	case KIND_INPUT:
	case KIND_GROUP: on_exec_event(s, name, e->events); break;
	}
	return 0;
}

/* The clocks of what is frozen stand still; exec_thawed() sets them forward. */
static void run_timers(struct server *s)
{
	if (freeze_is_on(s))
		return;
	for (unsigned i = s->n_live;
	     i-- > 0;) { /* backwards: one that ends is replaced by the last */
		struct exec *x = &s->exec[s->live[i]];

		if (x->deadline_us && x->deadline_us <= s->now_us) {
			exec_start_finish(s);
			exec_on_timer(s, x);
		}
	}
}

static void flush_clients(struct server *s)
{
	for (struct client *c = s->client; c < clients_end(s); c++)
		if (c->fd >= 0 && outbox_pending(&c->out) > 0 && !c->wants_write &&
		    (c->urgent || c->lazy_us <= s->now_us))
			client_flush(s, c);
}

/* Milliseconds until something is due, rounded up; -1: nothing is. */
static int next_timeout_ms(const struct server *s)
{
	int64_t due = s->power_off_us ? s->power_off_us : INT64_MAX;

	due = min_(due, ports_due_us(s));
	due = min_(due, idle_due_us(s));
	due = min_(due, freeze_due_us(s));
	due = min_(due, output_due_us(s));
	for (unsigned i = 0; i < s->n_live && !freeze_is_on(s); i++) {
		int64_t d = s->exec[s->live[i]].deadline_us;

		if (d && d < due)
			due = d;
	}
	for (const struct client *c = s->client; c < clients_end(s); c++)
		if (c->fd >= 0 && outbox_pending(&c->out) > 0 && !c->wants_write)
			due = c->urgent ? s->now_us : min_(due, c->lazy_us);
	if (due == INT64_MAX)
		return -1;
	if (due <= s->now_us)
		return 0;
	return (int)min_((due - s->now_us + 999) / 1000, (int64_t)3600 * 1000);
}

/* ---- the young one: most commands are short, and their descriptors then never enter the epoll set ---- */

int server_take_young(struct server *s, struct exec *x)
{
	if (s->young)
		return 0;
	s->young = x;
	for (int k = 0; k < 2; k++)
		x->out[k].armed = x->out[k].fd >= 0;
	return 1;
}

void server_graduate(struct server *s)
{
	exec_start_finish(s);
	struct exec *x = s->young;

	if (!x)
		return;
	s->young = NULL;
	if (exec_watch_all(s, x) < 0)
		(void)!exec_signal(s, x, SIGKILL, CONKER__SCOPE__ALL);
}

static int wait_epoll(struct server *s, struct epoll_event *ev, int timeout_ms)
{
	int n = epoll_wait(s->ep, ev, BATCH, timeout_ms);

	return n < 0 ? -errno : n;
}

/* Events of the epoll set into ev, as wait_epoll(); those of the young one are handled here. */
static int wait_young(struct server *s, struct epoll_event *ev, int timeout_ms)
{
	struct exec *x = s->young;
	uint32_t gen = x->gen;
	struct pollfd p[] = {{.fd = x->out[0].fd, .events = POLLIN},
			     {.fd = x->out[1].fd, .events = POLLIN},
			     {.fd = x->pidfd, .events = POLLIN},
			     {.fd = s->ep, .events = POLLIN}};

	const int most_ms = s->starting.x ? LAZY_MS : YOUNG_MS;

	if (timeout_ms < 0 || timeout_ms > most_ms)
		timeout_ms = most_ms;
	int n = poll(p, countof(p), timeout_ms);
	int error = n < 0 ? -errno : 0; /* now: what follows makes calls of its own */
	s->now_us = now_us();
	struct client *waiting = n == 0 && s->starting.x ? s->starting.client : NULL;
	exec_start_finish(s);
	if (waiting)
		waiting->urgent = 1; /* Started has had its time to wait for company */
	for (int k = 0; k < 2; k++)
		if (n > 0 && p[k].revents && x->gen == gen)
			output_on_event(s, x, k, (uint32_t)p[k].revents);
	if (n > 0 && p[2].revents && x->gen == gen)
		exec_on_exit(s, x);
	return n > 0 && p[3].revents ? wait_epoll(s, ev, 0) : error;
}

/* How many events are in ev, or -errno. */
static int wait_events(struct server *s, struct epoll_event *ev)
{
	/* First, because it may have something to say, which then is due. */
	if (s->young && now_us() >= s->young->run_us + ms_to_us(YOUNG_MS))
		server_graduate(s);
	int timeout_ms = next_timeout_ms(s);
	return s->young ? wait_young(s, ev, timeout_ms) : wait_epoll(s, ev, timeout_ms);
}

static int turn(struct server *s)
{
	struct epoll_event ev[BATCH];
	int n = wait_events(s, ev);
	int r = n == -EINTR ? 0 : min_(n, 0);

	s->now_us = now_us();
	for (int i = 0; i < n && r == 0; i++) {
		exec_start_finish(s);
		r = on_event(s, &ev[i]);
	}
	run_timers(s);
	output_run(s); /* also of a frozen box: what it said before is told */
	ports_run(s);
	freeze_run(s);
	idle_run(s);
	flush_clients(s);
	cg_tidy(&s->cg); /* now that all has been said */
	return r;
}

int server_run(struct server *s, int listen_fd)
{
	s->ep = epoll_create1(EPOLL_CLOEXEC);
	if (s->ep < 0)
		return -errno;
	s->listen_fd = listen_fd;
	s->now_us = now_us();
	idle_touch(s); /* a slow boot was no idle time */
	int r = server_watch(s, EPOLL_CTL_ADD, listen_fd, EPOLLIN,
			     (struct ev_name){.kind = KIND_LISTEN});
	if (r == 0)
		r = server_watch(s, EPOLL_CTL_ADD, s->box.reaper, EPOLLIN,
				 (struct ev_name){.kind = KIND_REAPER});
	if (r == 0 && s->forward_listen_fd > 0)
		r = forward_listen(s);
	while (r == 0 && (!s->power_off_us || s->now_us < s->power_off_us))
		r = turn(s);
	return r;
}
