/* SPDX-License-Identifier: Apache-2.0 */
/* vsock.c - see vsock.h: the queues of the virtio socket device, and packets in and out of them.
 *
 * Three queues: rx (0) to the guest, tx (1) from it, event (2) to it. A tx buffer is one packet,
 * header and payload, device-readable; an rx buffer is where one packet may be written.
 * The event queue knows one event, TRANSPORT_RESET (all connections are gone, the CID may be new), which is
 * never sent: the guest may look at it before or after what stands in rx, so that it could end a stream
 * that began after the restore. There each old stream has a reset of its own instead, in front in rx.
 *
 * Duties here (Virtio 1.2 section 5.10.6.1):
 *   - tx is processed while rx is full, as long as answers can be kept. Those of connections
 *     always can (bits, see vsock_conn.c), resets of unknown flows up to a limit; then tx waits
 *     until the guest supplies rx buffers, which it must do anyway.
 *   - One run handles at most BUDGET_PACKETS or BUDGET_BYTES each way, and then lets the rest
 *     of the VMM have its turn.
 *   - Each direction has limits of its own (struct rate), so that a flood from the guest never
 *     starves what the host has to say, its credit included. What is beyond waits in the ring, or in
 *     the client's socket: nothing is dropped or overtaken, and links go on taking turns.
 *   - A run serves both queues whatever woke it, and continues by itself whatever it left. So
 *     there is no "who kicks whom" state that a missed wake-up, a reset or a restore could falsify.
 *   - Interrupts are dear to the guest, too. One per run and queue at most, and only if the driver
 *     wants it. Returned tx buffers are nothing but memory to it: it hears of them with its next
 *     packet, every TX_IRQ_PACKETS, or after TX_IRQ_DELAY_MS, whatever comes first. An exchange of
 *     small messages so costs one interrupt each way instead of two.
 *
 * A queue that the driver stops is left alone; the other goes on as far as it can: what cannot be said is owed,
 * within the limits of each, and clients wait.
 *
 * A buffer that cannot hold, or does not hold, a header breaks the device: the framing is lost. A
 * bad packet in a good buffer only harms its own flow (vsock_pkt.c).
 *
 * Queue sizes are small on purpose: the driver fills rx with page-sized buffers while the guest
 * boots, and that is time. INDIRECT_DESC is not offered: Linux would allocate a table per packet.
 * No vsock feature bit means: streams only.
 */
#include "vmm/virtio/vsock.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_vsock.h>
#include <stdlib.h>

#include "util/cleanup.h"
#include "util/clock.h"
#include "vmm/virtio/state.h"
#include "vmm/virtio/vsock_mux.h"

enum { RX, TX, EVENT, QUEUES };
enum { RX_SIZE = 32, TX_SIZE = 64, EVENT_SIZE = 2 };
enum { BUDGET_PACKETS = 64, BUDGET_BYTES = 256 * 1024 };
enum {
	SMALL_BYTES = 1024
}; /* a larger packet is its bytes, for the limits: some guests cut streams small */
enum { TX_IRQ_PACKETS = 8, TX_IRQ_DELAY_MS = 20 };

struct vsock {
	struct virtio_dev dev; /* first */
	struct virtio_vsock_config config;
	struct vsock_mux mux;
	bool active;             /* between activate and reset, and not broken */
	bool urgent;             /* something was pushed that the guest waits for */
	unsigned returned;       /* tx buffers pushed since the last look at interrupts */
	uint64_t returned_at_ms; /* the first of them */
	struct rate rx, tx;      /* payload bytes and packets */
};

static struct vsock *vsock_of(struct virtio_dev *d)
{
	return container_of(d, struct vsock, dev);
}

/* How a pass over a queue ended. LIMITED: later, without having looked whether there is more. */
enum pass { PASS_DONE, PASS_STOPPED, PASS_LIMITED, PASS_BROKEN };

struct budget {
	unsigned packets;
	uint32_t bytes;
};

static bool is_used_up(const struct budget *b)
{
	return b->packets >= BUDGET_PACKETS || b->bytes >= BUDGET_BYTES;
}

static void pay(struct rate *r, uint32_t bytes)
{
	bucket_take(&r->bytes, bytes);
	if (bytes < SMALL_BYTES)
		bucket_take(&r->ops, 1);
}

/* ---- from the guest ---- */

