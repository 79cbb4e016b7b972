/* SPDX-License-Identifier: Apache-2.0 */
/* lib_birth.c - creations that are interrupted, raced, or whose starter dies. */
#include <poll.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "tests/lib/snapshot_fixture.h"

TestSuite(lib_birth, .init = up, .fini = down, .timeout = 120);

static int create(uint32_t flags, conker_box **ret)
{
	conker_box_opts o = {.size = sizeof(o), .name = "b", .flags = flags};

	return conker_box_create(&o, ret);
}

/* ---- interruptions -------------------------------------------------------------------------------------- */

static void on_alarm(int signo)
{
	(void)signo;
}

/* Again and again: the first one may come before anybody sleeps. */
static void interrupt_after(suseconds_t us)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	struct itimerval t = {.it_value.tv_usec = us, .it_interval.tv_usec = 20000};

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
}

Test(lib_birth, an_interrupted_creation_leaves_nothing)
{
	conker_box_opts o = {.size = sizeof(o), .name = "b", .cmdline_append = "fake=noready"};
	int fds = open_fds();
	conker_box *b = NULL;

	for (suseconds_t us = 50; us < 60000; us += us / 2) {
		o.flags = o.flags ? 0 : CONKER_BOX_DETACHED;
		interrupt_after(us);
		cr_expect_eq(conker_box_create(&o, &b), -EINTR, "%s", conker_errmsg());
		interrupt_after(0);
		cr_expect_null(b);
		cr_assert_eq(boxes(), 0, "interrupted after %ld us", (long)us);
		cr_assert_eq(open_fds(), fds, "interrupted after %ld us", (long)us);
	}
}

Test(lib_birth, a_creation_may_be_interrupted_at_any_moment)
{
	conker_box_opts o = {.size = sizeof(o), .name = "b"};
	int fds = open_fds();
	conker_box *b;

	for (suseconds_t us = 100; us < 10000; us += 150) {
		o.flags = o.flags ? 0 : CONKER_BOX_DETACHED;
		b = NULL;
		interrupt_after(us);
		int r = conker_box_create(&o, &b);
		interrupt_after(0);
		cr_assert(r == -EINTR || r == 0, "after %ld us: %s", (long)us, conker_errmsg());
		if (r == 0)
			cr_expect_eq(conker_box_ping(b, 20000), 0, "%s", conker_errmsg());
		conker_box_free(b);
		if (r == 0 && o.flags)
			cr_expect_eq(conker_box_remove("b", CONKER_RM_FORCE), 0, "%s",
				     conker_errmsg());
		cr_assert_eq(boxes(), 0, "interrupted after %ld us", (long)us);
		cr_assert_eq(open_fds(), fds, "interrupted after %ld us", (long)us);
	}
}

/* ---- starters that die ----------------------------------------------------------------------------------- */

static int name_count;

static int count_one(const conker_box_info *i, void *user)
{
	(void)user;
	name_count += strcmp(i->name, "b") == 0;
	return 0;
}

/* The child creates a box and is killed after so many microseconds. */
static pid_t killed_starter(uint32_t flags, unsigned after_us)
{
	pid_t pid = fork();

	if (pid == 0) {
		conker_box *b;
		create(flags, &b);
		pause();
		_exit(0);
	}
	usleep(after_us);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return pid;
}

Test(lib_birth, a_starter_killed_at_any_moment_leaves_what_is_swept)
{
	for (unsigned us = 0; us < 12000; us += 400) {
		killed_starter(0, us);
		for (int i = 0; i < 4000 && boxes() > 0; i++) {
			name_count = 0;
			cr_assert_eq(conker_box_list(count_one, NULL), 0);
			usleep(5000);
		}
		cr_assert_eq(boxes(), 0, "killed after %u us", us);
	}
}

Test(lib_birth, a_box_being_born_is_not_swept)
{
	conker_box *b = NULL;
	int stop[2];

	cr_assert_eq(pipe(stop), 0);
	pid_t sweeper = fork();
	if (sweeper == 0) {
		struct pollfd p = {.fd = stop[0], .events = POLLIN};
		close(stop[1]); /* the test's own end, however it comes, stops us */
		while (poll(&p, 1, 0) == 0)
			conker_box_list(count_one, NULL);
		_exit(0);
	}
	for (int i = 0; i < 30; i++) {
		cr_assert_eq(create(i % 2 ? CONKER_BOX_DETACHED : 0, &b), 0, "%s", conker_errmsg());
		cr_assert_eq(conker_box_ping(b, 20000), 0, "round %d: %s", i, conker_errmsg());
		conker_box_free(b);
		if (i % 2)
			cr_assert_eq(conker_box_remove("b", CONKER_RM_FORCE), 0);
	}
	cr_assert_eq(write(stop[1], "x", 1), 1);
	waitpid(sweeper, NULL, 0);
}

