/* SPDX-License-Identifier: Apache-2.0 */
/* mmio.h - fixture of the transport's tests: a device of two queues that only remembers calls. */
#ifndef TESTS_UNIT_MMIO_H
#define TESTS_UNIT_MMIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sys/mman.h>

#include "tests/fake/fake.h"
#include "tests/lib/test.h"

enum { NEEDS_RESET = VIRTIO_CONFIG_S_NEEDS_RESET, LIVE = 0xf };

struct probe {
	struct virtio_dev dev;
	uint8_t config[12];
	int fail;    /* what activate returns */
	bool breaks; /* the device, at its first kick */
	uint64_t features;
	unsigned activated, resets, kicks[VIRTIO_QUEUES], stops[VIRTIO_QUEUES];
	bool had_queue;   /* at the last stop */
	unsigned *freed;  /* set to 1 + resets */
	pthread_t thread; /* of the last op */
};

static int probe_activate(struct virtio_dev *d, uint64_t features)
{
	struct probe *p = container_of(d, struct probe, dev);

	p->activated++;
	p->features = features;
	p->thread = pthread_self();
	return p->fail;
}

static void probe_kick(struct virtio_dev *d, unsigned q)
{
	struct probe *p = container_of(d, struct probe, dev);

	p->kicks[q]++;
	if (p->breaks)
		virtio_broken(d, "first kick");
}

static void probe_reset(struct virtio_dev *d)
{
	struct probe *p = container_of(d, struct probe, dev);

	p->resets++;
	p->thread = pthread_self();
}

static void probe_stop(struct virtio_dev *d, unsigned q)
{
	struct probe *p = container_of(d, struct probe, dev);

	p->stops[q]++;
	p->had_queue = d->vq[q];
	p->thread = pthread_self();
}

static void probe_free(struct virtio_dev *d)
{
	struct probe *p = container_of(d, struct probe, dev);

	if (p->freed)
		*p->freed = 1 + p->resets;
	free(p);
}

static const struct virtio_ops probe_ops = {
	.activate = probe_activate,
	.kick = probe_kick,
	.stop = probe_stop,
	.reset = probe_reset,
	.free = probe_free,
};
static const struct virtio_class probe_class = {
	.name = "probe",
	.id = 42,
	.nvqs = 2,
	.vq_max = {8, 4},
	.ops = &probe_ops,
};

static struct fake f;
static struct probe *dev;

static inline void setup(void)
{
	fake_init(&f);
	dev = calloc(1, sizeof(*dev));
	dev->dev = (struct virtio_dev){
		.cls = &probe_class,
		.offered = UINT64_C(1) << VIRTIO_F_VERSION_1 |
			   UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX | 1,
		.config = dev->config,
		.config_len = sizeof(dev->config),
	};
	memcpy(dev->config, "abcdefghijkl", 12);
	fake_attach(&f, &dev->dev);
}

static inline void teardown(void)
{
	fake_fini(&f);
}

static inline uint32_t status(void)
{
	return fake_read(&f, VIRTIO_MMIO_STATUS);
}

static inline struct virtio_port_stats stats(void)
{
	struct virtio_port_stats s;

	virtio_port_stats(f.port, &s);
	return s;
}

static inline uint32_t reg(uint64_t off)
{
	return fake_read(&f, off);
}

static inline void set(uint64_t off, uint32_t v)
{
	fake_write(&f, off, v);
}

#define VERSION_1 (UINT64_C(1) << VIRTIO_F_VERSION_1)

#endif
