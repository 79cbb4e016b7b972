/* SPDX-License-Identifier: Apache-2.0 */
/* vsock.c - packets that no connection of the host ever asked for: wrong in every field, in buffers of
 * every shape, and connection attempts by the hundred thousand. The device is live before each case.
 *
 * None of this needs a client at the host's sockets; what reaches those is stream.c.
 */
#include "tests/hostile/vsock.h"

uint8_t vs_payload[PAYLOAD_BYTES];

static _Alignas(4096) uint8_t rx_buf[RX_SIZE][RX_BYTES];
static struct packet tx_hdr[TX_SIZE];
static unsigned tx_pending;

/* ---- the driver ---- */

void vs_post_rx(struct dev *d)
{
	for (uint16_t i = 0; i < RX_SIZE; i++) {
		put(d, VS_RX, i, (struct desc){at(rx_buf[i]), RX_BYTES, D_WRITE, 0});
		expose(d, VS_RX, i);
	}
	kick(d, VS_RX);
}

bool vs_start_mute(struct dev *d)
{
	tx_pending = 0;
	return start(d, F_ALL);
}

bool vs_start(struct dev *d)
{
	if (!vs_start_mute(d))
		return false;
	vs_post_rx(d);
	return true;
}

struct packet vs_packet(uint16_t op, uint32_t src_port, uint32_t dst_port)
{
	return (struct packet){
		.src_cid = GUEST_CID,
		.dst_cid = HOST_CID,
		.src_port = src_port,
		.dst_port = dst_port,
		.type = TYPE_STREAM,
		.op = op,
		.buf_alloc = 1 << 20,
	};
}

bool vs_settle(struct dev *d)
{
	while (tx_pending) {
		if (!used(d, VS_TX, NULL))
			return false;
		tx_pending--;
	}
	return true;
}

bool vs_send(struct dev *d, const struct packet *p, uint32_t n)
{
	if (!vs_settle(d))
		return false;
	tx_hdr[0] = *p;
	put(d, VS_TX, 0, (struct desc){at(&tx_hdr[0]), HDR_BYTES, n ? D_NEXT : 0, 1});
	put(d, VS_TX, 1, (struct desc){at(vs_payload), n, 0, 0});
	expose(d, VS_TX, 0);
	kick(d, VS_TX);
	return used(d, VS_TX, NULL);
}

void vs_queue(struct dev *d, const struct packet *p)
{
	uint16_t i = (uint16_t)(d->q[VS_TX].avail_idx % TX_SIZE);

	tx_hdr[i] = *p;
	put(d, VS_TX, i, (struct desc){at(&tx_hdr[i]), HDR_BYTES, 0, 0});
	expose(d, VS_TX, i);
	tx_pending++;
}

static void take(struct dev *d, struct packet *ret, const uint8_t **ret_data)
{
	struct ring *r = &d->q[VS_RX];
	uint16_t i = (uint16_t)(r->used.ring[(uint16_t)(r->used_idx - 1) % RX_SIZE].id % RX_SIZE);

	copy(ret, rx_buf[i], sizeof(*ret));
	if (ret_data)
		*ret_data = rx_buf[i] + HDR_BYTES;
	expose(d, VS_RX, i); /* read before the next packets come round, or not at all */
	if (r->avail_idx % (RX_SIZE / 4) == 0)
		kick(d, VS_RX);
}

bool vs_recv_now(struct dev *d, struct packet *ret, const uint8_t **ret_data)
{
	if (!used_now(d, VS_RX, NULL))
		return false;
	take(d, ret, ret_data);
	return true;
}

bool vs_recv(struct dev *d, struct packet *ret, const uint8_t **ret_data)
{
	if (!used(d, VS_RX, NULL))
		return false;
	take(d, ret, ret_data);
	return true;
}

bool vs_is_reset_of(const struct packet *got, const struct packet *p)
{
	return got->src_cid == p->dst_cid && got->dst_cid == p->src_cid &&
	       got->src_port == p->dst_port && got->dst_port == p->src_port &&
	       got->type == p->type && got->op == OP_RST && got->len == 0;
}

bool vs_is_silent(struct dev *d)
{
	struct packet ask = vs_packet(OP_REQUEST, 5000 + chance() % 1000, 77), got;

	return vs_send(d, &ask, 0) && vs_recv(d, &got, NULL) && vs_is_reset_of(&got, &ask);
}

bool vsock_works(struct dev *d)
{
	return vs_start(d) && vs_is_silent(d);
}

/* ---- one wrong packet ---- */

static bool is_dropped(struct dev *d, const struct packet *p, uint32_t n)
{
	return vs_send(d, p, n) && vs_is_silent(d);
}

