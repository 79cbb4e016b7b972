/* The vsock device, whole: a fake guest on the queues, real Unix sockets on the other side. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/ports.h"
#include "tests/fake/fake.h"
#include "vmm/virtio/vsock.h"
#include "vmm/virtio/vsock_conn.h"

enum { RX, TX, EVENT };
enum {
	RX_BUFS = 32,        /* the device's rx queue size */
	RX_BUF_BYTES = 3776, /* as Linux has them */
	GUEST_BUF = 256 * 1024,
	SERVICE = 1, /* the guest port behind the listener */
};

struct guest {
	struct fake f;
	int listener;
	struct sockaddr_un addr;
	socklen_t addr_len;
	unsigned ready; /* calls of on_ready */
	gpa_t rx_buf[RX_BUFS], tx_hdr, tx_data;
	struct vsock_pkt p;         /* the last packet received ... */
	uint8_t data[RX_BUF_BYTES]; /* ... and its payload */
};

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int fds_before;

static void on_ready(void *user)
{
	((struct guest *)user)->ready++;
}

static void post_rx(struct guest *g, gpa_t at, uint32_t len)
{
	struct fake_seg s = {at, len, true};

	fake_add(&g->f, RX, &s, 1);
}

static void post_all_rx(struct guest *g)
{
	for (unsigned i = 0; i < RX_BUFS; i++)
		post_rx(g, g->rx_buf[i], RX_BUF_BYTES);
	fake_kick(&g->f, RX);
	fake_run(&g->f);
}

/* A device with its guest's driver started, but no rx buffers yet. */
static struct guest *start(uint64_t features)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct err e = {0};

	fds_before = count_fds();
	fake_init(&g->f);
	g->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	g->addr.sun_family = AF_UNIX;
	cr_assert_eq(bind(g->listener, (void *)&g->addr, sizeof(sa_family_t)), 0); /* abstract */
	g->addr_len = sizeof(g->addr);
	cr_assert_eq(getsockname(g->listener, (void *)&g->addr, &g->addr_len), 0);
	cr_assert_eq(listen(g->listener, 128), 0);

	struct vsock_config c = {
		.guest_cid = GUEST_CID,
		.nlisteners = 1,
		.listener = {{g->listener, SERVICE}},
		.on_ready = on_ready,
		.user = g,
	};
	struct virtio_dev *d = vsock_new(&g->f.loop, &c, &e);
	cr_assert_not_null(d, "%s", e.msg);
	fake_attach(&g->f, d);
	cr_assert_eq(fake_start(&g->f, features), 0xf);
	for (unsigned i = 0; i < RX_BUFS; i++)
		g->rx_buf[i] = fake_alloc(&g->f, RX_BUF_BYTES, 64);
	g->tx_hdr = fake_alloc(&g->f, VSOCK_HDR_BYTES, 64);
	g->tx_data = fake_alloc(&g->f, VSOCK_PAYLOAD_MAX + 1, 64);
	return g;
}

/* Everything is closed at the end, whatever the test left open inside the device. */
static void stop(struct guest *g)
{
	fake_fini(&g->f);
	free(g);
	cr_assert_eq(count_fds(), fds_before, "leaked descriptors");
}

static struct vsock_pkt packet(enum vsock_op op, uint32_t src_port, uint32_t dst_port)
{
	return (struct vsock_pkt){
		.src_cid = GUEST_CID,
		.dst_cid = VSOCK_HOST_CID,
		.src_port = src_port,
		.dst_port = dst_port,
		.type = VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = GUEST_BUF,
	};
}

/* Exposes a packet in tx; its payload is the first p->len bytes of tx_data. */
static void put(struct guest *g, const struct vsock_pkt *p)
{
	gpa_t hdr = fake_alloc(&g->f, VSOCK_HDR_BYTES, 4);
	struct fake_seg s[] = {{hdr, VSOCK_HDR_BYTES, false}, {g->tx_data, p->len, false}};

	vsock_pkt_build(p, fake_ptr(&g->f, hdr));
	fake_add(&g->f, TX, s, p->len ? 2 : 1);
}

static void send_pkt(struct guest *g, const struct vsock_pkt *p)
{
	uint32_t head, len;

	put(g, p);
	fake_kick(&g->f, TX);
	fake_run(&g->f);
	while (fake_used(&g->f, TX, &head, &len))
		cr_assert_eq(len, 0);
}

/* The next packet in rx, without waiting and without giving the buffer back. Its op, or 0. */
static unsigned take(struct guest *g)
{
	uint32_t head, len;

	fake_run(&g->f);
	if (!fake_used(&g->f, RX, &head, &len))
		return 0;

	uint8_t *buf = fake_ptr(&g->f, (gpa_t){fake_desc(&g->f, RX, (uint16_t)head)->addr});
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

/* As take(), and the buffer is posted again. */
static unsigned recv_pkt(struct guest *g)
{
	unsigned op = take(g);

	if (op) {
		/* Buffers come back in order: the oldest is the one just taken. */
		uint16_t head = (uint16_t)((g->f.q[RX].last_used - 1) % RX_BUFS);

		post_rx(g, (gpa_t){fake_desc(&g->f, RX, head)->addr}, RX_BUF_BYTES);
		fake_kick(&g->f, RX);
		fake_run(&g->f);
	}
	return op;
}

static void ring(struct guest *g)
{
	struct vsock_pkt p = packet(VSOCK_OP_REQUEST, 1023, PORT_READY);

	send_pkt(g, &p);
}

/* A guest that serves, with its buffers posted. */
static struct guest *serve(uint64_t features)
{
	struct guest *g = start(features);

	post_all_rx(g);
	ring(g);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RST);
	return g;
}

