/* SPDX-License-Identifier: Apache-2.0 */
/* A vsock device that is saved, and one restored from it: each stream the guest knows of ends there
 * by one reset, before anything new, and goes on here. */
#include <signal.h>
#include <stdlib.h>

#include "proto/ports.h"
#include "tests/lib/vsock_fixture.h"
#include "util/cleanup.h"
#include "vmm/virtio/state.h"

static void open_kept(void)
{
	open_stream();
	vsock_keep(g->f.dev, port);
}

TestSuite(snap_vsock_early, .init = start_guest, .fini = stop_guest, .timeout = 60);
TestSuite(snap_vsock, .init = serve_guest, .fini = stop_guest, .timeout = 60);
TestSuite(snap_vsock_open, .init = open_stream, .fini = stop_guest, .timeout = 60);
TestSuite(snap_vsock_kept, .init = open_kept, .fini = stop_guest, .timeout = 60);

static void assert_rst(uint32_t src_port)
{
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	cr_assert_eq(g->p.src_port, src_port);
	cr_assert_eq(g->p.dst_port, VGUEST_SERVICE);
	cr_assert_eq(g->p.src_cid, VSOCK_HOST_CID);
	cr_assert_eq(g->p.type, VSOCK_TYPE_STREAM);
}

static void converse(int with, uint32_t its_port)
{
	char buf[8];

	cr_assert_eq(write(with, "ping", 4), 4);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
	cr_assert_eq(g->p.src_port, its_port, "the guest sees the same stream");
	cr_assert_eq(memcmp(g->data, "ping", 4), 0);
	vguest_send_data(g, its_port, "pong", 4);
	cr_assert_eq(vguest_client_read(with, buf, sizeof(buf)), 4);
}

static void assert_serves(void)
{
	uint32_t new_port;
	int other = vguest_dial_open(g, &new_port);

	converse(other, new_port);
	vguest_send_op(g, VSOCK_OP_RST, new_port, 0);
	close(other);
}

/* ---- queues that are stopped ---- */

Test(snap_vsock, a_stopped_queue_stays_stopped)
{
	for (unsigned q = VGUEST_RX; q <= VGUEST_EVENT; q++) {
		fake_write(&g->f, VIRTIO_MMIO_QUEUE_SEL, q);
		fake_write(&g->f, VIRTIO_MMIO_QUEUE_READY, 0);
		fake_move(&g->f);
		cr_assert_eq(fake_read(&g->f, VIRTIO_MMIO_QUEUE_READY), 0);
		cr_assert_eq(fake_read(&g->f, VIRTIO_MMIO_STATUS), 0xf);
		if (q == VGUEST_EVENT)
			assert_serves();
		cr_assert_eq(fake_start(&g->f, 0), 0xf);
		vguest_post_all_rx(g);
		vguest_ring(g);
		cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
		assert_serves();
	}
}

/* ---- the one that goes on ---- */

Test(snap_vsock_kept, a_kept_stream_goes_on_with_the_first_new_client_and_only_with_him)
{
	uint32_t other_port;
	int other = vguest_dial_open(g, &other_port);

	converse(client, port);
	fake_move(&g->f);
	cr_assert_not(vguest_client_is_open(client), "the old client sees its end");
	assert_rst(other_port);
	cr_assert_eq(vguest_recv(g), 0);
	int first = vguest_dial(g);
	fake_run(&g->f);
	converse(first, port);
	cr_assert_eq(vguest_recv(g), 0);
	assert_serves();
	vguest_send_op(g, VSOCK_OP_RST, port, 0);
	close(other);
	close(first);
}

