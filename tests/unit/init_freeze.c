/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of guest-init's freezer: a snapshot's two worlds, without a snapshot. The sender of Resume
 * stands for the host of a restored box. */
#include "tests/lib/freeze_requests.h"

TestSuite(init_freeze, .init = serve_and_connect, .fini = clean_up, .timeout = 240);

/* ---- freezing and thawing ---- */

Test(init_freeze, nothing_runs_between_freeze_and_thaw_and_everything_after_it)
{
	struct conn user = connect_init(), c = connect_init();

	start_ticker(&user, 1, &cmd);
	await_ticks();
	cr_assert_eq(freeze_it(&c).done, 'd');
	cr_assert(still());
	cr_assert_eq(thaw(&c).done, 'd');
	await_ticks();
}

Test(init_freeze, an_empty_box_freezes_and_thaws_as_often_as_wanted)
{
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(freeze_it(&caller).done, 'd');
		cr_assert_eq(thaw(&caller).done, 'd');
	}
}

static char freezer_flag(void)
{
	char path[128], flag = 0;

	(void)snprintf(path, sizeof(path), "%s/cgroup.freeze", cgroup);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(read(fd, &flag, 1), 1);
	(void)close(fd);
	return flag;
}

/* A restored box that has nobody to thaw is spared the writing. */
Test(init_freeze, the_flag_is_set_only_where_there_is_somebody_to_freeze)
{
	struct conn user = connect_init(), c = connect_init();

	cr_assert_eq(freeze_it(&c).done, 'd');
	cr_assert_eq(freezer_flag(), '0');
	cr_assert_eq(thaw(&c).done, 'd');
	start_ticker(&user, 1, &cmd);
	cr_assert_eq(freeze_it(&c).done, 'd');
	cr_assert_eq(freezer_flag(), '1');
	cr_assert_eq(thaw(&c).done, 'd');
	cr_assert_eq(freezer_flag(), '0');
	await_ticks();
}

Test(init_freeze, pings_lists_and_new_connections_are_answered_while_it_is_frozen)
{
	struct conn user = connect_init(), c = connect_init();
	uint64_t exec = start_ticker(&user, 1, &cmd);

	cr_assert_eq(freeze_it(&c).done, 'd');
	pong(&c);
	pong(&user);
	cr_assert_eq(list_of("", exec, 0).listed, 1);
	cr_assert_eq(thaw(&c).done, 'd');
}

/* In a copy of the box another client stands at the end of the connection that froze it. */
Test(init_freeze, a_new_client_on_the_connection_that_froze_greets_again_and_resumes)
{
	struct conn user = connect_init(), c = connect_init();
	uint64_t exec = start_ticker(&user, 1, &cmd);

	cr_assert_eq(freeze_it(&c).done, 'd');
	hello(&c);
	pong(&c);
	cr_assert_eq(resume(&c).done, 'd');
	await_ticks();
	cr_assert_eq(status_of(exec), CONKER__STATUS__RUNNING);
	cr_assert_eq(freeze_it(&c).done, 'd', "and it can do all that clients do");
	cr_assert_eq(thaw(&c).done, 'd');
}

Test(init_freeze, nobody_else_greets_twice)
{
	struct conn other = connect_init();

	cr_assert_eq(freeze_it(&caller).done, 'd');
	hello(&other);
	struct result r = finish(&other, 1);
	expect_error(&r, EPROTO);
	cr_assert_eq(thaw(&caller).done, 'd');
	hello(&caller);
	r = finish(&caller, 1);
	expect_error(&r, EPROTO);
}

Test(init_freeze, a_second_freeze_is_refused_and_the_first_one_stands)
{
	struct conn user = connect_init(), c = connect_init(), other = connect_init();

	start_ticker(&user, 1, &cmd);
	cr_assert_eq(freeze_it(&c).done, 'd');
	struct result r = freeze_it(&other), again = freeze_it(&c);
	expect_error(&r, EBUSY);
	expect_error(&again, EBUSY);
	(void)close(other.fd);
	cr_assert(still());
	cr_assert_eq(thaw(&c).done, 'd');
}

