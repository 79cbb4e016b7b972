/* SPDX-License-Identifier: Apache-2.0 */
/* lib_events.c - event lines, the end of the console, names, options, the command line. */
#include "lib/host/launch.h"
#include "tests/lib/test.h"

static struct vm_events feed(const char *text)
{
	struct vm_events v = {0};
	struct line_buf lb = {0};

	events_feed(&v, &lb, text, strlen(text));
	return v;
}

Test(lib_events, each_reason_has_its_state)
{
	static const struct {
		const char *line;
		enum conker_box_state end;
	} cases[] = {
		{"exited poweroff\n", CONKER_BOX_POWEROFF}, {"exited reboot\n", CONKER_BOX_REBOOT},
		{"exited panic\n", CONKER_BOX_PANIC},       {"exited crash x\n", CONKER_BOX_CRASH},
		{"exited stopped\n", CONKER_BOX_STOPPED},   {"exited error y\n", CONKER_BOX_ERROR},
		{"exited by-magic\n", CONKER_BOX_ERROR},    {"failed 5 z\n", CONKER_BOX_ERROR},
	};

	for (size_t i = 0; i < countof(cases); i++) {
		struct vm_events v = feed(cases[i].line);
		cr_expect_eq(v.over, 1);
		cr_expect_eq(v.end, cases[i].end, "%s", cases[i].line);
	}
}

Test(lib_events, times_and_details_are_kept)
{
	struct vm_events v = feed("started 12\nready 345\nexited error KVM_RUN: it broke\n");

	cr_expect_eq(v.setup_us, 12);
	cr_expect_eq(v.boot_us, 345);
	cr_expect(v.started && v.ready && v.over);
	cr_expect_str_eq(v.detail, "KVM_RUN: it broke");
}

Test(lib_events, why_a_box_could_not_suspend_itself_is_its_reason_while_it_runs)
{
	struct vm_events v = feed("started 1\nready 2\nunsuspended 28 a\n"
				  "unsuspended 28 write the memory file: No space\x1b left\n");
	char reason[REASON_BYTES];

	cr_expect_eq(v.over, 0);
	v.end = CONKER_BOX_RUNNING;
	events_reason(&v, -1, reason, sizeof(reason));
	cr_expect_str_eq(reason, "could not suspend itself: write the memory file: No space? left");
	events_line(&v, (char[]){"life 4711"});
	cr_expect_eq(v.life_ms, 4711);
}

Test(lib_events, layers_that_the_jail_lacks_are_collected)
{
	struct vm_events v = feed("unjailed namespaces Operation not permitted\nunjailed seccomp\n"
				  "started 1\n");
	static const char line[] = "unjailed layer and its reason\n";
	char many[100 * (sizeof(line) - 1) + 1];

	cr_expect_str_eq(v.unjailed, "namespaces (Operation not permitted), seccomp ()");
	for (size_t i = 0; i < 100; i++)
		memcpy(many + i * (sizeof(line) - 1), line, sizeof(line));
	v = feed(many);
	cr_expect_eq(strlen(v.unjailed), sizeof(v.unjailed) - 1);
	cr_expect_str_eq(feed("started 1\n").unjailed, "");
}

Test(lib_events, a_failure_keeps_its_errno_within_reason)
{
	cr_expect_eq(feed("failed 12 no memory\n").error, ENOMEM);
	cr_expect_eq(feed("failed -3 x\n").error, EIO);
	cr_expect_eq(feed("failed 99999 x\n").error, EIO);
	cr_expect_eq(feed("failed\n").error, EIO);
}

Test(lib_events, nothing_counts_after_the_last_line)
{
	struct vm_events v = feed("exited panic\nexited poweroff\nready 1\n");

	cr_expect_eq(v.end, CONKER_BOX_PANIC);
	cr_expect_eq(v.ready, 0);
}

Test(lib_events, a_power_off_on_request_is_a_stop)
{
	cr_expect_eq(feed("stopping\nexited poweroff\n").end, CONKER_BOX_STOPPED);
	cr_expect_eq(feed("stopping\nexited panic\n").end, CONKER_BOX_PANIC);
}

Test(lib_events, lines_come_in_any_pieces)
{
	const char *text = "started 7\nready 8\n";
	struct vm_events v = {0};
	struct line_buf lb = {0};

	for (const char *p = text; *p; p++)
		events_feed(&v, &lb, p, 1);
	cr_expect_eq(v.setup_us, 7);
	cr_expect_eq(v.boot_us, 8);
}

Test(lib_events, unfinished_unknown_and_overlong_lines_do_no_harm)
{
	char long_line[2000];
	struct vm_events v = feed("ready 5");

	cr_expect_eq(v.ready, 0, "no newline, no line");
	v = feed("\n\n   \nhello world\nready 5\n");
	cr_expect_eq(v.ready, 1);
	memset(long_line, 'x', sizeof(long_line));
	memcpy(long_line, "exited error ", 13);
	memcpy(long_line + sizeof(long_line) - 9, "\nready 1\n", 9);
	long_line[sizeof(long_line) - 1] = 0;
	v = feed(long_line);
	cr_expect_eq(strlen(v.detail), REASON_BYTES - 1);
}

/* ---- the console ----------------------------------------------------------------------------- */