/* Far beyond the buffers of both sides. */
Test(snap_vsock_kept, the_credit_of_a_kept_stream_goes_on_where_it_stood)
{
	char chunk[1024] = {0}, back[sizeof(chunk)];
	uint32_t got = 0;

	for (int move = 0; move < 3; move++) {
		for (int i = 0; i < 300; i++) {
			vguest_send_data(g, port, chunk, sizeof(chunk));
			cr_assert_eq(vguest_client_read(client, back, sizeof(back)),
				     (ssize_t)sizeof(back));
			cr_assert_eq(write(client, chunk, sizeof(chunk)), (ssize_t)sizeof(chunk));
			while (vguest_recv(g))
				got += g->p.op == VSOCK_OP_RW ? g->p.len : 0;
			vguest_send_credit(g, port, VGUEST_BUF_BYTES, got);
		}
		vsock_keep(g->f.dev, port);
		fake_move(&g->f);
		close(client);
		client = vguest_dial(g);
		fake_run(&g->f);
	}
	cr_assert_eq(got, 3 * 300 * sizeof(chunk));
	converse(client, port);
	vguest_send_op(g, VSOCK_OP_RST, port, 0);
}

Test(snap_vsock_kept, a_stream_that_is_not_quiet_is_not_kept)
{
	(void)vguest_clog(g, port); /* bytes that its client has not taken */
	fake_move(&g->f);
	assert_rst(port);
	hang_up();
	client = vguest_dial_open(g, &port);
	vsock_keep(g->f.dev, port);
	vguest_send_op(g, VSOCK_OP_SHUTDOWN, port, VSOCK_SHUT_SEND);
	fake_move(&g->f);
	assert_rst(port);
	hang_up();
	assert_serves();
}

Test(snap_vsock_kept, a_kept_stream_that_speaks_to_nobody_is_reset)
{
	fake_move(&g->f);
	vguest_send_data(g, port, "hello?", 6);
	assert_rst(port);
	hang_up();
	assert_serves();
}

Test(snap_vsock_kept, a_kept_stream_that_the_guest_ends_is_gone)
{
	fake_move(&g->f);
	vguest_send_op(g, VSOCK_OP_RST, port, 0);
	cr_assert_eq(vguest_recv(g), 0);
	hang_up();
	assert_serves();
}

Test(snap_vsock_kept, a_kept_stream_that_nobody_took_ends_at_the_next_move)
{
	fake_move(&g->f);
	fake_move(&g->f);
	assert_rst(port);
	hang_up();
	assert_serves();
}

/* ---- streams in each of their states ---- */

Test(snap_vsock_open, an_open_stream_is_reset_before_a_new_one_begins)
{
	int early = vguest_dial(g); /* in the backlog when the restored one opens its doors */

	fake_move(&g->f);
	assert_rst(port);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_REQUEST);
	cr_assert_neq(g->p.src_port, port, "a port the guest knew is not used again");
	cr_assert_not(vguest_client_is_open(client), "the old client sees its end");
	vguest_send_op(g, VSOCK_OP_RST, g->p.src_port, 0);
	hang_up();
	close(early);
	assert_serves();
	vguest_ring(g);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	cr_assert_eq(g->ready, 1, "it is not new to us");
}

Test(snap_vsock, a_request_without_an_answer_is_taken_back)
{
	client = vguest_dial(g);

	cr_assert_eq(vguest_recv(g), VSOCK_OP_REQUEST);
	port = g->p.src_port;
	struct vsock_pkt p = vguest_packet(VSOCK_OP_RESPONSE, VGUEST_SERVICE, port);
	vguest_put(g, &p); /* on its way */
	fake_move(&g->f);
	assert_rst(port);
	cr_assert_eq(vguest_recv(g), 0);
	vguest_send_op(g, VSOCK_OP_RESPONSE, port, 0); /* and one to nobody */
	assert_rst(port);
}

Test(snap_vsock_early, a_request_that_the_guest_never_saw_is_nothing)
{
	vguest_ring(g); /* its refusal has no buffer, like all that follows */
	client = vguest_dial(g);
	fake_run(&g->f);
	fake_move(&g->f);
	cr_assert_not(vguest_client_is_open(client));
	hang_up();
	vguest_post_all_rx(g);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	cr_assert_eq(g->p.src_port, PORT_READY);
	cr_assert_eq(vguest_recv(g), 0);
	assert_serves();
}

