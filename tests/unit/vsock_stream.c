/* SPDX-License-Identifier: Apache-2.0 */
/* Streams through the whole vsock device: bytes, credit, and all the ways to end. */
#include "tests/lib/vsock_fixture.h"

TestSuite(vsock_stream_early, .init = start_guest, .fini = stop_guest);
TestSuite(vsock_stream_new, .init = serve_guest, .fini = stop_guest);
TestSuite(vsock_stream, .init = open_stream, .fini = stop_guest);

/* ---- streams ---- */

Test(vsock_stream, carries_bytes_both_ways)
{
	char buf[16];

	cr_assert_eq(write(client, "hello", 5), 5);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
	cr_assert_eq(g->p.len, 5);
	cr_assert_eq(memcmp(g->data, "hello", 5), 0);
	cr_assert_eq(g->p.buf_alloc, VSOCK_BUF_BYTES);
	vguest_send_data(g, port, "world!", 6);
	cr_assert_eq(vguest_client_read(client, buf, sizeof(buf)), 6);
	cr_assert_eq(memcmp(buf, "world!", 6), 0);
	cr_assert_eq(vguest_recv(g), 0, "no packet for a little credit");
}

Test(vsock_stream_new, sends_what_came_before_the_answer_right_after_it)
{
	client = vguest_dial(g);

	cr_assert_eq(write(client, "x", 1), 1);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_REQUEST);
	cr_assert_eq(vguest_recv(g), 0);
	vguest_send_op(g, VSOCK_OP_RESPONSE, g->p.src_port, 0);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
}

Test(vsock_stream_new, a_refused_client_sees_its_socket_closed)
{
	client = vguest_dial(g);
	char c;

	cr_assert_eq(vguest_recv(g), VSOCK_OP_REQUEST);
	vguest_send_op(g, VSOCK_OP_RST, g->p.src_port, 0);
	cr_assert_eq(vguest_client_read(client, &c, 1), 0);
	cr_assert_eq(vguest_recv(g), 0);
}

Test(vsock_stream, makes_one_packet_of_many_small_writes)
{
	for (int i = 0; i < 200; i++)
		cr_assert_eq(write(client, "abcd", 4), 4);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
	cr_assert_eq(g->p.len, 800);
	cr_assert_eq(vguest_recv(g), 0);
}

Test(vsock_stream_early, fills_buffers_of_several_segments)
{
	gpa_t at = fake_alloc(&g->f, 300, 8);
	struct fake_seg s[] = {{at, 10, true},
			       {(gpa_t){at.raw + 10}, 40, true},
			       {(gpa_t){at.raw + 50}, 250, true}};
	uint32_t head, len;

	fake_add(&g->f, VGUEST_RX, s, 3); /* for the answer to the ring */
	fake_add(&g->f, VGUEST_RX, s, 3); /* for the request */
	fake_kick(&g->f, VGUEST_RX);
	vguest_ring(g);

	client = vguest_dial(g);
	fake_run(&g->f);
	cr_assert(fake_used(&g->f, VGUEST_RX, &head, &len) &&
		  fake_used(&g->f, VGUEST_RX, &head, &len));

	memcpy(&port, (uint8_t *)fake_ptr(&g->f, at) + 16, 4);
	fake_add(&g->f, VGUEST_RX, s, 3);
	vguest_send_op(g, VSOCK_OP_RESPONSE, port, 0);
	char text[400];
	memset(text, 'q', sizeof(text));
	cr_assert_eq(write(client, text, 400), 400);
	fake_run(&g->f);
	cr_assert(fake_used(&g->f, VGUEST_RX, &head, &len));
	cr_assert_eq(len, 300);
	cr_assert_eq(memcmp((uint8_t *)fake_ptr(&g->f, at) + VSOCK_HDR_BYTES, text, 256), 0);
}

/* ---- credit ---- */

Test(vsock_stream, never_sends_beyond_the_guests_credit)
{
	uint32_t got = 0;

	vguest_send_credit(g, port, 5000, 0);
	size_t sent = vguest_client_fill(client, 20000);
	cr_assert_eq(sent, 20000);
	while (vguest_recv(g) == VSOCK_OP_RW)
		got += g->p.len;
	cr_assert_eq(got, 5000);
	vguest_send_credit(g, port, 5000, 4000);
	while (vguest_recv(g) == VSOCK_OP_RW)
		got += g->p.len;
	cr_assert_eq(got, 9000);
	vguest_send_credit(g, port, UINT32_MAX, 9000);
	while (vguest_recv(g) == VSOCK_OP_RW)
		got += g->p.len;
	cr_assert_eq(got, 20000);
}

