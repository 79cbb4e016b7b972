/* SPDX-License-Identifier: Apache-2.0 */
/* fake.c - see fake.h. */
#include "tests/fake/fake.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm/snap/device.h"

enum { GUARD_BYTES = 4096 };

static void must(bool ok)
{
	if (!ok)
		abort();
}

void fake_init(struct fake *f)
{
	memset(f, 0, sizeof(*f));
	must(loop_init(&f->loop) == 0);
	f->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(f->irq_fd >= 0);

	uint8_t *p = mmap(NULL, FAKE_RAM_BYTES + 2 * GUARD_BYTES, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(p != MAP_FAILED);
	f->ram = p + GUARD_BYTES;
	must(mprotect(f->ram, FAKE_RAM_BYTES, PROT_READ | PROT_WRITE) == 0);
	f->mem = (struct guest_mem){
		.nregions = 1,
		.region[0] = {.gpa = FAKE_RAM_BASE, .size_bytes = FAKE_RAM_BYTES, .host = f->ram},
	};
}

void fake_fini(struct fake *f)
{
	virtio_port_free(f->port);
	loop_fini(&f->loop);
	close(f->irq_fd);
	munmap(f->ram - GUARD_BYTES, FAKE_RAM_BYTES + 2 * GUARD_BYTES);
}

void fake_attach(struct fake *f, struct virtio_dev *dev)
{
	struct err e = {0};

	must(dev);
	f->dev = dev;
	f->port = virtio_port_new(dev, &f->mem, &f->loop, f->irq_fd, &e);
	must(f->port);
}

/* ---- snapshots ---- */

void fake_save(struct fake *f, struct port_state *ret)
{
	virtio_port_hold(f->port);
	while (virtio_port_busy(f->port))
		must(loop_step(&f->loop, 1000) >= 0);
	must(virtio_port_save(f->port, ret) == 0);
}

/* The bytes of a state, malloc()ed. */
static uint8_t *pack(const struct port_state *s, size_t *ret_len)
{
	struct snap_device *d = calloc(1, sizeof(*d));

	d->state = *s;
	snap_device_put(d);
	*ret_len = conker__state__device__get_packed_size(&d->msg);

	uint8_t *bytes = malloc(*ret_len);
	must(bytes && conker__state__device__pack(&d->msg, bytes) == *ret_len);
	free(d);
	return bytes;
}

void fake_through_file(struct port_state *s)
{
	size_t n, again;
	uint8_t *bytes = pack(s, &n);
	Conker__State__Device *m = conker__state__device__unpack(NULL, n, bytes);

	memset(s, 0x55, sizeof(*s));
	must(m && snap_device_get(m, s, NULL) == 0);
	conker__state__device__free_unpacked(m, NULL);

	uint8_t *same = pack(s, &again);
	must(again == n && memcmp(same, bytes, n) == 0);
	free(same);
	free(bytes);
}

void fake_move(struct fake *f)
{
	struct port_state *s = malloc(sizeof(*s));
	struct err e = {0};

	fake_save(f, s);
	fake_through_file(s);
	virtio_port_free(f->port);
	fake_attach(f, f->remake(f));
	must(virtio_port_restore(f->port, s, &e) == 0);
	free(s);
	virtio_port_release(f->port);
}

static void maybe_move(struct fake *f)
{
	if (f->moving)
		fake_move(f);
}

/* ---- registers ---- */

uint32_t fake_read(struct fake *f, uint64_t off)
{
	uint32_t v;

	virtio_port_access(f->port, false, off, &v, sizeof(v));
	return v;
}

struct vcpu_write {
	struct virtio_port *port;
	uint64_t off;
	uint32_t v;
	atomic_bool done;
};

static void *vcpu_thread(void *arg)
{
	struct vcpu_write *w = arg;

	virtio_port_access(w->port, true, w->off, &w->v, sizeof(w->v));
	atomic_store(&w->done, true);
	return NULL;
}

void fake_write(struct fake *f, uint64_t off, uint32_t v)
{
	struct vcpu_write w = {.off = off, .v = v};
	pthread_t t;

	maybe_move(f);
	w.port = f->port;
	bool waits = off == VIRTIO_MMIO_STATUS || (off == VIRTIO_MMIO_QUEUE_READY && !v);
	if (!waits) { /* no other write is handed to the loop */
		virtio_port_access(f->port, true, off, &v, sizeof(v));
		return;
	}
	must(pthread_create(&t, NULL, vcpu_thread, &w) == 0);
	while (!atomic_load(&w.done))
		must(loop_step(&f->loop, 1) >= 0);
	must(pthread_join(t, NULL) == 0);
}

void fake_config(struct fake *f, uint64_t at, void *buf, unsigned len)
{
	uint8_t *b = buf;

	for (unsigned i = 0; i < len; i++)
		virtio_port_access(f->port, false, VIRTIO_MMIO_CONFIG + at + i, b + i, 1);
}

uint32_t fake_reset(struct fake *f)
{
	fake_write(f, VIRTIO_MMIO_STATUS, 0);
	memset(f->q, 0, sizeof(f->q));
	return fake_read(f, VIRTIO_MMIO_STATUS);
}

static void add_status(struct fake *f, uint32_t bits)
{
	fake_write(f, VIRTIO_MMIO_STATUS, fake_read(f, VIRTIO_MMIO_STATUS) | bits);
}

uint32_t fake_negotiate(struct fake *f, uint64_t features)
{
	fake_reset(f);
	add_status(f, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	add_status(f, VIRTIO_CONFIG_S_DRIVER);
	for (uint32_t sel = 0; sel < 2; sel++) {
		fake_write(f, VIRTIO_MMIO_DRIVER_FEATURES_SEL, sel);
		fake_write(f, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> sel * 32));
	}
	add_status(f, VIRTIO_CONFIG_S_FEATURES_OK);
	f->features = features;
	return fake_read(f, VIRTIO_MMIO_STATUS);
}

static void write_gpa(struct fake *f, uint64_t low_reg, gpa_t v)
{
	fake_write(f, low_reg, (uint32_t)v.raw);
	fake_write(f, low_reg + 4, (uint32_t)(v.raw >> 32));
}

void fake_make_rings(struct fake *f, unsigned q, uint16_t size)
{
	f->q[q] = (struct fake_queue){
		.size = size,
		.desc = fake_alloc(f, size * sizeof(struct vring_desc), 16),
		.avail = fake_alloc(f, 6 + 2 * (size_t)size, 2),
		.used = fake_alloc(f, 6 + 8 * (size_t)size, 4),
	};
}

void fake_setup_queue(struct fake *f, unsigned q, uint16_t size)
{
	fake_make_rings(f, q, size);
	fake_write(f, VIRTIO_MMIO_QUEUE_SEL, q);
	fake_write(f, VIRTIO_MMIO_QUEUE_NUM, size);
	write_gpa(f, VIRTIO_MMIO_QUEUE_DESC_LOW, f->q[q].desc);
	write_gpa(f, VIRTIO_MMIO_QUEUE_AVAIL_LOW, f->q[q].avail);
	write_gpa(f, VIRTIO_MMIO_QUEUE_USED_LOW, f->q[q].used);
	fake_write(f, VIRTIO_MMIO_QUEUE_READY, 1);
}

static uint64_t offered(struct fake *f)
{
	uint64_t v;

	fake_write(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	v = (uint64_t)fake_read(f, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
	fake_write(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	return v | fake_read(f, VIRTIO_MMIO_DEVICE_FEATURES);
}

uint32_t fake_start(struct fake *f, uint64_t features)
{
	fake_negotiate(f, features ? features : offered(f));
	for (unsigned q = 0; q < f->dev->cls->nvqs; q++)
		fake_setup_queue(f, q, f->dev->cls->vq_max[q]);
	add_status(f, VIRTIO_CONFIG_S_DRIVER_OK);
	fake_run(f);
	return fake_read(f, VIRTIO_MMIO_STATUS);
}

/* ---- memory ---- */

gpa_t fake_alloc(struct fake *f, size_t len, size_t align)
{
	uint64_t at = (f->next_free + align - 1) / align * align;

	must(at + len <= FAKE_RAM_BYTES);
	f->next_free = at + len;
	memset(f->ram + at, 0, len);
	return (gpa_t){FAKE_RAM_BASE + at};
}

void *fake_ptr(struct fake *f, gpa_t at)
{
	return f->ram + (at.raw - FAKE_RAM_BASE);
}

gpa_t fake_bytes(struct fake *f, const void *data, size_t len)
{
	gpa_t at = fake_alloc(f, len, 1);

	memcpy(fake_ptr(f, at), data, len);
	return at;
}

/* ---- queues ---- */

struct vring_desc *fake_desc(struct fake *f, unsigned q, uint16_t i)
{
	return (struct vring_desc *)fake_ptr(f, f->q[q].desc) + i;
}

uint16_t *fake_avail(struct fake *f, unsigned q)
{
	return fake_ptr(f, f->q[q].avail);
}

uint16_t *fake_used_ring(struct fake *f, unsigned q)
{
	return fake_ptr(f, f->q[q].used);
}

static struct vring_desc seg_desc(const struct fake_seg *s, bool last, uint16_t next)
{
	uint16_t flags = s->writable ? VRING_DESC_F_WRITE : 0;

	return (struct vring_desc){
		.addr = s->at.raw,
		.len = s->len,
		.flags = last ? flags : flags | VRING_DESC_F_NEXT,
		.next = last ? 0 : next,
	};
}

static uint16_t take_desc(struct fake_queue *q)
{
	uint16_t i = q->next_desc;

	q->next_desc = (uint16_t)((i + 1) % q->size);
	return i;
}

uint16_t fake_chain(struct fake *f, unsigned q, const struct fake_seg *s, unsigned n)
{
	struct fake_queue *fq = &f->q[q];
	uint16_t head = fq->next_desc;

	for (unsigned k = 0; k < n; k++) {
		uint16_t i = take_desc(fq);

		*fake_desc(f, q, i) = seg_desc(&s[k], k + 1 == n, fq->next_desc);
	}
	return head;
}

uint16_t fake_chain_indirect(struct fake *f, unsigned q, const struct fake_seg *s, unsigned n)
{
	gpa_t table = fake_alloc(f, n * sizeof(struct vring_desc), 16);
	struct vring_desc *t = fake_ptr(f, table);
	uint16_t head = take_desc(&f->q[q]);

	for (unsigned k = 0; k < n; k++)
		t[k] = seg_desc(&s[k], k + 1 == n, (uint16_t)(k + 1));
	*fake_desc(f, q, head) = (struct vring_desc){
		.addr = table.raw,
		.len = (uint32_t)(n * sizeof(*t)),
		.flags = VRING_DESC_F_INDIRECT,
	};
	return head;
}

void fake_expose(struct fake *f, unsigned q, uint16_t head)
{
	struct fake_queue *fq = &f->q[q];
	uint16_t *avail = fake_avail(f, q);

	avail[2 + fq->avail_idx % fq->size] = head;
	/* Release: pairs with the device's acquire load of idx. */
	__atomic_store_n(&avail[1], ++fq->avail_idx, __ATOMIC_RELEASE);
}

uint16_t fake_add(struct fake *f, unsigned q, const struct fake_seg *s, unsigned n)
{
	uint16_t head = fake_chain(f, q, s, n);

	fake_expose(f, q, head);
	return head;
}

void fake_kick(struct fake *f, unsigned q)
{
	fake_write(f, VIRTIO_MMIO_QUEUE_NOTIFY, q);
}

static bool has_used(struct fake *f, unsigned q)
{
	/* Acquire: pairs with the device's release store of idx. */
	return __atomic_load_n(&fake_used_ring(f, q)[1], __ATOMIC_ACQUIRE) != f->q[q].last_used;
}

bool fake_used(struct fake *f, unsigned q, uint32_t *ret_head, uint32_t *ret_len)
{
	struct fake_queue *fq = &f->q[q];
	struct vring_used_elem e;

	if (!has_used(f, q))
		return false;
	memcpy(&e, (uint8_t *)fake_used_ring(f, q) + 4 + sizeof(e) * (fq->last_used % fq->size),
	       sizeof(e));
	fq->last_used++;
	*ret_head = e.id;
	*ret_len = e.len;
	return true;
}

/* ---- time ---- */

void fake_run(struct fake *f)
{
	int n;

	do {
		n = loop_step(&f->loop, 0);
		must(n >= 0);
		maybe_move(f);
	} while (n > 0);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool fake_wait_used(struct fake *f, unsigned q, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms, left = timeout_ms;

	while (!has_used(f, q) && left >= 0) {
		must(loop_step(&f->loop, (int)left) >= 0);
		maybe_move(f);
		left = end - now_ms();
	}
	return has_used(f, q);
}

uint64_t fake_irqs(struct fake *f)
{
	uint64_t v = 0;

	return read(f->irq_fd, &v, sizeof(v)) == sizeof(v) ? v : 0;
}
