/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - attacks on connections that the host opened: what is wrong harms its own connection only, and
 * nothing wrong arrives at the client. Both ends are the guest's: see orders.h.
 *
 * Before each case the device is live, readiness was rung, and the control stream is up.
 */
#include "tests/hostile/orders.h"
#include "tests/hostile/vsock.h"

enum { INBOX = 2048, LOST = ~0U };

struct flow {
	uint32_t guest_port, host_port;
	uint32_t sent, taken; /* payload bytes of ours, of the host's */
	uint32_t alloc;       /* the credit we announce */
};

static struct flow control;
static struct {
	struct packet p[INBOX];
	unsigned first, n;
} inbox; /* what came while the control stream's answer was waited for */

/* ---- one flow ---- */

static struct packet packet_of(const struct flow *f, uint16_t op)
{
	struct packet p = vs_packet(op, f->guest_port, f->host_port);

	p.buf_alloc = f->alloc;
	p.fwd_cnt = f->taken;
	return p;
}

static bool say(struct dev *d, const struct flow *f, uint16_t op, uint32_t flags)
{
	struct packet p = packet_of(f, op);

	p.flags = flags;
	return vs_send(d, &p, 0);
}

static bool send_bytes(struct dev *d, struct flow *f, uint32_t n)
{
	struct packet p = packet_of(f, OP_RW);

	for (uint32_t i = 0; i < n; i++)
		vs_payload[i] = order_byte(f->sent + i);
	p.len = n;
	f->sent += n;
	return vs_send(d, &p, n);
}

static bool is_of(const struct packet *p, const struct flow *f)
{
	return p->src_cid == HOST_CID && p->dst_cid == GUEST_CID && p->src_port == f->host_port &&
	       p->dst_port == f->guest_port;
}

/* ---- orders ---- */

/* The next packet that is not of the control stream. */
static bool next(struct dev *d, struct packet *ret, bool wait)
{
	if (inbox.n) {
		*ret = inbox.p[inbox.first++ % INBOX];
		inbox.n--;
		return true;
	}
	do {
		if (!(wait ? vs_recv(d, ret, NULL) : vs_recv_now(d, ret, NULL)))
			return false;
	} while (is_of(ret, &control));
	return true;
}

/* The reply to an order; LOST if the control stream is. */
static struct order_reply order(struct dev *d, enum order_op op, unsigned slot, uint32_t arg)
{
	struct order o = {(uint16_t)op, (uint16_t)slot, arg};
	struct order_reply r = {LOST, 0};
	struct packet p = packet_of(&control, OP_RW), got;
	const uint8_t *data;

	copy(vs_payload, &o, sizeof(o));
	p.len = sizeof(o);
	if (!vs_send(d, &p, sizeof(o)))
		return r;
	while (vs_recv(d, &got, &data)) {
		if (!is_of(&got, &control)) {
			if (inbox.n < INBOX)
				inbox.p[(inbox.first + inbox.n++) % INBOX] = got;
		} else if (got.op == OP_RW && got.len == sizeof(r)) {
			control.taken += got.len;
			copy(&r, data, sizeof(r));
			break;
		} else if (got.op == OP_RST || got.op == OP_SHUTDOWN) {
			break;
		}
	}
	return r;
}

static bool did(struct dev *d, enum order_op op, unsigned slot, uint32_t arg)
{
	return order(d, op, slot, arg).status == ORDER_DONE;
}

/* The client's stream ended after n bytes, all of them right. */
static bool ended_after(struct dev *d, unsigned slot, uint32_t n)
{
	struct order_reply r = order(d, ORDER_READ, slot, ~0U);

	return r.status == ORDER_ENDED && r.value == n;
}

/* The host asks for a connection: not answered yet. */
static bool asked(struct dev *d, struct flow *ret)
{
	struct packet p;

	while (next(d, &p, true))
		if (p.op == OP_REQUEST && p.dst_port == PORT_VICTIM && p.src_cid == HOST_CID &&
		    p.len == 0) {
			*ret = (struct flow){PORT_VICTIM, p.src_port, 0, 0, 1 << 20};
			return true;
		}
	return false;
}

static bool open(struct dev *d, unsigned slot, struct flow *ret)
{
	return did(d, ORDER_OPEN, slot, 0) && asked(d, ret) && say(d, ret, OP_RESPONSE, 0);
}

/* The next packet but credit is a reset of this flow. */
static bool is_reset(struct dev *d, const struct flow *f)
{
	struct packet p;

	while (next(d, &p, true))
		if (!is_of(&p, f) || p.op != OP_CREDIT_UPDATE)
			return is_of(&p, f) && p.op == OP_RST;
	return false;
}