Test(snap_vsock, streams_that_one_side_or_both_shut_are_reset)
{
	uint32_t ports[4];
	int clients[4];

	for (int i = 0; i < 4; i++)
		clients[i] = vguest_dial_open(g, &ports[i]);
	cr_assert_eq(shutdown(clients[0], SHUT_WR), 0);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_SHUTDOWN);
	vguest_send_op(g, VSOCK_OP_SHUTDOWN, ports[1], VSOCK_SHUT_SEND);
	close(clients[2]); /* both ways; the guest has not answered */
	cr_assert_eq(vguest_recv(g), VSOCK_OP_SHUTDOWN);
	vguest_send_op(g, VSOCK_OP_RST, ports[3], 0); /* gone: nothing to say */
	fake_move(&g->f);
	for (int i = 0; i < 3; i++)
		assert_rst(ports[i]);
	cr_assert_eq(vguest_recv(g), 0);
	close(clients[0]);
	close(clients[1]);
	close(clients[3]);
	assert_serves();
}

Test(snap_vsock_open, a_stream_that_the_guest_ended_is_not_told_of)
{
	(void)vguest_clog(g, port); /* its client still has to read */
	vguest_send_op(g, VSOCK_OP_RST, port, 0);
	fake_move(&g->f);
	cr_assert_eq(vguest_recv(g), 0);
	hang_up();
	assert_serves();
}

Test(snap_vsock_open, a_reset_that_was_owed_is_owed_once)
{
	struct vsock_pkt stray = vguest_packet(VSOCK_OP_RW, 77, 88);

	for (int i = 0; i < VGUEST_RX_BUFS; i++) { /* none is left */
		vguest_send(g, &stray);
		cr_assert_eq(vguest_take(g), VSOCK_OP_RST);
	}
	vguest_send(g, &stray);
	vguest_send_op(g, VSOCK_OP_SHUTDOWN, port, VSOCK_SHUT_BOTH);
	fake_move(&g->f);
	fake_move(&g->f); /* nothing was said: still the same */
	vguest_post_all_rx(g);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	cr_assert_eq(g->p.dst_port, 77);
	cr_assert_eq(g->p.src_port, 88);
	assert_rst(port);
	cr_assert_eq(vguest_recv(g), 0);
	fake_move(&g->f);
	cr_assert_eq(vguest_recv(g), 0);
}

Test(snap_vsock_open, packets_to_an_end_that_was_not_announced_wait_for_it)
{
	struct vsock_pkt p = vguest_packet(VSOCK_OP_RW, VGUEST_SERVICE, port);

	p.len = 5;
	vguest_put(g, &p); /* queued and never kicked */
	fake_move(&g->f);
	assert_rst(port);
	cr_assert_eq(vguest_recv(g), 0, "the data needs no answer of its own");
	vguest_send_op(g, VSOCK_OP_SHUTDOWN, port, VSOCK_SHUT_SEND); /* crossed it */
	assert_rst(port);
	cr_assert_eq(vguest_recv(g), 0);
}

/* ---- the one that was saved ---- */

Test(snap_vsock_open, the_saved_one_goes_on_with_its_streams)
{
	struct port_state *s = malloc(sizeof(*s));
	char buf[8];
	int late;

	vguest_put(g, &(struct vsock_pkt){0}); /* junk: dropped, and returned */
	cr_assert_eq(write(client, "before", 6), 6);
	fake_save(&g->f, s);
	cr_assert_eq(write(client, "after", 5), 5);
	late = vguest_dial(g);
	fake_run(&g->f);
	cr_assert_eq(vguest_take(g), 0, "held: not a word");
	virtio_port_release(g->f.port);
	char all[12] = "";
	for (size_t n = 0; n < 11; n += g->p.len) {
		unsigned op = vguest_recv(g);

		if (op == VSOCK_OP_REQUEST) {
			n -= g->p.len;
			continue;
		}
		cr_assert_eq(op, VSOCK_OP_RW);
		memcpy(all + n, g->data, g->p.len);
	}
	cr_assert_str_eq(all, "beforeafter");
	vguest_send_data(g, port, "pong", 4);
	cr_assert_eq(vguest_client_read(client, buf, sizeof(buf)), 4);
	close(late);
	free(s);
}

