/* SPDX-License-Identifier: Apache-2.0 */
/* server.c - see server.h.
 *
 * Protocol: streams from the host alone, to two ports: requests (clients.h), and connections to forward (forwards.h).
 *
 * Duties: nobody is believed to be the host but CID 2. A turn handles each event that it got once and returns to
 * epoll, so that nobody starves another. The end of the reaper is the end of all executions, and of nothing else.
 *
 * Limits: BATCH events a turn; a backlog as long as the VMM has streams.
 */
#include "guest-init/serve/server.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "guest-init/exec/lifecycle.h"
#include "guest-init/exec/young.h"
#include "guest-init/serve/requests.h"
#include "guest-init/sys/sys.h"

enum {
	BATCH = 64,
	POWER_OFF_MS = 100, /* for Done to arrive before the lights go */
};

/* NORESERVE: the kernel must not weigh the buffers' full size against the machine's memory. */
struct server *server_new(void)
{
	struct server *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (s == MAP_FAILED)
		return NULL;
	s->arena = (struct arena){.base = s->arena_mem, .size_bytes = sizeof(s->arena_mem)};
	s->execs.poller = s->clients.poller = s->forwards.poller = &s->poller;
	s->execs.arena = &s->arena;
	s->freezer.execs = s->clients.execs = &s->execs;
	s->clients.freezer = &s->freezer;
	s->clients.awaits = &s->awaits;
	s->clients.handle = requests_handle;
	s->clients.user = s;
	s->clients.kind = KIND_CLIENT;
	s->awaits.uses = s->forwards.uses = &s->execs.uses;
	s->forwards.kind = KIND_FORWARD;
	s->forwards.listen_kind = KIND_FORWARD_LISTEN;
	execs_init(&s->execs);
	return s;
}

void server_power_off(struct server *s)
{
	execs_kill_all(&s->execs);
	s->power_off_us = s->poller.now_us + ms_to_us(POWER_OFF_MS);
	s->closed_before = s->clients.n_closed;
}

void server_shut_down(struct server *s, uint32_t grace_ms)
{
	if (grace_ms == 0 || execs_stop(&s->execs) == 0)
		server_power_off(s);
	else
		s->stop_until_us = s->poller.now_us + ms_to_us(grace_ms);
}

static int is_over(const struct server *s)
{
	return s->power_off_us &&
	       (s->power_off_us <= s->poller.now_us || s->clients.n_closed != s->closed_before);
}

/* ---- events ---- */

/* Only the host: its CID is 2, whatever else can reach this port. (In tests: a Unix socket.) */
static int is_host(const struct sockaddr_vm *peer)
{
	return peer->svm_family != AF_VSOCK || peer->svm_cid == VMADDR_CID_HOST;
}

/* -1: nobody, or nobody to talk to. */
static int accept_host(int listen_fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_vm vm;
		struct sockaddr_storage room;
	} peer = {0};
	socklen_t len = sizeof(peer);
	int fd = accept4(listen_fd, &peer.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 || is_host(&peer.vm))
		return fd;
	close(fd);
	return -1;
}

static int watch_reaper(struct server *s)
{
	return poller_watch(&s->poller, EPOLL_CTL_ADD, s->execs.box.reaper, EPOLLIN,
			    (struct ev_name){.kind = KIND_REAPER});
}

static int on_reaper_death(struct server *s)
{
	int r = namespaces_renew(&s->execs.box, NULL);

	return r < 0 ? r : watch_reaper(s);
}

static void on_connection(struct server *s, enum server_kind kind)
{
	int fd = accept_host(kind == KIND_LISTEN ? s->listen_fd : s->forwards.listen_fd);

	if (fd < 0)
		return;
	if (kind == KIND_LISTEN)
		clients_accept(&s->clients, fd);
	else
		forwards_accept(&s->forwards, fd);
}

static int server_on_event(struct server *s, const struct epoll_event *e)
{
	struct ev_name name;

	memcpy(&name, &e->data.u64, sizeof(name));
	switch (name.kind) {
	case KIND_LISTEN:
	case KIND_FORWARD_LISTEN: on_connection(s, name.kind); break;
	case KIND_FORWARD: forwards_on_event(&s->forwards, name, e->events); break;
	case KIND_CLIENT: clients_on_event(&s->clients, name, e->events); break;
	case KIND_REAPER: return on_reaper_death(s);
	case KIND_FREEZER: freezer_on_event(&s->freezer); break;
	default: execs_on_event(&s->execs, name, e->events); break;
	}
	return 0;
}

