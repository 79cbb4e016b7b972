/* SPDX-License-Identifier: Apache-2.0 */
/* queue - vq_pop() on any rings at all, in memory that ends right behind them. Whatever it yields must
 * keep the promises of queue.h; reading and writing it must stay inside that memory. */
#include <assert.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/virtio/queue.h"

enum {
	RAM_BASE = 0x1000,
	RAM_BYTES = 16 << 10,
	DESCS = 128,
	AVAIL_AT = 12 << 10,
	USED_AT = 13 << 10,
	HEAD = 6,
	POPS = 300,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_seg(const struct guest_mem *m, const struct iovec *v)
{
	const struct mem_region *r = &m->region[0];
	const uint8_t *p = v->iov_base;

	assert(v->iov_len > 0 && p >= r->host && p <= r->host + r->size_bytes);
	assert(v->iov_len <= (size_t)(r->host + r->size_bytes - p));
}

static void check_chain(const struct guest_mem *m, const struct vq_chain *c)
{
	uint64_t out = 0, in = 0;

	assert(c->nout + c->nin >= 1 && c->nout + c->nin <= VQ_SEGS);
	for (unsigned i = 0; i < (unsigned)c->nout + c->nin; i++) {
		check_seg(m, &c->seg[i]);
		*(i < c->nout ? &out : &in) += c->seg[i].iov_len;
	}
	assert(out == c->out_len && in == c->in_len);
}

/* Moves the cursor through the chain in steps the input chooses; the sums must come out. */
static void use_chain(struct vq_chain *c, uint8_t step)
{
	struct iovec v[VQ_SEGS];
	uint8_t buf[256];
	uint64_t got = 0, put = 0;

	for (int i = 0; i < 8 && chain_get(c, buf, step) == 0; i++)
		got += step;
	assert(got <= c->out_len);
	unsigned n = chain_rest_out(c, SIZE_MAX, v);
	uint64_t rest = 0;
	for (unsigned i = 0; i < n; i++)
		rest += v[i].iov_len;
	assert(got + rest == c->out_len);
	for (int i = 0; i < 8 && chain_put(c, buf, step) == 0; i++)
		put += step;
	assert(put <= c->in_len);
	assert(chain_rest_in(c, step, v) <= VQ_SEGS);
}

/* A descriptor out of 6 bytes: most of them point into RAM or, as tables, at other descriptors. */
static struct vring_desc expand(const uint8_t *b)
{
	uint16_t where = (uint16_t)(b[0] | b[1] << 8);
	struct vring_desc d = {
		.addr = RAM_BASE + where % RAM_BYTES,
		.len = (uint32_t)(b[2] | (b[3] & 0x0f) << 8),
		.flags = b[4] & 7,
		.next = b[5] % (DESCS + 2),
	};

	if (d.flags & VRING_DESC_F_INDIRECT) {
		d.addr = RAM_BASE + where % DESCS * sizeof(d);
		d.len = (uint32_t)(b[2] % 16 * sizeof(d)) + (b[3] == 0xff);
	}
	if (b[3] & 0x80) /* the odd one */
		d.addr = (uint64_t)where << (b[3] & 0x3f);
	return d;
}

/* Input: a few choices, then descriptors of 6 bytes, of which the queue has the first `size` and tables
 * may use all; then heads. Or, by a choice, memory as it is. */
static void fill(uint8_t *ram, const uint8_t *data, size_t size)
{
	struct vring_desc *desc = (void *)ram;
	uint16_t *avail = (void *)(ram + AVAIL_AT);

	if (data[0] & 0x80) {
		memcpy(ram, data + HEAD, size - HEAD < RAM_BYTES ? size - HEAD : RAM_BYTES);
		return;
	}
	data += HEAD;
	size -= HEAD;
	for (unsigned i = 0; i < DESCS && size >= 6; i++, data += 6, size -= 6)
		desc[i] = expand(data);
	for (unsigned i = 0; i < DESCS && size; i++, size--)
		avail[2 + i] = *data++ % (DESCS + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vq_chain c;
	struct vq q;
	int r = 0;

	if (size < HEAD)
		return 0;
	uint8_t *ram = calloc(1, RAM_BYTES); /* of that very size: one byte too far is seen */
	assert(ram);
	fill(ram, data, size);
	struct guest_mem m = {.nregions = 1, .region[0] = {RAM_BASE, RAM_BYTES, ram}};
	struct vq_layout l = {
		.size = (uint16_t)(1U << data[0] % 10),
		.desc = {RAM_BASE},
		.avail = {RAM_BASE + AVAIL_AT},
		.used = {RAM_BASE + (data[1] & 0x80 ? data[2] * 64U : USED_AT)},
	};
	((uint16_t *)(void *)(ram + AVAIL_AT))[1] = data[3] % (DESCS + 1);
	if (vq_init(&q, &m, &l, (uint64_t)data[1] << VIRTIO_RING_F_INDIRECT_DESC) == 0) {
		for (int i = 0; i < POPS && (r = vq_pop(&q, &c)) == 1; i++) {
			check_chain(&m, &c);
			if (data[4] & 1)
				use_chain(&c, data[5]);
			vq_push(&q, &c, c.in_len);
			(void)!vq_needs_irq(&q);
		}
		assert(r == 1 || r == 0 || (r == -EPROTO && q.broken));
	}
	free(ram);
	return 0;
}
