/* SPDX-License-Identifier: Apache-2.0 */
/* ports.h - waiting until TCP ports are listened on in the box.
 *
 * The kernel has no event for listen(2), so init looks at /proc/net/tcp at growing intervals while
 * somebody waits, and only then. The file is of the network namespace that init and the box share; it is reached
 * through a detached proc mount made at first use.
 *
 * Root in the box decides what listens; nothing but the answer depends on it.
 */
#ifndef INIT_SERVE_PORTS_H
#define INIT_SERVE_PORTS_H

#include "guest-init/exec/execs.h"

enum {
	AWAITS_MAX = 64,
	PORTS_LOOK_FIRST_MS = 5, /* doubles ... */
	PORTS_LOOK_MAX_MS = 200, /* ... up to this */
};

struct await {
	struct outbox *out;
	uint32_t channel;
	uint64_t exec;       /* 0, or whose end ends the waiting */
	int64_t deadline_us; /* 0: none */
	int n;
	uint16_t port[PORTS_MAX];
};

struct awaits {
	struct uses *uses;
	int n;
	struct await v[AWAITS_MAX];
	int64_t look_us; /* when to look next */
	uint32_t interval_ms;
	int tcp_fd; /* 0: not open yet */
};

/* A request; answers by itself. x: NULL, or a live execution whose end ends the waiting. */
void ports_await(struct awaits *a, const struct execs *e, struct outbox *out, uint32_t channel,
		 const struct exec *x, const Conker__AwaitPorts *m);

/* The client goes. */
void ports_lose(struct awaits *a, const struct outbox *out, int64_t now_us);

/* Whether the channel is that of somebody who waits. */
must_check int ports_waits(const struct awaits *a, const struct outbox *out, uint32_t channel);

/* Once a turn: looks if it is time to. */
void ports_run(struct awaits *a, struct execs *e);

/* When ports_run() has something to do, or INT64_MAX. */
must_check int64_t ports_due_us(const struct awaits *a);

/* Reads whole lines of /proc/net/tcp: bit i of the result is set if port[i] is in state LISTEN. What it does
 * not understand it skips. Pure. */
must_check uint32_t ports_scan(const char *text, size_t len, const uint16_t *port, int n);

#endif