static int dial(struct guest *g)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	cr_assert_eq(connect(fd, (void *)&g->addr, g->addr_len), 0);
	return fd;
}

/* A client whose stream is open; *ret_port is the host port. */
static int dial_open(struct guest *g, uint32_t *ret_port)
{
	int fd = dial(g);

	cr_assert_eq(recv_pkt(g), VSOCK_OP_REQUEST);
	cr_assert_eq(g->p.dst_port, SERVICE);
	*ret_port = g->p.src_port;

	struct vsock_pkt p = packet(VSOCK_OP_RESPONSE, SERVICE, *ret_port);
	send_pkt(g, &p);
	return fd;
}

static void send_op(struct guest *g, enum vsock_op op, uint32_t port, uint32_t flags)
{
	struct vsock_pkt p = packet(op, SERVICE, port);

	p.flags = flags;
	send_pkt(g, &p);
}

static void send_data(struct guest *g, uint32_t port, const void *data, uint32_t n)
{
	struct vsock_pkt p = packet(VSOCK_OP_RW, SERVICE, port);

	p.len = n;
	if (data)
		memcpy(fake_ptr(&g->f, g->tx_data), data, n);
	send_pkt(g, &p);
}

static void send_credit(struct guest *g, uint32_t port, uint32_t buf_alloc, uint32_t fwd_cnt)
{
	struct vsock_pkt p = packet(VSOCK_OP_CREDIT_UPDATE, SERVICE, port);

	p.buf_alloc = buf_alloc;
	p.fwd_cnt = fwd_cnt;
	send_pkt(g, &p);
}

/* What the client reads now: bytes, 0 at the end, -errno. */
static ssize_t client_read(int fd, void *buf, size_t n)
{
	ssize_t r = read(fd, buf, n);

	return r < 0 ? -errno : r;
}

static bool is_open(int fd)
{
	char c;

	return client_read(fd, &c, 1) == -EAGAIN;
}

/* As far as the client's socket takes them. */
static size_t client_fill(int fd, size_t max)
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

static bool is_broken(struct guest *g)
{
	return fake_read(&g->f, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* The loop has nothing to do: not even one event that nobody handles. */
static bool is_idle(struct guest *g)
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

/* ---- identity ---- */

Test(vsock, tells_the_guest_its_cid)
{
	struct guest *g = start(0);
	uint64_t cid = 0;

	fake_config(&g->f, 0, &cid, 8);
	cr_assert_eq(cid, GUEST_CID);
	cr_assert_eq(fake_read(&g->f, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_VSOCK);
	stop(g);
}

Test(vsock, refuses_reserved_cids_and_owns_the_listeners_even_then)
{
	static const uint64_t cids[] = {0, 1, 2, UINT32_MAX, 1ull << 32};
	struct loop l;

	cr_assert_eq(loop_init(&l), 0);
	for (unsigned i = 0; i < countof(cids); i++) {
		int before = count_fds();
		struct err e = {0};
		struct vsock_config c = {.guest_cid = cids[i], .nlisteners = 1};

		c.listener[0].fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		cr_assert_null(vsock_new(&l, &c, &e));
		cr_assert_eq(e.code, EINVAL);
		cr_assert_eq(count_fds(), before);
	}
	loop_fini(&l);
}

/* ---- readiness ---- */

Test(vsock, early_clients_wait_until_the_guest_rings)
{
	struct guest *g = start(0);
	int fd = dial(g);

	post_all_rx(g);
	cr_assert_eq(take(g), 0);
	ring(g);
	cr_assert_eq(g->ready, 1);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RST);
	cr_assert_eq(g->p.src_port, PORT_READY);
	cr_assert_eq(g->p.dst_port, 1023);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_REQUEST);
	cr_assert_eq(g->p.src_cid, VSOCK_HOST_CID);
	cr_assert_geq(g->p.src_port, 1024);
	cr_assert_eq(g->p.dst_port, SERVICE);
	close(fd);
	stop(g);
}

Test(vsock, reports_ready_once)
{
	struct guest *g = serve(0);

	ring(g);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RST);
	cr_assert_eq(g->ready, 1);
	stop(g);
}

Test(vsock, an_unprivileged_port_cannot_ring)
{
	struct guest *g = start(0);
	int fd = dial(g);
	struct vsock_pkt p = packet(VSOCK_OP_REQUEST, 1024, PORT_READY);

	post_all_rx(g);
	send_pkt(g, &p);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RST);
	cr_assert_eq(recv_pkt(g), 0);
	cr_assert_eq(g->ready, 0);
	close(fd);
	stop(g);
}

