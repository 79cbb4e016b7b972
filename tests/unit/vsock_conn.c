/* SPDX-License-Identifier: Apache-2.0 */
/* The connection state machine: packets in, packets owed, what the host side must do. */
#include "tests/lib/test.h"
#include "vmm/virtio/vsock_conn.h"

enum { HOST_PORT = 1 << 30, GUEST_PORT = 1, GUEST_BUF = 1000, T0 = 5000 };

static struct vsock_conn c;
static struct vsock_pkt p; /* the last one said */

static unsigned get(enum vsock_op op, uint32_t len, uint32_t fwd_cnt)
{
	struct vsock_pkt in = {.op = op, .len = len, .buf_alloc = GUEST_BUF, .fwd_cnt = fwd_cnt};

	return vsock_conn_recv(&c, &in);
}

static unsigned get_shutdown(uint32_t flags)
{
	struct vsock_pkt in = {.op = VSOCK_OP_SHUTDOWN, .flags = flags, .buf_alloc = GUEST_BUF};

	return vsock_conn_recv(&c, &in);
}

/* The op of the next packet owed, 0 if none. */
static unsigned said(void)
{
	return vsock_conn_say(&c, &p) || vsock_conn_say_credit(&c, &p) ? p.op : 0;
}

static void begin(void)
{
	vsock_conn_init(&c, HOST_PORT, GUEST_PORT, T0);
}

static void open_it(void)
{
	begin();
	cr_assert_eq(said(), VSOCK_OP_REQUEST);
	cr_assert_eq(get(VSOCK_OP_RESPONSE, 0, 0), 0);
	cr_assert_eq(c.state, VSOCK_OPEN);
}

TestSuite(vsock_conn_new, .init = begin);
TestSuite(vsock_conn, .init = open_it);

Test(vsock_conn_new, asks_and_opens)
{
	cr_assert_eq(vsock_conn_credit(&c), 0);
	cr_assert_eq(said(), VSOCK_OP_REQUEST);
	cr_assert_eq(p.src_port, HOST_PORT);
	cr_assert_eq(p.dst_port, GUEST_PORT);
	cr_assert_eq(p.type, VSOCK_TYPE_STREAM);
	cr_assert_eq(p.buf_alloc, VSOCK_BUF_BYTES);
	cr_assert_eq(said(), 0);
	cr_assert_eq(get(VSOCK_OP_RESPONSE, 0, 0), 0);
	cr_assert_eq(vsock_conn_credit(&c), GUEST_BUF);
	cr_assert_eq(c.deadline_ms, 0);
}

Test(vsock_conn_new, is_closed_by_a_refusal_and_does_not_answer_it)
{
	(void)said();
	cr_assert_eq(get(VSOCK_OP_RST, 0, 0), VSOCK_DO_CLOSE);
	cr_assert_eq(c.state, VSOCK_CLOSED);
	cr_assert_eq(said(), 0);
}

Test(vsock_conn, resets_whatever_is_no_answer_to_its_request)
{
	static const enum vsock_op ops[] = {VSOCK_OP_REQUEST, VSOCK_OP_SHUTDOWN, VSOCK_OP_RW,
					    VSOCK_OP_CREDIT_UPDATE, VSOCK_OP_CREDIT_REQUEST};

	for (unsigned i = 0; i < countof(ops); i++) {
		begin();
		(void)said();
		cr_assert_eq(get(ops[i], 0, 0), VSOCK_DO_CLOSE);
		cr_assert_eq(said(), VSOCK_OP_RST);
		cr_assert_eq(said(), 0);
	}
}

Test(vsock_conn_new, takes_no_answer_before_it_asked)
{
	cr_assert_eq(get(VSOCK_OP_RESPONSE, 0, 0), VSOCK_DO_CLOSE);
	cr_assert_eq(said(), 0, "the guest knows nothing of it");
}

Test(vsock_conn, resets_a_second_request_or_response)
{
	static const enum vsock_op ops[] = {VSOCK_OP_REQUEST, VSOCK_OP_RESPONSE};

	for (unsigned i = 0; i < 2; i++) {
		open_it();
		cr_assert_eq(get(ops[i], 0, 0), VSOCK_DO_CLOSE);
		cr_assert_eq(said(), VSOCK_OP_RST);
	}
}

Test(vsock_conn_new, gives_up_asking_after_10_s)
{
	(void)said();
	vsock_conn_expire(&c, T0 + 9999);
	cr_assert_eq(c.state, VSOCK_CONNECTING);
	vsock_conn_expire(&c, T0 + 10000);
	cr_assert_eq(c.state, VSOCK_CLOSED);
	cr_assert_eq(said(), VSOCK_OP_RST);
}

