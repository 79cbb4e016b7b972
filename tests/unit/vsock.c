/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock device whole, between a fake guest and real Unix sockets: readiness, strangers, queues,
 * interrupts, broken rules, resets. What a stream does is in vsock_stream.c. */
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#include "proto/ports.h"
#include "tests/lib/fds.h"
#include "tests/lib/vsock_fixture.h"
#include "vmm/virtio/vsock.h"

/* Without event indices each interrupt counts. */
static void open_stream_of_plain_rings(void)
{
	g = vguest_serve(1ull << VIRTIO_F_VERSION_1);
	client = vguest_dial_open(g, &port);
}

TestSuite(vsock_early, .init = start_guest, .fini = stop_guest);
TestSuite(vsock, .init = serve_guest, .fini = stop_guest);
TestSuite(vsock_open, .init = open_stream, .fini = stop_guest);
TestSuite(vsock_irqs, .init = open_stream_of_plain_rings, .fini = stop_guest);

/* ---- identity ---- */

Test(vsock_early, tells_the_guest_its_cid)
{
	uint64_t cid = 0;

	fake_config(&g->f, 0, &cid, 8);
	cr_assert_eq(cid, GUEST_CID);
	cr_assert_eq(fake_read(&g->f, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_VSOCK);
}

Test(vsock, refuses_reserved_cids_and_owns_the_listeners_even_then)
{
	static const uint64_t cids[] = {0, 1, 2, UINT32_MAX, 1ull << 32};
	struct loop l;

	cr_assert_eq(loop_init(&l), 0);
	for (unsigned i = 0; i < countof(cids); i++) {
		int before = open_fds();
		struct err e = {0};
		struct vsock_config c = {.guest_cid = cids[i], .nlisteners = 1};

		c.listener[0].fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		cr_assert_null(vsock_new(&l, &c, &e));
		cr_assert_eq(e.code, EINVAL);
		cr_assert_eq(open_fds(), before);
	}
	loop_fini(&l);
}

/* ---- readiness ---- */

Test(vsock_early, early_clients_wait_until_the_guest_rings)
{
	client = vguest_dial(g);

	vguest_post_all_rx(g);
	cr_assert_eq(vguest_take(g), 0);
	vguest_ring(g);
	cr_assert_eq(g->ready, 1);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	cr_assert_eq(g->p.src_port, PORT_READY);
	cr_assert_eq(g->p.dst_port, 1023);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_REQUEST);
	cr_assert_eq(g->p.src_cid, VSOCK_HOST_CID);
	cr_assert_geq(g->p.src_port, 1024);
	cr_assert_eq(g->p.dst_port, VGUEST_SERVICE);
}

Test(vsock, reports_ready_once)
{
	vguest_ring(g);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	cr_assert_eq(g->ready, 1);
}

Test(vsock_early, an_unprivileged_port_cannot_ring)
{
	struct vsock_pkt p = vguest_packet(VSOCK_OP_REQUEST, 1024, PORT_READY);

	client = vguest_dial(g);
	vguest_post_all_rx(g);
	vguest_send(g, &p);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	cr_assert_eq(vguest_recv(g), 0);
	cr_assert_eq(g->ready, 0);
}

Test(vsock_early, only_a_request_rings)
{
	struct vsock_pkt p = vguest_packet(VSOCK_OP_RESPONSE, 1, PORT_READY);

	vguest_post_all_rx(g);
	vguest_send(g, &p);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	cr_assert_eq(g->ready, 0);
}

/* ---- strangers ---- */

Test(vsock, refuses_every_other_call_of_the_guest)
{
	struct vsock_pkt p = vguest_packet(VSOCK_OP_REQUEST, 5000, 80);

	vguest_send(g, &p);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	cr_assert_eq(g->p.src_port, 80);
	cr_assert_eq(g->p.dst_port, 5000);
}

Test(vsock, resets_packets_of_unknown_flows_but_no_resets)
{
	for (unsigned op = VSOCK_OP_REQUEST; op < VSOCK_OPS; op++) {
		vguest_send_op(g, (enum vsock_op)op, 1 << 30, 0);
		cr_assert_eq(vguest_recv(g), op == VSOCK_OP_RST ? 0 : VSOCK_OP_RST);
	}
}

