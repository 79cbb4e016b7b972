/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_pkt - any header is judged; what passes is what it claims to be. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "vmm/virtio/vsock_pkt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t back[VSOCK_HDR_BYTES];
	struct vsock_pkt p, r;

	if (size < VSOCK_HDR_BYTES)
		return 0;

	enum vsock_verdict v = vsock_pkt_parse(data, size - VSOCK_HDR_BYTES, 3, &p);
	vsock_pkt_build(&p, back);
	assert(memcmp(back, data, sizeof(back)) == 0);
	if (v == VSOCK_PKT_OK) {
		assert(p.src_cid == 3 && p.dst_cid == VSOCK_HOST_CID &&
		       p.type == VSOCK_TYPE_STREAM);
		assert(p.op > 0 && p.op < VSOCK_OPS && p.len <= size - VSOCK_HDR_BYTES);
	}
	if (v == VSOCK_PKT_RST)
		assert(p.op != VSOCK_OP_RST);
	r = vsock_pkt_rst(&p);
	assert(r.dst_cid == p.src_cid && r.len == 0);
	return 0;
}
