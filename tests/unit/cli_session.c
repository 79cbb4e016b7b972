/* SPDX-License-Identifier: Apache-2.0 */
/* cli_session.c - between our streams and an execution's (tools/cli/session.c), whose input is
 * taken here. */

#define conker_exec_write       taken_write
#define conker_exec_close_stdin taken_close
#include "tests/lib/test.h"
#include "tools/cli/session.c"

/* main.c has the clock, and is left out here. */
int64_t now_us(void)
{
	return 1;
}

static char taken[64];
static size_t n_taken, room;
static int closed;

ssize_t taken_write(conker_exec *e, const void *buf, size_t len)
{
	size_t n = len < room ? len : room;

	(void)e;
	if (closed)
		return -ESHUTDOWN;
	if (n == 0)
		return -EAGAIN;
	memcpy(taken + n_taken, buf, n);
	n_taken += n;
	room -= n;
	return (ssize_t)n;
}

int taken_close(conker_exec *e)
{
	(void)e;
	closed = 1;
	return 0;
}

Test(cli_session, what_was_held_back_for_the_keys_goes_before_the_end_also_if_it_has_to_wait)
{
	char in[64];
	struct pump p = {.in = in, .stdin_open = 1, .keys = {.n = 3, .n_held = 2, .held = "ab"}};

	close_stdin(&p);
	cr_expect_eq(closed, 0, "there was no room for what comes before");
	cr_expect_eq(p.stdin_open, 0);
	room = 1;
	push_stdin(&p);
	cr_expect_eq(closed, 0);
	room = 9;
	push_stdin(&p);
	cr_expect_eq(closed, 1);
	cr_expect_eq(n_taken, 2);
	cr_expect_arr_eq(taken, "ab", 2);
}

Test(cli_session, an_end_with_nothing_before_it_is_told_at_once)
{
	char in[64];
	struct pump p = {.in = in, .stdin_open = 1};

	close_stdin(&p);
	cr_expect_eq(closed, 1);
	cr_expect_eq(n_taken, 0);
}