Test(init_freeze, thaw_and_resume_of_what_is_not_frozen_and_thaw_by_another_are_errors)
{
	struct conn other = connect_init();
	struct result r = thaw(&caller);

	expect_error(&r, EINVAL);
	r = resume(&caller);
	expect_error(&r, EINVAL);
	cr_assert_eq(freeze_it(&caller).done, 'd');
	r = thaw(&other);
	expect_error(&r, EPERM);
	cr_assert_eq(thaw(&caller).done, 'd');
}

Test(init_freeze, a_start_waits_for_the_thaw_and_what_follows_it_keeps_its_order)
{
	struct conn user = connect_init();
	struct result r = {.out = keep(OUT_MAX)};

	pong(&user);
	cr_assert_eq(freeze_it(&caller).done, 'd');
	send_sh(&user, 1, "echo waited");
	step(&user, 1, &r, 300);
	cr_assert(!r.started && !r.done);
	cr_assert_eq(thaw(&caller).done, 'd');
	r = finish(&user, 1);
	cr_assert(said(&r, "waited\n"));
	pong(&user);
}

Test(init_freeze, the_holder_may_not_start_as_it_would_wait_for_itself)
{
	send_freeze(&caller);
	send_sh(&caller, 1, "true");
	send_thaw(&caller);
	struct result r = finish(&caller, 1);
	expect_error(&r, EBUSY);
	r = finish(&caller, THAW_CHANNEL);
	cr_assert_eq(r.done, 'd');
}

Test(init_freeze, a_client_that_goes_while_its_start_waits_started_nothing)
{
	struct conn user = connect_init();
	char script[160];

	cr_assert_eq(freeze_it(&caller).done, 'd');
	(void)snprintf(script, sizeof(script), "echo x >%s/ticks", dir);
	send_sh(&user, 1, script);
	pong(&caller);
	(void)close(user.fd);
	usleep(200000); /* its end is noticed by itself */
	cr_assert_eq(thaw(&caller).done, 'd');
	usleep(200000);
	cr_assert_eq(ticks(), 0);
}

/* So ends a vsock connection. It may have been a client of the world that was copied, which came
 * after the freeze. */
Test(init_freeze, a_client_that_only_ends_its_sending_has_gone_too)
{
	struct conn c = connect_init();
	char script[160];

	cr_assert_eq(freeze_it(&c).done, 'd');
	struct conn user = connect_init();
	(void)snprintf(script, sizeof(script), "echo x >%s/ticks", dir);
	cmd.detached = 1;
	start(&user, 1, &cmd, (const char *[]){"/bin/sh", "-c", script, NULL});
	pong(&c);
	(void)shutdown(user.fd, SHUT_WR);
	usleep(200000);
	cr_assert_eq(resume(&c).done, 'd');
	usleep(200000);
	cr_assert_eq(ticks(), 0);
	(void)close(user.fd);
}

/* Else he would take it that nothing of it had run. */
Test(init_freeze, whose_start_was_made_knows_before_anybody_knows_of_the_freeze)
{
	struct result r = {.out = keep(OUT_MAX)};
	struct conn c = connect_init(), user = connect_init();

	pong(&c);
	pong(&user);
	start(&user, 1, &cmd, (const char *[]){"/bin/sleep", "1000", NULL});
	struct result frozen = freeze_it(&c);
	(void)kill(server_pid, SIGSTOP);
	step(&user, 1, &r, 0);
	(void)kill(server_pid, SIGCONT);
	cr_assert_eq(frozen.done, 'd');
	cr_assert(r.started);
}