/* Bytes of payload, or -EPROTO. */
static int take_packet(struct vsock *v, struct vq_chain *c)
{
	uint8_t wire[VSOCK_HDR_BYTES];
	struct iovec seg[VQ_SEGS];
	struct vsock_pkt p;

	if (c->nin || chain_get(c, wire, sizeof(wire)) < 0)
		return -EPROTO;

	enum vsock_verdict verdict =
		vsock_pkt_parse(wire, c->out_len - VSOCK_HDR_BYTES, v->mux.guest_cid, &p);
	uint32_t n = verdict == VSOCK_PKT_OK ? p.len : 0;

	vsock_mux_recv(&v->mux, verdict, &p, seg, chain_rest_out(c, n, seg));
	return (int)n;
}

static enum pass run_tx(struct vsock *v)
{
	struct vq *q = v->dev.vq[TX];
	struct budget b = {0};
	struct vq_chain c;

	for (; q;) {
		if (is_used_up(&b) || !vsock_mux_has_room(&v->mux))
			return PASS_STOPPED;
		if (!rate_open(&v->tx))
			return PASS_LIMITED;

		int r = vq_pop(q, &c);
		if (r == 0)
			break;
		if (r > 0)
			r = take_packet(v, &c);
		if (r < 0)
			return PASS_BROKEN;
		vq_push(q, &c, 0);
		pay(&v->tx, (uint32_t)r);
		v->returned++;
		b.packets++;
		b.bytes += (uint32_t)r;
	}
	return PASS_DONE;
}

/* ---- to the guest ---- */

/* Bytes written into c, 0 if there was nothing to say, or -EPROTO. */
static int give_packet(struct vsock *v, struct vq_chain *c)
{
	uint8_t wire[VSOCK_HDR_BYTES] = {0};
	struct iovec seg[VQ_SEGS];
	struct vsock_pkt p;

	/* The header is known only after the payload was read behind it: written twice. */
	if (c->nout || c->in_len <= VSOCK_HDR_BYTES || chain_put(c, wire, sizeof(wire)) < 0)
		return -EPROTO;
	if (!vsock_mux_next(&v->mux, seg, chain_rest_in(c, VSOCK_PAYLOAD_MAX, seg), &p))
		return 0;
	vsock_pkt_build(&p, wire);
	c->at = 0;
	c->at_off = 0;
	if (chain_put(c, wire, sizeof(wire)) < 0)
		return -EPROTO;
	return (int)(VSOCK_HDR_BYTES + p.len);
}

static enum pass run_rx(struct vsock *v)
{
	struct vq *q = v->dev.vq[RX];
	struct budget b = {0};
	struct vq_chain c;

	while (q && vsock_mux_has_work(&v->mux)) {
		if (is_used_up(&b))
			return PASS_STOPPED;
		if (!rate_open(&v->rx))
			return PASS_LIMITED;

		int r = vq_pop(q, &c);
		if (r == 0)
			break; /* kicked when there are buffers again */
		if (r > 0)
			r = give_packet(v, &c);
		if (r < 0)
			return PASS_BROKEN;
		if (r == 0) {
			vq_unpop(q);
			continue;
		}
		vq_push(q, &c, (uint32_t)r);
		pay(&v->rx, (uint32_t)r - VSOCK_HDR_BYTES);
		v->urgent = true;
		b.packets++;
		b.bytes += (uint32_t)r;
	}
	return PASS_DONE;
}

/* ---- runs ---- */

static void interrupt(struct vsock *v)
{
	if (!v->urgent && !v->returned)
		return;

	uint64_t now_ms = vsock_mux_now_ms();
	if (!v->returned_at_ms)
		v->returned_at_ms = now_ms;
	if (!v->urgent && v->returned < TX_IRQ_PACKETS &&
	    now_ms - v->returned_at_ms < TX_IRQ_DELAY_MS) {
		vsock_mux_wake(&v->mux, v->returned_at_ms + TX_IRQ_DELAY_MS);
		return;
	}
	v->urgent = false;
	v->returned = 0;
	v->returned_at_ms = 0;
	virtio_irq_any(&v->dev); /* if there is anything new, and wanted */
}

static void refill(struct vsock *v)
{
	if (!rate_is_limited(&v->tx))
		return;
	uint64_t now_ns = clock_now_ns();
	rate_refill(&v->tx, now_ns);
	rate_refill(&v->rx, now_ns);
}

