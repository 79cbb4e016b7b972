/* SPDX-License-Identifier: Apache-2.0 */
/* save.c - a port held, saved and restored. See mmio.h, state.h.
 *
 * What makes it simple: a snapshot is taken when no vCPU runs and nothing is under way, and a device
 * returns its chains in order or not at all until then. So a queue is one index, and the first chain that
 * was not returned is simply taken again.
 *
 * Duties: nothing is lost or done twice, whatever stood in the rings, the registers or the eventfds at the
 * moment of the hold; values of a file are checked as if the guest had written them just now.
 * Limits: reasons and counters (struct virtio_port_stats) start anew in the restored port.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vmm/virtio/port.h"

/* ---- hold and release ---- */

static void set_held(struct virtio_port *p, bool held)
{
	p->held = held;
	for (unsigned q = 0; q < VIRTIO_QUEUES; q++)
		p->vq[q].held = held;
}

void virtio_port_hold(struct virtio_port *p)
{
	set_held(p, true);
}

bool virtio_port_busy(struct virtio_port *p)
{
	const struct virtio_dev *d = p->dev;

	pthread_mutex_lock(&p->lock);
	bool cmd = p->cmd != CMD_NONE;
	pthread_mutex_unlock(&p->lock);
	return cmd || (d->cls->ops->busy && d->cls->ops->busy(d));
}

/* Interrupts that a device put off, or that were wanted while it was saved, are told of, too. */
void virtio_port_release(struct virtio_port *p)
{
	set_held(p, false);
	if (atomic_load(&p->isr))
		port_signal(p->irq_fd);
	virtio_irq_any(p->dev);
	port_serve_all(p);
}

/* ---- save ---- */

static bool is_live(uint32_t status)
{
	return (status & VIRTIO_CONFIG_S_DRIVER_OK) && !(status & FOREVER_GONE);
}

static void save_queue(const struct virtio_port *p, unsigned q, struct queue_state *ret)
{
	const struct queue_regs *r = &p->regs.queue[q];

	*ret = (struct queue_state){.layout = r->layout, .ready = r->ready};
	if (!is_live(p->regs.status) || !p->dev->vq[q])
		return;
	ret->next = p->vq[q].next_used;
	ret->signalled = p->vq[q].signalled_used;
}

/* The lock is held. */
static void save_regs(const struct virtio_port *p, struct port_state *ret)
{
	const struct virtio_dev *d = p->dev;
	const struct regs *r = &p->regs;

	memset(ret, 0,
	       STATE_HEAD_BYTES); /* the guest waits: no more memory is touched than is used */
	ret->device_id = d->cls->id;
	ret->offered = d->offered;
	ret->config_bytes = (uint32_t)d->config_len;
	ret->status = r->status;
	ret->isr = atomic_load(&p->isr);
	ret->device_features_sel = r->device_features_sel;
	ret->driver_features_sel = r->driver_features_sel;
	ret->queue_sel = r->queue_sel;
	ret->driver_features = r->driver_features;
	ret->alien_features = r->alien_features;
	ret->nqueues = d->cls->nvqs;
	if (d->config_len)
		memcpy(ret->config, d->config, d->config_len);
	for (unsigned q = 0; q < d->cls->nvqs; q++)
		save_queue(p, q, &ret->queue[q]);
}

int virtio_port_save(struct virtio_port *p, struct port_state *ret)
{
	assert(p->held);
	if (virtio_port_busy(p))
		return -EBUSY;
	pthread_mutex_lock(&p->lock);
	save_regs(p, ret);
	pthread_mutex_unlock(&p->lock);
	if (p->dev->cls->ops->save)
		p->dev->cls->ops->save(p->dev, ret);
	return 0;
}

/* ---- restore ---- */

