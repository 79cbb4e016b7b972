/* SPDX-License-Identifier: Apache-2.0 */
/* vguest.c - see vguest.h. */
#include "tests/fake/vguest.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#include "proto/ports.h"
#include "tests/lib/fds.h"
#include "tests/lib/test.h"
#include "vmm/virtio/vsock.h"

static void on_ready(void *user)
{
	((struct vguest *)user)->ready++;
}

void vguest_post_rx(struct vguest *g, gpa_t at, uint32_t len)
{
	struct fake_seg s = {at, len, true};

	fake_add(&g->f, VGUEST_RX, &s, 1);
}

void vguest_post_all_rx(struct vguest *g)
{
	for (unsigned i = 0; i < VGUEST_RX_BUFS; i++)
		vguest_post_rx(g, g->rx_buf[i], VGUEST_RX_BUF_BYTES);
	fake_kick(&g->f, VGUEST_RX);
	fake_run(&g->f);
}

static struct virtio_dev *make(struct fake *f)
{
	struct vguest *g = container_of(f, struct vguest, f);
	struct err e = {0};
	struct vsock_config c = {
		.guest_cid = GUEST_CID,
		.nlisteners = 1,
		.listener = {{fcntl(g->listener, F_DUPFD_CLOEXEC, 0), VGUEST_SERVICE}},
		.on_ready = on_ready,
		.user = g,
	};
	struct virtio_dev *d = vsock_new(&f->loop, &c, &e);

	cr_assert_not_null(d, "%s", e.msg);
	return d;
}

struct vguest *vguest_start(uint64_t features)
{
	struct vguest *g = calloc(1, sizeof(*g));
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	g->listener = listener;
	g->fds_before = open_fds() - 1; /* without the listener */
	fake_init(&g->f);
	g->addr.sun_family = AF_UNIX;
	cr_assert_eq(bind(listener, (void *)&g->addr, sizeof(sa_family_t)), 0); /* abstract */
	g->addr_len = sizeof(g->addr);
	cr_assert_eq(getsockname(listener, (void *)&g->addr, &g->addr_len), 0);
	cr_assert_eq(listen(listener, 128), 0);

	g->f.remake = make;
	fake_attach(&g->f, make(&g->f));
	cr_assert_eq(fake_start(&g->f, features), 0xf);
	for (unsigned i = 0; i < VGUEST_RX_BUFS; i++)
		g->rx_buf[i] = fake_alloc(&g->f, VGUEST_RX_BUF_BYTES, 64);
	g->tx_hdr = fake_alloc(&g->f, VSOCK_HDR_BYTES, 64);
	g->tx_data = fake_alloc(&g->f, VSOCK_PAYLOAD_MAX + 1, 64);
	return g;
}

/* Everything is closed at the end, whatever the test left open inside the device. */
void vguest_stop(struct vguest *g)
{
	int before = g->fds_before;

	close(g->listener);
	fake_fini(&g->f);
	free(g);
	cr_assert_eq(open_fds(), before, "leaked descriptors");
}

struct vsock_pkt vguest_packet(enum vsock_op op, uint32_t src_port, uint32_t dst_port)
{
	return (struct vsock_pkt){
		.src_cid = GUEST_CID,
		.dst_cid = VSOCK_HOST_CID,
		.src_port = src_port,
		.dst_port = dst_port,
		.type = VSOCK_TYPE_STREAM,
		.op = (uint16_t)op,
		.buf_alloc = VGUEST_BUF_BYTES,
	};
}

void vguest_put(struct vguest *g, const struct vsock_pkt *p)
{
	gpa_t hdr = fake_alloc(&g->f, VSOCK_HDR_BYTES, 4);
	struct fake_seg s[] = {{hdr, VSOCK_HDR_BYTES, false}, {g->tx_data, p->len, false}};

	vsock_pkt_build(p, fake_ptr(&g->f, hdr));
	fake_add(&g->f, VGUEST_TX, s, p->len ? 2 : 1);
}

void vguest_send(struct vguest *g, const struct vsock_pkt *p)
{
	uint32_t head, len;

	vguest_put(g, p);
	fake_kick(&g->f, VGUEST_TX);
	fake_run(&g->f);
	while (fake_used(&g->f, VGUEST_TX, &head, &len))
		cr_assert_eq(len, 0);
}