Test(vsock_open, another_guest_port_is_another_flow)
{
	struct vsock_pkt p = vguest_packet(VSOCK_OP_RW, VGUEST_SERVICE + 1, port);

	vguest_send(g, &p);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	cr_assert(vguest_client_is_open(client));
}

Test(vsock_open, a_wrong_type_on_a_known_flow_harms_it_not)
{
	struct vsock_pkt p = vguest_packet(VSOCK_OP_RST, VGUEST_SERVICE, port);

	p.type = 2;
	vguest_send(g, &p);
	p.op = VSOCK_OP_RW;
	vguest_send(g, &p);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	cr_assert_eq(g->p.type, 2);
	p = vguest_packet(VSOCK_OP_RST, VGUEST_SERVICE, port);
	p.src_cid = 4;
	vguest_send(g, &p);
	cr_assert(vguest_client_is_open(client));
}

Test(vsock_open, a_false_length_resets_its_flow_only)
{
	uint32_t other;
	int fd2 = vguest_dial_open(g, &other);
	struct vsock_pkt p = vguest_packet(VSOCK_OP_SHUTDOWN, VGUEST_SERVICE, port);

	p.len = 3;
	vguest_send(g, &p);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	cr_assert_eq(g->p.src_port, port);
	cr_assert_not(vguest_client_is_open(client));
	cr_assert(vguest_client_is_open(fd2));
	cr_assert_not(vguest_is_broken(g));
	close(fd2);
}

/* ---- queues ---- */

Test(vsock_open, goes_on_when_rx_buffers_come_back)
{
	size_t sent = vguest_client_fill(client, 180000), got = 0;

	/* All buffers are taken before any comes back, again and again. */
	while (got < sent) {
		unsigned n = 0;

		while (vguest_take(g) == VSOCK_OP_RW) {
			got += g->p.len;
			n++;
		}
		cr_assert_gt(n, 0, "the device went to sleep");
		for (unsigned i = 0; i < n; i++)
			vguest_post_rx(g, g->rx_buf[i], VGUEST_RX_BUF_BYTES);
		fake_kick(&g->f, VGUEST_RX);
		fake_run(&g->f);
	}
	cr_assert_eq(got, sent);
}

Test(vsock_open, a_look_that_finds_nothing_costs_no_buffer)
{
	for (int i = 0; i < 2 * VGUEST_RX_BUFS; i++) {
		cr_assert_eq(write(client, "x", 1), 1);
		cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
		cr_assert_eq(g->f.q[VGUEST_RX].avail_idx - g->f.q[VGUEST_RX].last_used,
			     VGUEST_RX_BUFS);
		cr_assert_eq(g->f.dev->vq[VGUEST_RX]->last_avail, g->f.q[VGUEST_RX].last_used);
	}
}

Test(vsock, loses_no_control_packet_while_rx_is_empty)
{
	enum { N = 100 };
	static int clients[N];
	static bool seen[N];
	uint32_t ports[N];
	unsigned n = 0;

	for (int i = 0; i < N; i++)
		clients[i] = vguest_dial_open(g, &ports[i]);
	for (int i = 0; i < VGUEST_RX_BUFS; i++) { /* use up all buffers */
		vguest_send_op(g, VSOCK_OP_CREDIT_REQUEST, ports[i], 0);
	}
	for (int i = 0; i < N; i++) {
		close(clients[i]);
		fake_run(&g->f);
	}
	cr_assert(vguest_is_idle(g));
	for (unsigned op; (op = vguest_recv(g));) {
		if (op != VSOCK_OP_SHUTDOWN)
			continue;
		cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
		for (int i = 0; i < N; i++)
			if (ports[i] == g->p.src_port && !seen[i])
				seen[i] = true, n++;
	}
	cr_assert_eq(n, N);
}

