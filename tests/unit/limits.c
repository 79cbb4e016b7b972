/* SPDX-License-Identifier: Apache-2.0 */
/* Devices with limits: what is beyond waits, in order, complete, and without keeping the loop
 * busy. */
#include <linux/virtio_blk.h>
#include <sys/mman.h>

#include "tests/fake/vguest.h"
#include "tests/lib/test.h"
#include "tests/lib/vsock_fixture.h"
#include "util/clock.h"
#include "vmm/virtio/blk.h"
#include "vmm/virtio/console.h"
#include "vmm/virtio/vsock.h"

enum { LIVE = 0xf, TX = 1, KIB = 1024, MS = 1000000, SECTOR = 512 };

static struct fake f;
static int file;

static void setup(void)
{
	fake_init(&f);
	file = memfd_create("limits", MFD_CLOEXEC);
	cr_assert_geq(file, 0);
}

static void teardown(void)
{
	fake_fini(&f);
	close(file);
}

/* Since when the bucket has been full, or less so; chains that have been answered. */
static uint64_t start_ns;
static unsigned taken;

static void begin_time(void)
{
	start_ns = clock_now_ns();
	taken = 0;
}

static uint64_t passed_ms(void)
{
	return (clock_now_ns() - start_ns) / MS;
}

/* Asked behind a look at what must wait so long: on a machine that stood still meanwhile it need
 * not any more. */
static bool late(uint64_t ms)
{
	return passed_ms() >= ms;
}

/* Until queue q has answered n chains in all. */
static void await_answers(unsigned q, unsigned n)
{
	uint32_t head, len;

	for (; taken < n; taken++) {
		cr_assert(fake_wait_used(&f, q, 20000), "an answer never came");
		cr_assert(fake_used(&f, q, &head, &len));
	}
}

static unsigned answers(unsigned q)
{
	uint32_t head, len;
	unsigned n = 0;

	while (fake_used(&f, q, &head, &len))
		n++;
	taken += n;
	return n;
}

/* The loop does not turn, whatever the guest says, until the wait is over: due_ms after the
 * beginning. */
static void assert_sleeps(unsigned q, int ms, uint64_t due_ms)
{
	fake_run(&f);
	(void)answers(q);
	int turns = loop_step(&f.loop, ms);
	cr_assert(turns == 0 || late(due_ms), "the loop is busy while it waits");
	fake_kick(&f, q);
	fake_run(&f);
	cr_assert(answers(q) == 0 || late(due_ms));
}

/* ---- console ---- */

TestSuite(limits_console, .init = setup, .fini = teardown, .timeout = 60);

static struct virtio_dev *start_console(uint64_t bytes_per_s, uint64_t ops_per_s)
{
	struct err e = {0};
	struct virtio_dev *d = console_new(&f.loop, file, &e);

	cr_assert_not_null(d, "%s", e.msg);
	console_limit(d, &(struct limit){bytes_per_s, ops_per_s});
	fake_attach(&f, d);
	begin_time();
	cr_assert_eq(fake_start(&f, 0), LIVE);
	return d;
}

static void say(const char *text)
{
	uint32_t n = (uint32_t)strlen(text);

	fake_add(&f, TX, &(struct fake_seg){fake_bytes(&f, text, n), n, false}, 1);
}

static const char *shown(void)
{
	static char text[64 * KIB];
	ssize_t n = pread(file, text, sizeof(text) - 1, 0);

	cr_assert_geq(n, 0);
	text[n] = 0;
	return text;
}

Test(limits_console, operations_beyond_it_wait_and_arrive_in_order)
{
	start_console(0, 4);
	for (int i = 0; i < 6; i++)
		say((const char *[]){"a", "b", "c", "d", "e", "f"}[i]);
	fake_kick(&f, TX);
	fake_run(&f);
	cr_assert(answers(TX) == 4 || late(240));
	assert_sleeps(TX, 20, 240);
	cr_assert(strcmp(shown(), "abcd") == 0 || late(240));
	await_answers(TX, 6);
	cr_assert(late(450), "%lu ms", (unsigned long)passed_ms());
	cr_assert_str_eq(shown(), "abcdef");
	cr_assert_leq(loop_step(&f.loop, 400), 1, "one look whether there is more");
	cr_assert_eq(loop_step(&f.loop, 300), 0, "then nothing is armed");
}

Test(limits_console, a_buffer_larger_than_the_limit_passes_and_is_paid_for_later)
{
	static char big[3000];

	start_console(2000, 0);
	memset(big, 'x', sizeof(big) - 1);
	say(big);
	say("end");
	fake_kick(&f, TX);
	fake_run(&f);
	cr_assert(answers(TX) == 1 || late(450));
	assert_sleeps(TX, 50, 450);
	await_answers(TX, 2);
	cr_assert(late(450), "%lu ms", (unsigned long)passed_ms());
	cr_assert_eq(strlen(shown()), sizeof(big) - 1 + 3);
	cr_assert_str_eq(shown() + sizeof(big) - 1, "end");
}

