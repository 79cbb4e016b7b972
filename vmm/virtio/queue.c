/* SPDX-License-Identifier: Apache-2.0 */
/* queue.c - split virtqueues, device side. See queue.h.
 *
 * The protocol (Virtio 1.2 section 2.7): three arrays in guest memory.
 *
 *   descriptor table   size * 16 bytes   { addr:64, len:32, flags:16, next:16 }   written by the driver
 *   available ring     6 + 2 * size      { flags, idx, ring[size], used_event }   written by the driver
 *   used ring          6 + 8 * size      { flags, idx, ring[size], avail_event }  written by us
 *
 * The driver links descriptors into a chain (NEXT), puts the index of the first into the available
 * ring and moves idx on. We hand the same index back through the used ring, with the number of bytes
 * written. Both idx run freely; a slot is idx modulo size. A descriptor may name a table of further
 * descriptors (INDIRECT, one level).
 *
 * Notifications: with EVENT_IDX each side writes the idx at whose passing it wants to be told
 * (used_event, avail_event); without it we always want kicks, and avail flags silence interrupts.
 *
 * Duties: the guest writes all of this while we read. Each field is loaded once, checked, and used
 * from the copy. Whatever breaks a rule breaks the queue for good.
 * Limits: VQ_MAX entries, VQ_SEGS segments a chain, u32 bytes each way.
 */
#include "vmm/virtio/queue.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are little-endian, read as is");

/* The 16-bit words of the two rings: flags, idx, entries; then the other side's event index. */
enum { RING_FLAGS, RING_IDX, AVAIL_ENTRIES };
enum { USED_ENTRIES_AT = 4, USED_ENTRY_BYTES = 8 };

static uint16_t *word(void *ring, size_t i)
{
	return (uint16_t *)ring + i;
}

static uint16_t *used_event(const struct vq *q)
{
	return word(q->avail, AVAIL_ENTRIES + q->layout.size);
}

static uint16_t *avail_event(const struct vq *q)
{
	size_t entries_bytes = (size_t)USED_ENTRY_BYTES * q->layout.size;

	return word((uint8_t *)q->used + USED_ENTRIES_AT + entries_bytes, 0);
}

/* The part of the ring at gpa as host memory. */
static int view(const struct guest_mem *m, gpa_t gpa, size_t len, unsigned align, void **ret)
{
	struct iovec v;

	if (gpa.raw % align)
		return -EINVAL;
	int r = mem_slice(m, gpa, len, &v);
	if (r < 0)
		return r;
	*ret = v.iov_base;
	return 0;
}

int vq_init(struct vq *q, const struct guest_mem *m, const struct vq_layout *l, uint64_t features)
{
	size_t n = l->size;

	memset(q, 0, sizeof(*q));
	q->broken = true; /* until all of it is known to be good */
	if (n == 0 || n > VQ_MAX || (n & (n - 1)))
		return -EINVAL;
	int r = view(m, l->desc, n * sizeof(struct vring_desc), VRING_DESC_ALIGN_SIZE, &q->desc);
	if (r == 0)
		r = view(m, l->avail, 6 + n * 2, VRING_AVAIL_ALIGN_SIZE, &q->avail);
	if (r == 0)
		r = view(m, l->used, 6 + n * USED_ENTRY_BYTES, VRING_USED_ALIGN_SIZE, &q->used);
	if (r < 0)
		return r;
	q->mem = m;
	q->layout = *l;
	q->indirect = features >> VIRTIO_RING_F_INDIRECT_DESC & 1;
	q->event_idx = features >> VIRTIO_RING_F_EVENT_IDX & 1;
	q->broken = false;
	return 0;
}

/* ---- chains in ---- */

struct table { /* of descriptors: the queue's own, or an indirect one */
	const uint8_t *at;
	uint32_t entries;
	bool indirect;
};

/* The copy is all that is ever looked at: the barrier keeps the compiler from loading a field again.
 * memcpy, because an indirect table need not be aligned. */
