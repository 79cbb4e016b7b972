/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - init after start-up: one thread, one epoll set, many clients, many executions.
 *
 * Order of one turn:
 *   1. wait for events or the nearest deadline;
 *   2. handle each event: accept, read requests, pump streams, reap;
 *   3. handle passed deadlines;
 *   4. send: one write per client that has something to say.
 *
 * Nothing is allocated after start: the whole server is one mapping. Most of it is buffers that are never
 * touched in a quiet box, and an untouched page costs nothing.
 *
 * Only server.c, requests.c and stats.c see all of it; every other file gets the part that it works on.
 */
#ifndef INIT_SERVE_SERVER_H
#define INIT_SERVE_SERVER_H

#include "guest-init/exec/execs.h"
#include "guest-init/serve/clients.h"
#include "guest-init/serve/forwards.h"
#include "guest-init/serve/freezer.h"
#include "guest-init/serve/idle.h"
#include "guest-init/serve/ports.h"

enum server_kind {
	KIND_LISTEN = EXEC_N_KINDS, /* below: executions' */
	KIND_REAPER,
	KIND_CLIENT,
	KIND_FORWARD_LISTEN,
	KIND_FORWARD,
	KIND_FREEZER, /* cgroup.events of the box */
};

struct server {
	struct poller poller;
	int listen_fd;
	int64_t stop_until_us;  /* 0, or how long those that were asked to end may take */
	int64_t power_off_us;   /* 0, or when to end the machine at the latest */
	unsigned closed_before; /* clients.n_closed then: if one goes, Done has arrived */
	struct idle idle;
	struct freezer freezer;
	struct awaits awaits;
	struct arena arena;
	struct execs execs;
	struct clients clients;
	struct forwards forwards;
	_Alignas(4096) uint8_t arena_mem[ARENA_MAX_BYTES];
};

/* Maps a server, with a log store in proportion to the machine's memory. NULL: no memory. */
struct server *server_new(void);

/* Serves until a client asks to power off. execs.box, .cg and .self are filled already; listen_fd is a listening
 * stream socket, vsock in a machine. -errno when serving cannot go on. */
must_check int server_run(struct server *s, int listen_fd);

/* Kills everything there is, and ends the machine when its client has heard of it. */
void server_power_off(struct server *s);
/* The same, once those that can be asked to end have ended, or had grace_ms for it. */
void server_shut_down(struct server *s, uint32_t grace_ms);

#endif