/* n bytes in either direction. */
static bool works(struct dev *d, unsigned slot, struct flow *f)
{
	enum { N = 3000 };
	struct packet p;
	uint32_t before = f->taken;

	if (!send_bytes(d, f, N) || !did(d, ORDER_READ, slot, N) ||
	    order(d, ORDER_WRITE, slot, N).value != N)
		return false;
	while (f->taken - before < N && next(d, &p, true))
		if (is_of(&p, f) && p.op == OP_RW)
			f->taken += p.len;
	return f->taken - before == N;
}

static bool vsock_is_ready(struct dev *d)
{
	struct packet ring = vs_packet(OP_REQUEST, 1, PORT_READY), p;

	control = (struct flow){0};
	inbox.n = 0;
	if (!vs_start(d) || !vs_send(d, &ring, 0))
		return false;
	while (vs_recv(d, &p, NULL)) {
		struct flow f = {p.dst_port, p.src_port, 0, 0, 1 << 20};

		if (p.op != OP_REQUEST)
			continue;
		if (p.dst_port == PORT_CONTROL) {
			control = f;
			return say(d, &control, OP_RESPONSE, 0);
		}
		(void)say(d, &f, OP_RST, 0); /* left over from the case before */
	}
	return false;
}

/* ---- opening ---- */

static enum verdict honest(struct dev *d)
{
	struct flow f;

	return holds(open(d, 0, &f) && works(d, 0, &f) && did(d, ORDER_CLOSE, 0, 0), ANSWERED);
}

static enum verdict refused_by_the_guest(struct dev *d)
{
	struct flow f;

	return holds(did(d, ORDER_OPEN, 0, 0) && asked(d, &f) && say(d, &f, OP_RST, 0) &&
			     ended_after(d, 0, 0),
		     ANSWERED);
}

static enum verdict no_response_but_others(struct dev *d)
{
	static const uint16_t op[] = {OP_REQUEST, OP_SHUTDOWN, OP_RW, OP_CREDIT_UPDATE,
				      OP_CREDIT_REQUEST};
	struct flow f;

	for (size_t i = 0; i < countof(op); i++)
		if (!did(d, ORDER_OPEN, 0, 0) || !asked(d, &f) || !say(d, &f, op[i], 3) ||
		    !is_reset(d, &f) || !ended_after(d, 0, 0))
			return WRONG;
	return REFUSED;
}

static enum verdict opened_twice(struct dev *d)
{
	static const uint16_t op[] = {OP_REQUEST, OP_RESPONSE};
	struct flow f;

	for (size_t i = 0; i < countof(op); i++)
		if (!open(d, 0, &f) || !works(d, 0, &f) || !say(d, &f, op[i], 0) ||
		    !is_reset(d, &f) || !ended_after(d, 0, 0))
			return WRONG;
	return REFUSED;
}

/* ---- packets that are almost of a flow ---- */

static enum verdict ports_beside_it(struct dev *d)
{
	struct flow f;
	struct packet got;

	if (!open(d, 0, &f))
		return WRONG;
	for (uint16_t op = OP_RESPONSE; op <= OP_CREDIT_REQUEST; op++) {
		const struct flow other[] = {
			{f.guest_port + 1, f.host_port, 0, 0, 0},
			{f.guest_port, f.host_port + 1, 0, 0, 0},
			{f.guest_port, f.host_port + 1024, 0, 0, 0},
			{f.guest_port, f.host_port - 1024, 0, 0, 0},
			{f.guest_port, f.host_port ^ 1U << 31, 0, 0, 0},
			{f.host_port, f.guest_port, 0, 0, 0},
			{PORT_CONTROL, f.host_port, 0, 0, 0},
		};

		for (size_t i = 0; i < countof(other); i++) {
			struct packet p = packet_of(&other[i], op);

			p.len = op == OP_RW ? 100 : 0;
			p.flags = 3;
			if (!vs_send(d, &p, p.len) ||
			    (op != OP_RST && (!next(d, &got, true) || !vs_is_reset_of(&got, &p))))
				return WRONG;
		}
	}
	return holds(works(d, 0, &f), REFUSED);
}

static enum verdict cids_and_types_beside_it(struct dev *d)
{
	struct flow f;
	struct packet got;

