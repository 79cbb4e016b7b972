/* SPDX-License-Identifier: Apache-2.0 */
/* lib_exec.c - executions, against a server of exec.proto that runs nothing. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/lib/test.h"
#include "tests/lib/watched.h"

TestSuite(lib_exec, .init = up, .fini = down, .timeout = 120);

Test(lib_exec, exit_code_and_output_arrive_in_order)
{
	run(&seen, ARGV("echo", "hello", "world"));
	cr_expect_str_eq(seen.out, "hello world\n");
	cr_expect_eq(seen.started, 1);
	cr_expect_eq(seen.exits, 1);
	cr_expect_eq(seen.losts, 0);
	cr_expect_eq(seen.frees, 1);
	cr_expect_eq(seen.order_ok, 0, "an event came after the last");
	cr_expect_eq(seen.st.code, 0);
	cr_expect_eq(seen.st.duration_us, 1234);
}

Test(lib_exec, streams_are_separate)
{
	run(&seen, ARGV("both"));
	cr_expect_str_eq(seen.out, "out\n");
	cr_expect_str_eq(seen.err, "err\n");
}

Test(lib_exec, wait_gives_the_status)
{
	conker_exec_opts o = {.size = sizeof(o), .argv = ARGV("exit", "42")};
	conker_status st = {.size = sizeof(st)};

	cr_assert_eq(conker_exec_start(box, &o, (conker_exec_cb){0}, &job), 0);
	cr_expect_eq(conker_exec_wait(job, 20000, &st), 0);
	cr_expect_eq(st.code, 42);
	cr_expect_eq(conker_exec_wait(job, 0, &st), 0, "a second wait knows it too");
	cr_expect_eq(conker_exec_kill(job, SIGTERM, CONKER_KILL_PROCESS), -ESRCH);
}

Test(lib_exec, signal_ends_and_is_reported)
{
	job = start(&seen, 0, ARGV("sleep"));
	cr_expect_eq(conker_exec_kill(job, SIGTERM, CONKER_KILL_ALL), 0, "also before STARTED");
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), 0);
	cr_expect_eq(seen.st.signo, SIGTERM);
}

Test(lib_exec, what_cannot_start_is_lost_with_step_and_errno)
{
	job = start(&seen, 0, ARGV("missing"));
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), -ENOENT);
	cr_expect_str_eq(conker_errmsg(), "exec: missing: not found?[31m");
	cr_expect_eq(seen.losts, 1);
	cr_expect_eq(seen.started, 0);
	cr_expect_eq(seen.error, ENOENT);
	cr_expect_str_eq(seen.step, "exec");
	cr_expect_eq(seen.frees, 1);
}

Test(lib_exec, wait_times_out_and_can_be_repeated)
{
	job = start(&seen, 0, ARGV("sleep"));
	cr_expect_eq(conker_exec_wait(job, 0, NULL), -ETIMEDOUT);
	cr_expect_eq(conker_exec_wait(job, 30, NULL), -ETIMEDOUT);
	conker_exec_kill(job, SIGKILL, CONKER_KILL_ALL);
	cr_expect_eq(conker_exec_wait(job, -1, NULL), 0);
}

Test(lib_exec, all_options_reach_the_guest)
{
	conker_exec_opts o = {.size = sizeof(o),
			      .argv = ARGV("show", "a b", "\xff\xfe"),
			      .env = ARGV("A=1", "B="),
			      .cwd = "/tmp",
			      .user = "nobody:nogroup",
			      .name = "job",
			      .flags = CONKER_EXEC_TTY,
			      .timeout_ms = 77,
			      .rows = 3};

	cr_assert_eq(
		conker_exec_start(box, &o, (conker_exec_cb){.fn = on_event, .user = &seen}, &job),
		0);
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), 0);
	cr_expect_str_eq(seen.out,
			 "arg=show\narg=a b\narg=\xff\xfe\nenv=A=1\nenv=B=\nnenv=2\ncwd=/tmp\n"
			 "user=nobody:nogroup\nname=job\nstdin=0\ntimeout=77\ngrace=2000\ntty=3x80 "
			 "xterm-256color\n");
}

static void refused(conker_exec_opts o, const char *why)
{
	conker_exec *e;

	o.size = sizeof(o);
	o.argv = ARGV("show");
	cr_expect_eq(conker_exec_start(box, &o, (conker_exec_cb){NULL}, &e), -EINVAL, "%s", why);
	cr_expect(strstr(conker_errmsg(), why), "%s: %s", why, conker_errmsg());
}

Test(lib_exec, a_name_that_means_something_else_is_refused_with_the_reason)
{
	refused((conker_exec_opts){.name = "4"}, "number");
	refused((conker_exec_opts){.name = "key:x"}, "key");
	refused((conker_exec_opts){.name = "a:b"}, "key");
	refused((conker_exec_opts){.name = "a\x1b[31m"}, "control");
	refused((conker_exec_opts){.name = ""}, "empty");
	cr_expect_null(strchr(conker_errmsg(), 0x1b), "%s", conker_errmsg());
}

Test(lib_exec, an_empty_value_is_none_and_no_default)
{
	refused((conker_exec_opts){.user = ""}, "empty user");
	refused((conker_exec_opts){.key = ""}, "empty key");
	refused((conker_exec_opts){.cwd = ""}, "absolute");
}

Test(lib_exec, a_text_above_its_limit_is_refused_with_the_limit)
{
	static char s[CONKER_KEY_MAX + 2];

	memset(s, 'x', sizeof(s) - 1);
	refused((conker_exec_opts){.key = s}, "128");
	s[CONKER_NAME_MAX + 1] = 0;
	refused((conker_exec_opts){.name = s}, "64");
	refused((conker_exec_opts){.term = s}, "64");
}

Test(lib_exec, an_environment_of_a_mebibyte_passes)
{
	enum { N = 1000, EACH = 1024 };
	static char text[N][EACH + 1];
	static const char *env[N + 1];
	conker_exec_opts o = {.size = sizeof(o), .argv = ARGV("show"), .env = env};

	for (int i = 0; i < N; i++) {
		memset(text[i], 'x', EACH);
		text[i][1] = '=';
		env[i] = text[i];
	}
	cr_assert_eq(
		conker_exec_start(box, &o, (conker_exec_cb){.fn = on_event, .user = &seen}, &job),
		0);
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), 0);
	cr_expect_gt(seen.total, 40000);
}

Test(lib_exec, impossible_options_are_refused_and_the_baggage_freed)
{
	static char huge[3 << 20];
	struct {
		conker_exec_opts o;
		int error;
	} cases[] = {
		{{.size = sizeof(conker_exec_opts)}, -EINVAL},
		{{.argv = ARGV("true")}, -EINVAL},
		{{.size = sizeof(conker_exec_opts), .argv = ARGV("true"), .cwd = "tmp"}, -EINVAL},
		{{.size = sizeof(conker_exec_opts), .argv = ARGV("true"), .flags = 1 << 20},
		 -EINVAL},
		{{.size = sizeof(conker_exec_opts), .argv = ARGV("true"), .window_bytes = 1},
		 -EINVAL},
		{{.size = sizeof(conker_exec_opts), .argv = ARGV("true", huge)}, -E2BIG},
	};

	memset(huge, 'h', sizeof(huge) - 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct got g = {0};
		conker_exec_cb cb = {.fn = on_event, .user = &g, .free = on_free};

		cr_expect_eq(conker_exec_start(box, &cases[i].o, cb, &job), cases[i].error,
			     "case %zu", i);
		cr_expect_eq(g.frees, 1, "case %zu", i);
		cr_expect_neq(*conker_errmsg(), 0);
	}
	cr_expect_null(job);
	cr_expect_eq(conker_box_ping(box, 20000), 0);
}

Test(lib_exec, a_newer_callers_unknown_field_is_refused)
{
	struct {
		conker_exec_opts o;
		int newer;
	} o = {.o = {.size = sizeof(o), .argv = ARGV("true")}};

	cr_expect_eq(conker_exec_start(box, &o.o, (conker_exec_cb){0}, &job), 0, "zero is fine");
	job = conker_exec_free(job);
	o.newer = 1;
	cr_expect_eq(conker_exec_start(box, &o.o, (conker_exec_cb){0}, &job), -E2BIG);
}

/* ---- flow ------------------------------------------------------------------------------------ */