/* The next packet in rx, without waiting and without giving the buffer back. Its op, or 0. */
unsigned vguest_take(struct vguest *g)
{
	uint32_t head, len;

	fake_run(&g->f);
	if (!fake_used(&g->f, VGUEST_RX, &head, &len))
		return 0;

	uint8_t *buf = fake_ptr(&g->f, (gpa_t){fake_desc(&g->f, VGUEST_RX, (uint16_t)head)->addr});
	struct vsock_pkt *p = &g->p;

	cr_assert_geq(len, VSOCK_HDR_BYTES);
	memcpy(&p->src_cid, buf, 8);
	memcpy(&p->dst_cid, buf + 8, 8);
	memcpy(&p->src_port, buf + 16, 4);
	memcpy(&p->dst_port, buf + 20, 4);
	memcpy(&p->len, buf + 24, 4);
	memcpy(&p->type, buf + 28, 2);
	memcpy(&p->op, buf + 30, 2);
	memcpy(&p->flags, buf + 32, 4);
	memcpy(&p->buf_alloc, buf + 36, 4);
	memcpy(&p->fwd_cnt, buf + 40, 4);
	cr_assert_eq(len, VSOCK_HDR_BYTES + p->len);
	cr_assert_eq(p->dst_cid, GUEST_CID);
	memcpy(g->data, buf + VSOCK_HDR_BYTES, p->len);
	return p->op;
}

/* As vguest_take(), and the buffer is posted again. */
unsigned vguest_recv(struct vguest *g)
{
	unsigned op = vguest_take(g);

	if (op) {
		/* Buffers come back in order: the oldest is the one just taken. */
		uint16_t head = (uint16_t)((g->f.q[VGUEST_RX].last_used - 1) % VGUEST_RX_BUFS);

		vguest_post_rx(g, (gpa_t){fake_desc(&g->f, VGUEST_RX, head)->addr},
			       VGUEST_RX_BUF_BYTES);
		fake_kick(&g->f, VGUEST_RX);
		fake_run(&g->f);
	}
	return op;
}

void vguest_ring(struct vguest *g)
{
	struct vsock_pkt p = vguest_packet(VSOCK_OP_REQUEST, 1023, PORT_READY);

	vguest_send(g, &p);
}

struct vguest *vguest_serve(uint64_t features)
{
	struct vguest *g = vguest_start(features);

	vguest_post_all_rx(g);
	vguest_ring(g);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	return g;
}

int vguest_dial(struct vguest *g)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	cr_assert_eq(connect(fd, (void *)&g->addr, g->addr_len), 0);
	return fd;
}

int vguest_dial_open(struct vguest *g, uint32_t *ret_port)
{
	int fd = vguest_dial(g);

	cr_assert_eq(vguest_recv(g), VSOCK_OP_REQUEST);
	cr_assert_eq(g->p.dst_port, VGUEST_SERVICE);
	*ret_port = g->p.src_port;

	struct vsock_pkt p = vguest_packet(VSOCK_OP_RESPONSE, VGUEST_SERVICE, *ret_port);
	vguest_send(g, &p);
	return fd;
}

void vguest_send_op(struct vguest *g, enum vsock_op op, uint32_t port, uint32_t flags)
{
	struct vsock_pkt p = vguest_packet(op, VGUEST_SERVICE, port);

	p.flags = flags;
	vguest_send(g, &p);
}

void vguest_send_data(struct vguest *g, uint32_t port, const void *data, uint32_t n)
{
	struct vsock_pkt p = vguest_packet(VSOCK_OP_RW, VGUEST_SERVICE, port);

	p.len = n;
	if (data)
		memcpy(fake_ptr(&g->f, g->tx_data), data, n);
	vguest_send(g, &p);
}

void vguest_send_credit(struct vguest *g, uint32_t port, uint32_t buf_alloc, uint32_t fwd_cnt)
{
	struct vsock_pkt p = vguest_packet(VSOCK_OP_CREDIT_UPDATE, VGUEST_SERVICE, port);

	p.buf_alloc = buf_alloc;
	p.fwd_cnt = fwd_cnt;
	vguest_send(g, &p);
}

ssize_t vguest_client_read(int fd, void *buf, size_t n)
{
	ssize_t r = read(fd, buf, n);

	return r < 0 ? -errno : r;
}

bool vguest_client_is_open(int fd)
{
	char c;

	return vguest_client_read(fd, &c, 1) == -EAGAIN;
}

size_t vguest_client_fill(int fd, size_t max)
{
	static uint8_t block[4096];
	size_t sum = 0;

	while (sum < max) {
		ssize_t n = write(fd, block, min_(sizeof(block), max - sum));

		if (n < 0)
			break;
		sum += (size_t)n;
	}
	return sum;
}

bool vguest_is_broken(struct vguest *g)
{
	return fake_read(&g->f, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

bool vguest_is_idle(struct vguest *g)
{
	int spins = 0;

	while (loop_step(&g->f.loop, 25) > 0) /* a late interrupt may be due */
		if (++spins > 3)
			return false;
	for (int i = 0; i < 5; i++)
		if (loop_step(&g->f.loop, 2) != 0)
			return false;
	return true;
}

uint32_t vguest_clog(struct vguest *g, uint32_t port)
{
	uint32_t sent = 0, fwd_cnt = 0;

	while (sent - fwd_cnt + 8192 <= VSOCK_BUF_BYTES) {
		vguest_send_data(g, port, NULL, 8192);
		sent += 8192;
		while (vguest_recv(g) == VSOCK_OP_CREDIT_UPDATE)
			fwd_cnt = g->p.fwd_cnt;
	}
	return sent;
}