/* ---- deadlines ---- */

static void run_stop(struct server *s)
{
	if (s->power_off_us || !s->stop_until_us)
		return;
	if (s->stop_until_us <= s->poller.now_us || !execs_wait_for_stop(&s->execs))
		server_power_off(s);
}

static void run_idle(struct server *s)
{
	const struct ev_name event = {.kind = KIND_FREEZER};

	if (s->power_off_us || freezer_is_on(&s->freezer))
		return;
	switch (idle_check(&s->idle, &s->execs.uses, s->poller.now_us)) {
	case IDLE_GO_ON: break;
	case IDLE_END: server_power_off(s); break;
	case IDLE_SUSPEND:
		if (freezer_begin(&s->freezer, NULL, 0, 0, event) == 0)
			break;
		idle_refused(&s->idle);
		s->execs.uses.since_us = s->poller.now_us;
		break;
	}
}

/* Who was not told of his start before anybody else knows of the freeze may take it that nothing of it ran: it never
 * will in a copy. So all that was said goes out first. */
static void run_freezer(struct server *s)
{
	switch (freezer_run(&s->freezer)) {
	case FREEZER_NO_NEWS:
	case FREEZER_ENDED: break;
	case FREEZER_STILL:
		clients_push(&s->clients);
		if (freezer_hold(&s->freezer) < 0)
			idle_refused(&s->idle);
		break;
	case FREEZER_REFUSED: idle_refused(&s->idle); break;
	}
	if (!freezer_is_on(&s->freezer) && s->clients.n_waiting > 0)
		clients_go_on(&s->clients);
}

/* When something is to be done, whatever happens. */
static int64_t next_due_us(const struct server *s)
{
	int64_t due = s->power_off_us ? s->power_off_us : INT64_MAX;

	if (!s->power_off_us && s->stop_until_us)
		due = min_(due, s->stop_until_us);
	due = min_(due, ports_due_us(&s->awaits));
	if (!s->power_off_us && !freezer_is_on(&s->freezer))
		due = min_(due, idle_due_us(&s->idle, &s->execs.uses));
	due = min_(due, freezer_due_us(&s->freezer));
	due = min_(due, execs_due_us(&s->execs));
	return clients_have_news(&s->clients) ? 0 : due;
}

/* Milliseconds until then, rounded up; -1: never. */
static int until_ms(int64_t due_us, int64_t now_us)
{
	enum { HOUR_MS = 3600 * 1000 };

	if (due_us == INT64_MAX)
		return -1;
	return due_us <= now_us ? 0 : (int)min_((due_us - now_us + 999) / 1000, (int64_t)HOUR_MS);
}

static int server_turn(struct server *s)
{
	struct epoll_event ev[BATCH];
	int64_t due = next_due_us(s);
	int n = young_wait(&s->execs, ev, BATCH, until_ms(due, s->poller.now_us));
	int r = n == -EINTR ? 0 : min_(n, 0);

	s->poller.now_us = now_us();
	execs_run_young(&s->execs);
	s->execs.alone_until_us = n == 1 ? due : 0;
	for (int i = 0; i < n && r == 0; i++)
		r = server_on_event(s, &ev[i]);
	s->execs.alone_until_us = 0;
	execs_run(&s->execs); /* also of a frozen box: what it said before is told */
	ports_run(&s->awaits, &s->execs);
	run_stop(s);
	run_idle(s);
	run_freezer(s);
	clients_flush(&s->clients);
	cg_tidy(&s->execs.cg); /* now that all has been said */
	return r;
}

int server_run(struct server *s, int listen_fd)
{
	s->poller.ep = epoll_create1(EPOLL_CLOEXEC);
	if (s->poller.ep < 0)
		return -errno;
	s->listen_fd = listen_fd;
	s->poller.now_us = now_us();
	s->execs.uses.since_us = s->poller.now_us; /* a slow boot was no idle time */
	int r = poller_watch(&s->poller, EPOLL_CTL_ADD, listen_fd, EPOLLIN,
			     (struct ev_name){.kind = KIND_LISTEN});
	if (r == 0)
		r = watch_reaper(s);
	if (r == 0 && s->forwards.listen_fd > 0)
		r = forwards_listen(&s->forwards);
	while (r == 0 && !is_over(s))
		r = server_turn(s);
	return r;
}
