/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of what exec's options become, and of how executions are reported. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "tests/lib/test.h"
#include "tools/cli/cli.h"

static const struct cli c = {.command = "exec"};
static char *command[] = {(char *)"prog", (char *)"\xff\xfe", NULL};
static struct exec_plan plan;

static void setup(void)
{
	cr_redirect_stdout();
	cr_redirect_stderr();
}
TestSuite(cli_exec, .init = setup);

static int init(const struct exec_args *a)
{
	return exec_plan_init(&plan, &c, a, 2, command);
}

/* A file with this text, already unlinked, by a path that can be opened once more. */
static const char *file(const char *text, size_t len)
{
	static char path[32];
	char name[] = "/tmp/conker-cli-XXXXXX";
	int fd = mkstemp(name);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, len), (ssize_t)len);
	unlink(name);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

Test(cli_exec, arguments_pass_untouched_whatever_their_bytes)
{
	const struct exec_args a = {0};

	cr_assert_eq(init(&a), 0);
	cr_assert_eq(plan.opts.argv[1], command[1]);
	cr_assert_null(plan.opts.argv[2]);
	cr_assert_null(plan.opts.env);
	exec_plan_fini(&plan);
}

Test(cli_exec, sh_is_run_by_the_shell_named)
{
	const struct exec_args a = {.sh = "echo $1", .shell = "/bin/ash"};

	cr_assert_eq(init(&a), 0);
	cr_assert_str_eq(plan.opts.argv[0], "/bin/ash");
	cr_assert_str_eq(plan.opts.argv[1], "-c");
	cr_assert_str_eq(plan.opts.argv[2], "echo $1");
	cr_assert_eq(plan.opts.argv[4], command[0]);
	exec_plan_fini(&plan);
}

Test(cli_exec, sh_without_arguments_is_the_shell_and_the_string)
{
	const struct exec_args a = {.sh = "exit 3"};

	cr_assert_eq(exec_plan_init(&plan, &c, &a, 0, command), 0);
	cr_assert_str_eq(plan.opts.argv[0], "/bin/sh");
	cr_assert_str_eq(plan.opts.argv[2], "exit 3");
	cr_assert_null(plan.opts.argv[3]);
	exec_plan_fini(&plan);
}

Test(cli_exec, no_command_is_a_usage_error)
{
	const struct exec_args a = {0};

	cr_assert_eq(exec_plan_init(&plan, &c, &a, 0, command), EXIT_CONKER);
}

Test(cli_exec, what_run_runs_is_the_images_unless_said)
{
	static const struct {
		const char *rule, *entrypoint, *sh;
		int argc;
		const char *first; /* NULL: no arguments */
		int is_image;
	} cases[] = {
		{"no command", NULL, NULL, 0, NULL, 1},
		{"a command is behind its entrypoint", NULL, NULL, 1, "prog", 1},
		{"another entrypoint", "/e", NULL, 1, "/e", 0},
		{"another entrypoint alone", "/e", NULL, 0, "/e", 0},
		{"no entrypoint", "", NULL, 1, "prog", 0},
		{"a shell's string", NULL, "echo", 0, "/bin/sh", 0},
	};

	for (size_t i = 0; i < countof(cases); i++) {
		const struct exec_args a = {
			.is_run = 1, .entrypoint = cases[i].entrypoint, .sh = cases[i].sh};
		char *argv[] = {(char *)"prog", NULL};

		cr_assert_eq(exec_plan_init(&plan, &c, &a, cases[i].argc, argv), 0, "%s",
			     cases[i].rule);
		const char *first = plan.opts.argv ? plan.opts.argv[0] : NULL;
		cr_expect(!first == !cases[i].first &&
				  (!first || strcmp(first, cases[i].first) == 0),
			  "%s: %s", cases[i].rule, first);
		cr_expect_eq(!!(plan.opts.flags & CONKER_EXEC_IMAGE_COMMAND), cases[i].is_image,
			     "%s", cases[i].rule);
		exec_plan_fini(&plan);
	}
	const struct exec_args both = {.is_run = 1, .entrypoint = "/e", .sh = "echo"};
	cr_expect_eq(init(&both), 125, "two ways to say one thing");
}