Test(lib_exec, output_beyond_many_windows_arrives_whole)
{
	conker_exec_opts o = {
		.size = sizeof(o), .argv = ARGV("flood", "5000001"), .window_bytes = 4096};

	cr_assert_eq(
		conker_exec_start(box, &o, (conker_exec_cb){.fn = on_event, .user = &seen}, &job),
		0);
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), 0);
	cr_expect_eq(seen.total, 5000001);
}

Test(lib_exec, without_acks_output_stops_at_the_window_and_others_go_on)
{
	struct got h = {0};

	job = start(&seen, CONKER_EXEC_MANUAL_ACK, ARGV("flood", "1000000"));
	cr_expect_eq(conker_exec_wait(job, 100, NULL), -ETIMEDOUT);
	cr_expect_eq(seen.total, 256 << 10);
	run(&h, ARGV("echo", "x"));
	cr_expect_str_eq(h.out, "x\n");
	cr_expect_eq(conker_exec_ack(job, CONKER_STDOUT, (256 << 10) + 1), -EINVAL);
	cr_expect_eq(conker_exec_ack(job, CONKER_STDOUT, 10), 0,
		     "a stalled guest gets even little");
	cr_expect_eq(conker_exec_wait(job, 100, NULL), -ETIMEDOUT);
	cr_expect_eq(seen.total, (256 << 10) + 10);
	while (conker_exec_wait(job, 50, NULL) == -ETIMEDOUT)
		cr_assert_eq(conker_exec_ack(job, CONKER_STDOUT, 100000), 0);
	cr_expect_eq(seen.total, 1000000);
}