/* ---- credit towards the guest ---- */

Test(vsock_conn, spends_credit_and_gets_it_back)
{
	vsock_conn_data(&c, 600, &p);
	cr_assert_eq(p.op, VSOCK_OP_RW);
	cr_assert_eq(p.len, 600);
	cr_assert_eq(vsock_conn_credit(&c), 400);
	vsock_conn_data(&c, 400, &p);
	cr_assert_eq(vsock_conn_credit(&c), 0);
	cr_assert_eq(get(VSOCK_OP_CREDIT_UPDATE, 0, 250), 0);
	cr_assert_eq(vsock_conn_credit(&c), 250);
}

Test(vsock_conn, counts_credit_across_the_wrap)
{
	c.sent = c.guest_fwd = UINT32_MAX - 100;
	vsock_conn_data(&c, 300, &p);
	cr_assert_eq(vsock_conn_credit(&c), GUEST_BUF - 300);
	cr_assert_eq(get(VSOCK_OP_CREDIT_UPDATE, 0, 199), 0);
	cr_assert_eq(vsock_conn_credit(&c), GUEST_BUF);
}

Test(vsock_conn, survives_a_shrinking_buffer)
{
	struct vsock_pkt in = {.op = VSOCK_OP_CREDIT_UPDATE, .buf_alloc = 10};

	vsock_conn_data(&c, 600, &p);
	cr_assert_eq(vsock_conn_recv(&c, &in), 0);
	cr_assert_eq(vsock_conn_credit(&c), 0);
	in.fwd_cnt = 595;
	cr_assert_eq(vsock_conn_recv(&c, &in), 0);
	cr_assert_eq(vsock_conn_credit(&c), 5);
}

Test(vsock_conn, ignores_a_count_from_the_past_or_the_future)
{
	vsock_conn_data(&c, 600, &p);
	cr_assert_eq(get(VSOCK_OP_CREDIT_UPDATE, 0, 500), 0);
	cr_assert_eq(vsock_conn_credit(&c), GUEST_BUF - 100);
	cr_assert_eq(get(VSOCK_OP_CREDIT_UPDATE, 0, 499), 0);
	cr_assert_eq(vsock_conn_credit(&c), GUEST_BUF - 100, "overtaken by a newer packet");
	cr_assert_eq(get(VSOCK_OP_CREDIT_UPDATE, 0, 601), 0);
	cr_assert_eq(vsock_conn_credit(&c), GUEST_BUF - 100, "consumed what was never sent");
	cr_assert_eq(get(VSOCK_OP_CREDIT_UPDATE, 0, 600), 0);
	cr_assert_eq(vsock_conn_credit(&c), GUEST_BUF);
}

Test(vsock_conn, asks_for_credit_once_when_there_is_none_for_a_second)
{
	vsock_conn_data(&c, GUEST_BUF, &p);
	vsock_conn_stalled(&c, T0);
	vsock_conn_stalled(&c, T0 + 500); /* the first counts */
	vsock_conn_expire(&c, T0 + 999);
	cr_assert_eq(said(), 0);
	vsock_conn_expire(&c, T0 + 1000);
	cr_assert_eq(said(), VSOCK_OP_CREDIT_REQUEST);
	cr_assert_eq(get(VSOCK_OP_CREDIT_UPDATE, 0, 0), 0); /* none yet */
	vsock_conn_stalled(&c, T0 + 2000);
	cr_assert_eq(c.deadline_ms, 0, "no polling");
	cr_assert_eq(get(VSOCK_OP_CREDIT_UPDATE, 0, 1), 0);
	vsock_conn_data(&c, 1, &p);
	vsock_conn_stalled(&c, T0 + 9000);
	cr_assert_eq(c.deadline_ms, T0 + 10000);
}

Test(vsock_conn, forgets_to_ask_when_credit_comes_by_itself)
{
	vsock_conn_data(&c, GUEST_BUF, &p);
	vsock_conn_stalled(&c, T0);
	vsock_conn_expire(&c, T0 + 1000);
	cr_assert_eq(get(VSOCK_OP_CREDIT_UPDATE, 0, 1), 0);
	cr_assert_eq(said(), 0);
}

/* ---- credit towards the host ---- */