static struct vring_desc load_desc(const struct table *t, uint32_t i)
{
	struct vring_desc d;

	memcpy(&d, t->at + i * sizeof(d), sizeof(d));
	__asm__ volatile("" : "+m"(d));
	return d;
}

/* Appends one buffer to c. */
static int add_seg(const struct vq *q, struct vq_chain *c, const struct vring_desc *d)
{
	bool writable = d->flags & VRING_DESC_F_WRITE;
	unsigned n = c->nout + c->nin;
	uint32_t *total = writable ? &c->in_len : &c->out_len;

	if (n == VQ_SEGS || (!writable && c->nin))
		return -EPROTO;
	if (__builtin_add_overflow(*total, d->len, total))
		return -EPROTO;
	if (mem_slice(q->mem, (gpa_t){d->addr}, d->len, &c->seg[n]) < 0)
		return -EPROTO;
	if (writable)
		c->nin++;
	else
		c->nout++;
	return 0;
}

/* Descends into the table d names. */
static int enter_indirect(const struct vq *q, const struct vring_desc *d, struct table *t)
{
	struct iovec v;

	if (!q->indirect || t->indirect || d->flags & VRING_DESC_F_NEXT)
		return -EPROTO;
	if (d->len % sizeof(*d) || mem_slice(q->mem, (gpa_t){d->addr}, d->len, &v) < 0)
		return -EPROTO;
	*t = (struct table){v.iov_base, (uint32_t)(d->len / sizeof(*d)), true};
	return 0;
}

/* Follows the chain from head on. A loop ends at VQ_SEGS at the latest, as every hop but the one into
 * an indirect table adds a segment. */
static int walk(const struct vq *q, struct vq_chain *c)
{
	struct table t = {q->desc, q->layout.size, false};
	uint32_t i = c->head;

	for (;;) {
		if (i >= t.entries)
			return -EPROTO;

		struct vring_desc d = load_desc(&t, i);
		int r = 0;

		if (d.flags & VRING_DESC_F_INDIRECT) {
			r = enter_indirect(q, &d, &t);
			i = 0;
		} else {
			r = add_seg(q, c, &d);
			i = d.next;
		}
		if (r < 0)
			return r;
		if (!(d.flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT)))
			return 0;
	}
}

/* How many chains the driver has queued. Acquire: pairs with the driver's write barrier between
 * filling ring and descriptors and moving idx. */
static uint16_t queued(const struct vq *q)
{
	uint16_t idx = __atomic_load_n(word(q->avail, RING_IDX), __ATOMIC_ACQUIRE);

	return (uint16_t)(idx - q->last_avail);
}

/* Asks to be kicked for the next chain, then looks again: the fence pairs with the driver's between
 * moving idx and reading avail_event, so that one of us sees the other. */
static uint16_t rearm(const struct vq *q)
{
	if (!q->event_idx)
		return 0;
	__atomic_store_n(avail_event(q), q->last_avail, __ATOMIC_RELAXED);
	__sync_synchronize();
	return queued(q);
}

int vq_pop(struct vq *q, struct vq_chain *c)
{
	if (q->broken)
		return -EPROTO;
	if (q->held)
		return 0;

	uint16_t n = queued(q);
	if (n == 0)
		n = rearm(q);
	if (n == 0)
		return 0;

	c->nout = c->nin = c->at = 0;
	c->at_off = c->out_len = c->in_len = 0;
	size_t slot = q->last_avail & (q->layout.size - 1U);
	c->head = __atomic_load_n(word(q->avail, AVAIL_ENTRIES + slot), __ATOMIC_RELAXED);
	if (n > q->layout.size || walk(q, c) < 0) {
		q->broken = true;
		return -EPROTO;
	}
	q->last_avail++;
	return 1;
}

void vq_unpop(struct vq *q)
{
	q->last_avail--;
}

/* ---- chains out ---- */