Test(vsock, only_a_request_rings)
{
	struct guest *g = start(0);
	struct vsock_pkt p = packet(VSOCK_OP_RESPONSE, 1, PORT_READY);

	post_all_rx(g);
	send_pkt(g, &p);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RST);
	cr_assert_eq(g->ready, 0);
	stop(g);
}

/* ---- strangers ---- */

Test(vsock, refuses_every_other_call_of_the_guest)
{
	struct guest *g = serve(0);
	struct vsock_pkt p = packet(VSOCK_OP_REQUEST, 5000, 80);

	send_pkt(g, &p);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RST);
	cr_assert_eq(g->p.src_port, 80);
	cr_assert_eq(g->p.dst_port, 5000);
	stop(g);
}

Test(vsock, resets_packets_of_unknown_flows_but_no_resets)
{
	struct guest *g = serve(0);

	for (unsigned op = VSOCK_OP_REQUEST; op < VSOCK_OPS; op++) {
		send_op(g, (enum vsock_op)op, 1 << 30, 0);
		cr_assert_eq(recv_pkt(g), op == VSOCK_OP_RST ? 0 : VSOCK_OP_RST);
	}
	stop(g);
}

Test(vsock, another_guest_port_is_another_flow)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);
	struct vsock_pkt p = packet(VSOCK_OP_RW, SERVICE + 1, port);

	send_pkt(g, &p);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RST);
	cr_assert(is_open(fd));
	close(fd);
	stop(g);
}

Test(vsock, a_wrong_type_on_a_known_flow_harms_it_not)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);
	struct vsock_pkt p = packet(VSOCK_OP_RST, SERVICE, port);

	p.type = 2;
	send_pkt(g, &p);
	p.op = VSOCK_OP_RW;
	send_pkt(g, &p);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RST);
	cr_assert_eq(g->p.type, 2);
	p = packet(VSOCK_OP_RST, SERVICE, port);
	p.src_cid = 4;
	send_pkt(g, &p);
	cr_assert(is_open(fd));
	close(fd);
	stop(g);
}

Test(vsock, a_false_length_resets_its_flow_only)
{
	struct guest *g = serve(0);
	uint32_t port, other;
	int fd = dial_open(g, &port), fd2 = dial_open(g, &other);
	struct vsock_pkt p = packet(VSOCK_OP_SHUTDOWN, SERVICE, port);

	p.len = 3;
	send_pkt(g, &p);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RST);
	cr_assert_eq(g->p.src_port, port);
	cr_assert_not(is_open(fd));
	cr_assert(is_open(fd2));
	cr_assert_not(is_broken(g));
	close(fd);
	close(fd2);
	stop(g);
}

/* ---- streams ---- */

Test(vsock, carries_bytes_both_ways)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);
	char buf[16];

	cr_assert_eq(write(fd, "hello", 5), 5);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RW);
	cr_assert_eq(g->p.len, 5);
	cr_assert_eq(memcmp(g->data, "hello", 5), 0);
	cr_assert_eq(g->p.buf_alloc, VSOCK_BUF_BYTES);
	send_data(g, port, "world!", 6);
	cr_assert_eq(client_read(fd, buf, sizeof(buf)), 6);
	cr_assert_eq(memcmp(buf, "world!", 6), 0);
	cr_assert_eq(recv_pkt(g), 0, "no packet for a little credit");
	close(fd);
	stop(g);
}

Test(vsock, sends_what_came_before_the_answer_right_after_it)
{
	struct guest *g = serve(0);
	int fd = dial(g);

	cr_assert_eq(write(fd, "x", 1), 1);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_REQUEST);
	cr_assert_eq(recv_pkt(g), 0);
	send_op(g, VSOCK_OP_RESPONSE, g->p.src_port, 0);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RW);
	close(fd);
	stop(g);
}

Test(vsock, a_refused_client_sees_its_socket_closed)
{
	struct guest *g = serve(0);
	int fd = dial(g);
	char c;

	cr_assert_eq(recv_pkt(g), VSOCK_OP_REQUEST);
	send_op(g, VSOCK_OP_RST, g->p.src_port, 0);
	cr_assert_eq(client_read(fd, &c, 1), 0);
	cr_assert_eq(recv_pkt(g), 0);
	close(fd);
	stop(g);
}

Test(vsock, makes_one_packet_of_many_small_writes)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);

	for (int i = 0; i < 200; i++)
		cr_assert_eq(write(fd, "abcd", 4), 4);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RW);
	cr_assert_eq(g->p.len, 800);
	cr_assert_eq(recv_pkt(g), 0);
	close(fd);
	stop(g);
}