/* Is it the device that was saved? */
static int check_device(const struct virtio_port *p, const struct port_state *s, struct err *e)
{
	const struct virtio_dev *d = p->dev;

	if (s->device_id != d->cls->id || s->nqueues != d->cls->nvqs)
		return err_set(e, EINVAL, "another kind of device in the snapshot (%u)",
			       s->device_id);
	if (s->offered != d->offered)
		return err_set(e, EINVAL, "other features in the snapshot (%#llx, here %#llx)",
			       (unsigned long long)s->offered, (unsigned long long)d->offered);
	if (s->config_bytes != d->config_len ||
	    (d->config_len && memcmp(s->config, d->config, d->config_len) != 0))
		return err_set(e, EINVAL, "another configuration (a disk's size) in the snapshot");
	return 0;
}

/* Could a driver have come here, and written this on its way? */
static int check_regs(const struct virtio_port *p, const struct port_state *s, struct err *e)
{
	static const uint32_t states[] = {S_RESET, S_ACK, S_DRIVER, S_FEATURES, S_LIVE};
	uint32_t state = s->status & ~(uint32_t)FOREVER_GONE;
	bool known = false;

	for (size_t i = 0; i < countof(states); i++)
		known |= states[i] == state;
	if (!known)
		return err_set(e, EINVAL, "no driver gets to status %#x", s->status);
	if (s->isr & ~(uint32_t)(VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG))
		return err_set(e, EINVAL, "interrupt status %#x", s->isr);
	if (state & VIRTIO_CONFIG_S_FEATURES_OK &&
	    !port_accepts(p, s->driver_features, s->alien_features))
		return err_set(e, EINVAL, "features %#llx were never accepted",
			       (unsigned long long)s->driver_features);
	for (unsigned q = 0; q < s->nqueues; q++)
		if (s->queue[q].layout.size > p->dev->cls->vq_max[q])
			return err_set(e, EINVAL, "queue %u is larger than offered", q);
	return 0;
}

static void load_regs(struct virtio_port *p, const struct port_state *s)
{
	atomic_store(&p->isr, s->isr);
	p->regs = (struct regs){
		.status = s->status,
		.device_features_sel = s->device_features_sel,
		.driver_features_sel = s->driver_features_sel,
		.queue_sel = s->queue_sel,
		.driver_features = s->driver_features,
		.alien_features = s->alien_features,
	};
	for (unsigned q = 0; q < s->nqueues; q++)
		p->regs.queue[q] = (struct queue_regs){s->queue[q].layout, s->queue[q].ready};
}

static int activate(struct virtio_port *p, const struct port_state *s, struct err *e)
{
	const char *why = port_activate(p);

	if (why)
		return err_set(e, EINVAL, "%s", why);
	for (unsigned q = 0; q < s->nqueues; q++) {
		struct vq *v = p->dev->vq[q];

		if (!v)
			continue;
		v->last_avail = v->next_used = s->queue[q].next;
		v->signalled_used = s->queue[q].signalled;
	}
	return 0;
}

/* A device that needs a reset, or whose driver gave up, is not activated: it would not be served. The
 * reset will find it fresh. */
static int restore(struct virtio_port *p, const struct port_state *s, struct err *e)
{
	const struct virtio_dev *d = p->dev;
	int r = check_device(p, s, e);

	if (r == 0)
		r = check_regs(p, s, e);
	if (r < 0)
		return r;
	load_regs(p, s);
	set_held(p, true);
	p->live = s->status & VIRTIO_CONFIG_S_DRIVER_OK;
	if (is_live(s->status))
		r = activate(p, s, e);
	if (r == 0 && d->cls->ops->restore)
		r = d->cls->ops->restore(p->dev, s, e);
	return r;
}

int virtio_port_restore(struct virtio_port *p, const struct port_state *s, struct err *e)
{
	assert(!p->live && p->cmd == CMD_NONE);
	int r = restore(p, s, e);

	return r < 0 ? err_wrap(e, r, "virtio-%s", p->dev->cls->name) : 0;
}
