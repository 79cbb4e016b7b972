/* SPDX-License-Identifier: Apache-2.0 */
/* Devices of the state file: what goes in comes out, at the limits too, and nothing else comes
 * out. */
#include <linux/virtio_ids.h>

#include "tests/lib/test.h"
#include "vmm/snap/device.h"

static struct snap_device *d;
static struct port_state *out;
static Conker__State__Device *parsed;

static void setup(void)
{
	d = calloc(1, sizeof(*d));
	out = calloc(1, sizeof(*out));
}

static void teardown(void)
{
	if (parsed)
		conker__state__device__free_unpacked(parsed, NULL);
	free(d);
	free(out);
}

TestSuite(snap_device, .init = setup, .fini = teardown, .timeout = 60);

/* Any values: each field another. */
static void fill_port(uint32_t id)
{
	struct port_state *s = &d->state;

	memset(d, 0, sizeof(*d));
	s->device_id = id;
	s->offered = 0x1234567890abcdef;
	s->config_bytes = STATE_CONFIG_BYTES;
	for (unsigned i = 0; i < STATE_CONFIG_BYTES; i++)
		s->config[i] = (uint8_t)(i * 7);
	s->status = 0xcf;
	s->isr = 2;
	s->device_features_sel = UINT32_MAX;
	s->driver_features_sel = 6;
	s->queue_sel = 7;
	s->driver_features = UINT64_MAX - 1;
	s->alien_features = true;
	s->nqueues = VIRTIO_QUEUES;
	for (uint16_t q = 0; q < VIRTIO_QUEUES; q++)
		s->queue[q] = (struct queue_state){
			.layout = {VQ_MAX >> q, {q + 1}, {UINT64_MAX - q}, {q * 100u}},
			.ready = q & 1,
			.next = (uint16_t)(UINT16_MAX - q),
			.signalled = (uint16_t)(q * 1000),
		};
}

/* Through bytes; the caller may have changed d->msg. 0 or -EINVAL, with a reason. */
static int through(void)
{
	struct err e = {0};
	size_t n = conker__state__device__get_packed_size(&d->msg);
	uint8_t *bytes = malloc(n);

	if (parsed)
		conker__state__device__free_unpacked(parsed, NULL);
	cr_assert_eq(conker__state__device__pack(&d->msg, bytes), n);
	parsed = conker__state__device__unpack(NULL, n, bytes);
	free(bytes);
	cr_assert_not_null(parsed);
	memset(out, 0xa5, sizeof(*out));
	int r = snap_device_get(parsed, out, &e);
	cr_assert(r == 0 || (r == -EINVAL && e.code == EINVAL && e.msg[0]));
	return r;
}

static void assert_port(void)
{
	const struct port_state *a = &d->state, *b = out;

	cr_assert_eq(a->device_id, b->device_id);
	cr_assert_eq(a->offered, b->offered);
	cr_assert_eq(a->config_bytes, b->config_bytes);
	cr_assert_eq(memcmp(a->config, b->config, STATE_CONFIG_BYTES), 0);
	cr_assert_eq(a->status, b->status);
	cr_assert_eq(a->isr, b->isr);
	cr_assert_eq(a->device_features_sel, b->device_features_sel);
	cr_assert_eq(a->driver_features_sel, b->driver_features_sel);
	cr_assert_eq(a->queue_sel, b->queue_sel);
	cr_assert_eq(a->driver_features, b->driver_features);
	cr_assert_eq(a->alien_features, b->alien_features);
	cr_assert_eq(a->nqueues, b->nqueues);
	for (unsigned q = 0; q < VIRTIO_QUEUES; q++) {
		const struct queue_state *x = &a->queue[q], *y = &b->queue[q];

		cr_assert_eq(x->layout.size, y->layout.size);
		cr_assert_eq(x->layout.desc.raw, y->layout.desc.raw);
		cr_assert_eq(x->layout.avail.raw, y->layout.avail.raw);
		cr_assert_eq(x->layout.used.raw, y->layout.used.raw);
		cr_assert_eq(x->ready, y->ready);
		cr_assert_eq(x->next, y->next);
		cr_assert_eq(x->signalled, y->signalled);
	}
}

