/* SPDX-License-Identifier: Apache-2.0 */
/* vsock - the whole device between a guest that writes what it likes into memory and rings, and
 * clients that do what they like. Nothing may crash, leak or hang, and the loop must rest in the end. */
#include <assert.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/ports.h"
#include "vmm/virtio/vsock.h"
#include "vmm/virtio/vsock_mux.h"

enum {
	RAM_BASE = 4096,
	RAM_BYTES = 96 << 10,
	CLIENTS = 4,
	QUEUE_SIZE = 16,
	QUEUES = 3,
	STEPS = 10000
};
enum { QUEUE_BYTES = 1024, PACKETS_AT = QUEUES * QUEUE_BYTES, PACKET_BYTES = 1500 };

struct rig {
	struct guest_mem mem;
	struct loop loop;
	struct virtio_dev *dev;
	struct vq vq[QUEUES];
	uint16_t avail[QUEUES]; /* the driver's avail idx */
	uint64_t features;
	int client[CLIENTS];
	struct sockaddr_un addr;
	socklen_t addr_len;
	const uint8_t *in;
	size_t left;
	_Alignas(4096) uint8_t ram[RAM_BYTES];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The transport, reduced to what the device sees of it. */
void virtio_irq(struct virtio_dev *d, unsigned q)
{
	if (d->vq[q])
		(void)!vq_needs_irq(d->vq[q]);
}

void virtio_irq_any(struct virtio_dev *d)
{
	for (unsigned q = 0; q < QUEUES; q++)
		virtio_irq(d, q);
}

/* Time does not pass here: what is over the limit stays where it is. */
void virtio_later(struct virtio_dev *d, uint64_t wait_ns)
{
	(void)d;
	assert(wait_ns >= RATE_WAIT_MIN_NS);
}

void virtio_broken(struct virtio_dev *d, const char *why)
{
	(void)d;
	assert(why);
}

static uint32_t next(struct rig *r)
{
	if (!r->left)
		return 0;
	r->left--;
	return *r->in++;
}

static uint32_t next_half(struct rig *r)
{
	uint32_t lo = next(r);

	return lo | next(r) << 8;
}

static uint32_t next_word(struct rig *r)
{
	uint32_t lo = next_half(r);

	return lo | next_half(r) << 16;
}

static void activate(struct rig *r)
{
	memset(r->ram, 0, PACKETS_AT);
	for (unsigned q = 0; q < QUEUES; q++) {
		uint64_t at = RAM_BASE + q * QUEUE_BYTES;
		struct vq_layout l = {QUEUE_SIZE, {at}, {at + 256}, {at + 512}};

		assert(vq_init(&r->vq[q], &r->mem, &l, r->features) == 0);
		r->dev->vq[q] = &r->vq[q];
		r->avail[q] = 0;
	}
	assert(r->dev->cls->ops->activate(r->dev, r->features) == 0);
}

/* A well-formed chain of one or two descriptors at slot s of queue q. */
static void expose(struct rig *r, unsigned q, struct vring_desc d)
{
	uint8_t *ring = r->ram + q * QUEUE_BYTES;
	uint16_t slot = r->avail[q] % QUEUE_SIZE;

	memcpy(ring + slot * sizeof(d), &d, sizeof(d));
	memcpy(ring + 256 + 4 + slot * 2, &slot, 2);
	r->avail[q]++;
	memcpy(ring + 256 + 2, &r->avail[q], 2);
}

/* The payload is whatever follows the header in memory. */
static void guest_packet(struct rig *r, struct vsock_pkt p)
{
	uint32_t at = PACKETS_AT + r->avail[1] % 8 * PACKET_BYTES;
	uint32_t room = RAM_BYTES - at - VSOCK_HDR_BYTES;

	p.src_cid = GUEST_CID;
	p.dst_cid = VSOCK_HOST_CID;
	p.type = VSOCK_TYPE_STREAM;
	vsock_pkt_build(&p, r->ram + at);
	expose(r, 1,
	       (struct vring_desc){
		       .addr = RAM_BASE + at,
		       .len = VSOCK_HDR_BYTES + min_(p.len, room),
	       });
}

static void any_packet(struct rig *r)
{
	uint32_t which = next(r);
	struct vsock_pkt p = {
		.src_port = which & 0x80 ? next_half(r) : PORT_EXEC,
		.dst_port = VSOCK_PORT_FIRST + (which & 3) + (which >> 2 & 3) * VSOCK_CONNS_MAX,
		.op = (uint16_t)next(r),
		.flags = next(r),
		.buf_alloc = next_word(r),
		.fwd_cnt = next_word(r),
	};
	if ((which & 0x70) == 0x70)
		p.dst_port = PORT_READY;
	p.len = p.op == VSOCK_OP_RW ? next_half(r) : 0;
	guest_packet(r, p);
}

static void guest_buffer(struct rig *r, unsigned q, uint32_t len)
{
	uint32_t at = PACKETS_AT + 8 * PACKET_BYTES + r->avail[q] % 8 * PACKET_BYTES;

	expose(r, q,
	       (struct vring_desc){
		       .addr = RAM_BASE + at,
		       .len = len % PACKET_BYTES,
		       .flags = VRING_DESC_F_WRITE,
	       });
}

static void scribble(struct rig *r)
{
	uint32_t at = next_half(r) % RAM_BYTES, n = 1 + next(r) % 8;

	for (; n && at < RAM_BYTES; n--)
		r->ram[at++] = (uint8_t)next(r);
}

static int dial(struct rig *r)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)connect(fd, (struct sockaddr *)&r->addr, r->addr_len); /* a full backlog is fine */
	return fd;
}

