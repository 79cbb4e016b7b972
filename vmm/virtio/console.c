/* SPDX-License-Identifier: Apache-2.0 */
/* console.c - virtio-console with one port, output only (Virtio 1.2 section 5.3).
 *
 * The protocol: queue 0 receives, queue 1 transmits. The readable part of each chain on the transmit
 * queue is output, no framing. Neither size nor multiport is offered: a guest then asks for nothing
 * but these two queues, at once.
 *
 * Duties: bytes go to the sink in order; a chain comes back when all of it went there. The receive
 * queue is accepted, as drivers insist on filling it, and never answered.
 * Limits: a step takes VIRTIO_BUDGET_BYTES at most, also of a longer chain, which then stays the
 * current one. Bytes and chains per second as console_limit() says. What the reader does not take in time is dropped by the sink, visibly.
 * Reset, stop: the current chain is forgotten.
 * Snapshot: how far the current chain got, and what the sink holds for a slow reader. The restored device
 * takes that chain again and leaves out what already went to the sink; the guest's last bytes so come out
 * once in each line of descent.
 */
#include "vmm/virtio/console.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

#include "util/cleanup.h"
#include "util/clock.h"
#include "vmm/virtio/sink.h"
#include "vmm/virtio/state.h"

enum {
	RX,
	TX,
	RX_SIZE = 2, /* each entry costs the guest a page it will never see filled */
	TX_SIZE = 16,
	COPY_BYTES = 4096,
	DRAIN_BYTES = 1 << 20,
};

struct console {
	struct virtio_dev dev;
	struct vq_chain chain; /* being transmitted while left_bytes > 0 */
	uint32_t left_bytes;
	uint32_t skip_bytes; /* of the next chain: output before it was saved */
	struct rate rate;
	struct sink sink;
};

static struct console *console_of(struct virtio_dev *d)
{
	return container_of(d, struct console, dev);
}

/* Moves on with the current chain by at most max bytes; how many. */
static size_t transmit(struct console *c, size_t max)
{
	uint8_t buf[COPY_BYTES];
	size_t n = min_(max, sizeof(buf));

	n = min_(n, (size_t)c->left_bytes);
	int r = chain_get(&c->chain, buf, n);
	assert(r == 0); /* left_bytes counts what is there */
	sink_write(&c->sink, buf, n);
	c->left_bytes -= (uint32_t)n;
	bucket_take(&c->rate.bytes, n);
	return n;
}

/* The chain is there; what of it is old is passed over. A guest that made it shorter meanwhile loses that. */
static void begin(struct console *c)
{
	uint8_t buf[COPY_BYTES];
	uint32_t skip = min_(c->skip_bytes, c->chain.out_len);

	c->left_bytes = c->chain.out_len - skip;
	c->skip_bytes = 0;
	while (skip) {
		uint32_t n = min_(skip, (uint32_t)sizeof(buf));
		int r = chain_get(&c->chain, buf, n);

		assert(r == 0);
		skip -= n;
	}
}

/* Transmits within the budget and the limits. False: there is no more. */
static bool pump(struct console *c, unsigned chains, size_t bytes)
{
	struct vq *q = c->dev.vq[TX];

	while (chains && bytes && rate_open(&c->rate)) {
		if (!c->left_bytes) {
			int r = vq_pop(q, &c->chain);

			if (r < 0)
				virtio_broken(&c->dev, "illegal ring");
			if (r <= 0)
				return false;
			begin(c);
		}
		while (c->left_bytes && bytes)
			bytes -= transmit(c, bytes);
		if (!c->left_bytes) {
			vq_push(q, &c->chain, 0);
			bucket_take(&c->rate.ops, 1);
			chains--;
		}
	}
	return true;
}

static void console_kick(struct virtio_dev *d, unsigned q)
{
	struct console *c = console_of(d);

	if (q != TX)
		return;
	if (rate_is_limited(&c->rate))
		rate_refill(&c->rate, clock_now_ns());
	bool more = pump(c, VIRTIO_BUDGET_CHAINS, VIRTIO_BUDGET_BYTES);
	if (more && rate_open(&c->rate))
		virtio_again(d, TX);
	else if (more)
		virtio_later(d, rate_wait_ns(&c->rate));
	virtio_irq(d, TX);
}

void console_drain(struct virtio_dev *d)
{
	struct console *c = console_of(d);

	c->rate = (struct rate){0}; /* its last words are bounded here */
	if (d->vq[TX])
		(void)pump(c, VQ_MAX, DRAIN_BYTES);
	virtio_irq(d, TX);
	sink_drain(&c->sink, CONSOLE_DRAIN_MS);
}

static int console_activate(struct virtio_dev *d, uint64_t features)
{
	(void)d;
	(void)features;
	return 0;
}

static void console_reset(struct virtio_dev *d)
{
	console_of(d)->left_bytes = console_of(d)->skip_bytes = 0;
}

static void console_stop(struct virtio_dev *d, unsigned q)
{
	if (q == TX)
		console_reset(d);
}

static void console_save(const struct virtio_dev *d, struct port_state *ret)
{
	const struct console *c = container_of(d, const struct console, dev);
	struct console_state *s = &ret->console;

	s->sent_bytes = c->left_bytes ? c->chain.out_len - c->left_bytes : c->skip_bytes;
	s->dropped = c->sink.dropped;
	s->unwritten_bytes = sink_queued(&c->sink, s->unwritten);
}

static int console_restore(struct virtio_dev *d, const struct port_state *state, struct err *e)
{
	const struct console_state *s = &state->console;
	struct console *c = console_of(d);

	if (s->unwritten_bytes > sizeof(s->unwritten))
		return err_set(e, EINVAL, "%u bytes of output are more than it keeps",
			       s->unwritten_bytes);
	c->skip_bytes = d->vq[TX] ? s->sent_bytes : 0;
	sink_restore(&c->sink, s->unwritten, s->unwritten_bytes, s->dropped);
	return 0;
}

static void console_free(struct virtio_dev *d)
{
	if (!d)
		return;
	sink_fini(&console_of(d)->sink);
	free(console_of(d));
}

static const struct virtio_ops console_ops = {
	.activate = console_activate,
	.kick = console_kick,
	.stop = console_stop,
	.reset = console_reset,
	.free = console_free,
	.save = console_save,
	.restore = console_restore,
};

static const struct virtio_class console_class = {
	.name = "console",
	.id = VIRTIO_ID_CONSOLE,
	.nvqs = 2,
	.vq_max = {[RX] = RX_SIZE, [TX] = TX_SIZE},
	.ops = &console_ops,
};

struct virtio_dev *console_new(struct loop *loop, int out_fd, struct err *e)
{
	auto_free struct console *c = calloc(1, sizeof(*c));

	if (!c) {
		(void)!err_set(e, ENOMEM, "console: out of memory");
		return NULL;
	}
	c->dev = (struct virtio_dev){
		.cls = &console_class,
		.offered = UINT64_C(1) << VIRTIO_F_VERSION_1 |
			   UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC |
			   UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX,
	};
	if (sink_init(&c->sink, loop, out_fd, e) < 0) {
		sink_fini(&c->sink);
		return NULL;
	}
	return &take_ptr(c)->dev;
}

void console_limit(struct virtio_dev *d, const struct limit *l)
{
	rate_init(&console_of(d)->rate, l, clock_now_ns());
}