Test(init_freeze, signals_that_end_a_process_do_and_others_wait)
{
	struct conn user = connect_init(), c = connect_init();
	uint64_t killed = start_ticker(&user, 1, &cmd);
	struct result r = {.out = keep(OUT_MAX)};

	send_sh(&user, 2,
		"trap 'echo term; exit 4' TERM; echo ready; while :; do sleep 0.02; done");
	while (r.out_len == 0)
		step(&user, 2, &r, 100);
	cr_assert_eq(freeze_it(&c).done, 'd');
	send_signal(&user, 2, SIGTERM, CONKER__SCOPE__ALL);
	cr_assert_eq(finish(&user, 99).done, 'd');
	send_signal(&user, 1, SIGKILL, CONKER__SCOPE__ALL);
	cr_assert_eq(end_of(killed), CONKER__STATUS__KILLED);
	cr_assert_eq(status_of(killed + 1), CONKER__STATUS__RUNNING);
	cr_assert_eq(thaw(&c).done, 'd');
	cr_assert_eq(wait_exit(killed + 1).exit.code, 4);
}

/* Were it to fire while it is frozen, the grace period would pass without the process. */
Test(init_freeze, a_timeout_stands_still_and_leaves_its_process_the_time_it_had)
{
	enum { TIMEOUT_MS = 4000 };
	struct conn user = connect_init(), c = connect_init();
	int64_t begin_us = now_us();

	cmd.timeout_ms = TIMEOUT_MS;
	cmd.grace_ms = 20000;
	struct result r =
		begin(&user, 1, &cmd,
		      "trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.02; done");
	while (r.out_len < 6)
		step(&user, 1, &r, 100);
	cr_assert_eq(freeze_it(&c).done, 'd');
	int64_t left_us = ms_to_us(TIMEOUT_MS) - (now_us() - begin_us);
	usleep(1000 * TIMEOUT_MS);
	pong(&c);
	int64_t thaw_us = now_us();
	cr_assert_eq(thaw(&c).done, 'd');
	go_on(&user, 1, &r);
	cr_assert_eq(r.exit.status, CONKER__STATUS__TIMED_OUT);
	cr_assert_eq(r.exit.code, 5, "it could not handle the signal");
	cr_assert(said(&r, "ready\nterm\n"));
	cr_assert_geq(now_us() - thaw_us, left_us, "frozen time counted");
}

Test(init_freeze, a_restart_that_is_due_waits_for_the_thaw)
{
	Conker__Restart again = CONKER__RESTART__INIT;
	struct conn user = connect_init(), c = connect_init();
	char script[160];

	(void)snprintf(script, sizeof(script), "echo x >>%s/ticks; exit 1", dir);
	again.policy = CONKER__RESTART__POLICY__ON_FAILURE;
	again.max = 1;
	again.backoff_ms = 3000;
	cmd.restart = &again;
	start(&user, 1, &cmd, (const char *[]){"/bin/sh", "-c", script, NULL});
	for (int i = 0; i < WAIT_MS / 10 && ticks() == 0; i++)
		usleep(10000);
	await_started(&user, 1);
	await_status(1, CONKER__STATUS__BACKOFF);
	cr_assert_eq(freeze_it(&c).done, 'd');
	usleep(3500000);
	pong(&c);
	usleep(200000);
	cr_assert_eq(ticks(), 2);
	cr_assert_eq(thaw(&c).done, 'd');
	cr_assert_eq(finish(&user, 1).exit.restarts, 1);
	cr_assert_eq(ticks(), 4);
}

/* ---- lost connections ---- */

Test(init_freeze, after_the_loss_of_its_holder_it_thaws_by_itself)
{
	struct conn user = connect_init(), c = connect_init();
	int64_t t;

	start_ticker(&user, 1, &cmd);
	cr_assert_eq(freeze_it(&c).done, 'd');
	t = now_us();
	(void)close(c.fd);
	cr_assert(still());
	await_ticks();
	cr_assert_gt(now_us() - t, 4000000);
	cr_assert_eq(status_of(1), CONKER__STATUS__RUNNING);
}

Test(init_freeze, thaw_kills_what_lost_its_starter_meanwhile)
{
	struct conn user = connect_init(), c = connect_init();
	uint64_t exec = start_ticker(&user, 1, &cmd);

	cr_assert_eq(freeze_it(&c).done, 'd');
	(void)close(user.fd);
	pong(&c);
	usleep(200000);
	cr_assert_eq(status_of(exec), CONKER__STATUS__RUNNING);
	cr_assert_eq(thaw(&c).done, 'd');
	cr_assert_eq(end_of(exec), CONKER__STATUS__KILLED);
}