static int console(const char *data, size_t len)
{
	char tmp[] = "/tmp/conker-test-XXXXXX";

	cr_assert_not_null(mkdtemp(tmp));
	int dir = open(tmp, O_RDONLY | O_DIRECTORY);
	int fd = openat(dir, "console", O_WRONLY | O_CREAT, 0600);
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
	return dir;
}

static void console_done(int dir)
{
	char link[64], path[256] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	(void)!readlink(link, path, sizeof(path) - 1);
	unlinkat(dir, "console", 0);
	close(dir);
	rmdir(path);
}

static void expect_tail(const char *data, size_t len, const char *tail, const char *panic)
{
	char buf[200];
	int dir = console(data, len);

	console_tail(dir, buf, sizeof(buf));
	cr_expect_str_eq(buf, tail);
	console_panic(dir, buf, sizeof(buf));
	cr_expect_str_eq(buf, panic);
	console_done(dir);
}

#define EXPECT_TAIL(data, tail, panic) expect_tail(data, sizeof(data) - 1, tail, panic)

Test(lib_events, the_consoles_end_is_told_in_one_line)
{
	EXPECT_TAIL("", "", "");
	EXPECT_TAIL("\n\n  \n", "", "");
	EXPECT_TAIL("one", "one", "one");
	EXPECT_TAIL("one\r\n\n two\x1b[0m \n", "one | two?[0m", "two?[0m");
	EXPECT_TAIL("a\0b\n", "a b", "a b");
	EXPECT_TAIL("1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n",
		    "3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12", "12");
}

Test(lib_events, the_last_panic_message_is_the_reason)
{
	EXPECT_TAIL(
		"x\nKernel panic - not syncing: one\n[1] Kernel panic - not syncing: two\n---\n",
		"x | Kernel panic - not syncing: one | [1] Kernel panic - not syncing: two | ---",
		"two");
}

Test(lib_events, a_console_without_an_end_is_cut)
{
	static char big[100000];
	char buf[100];

	memset(big, 'y', sizeof(big));
	int dir = console(big, sizeof(big));
	console_tail(dir, buf, sizeof(buf));
	cr_expect_eq(buf[0], 0, "a line that does not fit is left out");
	console_panic(dir, buf, sizeof(buf));
	cr_expect_eq(strlen(buf), sizeof(buf) - 1);
	console_done(dir);
}

/* ---- names, options, command line ------------------------------------------------------------ */

Test(lib_events, names_are_safe_as_file_names)
{
	static const char *const good[] = {"a", "A1", "0.x", "a_b-c.d"};
	static const char *const bad[] = {"",    ".",   "..",  "-a",      "_a",
					  "a/b", "a b", "a\n", "\xc3\xa4"};
	char longest[NAME_BYTES + 1];

	for (size_t i = 0; i < countof(good); i++)
		cr_expect_eq(name_check("box", good[i], NULL), 0, "%s", good[i]);
	for (size_t i = 0; i < countof(bad); i++)
		cr_expect_eq(name_check("box", bad[i], NULL), -EINVAL, "%s", bad[i]);
	memset(longest, 'a', sizeof(longest));
	longest[NAME_BYTES] = 0;
	cr_expect_eq(name_check("box", longest, NULL), -EINVAL);
	longest[NAME_BYTES - 1] = 0;
	cr_expect_eq(name_check("box", longest, NULL), 0);
}

Test(lib_events, structures_grow_both_ways)
{
	struct {
		size_t size;
		int a, b, c;
	} ours, caller = {.a = 1, .b = 2, .c = 3};

	caller.size = offsetof(__typeof__(caller), c);
	cr_expect_eq(opts_in(&ours, sizeof(ours), &caller, NULL), 0);
	cr_expect(ours.a == 1 && ours.b == 2 && ours.c == 0);
	caller.size = sizeof(caller);
	cr_expect_eq(opts_in(&ours, offsetof(__typeof__(caller), c), &caller, NULL), -E2BIG);
	caller.c = 0;
	cr_expect_eq(opts_in(&ours, offsetof(__typeof__(caller), c), &caller, NULL), 0);
	caller.size = 0;
	cr_expect_eq(opts_in(&ours, sizeof(ours), &caller, NULL), -EINVAL);
	cr_expect_eq(opts_in(&ours, sizeof(ours), NULL, NULL), -EINVAL);
}

Test(lib_events, the_command_line_is_bounded)
{
	conker_box_opts o = {.cmdline_append = "extra"};
	char out[4096], append[3000];

	cr_assert_eq(cmdline_compose(out, sizeof(out), "h", &o, NULL), 0);
	cr_expect(strstr(out, " CONKER_ROOT=vda CONKER_HOSTNAME=h extra"));
	cr_expect(strstr(out, "console=hvc0"));
	memset(append, 'a', sizeof(append));
	append[sizeof(append) - 1] = 0;
	o.cmdline_append = NULL;
	o.idle_timeout_ms = 1500;
	o.max_life_ms = INT32_MAX;
	cr_assert_eq(cmdline_compose(out, sizeof(out), "h", &o, NULL), 0);
	cr_expect(strstr(out, " CONKER_IDLE_MS=1500 CONKER_LIFE_MS=2147483647"));
	o.cmdline_append = append;
	cr_expect_eq(cmdline_compose(out, sizeof(out), "h", &o, NULL), -EINVAL);
	cr_expect_eq(cmdline_compose(out, 100, "h", &o, NULL), -EINVAL);
}