Test(vsock, fills_buffers_of_several_segments)
{
	struct guest *g = start(0);
	gpa_t at = fake_alloc(&g->f, 300, 8);
	struct fake_seg s[] = {{at, 10, true},
			       {(gpa_t){at.raw + 10}, 40, true},
			       {(gpa_t){at.raw + 50}, 250, true}};
	uint32_t head, len;

	fake_add(&g->f, RX, s, 3); /* for the answer to the ring */
	fake_add(&g->f, RX, s, 3); /* for the request */
	fake_kick(&g->f, RX);
	ring(g);

	int fd = dial(g);
	fake_run(&g->f);
	cr_assert(fake_used(&g->f, RX, &head, &len) && fake_used(&g->f, RX, &head, &len));

	uint32_t port;
	memcpy(&port, (uint8_t *)fake_ptr(&g->f, at) + 16, 4);
	fake_add(&g->f, RX, s, 3);
	send_op(g, VSOCK_OP_RESPONSE, port, 0);
	char text[400];
	memset(text, 'q', sizeof(text));
	cr_assert_eq(write(fd, text, 400), 400);
	fake_run(&g->f);
	cr_assert(fake_used(&g->f, RX, &head, &len));
	cr_assert_eq(len, 300);
	cr_assert_eq(memcmp((uint8_t *)fake_ptr(&g->f, at) + VSOCK_HDR_BYTES, text, 256), 0);
	close(fd);
	stop(g);
}

/* ---- credit ---- */

Test(vsock, never_sends_beyond_the_guests_credit)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);
	uint32_t got = 0;

	send_credit(g, port, 5000, 0);
	size_t sent = client_fill(fd, 20000);
	cr_assert_eq(sent, 20000);
	while (recv_pkt(g) == VSOCK_OP_RW)
		got += g->p.len;
	cr_assert_eq(got, 5000);
	send_credit(g, port, 5000, 4000);
	while (recv_pkt(g) == VSOCK_OP_RW)
		got += g->p.len;
	cr_assert_eq(got, 9000);
	send_credit(g, port, UINT32_MAX, 9000);
	while (recv_pkt(g) == VSOCK_OP_RW)
		got += g->p.len;
	cr_assert_eq(got, 20000);
	close(fd);
	stop(g);
}

Test(vsock, does_not_spin_without_credit)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);

	send_credit(g, port, 10, 0);
	client_fill(fd, 1000);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RW);
	cr_assert_eq(g->p.len, 10);
	cr_assert(is_idle(g));
	close(fd); /* a hang-up cannot be masked: it must not spin either */
	fake_run(&g->f);
	cr_assert(is_idle(g));
	stop(g);
}

Test(vsock, tells_a_stalled_guest_that_the_client_is_gone)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);

	send_credit(g, port, 10, 0);
	client_fill(fd, 15);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RW);
	close(fd);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_RCV);
	send_credit(g, port, 10, 10);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RW);
	cr_assert_eq(g->p.len, 5);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
	stop(g);
}

Test(vsock, does_not_spin_without_rx_buffers)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);
	size_t sent = client_fill(fd, 150000);

	fake_run(&g->f);
	cr_assert(is_idle(g));
	size_t got = 0;
	while (recv_pkt(g) == VSOCK_OP_RW)
		got += g->p.len;
	cr_assert_eq(got, sent, "buffers were enough to go on");
	close(fd);
	stop(g);
}

Test(vsock, asks_for_credit_after_a_second)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);

	send_credit(g, port, 10, 0);
	client_fill(fd, 1000);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RW);
	cr_assert_eq(recv_pkt(g), 0);
	cr_assert(fake_wait_used(&g->f, RX, 1500));
	cr_assert_eq(recv_pkt(g), VSOCK_OP_CREDIT_REQUEST);
	close(fd);
	stop(g);
}

Test(vsock, announces_its_own_credit_per_half_buffer)
{
	struct guest *g = serve(0);
	uint32_t port, updates = 0;
	int fd = dial_open(g, &port);
	static uint8_t buf[8192];

	for (int i = 0; i < 64; i++) {
		send_data(g, port, NULL, 8192);
		cr_assert_eq(client_read(fd, buf, sizeof(buf)), 8192);
		while (recv_pkt(g) == VSOCK_OP_CREDIT_UPDATE)
			updates++;
	}
	cr_assert_eq(updates, 64 * 8192 / (VSOCK_BUF_BYTES / 2));
	cr_assert_eq(g->p.fwd_cnt, 64 * 8192);
	close(fd);
	stop(g);
}

Test(vsock, resets_a_guest_that_overruns_the_buffer)
{
	struct guest *g = serve(0);
	uint32_t port, sent = 0;
	int fd = dial_open(g, &port);
	bool reset = false;

	for (int i = 0; i < 200 && !reset; i++) {
		send_data(g, port, NULL, 8192);
		sent += 8192;
		for (unsigned op; (op = recv_pkt(g));)
			reset |= op == VSOCK_OP_RST;
	}
	cr_assert(reset);
	cr_assert_lt(sent, 1 << 20);
	cr_assert_not(is_broken(g));
	close(fd);
	stop(g);
}

/* Fills the client's socket and then our store, within credit. Returns the bytes sent. */
static uint32_t clog_up(struct guest *g, uint32_t port)
{
	uint32_t sent = 0, fwd_cnt = 0;

	while (sent - fwd_cnt + 8192 <= VSOCK_BUF_BYTES) {
		send_data(g, port, NULL, 8192);
		sent += 8192;
		while (recv_pkt(g) == VSOCK_OP_CREDIT_UPDATE)
			fwd_cnt = g->p.fwd_cnt;
	}
	return sent;
}

