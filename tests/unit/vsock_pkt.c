/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock header: layout on the wire, and what is refused how. */
#include "tests/lib/test.h"
#include "vmm/virtio/vsock_pkt.h"

enum { CID = 3 };

static struct vsock_pkt good(void)
{
	return (struct vsock_pkt){
		.src_cid = CID,
		.dst_cid = VSOCK_HOST_CID,
		.src_port = 1,
		.dst_port = 77,
		.type = VSOCK_TYPE_STREAM,
		.op = VSOCK_OP_RW,
		.len = 10,
	};
}

static enum vsock_verdict judge(struct vsock_pkt p, size_t payload_bytes)
{
	uint8_t wire[VSOCK_HDR_BYTES];
	struct vsock_pkt back;

	vsock_pkt_build(&p, wire);
	return vsock_pkt_parse(wire, payload_bytes, CID, &back);
}

Test(vsock_pkt, has_the_layout_of_the_specification)
{
	struct vsock_pkt p = {
		.src_cid = 0x0706050403020100,
		.dst_cid = 0x0f0e0d0c0b0a0908,
		.src_port = 0x13121110,
		.dst_port = 0x17161514,
		.len = 0x1b1a1918,
		.type = 0x1d1c,
		.op = 0x1f1e,
		.flags = 0x23222120,
		.buf_alloc = 0x27262524,
		.fwd_cnt = 0x2b2a2928,
	};
	uint8_t wire[VSOCK_HDR_BYTES];
	struct vsock_pkt back;

	vsock_pkt_build(&p, wire);
	for (unsigned i = 0; i < sizeof(wire); i++)
		cr_assert_eq(wire[i], i);
	(void)!vsock_pkt_parse(wire, 0, CID, &back);
	cr_assert_eq(memcmp(&back, &p, VSOCK_HDR_BYTES), 0); /* the rest is padding */
}

Test(vsock_pkt, passes_every_stream_op_from_the_guest_to_the_host)
{
	for (uint16_t op = VSOCK_OP_REQUEST; op < VSOCK_OPS; op++) {
		struct vsock_pkt p = good();

		p.op = op;
		p.len = op == VSOCK_OP_RW ? 10 : 0;
		cr_assert_eq(judge(p, 10), VSOCK_PKT_OK, "op %u", op);
	}
}

Test(vsock_pkt, drops_what_claims_another_source)
{
	static const uint64_t cids[] = {0, 2, 4, UINT32_MAX, 1ull << 32 | CID};

	for (unsigned i = 0; i < countof(cids); i++) {
		struct vsock_pkt p = good();

		p.src_cid = cids[i];
		cr_assert_eq(judge(p, 10), VSOCK_PKT_DROP);
	}
}

Test(vsock_pkt, resets_what_goes_to_another_cid)
{
	static const uint64_t cids[] = {0, 1, CID, UINT32_MAX, 1ull << 32 | VSOCK_HOST_CID};

	for (unsigned i = 0; i < countof(cids); i++) {
		struct vsock_pkt p = good();

		p.dst_cid = cids[i];
		cr_assert_eq(judge(p, 10), VSOCK_PKT_RST);
	}
}

Test(vsock_pkt, resets_unknown_types_and_ops)
{
	static const uint16_t types[] = {0, 2, UINT16_MAX}, ops[] = {0, VSOCK_OPS, UINT16_MAX};

	for (unsigned i = 0; i < 3; i++) {
		struct vsock_pkt p = good(), q = good();

		p.type = types[i];
		q.op = ops[i];
		cr_assert_eq(judge(p, 10), VSOCK_PKT_RST);
		cr_assert_eq(judge(q, 10), VSOCK_PKT_RST);
	}
}

Test(vsock_pkt, resets_a_length_that_is_not_there)
{
	struct vsock_pkt p = good();

	cr_assert_eq(judge(p, 10), VSOCK_PKT_OK);
	cr_assert_eq(judge(p, 11), VSOCK_PKT_OK);
	cr_assert_eq(judge(p, 9), VSOCK_PKT_RST);
	p.len = UINT32_MAX;
	cr_assert_eq(judge(p, 10), VSOCK_PKT_RST);
}

Test(vsock_pkt, limits_payload_to_64_kib)
{
	struct vsock_pkt p = good();

	p.len = VSOCK_PAYLOAD_MAX;
	cr_assert_eq(judge(p, VSOCK_PAYLOAD_MAX), VSOCK_PKT_OK);
	p.len++;
	cr_assert_eq(judge(p, p.len), VSOCK_PKT_RST);
}

Test(vsock_pkt, resets_payload_on_a_control_packet)
{
	struct vsock_pkt p = good();

	p.op = VSOCK_OP_SHUTDOWN;
	p.len = 1;
	cr_assert_eq(judge(p, 1), VSOCK_PKT_RST);
}

Test(vsock_pkt, never_answers_a_reset)
{
	struct vsock_pkt p = good();

	p.op = VSOCK_OP_RST;
	p.len = 1;
	cr_assert_eq(judge(p, 1), VSOCK_PKT_DROP);
	p.len = 0;
	p.type = 2;
	cr_assert_eq(judge(p, 0), VSOCK_PKT_DROP);
	p.type = VSOCK_TYPE_STREAM;
	p.dst_cid = 9;
	cr_assert_eq(judge(p, 0), VSOCK_PKT_DROP);
}

Test(vsock_pkt, reset_goes_back_where_the_packet_came_from)
{
	struct vsock_pkt p = good(), r;

	p.dst_cid = 99;
	p.type = 7;
	p.flags = p.buf_alloc = p.fwd_cnt = 5;
	r = vsock_pkt_rst(&p);
	cr_assert_eq(r.src_cid, 99);
	cr_assert_eq(r.dst_cid, CID);
	cr_assert_eq(r.src_port, 77);
	cr_assert_eq(r.dst_port, 1);
	cr_assert_eq(r.type, 7);
	cr_assert_eq(r.op, VSOCK_OP_RST);
	cr_assert_eq(r.len | r.flags | r.buf_alloc | r.fwd_cnt, 0);
}
