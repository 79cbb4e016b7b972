/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-console and its sink: files with a moving front, readers that are slow, gone or odd. */
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "tests/fake/fake.h"
#include "tests/lib/fds.h"
#include "tests/lib/test.h"
#include "vmm/virtio/console.h"
#include "vmm/virtio/sink.h"

enum { RX, TX, LIVE = 0xf, NEEDS_RESET = VIRTIO_CONFIG_S_NEEDS_RESET };

static struct fake f;
static struct sink s; /* for tests of the sink alone */

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	fake_init(&f);
}

static void teardown(void)
{
	fake_fini(&f);
}

static void teardown_sink(void)
{
	sink_fini(&s);
	teardown();
}

TestSuite(console, .init = setup, .fini = teardown, .timeout = 60);
TestSuite(console_sink, .init = setup, .fini = teardown_sink, .timeout = 60);

/* snap_console.c includes this file, to run all of it on a device that is saved and restored all
 * the time. */
#ifndef MOVED
#define MOVED 0
#endif

static int out; /* of the console */

static struct virtio_dev *remake(struct fake *fk)
{
	struct err e = {0};
	struct virtio_dev *d = console_new(&fk->loop, out, &e);

	cr_assert_not_null(d, "%s", e.msg);
	return d;
}

static void make(int fd)
{
	out = fd;
	fake_attach(&f, remake(&f));
	f.remake = remake;
	f.moving = MOVED;
}

static void start(int fd)
{
	make(fd);
	cr_assert_eq(fake_start(&f, 0), LIVE);
}