static bool is_reset(struct dev *d, const struct packet *p, uint32_t n)
{
	struct packet got;

	return vs_send(d, p, n) && vs_recv(d, &got, NULL) && vs_is_reset_of(&got, p);
}

/* Nobody could be answered. */
static enum verdict foreign_sources(struct dev *d)
{
	static const uint64_t cid[] = {0, 1, 2, 4, 0xffffffff, 1ULL << 32, (1ULL << 32) + 3, -1ULL};

	for (size_t i = 0; i < countof(cid); i++)
		for (uint16_t op = 0; op <= OP_CREDIT_REQUEST + 1; op++) {
			struct packet p = vs_packet(op, 1000, 1 << 30);

			p.src_cid = cid[i];
			if (!is_dropped(d, &p, 0))
				return WRONG;
		}
	return IGNORED;
}

static enum verdict foreign_destinations(struct dev *d)
{
	static const uint64_t cid[] = {0, 1, 3, 4, 0xffffffff, 1ULL << 32, (1ULL << 32) + 2, -1ULL};

	for (size_t i = 0; i < countof(cid); i++)
		for (uint16_t op = 0; op <= OP_CREDIT_REQUEST; op++) {
			struct packet p = vs_packet(op, 1000, PORT_READY);

			p.dst_cid = cid[i];
			if (op == OP_RST ? !is_dropped(d, &p, 0) : !is_reset(d, &p, 0))
				return WRONG;
		}
	return REFUSED;
}

static enum verdict unknown_types(struct dev *d)
{
	static const uint16_t type[] = {0, 2 /* seqpacket */, 3, 0x101, 0xffff};

	for (size_t i = 0; i < countof(type); i++) {
		struct packet p = vs_packet(OP_REQUEST, 1000, 1000);

		p.type = type[i];
		if (!is_reset(d, &p, 0))
			return WRONG;
	}
	return REFUSED;
}

static enum verdict unknown_operations(struct dev *d)
{
	static const uint16_t op[] = {0, 8, 9, 255, 256 + OP_RST, 0xffff};

	for (size_t i = 0; i < countof(op); i++) {
		struct packet p = vs_packet(op[i], 1000, 1000);

		if (!is_reset(d, &p, 0))
			return WRONG;
	}
	return REFUSED;
}

static enum verdict lengths_that_lie(struct dev *d)
{
	static const uint32_t len[] = {1, 101, HOST_BUF_BYTES, HOST_BUF_BYTES + 1, 0x7fffffff, ~0U};

	for (size_t i = 0; i < countof(len); i++)
		for (uint16_t op = OP_REQUEST; op <= OP_CREDIT_REQUEST; op++) {
			struct packet p = vs_packet(op, 1000, 1000);

			p.len = len[i];
			if (op == OP_RST ? !is_dropped(d, &p, 100)
					 : !is_reset(d, &p, op == OP_RW ? 0 : 100))
				return WRONG;
		}
	return REFUSED;
}

static enum verdict more_payload_than_said(struct dev *d)
{
	struct packet p = vs_packet(OP_RW, 1000, 1000);

	p.len = 10;
	return holds(is_reset(d, &p, PAYLOAD_BYTES), REFUSED);
}

/* Each operation of a flow that does not exist, at ports that look as if it did. */
static enum verdict no_such_flow(struct dev *d)
{
	static const uint32_t port[] = {0,          1,          3,  1023, 1 << 30, (1 << 30) + 1023,
					0x7fffffff, 0x80000000, ~0U};

	for (size_t i = 0; i < countof(port); i++)
		for (uint16_t op = OP_RESPONSE; op <= OP_CREDIT_REQUEST; op++) {
			struct packet p = vs_packet(op, port[countof(port) - 1 - i], port[i]);

			p.flags = ~0U;
			p.buf_alloc = p.fwd_cnt = chance();
			if (op == OP_RST ? !is_dropped(d, &p, 0) : !is_reset(d, &p, 0))
				return WRONG;
		}
	return REFUSED;
}

static enum verdict services_of_the_host(struct dev *d)
{
	for (uint32_t port = 0; port < 1100; port++) {
		struct packet p = vs_packet(OP_REQUEST, 1024 + port, port);

		if (!is_reset(d, &p, 0))
			return WRONG;
	}
	return REFUSED;
}

/* ---- buffers ---- */