void vq_push(struct vq *q, const struct vq_chain *c, uint32_t written_bytes)
{
	size_t slot = q->next_used & (q->layout.size - 1U);
	struct vring_used_elem *e =
		(void *)((uint8_t *)q->used + USED_ENTRIES_AT + USED_ENTRY_BYTES * slot);

	__atomic_store_n(&e->id, (uint32_t)c->head, __ATOMIC_RELAXED);
	__atomic_store_n(&e->len, written_bytes, __ATOMIC_RELAXED);
	q->next_used++;
	/* Release: pairs with the driver's read barrier between used idx and the entry. */
	__atomic_store_n(word(q->used, RING_IDX), q->next_used, __ATOMIC_RELEASE);
}

bool vq_needs_irq(struct vq *q)
{
	uint16_t old = q->signalled_used, new = q->next_used;

	q->signalled_used = new;
	if (q->broken || new == old)
		return false;
	/* Pairs with the driver's fence between asking for interrupts and its last look at used idx. */
	__sync_synchronize();
	if (!q->event_idx)
		return !(__atomic_load_n(word(q->avail, RING_FLAGS), __ATOMIC_RELAXED) &
			 VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(__atomic_load_n(used_event(q), __ATOMIC_RELAXED), new, old);
}

/* ---- the cursor ---- */

/* At most max bytes of the segments [first, end), from the cursor on where it is already past first. */
static unsigned rest(const struct vq_chain *c, unsigned first, unsigned end, size_t max,
		     struct iovec *ret)
{
	size_t off = c->at < first ? 0 : c->at_off;
	unsigned n = 0;

	for (unsigned i = c->at < first ? first : c->at; i < end && max; i++, off = 0) {
		size_t len = min_(c->seg[i].iov_len - off, max);

		ret[n++] = (struct iovec){(uint8_t *)c->seg[i].iov_base + off, len};
		max -= len;
	}
	return n;
}

/* Moves the cursor n bytes on, from first on at least. The cursor never rests at a segment's end. */
static void advance(struct vq_chain *c, unsigned first, size_t n)
{
	if (c->at < first) {
		c->at = (uint16_t)first;
		c->at_off = 0;
	}
	while (n) {
		size_t len = min_(c->seg[c->at].iov_len - c->at_off, n);

		c->at_off += (uint32_t)len;
		n -= len;
		if (c->at_off == c->seg[c->at].iov_len) {
			c->at++;
			c->at_off = 0;
		}
	}
}

static size_t total(const struct iovec *v, unsigned n)
{
	size_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += v[i].iov_len;
	return sum;
}

int chain_get(struct vq_chain *c, void *buf, size_t n)
{
	struct iovec v[VQ_SEGS];
	unsigned nv = chain_rest_out(c, n, v);
	uint8_t *to = buf;

	if (total(v, nv) != n)
		return -EPROTO;
	for (unsigned i = 0; i < nv; to += v[i++].iov_len)
		memcpy(to, v[i].iov_base, v[i].iov_len);
	__asm__ volatile(
		"" ::
			: "memory"); /* the copy is the truth: never load from the guest again */
	advance(c, 0, n);
	return 0;
}

int chain_put(struct vq_chain *c, const void *buf, size_t n)
{
	struct iovec v[VQ_SEGS];
	unsigned nv = chain_rest_in(c, n, v);
	const uint8_t *from = buf;

	if (total(v, nv) != n)
		return -EPROTO;
	for (unsigned i = 0; i < nv; from += v[i++].iov_len)
		memcpy(v[i].iov_base, from, v[i].iov_len);
	advance(c, c->nout, n);
	return 0;
}

unsigned chain_rest_out(const struct vq_chain *c, size_t max_bytes, struct iovec *ret_segs)
{
	return rest(c, 0, c->nout, max_bytes, ret_segs);
}

unsigned chain_rest_in(const struct vq_chain *c, size_t max_bytes, struct iovec *ret_segs)
{
	return rest(c, c->nout, (unsigned)c->nout + c->nin, max_bytes, ret_segs);
}
