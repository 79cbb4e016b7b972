/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of util/pump.h. */
#include <sys/epoll.h>
#include <sys/socket.h>

#include "tests/lib/test.h"
#include "util/pump.h"

enum { SIZE = 1000 };

static struct {
	int end[2]; /* the far ends */
	uint8_t buf[2][SIZE];
	struct pump p;
} f;

static void up(void)
{
	for (int i = 0; i < 2; i++) {
		int pair[2];

		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		f.end[i] = pair[0];
		f.p.fd[i] = pair[1];
		f.p.half[i] = (struct pump_half){.buf = f.buf[i], .size_bytes = SIZE};
	}
}

static void down(void)
{
	for (int i = 0; i < 2; i++) {
		close(f.end[i]);
		close(f.p.fd[i]);
	}
}

TestSuite(pump, .init = up, .fini = down);

static void reads(int side, const char *expected)
{
	char buf[64] = "";

	cr_assert_eq(recv(f.end[side], buf, sizeof(buf) - 1, MSG_DONTWAIT),
		     (ssize_t)strlen(expected));
	cr_assert_str_eq(buf, expected);
}

Test(pump, bytes_pass_both_ways)
{
	cr_assert_eq(write(f.end[0], "there", 5), 5);
	cr_assert_eq(pump_on_events(&f.p, 0, EPOLLIN), 0);
	reads(1, "there");
	cr_assert_eq(write(f.end[1], "back", 4), 4);
	cr_assert_eq(pump_on_events(&f.p, 1, EPOLLIN), 0);
	reads(0, "back");
	cr_assert_eq(pump_events(&f.p, 0), EPOLLIN);
}

Test(pump, each_direction_ends_by_itself)
{
	cr_assert_eq(write(f.end[0], "last", 4), 4);
	shutdown(f.end[0], SHUT_WR);
	cr_assert_eq(pump_on_events(&f.p, 0, EPOLLIN), 0);
	cr_assert_eq(pump_on_events(&f.p, 0, EPOLLIN | EPOLLRDHUP), 0);
	reads(1, "last");
	reads(1, ""); /* the end */
	cr_assert_eq(pump_events(&f.p, 0), 0, "nothing more is wanted of it");
	cr_assert_eq(write(f.end[1], "still", 5), 5);
	cr_assert_eq(pump_on_events(&f.p, 1, EPOLLIN), 0);
	reads(0, "still");
	shutdown(f.end[1], SHUT_WR);
	cr_assert_eq(pump_on_events(&f.p, 1, EPOLLIN), 1);
}

Test(pump, a_reader_that_does_not_read_stops_the_writer)
{
	static char junk[SIZE];

	for (int i = 0; i < 10000 && f.p.half[0].len == 0; i++) {
		(void)!send(f.end[0], junk, sizeof(junk), MSG_DONTWAIT);
		cr_assert_eq(pump_on_events(&f.p, 0, EPOLLIN), 0);
	}
	cr_assert_gt(f.p.half[0].len, 0, "the socket took everything");
	cr_assert_eq(pump_events(&f.p, 0), 0, "it is not read");
	cr_assert_eq(pump_events(&f.p, 1), (EPOLLIN | EPOLLOUT));
	size_t before = f.p.half[0].len;
	cr_assert_eq(pump_on_events(&f.p, 0, EPOLLIN), 0);
	cr_assert_eq(f.p.half[0].len, before);
}

Test(pump, a_side_that_breaks_is_an_error)
{
	cr_assert_eq(write(f.end[0], "lost", 4), 4);
	close(f.end[1]);
	cr_assert_eq(pump_on_events(&f.p, 0, EPOLLIN), -EPIPE);
	f.end[1] = -1;
}

Test(pump, what_was_put_goes_first)
{
	pump_put(&f.p.half[1], "a", 1);
	cr_assert(pump_events(&f.p, 0) & EPOLLOUT);
	cr_assert_eq(pump_on_events(&f.p, 0, EPOLLOUT), 0);
	reads(0, "a");
}
