/* SPDX-License-Identifier: Apache-2.0 */
/* What console.c says of a console, of one that is saved, through the bytes of a state file, and
 * restored into a new one, before each register access of the driver and after each step of the
 * loop. */
#define MOVED 1
#include "tests/unit/console.c"

#include "vmm/virtio/state.h"

TestSuite(snap_console, .init = setup, .fini = teardown, .timeout = 60);

/* Text of n bytes that tells any two places apart; a chain of n / PART segments. */
static uint8_t *much(size_t n)
{
	uint8_t *p = malloc(n);

	for (size_t i = 0; i < n / 4; i++)
		memcpy(p + 4 * i, &(uint32_t){(uint32_t)i * 2654435761u}, 4);
	return p;
}

/* A file reads as was and nothing else. */
static void assert_file(int fd, const uint8_t *was, size_t n)
{
	static uint8_t now[1 << 20];

	cr_assert_eq(file_size(fd), (off_t)n);
	cr_assert_eq(pread(fd, now, sizeof(now), 0), (ssize_t)n);
	cr_assert_eq(memcmp(now, was, n), 0);
}

Test(snap_console, a_chain_goes_on_where_it_stopped)
{
	enum { N = 900 << 10 };
	uint8_t *data = much(N);
	int fd = temp_file();

	start(fd);
	f.moving = false;
	say_n(data, N);
	fake_kick(&f, TX);
	cr_assert_eq(loop_step(&f.loop, 0), 1);
	cr_assert_eq(file_size(fd), VIRTIO_BUDGET_BYTES);
	fake_move(&f); /* serves once */
	cr_assert_eq(file_size(fd), 2 * VIRTIO_BUDGET_BYTES);
	cr_assert_eq(answers(), 0);
	f.moving = true;
	fake_run(&f);
	assert_file(fd, data, N);
	cr_assert_eq(answers(), 1);
	free(data);
}

Test(snap_console, two_snapshots_of_one_moment_are_one)
{
	enum { N = 600 << 10 };
	uint8_t *data = much(N);
	struct port_state *s1 = malloc(sizeof(*s1));
	int fd = temp_file();

	start(fd);
	f.moving = false;
	say_n(data, N);
	fake_kick(&f, TX);
	cr_assert_eq(loop_step(&f.loop, 0), 1);
	fake_save(&f, s1);
	for (int i = 0; i < 3; i++) { /* restored, saved before it did anything */
		cr_assert_eq(s1->console.sent_bytes, VIRTIO_BUDGET_BYTES);
		virtio_port_free(f.port);
		fake_attach(&f, remake(&f));
		cr_assert_eq(virtio_port_restore(f.port, s1, NULL), 0);
		fake_save(&f, s1);
	}
	virtio_port_release(f.port);
	fake_run(&f);
	assert_file(fd, data, N);
	free(data);
	free(s1);
}

Test(snap_console, a_chain_that_shrank_meanwhile_ends)
{
	enum { N = 600 << 10 };
	int fd = temp_file();
	uint8_t *data = much(N);

	start(fd);
	f.moving = false;
	say_n(data, N);
	fake_kick(&f, TX);
	cr_assert_eq(loop_step(&f.loop, 0), 1);
	fake_desc(&f, TX, 0)->len =
		100; /* of the guest that goes on, or of whoever changed the file */
	fake_move(&f);
	fake_run(&f);
	assert_file(fd, data, VIRTIO_BUDGET_BYTES);
	cr_assert_eq(answers(), 1);
	say_n("x", 1);
	go();
	cr_assert_eq(answers(), 1);
	free(data);
}

Test(snap_console, what_a_slow_reader_did_not_take_comes_from_the_next)
{
	enum { N = SINK_QUEUE_BYTES };
	uint8_t *data = much(N);
	static uint8_t got[4 << 20];
	int p[2];
	size_t full = 0, n = 0;
	ssize_t r;

	cr_assert_eq(pipe(p), 0);
	start(p[1]);
	f.moving = false;
	while (write(p[1], got, 4096) > 0) /* zeroes until it is full: it does not block */
		full += 4096;
	for (size_t at = 0; at < N; at += 8192) {
		say_n(data + at, 8192);
		go();
	}
	cr_assert_eq(answers(), N / 8192, "all of it is in the queue");
	fake_move(&f);
	fake_move(&f);
	while ((r = read(p[0], got + n, 5000)) >
	       0) { /* never empties it: the last read ends this */
		n += (size_t)r;
		fake_run(&f);
		if (n >= full + N)
			break;
	}
	cr_assert_eq(n, full + N);
	cr_assert_eq(memcmp(got + full, data, N), 0);
	close(p[0]);
	close(p[1]);
	free(data);
}

Test(snap_console, what_was_dropped_is_told_once)
{
	uint8_t *data = much(1 << 20);
	static char got[4 << 20];
	int p[2];
	size_t n = 0;
	ssize_t r;

	cr_assert_eq(pipe2(p, O_NONBLOCK), 0);
	start(p[1]);
	f.moving = false;
	memset(data, 'x', 1 << 20);
	say_n(data, 1 << 20);
	go();
	cr_assert_eq(answers(), 1);
	fake_move(&f);
	fake_move(&f);
	do {
		r = read(p[0], got + n, sizeof(got) - 1 - n);
		n += r > 0 ? (size_t)r : 0;
		fake_run(&f);
	} while (r > 0);
	got[n] = 0;
	char *line = strstr(got, "bytes of console output dropped]");
	cr_assert_not_null(line);
	cr_assert_null(strstr(strchr(line, ']') + 1, "dropped]"));
	while (*line != ':')
		line--;
	unsigned long dropped = strtoul(line + 1, NULL, 10), kept = 0;
	for (size_t i = 0; i < n; i++)
		kept += got[i] == 'x';
	cr_assert_eq(kept + dropped, 1 << 20);
	close(p[0]);
	close(p[1]);
	free(data);
}

Test(snap_console, more_than_it_keeps_is_refused)
{
	struct port_state *s1 = malloc(sizeof(*s1));
	struct err e = {0};

	start(temp_file());
	fake_save(&f, s1);
	s1->console.unwritten_bytes = SINK_QUEUE_BYTES + 1;
	virtio_port_free(f.port);
	fake_attach(&f, remake(&f));
	cr_assert_eq(virtio_port_restore(f.port, s1, &e), -EINVAL);
	cr_assert_not_null(strstr(e.msg, "output"), "%s", e.msg);
	free(s1);
}
