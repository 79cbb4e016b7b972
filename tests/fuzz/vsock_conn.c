/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_conn - any sequence of packets, host events and time keeps the rules of both sides. */
#include <assert.h>
#include <stdint.h>

#include "vmm/virtio/vsock_conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at;
	size_t left;
};

static uint32_t next(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

static uint32_t next_word(struct input *in)
{
	uint32_t a = next(in), b = next(in), c = next(in);

	return a | b << 8 | c << 16 | (c & 0x80 ? 0xff000000 : 0);
}

/* What the guest was told, to hold the connection to it. */
struct model {
	bool reset;    /* we said so */
	unsigned shut; /* flags we said */
	uint32_t sent;
};

static void check_said(struct model *m, const struct vsock_conn *c, const struct vsock_pkt *p)
{
	assert(!m->reset);
	assert(p->buf_alloc == VSOCK_BUF_BYTES && p->fwd_cnt == c->forwarded);
	assert(p->src_port == 1 << 30 && p->dst_port == 1);
	if (p->op == VSOCK_OP_RST)
		m->reset = true;
	if (p->op == VSOCK_OP_SHUTDOWN) {
		assert(p->flags && (p->flags & m->shut) == m->shut && p->flags != m->shut);
		m->shut = p->flags;
	}
	if (p->op == VSOCK_OP_RW) {
		assert(!(m->shut & VSOCK_SHUT_SEND) && p->len > 0);
		m->sent += p->len;
	}
	assert(m->sent == c->sent);
}

static void hear(struct vsock_conn *c, struct input *in)
{
	struct vsock_pkt p = {
		.op = (uint16_t)(1 + next(in) % (VSOCK_OPS - 1)),
		.flags = next(in),
		.buf_alloc = next_word(in),
		.fwd_cnt = next_word(in),
	};
	if (p.op == VSOCK_OP_RW)
		p.len = next_word(in) % (VSOCK_PAYLOAD_MAX + 1);

	unsigned before = c->state;
	unsigned todo = vsock_conn_recv(c, &p);
	if (todo & VSOCK_DO_CLOSE)
		assert(c->state == VSOCK_CLOSED);
	if (todo & VSOCK_DO_STORE)
		assert(p.op == VSOCK_OP_RW && p.len && c->state == VSOCK_OPEN);
	if (before == VSOCK_CLOSED)
		assert(c->state == VSOCK_CLOSED && !(todo & ~(unsigned)VSOCK_DO_CLOSE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct model m = {0};
	struct vsock_conn c;
	struct vsock_pkt p;
	uint64_t now_ms = 1;

	vsock_conn_init(&c, 1 << 30, 1, now_ms);
	while (in.left) {
		uint32_t credit = vsock_conn_credit(&c), stored = c.received - c.forwarded;

		switch (next(&in) % 8) {
		case 0:
		case 1: hear(&c, &in); break;
		case 2: vsock_conn_forwarded(&c, stored ? next_word(&in) % (stored + 1) : 0); break;
		case 3: vsock_conn_host_shut(&c, next(&in) & VSOCK_SHUT_BOTH, now_ms); break;
		case 4:
			if (vsock_conn_say(&c, &p) || vsock_conn_say_credit(&c, &p))
				check_said(&m, &c, &p);
			break;
		case 5:
			if (credit) {
				vsock_conn_data(&c, 1 + next_word(&in) % credit, &p);
				check_said(&m, &c, &p);
			}
			break;
		case 6: vsock_conn_stalled(&c, now_ms); break;
		case 7:
			now_ms += next_word(&in) & 0x3fff;
			vsock_conn_expire(&c, now_ms);
			assert(!c.deadline_ms || c.deadline_ms > now_ms);
			break;
		}
		assert(c.received - c.forwarded <= VSOCK_BUF_BYTES);
		assert(c.state < VSOCK_STATES);
		assert(vsock_conn_credit(&c) <= c.guest_alloc);
		assert(c.state == VSOCK_OPEN || !vsock_conn_credit(&c));
		assert(c.state != VSOCK_CLOSED || !(c.say & ~(1u << VSOCK_OP_RST)));
	}
	return 0;
}