Test(limits_console, reset_does_not_fill_the_bucket)
{
	start_console(0, 2);
	say("1");
	say("2");
	say("3");
	fake_kick(&f, TX);
	fake_run(&f);
	cr_assert(answers(TX) == 2 || late(450));
	fake_start(&f, 0);
	bool third = late(450);
	say("4");
	fake_kick(&f, TX);
	fake_run(&f);
	unsigned n = answers(TX);
	cr_assert(n == 0 || late(450));
	await_answers(TX, taken - n + 1);
	cr_assert(strcmp(shown(), "124") == 0 || (third && strcmp(shown(), "1234") == 0));
	cr_assert(late(450));
}

Test(limits_console, last_words_have_none)
{
	struct virtio_dev *d = start_console(1, 1);

	say("why ");
	say("it ");
	say("died");
	console_drain(d);
	cr_assert_str_eq(shown(), "why it died");
}

Test(limits_console, none_arms_nothing)
{
	start_console(0, 0);
	for (int i = 0; i < 1000; i++) {
		say("x");
		fake_kick(&f, TX);
		fake_run(&f);
	}
	cr_assert_eq(answers(TX), 1000);
	cr_assert_eq(loop_step(&f.loop, 50), 0);
}

/* ---- disk ---- */

static struct disk_worker *worker;

static void setup_disk(void)
{
	struct err e = {0};

	setup();
	worker = disk_worker_new(&f.loop, NULL, &e);
	cr_assert_not_null(worker);
	cr_assert_eq(ftruncate(file, 1 << 20), 0);
}

static void teardown_disk(void)
{
	virtio_port_free(f.port);
	f.port = NULL;
	disk_worker_free(worker);
	teardown();
}

TestSuite(limits_disk, .init = setup_disk, .fini = teardown_disk, .timeout = 60);

static void start_disk(uint64_t bytes_per_s, uint64_t ops_per_s)
{
	struct err e = {0};
	struct virtio_dev *d = blk_new(worker, file, 0, &e);

	cr_assert_not_null(d, "%s", e.msg);
	blk_limit(d, &(struct limit){bytes_per_s, ops_per_s});
	fake_attach(&f, d);
	begin_time();
	cr_assert_eq(fake_start(&f, 0), LIVE);
}

static void request(uint32_t type, uint32_t data_bytes, uint8_t fill)
{
	struct virtio_blk_outhdr h = {.type = type};
	gpa_t data = fake_alloc(&f, data_bytes, 8);
	struct fake_seg s[] = {
		{fake_bytes(&f, &h, sizeof(h)), sizeof(h), false},
		{data, data_bytes, type == VIRTIO_BLK_T_IN},
		{fake_alloc(&f, 1, 1), 1, true},
	};

	memset(fake_ptr(&f, data), fill, data_bytes);
	fake_add(&f, 0, s, 3);
}

Test(limits_disk, bytes_beyond_it_wait_in_the_ring)
{
	uint8_t first;

	start_disk(16 * KIB, 0);
	request(VIRTIO_BLK_T_OUT, 24 * KIB, 1);
	request(VIRTIO_BLK_T_OUT, 4 * KIB, 2);
	fake_kick(&f, 0);
	await_answers(0, 1);
	assert_sleeps(0, 50, 450);
	cr_assert_eq(pread(file, &first, 1, 0), 1);
	cr_assert(first == 1 || late(450));
	await_answers(0, 2);
	cr_assert(late(450), "%lu ms", (unsigned long)passed_ms());
	cr_assert_eq(pread(file, &first, 1, 0), 1);
	cr_assert_eq(first, 2);
}

Test(limits_disk, completions_do_not_bring_more_than_the_limit)
{
	start_disk(0, 10);
	for (int i = 0; i < 15; i++)
		request(VIRTIO_BLK_T_IN, SECTOR, 0);
	fake_kick(&f, 0);
	await_answers(0, 10);
	assert_sleeps(0, 20, 90);
	await_answers(0, 15);
	cr_assert(late(450), "%lu ms", (unsigned long)passed_ms());
}

Test(limits_disk, writing_zeroes_costs_the_range)
{
	struct virtio_blk_outhdr h = {.type = VIRTIO_BLK_T_WRITE_ZEROES};
	struct virtio_blk_discard_write_zeroes r = {.num_sectors = 64 * KIB / SECTOR};
	struct fake_seg s[] = {
		{fake_bytes(&f, &h, sizeof(h)), sizeof(h), false},
		{fake_bytes(&f, &r, sizeof(r)), sizeof(r), false},
		{fake_alloc(&f, 1, 1), 1, true},
	};

	start_disk(32 * KIB, 0);
	fake_add(&f, 0, s, 3);
	request(VIRTIO_BLK_T_IN, SECTOR, 0);
	fake_kick(&f, 0);
	await_answers(0, 1);
	assert_sleeps(0, 50, 900);
	await_answers(0, 2);
	cr_assert(late(900), "%lu ms", (unsigned long)passed_ms());
}

