/* SPDX-License-Identifier: Apache-2.0 */
/* device.c - see device.h.
 *
 * The protocol: proto/state.proto. One message for each device, and in it one for its kind, which names
 * the device.
 * Duties: what comes out of snap_device_get() may index the arrays of struct port_state, and no value was
 * cut to fit. A field that this program does not know is refused: the device would go on without a
 * part of its state.
 */
#include "vmm/snap/device.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>

/* ---- into the file ---- */

static void put_queue(const struct queue_state *s, Conker__State__Queue *ret)
{
	conker__state__queue__init(ret);
	ret->size = s->layout.size;
	ret->desc = s->layout.desc.raw;
	ret->avail = s->layout.avail.raw;
	ret->used = s->layout.used.raw;
	ret->ready = s->ready;
	ret->next = s->next;
	ret->signalled = s->signalled;
}

static void put_port(struct snap_device *d)
{
	Conker__State__Port *m = &d->port;
	struct port_state *s = &d->state;

	conker__state__port__init(m);
	m->offered = s->offered;
	m->config.data = s->config;
	m->config.len = s->config_bytes;
	m->status = s->status;
	m->interrupt_status = s->isr;
	m->driver_features = s->driver_features;
	m->device_features_sel = s->device_features_sel;
	m->driver_features_sel = s->driver_features_sel;
	m->queue_sel = s->queue_sel;
	m->alien_features = s->alien_features;
	m->n_queue = s->nqueues;
	m->queue = d->queues;
	for (uint32_t q = 0; q < s->nqueues; q++) {
		put_queue(&s->queue[q], &d->queue[q]);
		d->queues[q] = &d->queue[q];
	}
}

static void put_console(struct snap_device *d)
{
	struct console_state *s = &d->state.console;

	conker__state__console__init(&d->console);
	d->console.sent_bytes = s->sent_bytes;
	d->console.dropped = s->dropped;
	d->console.unwritten.data = s->unwritten;
	d->console.unwritten.len = s->unwritten_bytes;
	d->msg.kind_case = CONKER__STATE__DEVICE__KIND_CONSOLE;
	d->msg.console = &d->console;
}

static void put_kept(struct snap_device *d)
{
	const struct kept_stream *k = &d->state.vsock.kept;
	Conker__State__KeptStream *m = &d->kept;

	if (!k->host_port)
		return;
	conker__state__kept_stream__init(m);
	KEPT_STREAM_COPY(m, k);
	d->vsock.kept = m;
}

static void put_vsock(struct snap_device *d)
{
	struct streams_state *s = &d->state.vsock;
	Conker__State__Vsock *m = &d->vsock;

	conker__state__vsock__init(m);
	m->rung = s->rung;
	m->uses = s->uses;
	m->n_host_port = m->n_guest_port = s->nconns;
	m->host_port = s->host_port;
	m->guest_port = s->guest_port;
	m->n_rst_cid = m->n_rst_host_port = m->n_rst_guest_port = m->n_rst_type = s->nrsts;
	m->rst_cid = s->rst_cid;
	m->rst_host_port = s->rst_host_port;
	m->rst_guest_port = s->rst_guest_port;
	m->rst_type = s->rst_type;
	put_kept(d);
	d->msg.kind_case = CONKER__STATE__DEVICE__KIND_VSOCK;
	d->msg.vsock = m;
}

static void put_disk(struct snap_device *d)
{
	conker__state__disk__init(&d->disk);
	d->msg.kind_case = CONKER__STATE__DEVICE__KIND_DISK;
	d->msg.disk = &d->disk;
}

/* ---- out of it ---- */

static int out_of_range(struct err *e, const char *what)
{
	return err_set(e, EINVAL, "%s: out of range", what);
}

/* Every message that was parsed goes through here. */
static int check_known(const ProtobufCMessage *m, struct err *e)
{
	if (!m->n_unknown_fields)
		return 0;
	return err_set(e, EINVAL, "%s: field %u is unknown to this version",
		       m->descriptor->short_name, m->unknown_fields[0].tag);
}

static int get_queue(const Conker__State__Queue *m, struct queue_state *ret, struct err *e)
{
	int r = check_known(&m->base, e);

	if (r < 0)
		return r;
	if (m->size > VQ_MAX)
		return out_of_range(e, "queue size");
	if (m->next > UINT16_MAX || m->signalled > UINT16_MAX)
		return out_of_range(e, "queue index");
	*ret = (struct queue_state){
		.layout = {(uint16_t)m->size, {m->desc}, {m->avail}, {m->used}},
		.ready = m->ready,
		.next = (uint16_t)m->next,
		.signalled = (uint16_t)m->signalled,
	};
	return 0;
}