/* tx before rx: what comes in is answered, and piggybacked on, in the same run. */
static void vsock_run(struct vsock *v)
{
	if (!v->active)
		return;

	refill(v);
	enum pass tx = run_tx(v);
	enum pass rx = tx == PASS_BROKEN ? PASS_BROKEN : run_rx(v);

	if (rx == PASS_BROKEN) {
		v->active = false;
		vsock_mux_reset(&v->mux);
		virtio_broken(&v->dev, "malformed ring or packet buffer");
		return;
	}
	interrupt(v);
	/* Without room there are no rx buffers: their kick goes on with tx, too. */
	if (rx == PASS_STOPPED || (tx == PASS_STOPPED && vsock_mux_has_room(&v->mux)))
		vsock_mux_wake(&v->mux, 0);
	if (tx == PASS_LIMITED)
		virtio_later(&v->dev, rate_wait_ns(&v->tx));
	if (rx == PASS_LIMITED)
		virtio_later(&v->dev, rate_wait_ns(&v->rx));
}

static void on_work(struct vsock_mux *m)
{
	vsock_run(container_of(m, struct vsock, mux));
}

static int vsock_activate(struct virtio_dev *d, uint64_t features)
{
	struct vsock *v = vsock_of(d);

	(void)features; /* the queues know theirs, and there are no others */
	v->active = true;
	return 0;
}

static void vsock_kick(struct virtio_dev *d, unsigned q)
{
	(void)q; /* see above: a run serves all */
	vsock_run(vsock_of(d));
}

static void vsock_reset(struct virtio_dev *d)
{
	struct vsock *v = vsock_of(d);

	v->active = false;
	v->urgent = false;
	v->returned = 0;
	v->returned_at_ms = 0;
	vsock_mux_reset(&v->mux);
}

static void vsock_free(struct virtio_dev *d)
{
	if (!d)
		return;
	vsock_mux_fini(&vsock_of(d)->mux);
	free(vsock_of(d));
}

void vsock_limit(struct virtio_dev *d, const struct limit *l)
{
	struct vsock *v = vsock_of(d);

	rate_init(&v->rx, l, clock_now_ns());
	v->tx = v->rx;
}

void vsock_keep(struct virtio_dev *d, uint32_t host_port)
{
	vsock_of(d)->mux.keep_port = host_port;
}

void vsock_drain(struct virtio_dev *d)
{
	struct vsock *v = vsock_of(d);

	v->rx = v->tx = (struct rate){0};
	vsock_run(v);
}

static void vsock_save(const struct virtio_dev *d, struct port_state *ret)
{
	const struct vsock *v = container_of(d, const struct vsock, dev);

	vsock_mux_save(&v->mux, &ret->vsock); /* not active: there are none */
}

static int vsock_restore(struct virtio_dev *d, const struct port_state *s, struct err *e)
{
	struct vsock *v = vsock_of(d);

	return v->active ? vsock_mux_restore(&v->mux, &s->vsock, e) : 0;
}

static const struct virtio_ops ops = {
	.activate = vsock_activate,
	.kick = vsock_kick,
	.reset = vsock_reset,
	.free = vsock_free,
	.save = vsock_save,
	.restore = vsock_restore,
};

static const struct virtio_class class = {
	.name = "vsock",
	.id = VIRTIO_ID_VSOCK,
	.nvqs = QUEUES,
	.vq_max = {RX_SIZE, TX_SIZE, EVENT_SIZE},
	.needed = 1 << RX | 1 << TX,
	.ops = &ops,
};

static int config_check(const struct vsock_config *c, struct err *e)
{
	if (c->guest_cid <= VSOCK_HOST_CID || c->guest_cid >= UINT32_MAX)
		return err_set(e, EINVAL, "vsock: %llu cannot be a guest's CID",
			       (unsigned long long)c->guest_cid);
	if (c->nlisteners > VSOCK_LISTENERS_MAX)
		return err_set(e, EINVAL, "vsock: more than %d listeners", VSOCK_LISTENERS_MAX);
	return 0;
}

static void close_listeners(const struct vsock_config *c)
{
	for (unsigned i = 0; i < c->nlisteners && i < VSOCK_LISTENERS_MAX; i++)
		close(c->listener[i].fd);
}

struct virtio_dev *vsock_new(struct loop *loop, const struct vsock_config *c, struct err *e)
{
	struct vsock *v = calloc(1, sizeof(*v));
	int r = v ? config_check(c, e) : err_set(e, ENOMEM, "vsock: out of memory");

	if (!v || r < 0) {
		close_listeners(c);
		free(v);
		return NULL;
	}
	v->config.guest_cid = htole64(c->guest_cid);
	v->dev = (struct virtio_dev){
		.cls = &class,
		.offered = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX,
		.config = &v->config,
		.config_len = sizeof(v->config),
	};
	if (vsock_mux_init(&v->mux, loop, c, on_work, e) < 0) {
		vsock_free(&v->dev);
		return NULL;
	}
	return &v->dev;
}