/* ---- vsock ---- */

TestSuite(limits_vsock, .init = open_stream, .fini = stop_guest, .timeout = 60);

static void limit_vsock(uint64_t bytes_per_s, uint64_t ops_per_s)
{
	vsock_limit(g->f.dev, &(struct limit){bytes_per_s, ops_per_s});
	begin_time();
}

/* Reads n bytes at the client while the loop turns. */
static void read_all(void *buf, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = vguest_client_read(client, (uint8_t *)buf + got, n - got);

		if (r > 0)
			got += (size_t)r;
		else
			cr_assert_geq(loop_step(&g->f.loop, 10), 0);
		cr_assert_not(late(20000));
	}
}

Test(limits_vsock, the_guests_bytes_beyond_it_wait_in_order)
{
	char buf[16] = "";

	limit_vsock(4, 0);
	vguest_send_data(g, port, "abcdef", 6);
	vguest_send_data(g, port, "gh", 2);
	ssize_t n = vguest_client_read(client, buf, sizeof(buf));
	cr_assert(n == 6 || (n == 8 && late(450)), "at once, on credit");
	cr_assert_leq(loop_step(&g->f.loop, 50), 1, "the interrupt for returned buffers");
	cr_assert(loop_step(&g->f.loop, 50) == 0 || late(450), "no spinning");
	read_all(buf + n, 8 - (size_t)n);
	cr_assert(late(450), "%lu ms", (unsigned long)passed_ms());
	cr_assert_eq(memcmp(buf, "abcdefgh", 8), 0);
}

Test(limits_vsock, the_hosts_bytes_beyond_it_wait_in_its_socket)
{
	limit_vsock(4, 0);
	cr_assert_eq(write(client, "abcdef", 6), 6);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
	cr_assert_eq(g->p.len, 6);
	cr_assert_eq(write(client, "gh", 2), 2);
	unsigned op = vguest_recv(g);
	cr_assert(op == 0 || late(450));
	for (; op == 0; op = vguest_recv(g))
		cr_assert_geq(loop_step(&g->f.loop, 1000), 0);
	cr_assert(late(450), "%lu ms", (unsigned long)passed_ms());
	cr_assert_eq(g->p.len, 2);
	cr_assert_eq(memcmp(g->data, "gh", 2), 0);
}

Test(limits_vsock, a_flood_from_the_guest_does_not_hold_up_what_the_host_says)
{
	limit_vsock(1000, 0);
	for (int i = 0; i < 3; i++)
		vguest_send_data(g, port, NULL, 4 * KIB); /* seconds of debt */
	cr_assert_eq(write(client, "still here", 10), 10);
	cr_assert_eq(vguest_recv(g), VSOCK_OP_RW);
	cr_assert_eq(g->p.len, 10);
	hang_up();
	cr_assert_eq(vguest_recv(g), VSOCK_OP_SHUTDOWN);
}

Test(limits_vsock, a_flood_from_the_host_does_not_hold_up_what_the_guest_says)
{
	char buf[4];

	limit_vsock(1000, 0);
	cr_assert_eq(vguest_client_fill(client, 16 * KIB), 16 * KIB);
	while (vguest_recv(g))
		;
	vguest_send_data(g, port, "ok", 2);
	cr_assert_eq(vguest_client_read(client, buf, sizeof(buf)), 2);
}

Test(limits_vsock, packets_without_bytes_count_too)
{
	limit_vsock(0, 5);
	for (int i = 0; i < 5; i++)
		vguest_send_credit(g, port, 1 << 20, 0);
	vguest_send_data(g, port, "x", 1);
	char c;
	ssize_t n = vguest_client_read(client, &c, 1);
	cr_assert(n < 0 || late(180));
	if (n < 0)
		read_all(&c, 1);
	cr_assert(late(180), "%lu ms", (unsigned long)passed_ms());
}

Test(limits_vsock, large_packets_are_paid_by_their_bytes_alone)
{
	static uint8_t buf[8 * KIB];

	limit_vsock(0, 2);
	for (int i = 0; i < 8; i++)
		vguest_send_data(g, port, NULL, KIB);
	cr_assert_eq(vguest_client_read(client, buf, sizeof(buf)), sizeof(buf));
}

Test(limits_vsock, what_a_guest_had_queued_when_it_stopped_has_none)
{
	char buf[8];

	limit_vsock(1, 0);
	vguest_send_data(g, port, "last", 4);
	vguest_send_data(g, port, "word", 4);
	vsock_drain(g->f.dev);
	fake_run(&g->f);
	cr_assert_eq(vguest_client_read(client, buf, sizeof(buf)), 8);
	cr_assert_eq(memcmp(buf, "lastword", 8), 0);
}