Test(vsock, a_client_that_does_not_read_stops_only_itself)
{
	struct guest *g = serve(0);
	uint32_t slow_port, port;
	int slow = dial_open(g, &slow_port), fd = dial_open(g, &port);
	char buf[16];

	clog_up(g, slow_port);
	cr_assert(is_idle(g));
	send_data(g, port, "ping", 4);
	cr_assert_eq(client_read(fd, buf, sizeof(buf)), 4);
	cr_assert_eq(write(fd, "pong", 4), 4);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RW);
	cr_assert_eq(g->p.src_port, port);
	close(slow);
	close(fd);
	stop(g);
}

Test(vsock, stores_what_blocks_and_delivers_it_in_order)
{
	struct guest *g = serve(0);
	uint32_t port, sent = 0, fwd_cnt = 0, seen = 0;
	int fd = dial_open(g, &port);
	static uint8_t block[8192], back[8192];
	bool more = true;

	/* Every byte carries its position, so that loss, doubling or disorder shows. */
	while (more || seen < sent) {
		more = sent < 2000000;
		if (more && sent - fwd_cnt + 7919 <= VSOCK_BUF_BYTES) {
			for (uint32_t i = 0; i < 7919; i++)
				block[i] = (uint8_t)((sent + i) * 31 >> 4);
			send_data(g, port, block, 7919);
			sent += 7919;
		} else {
			for (int turns = 0; turns < 9; turns++) {
				ssize_t n = client_read(fd, back, 5003);

				for (ssize_t i = 0; i < n; i++, seen++)
					cr_assert_eq(back[i], (uint8_t)(seen * 31 >> 4));
			}
		}
		while (recv_pkt(g) == VSOCK_OP_CREDIT_UPDATE)
			fwd_cnt = g->p.fwd_cnt;
	}
	cr_assert_eq(seen, sent);
	close(fd);
	stop(g);
}

/* ---- ends ---- */

Test(vsock, a_client_that_closes_ends_both_directions_in_one_packet)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);

	cr_assert_eq(write(fd, "bye", 3), 3);
	close(fd);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RW);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
	cr_assert_eq(recv_pkt(g), 0);
	send_op(g, VSOCK_OP_RST, port, 0);
	cr_assert_eq(recv_pkt(g), 0);
	send_op(g, VSOCK_OP_RW, port, 0);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RST, "the flow is gone");
	stop(g);
}

Test(vsock, a_client_may_end_writing_and_go_on_reading)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);
	char buf[8];

	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_SEND);
	send_data(g, port, "late", 4);
	cr_assert_eq(client_read(fd, buf, 8), 4);
	send_op(g, VSOCK_OP_SHUTDOWN, port, VSOCK_SHUT_BOTH);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RST);
	cr_assert_eq(client_read(fd, buf, 8), 0);
	close(fd);
	stop(g);
}

Test(vsock, a_client_that_reads_no_more_is_announced_when_the_guest_writes)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);

	cr_assert_eq(shutdown(fd, SHUT_RD), 0);
	send_data(g, port, "x", 1);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_RCV);
	cr_assert_eq(write(fd, "y", 1), 1);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RW);
	close(fd);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
	stop(g);
}

Test(vsock, the_guest_may_end_sending_and_go_on_receiving)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);
	char buf[8];

	send_data(g, port, "end", 3);
	send_op(g, VSOCK_OP_SHUTDOWN, port, VSOCK_SHUT_SEND);
	cr_assert_eq(client_read(fd, buf, 8), 3);
	cr_assert_eq(client_read(fd, buf, 8), 0);
	cr_assert_eq(write(fd, "more", 4), 4);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RW);
	cr_assert(is_idle(g));
	close(fd);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
	stop(g);
}

Test(vsock, the_guest_may_end_receiving)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);
	char buf[8];

	send_op(g, VSOCK_OP_SHUTDOWN, port, VSOCK_SHUT_RCV);
	cr_assert_eq(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	cr_assert_eq(errno, EPIPE);
	send_data(g, port, "ok", 2);
	cr_assert_eq(client_read(fd, buf, 8), 2);
	cr_assert(is_idle(g));
	close(fd);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
	stop(g);
}

Test(vsock, when_both_sides_ended_sending_the_stream_closes)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);
	char c;

	send_op(g, VSOCK_OP_SHUTDOWN, port, VSOCK_SHUT_SEND);
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
	send_op(g, VSOCK_OP_RST, port, 0);
	cr_assert_eq(client_read(fd, &c, 1), 0);
	cr_assert(is_idle(g));
	close(fd);
	stop(g);
}

