/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_conn.c - see vsock_conn.h.
 *
 * The protocol in short (Virtio 1.2 section 5.10.6):
 *
 *   Opening   REQUEST, answered by RESPONSE or RST. Only the host opens streams here.
 *   Credit    Each packet tells the sender's buffer size (buf_alloc) and how many payload bytes it
 *             has taken out of that buffer since the beginning (fwd_cnt). A peer that has sent
 *             tx_cnt bytes may send buf_alloc - (tx_cnt - fwd_cnt) more. All three wrap at 2^32.
 *             CREDIT_UPDATE is a packet that says only this; CREDIT_REQUEST asks for one.
 *   Ending    SHUTDOWN has two flags, "I receive no more" and "I send no more", which stay set
 *             once said. Whoever got both answers RST, and the flow is gone. Whoever said both and
 *             gets no RST in time sends one himself. RST at any time is the end; it is not
 *             answered.
 *
 * What we do with it:
 *
 *   - Packets are dear: handling one costs a guest thousands of kernel instructions, and some
 *     hosts emulate these. So credit rides on whatever packet is sent anyway, a CREDIT_UPDATE is
 *     sent only when half the buffer is worth announcing, and a CREDIT_REQUEST only after a second
 *     without. Waiting for half the buffer cannot deadlock: until then the guest still has credit
 *     for the rest, or bytes are stored that the host has to take first anyway.
 *   - The guest's fwd_cnt moves only forward, and never past what was sent. An older value is no
 *     lie: two CPUs of a guest may stamp packets in one order and queue them in the other. A false
 *     one is treated alike, and starves nobody but the flow it came on.
 *   - buf_alloc may shrink below what is in flight; credit is then zero until that was taken.
 *   - A guest that sends more than it was allowed to, or a packet that has no place in the state,
 *     has its flow reset.
 *   - What is owed to the guest is a set of bits, not a queue of packets: it cannot overflow, and
 *     nothing is lost while the guest has no receive buffers.
 */
#include "vmm/virtio/vsock_conn.h"

#include <assert.h>

enum { CREDIT_WORTH_SAYING = VSOCK_BUF_BYTES / 2 };

static void say(struct vsock_conn *c, enum vsock_op op)
{
	c->say = (uint8_t)(c->say | 1u << op);
}

static bool owes(const struct vsock_conn *c, enum vsock_op op)
{
	return c->say & 1u << op;
}

/* A packet that carries our credit: the guest then knows all there is to know. */
static void build(struct vsock_conn *c, enum vsock_op op, struct vsock_pkt *ret)
{
	*ret = (struct vsock_pkt){
		.src_port = c->host_port,
		.dst_port = c->guest_port,
		.type = VSOCK_TYPE_STREAM,
		.op = (uint16_t)op,
		.buf_alloc = VSOCK_BUF_BYTES,
		.fwd_cnt = c->forwarded,
	};
	c->announced = c->forwarded;
	c->say = (uint8_t)(c->say & ~(1u << op | 1u << VSOCK_OP_CREDIT_UPDATE));
}

static void close_flow(struct vsock_conn *c)
{
	c->state = VSOCK_CLOSED;
	c->say = 0;
	c->deadline_ms = 0;
}

/* What a packet does, per state. Each returns a set of VSOCK_DO_*. */
typedef unsigned conn_fn(struct vsock_conn *c, const struct vsock_pkt *p);

static unsigned on_violation(struct vsock_conn *c, const struct vsock_pkt *p)
{
	(void)p;
	vsock_conn_abort(c);
	return VSOCK_DO_CLOSE;
}

static unsigned on_ignored(struct vsock_conn *c, const struct vsock_pkt *p)
{
	(void)c;
	(void)p;
	return 0;
}

static unsigned on_response(struct vsock_conn *c, const struct vsock_pkt *p)
{
	(void)p;
	if (owes(c, VSOCK_OP_REQUEST)) /* an answer to what was never asked */
		return on_violation(c, p);
	c->state = VSOCK_OPEN;
	c->deadline_ms = 0;
	return 0;
}

static unsigned on_reset(struct vsock_conn *c, const struct vsock_pkt *p)
{
	(void)p;
	close_flow(c);
	return VSOCK_DO_CLOSE;
}