static int temp_file(void)
{
	int fd = memfd_create("console", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

static void say_n(const void *text, size_t n)
{
	fake_add(&f, TX, &(struct fake_seg){fake_bytes(&f, text, n), (uint32_t)n, false}, 1);
}

static void say(const char *text)
{
	say_n(text, strlen(text));
}

static unsigned answers(void)
{
	uint32_t head, len;
	unsigned n = 0;

	for (; fake_used(&f, TX, &head, &len); n++)
		cr_assert_eq(len, 0, "nothing was written into guest memory");
	return n;
}

static void go(void)
{
	fake_kick(&f, TX);
	fake_run(&f);
}

/* What a file or pipe holds now, as text. */
static char text[4 << 20];

static size_t slurp(int fd)
{
	size_t n = 0;
	ssize_t r;

	while (n < sizeof(text) - 1 && (r = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)r;
	text[n] = 0;
	return n;
}

/* ---- the device ---- */

Test(console, asks_the_guest_for_nothing_but_two_small_queues)
{
	start(temp_file());
	cr_assert_eq(fake_read(&f, VIRTIO_MMIO_DEVICE_ID), 3);
	cr_assert_eq(f.features >> 24 << 24, f.features, "no feature of the console itself");
	cr_assert_leq(f.q[RX].size, 2);
}

Test(console, output_arrives_in_order_across_segments_and_chains)
{
	int fd = temp_file();

	start(fd);
	struct fake_seg seg[] = {{fake_bytes(&f, "hello", 5), 5, false},
				 {fake_bytes(&f, ", ", 2), 2, false}};
	fake_add(&f, TX, seg, 2);
	say("world");
	say("\n");
	go();
	cr_assert_eq(answers(), 3);
	slurp(fd);
	cr_assert_str_eq(text, "hello, world\n");
}

Test(console, starts_behind_what_the_file_holds)
{
	int fd = temp_file();

	cr_assert_eq(write(fd, "before ", 7), 7);
	start(fd);
	say("after");
	go();
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	slurp(fd);
	cr_assert_str_eq(text, "before after");
}

Test(console, what_was_queued_before_driver_ok_is_not_forgotten)
{
	int fd = temp_file();
	struct virtio_dev *d = console_new(&f.loop, fd, NULL);

	fake_attach(&f, d);
	fake_negotiate(&f, UINT64_C(1) << VIRTIO_F_VERSION_1);
	fake_setup_queue(&f, TX, 16);
	say("early");
	fake_write(&f, VIRTIO_MMIO_STATUS, LIVE);
	fake_run(&f);
	cr_assert_eq(answers(), 1);
}

Test(console, the_receive_queue_is_never_answered)
{
	uint32_t head, len;

	start(temp_file());
	fake_add(&f, RX, &(struct fake_seg){fake_alloc(&f, 4096, 1), 4096, true}, 1);
	fake_kick(&f, RX);
	fake_run(&f);
	cr_assert_not(fake_used(&f, RX, &head, &len));
	cr_assert_eq(fake_read(&f, VIRTIO_MMIO_STATUS), LIVE);
}

Test(console, a_chain_without_output_comes_back)
{
	start(temp_file());
	fake_add(&f, TX, &(struct fake_seg){fake_alloc(&f, 8, 1), 8, true}, 1);
	go();
	cr_assert_eq(answers(), 1);
}

Test(console, an_illegal_ring_breaks_it_until_reset)
{
	int fd = temp_file();

	start(fd);
	fake_add(&f, TX, &(struct fake_seg){{0}, 8, false}, 1);
	go();
	cr_assert_eq(fake_read(&f, VIRTIO_MMIO_STATUS), LIVE | NEEDS_RESET);
	console_drain(f.dev); /* harmless now */
	cr_assert_eq(fake_start(&f, 0), LIVE);
	say("again");
	go();
	cr_assert_eq(answers(), 1);
}

/* One chain of n bytes through a table of its own, all of it the same buffer. */
static void say_much(uint32_t n)
{
	enum { PART = 64 << 10 };
	static gpa_t buf;
	struct fake_seg seg[VQ_SEGS];

	if (!buf.raw) {
		buf = fake_alloc(&f, PART, 1);
		memset(fake_ptr(&f, buf), 'x', PART);
	}
	for (unsigned i = 0; i < n / PART; i++)
		seg[i] = (struct fake_seg){buf, PART, false};
	fake_expose(&f, TX, fake_chain_indirect(&f, TX, seg, n / PART));
}

#if !MOVED /* a restore is a step, too */
Test(console, one_step_takes_no_more_than_its_budget)
{
	int fd = temp_file();

	start(fd);
	say_much(4 << 20);
	fake_kick(&f, TX);
	cr_assert_eq(loop_step(&f.loop, 0), 1);
	cr_assert_eq(file_size(fd), VIRTIO_BUDGET_BYTES);
	cr_assert_eq(answers(), 0);
	fake_run(&f);
	cr_assert_eq(file_size(fd), 4 << 20);
	cr_assert_eq(answers(), 1);
}
#endif

#if !MOVED /* the transport knows of no reset and begins anew */
Test(console, reset_in_the_middle_of_a_chain_forgets_it)
{
	int fd = temp_file();

	start(fd);
	say_much(4 << 20);
	fake_kick(&f, TX);
	cr_assert_eq(loop_step(&f.loop, 0), 1);
	f.dev->cls->ops->reset(f.dev); /* by hand: through the register the chain would get ahead */
	cr_assert_eq(fake_start(&f, 0), LIVE);
	off_t was = file_size(fd);
	cr_assert_eq(was, VIRTIO_BUDGET_BYTES);
	say("tail");
	go();
	cr_assert_eq(answers(), 1);
	cr_assert_eq(file_size(fd), was + 4);
}
#endif

/* The chain under way is let go of, and nothing of it is output later. */
Test(console, a_stopped_queue_is_not_looked_at_again)
{
	int fd = temp_file();

	start(fd);
	say_much(4 << 20);
	fake_kick(&f, TX);
	cr_assert_geq(loop_step(&f.loop, 0), 0);
	fake_write(&f, VIRTIO_MMIO_QUEUE_SEL, TX);
	fake_write(&f, VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(fake_read(&f, VIRTIO_MMIO_QUEUE_READY), 0);
	off_t was = file_size(fd);
	(void)answers();
	say("tail");
	go();
	console_drain(f.dev);
	cr_assert_eq(answers(), 0);
	cr_assert_eq(file_size(fd), was);
	f.next_free = 0;
	cr_assert_eq(fake_start(&f, 0), LIVE);
	say("tail");
	go();
	cr_assert_eq(answers(), 1);
}

Test(console, the_other_queue_of_a_stopped_one_goes_on)
{
	start(temp_file());
	fake_write(&f, VIRTIO_MMIO_QUEUE_SEL, RX);
	fake_write(&f, VIRTIO_MMIO_QUEUE_READY, 0);
	say("tail");
	go();
	cr_assert_eq(answers(), 1);
}

Test(console, drain_takes_what_was_never_kicked)
{
	int fd = temp_file();

	start(fd);
	say("Kernel panic");
	say(" - not syncing\n");
	console_drain(f.dev);
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	slurp(fd);
	cr_assert_str_eq(text, "Kernel panic - not syncing\n");
	cr_assert_eq(answers(), 2);
}

Test(console, drain_before_the_driver_is_up_or_after_it_left_is_fine)
{
	struct virtio_dev *d = console_new(&f.loop, temp_file(), NULL);

	fake_attach(&f, d);
	console_drain(d);
	fake_start(&f, 0);
	fake_reset(&f);
	console_drain(d);
}

Test(console, drain_ends_with_a_guest_that_never_does)
{
	start(temp_file());
	for (int i = 0; i < 16; i++)
		say_much(4 << 20);
	console_drain(f.dev); /* 64 MiB are queued: it stops long before */
	cr_assert_lt(answers(), 16);
}

/* ---- files ---- */

/* Lines of 64 bytes, each holding its own offset, which is where the text stands if none is
 * lost. */
static void fill_from(size_t at, size_t n)
{
	char line[65];

	for (size_t end = at + n; at < end; at += 64) {
		(void)snprintf(line, sizeof(line), "%063zu\n", at);
		sink_write(&s, line, 64);
	}
}

static void fill(size_t n)
{
	fill_from(0, n);
}

Test(console_sink, a_file_keeps_its_newest_megabyte_at_its_offsets)
{
	int fd = temp_file();
	struct stat st;
	char line[65] = "";
	enum { N = 5 << 20 };

	cr_assert_eq(sink_init(&s, &f.loop, fd, NULL), 0);
	fill(N);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_size, N, "offsets are absolute");
	cr_assert_leq(st.st_blocks * 512, SINK_KEEP_BYTES + SINK_SLACK_BYTES + 8192);
	for (off_t at = N - SINK_KEEP_BYTES; at < N; at += 64) {
		cr_assert_eq(pread(fd, line, 64, at), 64);
		cr_assert_eq(strtoul(line, NULL, 10), (unsigned long)at);
	}
	cr_assert_eq(pread(fd, line, 64, 0), 64);
	cr_assert_eq(line[0], 0, "the front is a hole");
}

Test(console_sink, a_file_just_below_the_limit_is_whole)
{
	int fd = temp_file();
	char line[65] = "";
	enum { N = SINK_KEEP_BYTES + SINK_SLACK_BYTES };

	cr_assert_eq(sink_init(&s, &f.loop, fd, NULL), 0);
	fill(N - 64);
	cr_assert_eq(pread(fd, line, 64, 64), 64);
	cr_assert_eq(strtoul(line, NULL, 10), 64);
	fill(64);
	cr_assert_eq(pread(fd, line, 64, 64), 64);
	cr_assert_eq(line[0], 0);
	cr_assert_eq(pread(fd, line, 64, SINK_SLACK_BYTES), 64);
	cr_assert_eq(strtoul(line, NULL, 10), SINK_SLACK_BYTES);
}

Test(console_sink, a_large_old_file_is_trimmed_at_once)
{
	int fd = temp_file();
	struct stat st;
	char *b = calloc(1, 3 << 20);

	memset(b, 'o', 3 << 20);
	cr_assert_eq(write(fd, b, 3 << 20), 3 << 20);
	cr_assert_eq(sink_init(&s, &f.loop, fd, NULL), 0);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_size, 3 << 20);
	cr_assert_leq(st.st_blocks * 512, SINK_KEEP_BYTES + 8192);
	free(b);
}

Test(console_sink, a_full_disk_costs_output_and_nothing_else)
{
	int fd = memfd_create("console", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert_eq(sink_init(&s, &f.loop, fd, NULL), 0);
	sink_write(&s, "abc", 3);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0); /* as full as it gets, for good */
	sink_write(&s, "defg", 4);
	sink_write(&s, "hi", 2);
	cr_assert_eq(s.lost, 6);
	slurp(fd);
	cr_assert_str_eq(text, "abc");
}

/* ---- readers ---- */

static int pipe_end[2];

static void small_pipe(void)
{
	cr_assert_eq(pipe2(pipe_end, O_CLOEXEC), 0);
	cr_assert_geq(fcntl(pipe_end[1], F_SETPIPE_SZ, 4096), 0);
	cr_assert_eq(fcntl(pipe_end[0], F_SETFL, O_NONBLOCK), 0);
}

static void start_small_pipe(void)
{
	small_pipe();
	cr_assert_eq(sink_init(&s, &f.loop, pipe_end[1], NULL), 0);
}

/* Reads the pipe while the loop runs, until there is no more; text then holds n bytes and these. */
static size_t read_more(size_t n)
{
	ssize_t r;

	do {
		fake_run(&f);
		r = read(pipe_end[0], text + n, sizeof(text) - 1 - n);
		if (r > 0)
			n += (size_t)r;
	} while (r > 0);
	text[n] = 0;
	return n;
}

Test(console_sink, a_pipe_gets_everything_while_it_is_read)
{
	start_small_pipe();
	sink_write(&s, "abc", 3);
	sink_write(&s, "def", 3);
	slurp(pipe_end[0]);
	cr_assert_str_eq(text, "abcdef");
}

Test(console_sink, the_pipe_of_others_stays_as_it_was)
{
	small_pipe();
	int own = sink_own(pipe_end[1]);
	cr_assert_neq(own, pipe_end[1]);
	cr_assert_eq(sink_init(&s, &f.loop, own, NULL), 0);
	cr_assert_not(fcntl(pipe_end[1], F_GETFL) & O_NONBLOCK);
	close(own);
}

Test(console_sink, a_full_pipe_does_not_block_and_nothing_is_lost_up_to_the_queue)
{
	size_t n;

	start_small_pipe();
	fill(4096 + SINK_QUEUE_BYTES);
	cr_assert_eq(s.lost, 0);
	n = read_more(0);
	cr_assert_eq(n, 4096 + SINK_QUEUE_BYTES);
	for (size_t at = 0; at < n; at += 64)
		cr_assert_eq(strtoul(text + at, NULL, 10), at);
}

Test(console_sink, order_holds_when_the_queue_wraps)
{
	enum { PART = 40 << 10 };
	size_t n = 0;

	start_small_pipe();
	for (size_t at = 0; at < 5 * PART; at += PART) {
		fill_from(at, PART);
		while (s.used > 10 << 10) {
			n += (size_t)read(pipe_end[0], text + n, 4096);
			fake_run(&f);
		}
	}
	n = read_more(n);
	cr_assert_eq(s.lost, 0);
	cr_assert_eq(n, 5 * PART);
	for (size_t at = 0; at < n; at += 64)
		cr_assert_eq(strtoul(text + at, NULL, 10), at);
}

Test(console_sink, what_is_dropped_is_told_in_its_place_with_its_number)
{
	size_t n;

	start_small_pipe();
	fill(4096 + SINK_QUEUE_BYTES);
	sink_write(&s, "lost", 4);
	sink_write(&s, "lost too", 8);
	cr_assert_eq(s.lost, 12);
	n = read_more(0);
	sink_write(&s, "after", 5);
	read_more(n);
	cr_assert_str_eq(text + 4096 + SINK_QUEUE_BYTES,
			 "\r\n[conker: 12 bytes of console output dropped]\r\nafter");
	cr_assert_eq(s.lost, 12);
}

Test(console, the_guest_goes_on_when_nobody_reads)
{
	small_pipe();
	start(pipe_end[1]);
	for (int i = 0; i < 50; i++) {
		say_much(64 << 10);
		go();
		cr_assert_eq(answers(), 1);
	}
}

Test(console_sink, a_reader_that_left_is_forgotten)
{
	start_small_pipe();
	fill(8192);
	cr_assert_geq(s.src.fd, 0, "it is being watched");
	close(pipe_end[0]);
	fake_run(&f); /* ends: the event of a dead pipe must not repeat for ever */
	cr_assert_eq(s.kind, SINK_GONE);
	cr_assert_lt(s.src.fd, 0);
	sink_write(&s, "abc", 3);
	sink_drain(&s, 10000);
}

Test(console_sink, a_socket_works_like_a_pipe)
{
	int p[2];
	size_t n = 0;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	cr_assert_eq(sink_init(&s, &f.loop, p[1], NULL), 0);
	cr_assert_not(fcntl(p[1], F_GETFL) & O_NONBLOCK);
	fill(32 << 10);
	while (n < 32 << 10) {
		fake_run(&f);
		ssize_t r = recv(p[0], text + n, sizeof(text) - n, MSG_DONTWAIT);
		cr_assert_gt(r, 0);
		n += (size_t)r;
	}
	for (size_t at = 0; at < n; at += 64)
		cr_assert_eq(strtoul(text + at, NULL, 10), at);
	fill(1 << 20); /* does not block */
	cr_assert_gt(s.lost, 0);
	close(p[0]);
	fake_run(&f);
	cr_assert_eq(s.kind, SINK_GONE);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

Test(console_sink, drain_waits_for_a_slow_reader_only_so_long)
{
	start_small_pipe();
	fill(8192);
	int64_t t = now_ms();
	sink_drain(&s, 100);
	t = now_ms() - t;
	cr_assert_geq(t, 95);
	cr_assert_lt(t, 15000);
}

Test(console, the_devices_drain_waits_for_its_reader)
{
	small_pipe();
	start(pipe_end[1]);
	say_much(64 << 10);
	int64_t t = now_ms();
	console_drain(f.dev);
	cr_assert_geq(now_ms() - t, CONSOLE_DRAIN_MS - 5);
}

Test(console_sink, dev_null_takes_everything)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	cr_assert_eq(sink_init(&s, &f.loop, fd, NULL), 0);
	cr_assert_eq(s.kind, SINK_DEVICE);
	fill(1 << 20);
	cr_assert_eq(s.lost, 0);
}

Test(console_sink, a_device_that_refuses_is_forgotten)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	cr_assert_eq(sink_init(&s, &f.loop, fd, NULL), 0);
	sink_write(&s, "abc", 3);
	cr_assert_eq(s.lost, 3);
	cr_assert_eq(s.kind, SINK_GONE);
}

Test(console, a_bad_descriptor_is_refused)
{
	struct err e = {0};

	cr_assert_null(console_new(&f.loop, -1, &e));
	cr_assert_eq(e.code, EBADF);
	cr_assert_not_null(strstr(e.msg, "console output"));
	sink_fini(&s); /* zeroed */
}