Test(cli_exec, env_overrides_env_files_and_later_overrides_earlier)
{
	const char *one = strdup(file("# words\nA=1\n\nB=x y=z\n", 21));
	const char *files[] = {one, one, NULL}, *env[] = {"C=2", "A=3", "C=4", NULL};
	const struct exec_args a = {.env_files = {files, 1}, .env = {env, 3}};

	cr_assert_eq(init(&a), 0);
	cr_assert_eq(plan.env.n, 3);
	cr_assert_str_eq(plan.opts.env[0], "A=3");
	cr_assert_str_eq(plan.opts.env[1], "B=x y=z");
	cr_assert_str_eq(plan.opts.env[2], "C=4");
	cr_assert_null(plan.opts.env[3]);
	exec_plan_fini(&plan);
	cr_assert_null(plan.env_text);
}

Test(cli_exec, a_mere_name_passes_our_own_variable)
{
	const char *env[] = {"CONKER_TEST_A", "CONKER_TEST_EMPTY", NULL};
	const struct exec_args a = {.env = {env, 2}};

	setenv("CONKER_TEST_AB", "another", 1);
	setenv("CONKER_TEST_A", "x=y", 1);
	setenv("CONKER_TEST_EMPTY", "", 1);
	cr_assert_eq(init(&a), 0);
	cr_assert_str_eq(plan.opts.env[0], "CONKER_TEST_A=x=y");
	cr_assert_str_eq(plan.opts.env[1], "CONKER_TEST_EMPTY=");
	cr_assert_null(plan.opts.env[2]);
	exec_plan_fini(&plan);
}

Test(cli_exec, several_env_files_live_as_long_as_the_plan)
{
	char *one = strdup(file("A=1", 3)), *two = strdup(file("B=2\n", 4));
	const char *files[] = {one, two, NULL};
	const struct exec_args a = {.env_files = {files, 2}};

	cr_assert_eq(init(&a), 0);
	cr_assert_str_eq(plan.opts.env[0], "A=1");
	cr_assert_str_eq(plan.opts.env[1], "B=2");
	exec_plan_fini(&plan);
	free(one);
	free(two);
}

Test(cli_exec, bad_environments_are_refused)
{
	static const char *const bad_env[] = {"A", "=x", ""};
	static const char *const bad_lines[] = {"A\n", "A=1\n=2\n"};

	for (size_t i = 0; i < countof(bad_env); i++) {
		const char *env[] = {bad_env[i], NULL};
		const struct exec_args a = {.env = {env, 1}};

		cr_assert_eq(init(&a), EXIT_CONKER, "'%s'", bad_env[i]);
	}
	for (size_t i = 0; i < countof(bad_lines); i++) {
		const char *files[] = {file(bad_lines[i], strlen(bad_lines[i])), NULL};
		const struct exec_args a = {.env_files = {files, 1}};

		cr_assert_eq(init(&a), EXIT_CONKER, "'%s'", bad_lines[i]);
	}
	const char *missing[] = {"/no/such/file", NULL};
	const struct exec_args a = {.env_files = {missing, 1}};
	cr_assert_eq(init(&a), EXIT_CONKER);
}

Test(cli_exec, no_timeout_is_said_only_where_there_would_be_one)
{
	struct exec_args a = {.timeout_ms = CONKER_NO_TIMEOUT};

	cr_assert_eq(init(&a), 0);
	cr_assert_eq(plan.opts.timeout_ms, 0);
	exec_plan_fini(&plan);
	a.keep_alive = 1;
	cr_assert_eq(init(&a), 0);
	cr_assert_eq(plan.opts.timeout_ms, CONKER_NO_TIMEOUT);
	exec_plan_fini(&plan);
}

Test(cli_exec, detached_is_kept)
{
	const struct exec_args a = {.detach = 1, .merge = 1};

	cr_assert_eq(init(&a), 0);
	cr_assert_eq(plan.opts.flags, CONKER_EXEC_KEEP | CONKER_EXEC_MERGE_STDERR);
	exec_plan_fini(&plan);
}

/* ---- reports --------------------------------------------------------------------------------- */

Test(cli_report, exit_statuses_are_dockers)
{
	const conker_status code = {.code = 3}, sig = {.signo = 11},
			    late = {.signo = 15, .timed_out = 1};

	cr_assert_eq(exit_status_of(&code), 3);
	cr_assert_eq(exit_status_of(&sig), 139);
	cr_assert_eq(exit_status_of(&late), 124);
}