static unsigned on_shutdown(struct vsock_conn *c, const struct vsock_pkt *p)
{
	unsigned fresh = p->flags & VSOCK_SHUT_BOTH & ~c->guest_shut;

	c->guest_shut = (uint8_t)(c->guest_shut | fresh);
	if (c->guest_shut == VSOCK_SHUT_BOTH) {
		vsock_conn_abort(c); /* the reset that a clean end asks for */
		return VSOCK_DO_CLOSE;
	}
	return (fresh & VSOCK_SHUT_RCV ? VSOCK_DO_STOP_READ : 0) |
	       (fresh & VSOCK_SHUT_SEND ? VSOCK_DO_END : 0);
}

static unsigned on_data(struct vsock_conn *c, const struct vsock_pkt *p)
{
	uint32_t stored = c->received - c->forwarded;

	if (c->guest_shut & VSOCK_SHUT_SEND || p->len > VSOCK_BUF_BYTES - stored)
		return on_violation(c, p);
	c->received += p->len;
	if (c->host_shut & VSOCK_SHUT_RCV) { /* was on its way when we said so */
		c->forwarded += p->len;
		return 0;
	}
	return p->len ? VSOCK_DO_STORE : 0;
}

static unsigned on_credit_request(struct vsock_conn *c, const struct vsock_pkt *p)
{
	(void)p;
	say(c, VSOCK_OP_CREDIT_UPDATE);
	return 0;
}

static conn_fn *const on_packet[VSOCK_STATES][VSOCK_OPS] = {
	[VSOCK_CONNECTING] =
		{
			[VSOCK_OP_REQUEST] = on_violation,
			[VSOCK_OP_RESPONSE] = on_response,
			[VSOCK_OP_RST] = on_reset,
			[VSOCK_OP_SHUTDOWN] = on_violation,
			[VSOCK_OP_RW] = on_violation,
			[VSOCK_OP_CREDIT_UPDATE] = on_violation,
			[VSOCK_OP_CREDIT_REQUEST] = on_violation,
		},
	[VSOCK_OPEN] =
		{
			[VSOCK_OP_REQUEST] = on_violation,
			[VSOCK_OP_RESPONSE] = on_violation,
			[VSOCK_OP_RST] = on_reset,
			[VSOCK_OP_SHUTDOWN] = on_shutdown,
			[VSOCK_OP_RW] = on_data,
			[VSOCK_OP_CREDIT_UPDATE] = on_ignored, /* its credit was taken already */
			[VSOCK_OP_CREDIT_REQUEST] = on_credit_request,
		},
	[VSOCK_CLOSING] =
		{
			[VSOCK_OP_REQUEST] = on_violation,
			[VSOCK_OP_RESPONSE] = on_violation,
			[VSOCK_OP_RST] = on_reset,
			[VSOCK_OP_SHUTDOWN] = on_shutdown,
			[VSOCK_OP_RW] = on_data,
			[VSOCK_OP_CREDIT_UPDATE] = on_ignored,
			[VSOCK_OP_CREDIT_REQUEST] =
				on_ignored, /* it gets its answer with the reset */
		},
	[VSOCK_CLOSED] =
		{
			[VSOCK_OP_REQUEST] =
				on_ignored, /* sent before our reset arrived, or it will see it */
			[VSOCK_OP_RESPONSE] = on_ignored,
			[VSOCK_OP_RST] = on_reset, /* saves ours, if not yet said */
			[VSOCK_OP_SHUTDOWN] = on_ignored,
			[VSOCK_OP_RW] = on_ignored,
			[VSOCK_OP_CREDIT_UPDATE] = on_ignored,
			[VSOCK_OP_CREDIT_REQUEST] = on_ignored,
		},
};

void vsock_conn_init(struct vsock_conn *c, uint32_t host_port, uint32_t guest_port, uint64_t now_ms)
{
	*c = (struct vsock_conn){
		.host_port = host_port,
		.guest_port = guest_port,
		.state = VSOCK_CONNECTING,
		.deadline_ms = now_ms + VSOCK_REQUEST_TIMEOUT_MS,
	};
	say(c, VSOCK_OP_REQUEST);
}

static void take_credit(struct vsock_conn *c, const struct vsock_pkt *p)
{
	uint32_t in_flight = c->sent - c->guest_fwd;

	c->guest_alloc = p->buf_alloc;
	if (p->fwd_cnt - c->guest_fwd <= in_flight)
		c->guest_fwd = p->fwd_cnt;
	if (c->state == VSOCK_OPEN && vsock_conn_credit(c)) {
		c->deadline_ms = 0; /* no longer stalled */
		c->asked = false;
		c->say = (uint8_t)(c->say & ~(1u << VSOCK_OP_CREDIT_REQUEST));
	}
}