Test(vsock, stored_bytes_reach_the_client_after_the_guest_is_gone)
{
	for (int by_reset = 0; by_reset < 2; by_reset++) {
		struct guest *g = serve(0);
		uint32_t port;
		int fd = dial_open(g, &port);
		size_t sent = clog_up(g, port), seen = 0;
		static uint8_t buf[65536];
		ssize_t n;

		if (by_reset)
			send_op(g, VSOCK_OP_RST, port, 0);
		else
			send_op(g, VSOCK_OP_SHUTDOWN, port, VSOCK_SHUT_BOTH);
		cr_assert_eq(recv_pkt(g), by_reset ? 0 : VSOCK_OP_RST, "at once, not when read");
		while ((n = client_read(fd, buf, sizeof(buf))) > 0) {
			seen += (size_t)n;
			fake_run(&g->f);
		}
		cr_assert_eq(n, 0);
		cr_assert_eq(seen, sent);
		close(fd);
		stop(g);
	}
}

Test(vsock, a_client_that_dies_with_unread_bytes_frees_everything)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);

	clog_up(g, port);
	close(fd);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
	send_data(g, port, NULL, 8192); /* was on its way */
	cr_assert_eq(recv_pkt(g), 0);
	send_op(g, VSOCK_OP_RST, port, 0);
	cr_assert(is_idle(g));
	stop(g);
}

/* ---- queues ---- */

Test(vsock, goes_on_when_rx_buffers_come_back)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);
	size_t sent = client_fill(fd, 180000), got = 0;

	/* All buffers are taken before any comes back, again and again. */
	while (got < sent) {
		unsigned n = 0;

		while (take(g) == VSOCK_OP_RW) {
			got += g->p.len;
			n++;
		}
		cr_assert_gt(n, 0, "the device went to sleep");
		for (unsigned i = 0; i < n; i++)
			post_rx(g, g->rx_buf[i], RX_BUF_BYTES);
		fake_kick(&g->f, RX);
		fake_run(&g->f);
	}
	cr_assert_eq(got, sent);
	close(fd);
	stop(g);
}

Test(vsock, loses_no_control_packet_while_rx_is_empty)
{
	enum { N = 100 };
	struct guest *g = serve(0);
	static int fd[N];
	static bool seen[N];
	uint32_t port[N];
	unsigned n = 0;

	for (int i = 0; i < N; i++)
		fd[i] = dial_open(g, &port[i]);
	for (int i = 0; i < RX_BUFS; i++) { /* use up all buffers */
		send_op(g, VSOCK_OP_CREDIT_REQUEST, port[i], 0);
	}
	for (int i = 0; i < N; i++) {
		close(fd[i]);
		fake_run(&g->f);
	}
	cr_assert(is_idle(g));
	for (unsigned op; (op = recv_pkt(g));) {
		if (op != VSOCK_OP_SHUTDOWN)
			continue;
		cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
		for (int i = 0; i < N; i++)
			if (port[i] == g->p.src_port && !seen[i])
				seen[i] = true, n++;
	}
	cr_assert_eq(n, N);
	stop(g);
}

Test(vsock, takes_more_than_its_budget_from_one_kick)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);
	uint32_t head, len;
	unsigned done = 0;
	static uint8_t buf[8192];
	size_t seen = 0;
	ssize_t n;

	/* 60 KiB eight times is over the byte budget; the client takes them meanwhile. */
	for (int i = 0; i < 8; i++) {
		struct vsock_pkt p = packet(VSOCK_OP_RW, SERVICE, port);

		p.len = 7000;
		put(g, &p);
	}
	for (int i = 0; i < 48; i++) {
		struct vsock_pkt p = packet(VSOCK_OP_CREDIT_UPDATE, SERVICE, port);

		put(g, &p);
	}
	fake_kick(&g->f, TX);
	fake_run(&g->f);
	while (fake_used(&g->f, TX, &head, &len))
		done++;
	cr_assert_eq(done, 56);
	while ((n = client_read(fd, buf, sizeof(buf))) > 0)
		seen += (size_t)n;
	cr_assert_eq(seen, 8 * 7000);
	close(fd);
	stop(g);
}

Test(vsock, one_run_serves_at_most_its_budget)
{
	struct guest *g = serve(0);
	uint32_t port[5];
	int fd[5];
	uint32_t head, len, n = 0;

	/* 5 * 64 KiB, each within its connection's credit: over BUDGET_BYTES. */
	for (int i = 0; i < 5; i++)
		fd[i] = dial_open(g, &port[i]);
	for (int i = 0; i < 5; i++) {
		struct vsock_pkt p = packet(VSOCK_OP_RW, SERVICE, port[i]);

		p.len = VSOCK_PAYLOAD_MAX;
		put(g, &p);
	}
	fake_kick(&g->f, TX);
	cr_assert_eq(loop_step(&g->f.loop, 100), 1);
	while (fake_used(&g->f, TX, &head, &len))
		n++;
	cr_assert_eq(n, 4);
	fake_run(&g->f);
	cr_assert(fake_used(&g->f, TX, &head, &len));
	for (int i = 0; i < 5; i++)
		close(fd[i]);
	stop(g);
}