	if (!open(d, 0, &f))
		return WRONG;
	for (unsigned i = 0; i < 3; i++)
		for (uint16_t op = OP_RESPONSE; op <= OP_CREDIT_REQUEST; op++) {
			struct packet p = packet_of(&f, op);

			p.flags = 3;
			if (i == 0)
				p.src_cid = 4;
			else if (i == 1)
				p.dst_cid = 3;
			else
				p.type = 2;
			if (!vs_send(d, &p, 0) ||
			    (i > 0 && op != OP_RST &&
			     (!next(d, &got, true) || !vs_is_reset_of(&got, &p))))
				return WRONG;
		}
	return holds(works(d, 0, &f), REFUSED);
}

static enum verdict unknown_operations(struct dev *d)
{
	static const uint16_t op[] = {0, 8, 0xffff};
	struct flow f;

	for (size_t i = 0; i < countof(op); i++)
		if (!open(d, 0, &f) || !say(d, &f, op[i], 0) || !is_reset(d, &f) ||
		    !ended_after(d, 0, 0))
			return WRONG;
	return REFUSED;
}

static enum verdict lengths_that_lie(struct dev *d)
{
	static const uint32_t len[] = {11, HOST_BUF_BYTES + 1, 0x80000000, ~0U};
	struct flow f;

	for (size_t i = 0; i < countof(len); i++)
		for (uint16_t op = OP_SHUTDOWN; op <= OP_CREDIT_REQUEST; op++) {
			if (!open(d, 0, &f))
				return WRONG;
			struct packet p = packet_of(&f, op);

			p.len = len[i];
			if (!vs_send(d, &p, 10) || !is_reset(d, &f) || !ended_after(d, 0, 0))
				return WRONG;
		}
	return REFUSED;
}

static enum verdict data_of_no_length(struct dev *d)
{
	struct flow f;

	if (!open(d, 0, &f))
		return WRONG;
	for (unsigned i = 0; i < 100; i++)
		if (!say(d, &f, OP_RW, ~0U))
			return WRONG;
	return holds(works(d, 0, &f), IGNORED);
}

/* ---- credit ---- */

/* The client does not read, and the guest sends on: what was accepted still arrives, then the end. */
static enum verdict credit_ignored(struct dev *d)
{
	enum { CHUNK = 16384, FAR_TOO_MUCH = 16 << 20 };
	struct flow f;
	struct packet p;
	bool over = false;

	if (!open(d, 0, &f))
		return WRONG;
	while (!over && f.sent < FAR_TOO_MUCH) {
		if (!send_bytes(d, &f, CHUNK))
			return WRONG;
		while (next(d, &p, false))
			over |= is_of(&p, &f) && p.op == OP_RST;
	}
	struct order_reply r = order(d, ORDER_READ, 0, ~0U);

	note("bytes accepted", r.value);
	return holds(over && r.status == ORDER_ENDED && r.value <= f.sent &&
			     r.value >= HOST_BUF_BYTES,
		     REFUSED);
}

/* How many bytes the device sends of the many that the client wrote, when the guest says this. */
static uint32_t sent_for(struct dev *d, struct flow *f, uint32_t alloc, uint32_t fwd_cnt)
{
	struct packet p = packet_of(f, OP_CREDIT_UPDATE);
	uint32_t n = 0;

	p.buf_alloc = alloc;
	p.fwd_cnt = fwd_cnt;
	if (!vs_send(d, &p, 0))
		return LOST;
	for (unsigned i = 0; i < 3; i++) {
		barrier();
		while (next(d, &p, false))
			n += is_of(&p, f) && p.op == OP_RW ? p.len : 0;
	}
	return n;
}

static enum verdict credit_that_lies(struct dev *d)
{
	struct flow f;

	if (!did(d, ORDER_OPEN, 0, 0) || !asked(d, &f))
		return WRONG;
	f.alloc = 0;
	if (!say(d, &f, OP_RESPONSE, 0) || order(d, ORDER_WRITE, 0, 100000).value < 50000)
		return WRONG;
	return holds(sent_for(d, &f, 0, 0) == 0 &&               /* none given */
			     sent_for(d, &f, 0, ~0U) == 0 &&     /* taken what was never sent */
			     sent_for(d, &f, 100, ~0U) == 100 && /* the lie is not believed */
			     sent_for(d, &f, 100, 5000) == 0 &&
			     sent_for(d, &f, 50, 0) == 0 &&    /* shrinks */
			     sent_for(d, &f, 50, 100) == 50 && /* of 150, 100 are taken */
			     sent_for(d, &f, 100, 0) == 50 &&  /* going back is ignored */
			     sent_for(d, &f, ~0U, 0x80000000) > 40000 && did(d, ORDER_CLOSE, 0, 0),
		     ANSWERED);
}