Test(vsock_open, takes_more_than_its_budget_from_one_kick)
{
	uint32_t head, len;
	unsigned done = 0;
	static uint8_t buf[8192];
	size_t seen = 0;
	ssize_t n;

	/* 60 KiB eight times is over the byte budget; the client takes them meanwhile. */
	for (int i = 0; i < 8; i++) {
		struct vsock_pkt p = vguest_packet(VSOCK_OP_RW, VGUEST_SERVICE, port);

		p.len = 7000;
		vguest_put(g, &p);
	}
	for (int i = 0; i < 48; i++) {
		struct vsock_pkt p = vguest_packet(VSOCK_OP_CREDIT_UPDATE, VGUEST_SERVICE, port);

		vguest_put(g, &p);
	}
	fake_kick(&g->f, VGUEST_TX);
	fake_run(&g->f);
	while (fake_used(&g->f, VGUEST_TX, &head, &len))
		done++;
	cr_assert_eq(done, 56);
	while ((n = vguest_client_read(client, buf, sizeof(buf))) > 0)
		seen += (size_t)n;
	cr_assert_eq(seen, 8 * 7000);
}

Test(vsock, one_run_serves_at_most_its_budget)
{
	uint32_t ports[5];
	int clients[5];
	uint32_t head, len, n = 0;

	/* 5 * 64 KiB, each within its connection's credit: over BUDGET_BYTES. */
	for (int i = 0; i < 5; i++)
		clients[i] = vguest_dial_open(g, &ports[i]);
	for (int i = 0; i < 5; i++) {
		struct vsock_pkt p = vguest_packet(VSOCK_OP_RW, VGUEST_SERVICE, ports[i]);

		p.len = VSOCK_PAYLOAD_MAX;
		vguest_put(g, &p);
	}
	fake_kick(&g->f, VGUEST_TX);
	cr_assert_eq(loop_step(&g->f.loop, 100), 1);
	while (fake_used(&g->f, VGUEST_TX, &head, &len))
		n++;
	cr_assert_eq(n, 4);
	fake_run(&g->f);
	cr_assert(fake_used(&g->f, VGUEST_TX, &head, &len));
	for (int i = 0; i < 5; i++)
		close(clients[i]);
}

Test(vsock_early, bounds_owed_resets_and_goes_on_with_tx_by_itself)
{
	enum { CALLS = 150 };
	uint32_t head, len;
	unsigned put_in = 0, done = 0, resets = 0;

	/* No rx buffers: answers pile up to a limit, then tx is left alone. */
	for (; put_in < 60; put_in++) {
		struct vsock_pkt p = vguest_packet(VSOCK_OP_REQUEST, 2000 + put_in, 80);

		vguest_put(g, &p);
	}
	fake_kick(&g->f, VGUEST_TX);
	fake_run(&g->f);
	while (fake_used(&g->f, VGUEST_TX, &head, &len))
		done++;
	for (; put_in < 60 + 60; put_in++) {
		struct vsock_pkt p = vguest_packet(VSOCK_OP_REQUEST, 2000 + put_in, 80);

		vguest_put(g, &p);
	}
	fake_kick(&g->f, VGUEST_TX);
	fake_run(&g->f);
	while (fake_used(&g->f, VGUEST_TX, &head, &len))
		done++;
	cr_assert_eq(done, 64);
	cr_assert(vguest_is_idle(g));

	/* Buffers alone, without another kick of tx, set it going again; none is lost. */
	vguest_post_all_rx(g);
	while (vguest_recv(g) == VSOCK_OP_RST)
		cr_assert_eq(g->p.dst_port, 2000 + resets++);
	cr_assert_eq(resets, 120);
	while (fake_used(&g->f, VGUEST_TX, &head, &len))
		done++;
	cr_assert_eq(done, 120);
}

Test(vsock, serves_connections_in_turn)
{
	uint32_t a_port, b_port;
	int a = vguest_dial_open(g, &a_port), b = vguest_dial_open(g, &b_port);
	unsigned turns = 0;
	uint32_t last = 0;

	while (vguest_take(g)) /* no buffers, so that both queue up */
		;
	for (int i = 0; i < VGUEST_RX_BUFS; i++)
		vguest_send_op(g, VSOCK_OP_CREDIT_REQUEST, a_port, 0);
	while (vguest_take(g))
		;
	vguest_client_fill(a, 100000);
	vguest_client_fill(b, 100000);
	fake_run(&g->f);
	vguest_post_all_rx(g);
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(vguest_take(g), VSOCK_OP_RW);
		turns += g->p.src_port != last;
		last = g->p.src_port;
	}
	cr_assert_geq(turns, 19);
	close(a);
	close(b);
}

