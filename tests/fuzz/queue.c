/* queue - vq_pop() on any bytes at all: the input is the guest's memory, rings included. Whatever it
 * yields must keep the promises of queue.h; reading and writing it must stay inside that memory. */
#include <assert.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/virtio/queue.h"

enum { RAM_BASE = 0x1000, HEAD = 16, POPS = 300 };

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

/* The first bytes: log2 of the size, features, the three places, a step; the rest is memory. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vq_chain c;
	uint16_t at[3];
	struct vq q;

	if (size < HEAD)
		return 0;
	size_t ram_bytes = (size - HEAD) / 16 * 16;
	uint8_t *ram =
		malloc(ram_bytes + !ram_bytes); /* of that very size: one byte too far is seen */
	assert(ram);
	memcpy(ram, data + HEAD, ram_bytes);
	memcpy(at, data + 2, sizeof(at));

	struct guest_mem m = {.nregions = 1, .region[0] = {RAM_BASE, ram_bytes, ram}};
	struct vq_layout l = {
		.size = (uint16_t)(1U << data[0] % 10),
		.desc = {RAM_BASE + at[0]},
		.avail = {RAM_BASE + at[1]},
		.used = {RAM_BASE + at[2]},
	};
	uint64_t features = (uint64_t)data[1] << VIRTIO_RING_F_INDIRECT_DESC;
	if (vq_init(&q, &m, &l, features) == 0) {
		int r = 0;

		for (int i = 0; i < POPS && (r = vq_pop(&q, &c)) == 1; i++) {
			check_chain(&m, &c);
			if (data[8] & 1)
				use_chain(&c, data[9]);
			vq_push(&q, &c, c.in_len);
			(void)!vq_needs_irq(&q);
		}
		assert(r == 1 || r == 0 || (r == -EPROTO && q.broken));
	}
	free(ram);
	return 0;
}