Test(snap_device, a_disk_is_its_registers)
{
	fill_port(VIRTIO_ID_BLOCK);
	snap_device_put(d);
	cr_assert_eq(through(), 0);
	assert_port();
}

Test(snap_device, a_full_console_comes_out_as_it_went_in)
{
	fill_port(VIRTIO_ID_CONSOLE);
	d->state.console.sent_bytes = UINT32_MAX;
	d->state.console.dropped = UINT64_MAX;
	d->state.console.unwritten_bytes = SINK_QUEUE_BYTES;
	for (unsigned i = 0; i < SINK_QUEUE_BYTES; i++)
		d->state.console.unwritten[i] = (uint8_t)(i ^ i >> 8);
	snap_device_put(d);
	cr_assert_eq(through(), 0);
	assert_port();
	cr_assert_eq(out->console.sent_bytes, UINT32_MAX);
	cr_assert_eq(out->console.dropped, UINT64_MAX);
	cr_assert_eq(out->console.unwritten_bytes, SINK_QUEUE_BYTES);
	cr_assert_eq(memcmp(d->state.console.unwritten, out->console.unwritten, SINK_QUEUE_BYTES),
		     0);
}

static void fill_streams(uint32_t nconns, uint32_t nrsts)
{
	struct streams_state *s = &d->state.vsock;

	fill_port(VIRTIO_ID_VSOCK);
	s->rung = true;
	s->uses = 99;
	s->nconns = nconns;
	for (uint32_t i = 0; i < nconns; i++) {
		s->host_port[i] = UINT32_MAX - i;
		s->guest_port[i] = i;
	}
	s->nrsts = nrsts;
	for (uint32_t i = 0; i < nrsts; i++) {
		s->rst_cid[i] = UINT64_MAX - i;
		s->rst_host_port[i] = i * 3;
		s->rst_guest_port[i] = i * 5;
		s->rst_type[i] = UINT16_MAX - i;
	}
	snap_device_put(d);
}

Test(snap_device, as_many_streams_as_there_can_be)
{
	fill_streams(VSOCK_CONNS_MAX, VSOCK_RSTS_MAX);
	cr_assert_eq(through(), 0);
	assert_port();
	const struct streams_state *a = &d->state.vsock, *b = &out->vsock;
#define SAME(field) cr_assert_eq(memcmp(&a->field, &b->field, sizeof(a->field)), 0)
	SAME(nconns);
	SAME(host_port);
	SAME(guest_port);
	SAME(nrsts);
	SAME(rst_cid);
	SAME(rst_host_port);
	SAME(rst_guest_port);
	SAME(rst_type);
}

Test(snap_device, no_streams_at_all)
{
	fill_streams(0, 0);
	cr_assert_eq(through(), 0);
	cr_assert_eq(out->vsock.nconns + out->vsock.nrsts, 0);
	cr_assert_eq(out->vsock.uses, 99);
	cr_assert(out->vsock.rung);
}

/* ---- what is refused ---- */