Test(vsock, bounds_owed_resets_and_goes_on_with_tx_by_itself)
{
	enum { CALLS = 150 };
	struct guest *g = start(0);
	uint32_t head, len;
	unsigned put_in = 0, done = 0, resets = 0;

	/* No rx buffers: answers pile up to a limit, then tx is left alone. */
	for (; put_in < 60; put_in++) {
		struct vsock_pkt p = packet(VSOCK_OP_REQUEST, 2000 + put_in, 80);

		put(g, &p);
	}
	fake_kick(&g->f, TX);
	fake_run(&g->f);
	while (fake_used(&g->f, TX, &head, &len))
		done++;
	for (; put_in < 60 + 60; put_in++) {
		struct vsock_pkt p = packet(VSOCK_OP_REQUEST, 2000 + put_in, 80);

		put(g, &p);
	}
	fake_kick(&g->f, TX);
	fake_run(&g->f);
	while (fake_used(&g->f, TX, &head, &len))
		done++;
	cr_assert_eq(done, 64);
	cr_assert(is_idle(g));

	/* Buffers alone, without another kick of tx, set it going again; none is lost. */
	post_all_rx(g);
	while (recv_pkt(g) == VSOCK_OP_RST)
		cr_assert_eq(g->p.dst_port, 2000 + resets++);
	cr_assert_eq(resets, 120);
	while (fake_used(&g->f, TX, &head, &len))
		done++;
	cr_assert_eq(done, 120);
	stop(g);
}

Test(vsock, serves_connections_in_turn)
{
	struct guest *g = serve(0);
	uint32_t a_port, b_port;
	int a = dial_open(g, &a_port), b = dial_open(g, &b_port);
	unsigned turns = 0;
	uint32_t last = 0;

	while (take(g)) /* no buffers, so that both queue up */
		;
	for (int i = 0; i < RX_BUFS; i++)
		send_op(g, VSOCK_OP_CREDIT_REQUEST, a_port, 0);
	while (take(g))
		;
	client_fill(a, 100000);
	client_fill(b, 100000);
	fake_run(&g->f);
	post_all_rx(g);
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(take(g), VSOCK_OP_RW);
		turns += g->p.src_port != last;
		last = g->p.src_port;
	}
	cr_assert_geq(turns, 19);
	close(a);
	close(b);
	stop(g);
}

Test(vsock, interrupts_once_for_a_batch)
{
	struct guest *g = serve(1ull << VIRTIO_F_VERSION_1);
	uint32_t port;
	int fd = dial_open(g, &port);

	cr_assert(is_idle(g));
	(void)fake_irqs(&g->f);
	client_fill(fd, 40000); /* a dozen packets */
	fake_run(&g->f);
	uint64_t irqs = fake_irqs(&g->f);

	cr_assert_eq(irqs, 1, "%lu", irqs);
	close(fd);
	stop(g);
}

Test(vsock, tells_of_returned_tx_buffers_together_with_a_packet)
{
	struct guest *g = serve(1ull << VIRTIO_F_VERSION_1);
	uint32_t port;
	int fd = dial_open(g, &port);

	struct vsock_pkt p = packet(VSOCK_OP_CREDIT_UPDATE, SERVICE, port);

	cr_assert(is_idle(g));
	(void)fake_irqs(&g->f);
	put(g, &p);
	fake_kick(&g->f, TX);
	cr_assert_eq(loop_step(&g->f.loop, 100), 1);
	cr_assert_eq(fake_irqs(&g->f), 0);
	cr_assert_eq(write(fd, "x", 1), 1);
	fake_run(&g->f);
	cr_assert_neq(fake_irqs(&g->f), 0);
	cr_assert(is_idle(g), "nothing is left to tell");
	cr_assert_eq(fake_irqs(&g->f), 0);
	close(fd);
	stop(g);
}

Test(vsock, tells_of_returned_tx_buffers_every_few)
{
	for (int n = 7; n <= 8; n++) {
		struct guest *g = serve(1ull << VIRTIO_F_VERSION_1);
		uint32_t port;
		int fd = dial_open(g, &port);
		struct vsock_pkt p = packet(VSOCK_OP_CREDIT_UPDATE, SERVICE, port);

		cr_assert(is_idle(g));
		(void)fake_irqs(&g->f);
		for (int i = 0; i < n; i++)
			put(g, &p);
		fake_kick(&g->f, TX);
		cr_assert_eq(loop_step(&g->f.loop, 100), 1); /* one: the timer may not run */
		cr_assert_eq(fake_irqs(&g->f), n == 8);
		close(fd);
		stop(g);
	}
}

Test(vsock, tells_of_returned_tx_buffers_soon_in_any_case)
{
	struct guest *g = serve(1ull << VIRTIO_F_VERSION_1);
	uint32_t port;
	int fd = dial_open(g, &port);
	uint64_t irqs = 0;

	cr_assert(is_idle(g));
	(void)fake_irqs(&g->f);
	send_credit(g, port, GUEST_BUF, 0);
	for (int i = 0; i < 10 && !irqs; i++) {
		(void)!loop_step(&g->f.loop, 50);
		irqs = fake_irqs(&g->f);
	}
	cr_assert_eq(irqs, 1);
	cr_assert(is_idle(g));
	close(fd);
	stop(g);
}

