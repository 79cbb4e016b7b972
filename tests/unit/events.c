/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include <sys/socket.h>

#include "tests/lib/test.h"
#include "vmm/events.h"

static char text[4096];

static const char *content(int fd)
{
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

Test(events, each_reason_has_its_own_name_and_status_as_documented)
{
	static const struct {
		enum exit_reason reason;
		const char *name;
		int status;
	} documented[] = {
		{EXIT_POWEROFF, "poweroff", 0}, {EXIT_STOPPED, "stopped", 0},
		{EXIT_REBOOT, "reboot", 3},     {EXIT_PANIC, "panic", 4},
		{EXIT_CRASH, "crash", 5},       {EXIT_ERROR, "error", 6},
	};

	for (size_t i = 0; i < sizeof(documented) / sizeof(documented[0]); i++) {
		cr_expect_str_eq(exit_reason_name(documented[i].reason), documented[i].name);
		cr_expect_eq(exit_reason_status(documented[i].reason), documented[i].status);
	}
}

Test(events, lines_are_appended_to_the_state_file)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct events ev = {.state_fd = fd, .owner_fd = -1};

	events_emit(&ev, "started %d", 12);
	events_emit(&ev, "exited %s", "poweroff");
	cr_assert_str_eq(content(fd), "started 12\nexited poweroff\n");
}

Test(events, owner_gets_the_same_lines)
{
	int s[2];
	char buf[64] = "";

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	events_emit(&(struct events){.state_fd = -1, .owner_fd = s[0]}, "ready %d", 5);
	cr_assert_eq(read(s[1], buf, sizeof(buf)), 8);
	cr_assert_str_eq(buf, "ready 5\n");
}

Test(events, an_owner_that_is_gone_or_does_not_read_is_no_obstacle)
{
	int s[2], fd = memfd_create("state", MFD_CLOEXEC);

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	struct events ev = {.state_fd = fd, .owner_fd = s[0]};
	for (int i = 0; i < 10000; i++) /* more than a socket holds */
		events_emit(&(struct events){.state_fd = -1, .owner_fd = s[0]}, "ready %d", i);
	close(s[1]);
	events_emit(&ev, "exited stopped"); /* no SIGPIPE */
	cr_assert_str_eq(content(fd), "exited stopped\n");
}

Test(events, a_message_never_looks_like_two_events)
{
	int fd = memfd_create("state", MFD_CLOEXEC);

	events_emit(&(struct events){.state_fd = fd, .owner_fd = -1}, "failed 5 a\nexited %s\n",
		    "poweroff");
	cr_assert_str_eq(content(fd), "failed 5 a exited poweroff \n");
}

Test(events, the_longest_error_is_still_one_line)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	char msg[2 * ERR_MSG_BYTES];

	memset(msg, 'x', sizeof(msg) - 1);
	msg[sizeof(msg) - 1] = '\0';
	events_emit(&(struct events){.state_fd = fd, .owner_fd = -1}, "failed 5 %s", msg);
	size_t n = strlen(content(fd));
	cr_assert_gt(n, (size_t)ERR_MSG_BYTES);
	cr_assert_eq(strchr(text, '\n'), text + n - 1);
}