Test(init_freeze, the_end_of_the_lease_kills_what_lost_its_starter_meanwhile)
{
	struct conn user = connect_init(), c = connect_init();
	uint64_t exec = start_ticker(&user, 1, &cmd);

	cr_assert_eq(freeze_it(&c).done, 'd');
	(void)close(user.fd);
	(void)close(c.fd);
	cr_assert_eq(end_of(exec), CONKER__STATUS__KILLED);
}

/* ---- the new world ---- */

Test(init_freeze, resume_detaches_what_lost_its_starter_and_keeps_its_output)
{
	struct conn user = connect_init(), c = connect_init();
	char path[96], script[256];

	(void)snprintf(path, sizeof(path), "%s/victim", dir);
	(void)snprintf(script, sizeof(script),
		       "echo before; while [ ! -e %s ]; do sleep 0.1; done; echo after; exit 3",
		       path);
	start(&user, 1, &cmd, (const char *[]){"/bin/sh", "-c", script, NULL});
	await_started(&user, 1);
	await_output(1, 7);
	cr_assert_eq(freeze_it(&c).done, 'd');
	(void)close(user.fd);
	(void)close(c.fd);
	struct conn host = connect_init();
	cr_assert_eq(resume(&host).done, 'd');
	struct result r = list_of("", 1, 1);
	cr_assert(r.listing.detached);
	(void)close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	r = replay(1, 1);
	cr_assert(said(&r, "before\nafter\n"));
	cr_assert_eq(r.exit.code, 3);
	cr_assert_eq(r.exit.status, CONKER__STATUS__EXITED);
}

Test(init_freeze, resume_ends_the_connections_of_the_old_world_and_leaves_the_new_ones)
{
	struct conn user = connect_init(), c = connect_init();
	uint64_t exec = start_ticker(&user, 1, &cmd);

	cr_assert_eq(freeze_it(&c).done, 'd');
	struct conn host = connect_init(), other = connect_init();
	pong(&other);
	cr_assert_eq(resume(&host).done, 'd');
	cr_assert_eq(finish(&user, 1).done, 'c');
	cr_assert_eq(finish(&c, 1).done, 'c');
	pong(&other);
	await_ticks();
	cr_assert_eq(status_of(exec), CONKER__STATUS__RUNNING);
}

Test(init_freeze, a_client_can_feed_what_resume_detached)
{
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct conn user = connect_init(), c = connect_init();

	cmd.stdin_open = 1;
	start(&user, 1, &cmd, (const char *[]){"/bin/cat", NULL});
	send_stdin(&user, "one\n", 4, 0);
	await_started(&user, 1);
	await_output(1, 4);
	cr_assert_eq(freeze_it(&c).done, 'd');
	(void)close(user.fd);
	struct conn host = connect_init();
	cr_assert_eq(resume(&host).done, 'd');
	a.follow = a.feed = 1;
	attach(&host, 1, 1, &a);
	send_stdin(&host, "two\n", 4, 1);
	struct result r = finish(&host, 1);
	cr_assert(said(&r, "one\ntwo\n"), "%.*s", (int)r.out_len, r.out);
}

/* Its input could never end: it has no name that a client knows. */
Test(init_freeze, resume_ends_programs_of_inits_own_that_lost_their_client)
{
	struct conn user = connect_init(), c = connect_init();
	char path[96];

	(void)snprintf(path, sizeof(path), "%s/ticks", dir);
	cmd.builtin = cmd.stdin_open = 1;
	start(&user, 1, &cmd, (const char *[]){"conker-files", "write", path, "644", NULL});
	await_started(&user, 1);
	cr_assert_eq(freeze_it(&c).done, 'd');
	(void)close(user.fd);
	struct conn host = connect_init();
	cr_assert_eq(resume(&host).done, 'd');
	for (int i = 0; i < WAIT_MS / 10 && list_of("", 0, 0).listed > 0; i++)
		usleep(10000);
	cr_assert_eq(list_of("", 0, 0).listed, 0);
}