static enum verdict one_tx_chain(struct dev *d, const struct desc *e, uint16_t n)
{
	if (!vs_start(d))
		return WRONG;
	tx_hdr[0] = vs_packet(OP_REQUEST, 1000, 1000);
	for (uint16_t i = 0; i < n; i++)
		put(d, VS_TX, i, e[i]);
	expose(d, VS_TX, 0);
	kick(d, VS_TX);
	return used(d, VS_TX, NULL) ? ANSWERED : broken_or(d, WRONG);
}

static enum verdict tx_buffers_of_no_packet(struct dev *d)
{
	const struct desc bad[][2] = {
		{{at(tx_hdr), HDR_BYTES - 1, 0, 0}},
		{{at(tx_hdr), HDR_BYTES, D_WRITE, 0}},
		{{at(tx_hdr), HDR_BYTES, D_NEXT, 1}, {at(vs_payload), 64, D_WRITE, 0}},
		{{at(tx_hdr), 0, 0, 0}},
		{{at(tx_hdr), HDR_BYTES, D_NEXT, 0}},
		{{at(tx_hdr), HDR_BYTES, D_NEXT, TX_SIZE}},
		{{ram_end[0] - 43, HDR_BYTES, 0, 0}},
		{{-44ULL, HDR_BYTES + 44, 0, 0}},
		{{at(tx_hdr), 48, D_INDIRECT, 0}}, /* not offered by vsock */
	};

	for (size_t i = 0; i < countof(bad); i++)
		if (one_tx_chain(d, bad[i], 2) != NEEDS_RESET)
			return WRONG;
	return NEEDS_RESET;
}

static enum verdict header_in_pieces(struct dev *d)
{
	struct desc piece[HDR_BYTES];
	struct packet got;

	for (uint16_t i = 0; i < HDR_BYTES; i++)
		piece[i] = (struct desc){at(tx_hdr) + i, 1, i + 1 < HDR_BYTES ? D_NEXT : 0,
					 (uint16_t)(i + 1)};
	return one_tx_chain(d, piece, HDR_BYTES) == ANSWERED && vs_recv(d, &got, NULL) &&
			       vs_is_reset_of(&got, &tx_hdr[0])
		       ? ANSWERED
		       : WRONG;
}

/* What the device does with its one rx buffer, once it has something to say. */
static enum verdict one_rx_buffer(struct dev *d, const struct desc *e)
{
	struct packet p = vs_packet(OP_REQUEST, 1000, 1000);

	if (!vs_start_mute(d))
		return WRONG;
	put(d, VS_RX, 0, e[0]);
	put(d, VS_RX, 1, e[1]);
	expose(d, VS_RX, 0);
	kick(d, VS_RX);
	(void)vs_send(d, &p, 0);
	return used(d, VS_RX, NULL) ? ANSWERED : broken_or(d, WRONG);
}

static enum verdict rx_buffers_of_no_packet(struct dev *d)
{
	const struct desc bad[][2] = {
		{{at(rx_buf), HDR_BYTES - 1, D_WRITE, 0}},
		{{at(rx_buf), HDR_BYTES, D_WRITE, 0}}, /* no room for payload: none of Linux' */
		{{at(rx_buf), 4096, 0, 0}},
		{{at(rx_buf), 4, D_NEXT, 1}, {at(rx_buf), 4096, D_WRITE, 0}},
		{{at(rx_buf), 0, D_WRITE, 0}},
		{{at(rx_buf), 4096, D_WRITE | D_NEXT, 0}},
		{{ram_end[0] - 4095, 4096, D_WRITE, 0}},
		{{-100ULL, 200, D_WRITE, 0}},
		{{at(rx_buf), 4096, D_WRITE, 0}},
	};

	for (size_t i = 0; i < countof(bad); i++)
		if (one_rx_buffer(d, bad[i]) != (i + 1 < countof(bad) ? NEEDS_RESET : ANSWERED))
			return WRONG;
	return NEEDS_RESET;
}

static enum verdict answers_over_the_rings(struct dev *d)
{
	const uint64_t place[] = {at(d->q[VS_RX].desc),   at(&d->q[VS_RX].avail),
				  at(&d->q[VS_RX].used),  at(d->q[VS_TX].desc),
				  at(&d->q[VS_TX].avail), at(tx_hdr)};

	for (size_t i = 0; i < countof(place); i++) {
		struct desc e[2] = {{place[i], 512, D_WRITE, 0}};

		(void)one_rx_buffer(d, e);
	}
	return SURVIVED;
}

static enum verdict bad_event_buffers(struct dev *d)
{
	put(d, VS_EVENT, 0, (struct desc){-1ULL, ~0U, D_NEXT, 0});
	expose(d, VS_EVENT, 0);
	for (unsigned i = 0; i < 50; i++)
		kick(d, VS_EVENT);
	barrier();
	return holds(!used_now(d, VS_EVENT, NULL) && vs_is_silent(d), IGNORED);
}

