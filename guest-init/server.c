/* server.c - see server.h. */
#include "guest-init/server.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h>

#include "guest-init/sys.h"

enum { BATCH = 64 };

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

/* NORESERVE: the kernel must not weigh the buffers' full size against the machine's memory. */
struct server *server_new(void)
{
	struct server *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (s == MAP_FAILED)
		return NULL;
	for (unsigned i = 0; i < EXEC_MAX; i++)
		s->active[i] = (uint16_t)i;
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		s->client[i].fd = -1;
	s->arena = (struct arena){.base = s->arena_mem, .size_bytes = sizeof(s->arena_mem)};
	return s;
}

/* Only the host: its CID is 2, whatever else can reach this port. (In tests: a Unix socket.) */
static int is_host(const struct sockaddr_vm *peer)
{
	return peer->svm_family != AF_VSOCK || peer->svm_cid == VMADDR_CID_HOST;
}

static void on_listen(struct server *s)
{
	union {
		struct sockaddr any;
		struct sockaddr_vm vm;
		struct sockaddr_storage room;
	} peer = {0};
	socklen_t len = sizeof(peer);
	int fd = accept4(s->listen_fd, &peer.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (is_host(&peer.vm))
		client_open(s, fd);
	else
		close(fd);
}

static int on_reaper_death(struct server *s)
{
	int r = box_renew(&s->box, NULL);

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
		exec_on_output(s, x, name.stream, revents);
	else
		exec_on_input(s, x);
}

static int on_event(struct server *s, const struct epoll_event *e)
{
	struct ev_name name;

	memcpy(&name, &e->data.u64, sizeof(name));
	switch ((enum ev_kind)name.kind) {
	case KIND_LISTEN: on_listen(s); break;
	case KIND_REAPER: return on_reaper_death(s);
	case KIND_CLIENT:
		if (s->client[name.index].gen == name.gen)
			client_on_event(s, &s->client[name.index], e->events);
		break;
	case KIND_EXIT:
	case KIND_OUTPUT:
	case KIND_INPUT: on_exec_event(s, name, e->events); break;
	}
	return 0;
}

static void run_timers(struct server *s)
{
	for (int i = s->n_active - 1; i >= 0; i--) { /* backwards: the slot may be released */
		struct exec *x = &s->exec[s->active[i]];

		if (x->deadline_us && x->deadline_us <= s->now_us)
			exec_on_timer(s, x);
	}
}

static void flush_clients(struct server *s)
{
	for (struct client *c = s->client; c < s->client + CLIENTS_MAX; c++)
		if (c->fd >= 0 && outbox_pending(&c->out) > 0 && !c->wants_write &&
		    (c->urgent || c->lazy_us <= s->now_us))
			client_flush(s, c);
}

/* Milliseconds until something is due, rounded up; -1: nothing is. */
static int next_timeout_ms(const struct server *s)
{
	int64_t due = s->power_off_us ? s->power_off_us : INT64_MAX;

	for (int i = 0; i < s->n_active; i++) {
		int64_t d = s->exec[s->active[i]].deadline_us;

		if (d && d < due)
			due = d;
	}
	for (const struct client *c = s->client; c < s->client + CLIENTS_MAX; c++)
		if (c->fd >= 0 && outbox_pending(&c->out) > 0 && !c->wants_write)
			due = c->urgent ? s->now_us : min_(due, c->lazy_us);
	if (due == INT64_MAX)
		return -1;
	if (due <= s->now_us)
		return 0;
	return (int)min_((due - s->now_us + 999) / 1000, (int64_t)3600 * 1000);
}

static int turn(struct server *s)
{
	struct epoll_event ev[BATCH];
	int n = epoll_wait(s->ep, ev, BATCH, next_timeout_ms(s));
	int r = n < 0 && errno != EINTR ? -errno : 0;

	s->now_us = now_us();
	for (int i = 0; i < n && r == 0; i++)
		r = on_event(s, &ev[i]);
	run_timers(s);
	flush_clients(s);
	return r;
}

int server_run(struct server *s, int listen_fd)
{
	s->ep = epoll_create1(EPOLL_CLOEXEC);
	if (s->ep < 0)
		return -errno;
	s->listen_fd = listen_fd;
	s->now_us = now_us();
	int r = server_watch(s, EPOLL_CTL_ADD, listen_fd, EPOLLIN,
			     (struct ev_name){.kind = KIND_LISTEN});
	if (r == 0)
		r = server_watch(s, EPOLL_CTL_ADD, s->box.reaper, EPOLLIN,
				 (struct ev_name){.kind = KIND_REAPER});
	while (r == 0 && (!s->power_off_us || s->now_us < s->power_off_us))
		r = turn(s);
	return r;
}