Test(vsock_conn, announces_credit_when_half_the_buffer_is_worth_it)
{
	cr_assert_eq(get(VSOCK_OP_RW, VSOCK_BUF_BYTES, 0), VSOCK_DO_STORE);
	cr_assert_eq(said(), 0);
	vsock_conn_forwarded(&c, VSOCK_BUF_BYTES / 2 - 1);
	cr_assert_eq(said(), 0);
	vsock_conn_forwarded(&c, 1);
	cr_assert_eq(said(), VSOCK_OP_CREDIT_UPDATE);
	cr_assert_eq(p.fwd_cnt, VSOCK_BUF_BYTES / 2);
	cr_assert_eq(p.buf_alloc, VSOCK_BUF_BYTES);
	cr_assert_eq(said(), 0);
}

Test(vsock_conn, lets_credit_ride_on_data)
{
	cr_assert_eq(get(VSOCK_OP_RW, VSOCK_BUF_BYTES, 0), VSOCK_DO_STORE);
	vsock_conn_forwarded(&c, VSOCK_BUF_BYTES);
	vsock_conn_data(&c, 1, &p);
	cr_assert_eq(p.fwd_cnt, VSOCK_BUF_BYTES);
	cr_assert_eq(said(), 0);
}

Test(vsock_conn, answers_a_credit_request)
{
	cr_assert_eq(get(VSOCK_OP_CREDIT_REQUEST, 0, 0), 0);
	cr_assert_eq(get(VSOCK_OP_CREDIT_REQUEST, 0, 0), 0);
	cr_assert_eq(said(), VSOCK_OP_CREDIT_UPDATE);
	cr_assert_eq(said(), 0, "one answer for all");
}

Test(vsock_conn, resets_a_guest_that_overruns_its_credit)
{
	cr_assert_eq(get(VSOCK_OP_RW, VSOCK_BUF_BYTES - 1, 0), VSOCK_DO_STORE);
	cr_assert_eq(get(VSOCK_OP_RW, 1, 0), VSOCK_DO_STORE);
	cr_assert_eq(get(VSOCK_OP_RW, 1, 0), VSOCK_DO_CLOSE);
	cr_assert_eq(said(), VSOCK_OP_RST);
	cr_assert_eq(c.state, VSOCK_CLOSED);
}

Test(vsock_conn, counts_received_bytes_across_the_wrap)
{
	c.received = c.forwarded = c.announced = UINT32_MAX - 10;
	cr_assert_eq(get(VSOCK_OP_RW, VSOCK_BUF_BYTES, 0), VSOCK_DO_STORE);
	vsock_conn_forwarded(&c, VSOCK_BUF_BYTES);
	cr_assert_eq(get(VSOCK_OP_RW, VSOCK_BUF_BYTES, 0), VSOCK_DO_STORE);
	cr_assert_eq(get(VSOCK_OP_RW, 1, 0), VSOCK_DO_CLOSE);
}

Test(vsock_conn, has_nothing_to_do_for_empty_data)
{
	cr_assert_eq(get(VSOCK_OP_RW, 0, 0), 0);
	cr_assert_eq(c.state, VSOCK_OPEN);
}

/* ---- ends ---- */

