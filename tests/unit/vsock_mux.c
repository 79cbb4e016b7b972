/* SPDX-License-Identifier: Apache-2.0 */
/* The table of connections: limits, timeouts, slots and the host's shortages. No queue, no guest:
 * packets go in and out by hand. What streams do is tested with the whole device, in vsock.c. */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "proto/ports.h"
#include "tests/lib/test.h"
#include "vmm/virtio/vsock_mux.h"

enum { SERVICE = 7, OTHER = 8 };

static struct {
	struct vsock_mux mux;
	struct loop loop;
	unsigned works;
	struct sockaddr_un addr[2];
	socklen_t len[2];
	struct vsock_pkt p; /* the last one said */
	uint8_t room[256];
} rig;

static int client = -1;

static void on_work(struct vsock_mux *m)
{
	(void)m;
	rig.works++;
}

static int make_listener(struct sockaddr_un *a, socklen_t *len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	*len = sizeof(*a);
	cr_assert_eq(bind(fd, (void *)a, sizeof(sa_family_t)), 0);
	cr_assert_eq(getsockname(fd, (void *)a, len), 0);
	cr_assert_eq(listen(fd, 128), 0);
	return fd;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void settle(void)
{
	int n;

	do
		n = loop_step(&rig.loop, 0);
	while (n > 0);
	cr_assert_eq(n, 0);
}

/* The op of the mux's next packet, or 0. */
static unsigned said(void)
{
	struct iovec v = {rig.room, sizeof(rig.room)};

	settle();
	return vsock_mux_next(&rig.mux, &v, 1, &rig.p) ? rig.p.op : 0;
}

static void hear(enum vsock_op op, uint32_t src_port, uint32_t dst_port)
{
	struct vsock_pkt p = {
		.src_cid = GUEST_CID,
		.dst_cid = VSOCK_HOST_CID,
		.src_port = src_port,
		.dst_port = dst_port,
		.type = VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = 1000,
	};

	vsock_mux_recv(&rig.mux, VSOCK_PKT_OK, &p, NULL, 0);
}

/* A mux with two listeners whose guest has rung. */
static void start(void)
{
	struct vsock_config c = {.guest_cid = GUEST_CID, .nlisteners = 2};

	cr_assert_eq(loop_init(&rig.loop), 0);
	c.listener[0].fd = make_listener(&rig.addr[0], &rig.len[0]);
	c.listener[0].port = SERVICE;
	c.listener[1].fd = make_listener(&rig.addr[1], &rig.len[1]);
	c.listener[1].port = OTHER;
	cr_assert_eq(vsock_mux_init(&rig.mux, &rig.loop, &c, on_work, NULL), 0);
	hear(VSOCK_OP_REQUEST, 5, PORT_READY);
	cr_assert_eq(said(), VSOCK_OP_RST);
}

static void hang_up(void)
{
	close(client);
	client = -1;
}

static void stop(void)
{
	if (client >= 0)
		hang_up();
	vsock_mux_fini(&rig.mux);
	loop_fini(&rig.loop);
}

TestSuite(vsock_mux, .init = start, .fini = stop);

static int dial(unsigned listener)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (connect(fd, (void *)&rig.addr[listener], rig.len[listener]) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool is_closed(int fd)
{
	char c;

	return read(fd, &c, 1) == 0;
}

/* No event comes, for a moment at least. */
static bool is_idle(void)
{
	return loop_step(&rig.loop, 10) == 0;
}

Test(vsock_mux_alone, fini_copes_with_a_zeroed_one)
{
	struct vsock_mux m = {0};

	vsock_mux_fini(&m);
}

Test(vsock_mux, each_listener_has_its_guest_port)
{
	int a = dial(0), b;

	cr_assert_eq(said(), VSOCK_OP_REQUEST);
	cr_assert_eq(rig.p.dst_port, SERVICE);
	cr_assert_eq(rig.p.dst_cid, GUEST_CID);
	b = dial(1);
	cr_assert_eq(said(), VSOCK_OP_REQUEST);
	cr_assert_eq(rig.p.dst_port, OTHER);
	close(a);
	close(b);
}

Test(vsock_mux, closes_a_client_whose_request_is_not_answered)
{
	uint64_t before_ms = now_ms();

	client = dial(0);
	cr_assert_eq(said(), VSOCK_OP_REQUEST);
	vsock_mux_expire(&rig.mux, before_ms + VSOCK_REQUEST_TIMEOUT_MS - 1000);
	cr_assert_not(is_closed(client));
	vsock_mux_expire(&rig.mux, now_ms() + VSOCK_REQUEST_TIMEOUT_MS);
	cr_assert(is_closed(client));
	cr_assert_eq(said(), VSOCK_OP_RST);
}

Test(vsock_mux, the_timer_fires_by_itself)
{
	uint64_t end_ms = now_ms() + 5000;

	client = dial(0);
	cr_assert_eq(said(), VSOCK_OP_REQUEST);
	cr_assert_gt(rig.mux.timer_at_ms, end_ms);
	rig.mux.link[0].conn.deadline_ms = now_ms() + 30; /* sooner than in real life */
	vsock_mux_wake(&rig.mux, rig.mux.link[0].conn.deadline_ms);
	while (!is_closed(client) && now_ms() < end_ms)
		(void)!loop_step(&rig.loop, 5000);
	cr_assert(is_closed(client));
	cr_assert_eq(said(), VSOCK_OP_RST);
	cr_assert_eq(rig.mux.timer_at_ms, 0, "nothing left to wait for");
}

Test(vsock_mux, a_request_not_yet_said_needs_no_reset)
{
	client = dial(0);
	settle();
	vsock_mux_expire(&rig.mux, now_ms() + VSOCK_REQUEST_TIMEOUT_MS);
	cr_assert(is_closed(client));
	cr_assert_eq(said(), 0);
}

Test(vsock_mux, resets_a_flow_whose_shutdown_is_not_answered)
{
	client = dial(0);
	cr_assert_eq(said(), VSOCK_OP_REQUEST);
	hear(VSOCK_OP_RESPONSE, SERVICE, rig.p.src_port);
	uint64_t before_ms = now_ms();
	hang_up();
	cr_assert_eq(said(), VSOCK_OP_SHUTDOWN);
	vsock_mux_expire(&rig.mux, before_ms + VSOCK_SHUTDOWN_TIMEOUT_MS - 1000);
	cr_assert_eq(said(), 0);
	vsock_mux_expire(&rig.mux, now_ms() + VSOCK_SHUTDOWN_TIMEOUT_MS);
	cr_assert_eq(said(), VSOCK_OP_RST);
}

Test(vsock_mux, wakes_in_the_next_step)
{
	rig.works = 0;
	vsock_mux_wake(&rig.mux, 0);
	vsock_mux_wake(&rig.mux, 0);
	cr_assert_eq(loop_step(&rig.loop, 100), 1);
	cr_assert_eq(rig.works, 1);
	cr_assert(is_idle());
}

Test(vsock_mux, a_wake_up_loses_no_deadline)
{
	client = dial(0);
	vsock_mux_wake(&rig.mux, 0);
	cr_assert_eq(said(), VSOCK_OP_REQUEST);
	cr_assert_gt(rig.mux.timer_at_ms, now_ms());
}

Test(vsock_mux, a_slot_comes_back_with_another_port)
{
	uint32_t last = 0;

	for (int i = 0; i < 50; i++) {
		int fd = dial(0);

		cr_assert_eq(said(), VSOCK_OP_REQUEST);
		cr_assert_neq(rig.p.src_port, last);
		cr_assert_geq(rig.p.src_port, (uint32_t)VSOCK_PORT_FIRST);
		cr_assert_lt(rig.p.src_port, 1u << 31);
		last = rig.p.src_port;
		hear(VSOCK_OP_RST, SERVICE, last);
		hear(VSOCK_OP_RW, SERVICE, last); /* late: its flow is unknown now */
		cr_assert_eq(said(), VSOCK_OP_RST);
		close(fd);
	}
	cr_assert_eq(rig.mux.nslots, 1);
}

Test(vsock_mux, host_ports_stay_in_their_range_for_ever)
{
	rig.mux.link[0].uses = UINT32_MAX;
	for (int i = 0; i < 3; i++) {
		int fd = dial(0);

		cr_assert_eq(said(), VSOCK_OP_REQUEST);
		cr_assert_geq(rig.p.src_port, (uint32_t)VSOCK_PORT_FIRST);
		cr_assert_lt(rig.p.src_port, 1u << 31);
		hear(VSOCK_OP_RST, SERVICE, rig.p.src_port);
		close(fd);
	}
}

Test(vsock_mux, clients_beyond_the_limit_wait_in_the_backlog)
{
	struct rlimit lim;
	static int fd[VSOCK_CONNS_MAX + 3];
	static uint32_t port[VSOCK_CONNS_MAX];

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
	if (lim.rlim_max < 2 * VSOCK_CONNS_MAX + 100)
		cr_skip_test("needs more descriptors than this host allows");
	lim.rlim_cur = 2 * VSOCK_CONNS_MAX + 100;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);

	for (unsigned i = 0; i < countof(fd); i++) {
		fd[i] = dial(0);
		cr_assert_geq(fd[i], 0);
		if (i < VSOCK_CONNS_MAX) {
			cr_assert_eq(said(), VSOCK_OP_REQUEST);
			port[i] = rig.p.src_port;
		}
	}
	cr_assert_eq(said(), 0);
	cr_assert(is_idle(), "a full house does not spin");
	hear(VSOCK_OP_RST, SERVICE, port[500]);
	cr_assert_eq(said(), VSOCK_OP_REQUEST);
	cr_assert_eq(said(), 0);
	vsock_mux_reset(&rig.mux); /* all slots are free again */
	hear(VSOCK_OP_REQUEST, 5, PORT_READY);
	cr_assert_eq(said(), VSOCK_OP_RST);
	cr_assert_eq(said(), VSOCK_OP_REQUEST);
	cr_assert_eq(said(), VSOCK_OP_REQUEST);
	cr_assert_eq(said(), 0);
	for (unsigned i = 0; i < countof(fd); i++)
		close(fd[i]);
}

Test(vsock_mux, survives_a_host_out_of_descriptors)
{
	struct rlimit lim, low;
	int fd = dial(0), next = fcntl(0, F_DUPFD_CLOEXEC, 0);

	close(next);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
	low = lim;
	low.rlim_cur = (rlim_t)next;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	cr_assert_eq(said(), 0);
	cr_assert(is_idle(), "the listener must not spin");
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
	cr_assert_eq(said(), 0);
	vsock_mux_expire(&rig.mux, now_ms() + VSOCK_ACCEPT_RETRY_MS);
	cr_assert_eq(said(), VSOCK_OP_REQUEST);
	close(fd);
}

Test(vsock_mux, bounds_the_resets_it_owes)
{
	unsigned n = 0;

	while (vsock_mux_has_room(&rig.mux) && n < 1000)
		hear(VSOCK_OP_REQUEST, 2000 + n++, 80);
	cr_assert_eq(n, VSOCK_RSTS_MAX);
	for (unsigned i = 0; i < n; i++) {
		cr_assert_eq(said(), VSOCK_OP_RST);
		cr_assert_eq(rig.p.dst_port, 2000 + i);
		cr_assert(vsock_mux_has_room(&rig.mux));
	}
	cr_assert_eq(said(), 0);
}

Test(vsock_mux, a_dropped_packet_changes_nothing)
{
	client = dial(0);
	cr_assert_eq(said(), VSOCK_OP_REQUEST);

	struct vsock_pkt p = {
		.src_cid = 9,
		.dst_cid = VSOCK_HOST_CID,
		.src_port = SERVICE,
		.dst_port = rig.p.src_port,
		.type = VSOCK_TYPE_STREAM,
		.op = VSOCK_OP_RST,
	};
	vsock_mux_recv(&rig.mux, VSOCK_PKT_DROP, &p, NULL, 0);
	cr_assert_not(is_closed(client));
	cr_assert_eq(said(), 0);
}

Test(vsock_mux, reads_no_more_than_its_room_per_turn)
{
	char text[600];

	client = dial(0);
	memset(text, 'x', sizeof(text));
	cr_assert_eq(said(), VSOCK_OP_REQUEST);
	hear(VSOCK_OP_RESPONSE, SERVICE, rig.p.src_port);
	cr_assert_eq(write(client, text, sizeof(text)), sizeof(text));
	cr_assert_eq(said(), VSOCK_OP_RW);
	cr_assert_eq(rig.p.len, 256);
	cr_assert_eq(said(), VSOCK_OP_RW);
	cr_assert_eq(said(), VSOCK_OP_RW);
	cr_assert_eq(rig.p.len, 600 - 512);
	cr_assert_eq(said(), 0);
}

Test(vsock_mux, does_not_ask_again_after_a_short_read_but_hears_of_what_comes_later)
{
	client = dial(0);
	cr_assert_eq(said(), VSOCK_OP_REQUEST);
	hear(VSOCK_OP_RESPONSE, SERVICE, rig.p.src_port);
	cr_assert_eq(write(client, "x", 1), 1);
	cr_assert_eq(said(), VSOCK_OP_RW);
	cr_assert_not(vsock_mux_has_work(&rig.mux));
	cr_assert_eq(write(client, "y", 1), 1);
	cr_assert_eq(said(), VSOCK_OP_RW);
	cr_assert_eq(write(client, "z", 1), 1);
	hang_up(); /* bytes and end in one event */
	cr_assert_eq(said(), VSOCK_OP_RW);
	cr_assert_eq(said(), VSOCK_OP_SHUTDOWN);
}

Test(vsock_mux, sees_at_the_end_that_the_client_is_gone_before_an_event_says_so)
{
	struct iovec v = {rig.room, sizeof(rig.room)};

	client = dial(0);
	cr_assert_eq(said(), VSOCK_OP_REQUEST);
	hear(VSOCK_OP_RESPONSE, SERVICE, rig.p.src_port);
	memset(rig.room, 'x', sizeof(rig.room));
	cr_assert_eq(write(client, rig.room, sizeof(rig.room)), sizeof(rig.room));
	cr_assert_eq(said(), VSOCK_OP_RW); /* a full packet: more may be there */
	hang_up();                         /* the loop does not run any more */
	cr_assert(vsock_mux_next(&rig.mux, &v, 1, &rig.p));
	cr_assert_eq(rig.p.op, VSOCK_OP_SHUTDOWN);
	cr_assert_eq(rig.p.flags, VSOCK_SHUT_BOTH);
}
