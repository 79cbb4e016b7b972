/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_conn.h - one stream between a host client and the guest: its states and its credit.
 *
 * Pure: no descriptor, no memory of its own, no clock; times are given in. The caller moves the
 * bytes, and asks here what the guest must be told and what a packet means for the host side.
 * A struct vsock_conn is plain data. Thread: its owner's.
 */
#ifndef VMM_VIRTIO_VSOCK_CONN_H
#define VMM_VIRTIO_VSOCK_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "util/util.h"
#include "vmm/virtio/vsock_pkt.h"

enum {
	VSOCK_BUF_BYTES = 64 * 1024, /* what we store per connection for the host: our buf_alloc */
	/* Where guest kernel code is emulated and the host busy, an answer was seen to take 3 s. */
	VSOCK_REQUEST_TIMEOUT_MS = 10000,
	VSOCK_SHUTDOWN_TIMEOUT_MS = 8000, /* Linux guests wait as long for our reset */
	VSOCK_CREDIT_TIMEOUT_MS = 1000,   /* without credit for so long: ask for it */
};

enum vsock_state {
	VSOCK_CONNECTING, /* we asked, or are about to; the guest has not answered */
	VSOCK_OPEN,       /* either direction may already be shut */
	VSOCK_CLOSING,    /* the host side is gone and we say so; waiting for the guest's reset */
	VSOCK_CLOSED,     /* the guest side is gone; at most our own reset is still to be sent */
	VSOCK_STATES,
};

struct vsock_conn {
	uint32_t host_port, guest_port;
	uint8_t state;                 /* enum vsock_state */
	uint8_t say;                   /* packets owed to the guest, a set of 1 << enum vsock_op */
	uint8_t host_shut, guest_shut; /* VSOCK_SHUT_*: what each side has ended, for good */
	/* Towards the guest. Counters are free-running and wrap (5.10.6.3). */
	uint32_t guest_alloc, guest_fwd; /* its buffer size; bytes of ours it took out of it */
	uint32_t sent;                   /* payload bytes sent so far */
	/* Towards the host. */
	uint32_t received;  /* payload bytes accepted from the guest */
	uint32_t forwarded; /* of these, passed on: our fwd_cnt; received - forwarded are stored */
	uint32_t announced; /* forwarded, as the guest last heard of it */
	bool asked;         /* for credit, since there was some last */
	uint64_t deadline_ms; /* 0: none */
};

/* What a packet from the guest asks of the host side: a set. */
enum {
	VSOCK_DO_STORE = 1, /* pass the payload on, or store it: it fits */
	VSOCK_DO_STOP_READ =
		2, /* the guest receives no more: nothing more from the host is wanted */
	VSOCK_DO_END =
		4, /* the guest sends no more: end-of-file to the host after what is stored */
	VSOCK_DO_CLOSE = 8, /* the guest side is gone: close the host's after what is stored */
};

/* A new stream to guest_port: CONNECTING, with a REQUEST to say. */
void vsock_conn_init(struct vsock_conn *c, uint32_t host_port, uint32_t guest_port,
		     uint64_t now_ms);

/* One packet of this flow, as vsock_pkt_parse() let it through. Returns what to do. */
must_check unsigned vsock_conn_recv(struct vsock_conn *c, const struct vsock_pkt *p);

/* n stored or just received bytes reached the host, or nobody, when it takes no more. */
void vsock_conn_forwarded(struct vsock_conn *c, uint32_t n);

/* The host side ended: VSOCK_SHUT_SEND after its last byte was sent on, VSOCK_SHUT_RCV when it
 * takes no more. Both, at once or one by one: the client is gone. */
void vsock_conn_host_shut(struct vsock_conn *c, unsigned shut, uint64_t now_ms);

/* Gives up: a reset to say, unless the guest already knows. The host side is to be closed. */
void vsock_conn_abort(struct vsock_conn *c);

/* Is the next packet of the stream a control packet that data cannot replace? Then fills *ret (all
 * but the CIDs) and counts it as said. */
must_check bool vsock_conn_say(struct vsock_conn *c, struct vsock_pkt *ret);

/* As above for packets that only carry credit: any packet carries it too, so these come last. */
must_check bool vsock_conn_say_credit(struct vsock_conn *c, struct vsock_pkt *ret);

/* Payload bytes the guest takes now; 0 also when none may be sent in this state. */
uint32_t vsock_conn_credit(const struct vsock_conn *c);

/* The header of n bytes of payload, n <= vsock_conn_credit(), counted as sent. */
void vsock_conn_data(struct vsock_conn *c, uint32_t n, struct vsock_pkt *ret);

/* The host has data and there is no credit: after a while we shall ask for it. */
void vsock_conn_stalled(struct vsock_conn *c, uint64_t now_ms);

/* Acts on a deadline that passed, if one did: asks for credit, or aborts the flow. */
void vsock_conn_expire(struct vsock_conn *c, uint64_t now_ms);

#endif