Test(init_freeze, a_start_behind_resume_runs_in_the_new_world)
{
	cr_assert_eq(freeze_it(&caller).done, 'd');
	struct conn host = connect_init();
	send_resume(&host, "newborn", "0123456789abcdef");
	send_sh(&host, 1, "hostname");
	struct result r = finish(&host, 1);
	cr_assert(said(&r, "newborn\n"), "%.*s", (int)r.out_len, r.out);
}

/* The connection that froze goes on in a copy of the box. */
Test(init_freeze, a_second_hello_of_the_holder_is_another_client_of_a_new_world)
{
	struct conn c = connect_init(), second = connect_init();
	uint64_t exec = start_ticker(&c, 1, &cmd);

	cr_assert_eq(freeze_it(&c).done, 'd');
	hello(&c);
	send_sh(&c, 1, "hostname"); /* on a channel that was the old client's */
	pong(&second);
	send_resume(&second, "newborn", "");
	struct result r = finish(&c, 1);
	cr_assert(said(&r, "newborn\n"), "%.*s", (int)r.out_len, r.out);
	cr_assert(list_of("", exec, 0).listing.detached);
	await_ticks();
}

Test(init_freeze, a_new_client_of_the_holders_connection_has_five_seconds_for_resume)
{
	struct conn user = connect_init(), c = connect_init();

	start_ticker(&user, 1, &cmd);
	cr_assert_eq(freeze_it(&c).done, 'd');
	hello(&c);
	pong(&c);
	cr_assert(still());
	struct result r = thaw(&c);
	expect_error(&r, EPERM);
	await_ticks();
}

/* Whoever was faster than the one that resumes the box. */
Test(init_freeze, a_start_that_came_before_resume_runs_after_it)
{
	cr_assert_eq(freeze_it(&caller).done, 'd');
	struct conn fast = connect_init(), host = connect_init();
	send_sh(&fast, 1, "hostname");
	pong(&host);
	send_resume(&host, "newborn", "");
	struct result r = finish(&fast, 1);
	cr_assert(said(&r, "newborn\n"), "%.*s", (int)r.out_len, r.out);
}

Test(init_freeze, the_generation_is_in_a_file_that_tells_of_its_change)
{
	char path[128], text[64] = "";
	struct inotify_event ev;

	(void)snprintf(path, sizeof(path), "%s" GENERATION_FILE, dir);
	cr_assert_eq(freeze_it(&caller).done, 'd');
	int watch = inotify_init1(IN_CLOEXEC);
	cr_assert_geq(inotify_add_watch(watch, path, IN_MODIFY), 0);
	send_resume(&caller, "", "0123456789abcdef");
	cr_assert_eq(read(watch, &ev, sizeof(ev)), sizeof(ev));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(read(fd, text, sizeof(text)), 33);
	cr_assert_str_eq(text, "30313233343536373839616263646566\n");
	(void)close(fd);
	(void)close(watch);
}

/* Root of the box may put anything there. */
Test(init_freeze, what_stands_in_the_place_of_the_generation_is_replaced_and_never_followed)
{
	char path[128], victim[96];
	struct stat st;

	(void)snprintf(victim, sizeof(victim), "%s/victim", dir);
	(void)snprintf(path, sizeof(path), "%s/run", dir);
	(void)mkdir(path, 0755);
	(void)snprintf(path, sizeof(path), "%s/run/conker", dir);
	(void)mkdir(path, 0755);
	(void)snprintf(path, sizeof(path), "%s" GENERATION_FILE, dir);
	cr_assert_eq(symlink(victim, path), 0);
	cr_assert_eq(freeze_it(&caller).done, 'd');
	send_resume(&caller, "", "0123456789abcdef");
	cr_assert_eq(finish(&caller, RESUME_CHANNEL).done, 'd');
	cr_assert_lt(lstat(victim, &st), 0);
	cr_assert_eq(lstat(path, &st), 0);
	cr_assert(S_ISREG(st.st_mode));
}