Test(vsock_stream, does_not_spin_without_credit)
{
	vguest_send_credit(g, port, 10, 0);
	vguest_client_fill(client, 1000);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
	cr_assert_eq(g->p.len, 10);
	cr_assert(vguest_is_idle(g));
	hang_up(); /* a hang-up cannot be masked: it must not spin either */
	fake_run(&g->f);
	cr_assert(vguest_is_idle(g));
}

Test(vsock_stream, tells_a_stalled_guest_that_the_client_is_gone)
{
	vguest_send_credit(g, port, 10, 0);
	vguest_client_fill(client, 15);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
	hang_up();
	cr_assert_eq(vguest_recv(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_RCV);
	vguest_send_credit(g, port, 10, 10);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
	cr_assert_eq(g->p.len, 5);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
}

Test(vsock_stream, does_not_spin_without_rx_buffers)
{
	size_t sent = vguest_client_fill(client, 150000);

	fake_run(&g->f);
	cr_assert(vguest_is_idle(g));
	size_t got = 0;
	while (vguest_recv(g) == VSOCK_OP_RW)
		got += g->p.len;
	cr_assert_eq(got, sent, "buffers were enough to go on");
}

Test(vsock_stream, asks_for_credit_after_a_second)
{
	vguest_send_credit(g, port, 10, 0);
	vguest_client_fill(client, 1000);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
	cr_assert_eq(vguest_recv(g), 0);
	cr_assert(fake_wait_used(&g->f, VGUEST_RX, 1500));
	cr_assert_eq(vguest_recv(g), VSOCK_OP_CREDIT_REQUEST);
}

Test(vsock_stream, announces_its_own_credit_per_half_buffer)
{
	uint32_t updates = 0;
	static uint8_t buf[8192];

	for (int i = 0; i < 64; i++) {
		vguest_send_data(g, port, NULL, 8192);
		cr_assert_eq(vguest_client_read(client, buf, sizeof(buf)), 8192);
		while (vguest_recv(g) == VSOCK_OP_CREDIT_UPDATE)
			updates++;
	}
	cr_assert_eq(updates, 64 * 8192 / (VSOCK_BUF_BYTES / 2));
	cr_assert_eq(g->p.fwd_cnt, 64 * 8192);
}

Test(vsock_stream, resets_a_guest_that_overruns_the_buffer)
{
	uint32_t sent = 0;
	bool reset = false;

	for (int i = 0; i < 200 && !reset; i++) {
		vguest_send_data(g, port, NULL, 8192);
		sent += 8192;
		for (unsigned op; (op = vguest_recv(g));)
			reset |= op == VSOCK_OP_RST;
	}
	cr_assert(reset);
	cr_assert_lt(sent, 1 << 20);
	cr_assert_not(vguest_is_broken(g));
}

Test(vsock_stream, a_client_that_does_not_read_stops_only_itself)
{
	uint32_t slow_port;
	int slow = vguest_dial_open(g, &slow_port);
	char buf[16];

	vguest_clog(g, slow_port);
	cr_assert(vguest_is_idle(g));
	vguest_send_data(g, port, "ping", 4);
	cr_assert_eq(vguest_client_read(client, buf, sizeof(buf)), 4);
	cr_assert_eq(write(client, "pong", 4), 4);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
	cr_assert_eq(g->p.src_port, port);
	close(slow);
}

Test(vsock_stream, stores_what_blocks_and_delivers_it_in_order)
{
	uint32_t sent = 0, fwd_cnt = 0, seen = 0;
	static uint8_t block[8192], back[8192];
	bool more = true;

	/* Every byte carries its position, so that loss, doubling or disorder shows. */
	while (more || seen < sent) {
		more = sent < 2000000;
		if (more && sent - fwd_cnt + 7919 <= VSOCK_BUF_BYTES) {
			for (uint32_t i = 0; i < 7919; i++)
				block[i] = (uint8_t)((sent + i) * 31 >> 4);
			vguest_send_data(g, port, block, 7919);
			sent += 7919;
		} else {
			for (int turns = 0; turns < 9; turns++) {
				ssize_t n = vguest_client_read(client, back, 5003);

				for (ssize_t i = 0; i < n; i++, seen++)
					cr_assert_eq(back[i], (uint8_t)(seen * 31 >> 4));
			}
		}
		while (vguest_recv(g) == VSOCK_OP_CREDIT_UPDATE)
			fwd_cnt = g->p.fwd_cnt;
	}
	cr_assert_eq(seen, sent);
}

/* ---- ends ---- */

Test(vsock_stream, a_client_that_closes_ends_both_directions_in_one_packet)
{
	cr_assert_eq(write(client, "bye", 3), 3);
	hang_up();
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
	cr_assert_eq(vguest_recv(g), 0);
	vguest_send_op(g, VSOCK_OP_RST, port, 0);
	cr_assert_eq(vguest_recv(g), 0);
	vguest_send_op(g, VSOCK_OP_RW, port, 0);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST, "the flow is gone");
}