Test(cli_report, start_failures_are_126_or_127_and_all_else_is_125)
{
	static const struct {
		const char *step;
		int error, status;
	} cases[] = {
		{"exec", ENOENT, 127}, {"exec", ENOTDIR, 127}, {"exec", EACCES, 126},
		{"cwd", ENOENT, 126},  {"user", EINVAL, 126},  {"name", EEXIST, 125},
		{"", ECONNRESET, 125},
	};

	for (size_t i = 0; i < countof(cases); i++) {
		const conker_failure f = {.error = cases[i].error, .step = cases[i].step};

		cr_assert_eq(exit_status_of_failure(&f), cases[i].status, "%s %d", f.step, f.error);
	}
}

Test(cli_report, every_state_has_a_name_and_a_text)
{
	const conker_status st = {.code = 3};
	char buf[32];

	for (int s = CONKER_EXEC_RUNNING; s <= CONKER_EXEC_LEFT; s++) {
		cr_assert_str_neq(exec_state_name((enum conker_exec_state)s), "unknown");
		cr_assert_neq(exec_state_text((enum conker_exec_state)s, &st, buf, sizeof(buf))[0],
			      0);
	}
	cr_assert_str_eq(exec_state_text(CONKER_EXEC_EXITED, &st, buf, sizeof(buf)), "exited (3)");
}

Test(cli_report, json_of_an_execution_is_one_object, .init = setup)
{
	static const char *const argv[] = {"a\"b", "\xff", NULL};
	const conker_exec_info i = {.id = 7, .pid = 12, .name = "n", .argv = argv, .started_us = 5};

	json_exec(&i, 0);
	fflush(stdout);
	cr_assert_stdout_eq_str(
		"{\"id\":7,\"name\":\"n\",\"key\":\"\",\"state\":\"running\",\"pid\":12,\"age_us\":"
		"0,"
		"\"started_us\":5,\"ended_us\":null,\"argv\":[\"a\\\"b\",\"\\ufffd\"],"
		"\"stdin_writable\":false,\"detached\":false,\"keep_alive\":false,\"tty\":false,"
		"\"restarts\":0,\"views\":0,\"stdout_bytes\":0,\"stderr_bytes\":0,\"stdout_from\":"
		"0,"
		"\"stderr_from\":0,\"status\":null}");
}

Test(cli_report, json_tells_code_from_signal, .init = setup)
{
	const conker_status st = {.signo = 9, .returncode = -9, .state = CONKER_EXEC_KILLED};

	json_status(&st);
	fflush(stdout);
	cr_assert_stdout_eq_str(
		"{\"state\":\"killed\",\"code\":null,\"signal\":9,\"returncode\":-9,"
		"\"timed_out\":false,\"duration_us\":0,\"user_us\":0,\"sys_us\":0,\"max_rss_kib\":"
		"0,"
		"\"stdout_bytes\":0,\"stderr_bytes\":0,\"restarts\":0,\"usage\":{\"user_us\":0,"
		"\"sys_us\":0,\"memory_bytes\":0,\"memory_peak_bytes\":0,\"pids\":0,\"pids_peak\":"
		"0,"
		"\"oom_kills\":0,\"throttled_us\":0}}");
}

Test(cli_report, gap_is_one_line_on_stderr, .init = setup)
{
	const conker_gap g = {.stream = CONKER_STDOUT, .from = 100, .to = 1334};

	report_gap(&g, "\n");
	fflush(stderr);
	cr_assert_stderr_eq_str("conker: 1234 bytes of stdout are no longer kept\n");
}

Test(cli_report, sizes_have_three_digits)
{
	char buf[24];

	cr_assert_str_eq(size_text(0, buf, sizeof(buf)), "0K");
	cr_assert_str_eq(size_text(812 << 10, buf, sizeof(buf)), "812K");
	cr_assert_str_eq(size_text(3500 << 10, buf, sizeof(buf)), "3.4M");
	cr_assert_str_eq(size_text(1ULL << 40, buf, sizeof(buf)), "1.0T");
}

Test(cli_report, times_are_utc_with_microseconds)
{
	char buf[64];

	cr_assert_str_eq(time_text(1000000000123456, buf, sizeof(buf)),
			 "2001-09-09T01:46:40.123456Z");
}
