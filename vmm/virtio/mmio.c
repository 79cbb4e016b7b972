/* SPDX-License-Identifier: Apache-2.0 */
/* mmio.c - the virtio-mmio transport, version 2 (Virtio 1.2 section 4.2.2).
 *
 * The protocol: one page per device. Up to 0xff lie 32-bit registers, from 0x100 on the device's own
 * configuration space, of any width. The driver
 *
 *   1. reads MagicValue, Version, DeviceID; resets (Status = 0); sets ACKNOWLEDGE, then DRIVER;
 *   2. reads DeviceFeatures and writes DriverFeatures, 32 bits at a time by a selector;
 *   3. sets FEATURES_OK and reads it back: it stays clear when we refuse the choice;
 *   4. for each queue (QueueSel): size, three addresses, QueueReady = 1;
 *   5. sets DRIVER_OK. From here on QueueNotify = q says "look at queue q";
 *   6. answers our line by reading InterruptStatus and writing it to InterruptACK;
 *   7. may stop a queue at any time: QueueReady = 0, which it reads back. From then on its memory is the
 *      driver's again. Its other queues go on, and it may be set up again after a reset.
 *
 * Duties: what breaks the protocol breaks the device (DEVICE_NEEDS_RESET, and a configuration
 * interrupt if the driver was up), counted, and logged once per reset. Harmless nonsense (unknown
 * registers, odd widths, absent queues) reads as 0 and does nothing, but is counted.
 * Limits: VIRTIO_QUEUES queues, STATE_CONFIG_BYTES of configuration, LOG_MAX lines in a port's life; storms
 * of notifications see pace.h.
 *
 * Device code runs on the loop alone. So a vCPU that writes DRIVER_OK, or resets a live device or stops
 * a queue of one, leaves a command, and it and every other vCPU that comes by sleeps until the loop has run it: that
 * freezes the register file meanwhile, so the loop may read it unlocked while the command stands.
 */
#include "vmm/virtio/mmio.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "util/cleanup.h"
#include "vmm/virtio/port.h"

enum {
	MAGIC = 0x74726976, /* "virt" */
	VERSION = 2,
	VENDOR = 0x4b4e4f43, /* "CONK" */
	LOG_MAX = 8,
};

void port_signal(int fd)
{
	uint64_t one = 1;

	/* #syscalls vcpu,loop: write */
	(void)!write(fd, &one, sizeof(one)); /* EAGAIN: it is signalled already */
}

/* Raises the line. The bit is set before the line, as the driver reads it when the line rises. */
static void raise_line(struct virtio_port *p, uint32_t bits)
{
	atomic_fetch_or(&p->isr, bits);
	atomic_fetch_add_explicit(&p->irqs, 1, memory_order_relaxed);
	port_signal(p->irq_fd);
}