Test(vsock_stream, a_client_may_end_writing_and_go_on_reading)
{
	char buf[8];

	cr_assert_eq(shutdown(client, SHUT_WR), 0);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_SEND);
	vguest_send_data(g, port, "late", 4);
	cr_assert_eq(vguest_client_read(client, buf, 8), 4);
	vguest_send_op(g, VSOCK_OP_SHUTDOWN, port, VSOCK_SHUT_BOTH);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	cr_assert_eq(vguest_client_read(client, buf, 8), 0);
}

Test(vsock_stream, a_client_that_reads_no_more_is_announced_when_the_guest_writes)
{
	cr_assert_eq(shutdown(client, SHUT_RD), 0);
	vguest_send_data(g, port, "x", 1);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_RCV);
	cr_assert_eq(write(client, "y", 1), 1);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
	hang_up();
	cr_assert_eq(vguest_recv(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
}

Test(vsock_stream, the_guest_may_end_sending_and_go_on_receiving)
{
	char buf[8];

	vguest_send_data(g, port, "end", 3);
	vguest_send_op(g, VSOCK_OP_SHUTDOWN, port, VSOCK_SHUT_SEND);
	cr_assert_eq(vguest_client_read(client, buf, 8), 3);
	cr_assert_eq(vguest_client_read(client, buf, 8), 0);
	cr_assert_eq(write(client, "more", 4), 4);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
	cr_assert(vguest_is_idle(g));
	hang_up();
	cr_assert_eq(vguest_recv(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
}

Test(vsock_stream, the_guest_may_end_receiving)
{
	char buf[8];

	vguest_send_op(g, VSOCK_OP_SHUTDOWN, port, VSOCK_SHUT_RCV);
	cr_assert_eq(send(client, "x", 1, MSG_NOSIGNAL), -1);
	cr_assert_eq(errno, EPIPE);
	vguest_send_data(g, port, "ok", 2);
	cr_assert_eq(vguest_client_read(client, buf, 8), 2);
	cr_assert(vguest_is_idle(g));
	hang_up();
	cr_assert_eq(vguest_recv(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
}

Test(vsock_stream, when_both_sides_ended_sending_the_stream_closes)
{
	char c;

	vguest_send_op(g, VSOCK_OP_SHUTDOWN, port, VSOCK_SHUT_SEND);
	cr_assert_eq(shutdown(client, SHUT_WR), 0);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
	vguest_send_op(g, VSOCK_OP_RST, port, 0);
	cr_assert_eq(vguest_client_read(client, &c, 1), 0);
	cr_assert(vguest_is_idle(g));
}

static void read_what_is_stored(size_t sent)
{
	static uint8_t buf[65536];
	size_t seen = 0;
	ssize_t n;

	while ((n = vguest_client_read(client, buf, sizeof(buf))) > 0) {
		seen += (size_t)n;
		fake_run(&g->f);
	}
	cr_assert_eq(n, 0);
	cr_assert_eq(seen, sent);
}

Test(vsock_stream, stored_bytes_reach_the_client_after_the_guests_reset)
{
	size_t sent = vguest_clog(g, port);

	vguest_send_op(g, VSOCK_OP_RST, port, 0);
	cr_assert_eq(vguest_recv(g), 0);
	read_what_is_stored(sent);
}

Test(vsock_stream, stored_bytes_reach_the_client_after_the_guest_shut_it)
{
	size_t sent = vguest_clog(g, port);

	vguest_send_op(g, VSOCK_OP_SHUTDOWN, port, VSOCK_SHUT_BOTH);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST, "at once, not when read");
	read_what_is_stored(sent);
}

Test(vsock_stream, a_client_that_dies_with_unread_bytes_frees_everything)
{
	vguest_clog(g, port);
	hang_up();
	cr_assert_eq(vguest_recv(g), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(g->p.flags, VSOCK_SHUT_BOTH);
	vguest_send_data(g, port, NULL, 8192); /* was on its way */
	cr_assert_eq(vguest_recv(g), 0);
	vguest_send_op(g, VSOCK_OP_RST, port, 0);
	cr_assert(vguest_is_idle(g));
}