static enum verdict credit_requests_without_end(struct dev *d)
{
	unsigned updates = 0;
	struct flow f;
	struct packet p;

	if (!open(d, 0, &f))
		return WRONG;
	for (unsigned i = 0; i < volume(2000); i++) {
		if (!say(d, &f, OP_CREDIT_REQUEST, 0))
			return WRONG;
		while (next(d, &p, false))
			updates += is_of(&p, &f) && p.op == OP_CREDIT_UPDATE;
	}
	note("updates", updates);
	return holds(updates <= volume(2000) && works(d, 0, &f), ANSWERED);
}

/* ---- ends ---- */

static enum verdict data_after_the_end(struct dev *d)
{
	struct flow f;

	return holds(open(d, 0, &f) && send_bytes(d, &f, 500) &&
			     say(d, &f, OP_SHUTDOWN, SHUT_SEND) && send_bytes(d, &f, 500) &&
			     is_reset(d, &f) && ended_after(d, 0, 500),
		     REFUSED);
}

static enum verdict packets_after_the_reset(struct dev *d)
{
	struct flow f;
	struct packet p;

	if (!open(d, 0, &f) || !say(d, &f, OP_RST, 0) || !ended_after(d, 0, 0))
		return WRONG;
	for (uint16_t op = OP_REQUEST; op <= OP_CREDIT_REQUEST; op++)
		if (op != OP_RST &&
		    (!say(d, &f, op, 3) || !next(d, &p, true) || !is_of(&p, &f) || p.op != OP_RST))
			return WRONG;
	return REFUSED;
}

static enum verdict shutdowns_of_any_flags(struct dev *d)
{
	struct flow f;

	for (uint32_t flags = 0; flags < 4; flags++) {
		if (!open(d, 0, &f) || !say(d, &f, OP_SHUTDOWN, flags | 0xfffffff0) ||
		    !say(d, &f, OP_SHUTDOWN, 0) || !say(d, &f, OP_SHUTDOWN, flags ^ 3) ||
		    (flags == 0 || flags == 3 ? false : !is_reset(d, &f)) || !ended_after(d, 0, 0))
			return WRONG;
		(void)did(d, ORDER_CLOSE, 0, 0);
	}
	return ANSWERED;
}

/* ---- many ---- */

/* A thousand requests that nobody answers; then each is, and the clients that waited have their turn. */
static enum verdict half_open_by_the_thousand(struct dev *d)
{
	enum { HELD = 1000, ALL = 1500 };
	static struct flow f[ALL];
	struct order_reply r = order(d, ORDER_CROWD, 0, ALL);

	if (r.status != ORDER_DONE || r.value != ALL)
		return WRONG;
	for (unsigned i = 0; i < ALL + HELD; i++)
		if ((i < ALL && !asked(d, &f[i])) ||
		    (i >= HELD && !say(d, &f[i - HELD], OP_RST, 0))) {
			note("requests", i);
			return WRONG;
		}
	r = order(d, ORDER_COUNT_ENDED, 0, ALL);
	note("ended", r.value);
	return holds(r.value == ALL, REFUSED);
}

/* The guest opens each one and never says a word again; half of them it shuts in one direction. */
static enum verdict half_closed_by_the_hundred(struct dev *d)
{
	const uint32_t n = min_(volume(400), 900U);
	struct flow f;

	if (order(d, ORDER_CROWD, 0, n).value != n)
		return WRONG;
	for (uint32_t i = 0; i < n; i++)
		if (!asked(d, &f) || !say(d, &f, OP_RESPONSE, 0) ||
		    (i % 2 && !say(d, &f, OP_SHUTDOWN, i % 4 == 1 ? SHUT_SEND : SHUT_RCV)))
			return WRONG;
	note("connections", n);
	return holds(open(d, 0, &f) && works(d, 0, &f), ANSWERED);
}

/* While all these ask, none is answered: the table is full, and the device goes on. */
static enum verdict all_places_taken(struct dev *d)
{
	const uint32_t n = 1100;
	unsigned requests = 0;
	struct packet p;

	if (order(d, ORDER_CROWD, 0, n).value != n)
		return WRONG;
	for (unsigned i = 0; i < 40; i++) {
		barrier();
		while (next(d, &p, false))
			requests += p.op == OP_REQUEST;
	}
	note("requests", requests);
	reset(d);
	return holds(requests > 0 && requests <= 1024, REFUSED);
}

/* The host gives up after 10 s by itself; its clients see an end. */
static enum verdict requests_never_answered(struct dev *d)
{
	const uint32_t n = 100;