Test(snap_device, lists_that_are_longer_than_their_arrays)
{
	static uint32_t words[VSOCK_CONNS_MAX + 1];
	static uint8_t bytes[SINK_QUEUE_BYTES + 1];

	fill_streams(0, 0);
	d->vsock.n_host_port = d->vsock.n_guest_port = VSOCK_CONNS_MAX + 1;
	d->vsock.host_port = d->vsock.guest_port = words;
	cr_assert_eq(through(), -EINVAL);

	fill_streams(0, VSOCK_RSTS_MAX);
	static uint64_t cids[VSOCK_RSTS_MAX + 1];
	d->vsock.rst_cid = cids;
	d->vsock.rst_host_port = d->vsock.rst_guest_port = d->vsock.rst_type = words;
	cr_assert_eq(through(), 0);
	d->vsock.n_rst_cid++;
	d->vsock.n_rst_host_port++;
	d->vsock.n_rst_guest_port++;
	d->vsock.n_rst_type++;
	cr_assert_eq(through(), -EINVAL);

	fill_port(VIRTIO_ID_CONSOLE);
	snap_device_put(d);
	d->console.unwritten.len = SINK_QUEUE_BYTES + 1;
	d->console.unwritten.data = bytes;
	cr_assert_eq(through(), -EINVAL);
	d->console.unwritten.len--;
	d->port.config.data = bytes;
	cr_assert_eq(through(), 0);
	d->port.config.len++;
	cr_assert_eq(through(), -EINVAL);

	fill_port(VIRTIO_ID_BLOCK);
	snap_device_put(d);
	Conker__State__Queue *five[VIRTIO_QUEUES + 1] = {
		[VIRTIO_QUEUES] = &d->queue[0],
	};
	memcpy(five, d->queues, sizeof(d->queues));
	d->port.queue = five;
	d->port.n_queue++;
	cr_assert_eq(through(), -EINVAL);
}

Test(snap_device, columns_of_different_length)
{
	for (int i = 0; i < 6; i++) {
		fill_streams(3, 3);
		size_t *n[] = {&d->vsock.n_host_port,      &d->vsock.n_guest_port,
			       &d->vsock.n_rst_cid,        &d->vsock.n_rst_host_port,
			       &d->vsock.n_rst_guest_port, &d->vsock.n_rst_type};
		--*n[i];
		cr_assert_eq(through(), -EINVAL, "%d", i);
	}
}

Test(snap_device, values_that_would_be_cut)
{
	fill_port(VIRTIO_ID_BLOCK);
	snap_device_put(d);
#define REFUSE(field, value)                      \
	do {                                      \
		uint32_t was = d->field;          \
		d->field = (value);               \
		cr_assert_eq(through(), -EINVAL); \
		d->field = was;                   \
		cr_assert_eq(through(), 0);       \
	} while (0)
	REFUSE(queue[0].size, VQ_MAX + 1);
	REFUSE(queue[3].size, UINT32_MAX);
	REFUSE(queue[1].next, UINT16_MAX + 1);
	REFUSE(queue[2].signalled, UINT16_MAX + 1);
	fill_streams(1, 2);
	uint32_t types[] = {1, UINT16_MAX + 1};
	d->vsock.rst_type = types;
	cr_assert_eq(through(), -EINVAL);
}

Test(snap_device, a_device_without_registers_or_kind)
{
	fill_port(VIRTIO_ID_BLOCK);
	snap_device_put(d);
	d->msg.port = NULL;
	cr_assert_eq(through(), -EINVAL);
	d->msg.port = &d->port;
	d->msg.kind_case = CONKER__STATE__DEVICE__KIND__NOT_SET;
	cr_assert_eq(through(), -EINVAL);
}

/* A field of a version to come, in each message. */
Test(snap_device, fields_that_this_version_does_not_know)
{
	ProtobufCMessageUnknownField f = {99, PROTOBUF_C_WIRE_TYPE_VARINT, 1, (uint8_t[]){5}};

	for (int i = 0; i < 6; i++) {
		if (i < 4)
			fill_streams(1, 1);
		else
			fill_port(i == 4 ? VIRTIO_ID_CONSOLE : VIRTIO_ID_BLOCK);
		snap_device_put(d);
		cr_assert_eq(through(), 0);
		ProtobufCMessage *m[] = {&d->msg.base,   &d->port.base,    &d->queue[2].base,
					 &d->vsock.base, &d->console.base, &d->disk.base};
		m[i]->n_unknown_fields = 1;
		m[i]->unknown_fields = &f;
		cr_assert_eq(through(), -EINVAL, "%d", i);
	}
}
