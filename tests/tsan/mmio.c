/* SPDX-License-Identifier: Apache-2.0 */
/* mmio - vCPUs that write what they like into every register of one device at once, which is started,
 * kicked, broken and reset by that as it comes. */
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fake/fake.h"
#include "vmm/virtio/state.h"

enum { VCPUS = 4, ACCESSES = 20000, STARTS = 2000, LIVE = 0xf };

struct dev {
	struct virtio_dev dev;
	uint64_t config, kicks;
	unsigned started, stops, resets;
};

static int activate(struct virtio_dev *d, uint64_t features)
{
	(void)features;
	container_of(d, struct dev, dev)->started++;
	return 0;
}

static void kick(struct virtio_dev *d, unsigned q)
{
	struct dev *p = container_of(d, struct dev, dev);
	struct vq_chain c;

	p->kicks++;
	if (vq_pop(d->vq[q], &c) < 0)
		virtio_broken(d, "illegal ring");
	virtio_irq(d, q);
}

static void stop(struct virtio_dev *d, unsigned q)
{
	if (!d->vq[q])
		abort();
	container_of(d, struct dev, dev)->stops++;
}

static void reset(struct virtio_dev *d)
{
	container_of(d, struct dev, dev)->resets++;
}

static void release(struct virtio_dev *d)
{
	(void)d;
}

static const struct virtio_ops ops = {
	.activate = activate, .kick = kick, .stop = stop, .reset = reset, .free = release};
static const struct virtio_class cls = {
	.name = "tsan", .id = VIRTIO_ID_RNG, .nvqs = 2, .vq_max = {8, 8}, .ops = &ops};

static struct fake f;
static struct dev dev;
static atomic_uint running = VCPUS;

static void set(uint64_t off, uint32_t v)
{
	virtio_port_access(f.port, true, off, &v, sizeof(v));
}

/* Starts the device, kicks it, and lets go of it again. */
static void *driver(void *arg)
{
	static const uint32_t steps[] = {0, 1, 3, 0xb};

	(void)arg;
	for (int i = 0; i < STARTS; i++) {
		for (size_t k = 0; k < countof(steps); k++) {
			if (steps[k] == 0xb) {
				set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
				set(VIRTIO_MMIO_DRIVER_FEATURES, 1);
			}
			set(VIRTIO_MMIO_STATUS, steps[k]);
		}
		set(VIRTIO_MMIO_QUEUE_SEL, (uint32_t)i % 2);
		set(VIRTIO_MMIO_QUEUE_NUM, 8);
		set(VIRTIO_MMIO_QUEUE_DESC_LOW, FAKE_RAM_BASE);
		set(VIRTIO_MMIO_QUEUE_AVAIL_LOW, FAKE_RAM_BASE + 4096);
		set(VIRTIO_MMIO_QUEUE_USED_LOW, FAKE_RAM_BASE + 8192);
		set(VIRTIO_MMIO_QUEUE_READY, 1);
		set(VIRTIO_MMIO_STATUS, LIVE);
		set(VIRTIO_MMIO_QUEUE_NOTIFY, (uint32_t)i % 2);
		if (i % 3 == 0)
			set(VIRTIO_MMIO_QUEUE_READY, 0);
	}
	running--;
	return NULL;
}

/* Reads everything, kicks and acknowledges, and once in a while writes anything anywhere. */
static void *vandal(void *arg)
{
	uint32_t seed = (uint32_t)(uintptr_t)arg;

	for (int i = 0; i < ACCESSES; i++) {
		seed = seed * 1664525 + 1013904223;
		uint32_t off = (seed >> 8) % 0x120 & ~3U, v = seed >> 20;

		if (v % 256 == 0)
			set(off, v >> 8);
		set(VIRTIO_MMIO_QUEUE_NOTIFY, v % 3);
		set(VIRTIO_MMIO_INTERRUPT_ACK, v);
		(void)fake_read(&f, off);
	}
	running--;
	return NULL;
}

/* A snapshot that is begun, and mostly given up: the vCPUs run on, as some of them do until all are parked. */
static unsigned hold_a_while(struct port_state *s)
{
	unsigned saved = 0;

	virtio_port_hold(f.port);
	for (int i = 0; i < 3; i++) {
		if (loop_step(&f.loop, 0) < 0)
			abort();
		saved += virtio_port_save(f.port, s) == 0;
	}
	virtio_port_release(f.port);
	return saved;
}

int main(void)
{
	struct port_state *s = malloc(sizeof(*s));
	unsigned saved = 0;
	pthread_t t[VCPUS];

	fake_init(&f);
	dev.dev = (struct virtio_dev){
		.cls = &cls,
		.offered = UINT64_C(1) << VIRTIO_F_VERSION_1,
		.config = &dev.config,
		.config_len = sizeof(dev.config),
	};
	fake_attach(&f, &dev.dev);
	for (uintptr_t i = 0; i < VCPUS; i++)
		if (pthread_create(&t[i], NULL, i ? vandal : driver, (void *)(i + 1)))
			abort();
	for (unsigned i = 0; running; i++) {
		if (loop_step(&f.loop, 1) < 0)
			abort();
		if (i % 16 == 0)
			saved += hold_a_while(s);
	}
	for (unsigned i = 0; i < VCPUS; i++)
		pthread_join(t[i], NULL);
	if (fake_start(&f, 0) != LIVE) {
		(void)fprintf(stderr, "mmio: the device does not start any more\n");
		return 1;
	}
	free(s);
	printf("%u starts, %u stops, %u resets, %lu kicks, %u states\n", dev.started, dev.stops,
	       dev.resets, (unsigned long)dev.kicks, saved);
	if (dev.started < STARTS / 10 || dev.stops < STARTS / 100) {
		(void)fprintf(stderr,
			      "mmio: it hardly ever started, or stopped: nothing was tested\n");
		return 1;
	}
	fake_fini(&f);
	return 0;
}