Test(lib_exec, cat_returns_its_input_unchanged)
{
	enum { N = 3 << 20 };
	char *data = calloc(1, N);
	size_t at = 0;
	int again = 0;

	job = start(&seen, CONKER_EXEC_STDIN, ARGV("cat"));
	while (at < N) {
		ssize_t n = conker_exec_write(job, data + at, N - at);
		if (n == -EAGAIN) {
			int before = seen.writable;
			again++;
			while (seen.writable == before)
				cr_assert_eq(conker_exec_wait(job, 20, NULL), -ETIMEDOUT);
			continue;
		}
		cr_assert_gt(n, 0);
		at += (size_t)n;
	}
	cr_expect_gt(again, 0, "back-pressure was never met");
	cr_expect_eq(conker_exec_close_stdin(job), 0);
	cr_expect_eq(conker_exec_close_stdin(job), 0);
	cr_expect_eq(conker_exec_write(job, "x", 1), -ESHUTDOWN);
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), 0);
	cr_expect_eq(seen.total, N);
	free(data);
}

Test(lib_exec, stdin_is_bounded_when_nobody_reads_it)
{
	static char buf[100000];
	size_t total = 0;
	ssize_t n;

	job = start(&seen, CONKER_EXEC_STDIN, ARGV("deaf"));
	while ((n = conker_exec_write(job, buf, sizeof(buf))) > 0)
		total += (size_t)n;
	cr_expect_eq(n, -EAGAIN);
	cr_expect_eq(total, 256 << 10);
	cr_expect_eq(conker_exec_kill(job, SIGKILL, CONKER_KILL_ALL), 0);
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), 0);
	cr_expect_eq(conker_exec_write(job, buf, 1), -ESRCH);
}

Test(lib_exec, without_stdin_a_write_is_refused)
{
	job = start(&seen, 0, ARGV("sleep"));
	cr_expect_eq(conker_exec_write(job, "x", 1), -ESHUTDOWN);
}

/* ---- handles --------------------------------------------------------------------------------- */

Test(lib_exec, free_kills_what_runs_and_ends_the_callbacks)
{
	job = start(&seen, 0, ARGV("sleep"));
	cr_expect_eq(conker_exec_wait(job, 20, NULL), -ETIMEDOUT);
	job = conker_exec_free(job);
	cr_expect_eq(seen.frees, 1);
	cr_expect_eq(conker_box_ping(box, 20000), 0);
	cr_expect_eq(seen.exits + seen.losts, 0);
	cr_expect_eq(conker_exec_kill_ref(box, NUMBERED(1), SIGTERM, 0), -ESRCH, "it was killed");
}

Test(lib_exec, free_of_a_stalled_flood_lets_the_guest_finish)
{
	job = start(&seen, CONKER_EXEC_MANUAL_ACK, ARGV("flood", "9000000"));
	cr_expect_eq(conker_exec_wait(job, 50, NULL), -ETIMEDOUT);
	job = conker_exec_free(job);
	cr_expect_eq(conker_box_ping(box, 20000), 0);
	cr_expect_eq(seen.frees, 1);
}