static int get_port(const Conker__State__Port *m, struct port_state *ret, struct err *e)
{
	if (!m)
		return err_set(e, EINVAL, "a device without registers");
	int r = check_known(&m->base, e);
	if (r < 0)
		return r;
	if (m->config.len > sizeof(ret->config) || m->n_queue > VIRTIO_QUEUES)
		return out_of_range(e, "length of a device's configuration, or its queues");
	ret->offered = m->offered;
	ret->config_bytes = (uint32_t)m->config.len;
	if (m->config.len)
		memcpy(ret->config, m->config.data, m->config.len);
	ret->status = m->status;
	ret->isr = m->interrupt_status;
	ret->driver_features = m->driver_features;
	ret->device_features_sel = m->device_features_sel;
	ret->driver_features_sel = m->driver_features_sel;
	ret->queue_sel = m->queue_sel;
	ret->alien_features = m->alien_features;
	ret->nqueues = (uint32_t)m->n_queue;
	for (uint32_t q = 0; q < ret->nqueues && r == 0; q++)
		r = get_queue(m->queue[q], &ret->queue[q], e);
	return r;
}

static int get_console(const Conker__State__Console *m, struct console_state *ret, struct err *e)
{
	int r = check_known(&m->base, e);

	if (r < 0)
		return r;
	if (m->unwritten.len > sizeof(ret->unwritten))
		return out_of_range(e, "length of the console's unwritten output");
	ret->sent_bytes = m->sent_bytes;
	ret->dropped = m->dropped;
	ret->unwritten_bytes = (uint32_t)m->unwritten.len;
	if (m->unwritten.len)
		memcpy(ret->unwritten, m->unwritten.data, m->unwritten.len);
	return 0;
}

static void copy_words(uint32_t *to, const uint32_t *from, size_t n)
{
	if (n) /* an empty list has no array */
		memcpy(to, from, n * sizeof(*to));
}

static int get_streams(const Conker__State__Vsock *m, struct streams_state *ret, struct err *e)
{
	if (m->n_host_port > VSOCK_CONNS_MAX || m->n_guest_port != m->n_host_port)
		return out_of_range(e, "number of streams");
	ret->nconns = (uint32_t)m->n_host_port;
	copy_words(ret->host_port, m->host_port, m->n_host_port);
	copy_words(ret->guest_port, m->guest_port, m->n_host_port);
	return 0;
}

static int get_rsts(const Conker__State__Vsock *m, struct streams_state *ret, struct err *e)
{
	size_t n = m->n_rst_cid;

	if (n > VSOCK_RSTS_MAX || m->n_rst_host_port != n || m->n_rst_guest_port != n ||
	    m->n_rst_type != n)
		return out_of_range(e, "number of resets owed");
	for (size_t i = 0; i < n; i++)
		if (m->rst_type[i] > UINT16_MAX)
			return out_of_range(e, "type of a packet");
	ret->nrsts = (uint32_t)n;
	if (n)
		memcpy(ret->rst_cid, m->rst_cid, n * sizeof(*m->rst_cid));
	copy_words(ret->rst_host_port, m->rst_host_port, n);
	copy_words(ret->rst_guest_port, m->rst_guest_port, n);
	copy_words(ret->rst_type, m->rst_type, n);
	return 0;
}

static int get_kept(const Conker__State__KeptStream *m, struct kept_stream *ret, struct err *e)
{
	*ret = (struct kept_stream){0};
	if (!m)
		return 0;
	KEPT_STREAM_COPY(ret, m);
	return check_known(&m->base, e);
}

static int get_vsock(const Conker__State__Vsock *m, struct streams_state *ret, struct err *e)
{
	int r = check_known(&m->base, e);

	ret->rung = m->rung;
	ret->uses = m->uses;
	if (r == 0)
		r = get_kept(m->kept, &ret->kept, e);
	if (r == 0)
		r = get_streams(m, ret, e);
	return r < 0 ? r : get_rsts(m, ret, e);
}

/* ---- kinds ---- */

void snap_device_put(struct snap_device *d)
{
	conker__state__device__init(&d->msg);
	put_port(d);
	d->msg.port = &d->port;
	switch (d->state.device_id) {
	case VIRTIO_ID_CONSOLE: put_console(d); break;
	case VIRTIO_ID_VSOCK: put_vsock(d); break;
	case VIRTIO_ID_BLOCK: put_disk(d); break;
	default: break;
	}
}

int snap_device_get(const Conker__State__Device *m, struct port_state *ret, struct err *e)
{
	int r = check_known(&m->base, e);

	memset(ret, 0, STATE_HEAD_BYTES);
	if (r == 0)
		r = get_port(m->port, ret, e);
	if (r < 0)
		return r;
	switch (m->kind_case) {
	case CONKER__STATE__DEVICE__KIND_CONSOLE:
		ret->device_id = VIRTIO_ID_CONSOLE;
		return get_console(m->console, &ret->console, e);
	case CONKER__STATE__DEVICE__KIND_VSOCK:
		ret->device_id = VIRTIO_ID_VSOCK;
		return get_vsock(m->vsock, &ret->vsock, e);
	case CONKER__STATE__DEVICE__KIND_DISK:
		ret->device_id = VIRTIO_ID_BLOCK;
		return check_known(&m->disk->base, e);
	default: return err_set(e, EINVAL, "a device of no kind");
	}
}