static void client_acts(struct rig *r)
{
	static uint8_t block[8192];
	uint32_t what = next(r);
	int *fd = &r->client[what % CLIENTS];

	if (*fd < 0) {
		*fd = dial(r);
		return;
	}
	switch (what / CLIENTS % 4) {
	case 0: (void)send(*fd, block, next_half(r) % sizeof(block), MSG_NOSIGNAL); break;
	case 1: (void)!read(*fd, block, 1 + next_half(r) % sizeof(block)); break;
	case 2: (void)shutdown(*fd, what & 0x80 ? SHUT_RD : SHUT_WR); break;
	case 3:
		close(*fd);
		*fd = -1;
		break;
	}
}

/* Comes to rest: no source may fire for ever. */
static void settle(struct rig *r)
{
	int i = 0;

	while (loop_step(&r->loop, 0) > 0)
		assert(i++ < STEPS);
}

static void turn(struct rig *r)
{
	const struct virtio_ops *ops = r->dev->cls->ops;
	uint32_t what = next(r);

	switch (what % 10) {
	case 0:
	case 1: any_packet(r); break;
	case 2: guest_buffer(r, 0, next_half(r)); break;
	case 3: guest_buffer(r, 2, next_half(r)); break;
	case 4: scribble(r); break;
	case 5:
	case 6: client_acts(r); break;
	case 7:
		if (r->dev->vq[what / 10 % QUEUES])
			ops->kick(r->dev, what / 10 % QUEUES);
		break;
	case 8: settle(r); break;
	case 9:
		if (what / 10 % 2) {
			r->dev->vq[what / 20 % QUEUES] = NULL; /* stopped */
			break;
		}
		ops->reset(r->dev);
		activate(r);
		break;
	}
}

static uint32_t set_up(struct rig *r)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	r->mem = (struct guest_mem){1, {{RAM_BASE, RAM_BYTES, r->ram}}};
	r->addr.sun_family = AF_UNIX;
	r->addr_len = sizeof(r->addr);
	assert(bind(fd, (struct sockaddr *)&r->addr, sizeof(sa_family_t)) == 0);
	assert(getsockname(fd, (struct sockaddr *)&r->addr, &r->addr_len) == 0);
	assert(listen(fd, 8) == 0);

	struct vsock_config c = {
		.guest_cid = GUEST_CID, .nlisteners = 1, .listener = {{fd, PORT_EXEC}}};

	assert(loop_init(&r->loop) == 0);
	r->dev = vsock_new(&r->loop, &c, NULL);
	assert(r->dev);
	r->features = 1ull << VIRTIO_F_VERSION_1;
	uint32_t how = next(r);
	if (how & 1)
		r->features |= 1ull << VIRTIO_RING_F_EVENT_IDX;
	if (how & 8)
		vsock_limit(r->dev, &(struct limit){.bytes_per_s = 100000, .ops_per_s = 20});
	activate(r);
	for (int i = 0; i < CLIENTS; i++)
		r->client[i] = -1;
	return how;
}

/* To the interesting part: the guest serves, and two clients are connected. */
static void open_two(struct rig *r)
{
	struct vsock_pkt ring = {.op = VSOCK_OP_REQUEST, .src_port = 9, .dst_port = PORT_READY};
	struct vsock_pkt yes = {
		.op = VSOCK_OP_RESPONSE, .src_port = PORT_EXEC, .buf_alloc = 100000};

	for (int i = 0; i < 8; i++)
		guest_buffer(r, 0, 1000);
	guest_packet(r, ring);
	r->dev->cls->ops->kick(r->dev, 1);
	for (uint32_t i = 0; i < 2; i++) {
		r->client[i] = dial(r);
		settle(r);
		yes.dst_port = VSOCK_PORT_FIRST + i;
		guest_packet(r, yes);
		r->dev->cls->ops->kick(r->dev, 1);
	}
}

/* The first client's socket is full, and bytes are stored for it. */
static void clog_first(struct rig *r)
{
	struct vsock_pkt p = {
		.op = VSOCK_OP_RW,
		.src_port = PORT_EXEC,
		.dst_port = VSOCK_PORT_FIRST,
		.len = 60000,
		.buf_alloc = 100000,
	};

	for (int i = 0; i < 4; i++) {
		guest_packet(r, p);
		r->dev->cls->ops->kick(r->dev, 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rig *r = aligned_alloc(_Alignof(struct rig), sizeof(*r));

	memset(r, 0, sizeof(*r));
	r->in = data;
	r->left = size;

	uint32_t how = set_up(r);
	if (how & 2)
		open_two(r);
	if ((how & 6) == 6)
		clog_first(r);
	while (r->left)
		turn(r);
	settle(r);
	r->dev->cls->ops->reset(r->dev);
	r->dev->cls->ops->free(r->dev);
	loop_fini(&r->loop);
	for (int i = 0; i < CLIENTS; i++)
		if (r->client[i] >= 0)
			close(r->client[i]);
	free(r);
	return 0;
}