Test(vsock_irqs, interrupts_once_for_a_batch)
{
	cr_assert(vguest_is_idle(g));
	(void)fake_irqs(&g->f);
	vguest_client_fill(client, 40000); /* a dozen packets */
	fake_run(&g->f);
	uint64_t irqs = fake_irqs(&g->f);

	cr_assert_eq(irqs, 1, "%lu", irqs);
}

Test(vsock_irqs, tells_of_returned_tx_buffers_together_with_a_packet)
{
	struct vsock_pkt p = vguest_packet(VSOCK_OP_CREDIT_UPDATE, VGUEST_SERVICE, port);

	cr_assert(vguest_is_idle(g));
	(void)fake_irqs(&g->f);
	vguest_put(g, &p);
	fake_kick(&g->f, VGUEST_TX);
	cr_assert_eq(loop_step(&g->f.loop, 100), 1);
	cr_assert_eq(fake_irqs(&g->f), 0);
	cr_assert_eq(write(client, "x", 1), 1);
	fake_run(&g->f);
	cr_assert_neq(fake_irqs(&g->f), 0);
	cr_assert(vguest_is_idle(g), "nothing is left to tell");
	cr_assert_eq(fake_irqs(&g->f), 0);
}

Test(vsock_irqs, tells_of_returned_tx_buffers_every_few)
{
	for (int n = 7; n <= 8; n++) {
		struct vsock_pkt p = vguest_packet(VSOCK_OP_CREDIT_UPDATE, VGUEST_SERVICE, port);

		cr_assert(vguest_is_idle(g));
		(void)fake_irqs(&g->f);
		for (int i = 0; i < n; i++)
			vguest_put(g, &p);
		fake_kick(&g->f, VGUEST_TX);
		cr_assert_eq(loop_step(&g->f.loop, 100), 1); /* one: the timer may not run */
		cr_assert_eq(fake_irqs(&g->f), n == 8);
	}
}

Test(vsock_irqs, tells_of_returned_tx_buffers_soon_in_any_case)
{
	uint64_t irqs = 0;

	cr_assert(vguest_is_idle(g));
	(void)fake_irqs(&g->f);
	vguest_send_credit(g, port, VGUEST_BUF_BYTES, 0);
	for (int i = 0; i < 10 && !irqs; i++) {
		(void)!loop_step(&g->f.loop, 50);
		irqs = fake_irqs(&g->f);
	}
	cr_assert_eq(irqs, 1);
	cr_assert(vguest_is_idle(g));
}

Test(vsock_open, interrupts_for_event_index_only_when_asked)
{
	struct vsock_pkt p = vguest_packet(VSOCK_OP_CREDIT_UPDATE, VGUEST_SERVICE, port);

	/* The driver does not care for sent packets until much later. */
	fake_avail(&g->f, VGUEST_TX)[2 + 64] = 1000;
	(void)fake_irqs(&g->f);
	for (int i = 0; i < 20; i++)
		vguest_send(g, &p);
	cr_assert_eq(fake_irqs(&g->f), 0);
}

/* ---- guests that break the rules ---- */

static void expect_break(void)
{
	fake_run(&g->f);
	cr_assert(vguest_is_broken(g));
	cr_assert_not(vguest_client_is_open(client), "clients see the end of it");
	fake_kick(&g->f, VGUEST_TX); /* quiet from now on */
	fake_kick(&g->f, VGUEST_RX);
	fake_run(&g->f);
	cr_assert(vguest_is_idle(g));
}

