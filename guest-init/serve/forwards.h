/* SPDX-License-Identifier: Apache-2.0 */
/* forwards.h - streams from the host, each to a TCP port of the box's loopback (ports.h, PORT_FORWARD).
 *
 * The host's side begins with the port, 2 bytes little-endian; init connects to 127.0.0.1, answers one byte, 0 or
 * the errno, and passes bytes both ways, each direction with its own end (util/pump.h).
 *
 *	HEAD --port--> QUEUED --its turn--> CONNECTING --connected--> OPEN --both ended--> gone
 *	                                        `--refused--> REFUSED --answer sent--> gone
 *
 * To one port one connects at a time, and the others queue behind it: a service that is slow to accept has a full
 * backlog, of which the kernel drops what is beyond, and each of those would try again ever more seldom.
 *
 * Limits: FORWARDS_MAX connections, one buffer a direction; what is beyond them waits to be accepted. One turn
 * of the server reads and writes each connection at most once, so that none starves executions.
 */
#ifndef INIT_SERVE_FORWARDS_H
#define INIT_SERVE_FORWARDS_H

#include <stdint.h>

#include "guest-init/exec/uses.h"
#include "guest-init/sys/poller.h"
#include "proto/ports.h"
#include "util/pump.h"

enum {
	FORWARDS_MAX = PORT_FORWARDS_MAX,
	FORWARD_BUF_BYTES = 32 << 10,
};

enum forward_state {
	FORWARD_FREE,
	FORWARD_HEAD,
	FORWARD_QUEUED,
	FORWARD_CONNECTING,
	FORWARD_OPEN,
	FORWARD_REFUSED
};

struct forward {
	enum forward_state state;
	uint32_t gen;
	uint32_t events[2]; /* what epoll watches for; 0: not in the set */
	uint8_t head[2];
	int n_head;
	uint32_t turn;    /* in the queue: the lowest is next */
	int tries;        /* to connect, of some seconds each */
	struct pump pump; /* side 0: the host, side 1: the box */
};

struct forwards {
	struct poller *poller;
	struct uses *uses;
	uint8_t kind, listen_kind; /* of their events, and of the listening socket's */
	int listen_fd;             /* 0: nothing is forwarded */
	int n;
	uint32_t turns;
	struct forward forward[FORWARDS_MAX];
	_Alignas(4096) uint8_t mem[FORWARDS_MAX][2][FORWARD_BUF_BYTES];
};

/* Watches for connections, until there are FORWARDS_MAX. 0 or -errno. */
must_check int forwards_listen(struct forwards *t);

/* A connection of the host; takes fd over (non-blocking). There is room for it. */
void forwards_accept(struct forwards *t, int fd);

/* Of one side of one of them. */
void forwards_on_event(struct forwards *t, struct ev_name name, uint32_t revents);

#endif