static void count(_Atomic uint64_t *n)
{
	atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

/* The lock is held. Any thread; the loop does the logging. */
static void break_locked(struct virtio_port *p, const char *why)
{
	if (p->regs.status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	p->regs.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	p->broken++;
	p->why = why;
	p->unlogged = p->broken <= LOG_MAX;
	if (p->regs.status & VIRTIO_CONFIG_S_DRIVER_OK)
		raise_line(p, VIRTIO_MMIO_INT_CONFIG);
	port_signal(p->cmd_fd);
}

/* ---- what devices ask for ---- */

void virtio_irq(struct virtio_dev *d, unsigned q)
{
	if (d->vq[q] && vq_needs_irq(d->vq[q]))
		raise_line(d->port, VIRTIO_MMIO_INT_VRING);
}

void virtio_irq_any(struct virtio_dev *d)
{
	bool needed = false;

	for (unsigned q = 0; q < d->cls->nvqs; q++)
		needed |= d->vq[q] && vq_needs_irq(d->vq[q]);
	if (needed)
		raise_line(d->port, VIRTIO_MMIO_INT_VRING);
}

void virtio_again(struct virtio_dev *d, unsigned q)
{
	port_signal(d->port->kick[q].fd);
}

void virtio_later(struct virtio_dev *d, uint64_t wait_ns)
{
	pace_after(&d->port->pace, wait_ns);
}

void virtio_broken(struct virtio_dev *d, const char *why)
{
	struct virtio_port *p = d->port;

	pthread_mutex_lock(&p->lock);
	break_locked(p, why);
	pthread_mutex_unlock(&p->lock);
}

/* ---- the loop's side ---- */

/* False: the device was not asked, or found nothing it could take. */
static bool serve(struct virtio_port *p, unsigned q)
{
	struct virtio_dev *d = p->dev;
	uint16_t before = 0, after = 0;

	pthread_mutex_lock(&p->lock);
	bool gone = p->regs.status & FOREVER_GONE;
	pthread_mutex_unlock(&p->lock);
	if (gone || !d->vq[q]) /* without DRIVER_OK there are no queues */
		return false;
	count(&p->kicks);
	for (unsigned i = 0; i < VIRTIO_QUEUES; i++)
		before = (uint16_t)(before + p->vq[i].last_avail);
	d->cls->ops->kick(d, q);
	for (unsigned i = 0; i < VIRTIO_QUEUES; i++)
		after = (uint16_t)(after + p->vq[i].last_avail);
	return after != before;
}

/* Without memory for it the kernel keeps the old way: then nothing changes. */
static void set_deaf(struct virtio_port *p, bool deaf)
{
	for (unsigned q = 0; q < p->dev->cls->nvqs; q++)
		(void)!loop_mod(p->loop, &p->kick[q].src, deaf ? 0 : EPOLLIN | EPOLLET);
	p->deaf = deaf;
}

static void on_kick(struct loop_src *s, uint32_t revents)
{
	struct kick *k = container_of(s, struct kick, src);
	struct virtio_port *p = k->port;

	(void)revents; /* edge-triggered: the counter may stay as it is */
	if (p->held)
		return;
	if (serve(p, (unsigned)(k - p->kick)))
		return;
	uint64_t wait_ns = pace_idle_kick(&p->pace);
	if (!wait_ns)
		return;
	set_deaf(p, true);
	pace_after(&p->pace, wait_ns);
}

/* Looks at everything that may have been asked for meanwhile. The counters are reset first, or each
 * would be reported as a kick. */
void port_serve_all(struct virtio_port *p)
{
	uint64_t v;

	if (p->deaf) {
		set_deaf(p, false);
		for (unsigned q = 0; q < p->dev->cls->nvqs; q++)
			(void)!read(p->kick[q].fd, &v, sizeof(v));
	}
	for (unsigned q = 0; q < p->dev->cls->nvqs; q++)
		(void)serve(p, q);
}

/* A wait is over. */
static void on_due(struct pace *pace)
{
	struct virtio_port *p = container_of(pace, struct virtio_port, pace);

	if (!p->held)
		port_serve_all(p);
}

const char *port_activate(struct virtio_port *p)
{
	struct virtio_dev *d = p->dev;

	for (unsigned q = 0; q < d->cls->nvqs; q++) {
		const struct queue_regs *r = &p->regs.queue[q];

		d->vq[q] = r->ready ? &p->vq[q] : NULL;
		if (r->ready && vq_init(&p->vq[q], p->mem, &r->layout, p->regs.driver_features) < 0)
			return "a queue's size or address is illegal";
		p->vq[q].held = p->held;
	}
	if (d->cls->ops->activate(d, p->regs.driver_features) < 0)
		return "activation failed";
	return NULL;
}

static void forget_queues(struct virtio_dev *d)
{
	memset(d->vq, 0, sizeof(d->vq));
}

static bool has_needed(const struct virtio_port *p)
{
	for (unsigned q = 0; q < p->dev->cls->nvqs; q++)
		if (p->dev->cls->needed >> q & 1 && !p->regs.queue[q].ready)
			return false;
	return true;
}

static void run_activate(struct virtio_port *p)
{
	const char *why = has_needed(p) ? port_activate(p) : "it cannot be without its queues";

	pthread_mutex_lock(&p->lock);
	p->live = true;
	p->regs.status |= VIRTIO_CONFIG_S_DRIVER_OK;
	if (why)
		break_locked(p, why);
	pthread_mutex_unlock(&p->lock);

	/* What the driver queued before DRIVER_OK was perhaps kicked before anybody listened. */
	for (unsigned q = 0; q < p->dev->cls->nvqs; q++)
		if (p->dev->vq[q])
			virtio_again(p->dev, q);
}

/* The lock is held; the device is not live. */
static void clear_regs(struct virtio_port *p)
{
	memset(&p->regs, 0, sizeof(p->regs));
	atomic_store(&p->isr, 0);
}

static void run_reset(struct virtio_port *p)
{
	p->dev->cls->ops->reset(p->dev);
	forget_queues(p->dev);
	pthread_mutex_lock(&p->lock);
	p->live = false;
	clear_regs(p);
	pthread_mutex_unlock(&p->lock);
}

static void run_stop(struct virtio_port *p)
{
	struct virtio_dev *d = p->dev;
	unsigned q = p->regs.queue_sel; /* stands still */

	if (d->vq[q] && d->cls->ops->stop)
		d->cls->ops->stop(d, q);
	d->vq[q] = NULL;
	pthread_mutex_lock(&p->lock);
	p->regs.queue[q].ready = false;
	pthread_mutex_unlock(&p->lock);
}

/* Runs the command that stands, if any, and wakes who waits for it. */
static void run_cmd(struct virtio_port *p)
{
	pthread_mutex_lock(&p->lock);
	enum cmd cmd = p->cmd;
	pthread_mutex_unlock(&p->lock);

	if (cmd == CMD_NONE)
		return;
	switch (cmd) {
	case CMD_ACTIVATE: run_activate(p); break;
	case CMD_STOP: run_stop(p); break;
	default: run_reset(p);
	}
	pthread_mutex_lock(&p->lock);
	p->cmd = CMD_NONE;
	pthread_cond_broadcast(&p->idle);
	pthread_mutex_unlock(&p->lock);
}

static void log_broken(struct virtio_port *p)
{
	pthread_mutex_lock(&p->lock);
	const char *why = p->unlogged ? p->why : NULL;
	p->unlogged = false;
	pthread_mutex_unlock(&p->lock);
	if (why)
		(void)fprintf(stderr, "conker-vmm: virtio-%s needs a reset: %s\n",
			      p->dev->cls->name, why);
}

static void on_cmd(struct loop_src *s, uint32_t revents)
{
	struct virtio_port *p = container_of(s, struct virtio_port, cmd_src);
	uint64_t v;

	(void)revents;
	(void)!read(s->fd, &v, sizeof(v)); /* only resets the counter */
	run_cmd(p);
	log_broken(p);
}

/* ---- the vCPUs' side; the lock is held from here to virtio_port_access() ---- */

/* The loop itself does not wait (it would for ever) but runs what stands. */
static void wait_idle(struct virtio_port *p)
{
	while (p->cmd != CMD_NONE && !p->stopped) {
		if (pthread_equal(p->loop_thread, pthread_self())) {
			pthread_mutex_unlock(&p->lock);
			run_cmd(p);
			pthread_mutex_lock(&p->lock);
		} else {
			pthread_cond_wait(&p->idle, &p->lock);
		}
	}
}

static void run_on_loop(struct virtio_port *p, enum cmd cmd)
{
	if (p->stopped)
		return;
	p->cmd = cmd;
	port_signal(p->cmd_fd);
	wait_idle(p);
}

bool port_accepts(const struct virtio_port *p, uint64_t features, bool alien)
{
	return !alien && !(features & ~p->dev->offered) &&
	       features & UINT64_C(1) << VIRTIO_F_VERSION_1;
}

static void accept_features(struct virtio_port *p)
{
	if (port_accepts(p, p->regs.driver_features, p->regs.alien_features))
		p->regs.status = S_FEATURES;
}

static void enter_live(struct virtio_port *p)
{
	run_on_loop(p, CMD_ACTIVATE);
}

static const struct transition {
	uint32_t from, to;
	void (*enter)(struct virtio_port *p); /* NULL: nothing else has to happen */
} transitions[] = {
	{S_RESET, S_ACK, NULL},
	{S_RESET, S_DRIVER, NULL}, /* some drivers set both bits at once */
	{S_ACK, S_DRIVER, NULL},
	{S_DRIVER, S_FEATURES, accept_features},
	{S_FEATURES, S_LIVE, enter_live},
};

static void write_status(struct virtio_port *p, uint32_t v)
{
	uint32_t cur = p->regs.status;

	if (v == 0 && p->live) {
		run_on_loop(p, CMD_RESET);
		return;
	}
	if (v == 0) {
		clear_regs(p);
		return;
	}
	if (v & VIRTIO_CONFIG_S_FAILED)
		p->regs.status |= VIRTIO_CONFIG_S_FAILED;
	if (p->regs.status & FOREVER_GONE || v == cur)
		return;
	for (const struct transition *t = transitions; t < transitions + countof(transitions);
	     t++) {
		if (t->from != cur || t->to != v)
			continue;
		if (t->enter)
			t->enter(p);
		else
			p->regs.status = v;
		return;
	}
	break_locked(p, "illegal status change");
}

static void write_driver_features(struct virtio_port *p, uint32_t v)
{
	struct regs *r = &p->regs;

	if (r->status & FOREVER_GONE)
		return;
	if (r->status != S_DRIVER) {
		break_locked(p, "features written outside their window");
		return;
	}
	if (r->driver_features_sel > 1) {
		r->alien_features |= v != 0;
		return;
	}
	unsigned shift = r->driver_features_sel * 32;
	r->driver_features &= ~(UINT64_C(0xffffffff) << shift);
	r->driver_features |= (uint64_t)v << shift;
}

static void set_low(gpa_t *a, uint32_t v)
{
	a->raw = (a->raw & ~UINT64_C(0xffffffff)) | v;
}

static void set_high(gpa_t *a, uint32_t v)
{
	a->raw = (a->raw & 0xffffffff) | (uint64_t)v << 32;
}

/* Whatever became of the device: a queue that is not ready is not touched. */
static void stop_queue(struct virtio_port *p, struct queue_regs *r)
{
	if (r->ready && p->live)
		run_on_loop(p, CMD_STOP);
	else
		r->ready = false;
}

static void write_queue(struct virtio_port *p, uint64_t off, uint32_t v)
{
	struct queue_regs *r;

	if (p->regs.queue_sel >= p->dev->cls->nvqs)
		return;
	r = &p->regs.queue[p->regs.queue_sel];
	if (off == VIRTIO_MMIO_QUEUE_READY && !(v & 1)) {
		stop_queue(p, r);
		return;
	}
	if (p->regs.status & FOREVER_GONE || (off == VIRTIO_MMIO_QUEUE_READY && r->ready))
		return;
	if (p->regs.status != S_FEATURES) {
		break_locked(p, "queue set up outside its window");
		return;
	}
	if (r->ready && off != VIRTIO_MMIO_QUEUE_READY) {
		break_locked(p, "queue changed while ready");
		return;
	}
	switch (off) {
	case VIRTIO_MMIO_QUEUE_NUM:
		if (v > p->dev->cls->vq_max[p->regs.queue_sel])
			break_locked(p, "queue larger than offered");
		else
			r->layout.size = (uint16_t)v;
		break;
	case VIRTIO_MMIO_QUEUE_READY: r->ready = true; break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW: set_low(&r->layout.desc, v); break;
	case VIRTIO_MMIO_QUEUE_DESC_HIGH: set_high(&r->layout.desc, v); break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW: set_low(&r->layout.avail, v); break;
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH: set_high(&r->layout.avail, v); break;
	case VIRTIO_MMIO_QUEUE_USED_LOW: set_low(&r->layout.used, v); break;
	case VIRTIO_MMIO_QUEUE_USED_HIGH: set_high(&r->layout.used, v); break;
	default: break;
	}
}

static void write_reg(struct virtio_port *p, uint64_t off, uint32_t v)
{
	switch (off) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL: p->regs.device_features_sel = v; break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL: p->regs.driver_features_sel = v; break;
	case VIRTIO_MMIO_QUEUE_SEL: p->regs.queue_sel = v; break;
	case VIRTIO_MMIO_DRIVER_FEATURES: write_driver_features(p, v); break;
	case VIRTIO_MMIO_STATUS: write_status(p, v); break;
	case VIRTIO_MMIO_QUEUE_NUM:
	case VIRTIO_MMIO_QUEUE_READY:
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH: write_queue(p, off, v); break;
	default: count(&p->ignored);
	}
}

static uint32_t read_reg(struct virtio_port *p, uint64_t off)
{
	const struct virtio_class *c = p->dev->cls;
	const struct regs *r = &p->regs;
	bool exists = r->queue_sel < c->nvqs;

	switch (off) {
	case VIRTIO_MMIO_MAGIC_VALUE: return MAGIC;
	case VIRTIO_MMIO_VERSION: return VERSION;
	case VIRTIO_MMIO_DEVICE_ID: return c->id;
	case VIRTIO_MMIO_VENDOR_ID: return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return r->device_features_sel > 1
			       ? 0
			       : (uint32_t)(p->dev->offered >> r->device_features_sel * 32);
	case VIRTIO_MMIO_QUEUE_NUM_MAX: return exists ? c->vq_max[r->queue_sel] : 0;
	case VIRTIO_MMIO_QUEUE_READY: return exists && r->queue[r->queue_sel].ready;
	case VIRTIO_MMIO_STATUS: return r->status;
	case VIRTIO_MMIO_SHM_LEN_LOW: /* we have no shared memory: a length of -1 says so */
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH: return UINT32_MAX;
	case VIRTIO_MMIO_CONFIG_GENERATION: return 0; /* no device here changes it */
	default: count(&p->ignored); return 0;
	}
}

static void read_config(struct virtio_port *p, uint64_t at, void *data, size_t len)
{
	if (at < p->dev->config_len)
		memcpy(data, (const uint8_t *)p->dev->config + at,
		       min_(len, p->dev->config_len - at));
}

static void access_locked(struct virtio_port *p, bool write, uint64_t off, void *data, unsigned len)
{
	uint32_t v;

	if (off >= VIRTIO_MMIO_CONFIG) {
		if (!write)
			read_config(p, off - VIRTIO_MMIO_CONFIG, data, len);
		return; /* no device here has a writable field */
	}
	if (len != sizeof(v)) { /* as for alignment: every register there is has a multiple of 4 */
		count(&p->ignored);
		return;
	}
	if (write) {
		memcpy(&v, data, sizeof(v));
		write_reg(p, off, v);
	} else {
		v = read_reg(p, off);
		memcpy(data, &v, sizeof(v));
	}
}

/* The registers of every interrupt and every kick: no lock. True: that is what it was. */
static bool access_fast(struct virtio_port *p, bool write, uint64_t off, void *data, unsigned len)
{
	uint32_t v;

	if (len != sizeof(v))
		return false;
	memcpy(&v, data, sizeof(v));
	if (!write && off == VIRTIO_MMIO_INTERRUPT_STATUS) {
		v = atomic_load(&p->isr);
		memcpy(data, &v, sizeof(v));
		return true;
	}
	if (write && off == VIRTIO_MMIO_INTERRUPT_ACK) {
		atomic_fetch_and(&p->isr, ~v);
		return true;
	}
	if (write && off == VIRTIO_MMIO_QUEUE_NOTIFY) {
		if (v < p->dev->cls->nvqs)
			port_signal(p->kick[v].fd);
		else
			count(&p->ignored);
		return true;
	}
	return false;
}

void virtio_port_access(struct virtio_port *p, bool write, uint64_t off, void *data, unsigned len)
{
	if (access_fast(p, write, off, data, len))
		return;
	if (!write)
		memset(data, 0, len);
	pthread_mutex_lock(&p->lock);
	wait_idle(p);
	access_locked(p, write, off, data, len);
	pthread_mutex_unlock(&p->lock);
}

/* ---- life ---- */

int virtio_port_kick_fd(const struct virtio_port *p, unsigned q)
{
	return q < p->dev->cls->nvqs ? p->kick[q].fd : -1;
}

void virtio_port_stop(struct virtio_port *p)
{
	pthread_mutex_lock(&p->lock);
	p->stopped = true;
	pthread_cond_broadcast(&p->idle);
	pthread_mutex_unlock(&p->lock);
}

void virtio_port_stats(struct virtio_port *p, struct virtio_port_stats *ret)
{
	pthread_mutex_lock(&p->lock);
	*ret = (struct virtio_port_stats){
		.kicks = atomic_load(&p->kicks),
		.irqs = atomic_load(&p->irqs),
		.ignored = atomic_load(&p->ignored),
		.broken = p->broken,
		.why = p->why,
	};
	pthread_mutex_unlock(&p->lock);
}

/* An eventfd watched by the loop. */
static int add_event(struct loop *l, struct loop_src *s, uint32_t events, int *ret_fd, loop_fn *fn)
{
	auto_close int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	int r = loop_add(l, s, fd, events, fn);
	if (r < 0)
		return r;
	*ret_fd = take_fd(fd);
	return 0;
}

static int add_events(struct virtio_port *p)
{
	int r = add_event(p->loop, &p->cmd_src, EPOLLIN, &p->cmd_fd, on_cmd);

	for (unsigned q = 0; r == 0 && q < p->dev->cls->nvqs; q++)
		r = add_event(p->loop, &p->kick[q].src, EPOLLIN | EPOLLET, &p->kick[q].fd, on_kick);
	return r < 0 ? r : pace_init(&p->pace, p->loop, on_due);
}

struct virtio_port *virtio_port_new(struct virtio_dev *dev, const struct guest_mem *mem,
				    struct loop *loop, int irq_fd, struct err *e)
{
	if (!dev)
		return NULL;
	assert(dev->cls->nvqs <= VIRTIO_QUEUES && dev->config_len <= STATE_CONFIG_BYTES);

	struct virtio_port *p = calloc(1, sizeof(*p));
	if (!p) {
		dev->cls->ops->free(dev);
		(void)!err_set(e, ENOMEM, "virtio-mmio: out of memory");
		return NULL;
	}
	*p = (struct virtio_port){
		.dev = dev, .mem = mem, .loop = loop, .irq_fd = irq_fd, .cmd_fd = -1};
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->idle, NULL);
	p->loop_thread = pthread_self();
	p->cmd_src.fd = -1;
	for (unsigned q = 0; q < VIRTIO_QUEUES; q++)
		p->kick[q] = (struct kick){.port = p, .src.fd = -1, .fd = -1};
	dev->port = p;

	int r = add_events(p);
	if (r < 0) {
		(void)!err_set(e, -r, "virtio-mmio: events of %s: %s", dev->cls->name,
			       strerror(-r));
		virtio_port_free(p);
		return NULL;
	}
	return p;
}

static void del_event(struct loop *l, struct loop_src *s, int fd)
{
	loop_del(l, s);
	if (fd >= 0)
		close(fd);
}

void virtio_port_free(struct virtio_port *p)
{
	if (!p)
		return;
	if (p->live)
		p->dev->cls->ops->reset(p->dev);
	forget_queues(p->dev);
	p->dev->cls->ops->free(p->dev);
	del_event(p->loop, &p->cmd_src, p->cmd_fd);
	for (unsigned q = 0; q < VIRTIO_QUEUES; q++)
		del_event(p->loop, &p->kick[q].src, p->kick[q].fd);
	pace_fini(&p->pace);
	pthread_cond_destroy(&p->idle);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
