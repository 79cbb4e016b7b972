/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_mux.h - all streams of one vsock device: the table of connections, their Unix sockets,
 * listeners and timeouts. Knows packets, but no queue: vsock.c stands on one side of it and the
 * host's sockets on the other.
 *
 * Thread: the loop thread only.
 * State: connections hold descriptors and end with a snapshot; what it keeps is whom to tell.
 */
#ifndef VMM_VIRTIO_VSOCK_MUX_H
#define VMM_VIRTIO_VSOCK_MUX_H

#include <sys/uio.h>

#include "proto/ports.h"
#include "util/loop.h"
#include "vmm/virtio/vsock.h"
#include "vmm/virtio/vsock_conn.h"

enum {
	VSOCK_CONNS_MAX = PORT_STREAMS_MAX, /* further clients wait in the listeners' backlogs */
	VSOCK_RSTS_MAX = 64,                /* resets owed to packets of no connection */
	VSOCK_PORT_FIRST = 1 << 30,         /* host ports are ephemeral: [2^30, 2^31) */
	VSOCK_PORT_USES = 1 << 20,          /* of a slot, before its ports come back */
	VSOCK_ACCEPT_RETRY_MS = 1000,       /* after the host ran out of descriptors or memory */
};

struct vsock_mux;
struct streams_state;

struct vsock_link { /* one connection and the host's end of it */
	struct loop_src src;
	struct vsock_mux *mux;
	struct vsock_link *next; /* in the ready queue, or in the free list */
	int fd;                  /* the client; -1: closed */
	struct vsock_conn conn;
	uint8_t *store;         /* ring of VSOCK_BUF_BYTES: bytes the client did not take yet */
	uint32_t first, stored; /* of these; stored == conn.received - conn.forwarded */
	uint32_t uses;          /* of this slot, so that ports come back late */
	bool used;              /* not in the free list */
	bool queued;            /* in the ready queue */
	bool readable;          /* the client may have bytes, or an end, for us */
	bool ending;            /* its end is behind the bytes that are there */
	bool gone;              /* it closed its socket, or nothing can pass in either direction */
	bool ended;             /* it was told that the guest sends no more */
	bool blocked;           /* it takes no more now: EPOLLOUT is armed */
};

struct vsock_door { /* a listener */
	struct loop_src src;
	struct vsock_mux *mux;
	int fd;
	uint32_t port;
};

struct vsock_mux {
	struct loop *loop;
	void (*on_work)(struct vsock_mux *m);
	void (*on_ready)(void *user); /* NULL once called */
	void (*on_suspend)(void *user);
	uint32_t keep_port;      /* vsock_keep() */
	struct vsock_link *kept; /* waits for its new client; NULL: none */
	void *user;
	uint64_t guest_cid;

	bool rung;               /* the guest serves: doors may be open */
	bool open;               /* they are: listeners are watched */
	uint64_t closed_till_ms; /* 0: not waiting for the host to recover */
	unsigned ndoors;
	struct vsock_door door[VSOCK_LISTENERS_MAX];

	struct loop_src timer; /* owns a timerfd */
	uint64_t timer_at_ms;  /* 0: not armed */

	unsigned nrsts, first_rst;
	struct vsock_pkt rst[VSOCK_RSTS_MAX];
	struct vsock_link *ready, **ready_tail; /* links with something to say, each once; FIFO */
	struct vsock_link *free;
	uint32_t nslots;         /* those after were never used */
	struct vsock_link *link; /* VSOCK_CONNS_MAX of them */
};

/* on_work(m) is called, from the loop, when there may be packets to take with vsock_mux_next(); it
 * may call anything here but vsock_mux_fini(). The descriptors of c are owned from the call on,
 * also when it fails. 0 or -errno with the reason in e; vsock_mux_fini() copes with a zeroed or
 * half-built m. */
must_check int vsock_mux_init(struct vsock_mux *m, struct loop *loop, const struct vsock_config *c,
			      void (*on_work)(struct vsock_mux *m), struct err *e);
void vsock_mux_fini(struct vsock_mux *m);

/* The guest is gone or starts anew: closes all connections without a word to it, and the doors. */
void vsock_mux_reset(struct vsock_mux *m);

/* What the guest would have to be told if all clients were gone now (state.h). */
void vsock_mux_save(const struct vsock_mux *m, struct streams_state *ret);

/* Into a fresh m: vsock_mux_next() has these resets before anything else. 0, or -EINVAL with the reason in
 * e: not what vsock_mux_save() makes. */
must_check int vsock_mux_restore(struct vsock_mux *m, const struct streams_state *s, struct err *e);

/* A packet from the guest with what vsock_pkt_parse() said of it; v: p->len bytes of payload, when
 * it is VSOCK_PKT_OK. Always consumed, never blocks. Only while vsock_mux_has_room(). */
void vsock_mux_recv(struct vsock_mux *m, enum vsock_verdict verdict, const struct vsock_pkt *p,
		    const struct iovec *v, unsigned nv);

/* False: vsock_mux_next() must take packets out before the guest's next one can be answered. */
must_check bool vsock_mux_has_room(const struct vsock_mux *m);

/* May there be a packet for the guest? Cheap; vsock_mux_next() knows. */
must_check bool vsock_mux_has_work(const struct vsock_mux *m);

/* The next packet for the guest, links in turn: true, and *ret filled. Payload (ret->len bytes) is
 * read from the host straight into v (at least one byte), which is clobbered. */
must_check bool vsock_mux_next(struct vsock_mux *m, struct iovec *v, unsigned nv,
			       struct vsock_pkt *ret);

/* CLOCK_MONOTONIC in milliseconds. */
uint64_t vsock_mux_now_ms(void);

/* Calls on_work() from the loop at at_ms, perhaps sooner; 0: in its next step. Holds once. */
void vsock_mux_wake(struct vsock_mux *m, uint64_t at_ms);

/* What the timer does: acts on every deadline up to now_ms. */
void vsock_mux_expire(struct vsock_mux *m, uint64_t now_ms);

/* ---- for vsock_save.c ---- */

/* Lines l up to speak, if it is not in line already. */
void vsock_mux_enqueue(struct vsock_link *l);

/* All slots that are not used become free, the lowest first. */
void vsock_mux_free_links(struct vsock_mux *m);

/* Doors are open while the guest serves, slots are free and the host has resources. */
void vsock_mux_set_doors(struct vsock_mux *m);

#endif
