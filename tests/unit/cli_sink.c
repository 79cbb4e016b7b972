/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of sink.c: slow readers hold nothing up, and no byte is lost, doubled or reordered. */
#include <signal.h>
#include <sys/socket.h>

#include "tests/lib/test.h"
#include "tools/cli/cli.h"

enum { CAP = 256 << 10 };

static void fill(char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (char)(i * 7 + i / 251);
}

/* Puts CAP bytes into a full pipe in pieces, then reads slowly and flushes until all are there. */
static void pass_through(int from, int to)
{
	static char in[CAP], out[CAP];
	struct sink k;
	size_t written = 0, got = 0;

	fill(in, sizeof(in));
	cr_assert_eq(sink_init(&k, to, CAP), 0);
	for (size_t at = 0; at < CAP; at += CAP / 8) {
		ssize_t n = sink_put(&k, in + at, CAP / 8);
		cr_assert_geq(n, 0);
		written += (size_t)n;
	}
	cr_assert(sink_pending(&k), "the test wants more than fits the pipe");
	while (got < CAP) {
		ssize_t n = read(from, out + got, min_(CAP - got, 5000U));
		cr_assert_gt(n, 0);
		got += (size_t)n;
		n = sink_flush(&k);
		cr_assert_geq(n, 0);
		written += (size_t)n;
	}
	cr_assert(!sink_pending(&k));
	cr_assert_eq(written, CAP);
	cr_assert_eq(memcmp(in, out, CAP), 0);
	sink_fini(&k);
}

/* What main() puts in place of a stdout that was closed. */
Test(cli_sink, what_cannot_be_written_to_is_an_error)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct sink k;

	cr_assert_eq(sink_init(&k, fd, CAP), 0);
	cr_expect_eq(sink_put(&k, "x", 1), -EBADF);
	sink_fini(&k);
	close(fd);
}

Test(cli_sink, passes_all_bytes_through_a_slow_pipe, .timeout = 60)
{
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	pass_through(fds[0], fds[1]);
}

Test(cli_sink, passes_all_bytes_through_a_slow_socket_that_cannot_be_reopened, .timeout = 60)
{
	int fds[2], size = 8192;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	cr_assert_eq(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	pass_through(fds[0], fds[1]);
}

Test(cli_sink, leaves_the_shared_descriptor_blocking)
{
	struct sink k;
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(sink_init(&k, fds[1], CAP), 0);
	cr_assert_eq(sink_put(&k, "x", 1), 1);
	cr_assert_eq(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
	sink_fini(&k);
	cr_assert_geq(fcntl(fds[1], F_GETFL), 0, "it is not ours to close");
}

Test(cli_sink, takes_as_much_as_its_capacity_after_some_was_written)
{
	static char data[CAP], back[CAP];
	struct sink k;
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(sink_init(&k, fds[1], CAP), 0);
	ssize_t direct = sink_put(&k, data, CAP);
	cr_assert_gt(direct, 0);
	cr_assert_eq(read(fds[0], back, (size_t)direct), direct);
	ssize_t more = sink_flush(&k);
	cr_assert_gt(more, 0);
	/* What was written is free again, wherever it lay in the buffer. */
	cr_assert_geq(sink_put(&k, data, (size_t)(direct + more)), 0);
	cr_assert_eq(k.tail - k.head, CAP);
	sink_fini(&k);
}

Test(cli_sink, tells_that_nobody_reads_any_more)
{
	struct sink k;
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(sink_init(&k, fds[1], CAP), 0);
	close(fds[0]);
	cr_assert_eq(sink_put(&k, "x", 1), -EPIPE);
	sink_fini(&k);
}
