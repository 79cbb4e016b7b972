/* SPDX-License-Identifier: Apache-2.0 */
/* queue.h - fixture of the queue tests: a queue of SIZE entries in a fake guest's memory, and
 * chains for it. Each test has a process of its own, so statics are fresh.
 */
#ifndef TESTS_UNIT_QUEUE_H
#define TESTS_UNIT_QUEUE_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "tests/fake/fake.h"
#include "tests/lib/test.h"

enum { SIZE = 8 };

static const uint64_t EVENT_IDX = UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX;
static const uint64_t INDIRECT = UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC;

static struct fake f;
static struct vq q;
static struct vq_chain c;
static gpa_t buf; /* 64 KiB to point at */

static inline struct vq_layout layout(void)
{
	return (struct vq_layout){f.q[0].size, f.q[0].desc, f.q[0].avail, f.q[0].used};
}

static inline void make(uint16_t size, uint64_t features)
{
	fake_make_rings(&f, 0, size);
	struct vq_layout l = layout();
	cr_assert_eq(vq_init(&q, &f.mem, &l, features), 0);
}

static inline void setup(void)
{
	fake_init(&f);
	buf = fake_alloc(&f, 64 << 10, 4096);
	make(SIZE, 0);
}

static inline void teardown(void)
{
	fake_fini(&f);
}

static inline gpa_t at(uint64_t off)
{
	return (gpa_t){buf.raw + off};
}

static inline struct fake_seg out(uint64_t off, uint32_t len)
{
	return (struct fake_seg){at(off), len, false};
}

static inline struct fake_seg in(uint64_t off, uint32_t len)
{
	return (struct fake_seg){at(off), len, true};
}

static inline void add(unsigned n, const struct fake_seg *s)
{
	fake_add(&f, 0, s, n);
}
#define ADD(...)                                                                \
	add(sizeof((struct fake_seg[]){__VA_ARGS__}) / sizeof(struct fake_seg), \
	    (struct fake_seg[]){__VA_ARGS__})

/* Broken for good: also when the ring is made right again. */
static inline void assert_broken(void)
{
	cr_assert_eq(vq_pop(&q, &c), -EPROTO);
	cr_assert(q.broken);
	*fake_desc(&f, 0, 0) = (struct vring_desc){.addr = buf.raw, .len = 1};
	for (unsigned i = 0; i < f.q[0].size; i++)
		fake_avail(&f, 0)[2 + i] = 0;
	fake_avail(&f, 0)[1] = (uint16_t)(q.last_avail + 1);
	cr_assert_eq(vq_pop(&q, &c), -EPROTO);
	vq_push(&q, &c, 0);
	cr_assert_not(vq_needs_irq(&q));
}

#endif