unsigned vsock_conn_recv(struct vsock_conn *c, const struct vsock_pkt *p)
{
	assert(p->op > 0 && p->op < VSOCK_OPS);
	take_credit(c, p);
	return on_packet[c->state][p->op](c, p);
}

void vsock_conn_forwarded(struct vsock_conn *c, uint32_t n)
{
	assert(n <= c->received - c->forwarded);
	c->forwarded += n;
	if (c->state == VSOCK_OPEN && !(c->guest_shut & VSOCK_SHUT_SEND) &&
	    c->forwarded - c->announced >= CREDIT_WORTH_SAYING)
		say(c, VSOCK_OP_CREDIT_UPDATE);
}

void vsock_conn_host_shut(struct vsock_conn *c, unsigned shut, uint64_t now_ms)
{
	if (c->state != VSOCK_OPEN || (c->host_shut | shut) == c->host_shut)
		return;
	c->host_shut = (uint8_t)(c->host_shut | shut);
	say(c, VSOCK_OP_SHUTDOWN);
	if (c->host_shut != VSOCK_SHUT_BOTH)
		return;
	c->state = VSOCK_CLOSING;
	c->say = 1u << VSOCK_OP_SHUTDOWN; /* credit is of no use any more */
	c->deadline_ms = now_ms + VSOCK_SHUTDOWN_TIMEOUT_MS;
}

void vsock_conn_abort(struct vsock_conn *c)
{
	bool known = c->state == VSOCK_CLOSED || owes(c, VSOCK_OP_REQUEST);

	if (c->state == VSOCK_CLOSED)
		return;
	close_flow(c);
	if (!known) /* a guest that never saw the request needs no reset */
		say(c, VSOCK_OP_RST);
}

bool vsock_conn_say(struct vsock_conn *c, struct vsock_pkt *ret)
{
	static const enum vsock_op order[] = {VSOCK_OP_REQUEST, VSOCK_OP_RST, VSOCK_OP_SHUTDOWN};

	for (unsigned i = 0; i < countof(order); i++) {
		if (!owes(c, order[i]))
			continue;
		build(c, order[i], ret);
		if (order[i] == VSOCK_OP_SHUTDOWN)
			ret->flags = c->host_shut;
		return true;
	}
	return false;
}

bool vsock_conn_say_credit(struct vsock_conn *c, struct vsock_pkt *ret)
{
	if (owes(c, VSOCK_OP_CREDIT_REQUEST)) /* first: it brings the update along */
		build(c, VSOCK_OP_CREDIT_REQUEST, ret);
	else if (owes(c, VSOCK_OP_CREDIT_UPDATE))
		build(c, VSOCK_OP_CREDIT_UPDATE, ret);
	else
		return false;
	return true;
}

static bool may_send(const struct vsock_conn *c)
{
	return c->state == VSOCK_OPEN && !(c->host_shut & VSOCK_SHUT_SEND) &&
	       !(c->guest_shut & VSOCK_SHUT_RCV);
}

uint32_t vsock_conn_credit(const struct vsock_conn *c)
{
	uint32_t in_flight = c->sent - c->guest_fwd;

	if (!may_send(c) || in_flight >= c->guest_alloc)
		return 0;
	return c->guest_alloc - in_flight;
}

void vsock_conn_data(struct vsock_conn *c, uint32_t n, struct vsock_pkt *ret)
{
	assert(n > 0 && n <= vsock_conn_credit(c));
	build(c, VSOCK_OP_RW, ret);
	ret->len = n;
	c->sent += n;
}

void vsock_conn_stalled(struct vsock_conn *c, uint64_t now_ms)
{
	if (may_send(c) && !c->asked && !c->deadline_ms)
		c->deadline_ms = now_ms + VSOCK_CREDIT_TIMEOUT_MS;
}

void vsock_conn_expire(struct vsock_conn *c, uint64_t now_ms)
{
	if (!c->deadline_ms || now_ms < c->deadline_ms)
		return;
	c->deadline_ms = 0;
	if (c->state == VSOCK_OPEN) {
		say(c, VSOCK_OP_CREDIT_REQUEST);
		c->asked = true; /* once: a guest program may leave its input unread for hours */
	} else {
		vsock_conn_abort(c);
	}
}
