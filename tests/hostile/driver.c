/* SPDX-License-Identifier: Apache-2.0 */
/* driver.c - registers and rings of a virtio-mmio device, for honest and for lying use. See guest.h. */
#include "tests/hostile/guest.h"

#define ACCESSORS(bits, rname, wname)                                   \
	uint##bits##_t rname(const struct dev *d, unsigned off)         \
	{                                                               \
		return *(volatile uint##bits##_t *)(d->base + off);     \
	}                                                               \
	void wname(const struct dev *d, unsigned off, uint##bits##_t v) \
	{                                                               \
		*(volatile uint##bits##_t *)(d->base + off) = v;        \
	}
ACCESSORS(8, rd8, wr8)
ACCESSORS(16, rd16, wr16)
ACCESSORS(32, rd, wr)
ACCESSORS(64, rd64, wr64)

void wr_address(const struct dev *d, unsigned off, uint64_t addr)
{
	wr(d, off, (uint32_t)addr);
	wr(d, off + 4, (uint32_t)(addr >> 32));
}

uint32_t status(const struct dev *d)
{
	return rd(d, R_STATUS);
}

bool is_broken(const struct dev *d)
{
	return status(d) & S_NEEDS_RESET;
}

void reset(struct dev *d)
{
	wr(d, R_STATUS, 0);
	for (unsigned q = 0; q < QUEUES; q++)
		fill(&d->q[q], 0, sizeof(d->q[q]));
}

void look_at(struct dev *d)
{
	d->id = rd(d, R_DEVICE_ID);
	wr(d, R_DEVICE_FEATURES_SEL, 1);
	d->offered = (uint64_t)rd(d, R_DEVICE_FEATURES) << 32;
	wr(d, R_DEVICE_FEATURES_SEL, 0);
	d->offered |= rd(d, R_DEVICE_FEATURES);
	for (unsigned q = 0; q < QUEUES; q++) {
		wr(d, R_QUEUE_SEL, q);
		d->size[q] = (uint16_t)rd(d, R_QUEUE_NUM_MAX);
	}
}

bool negotiate(struct dev *d, uint64_t features)
{
	d->features = features == F_ALL ? d->offered : features;
	wr(d, R_STATUS, S_ACK);
	wr(d, R_STATUS, S_ACK | S_DRIVER);
	wr(d, R_DRIVER_FEATURES_SEL, 0);
	wr(d, R_DRIVER_FEATURES, (uint32_t)d->features);
	wr(d, R_DRIVER_FEATURES_SEL, 1);
	wr(d, R_DRIVER_FEATURES, (uint32_t)(d->features >> 32));
	wr(d, R_STATUS, S_SET_UP);
	return status(d) == S_SET_UP;
}

void set_queue(struct dev *d, unsigned q, uint16_t size)
{
	struct ring *r = &d->q[q];

	r->size = size;
	wr(d, R_QUEUE_SEL, q);
	wr(d, R_QUEUE_NUM, size);
	/* We lie below 4 GiB, and the high halves are zero since the reset: some hosts' exits are dear. */
	wr(d, R_DESC, (uint32_t)at(r->desc));
	wr(d, R_AVAIL, (uint32_t)at(&r->avail));
	wr(d, R_USED, (uint32_t)at(&r->used));
}

void add_queue(struct dev *d, unsigned q, uint16_t size)
{
	set_queue(d, q, size);
	wr(d, R_QUEUE_READY, 1);
}

bool go(struct dev *d)
{
	wr(d, R_STATUS, S_LIVE);
	return status(d) == S_LIVE;
}

bool start(struct dev *d, uint64_t features)
{
	reset(d);
	if (status(d) != 0 || !negotiate(d, features))
		return false;
	for (unsigned q = 0; q < QUEUES; q++)
		if (d->size[q])
			add_queue(d, q, d->size[q]);
	return go(d);
}

void put(struct dev *d, unsigned q, uint16_t i, struct desc v)
{
	d->q[q].desc[i] = v;
}

void expose(struct dev *d, unsigned q, uint16_t head)
{
	struct ring *r = &d->q[q];

	r->avail.ring[r->avail_idx % r->size] = head;
	__asm__ volatile("" ::: "memory"); /* x86 keeps the order of stores */
	r->avail.idx = ++r->avail_idx;
}

void kick(const struct dev *d, unsigned q)
{
	__sync_synchronize();
	wr(d, R_NOTIFY, q);
}

bool used_now(struct dev *d, unsigned q, uint32_t *ret_len)
{
	struct ring *r = &d->q[q];

	if (r->used.idx == r->used_idx)
		return false;
	__asm__ volatile("" ::: "memory");
	if (ret_len)
		*ret_len = r->used.ring[r->used_idx % r->size].len;
	r->used_idx++;
	return true;
}

bool used(struct dev *d, unsigned q, uint32_t *ret_len)
{
	enum { SPINS = 2000 };
	uint64_t since = clock_now();

	for (;;) {
		for (unsigned i = 0; i < SPINS; i++) {
			if (used_now(d, q, ret_len))
				return true;
			__builtin_ia32_pause();
		}
		/* Asking costs an exit, but a broken device will not answer any more. */
		if (is_late(since) || is_broken(d))
			return used_now(d, q, ret_len);
	}
}
