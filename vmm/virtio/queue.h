/* SPDX-License-Identifier: Apache-2.0 */
/* queue.h - split virtqueues, device side (Virtio 1.2 section 2.7).
 *
 * Thread: the loop thread only. A struct vq is plain state: it can be written out and read back
 * between any two calls, and nothing outside it remembers what is in flight but the device.
 */
#ifndef VMM_VIRTIO_QUEUE_H
#define VMM_VIRTIO_QUEUE_H

#include <stdbool.h>

#include "vmm/mem.h"

enum { VQ_MAX = 256, VQ_SEGS = 64 };

/* What the driver told the transport; validated by vq_init(). */
struct vq_layout {
	uint16_t size; /* a power of two, at most VQ_MAX */
	gpa_t desc, avail, used;
};

struct vq {
	const struct guest_mem *mem;
	struct vq_layout layout;
	void *desc, *avail, *used; /* host views of the three parts, wholly inside RAM */
	uint16_t last_avail;       /* next avail ring slot to read; free-running */
	uint16_t next_used;        /* our copy of used->idx; the guest's copy is never read back */
	uint16_t signalled_used;   /* used idx at the last vq_needs_irq() */
	bool indirect, event_idx;  /* negotiated */
	bool held;                 /* vq_pop() finds nothing for now */
	bool broken;
};

/* One request, copied out of the ring. The segments point into guest RAM that the guest may still
 * rewrite: read a header once, with chain_get(), and trust only the copy. */
struct vq_chain {
	uint16_t head, nout, nin; /* nout readable segments first, then nin writable ones */
	uint16_t at;              /* cursor of chain_get()/chain_put(): segment ... */
	uint32_t at_off;          /* ... and offset in it */
	uint32_t out_len, in_len; /* bytes, overflow-checked */
	struct iovec seg[VQ_SEGS];
};

/* Validates the layout (size, alignment, wholly inside RAM) and resets all indices.
 * 0, or -EINVAL/-EFAULT: the driver chose something illegal and its device must break. */
must_check int vq_init(struct vq *q, const struct guest_mem *m, const struct vq_layout *l,
		       uint64_t features);

/* 1: c is filled; 0: ring empty; -EPROTO: the guest broke the ring rules (q stays broken): the
 * caller then calls virtio_broken() and stops. Guarantees on 1: every ring field was loaded once;
 * at most VQ_SEGS segments, each non-empty and inside one RAM region; readable before writable;
 * indirect tables only when negotiated, one level. With event_idx, an empty ring re-arms the
 * driver's notification before the last look, so no kick is lost. Never asserts, never logs. */
must_check int vq_pop(struct vq *q, struct vq_chain *c);

/* Takes back the last vq_pop(): the chain will be popped again. Only right after it, and only when no
 * vq_push() of that chain happened. */
void vq_unpop(struct vq *q);

/* Returns a chain with the number of bytes written into its writable part. Any order. */
void vq_push(struct vq *q, const struct vq_chain *c, uint32_t written_bytes);

/* After a batch of pushes: must the driver be interrupted? (avail flags, or used_event.) Answers for
 * the pushes since the last call, so ask at least once every 65535 of them. */
must_check bool vq_needs_irq(struct vq *q);

/* Cursor helpers over the readable part (get) or the writable one (put): exactly n bytes or
 * -EPROTO, the cursor then unmoved. The first chain_put() moves the cursor to the writable part. */
must_check int chain_get(struct vq_chain *c, void *buf, size_t n);
must_check int chain_put(struct vq_chain *c, const void *buf, size_t n);

/* The rest of the readable (writable) part from the cursor on as segments, at most max_bytes in
 * all; returns their number, at most VQ_SEGS. The cursor does not move. For readv/writev. */
unsigned chain_rest_out(const struct vq_chain *c, size_t max_bytes, struct iovec *ret_segs);
unsigned chain_rest_in(const struct vq_chain *c, size_t max_bytes, struct iovec *ret_segs);

#endif