	return holds(order(d, ORDER_CROWD, 0, n).value == n &&
			     order(d, ORDER_COUNT_ENDED, 0, n).value == n,
		     REFUSED);
}

static enum verdict noise(struct dev *d)
{
	unsigned n = volume(2500), flows = 0;
	bool is_open = false;
	struct flow f = {0};
	struct packet p;

	for (unsigned i = 0; i < n; i++) {
		if (!is_open) {
			if (!open(d, 0, &f))
				return WRONG;
			is_open = true;
			flows++;
		}
		struct packet q = packet_of(
			&f, (uint16_t)(chance() % 32 ? OP_RW + chance() % 3 : chance() % 8));

		q.len = q.op == OP_RW ? chance() % 300 : 0;
		q.flags = chance() % 4;
		q.buf_alloc = chance() % 2 ? chance() : 1000;
		q.fwd_cnt = chance() % 2 ? chance() : 0;
		for (uint32_t k = 0; k < q.len; k++)
			vs_payload[k] = order_byte(f.sent + k);
		f.sent += q.len;
		if (!vs_send(d, &q, q.len))
			return WRONG;
		if (i % 16 == 0 && order(d, ORDER_WRITE, 0, 200).status == LOST)
			return WRONG;
		if (i % 16 == 8)
			barrier();
		while (next(d, &p, false))
			is_open &= !(is_of(&p, &f) && p.op == OP_RST);
		is_open &= q.op != OP_RST;
		if (!is_open && order(d, ORDER_READ, 0, ~0U).status != ORDER_ENDED)
			return WRONG;
	}
	note("packets", n);
	note("connections", flows);
	return SURVIVED;
}

static const struct attack attacks[] = {
	{"requests_never_answered", REFUSED,
	 requests_never_answered}, /* takes 10 s: only if there is time */
	{"honest", ANSWERED, honest},
	{"refused_by_the_guest", ANSWERED, refused_by_the_guest},
	{"no_response_but_others", REFUSED, no_response_but_others},
	{"opened_twice", REFUSED, opened_twice},
	{"ports_beside_it", REFUSED, ports_beside_it},
	{"cids_and_types_beside_it", REFUSED, cids_and_types_beside_it},
	{"unknown_operations", REFUSED, unknown_operations},
	{"lengths_that_lie", REFUSED, lengths_that_lie},
	{"data_of_no_length", IGNORED, data_of_no_length},
	{"credit_ignored", REFUSED, credit_ignored},
	{"credit_that_lies", ANSWERED, credit_that_lies},
	{"credit_requests_without_end", ANSWERED, credit_requests_without_end},
	{"data_after_the_end", REFUSED, data_after_the_end},
	{"packets_after_the_reset", REFUSED, packets_after_the_reset},
	{"shutdowns_of_any_flags", ANSWERED, shutdowns_of_any_flags},
	{"half_open_by_the_thousand", REFUSED, half_open_by_the_thousand},
	{"half_closed_by_the_hundred", ANSWERED, half_closed_by_the_hundred},
	{"noise", SURVIVED, noise},
	{"all_places_taken", REFUSED,
	 all_places_taken}, /* the last: leaves clients in the backlog */
};

void stream_group(void)
{
	unsigned first = volume(1000) <= 1000;
	const struct group group = {"stream", vsock_is_ready, vsock_works, attacks + first,
				    countof(attacks) - first};

	run_group(&group, &device[SLOT_VSOCK]);
}

/* ---- left as they are ---- */

void stuck_streams(struct dev *d)
{
	struct flow f;

	leave("a_control_stream", vsock_is_ready(d));
	leave("a_request_without_answer", did(d, ORDER_OPEN, 0, 0) && asked(d, &f));
	leave("a_client_whose_bytes_have_no_credit",
	      did(d, ORDER_OPEN, 1, 0) && asked(d, &f) &&
		      (f.alloc = 0, say(d, &f, OP_RESPONSE, 0)) &&
		      order(d, ORDER_WRITE, 1, 100000).value > 50000);
	bool full = open(d, 2, &f);

	while (full && f.sent < 270000)
		full = send_bytes(d, &f, 10000);
	leave("a_client_that_reads_nothing", full);
	leave("a_client_that_has_gone", open(d, 3, &f) &&
						order(d, ORDER_WRITE, 3, 100000).value > 50000 &&
						did(d, ORDER_CLOSE, 3, 0));
	leave("a_stream_shut_by_the_guest", open(d, 4, &f) && say(d, &f, OP_SHUTDOWN, SHUT_SEND));
	leave("a_stream_shut_by_the_client", open(d, 5, &f) && did(d, ORDER_SHUT, 5, 1));
}
