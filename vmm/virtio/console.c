/* console.c - virtio-console with one port, output only (Virtio 1.2 section 5.3).
 *
 * The protocol: queue 0 receives, queue 1 transmits. The readable part of each chain on the transmit
 * queue is output, no framing. Neither size nor multiport is offered: a guest then asks for nothing
 * but these two queues, at once.
 *
 * Duties: bytes go to the sink in order; a chain comes back when all of it went there. The receive
 * queue is accepted, as drivers insist on filling it, and never answered.
 * Limits: a step takes VIRTIO_BUDGET_BYTES at most, also of a longer chain, which then stays the
 * current one. What the reader does not take in time is dropped by the sink, visibly.
 * Reset: the current chain is forgotten.
 */
#include "vmm/virtio/console.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

#include "util/cleanup.h"
#include "vmm/virtio/sink.h"

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
	return n;
}

/* Transmits within the budget. True: there may be more. */
static bool pump(struct console *c, unsigned chains, size_t bytes)
{
	struct vq *q = c->dev.vq[TX];

	while (chains && bytes) {
		if (!c->left_bytes) {
			int r = vq_pop(q, &c->chain);

			if (r < 0)
				virtio_broken(&c->dev, "illegal ring");
			if (r <= 0)
				return false;
			c->left_bytes = c->chain.out_len;
		}
		while (c->left_bytes && bytes)
			bytes -= transmit(c, bytes);
		if (!c->left_bytes) {
			vq_push(q, &c->chain, 0);
			chains--;
		}
	}
	return true;
}

static void console_kick(struct virtio_dev *d, unsigned q)
{
	if (q != TX)
		return;
	if (pump(console_of(d), VIRTIO_BUDGET_CHAINS, VIRTIO_BUDGET_BYTES))
		virtio_again(d, TX);
	virtio_irq(d, TX);
}

void console_drain(struct virtio_dev *d)
{
	struct console *c = console_of(d);

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
	console_of(d)->left_bytes = 0;
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
	.reset = console_reset,
	.free = console_free,
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