Test(vsock, interrupts_for_event_index_only_when_asked)
{
	struct guest *g = serve(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX);
	uint32_t port;
	int fd = dial_open(g, &port);
	struct vsock_pkt p = packet(VSOCK_OP_CREDIT_UPDATE, SERVICE, port);

	/* The driver does not care for sent packets until much later. */
	fake_avail(&g->f, TX)[2 + 64] = 1000;
	(void)fake_irqs(&g->f);
	for (int i = 0; i < 20; i++)
		send_pkt(g, &p);
	cr_assert_eq(fake_irqs(&g->f), 0);
	close(fd);
	stop(g);
}

/* ---- guests that break the rules ---- */

static void expect_break(struct guest *g, int fd)
{
	fake_run(&g->f);
	cr_assert(is_broken(g));
	cr_assert_not(is_open(fd), "clients see the end of it");
	fake_kick(&g->f, TX); /* quiet from now on */
	fake_kick(&g->f, RX);
	fake_run(&g->f);
	cr_assert(is_idle(g));
}

Test(vsock, a_packet_shorter_than_a_header_breaks_the_device)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);
	struct fake_seg s = {g->tx_hdr, VSOCK_HDR_BYTES - 1, false};

	fake_add(&g->f, TX, &s, 1);
	fake_kick(&g->f, TX);
	expect_break(g, fd);
	close(fd);
	stop(g);
}

Test(vsock, a_writable_segment_in_tx_breaks_the_device)
{
	struct guest *g = serve(0);
	uint32_t port;
	int fd = dial_open(g, &port);
	struct fake_seg s[] = {{g->tx_hdr, VSOCK_HDR_BYTES, false}, {g->tx_data, 1, true}};

	fake_add(&g->f, TX, s, 2);
	fake_kick(&g->f, TX);
	expect_break(g, fd);
	close(fd);
	stop(g);
}

Test(vsock, an_rx_buffer_without_room_for_payload_breaks_the_device)
{
	struct guest *g = start(0);
	int fd = dial(g);

	post_rx(g, g->rx_buf[0], VSOCK_HDR_BYTES + 1);
	post_rx(g, g->rx_buf[1], VSOCK_HDR_BYTES);
	fake_kick(&g->f, RX);
	ring(g);
	expect_break(g, fd);
	close(fd);
	stop(g);
}

Test(vsock, a_readable_segment_in_rx_breaks_the_device)
{
	struct guest *g = start(0);
	int fd = dial(g);
	struct fake_seg s[] = {{g->rx_buf[0], 10, false}, {g->rx_buf[1], RX_BUF_BYTES, true}};

	fake_add(&g->f, RX, s, 2);
	fake_kick(&g->f, RX);
	ring(g);
	fake_run(&g->f);
	cr_assert(is_broken(g));
	close(fd);
	stop(g);
}

/* ---- reset ---- */

Test(vsock, a_reset_closes_all_and_the_device_starts_anew)
{
	struct guest *g = serve(0);
	uint32_t port, other;
	int fd = dial_open(g, &port), fd2 = dial_open(g, &other);

	clog_up(g, port);
	client_fill(fd2, 100000);
	fake_run(&g->f);
	fake_reset(&g->f);
	cr_assert_not(is_open(fd2));
	close(fd);
	close(fd2);
	fd = dial(g);
	cr_assert(is_idle(g), "nothing is accepted");

	cr_assert_eq(fake_start(&g->f, 0), 0xf);
	post_all_rx(g);
	cr_assert_eq(recv_pkt(g), 0);
	ring(g);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_RST);
	cr_assert_eq(recv_pkt(g), VSOCK_OP_REQUEST);
	cr_assert_neq(g->p.src_port, port, "a port is not used again soon");
	cr_assert_neq(g->p.src_port, other);
	cr_assert_eq(g->ready, 1);
	close(fd);
	stop(g);
}

Test(vsock, a_transport_reset_ends_connections_and_tells_the_guest)
{
	struct guest *g = serve(0);
	uint32_t port, head, len, id = 99;
	int fd = dial_open(g, &port);
	struct fake_seg s = {fake_bytes(&g->f, &id, 4), 4, true};

	vsock_transport_reset(g->f.dev);
	cr_assert_not(is_open(fd));
	close(fd);
	fake_run(&g->f);
	cr_assert_eq(recv_pkt(g), 0, "not by packets");
	fake_add(&g->f, EVENT, &s, 1); /* the event waited for its buffer */
	fake_kick(&g->f, EVENT);
	fake_run(&g->f);
	cr_assert(fake_used(&g->f, EVENT, &head, &len));
	cr_assert_eq(len, 4);
	memcpy(&id, fake_ptr(&g->f, s.at), 4);
	cr_assert_eq(id, 0);
	fake_add(&g->f, EVENT, &s, 1);
	fake_kick(&g->f, EVENT);
	fake_run(&g->f);
	cr_assert_not(fake_used(&g->f, EVENT, &head, &len), "once");

	fd = dial_open(g, &port); /* the guest's listener lives on */
	close(fd);
	stop(g);
}
