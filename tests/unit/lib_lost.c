/* SPDX-License-Identifier: Apache-2.0 */
/* lib_lost.c - when the box or the guest goes wrong: every execution ends with one LOST that says
 * why. */
#include <poll.h>

#include "tests/lib/test.h"
#include "tests/lib/watched.h"

TestSuite(lib_lost, .init = up, .fini = down, .timeout = 120);

static void expect_lost(const char *command, int error, const char *text)
{
	struct got g = {0}, other = {0};
	conker_exec *o = start(&other, 0, ARGV("sleep"));
	/* Unacknowledged, or a guest that exceeds its window could not be told from one with
	 * credit. */
	conker_exec *e = start(&g, CONKER_EXEC_MANUAL_ACK, ARGV(command));

	cr_expect_eq(conker_exec_wait(e, 20000, NULL), -error, "%s: %s", command, conker_errmsg());
	cr_expect_eq(conker_exec_wait(o, 20000, NULL), -error);
	cr_expect(strstr(g.text, text) != NULL, "%s: %s", command, g.text);
	cr_expect_eq(g.losts, 1);
	cr_expect_eq(other.losts, 1);
	cr_expect_eq(g.frees + other.frees, 2);
	cr_expect_eq(conker_box_ping(box, 20000), -error);
	cr_expect_eq(conker_box_dispatch(box), -error);
	cr_expect(strstr(conker_errmsg(), text) != NULL, "%s", conker_errmsg());
	conker_exec_free(e);
	conker_exec_free(o);
}

Test(lib_lost, a_panic_loses_all_with_its_message)
{
	expect_lost("panic", ECONNRESET, "the guest kernel panicked: sysrq triggered crash");
}

Test(lib_lost, a_killed_vmm_loses_all)
{
	expect_lost("vanish", ECONNRESET, "its conker-vmm was killed");
}

Test(lib_lost, a_power_off_loses_all)
{
	expect_lost("poweroff", ESHUTDOWN, "the guest powered off");
}

Test(lib_lost, a_crash_loses_all)
{
	expect_lost("crash", ECONNRESET, "triple fault");
}

Test(lib_lost, a_failing_host_loses_all)
{
	expect_lost("die", ECONNRESET, "KVM_RUN: bad things");
}

Test(lib_lost, a_closed_connection_loses_all_though_the_vmm_lives)
{
	expect_lost("hangup", ECONNRESET, "guest-init closed the connection");
}

Test(lib_lost, output_out_of_place_ends_the_connection)
{
	expect_lost("bad-offset", EPROTO, "output out of place");
}

Test(lib_lost, output_beyond_the_window_ends_the_connection)
{
	expect_lost("bad-window", EPROTO, "more output than the window");
}

Test(lib_lost, a_second_started_ends_the_connection)
{
	expect_lost("bad-order", EPROTO, "out of order");
}

Test(lib_lost, a_frame_of_impossible_length_ends_the_connection)
{
	expect_lost("bad-length", EPROTO, "impossible length");
}

Test(lib_lost, junk_ends_the_connection)
{
	expect_lost("bad-bytes", EPROTO, "broke the protocol");
}

Test(lib_lost, an_answer_that_fits_no_question_ends_the_connection)
{
	expect_lost("bad-answer", EPROTO, "out of order");
}

Test(lib_lost, a_message_of_a_later_version_is_ignored)
{
	struct got g = {0};

	run(&g, ARGV("new-kind"));
	cr_expect_eq(g.exits, 1);
}

Test(lib_lost, loop_users_are_told_of_the_loss_once)
{
	struct got g = {0};
	conker_exec *e = start(&g, 0, ARGV("vanish"));
	struct pollfd p = {.fd = conker_box_fd(box), .events = POLLIN};
	int r = 0, rounds = 0;

	while (r >= 0 && rounds++ < 100) {
		cr_assert_eq(poll(&p, 1, 20000), 1);
		r = conker_box_dispatch(box);
	}
	cr_expect_eq(r, -ECONNRESET);
	cr_expect_eq(g.losts, 1);
	cr_expect_lt(rounds, 20);
	/* The VMM's own end may still be news, and so may the end of the grace. */
	for (rounds = 0; rounds < 20 && poll(&p, 1, 1500) > 0; rounds++)
		(void)conker_box_dispatch(box);
	cr_expect_lt(rounds, 20, "quiet after that");
	cr_expect_eq(g.losts, 1);
	conker_exec_free(e);
}
