/* SPDX-License-Identifier: Apache-2.0 */
/* mmio - any sequence of register accesses, of any width and place, mixed with steps of the loop: the
 * transport and a device that takes chains and breaks must end in a state that a reset mends. */
#include <assert.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "tests/fake/fake.h"

enum { LIVE = 0xf, ACCESSES = 400 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct dev {
	struct virtio_dev dev;
	uint8_t config[13];
	bool active;
};

static int activate(struct virtio_dev *d, uint64_t features)
{
	struct dev *p = container_of(d, struct dev, dev);

	assert(!p->active && !(features & ~d->offered));
	p->active = true;
	return 0;
}

static void kick(struct virtio_dev *d, unsigned q)
{
	struct dev *p = container_of(d, struct dev, dev);
	struct vq_chain c;
	int r;

	assert(p->active && q < d->cls->nvqs && d->vq[q]);
	for (int i = 0; (r = vq_pop(d->vq[q], &c)) == 1 && i < VIRTIO_BUDGET_CHAINS; i++)
		vq_push(d->vq[q], &c, 0);
	if (r < 0)
		virtio_broken(d, "illegal ring");
	virtio_irq(d, q);
}

static void stop(struct virtio_dev *d, unsigned q)
{
	assert(q < d->cls->nvqs && d->vq[q]);
}

static void reset(struct virtio_dev *d)
{
	container_of(d, struct dev, dev)->active = false;
}

static void release(struct virtio_dev *d)
{
	assert(!container_of(d, struct dev, dev)->active);
}

static const struct virtio_ops ops = {
	.activate = activate, .kick = kick, .stop = stop, .reset = reset, .free = release};
static const struct virtio_class cls = {
	.name = "fuzz", .id = VIRTIO_ID_RNG, .nvqs = 3, .vq_max = {256, 8, 1}, .ops = &ops};

/* The registers that lead somewhere; the input may also name any other. */
static const uint16_t useful[] = {
	VIRTIO_MMIO_STATUS,           VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_MMIO_DRIVER_FEATURES_SEL,
	VIRTIO_MMIO_QUEUE_SEL,        VIRTIO_MMIO_QUEUE_NUM,       VIRTIO_MMIO_QUEUE_READY,
	VIRTIO_MMIO_QUEUE_DESC_LOW,   VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_MMIO_QUEUE_USED_LOW,
	VIRTIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_INTERRUPT_ACK,   VIRTIO_MMIO_QUEUE_NOTIFY,
};

/* 4 bytes an access: what, where, and 16 bits of value. */
static void access_one(struct fake *f, const uint8_t *d)
{
	uint64_t v = (uint64_t)d[2] | (uint64_t)d[3] << 8, off = useful[d[1] % countof(useful)];

	if (off >= VIRTIO_MMIO_QUEUE_DESC_LOW && off < VIRTIO_MMIO_CONFIG)
		v = FAKE_RAM_BASE + v * 16;
	if (d[0] & 0x40)
		off = (uint64_t)d[1] * 2 + (d[0] >> 2 & 3);
	virtio_port_access(f->port, d[0] & 1, off, &v, 1U << (d[0] & 0x40 ? d[0] >> 4 & 3 : 2));
	if (d[0] & 0x80)
		fake_run(f);
}

/* A queue that reads as not ready is nobody's but the driver's. */
static void check_queues(struct fake *f, const struct virtio_dev *d)
{
	for (uint32_t q = 0; q < d->cls->nvqs; q++) {
		virtio_port_access(f->port, true, VIRTIO_MMIO_QUEUE_SEL, &(uint32_t){q}, 4);
		assert(fake_read(f, VIRTIO_MMIO_QUEUE_READY) || !d->vq[q]);
	}
}

static void set(struct fake *f, uint64_t off, uint32_t v)
{
	virtio_port_access(f->port, true, off, &v, sizeof(v));
}

/* fake_start() without its threads: they would take most of the time here. */
static uint32_t restart(struct fake *f)
{
	static const uint32_t steps[] = {0, 1, 3, 0xb, LIVE};

	for (size_t i = 0; i < countof(steps); i++) {
		set(f, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
		if (steps[i] == 0xb)
			set(f, VIRTIO_MMIO_DRIVER_FEATURES, 1);
		set(f, VIRTIO_MMIO_STATUS, steps[i]);
	}
	return fake_read(f, VIRTIO_MMIO_STATUS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake f;
	struct dev d = {
		.dev = {.cls = &cls, .offered = UINT64_C(1) << VIRTIO_F_VERSION_1 | 0xff000000},
		.config = "configuration",
	};

	d.dev.config = d.config;
	d.dev.config_len = sizeof(d.config);
	fake_init(&f);
	fake_attach(&f, &d.dev);
	for (size_t i = 0; i + 4 <= size && i < ACCESSES * 4; i += 4)
		access_one(&f, data + i);
	check_queues(&f, &d.dev);
	memcpy(f.ram, data, size < FAKE_RAM_BYTES ? size : FAKE_RAM_BYTES);
	for (unsigned q = 0; q < 3; q++)
		fake_kick(&f, q);
	for (int i = 0; i < 10; i++) /* not until idle: a ring may be endless */
		(void)loop_step(&f.loop, 0);
	assert(restart(&f) == LIVE);
	fake_fini(&f);
	return 0;
}