Test(snap_vsock_open, not_even_a_timer_speaks_while_held)
{
	struct port_state *s = malloc(sizeof(*s));

	vguest_put(g, &(struct vsock_pkt){0});
	fake_kick(&g->f, VGUEST_TX);
	fake_run(&g->f); /* returned; its interrupt is put off */
	(void)fake_irqs(&g->f);
	fake_save(&g->f, s);
	hang_up();
	cr_assert_geq(loop_step(&g->f.loop, 100), 0);
	fake_run(&g->f);
	cr_assert_eq(vguest_take(g), 0);
	virtio_port_release(g->f.port);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_SHUTDOWN);
	cr_assert_gt(fake_irqs(&g->f), 0);
	free(s);
}

/* ---- limits ---- */

Test(snap_vsock, resets_wait_for_buffers_and_go_first)
{
	enum { N = 100 };
	uint32_t ports[N];
	static bool seen[N];
	int clients[N];

	for (int i = 0; i < N; i++)
		clients[i] = vguest_dial_open(g, &ports[i]);
	for (int i = 0; i < VGUEST_RX_BUFS; i++) { /* none is left */
		vguest_send_op(g, VSOCK_OP_CREDIT_REQUEST, ports[0], 0);
		cr_assert_eq(vguest_take(g), VSOCK_OP_CREDIT_UPDATE);
	}
	fake_move(&g->f);
	int early = vguest_dial(g);
	fake_run(&g->f);
	cr_assert_eq(vguest_take(g), 0);
	for (int i = 0; i < N; i++) {
		if (i % VGUEST_RX_BUFS == 0) {
			fake_move(&g->f);
			early = early < 0 ? -1 : (close(early), vguest_dial(g));
			vguest_post_all_rx(g);
		}
		cr_assert_eq(vguest_take(g), VSOCK_OP_RST, "%d", i);
		int k = 0;
		while (k < N && ports[k] != g->p.src_port)
			k++;
		cr_assert(k < N && !seen[k]);
		seen[k] = true;
	}
	cr_assert_eq(vguest_take(g), VSOCK_OP_REQUEST);
	close(early);
	for (int i = 0; i < N; i++)
		close(clients[i]);
}

Test(snap_vsock_early, a_guest_that_did_not_serve_still_does_not)
{
	vguest_post_all_rx(g);
	fake_move(&g->f);
	client = vguest_dial(g);
	cr_assert_eq(vguest_recv(g), 0);
	vguest_ring(g);
	cr_assert_eq(g->ready, 1);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RST);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_REQUEST);
}

/* ---- states that no device makes ---- */

static void refuse(const struct port_state *s)
{
	struct err e = {0};

	virtio_port_free(g->f.port);
	fake_attach(&g->f, g->f.remake(&g->f));
	cr_assert_eq(virtio_port_restore(g->f.port, s, &e), -EINVAL);
	cr_assert_not_null(strstr(e.msg, "virtio-vsock: "), "%s", e.msg);
}

Test(snap_vsock, impossible_streams_are_refused)
{
	struct port_state *s = malloc(sizeof(*s)), *bad = malloc(sizeof(*bad));

	fake_save(&g->f, s);
	s->vsock.nconns = 2;
	s->vsock.host_port[0] = VSOCK_PORT_FIRST + 5;
	s->vsock.host_port[1] = VSOCK_PORT_FIRST + 6;
#define REFUSE(...)                     \
	do {                            \
		*bad = *s;              \
		bad->vsock.__VA_ARGS__; \
		refuse(bad);            \
	} while (0)
	REFUSE(nconns = VSOCK_CONNS_MAX + 1);
	REFUSE(nrsts = VSOCK_RSTS_MAX + 1);
	REFUSE(uses = 1 << 20);
	REFUSE(host_port[1] = VSOCK_PORT_FIRST + 5);
	REFUSE(host_port[1] = VSOCK_PORT_FIRST + 5 + VSOCK_CONNS_MAX); /* the same slot */
	REFUSE(host_port[1] = VSOCK_PORT_FIRST - 1);
	REFUSE(host_port[1] = UINT32_MAX);
	free(s);
	free(bad);
}

/* ---- any history ---- */

enum { FLOWS = 512, CLIENTS = 12, STEPS = 150 };

struct flow {
	uint32_t port;
	bool known;  /* the guest holds a socket */
	bool doomed; /* since before the last move: only a reset may come */
	unsigned
		sent; /* packets of the guest: each may have crossed a reset, or be answered by one */
};