Test(lib_birth, a_dead_box_gives_its_name_free)
{
	conker_box *b;

	killed_starter(0, 30000);
	for (int i = 0; i < 4000 && (b = NULL, create(0, &b)) == -EEXIST; i++)
		usleep(5000);
	cr_assert_not_null(b);
	conker_box_free(b);
}

Test(lib_birth, one_of_many_creators_of_a_name_wins)
{
	enum { N = 6 };
	pid_t pid[N];
	int wins = 0, losses = 0;

	for (int i = 0; i < N; i++) {
		pid[i] = fork();
		if (pid[i] == 0) {
			conker_box *b;
			int r = create(CONKER_BOX_DETACHED, &b);
			_exit(r == 0 ? 10 : r == -EEXIST ? 11 : 12);
		}
	}
	for (int i = 0; i < N; i++) {
		int status;
		waitpid(pid[i], &status, 0);
		wins += WEXITSTATUS(status) == 10;
		losses += WEXITSTATUS(status) == 11;
	}
	cr_expect_eq(wins, 1);
	cr_expect_eq(losses, N - 1);
	cr_expect_eq(conker_box_remove("b", CONKER_RM_FORCE), 0);
}

/* ---- without waiting ------------------------------------------------------------------------------------- */

/* What conker_box_create_poll() says once it says something, by descriptor and dispatch alone. */
static int await_poll(conker_box *b, int *ret_turns)
{
	int r = 0;

	for (*ret_turns = 0; r == 0 && *ret_turns < 1000; ++*ret_turns) {
		struct pollfd p = {.fd = conker_box_fd(b), .events = POLLIN};

		cr_assert_eq(poll(&p, 1, 20000), 1, "nobody woke us");
		(void)conker_box_dispatch(b);
		r = conker_box_create_poll(b);
	}
	return r;
}

Test(lib_birth, a_creation_need_not_be_waited_for)
{
	static const uint32_t flags[] = {0, CONKER_BOX_DETACHED};
	int fds = open_fds(), turns;

	for (size_t i = 0; i < countof(flags); i++) {
		conker_box_opts o = {.size = sizeof(o), .name = "b", .flags = flags[i]};
		conker_box *b = NULL;

		cr_assert_eq(conker_box_create_start(&o, &b), 0, "%s", conker_errmsg());
		cr_expect_eq(await_poll(b, &turns), 1, "%s", conker_errmsg());
		cr_expect_eq(conker_box_create_poll(b), 1, "and stays so");
		cr_expect_eq(conker_box_ping(b, 20000), 0, "%s", conker_errmsg());
		conker_box_free(b);
		cr_expect_eq(boxes(), flags[i] ? 1 : 0, "detached it is on its own, else over");
		if (flags[i])
			cr_expect_eq(conker_box_remove("b", CONKER_RM_FORCE), 0);
		cr_expect_eq(open_fds(), fds);
	}
}

Test(lib_birth, one_that_fails_or_takes_too_long_says_so_as_often_as_it_is_asked)
{
	static const struct {
		const char *append;
		int timeout_ms, want;
	} cases[] = {
		{"fake=noready", 200, -ETIMEDOUT},
		{"fake=panic", 20000, -ECONNABORTED},
	};
	int fds = open_fds(), turns;

	for (size_t i = 0; i < countof(cases); i++) {
		conker_box_opts o = {.size = sizeof(o),
				     .name = "b",
				     .flags = CONKER_BOX_DETACHED,
				     .cmdline_append = cases[i].append,
				     .ready_timeout_ms = cases[i].timeout_ms};
		conker_box *b = NULL;

		cr_assert_eq(conker_box_create_start(&o, &b), 0, "%s", conker_errmsg());
		cr_expect_eq(await_poll(b, &turns), cases[i].want, "%s", conker_errmsg());
		cr_expect_eq(conker_box_create_poll(b), cases[i].want);
		cr_expect_lt(turns, 20, "no busy wait: %d turns", turns);
		conker_box_free(b);
		cr_expect_eq(boxes(), 0);
		cr_expect_eq(open_fds(), fds);
	}
}

Test(lib_birth, one_that_is_let_go_before_it_is_ready_leaves_nothing)
{
	conker_box_opts o = {.size = sizeof(o),
			     .name = "b",
			     .flags = CONKER_BOX_DETACHED,
			     .cmdline_append = "fake=noready"};
	int fds = open_fds();
	conker_box *b = NULL;

	cr_assert_eq(conker_box_create_start(&o, &b), 0, "%s", conker_errmsg());
	cr_expect_eq(conker_box_create_poll(b), 0, "not yet");
	conker_box_free(b);
	cr_expect_eq(boxes(), 0);
	cr_expect_eq(open_fds(), fds);
}
