/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_pkt.h - one virtio-vsock packet header (Virtio 1.2 section 5.10.6). Pure: no state, no I/O.
 *
 * On the wire a packet is 44 bytes of little-endian header and `len` bytes of payload:
 *
 *      0 src_cid:64  8 dst_cid:64  16 src_port:32  20 dst_port:32  24 len:32
 *     28 type:16    30 op:16       32 flags:32     36 buf_alloc:32 40 fwd_cnt:32
 *
 * Headers from the guest are hostile: they are copied out of guest memory once, judged here, and
 * the struct is what everybody else trusts. Any thread.
 */
#ifndef VMM_VIRTIO_VSOCK_PKT_H
#define VMM_VIRTIO_VSOCK_PKT_H

#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

enum {
	VSOCK_HDR_BYTES = 44,
	VSOCK_PAYLOAD_MAX = 64 * 1024, /* bytes in one packet, either way; what Linux sends too */
	VSOCK_HOST_CID = 2,
	VSOCK_TYPE_STREAM = 1,
};

enum vsock_op {
	VSOCK_OP_REQUEST = 1,
	VSOCK_OP_RESPONSE,
	VSOCK_OP_RST,
	VSOCK_OP_SHUTDOWN, /* flags: VSOCK_SHUT_* */
	VSOCK_OP_RW,
	VSOCK_OP_CREDIT_UPDATE,
	VSOCK_OP_CREDIT_REQUEST,
	VSOCK_OPS,
};

enum { VSOCK_SHUT_RCV = 1, VSOCK_SHUT_SEND = 2, VSOCK_SHUT_BOTH = 3 };

struct vsock_pkt {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port;
	uint32_t len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
};

enum vsock_verdict {
	VSOCK_PKT_OK,   /* a stream packet from this guest to the host, op known, length true */
	VSOCK_PKT_DROP, /* nobody to answer: the source is not the guest, or a bad RST */
	VSOCK_PKT_RST,  /* malformed, or for another CID: to be answered with vsock_pkt_rst() */
};

/* Decodes wire (VSOCK_HDR_BYTES) and judges it; *ret is filled whatever the verdict. payload_bytes
 * is what really followed the header: more than len is ignored, less is a lie. */
must_check enum vsock_verdict vsock_pkt_parse(const uint8_t *wire, size_t payload_bytes,
					      uint64_t guest_cid, struct vsock_pkt *ret);

/* Encodes p into wire (VSOCK_HDR_BYTES). */
void vsock_pkt_build(const struct vsock_pkt *p, uint8_t *ret_wire);

/* The reset that answers p: addresses swapped, same type. */
struct vsock_pkt vsock_pkt_rst(const struct vsock_pkt *p);

#endif