Test(vsock_open, a_packet_shorter_than_a_header_breaks_the_device)
{
	struct fake_seg s = {g->tx_hdr, VSOCK_HDR_BYTES - 1, false};

	fake_add(&g->f, VGUEST_TX, &s, 1);
	fake_kick(&g->f, VGUEST_TX);
	expect_break();
}

Test(vsock_open, a_writable_segment_in_tx_breaks_the_device)
{
	struct fake_seg s[] = {{g->tx_hdr, VSOCK_HDR_BYTES, false}, {g->tx_data, 1, true}};

	fake_add(&g->f, VGUEST_TX, s, 2);
	fake_kick(&g->f, VGUEST_TX);
	expect_break();
}

Test(vsock_early, an_rx_buffer_without_room_for_payload_breaks_the_device)
{
	client = vguest_dial(g);

	vguest_post_rx(g, g->rx_buf[0], VSOCK_HDR_BYTES + 1);
	vguest_post_rx(g, g->rx_buf[1], VSOCK_HDR_BYTES);
	fake_kick(&g->f, VGUEST_RX);
	vguest_ring(g);
	expect_break();
}

Test(vsock_early, a_readable_segment_in_rx_breaks_the_device)
{
	struct fake_seg s[] = {{g->rx_buf[0], 10, false},
			       {g->rx_buf[1], VGUEST_RX_BUF_BYTES, true}};

	client = vguest_dial(g);
	fake_add(&g->f, VGUEST_RX, s, 2);
	fake_kick(&g->f, VGUEST_RX);
	vguest_ring(g);
	fake_run(&g->f);
	cr_assert(vguest_is_broken(g));
}

/* ---- a queue that is stopped ---- */

static void stop_queue(unsigned q)
{
	fake_write(&g->f, VIRTIO_MMIO_QUEUE_SEL, q);
	fake_write(&g->f, VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(fake_read(&g->f, VIRTIO_MMIO_QUEUE_READY), 0);
	cr_assert_eq(fake_read(&g->f, VIRTIO_MMIO_STATUS), 0xf);
}

Test(vsock_open, without_its_rx_queue_it_hears_and_does_not_speak)
{
	char buf[8];

	stop_queue(VGUEST_RX);
	cr_assert_eq(write(client, "ping", 4), 4);
	vguest_send_data(g, port, "pong", 4);
	cr_assert_eq(vguest_client_read(client, buf, sizeof(buf)), 4);
	cr_assert_eq(vguest_recv(g), 0);
	cr_assert(vguest_is_idle(g));
}

Test(vsock_open, without_its_tx_queue_it_speaks_and_does_not_hear)
{
	char buf[8];

	stop_queue(VGUEST_TX);
	vguest_send_data(g, port, "pong", 4);
	cr_assert_eq(vguest_client_read(client, buf, sizeof(buf)), -EAGAIN);
	cr_assert_eq(write(client, "ping", 4), 4);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
}

Test(vsock, starts_anew_after_a_queue_was_stopped)
{
	for (unsigned q = VGUEST_RX; q <= VGUEST_EVENT; q++) {
		stop_queue(q);
		cr_assert_eq(fake_start(&g->f, 0), 0xf);
		vguest_post_all_rx(g);
		vguest_ring(g);
		cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
		close(vguest_dial_open(g, &port));
	}
}

/* ---- reset ---- */

Test(vsock_open, a_reset_closes_all_and_the_device_starts_anew)
{
	uint32_t other;
	int fd2 = vguest_dial_open(g, &other);

	vguest_clog(g, port);
	vguest_client_fill(fd2, 100000);
	fake_run(&g->f);
	fake_reset(&g->f);
	cr_assert_not(vguest_client_is_open(fd2));
	hang_up();
	close(fd2);
	client = vguest_dial(g);
	cr_assert(vguest_is_idle(g), "nothing is accepted");

	cr_assert_eq(fake_start(&g->f, 0), 0xf);
	vguest_post_all_rx(g);
	cr_assert_eq(vguest_recv(g), 0);
	vguest_ring(g);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_REQUEST);
	cr_assert_neq(g->p.src_port, port, "a port is not used again soon");
	cr_assert_neq(g->p.src_port, other);
	cr_assert_eq(g->ready, 1);
}