Test(vsock_conn, half_closes_from_the_host)
{
	vsock_conn_host_shut(&c, VSOCK_SHUT_SEND, T0);
	cr_assert_eq(said(), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(p.flags, VSOCK_SHUT_SEND);
	cr_assert_eq(vsock_conn_credit(&c), 0);
	cr_assert_eq(c.deadline_ms, 0, "a half-closed stream lives on");
	cr_assert_eq(get(VSOCK_OP_RW, 5, 0), VSOCK_DO_STORE);
}

Test(vsock_conn, says_both_ends_in_one_packet)
{
	vsock_conn_host_shut(&c, VSOCK_SHUT_SEND, T0);
	vsock_conn_host_shut(&c, VSOCK_SHUT_RCV, T0);
	cr_assert_eq(c.state, VSOCK_CLOSING);
	cr_assert_eq(said(), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(p.flags, VSOCK_SHUT_BOTH);
	cr_assert_eq(said(), 0);
	cr_assert_eq(get(VSOCK_OP_RST, 0, 0), VSOCK_DO_CLOSE);
	cr_assert_eq(said(), 0);
}

Test(vsock_conn, repeats_no_shutdown)
{
	vsock_conn_host_shut(&c, VSOCK_SHUT_SEND, T0);
	(void)said();
	vsock_conn_host_shut(&c, VSOCK_SHUT_SEND, T0);
	cr_assert_eq(said(), 0);
}

Test(vsock_conn, resets_after_8_s_without_an_answer_to_its_shutdown)
{
	vsock_conn_host_shut(&c, VSOCK_SHUT_BOTH, T0);
	(void)said();
	vsock_conn_expire(&c, T0 + 7999);
	cr_assert_eq(said(), 0);
	vsock_conn_expire(&c, T0 + 8000);
	cr_assert_eq(said(), VSOCK_OP_RST);
	cr_assert_eq(c.state, VSOCK_CLOSED);
}

Test(vsock_conn, swallows_data_that_crossed_its_shutdown)
{
	vsock_conn_host_shut(&c, VSOCK_SHUT_BOTH, T0);
	(void)said();
	for (int i = 0; i < 3; i++)
		cr_assert_eq(get(VSOCK_OP_RW, VSOCK_BUF_BYTES, 0), 0);
	cr_assert_eq(said(), 0);
	cr_assert_eq(c.state, VSOCK_CLOSING);
}

Test(vsock_conn, half_closes_from_the_guest)
{
	cr_assert_eq(get_shutdown(VSOCK_SHUT_SEND), VSOCK_DO_END);
	cr_assert_eq(get_shutdown(VSOCK_SHUT_SEND), 0, "said once");
	cr_assert_eq(get_shutdown(0), 0, "flags stay set");
	cr_assert_eq(vsock_conn_credit(&c), GUEST_BUF);
	cr_assert_eq(said(), 0);
	cr_assert_eq(get(VSOCK_OP_RW, 1, 0), VSOCK_DO_CLOSE, "data after the end");
	cr_assert_eq(said(), VSOCK_OP_RST);
}

Test(vsock_conn, sends_nothing_to_a_guest_that_receives_no_more)
{
	cr_assert_eq(get_shutdown(VSOCK_SHUT_RCV), VSOCK_DO_STOP_READ);
	cr_assert_eq(vsock_conn_credit(&c), 0);
	vsock_conn_stalled(&c, T0);
	cr_assert_eq(c.deadline_ms, 0);
	cr_assert_eq(get(VSOCK_OP_RW, 1, 0), VSOCK_DO_STORE, "it may still send");
}

Test(vsock_conn, answers_the_end_of_both_directions_with_a_reset)
{
	cr_assert_eq(get_shutdown(VSOCK_SHUT_BOTH), VSOCK_DO_CLOSE);
	cr_assert_eq(said(), VSOCK_OP_RST);
	open_it();
	cr_assert_eq(get_shutdown(VSOCK_SHUT_RCV), VSOCK_DO_STOP_READ);
	cr_assert_eq(get_shutdown(VSOCK_SHUT_SEND), VSOCK_DO_CLOSE);
	cr_assert_eq(said(), VSOCK_OP_RST);
}

Test(vsock_conn, answers_a_crossing_shutdown_with_a_reset)
{
	vsock_conn_host_shut(&c, VSOCK_SHUT_BOTH, T0);
	(void)said();
	cr_assert_eq(get_shutdown(VSOCK_SHUT_BOTH), VSOCK_DO_CLOSE);
	cr_assert_eq(said(), VSOCK_OP_RST);
	cr_assert_eq(c.deadline_ms, 0);
}

Test(vsock_conn, drops_unsaid_credit_when_it_closes)
{
	cr_assert_eq(get(VSOCK_OP_CREDIT_REQUEST, 0, 0), 0);
	vsock_conn_host_shut(&c, VSOCK_SHUT_BOTH, T0);
	cr_assert_eq(said(), VSOCK_OP_SHUTDOWN);
	cr_assert_eq(said(), 0);
}

Test(vsock_conn, says_only_its_reset_once_aborted)
{
	cr_assert_eq(get(VSOCK_OP_CREDIT_REQUEST, 0, 0), 0);
	vsock_conn_host_shut(&c, VSOCK_SHUT_SEND, T0);
	vsock_conn_abort(&c);
	vsock_conn_abort(&c);
	cr_assert_eq(said(), VSOCK_OP_RST);
	cr_assert_eq(said(), 0);
}

Test(vsock_conn, a_crossing_reset_saves_its_own)
{
	vsock_conn_abort(&c);
	(void)get(VSOCK_OP_RST, 0, 0);
	cr_assert_eq(said(), 0);
}

Test(vsock_conn, ignores_everything_once_closed)
{
	for (unsigned op = VSOCK_OP_REQUEST; op < VSOCK_OPS; op++) {
		open_it();
		vsock_conn_abort(&c);
		(void)said();
		(void)get((enum vsock_op)op, 0, 0);
		cr_assert_eq(c.state, VSOCK_CLOSED);
		cr_assert_eq(said(), 0);
		cr_assert_eq(vsock_conn_credit(&c), 0);
	}
}