Test(lib_exec, free_inside_each_callback_is_safe)
{
	static const enum conker_event at[] = {CONKER_STARTED, CONKER_STDOUT, CONKER_EXIT};

	for (int i = 0; i < 3; i++) {
		struct got g = {.free_at = at[i]};
		g.free_on = start(&g, 0, ARGV("echo", "x"));
		while (g.free_on)
			cr_assert_eq(conker_box_ping(box, 20000), 0);
		cr_assert_eq(conker_box_ping(box, 20000), 0);
		cr_expect_eq(g.frees, 1, "at %d", at[i]);
		cr_expect_eq(g.order_ok, 0);
	}
}

static int nested;

static void wait_inside(conker_exec *e, enum conker_event ev, const conker_event_data *d,
			void *user)
{
	(void)d;
	if (ev == CONKER_STARTED) {
		nested = conker_exec_wait(e, 0, NULL) == -EDEADLK &&
			 conker_box_ping(user, 0) == -EDEADLK && conker_box_dispatch(user) == 0;
	}
}

Test(lib_exec, calls_that_wait_are_refused_inside_callbacks)
{
	conker_exec_opts o = {.size = sizeof(o), .argv = ARGV("true")};

	cr_assert_eq(
		conker_exec_start(box, &o, (conker_exec_cb){.fn = wait_inside, .user = box}, &job),
		0);
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), 0);
	cr_expect_eq(nested, 1);
}

static void free_box(conker_exec *e, enum conker_event ev, const conker_event_data *d, void *user)
{
	struct got *g = user;

	on_event(e, ev, d, user);
	if (ev == CONKER_STARTED)
		box = conker_box_free(box);
	(void)g;
}

Test(lib_exec, the_box_may_be_freed_inside_a_callback)
{
	conker_exec_opts o = {.size = sizeof(o), .argv = ARGV("sleep")};

	cr_assert_eq(conker_exec_start(box, &o, (conker_exec_cb){free_box, &seen, on_free}, &job),
		     0);
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), -ESHUTDOWN);
	cr_expect_eq(seen.losts, 1);
	cr_expect_eq(seen.frees, 1);
}

Test(lib_exec, executions_outlive_their_box)
{
	job = start(&seen, CONKER_EXEC_STDIN, ARGV("sleep"));
	box = conker_box_free(box);
	cr_expect_eq(seen.losts, 1);
	cr_expect_eq(seen.frees, 1);
	cr_expect_eq(conker_exec_wait(job, -1, NULL), -ESHUTDOWN);
	cr_expect_eq(conker_exec_write(job, "x", 1), -ESHUTDOWN);
	cr_expect_eq(conker_exec_kill(job, 9, 0), -ESRCH);
}

Test(lib_exec, after_fork_the_child_is_refused)
{
	struct got g = {0};
	conker_exec *e = start(&g, 0, ARGV("sleep"));
	pid_t pid = fork();

	if (pid == 0) {
		int ok = conker_box_ping(box, 0) == -ECHILD &&
			 conker_exec_kill(e, 9, 0) == -ECHILD &&
			 conker_exec_wait(e, 0, NULL) == -ECHILD;
		conker_exec_free(e);
		conker_box_free(box);
		_exit(ok ? 0 : 1);
	}
	int status = -1;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
	cr_expect_eq(conker_box_ping(box, 20000), 0, "the parent's box lives on");
	cr_expect_eq(conker_exec_wait(e, 20, NULL), -ETIMEDOUT);
	conker_exec_free(e);
}

Test(lib_exec, the_callers_wait_never_meets_the_vmm)
{
	cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1);
	cr_expect_eq(errno, ECHILD);
}

/* ---- loops and threads ----------------------------------------------------------------------- */

Test(lib_exec, an_event_loop_needs_one_descriptor)
{
	struct pollfd p = {.fd = conker_box_fd(box), .events = POLLIN};
	int n = 0, rounds = 0;

	job = start(&seen, 0, ARGV("echo", "x"));
	while (!seen.exits && rounds++ < 100) {
		cr_assert_eq(poll(&p, 1, 20000), 1);
		int r = conker_box_dispatch(box);
		cr_assert_geq(r, 0);
		n += r;
	}
	cr_expect_eq(n, 3, "STARTED, STDOUT, EXIT");
	cr_expect_lt(rounds, 20);
	cr_expect_eq(poll(&p, 1, 50), 0, "quiet when nothing is pending");
}

static void *waiter(void *arg)
{
	return (void *)(intptr_t)conker_exec_wait(arg, -1, NULL);
}

