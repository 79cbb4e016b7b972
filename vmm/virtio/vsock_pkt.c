/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_pkt.c - see vsock_pkt.h.
 *
 * What is answered how:
 *   source is not this guest's CID        dropped: an answer could reach nobody
 *   destination is not the host           reset, so that connect() to a wrong CID fails at once
 *   type is not stream                    reset (5.10.6.2: MUST)
 *   op unknown, length false or too big,
 *   payload where none belongs            reset: the flow cannot be followed any more
 *   any of these, but itself a reset      dropped: a reset is never answered
 * The reserved upper halves of the CIDs are compared too, so only the guest's exact CID passes.
 */
#include "vmm/virtio/vsock_pkt.h"

#include <endian.h>
#include <linux/virtio_vsock.h>
#include <string.h>

_Static_assert(sizeof(struct virtio_vsock_hdr) == VSOCK_HDR_BYTES, "wire format");

static int is_well_formed(const struct vsock_pkt *p, size_t payload_bytes)
{
	if (p->dst_cid != VSOCK_HOST_CID || p->type != VSOCK_TYPE_STREAM)
		return 0;
	if (p->op == 0 || p->op >= VSOCK_OPS)
		return 0;
	if (p->op != VSOCK_OP_RW)
		return p->len == 0;
	return p->len <= VSOCK_PAYLOAD_MAX && p->len <= payload_bytes;
}

enum vsock_verdict vsock_pkt_parse(const uint8_t *wire, size_t payload_bytes, uint64_t guest_cid,
				   struct vsock_pkt *ret)
{
	struct virtio_vsock_hdr h;

	memcpy(&h, wire, sizeof(h));
	*ret = (struct vsock_pkt){
		.src_cid = le64toh(h.src_cid),
		.dst_cid = le64toh(h.dst_cid),
		.src_port = le32toh(h.src_port),
		.dst_port = le32toh(h.dst_port),
		.len = le32toh(h.len),
		.type = le16toh(h.type),
		.op = le16toh(h.op),
		.flags = le32toh(h.flags),
		.buf_alloc = le32toh(h.buf_alloc),
		.fwd_cnt = le32toh(h.fwd_cnt),
	};
	if (ret->src_cid != guest_cid)
		return VSOCK_PKT_DROP;
	if (is_well_formed(ret, payload_bytes))
		return VSOCK_PKT_OK;
	return ret->op == VSOCK_OP_RST ? VSOCK_PKT_DROP : VSOCK_PKT_RST;
}

void vsock_pkt_build(const struct vsock_pkt *p, uint8_t *ret_wire)
{
	struct virtio_vsock_hdr h = {
		.src_cid = htole64(p->src_cid),
		.dst_cid = htole64(p->dst_cid),
		.src_port = htole32(p->src_port),
		.dst_port = htole32(p->dst_port),
		.len = htole32(p->len),
		.type = htole16(p->type),
		.op = htole16(p->op),
		.flags = htole32(p->flags),
		.buf_alloc = htole32(p->buf_alloc),
		.fwd_cnt = htole32(p->fwd_cnt),
	};

	memcpy(ret_wire, &h, sizeof(h));
}

struct vsock_pkt vsock_pkt_rst(const struct vsock_pkt *p)
{
	return (struct vsock_pkt){
		.src_cid = p->dst_cid,
		.dst_cid = p->src_cid,
		.src_port = p->dst_port,
		.dst_port = p->src_port,
		.type = p->type,
		.op = VSOCK_OP_RST,
	};
}