/* ---- many ---- */

/* While nothing can be answered, no more is taken than can be kept; then all is answered, in order. */
static enum verdict no_rx_buffers(struct dev *d)
{
	unsigned answered = 0;
	struct packet got;

	if (!vs_start_mute(d))
		return WRONG;
	for (unsigned round = 0; round < 4; round++)
		for (uint32_t i = 0; i < TX_SIZE - 1; i++) {
			struct packet p = vs_packet(OP_REQUEST, 1000 + answered + i, 1000);

			if (tx_pending < TX_SIZE - 1)
				vs_queue(d, &p);
			if (used_now(d, VS_TX, NULL))
				tx_pending--;
			kick(d, VS_TX);
		}
	barrier();
	unsigned sent = d->q[VS_TX].avail_idx;
	vs_post_rx(d);
	while (answered < sent && vs_recv(d, &got, NULL) && got.op == OP_RST)
		answered++;
	note("packets", sent);
	return holds(answered == sent && vs_settle(d), REFUSED);
}

/* Each attempt is answered by one reset: none is lost, and nothing is kept. */
static enum verdict connection_attempts(struct dev *d)
{
	const unsigned n = 100000;
	unsigned sent = 0, answered = 0;
	struct packet got;

	while (answered < n) {
		while (sent < n && tx_pending < TX_SIZE / 2) {
			struct packet p = vs_packet(OP_REQUEST, 1024 + sent++, chance());

			vs_queue(d, &p);
		}
		kick(d, VS_TX);
		if (!vs_recv(d, &got, NULL))
			break;
		do {
			if (got.op != OP_RST || got.dst_port != 1024 + answered++)
				return WRONG;
		} while (vs_recv_now(d, &got, NULL));
		if (!vs_settle(d))
			break;
	}
	note("attempts", answered);
	return holds(answered == n && vs_is_silent(d), REFUSED);
}

static enum verdict ringing_ready_again_and_again(struct dev *d)
{
	for (unsigned i = 0; i < 500; i++) {
		struct packet p = vs_packet(OP_REQUEST, i, PORT_READY);

		if (!is_reset(d, &p, 0))
			return WRONG;
	}
	return REFUSED;
}

static enum verdict noise(struct dev *d)
{
	unsigned n = volume(5000);
	struct packet got;

	for (unsigned i = 0; i < n; i++) {
		struct packet p = vs_packet((uint16_t)(chance() % 9), chance() >> (chance() % 32),
					    chance() >> (chance() % 32));

		p.len = chance() % 2 ? 0 : chance() >> (chance() % 32);
		p.flags = chance() % 4;
		p.buf_alloc = chance();
		p.fwd_cnt = chance();
		if (chance() % 8 == 0)
			((uint8_t *)&p)[chance() % sizeof(p)] = (uint8_t)chance();
		if (!vs_send(d, &p, chance() % 2 ? 0 : 1 + chance() % 5000))
			return WRONG;
		while (vs_recv_now(d, &got, NULL))
			;
	}
	note("packets", n);
	return SURVIVED;
}

static const struct attack attacks[] = {
	{"source_cids_of_others", IGNORED, foreign_sources},
	{"destination_cids_of_others", REFUSED, foreign_destinations},
	{"unknown_types", REFUSED, unknown_types},
	{"unknown_operations", REFUSED, unknown_operations},
	{"lengths_that_lie", REFUSED, lengths_that_lie},
	{"more_payload_than_said", REFUSED, more_payload_than_said},
	{"packets_of_no_connection", REFUSED, no_such_flow},
	{"services_of_the_host", REFUSED, services_of_the_host},
	{"tx_buffers_of_no_packet", NEEDS_RESET, tx_buffers_of_no_packet},
	{"header_in_pieces_of_a_byte", ANSWERED, header_in_pieces},
	{"rx_buffers_of_no_packet", NEEDS_RESET, rx_buffers_of_no_packet},
	{"answers_over_the_rings", SURVIVED, answers_over_the_rings},
	{"event_buffers_are_not_looked_at", IGNORED, bad_event_buffers},
	{"no_rx_buffers", REFUSED, no_rx_buffers},
	{"connection_attempts", REFUSED, connection_attempts},
	{"ringing_ready_again_and_again", REFUSED, ringing_ready_again_and_again},
	{"noise", SURVIVED, noise},
};

void vsock_group(void)
{
	static const struct group group = {"vsock", vs_start, vsock_works, attacks,
					   countof(attacks)};

	run_group(&group, &device[SLOT_VSOCK]);
}