Test(lib_exec, kill_works_while_another_thread_waits)
{
	pthread_t t;
	void *r = NULL;

	job = start(&seen, 0, ARGV("sleep"));
	pthread_create(&t, NULL, waiter, job);
	usleep(20000);
	cr_expect_eq(conker_exec_kill(job, SIGUSR1, CONKER_KILL_PROCESS), 0);
	pthread_join(t, &r);
	cr_expect_eq((intptr_t)r, 0);
	cr_expect_eq(seen.st.signo, SIGUSR1);
}

Test(lib_exec, followers_take_over_from_a_leader_that_leaves)
{
	enum { N = 16 };
	static struct got g[N];
	conker_exec *e[N];
	pthread_t t[N];

	for (int i = 0; i < N; i++) {
		e[i] = start(&g[i], 0, ARGV("sleep"));
		pthread_create(&t[i], NULL, waiter, e[i]);
	}
	for (int i = 0; i < N; i++) {
		usleep(1000);
		cr_expect_eq(conker_exec_kill(e[i], SIGTERM, 0), 0);
		pthread_join(t[i], NULL);
		cr_expect_eq(g[i].exits, 1);
		conker_exec_free(e[i]);
	}
}

static int slow_frees;

static void slow_free(void *user)
{
	(void)user;
	usleep(200000);
	__atomic_store_n(&slow_frees, 1, __ATOMIC_SEQ_CST);
}

Test(lib_exec, no_thread_sees_the_end_before_the_callbacks_free_has_returned)
{
	conker_exec_opts o = {.size = sizeof(o), .argv = ARGV("sleep")};
	unsigned char done = 0;
	pthread_t t;

	cr_assert_eq(conker_exec_start(box, &o, (conker_exec_cb){.free = slow_free}, &job), 0);
	pthread_create(&t, NULL, waiter, job);
	usleep(20000); /* for it to lead, and to run the callbacks */
	cr_expect_eq(conker_exec_kill(job, SIGTERM, 0), 0);
	while (conker_exec_wait(job, 0, NULL) == -ETIMEDOUT &&
	       conker_exec_wait_many(&job, 1, 1, 0, &done) == -ETIMEDOUT)
		usleep(1000);
	cr_expect_eq(__atomic_load_n(&slow_frees, __ATOMIC_SEQ_CST), 1);
	pthread_join(t, NULL);
}

static void on_alarm(int signo)
{
	(void)signo;
}

Test(lib_exec, a_signal_handler_interrupts_a_wait)
{
	job = start(&seen, 0, ARGV("sleep"));
	signal(SIGALRM, on_alarm);
	ualarm(50000, 50000); /* the first may come before it sleeps */
	cr_expect_eq(conker_exec_wait(job, 20000, NULL), -EINTR);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static int count(const conker_exec_info *i, void *user)
{
	if (strcmp(i->argv[0], "sleep") == 0 && !i->argv[1] && (uint64_t)i->pid == 1000 + i->id)
		++*(int *)user;
	return strcmp(i->name, "stop-here") == 0 ? 77 : 0;
}

Test(lib_exec, list_and_kill_by_name_and_number)
{
	struct got g = {0};
	conker_exec_opts o = {.size = sizeof(o), .argv = ARGV("sleep"), .name = "job"};
	conker_exec *e, *e2 = start(&g, 0, ARGV("sleep"));
	conker_status st = {.size = sizeof(st)};
	int n = 0;

	cr_assert_eq(conker_exec_start(box, &o, (conker_exec_cb){0}, &e), 0);
	cr_expect_eq(conker_exec_list(box, 0, count, &n), 0);
	cr_expect_eq(n, 2);
	cr_expect_eq(conker_exec_kill_ref(box, NAMED("nobody"), 15, 0), -ESRCH);
	cr_expect_eq(conker_exec_kill_ref(box, NAMED("job"), 99, 0), -EINVAL);
	cr_expect_eq(conker_exec_kill_ref(box, NAMED("job"), 15, CONKER_KILL_GROUP), 0);
	cr_expect_eq(conker_exec_wait(e, 20000, &st), 0);
	cr_expect_eq(st.signo, 15);
	cr_expect_eq(conker_exec_kill_ref(box, NUMBERED(conker_exec_id(e2)), 10, 0), 0);
	cr_expect_eq(conker_exec_wait(e2, 20000, &st), 0);
	cr_expect_eq(st.signo, 10);
	conker_exec_free(e);
	conker_exec_free(e2);
}