static struct flow flow[FLOWS];
static unsigned nflows;
static int clients[CLIENTS];

static struct flow *find(uint32_t flow_port)
{
	for (unsigned i = 0; i < nflows; i++)
		if (flow[i].port == flow_port)
			return &flow[i];
	return NULL;
}

static unsigned ndoomed(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < nflows; i++)
		n += flow[i].doomed;
	return n;
}

/* One packet to the guest; false: none. */
static bool hear(void)
{
	unsigned op = vguest_recv(g);
	struct flow *f = find(g->p.src_port);

	if (!op)
		return false;
	if (op == VSOCK_OP_RST) {
		cr_assert(f && (f->known || f->sent), "a reset out of the blue");
		f->sent -= !f->known;
		f->known = f->doomed = false;
		return true;
	}
	cr_assert_eq(ndoomed(), 0, "old resets come first");
	if (op == VSOCK_OP_REQUEST) {
		cr_assert_null(f, "a port was used again");
		cr_assert_lt(nflows, FLOWS);
		flow[nflows++] = (struct flow){.port = g->p.src_port, .known = true};
		return true;
	}
	cr_assert(f && f->known, "op %u on a stream that ended", op);
	return true;
}

/* Something, right or wrong, on a stream that is or was; kicked or not. */
static void talk(void)
{
	static const enum vsock_op ops[] = {VSOCK_OP_RESPONSE,
					    VSOCK_OP_RESPONSE,
					    VSOCK_OP_RW,
					    VSOCK_OP_RW,
					    VSOCK_OP_SHUTDOWN,
					    VSOCK_OP_RST,
					    VSOCK_OP_CREDIT_REQUEST};

	if (!nflows)
		return;
	struct flow *f = &flow[nflows - 1 - (unsigned)rand() % min_(nflows, 8u)];
	struct vsock_pkt p =
		vguest_packet(ops[(unsigned)rand() % countof(ops)], VGUEST_SERVICE, f->port);

	p.flags = (uint32_t)rand() % 4;
	p.len = p.op == VSOCK_OP_RW ? (uint32_t)rand() % 9000 : 0;
	if (p.op == VSOCK_OP_RST)
		f->known = f->doomed = false;
	f->sent++;
	if (rand() % 4)
		vguest_send(g, &p);
	else
		vguest_put(g, &p);
}

static void act(void)
{
	int *c = &clients[rand() % CLIENTS];

	if (*c < 0) {
		*c = vguest_dial(g);
		return;
	}
	switch (rand() % 4) {
	case 0: close(take_fd(*c)); break;
	case 1: (void)shutdown(*c, rand() % 2 ? SHUT_WR : SHUT_RD); break;
	default: (void)vguest_client_fill(*c, (size_t)rand() % 9000);
	}
}

/* What stands in rx came before the snapshot. */
static void move(void)
{
	virtio_port_hold(g->f.port);
	while (hear())
		;
	for (unsigned i = 0; i < nflows; i++)
		flow[i].doomed = flow[i].known;
	fake_move(&g->f);
}

Test(snap_vsock_history, any_history_ends_with_one_reset_each, .timeout = 120)
{
	signal(SIGPIPE, SIG_IGN);
	for (unsigned seed = 0; seed < 40; seed++) {
		srand(seed);
		nflows = 0;
		memset(clients, -1, sizeof(clients));
		serve_guest();
		for (int i = 0; i < STEPS; i++) {
			switch (rand() % 8) {
			case 0:
			case 1:
			case 2: talk(); break;
			case 3:
			case 4: act(); break;
			case 5:
				for (int n = rand() % 40; n && hear(); n--)
					;
				break;
			case 6: fake_run(&g->f); break;
			case 7: move(); break;
			}
		}
		move();
		while (hear())
			;
		cr_assert_eq(ndoomed(), 0, "seed %u", seed);
		cr_assert_not(vguest_is_broken(g));
		for (int i = 0; i < CLIENTS; i++)
			if (clients[i] >= 0)
				close(clients[i]);
		stop_guest();
	}
}
