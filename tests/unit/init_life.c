/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of the life of an execution: statuses, stdin, restarts, children left behind, streams put
 * elsewhere; tests/lib/init_fixture.h says how the server comes to run here. */
#include "tests/lib/init_requests.h"

TestSuite(init_life, .init = serve_and_connect, .fini = stop_server, .timeout = 240);

/* ---- statuses ---- */

Test(init_life, statuses_tell_who_ended_it)
{
	static const struct {
		const char *script;
		int signo;
		Conker__Status status;
	} cases[] = {
		{"exit 0", 0, CONKER__STATUS__EXITED},
		{"kill -KILL $$", 0, CONKER__STATUS__SIGNALED},
		{"sleep 30", SIGUSR1, CONKER__STATUS__SIGNALED},
		{"sleep 30", SIGTERM, CONKER__STATUS__KILLED},
		{"sleep 30", SIGKILL, CONKER__STATUS__KILLED},
		{"trap 'exit 3' TERM; echo; while :; do sleep 0.1; done", SIGTERM,
		 CONKER__STATUS__EXITED},
	};

	for (size_t i = 0; i < countof(cases); i++) {
		uint64_t id = sh_detached(cases[i].script);

		if (strstr(cases[i].script, "trap"))
			await_output(id, 1);
		if (cases[i].signo)
			cr_assert_eq(
				signal_exec(id, (uint32_t)cases[i].signo, CONKER__SCOPE__ALL).done,
				'd');
		struct result r = wait_exit(id);
		cr_assert_eq(r.exit.status, cases[i].status, "case %zu: %d", i, r.exit.status);
		cr_assert_eq(status_of(id), cases[i].status);
	}
	cmd.timeout_ms = 100;
	cmd.grace_ms = 1000;
	struct result r = wait_exit(begin_detached(&cmd, "sleep 30"));
	cr_assert_eq(r.exit.status, CONKER__STATUS__TIMED_OUT);
}

Test(init_life, a_stopped_execution_is_listed_so_until_it_goes_on)
{
	uint64_t id = sh_detached("sleep 30");

	for (int i = 0; i < 3; i++) {
		cr_assert_eq(status_of(id), CONKER__STATUS__RUNNING);
		cr_assert_eq(signal_exec(id, SIGSTOP, CONKER__SCOPE__PROCESS).done, 'd');
		await_status(id, CONKER__STATUS__STOPPED);
		cr_assert_eq(status_of(id), CONKER__STATUS__STOPPED, "asking changed it");
		cr_assert_eq(signal_exec(id, SIGCONT, CONKER__SCOPE__PROCESS).done, 'd');
		await_status(id, CONKER__STATUS__RUNNING);
	}
}

/* ---- the end of the box ---- */

static void await_server_end(void)
{
	for (int i = 0; i < WAIT_MS / 10 && server_pid > 0; i++) {
		if (waitpid(server_pid, NULL, WNOHANG) == server_pid)
			server_pid = 0;
		else
			usleep(10000);
	}
	cr_assert_eq(server_pid, 0, "it still serves");
}

/* Asks for it, and waits until it is over: milliseconds. */
static int64_t shut_down(uint32_t grace_ms)
{
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	Conker__Shutdown s = CONKER__SHUTDOWN__INIT;
	struct conn c = connect_init();
	int64_t begin_us = now_us();

	s.grace_ms = grace_ms;
	m.channel = 1;
	m.msg_case = CONKER__CLIENT_MSG__MSG_SHUTDOWN;
	m.shutdown = &s;
	send_msg(&c, &m);
	cr_expect_eq(finish(&c, 1).done, 'd');
	await_server_end();
	return (now_us() - begin_us) / 1000;
}

/* One that says "begun" when it is ready to be asked by SIGINT, and would be started again. */
static struct result begin_stoppable(struct conn *c, const char *script)
{
	Conker__Start s = CONKER__START__INIT;
	Conker__Restart again = CONKER__RESTART__INIT;

	again.policy = CONKER__RESTART__POLICY__ALWAYS;
	s.restart = &again;
	s.stop_signal = SIGINT;
	struct result r = begin(c, 1, &s, script);
	await_output(r.start.exec, strlen("begun\n"));
	return r;
}

Test(init_life, a_box_that_is_shut_down_waits_for_what_has_a_stop_signal)
{
	struct conn c = connect_init();
	struct result r = begin_stoppable(
		&c,
		"trap 'sleep 0.3; echo bye; exit 0' INT; echo begun; while :; do sleep 0.05; done");

	(void)sh_detached("trap '' TERM INT; sleep 30");
	cr_expect_lt(shut_down(WAIT_MS), WAIT_MS / 2,
		     "it has ended, and nobody else is waited for");
	go_on(&c, 1, &r);
	cr_expect(r.done == 'x' && r.exit.status == CONKER__STATUS__EXITED && !r.exit.restarts);
	cr_expect(said(&r, "begun\nbye\n"), "%.*s", (int)r.out_len, r.out);
}

Test(init_life, a_box_that_is_shut_down_waits_no_longer_than_it_was_told)
{
	struct conn c = connect_init();

	(void)begin_stoppable(&c, "trap '' INT; echo begun; while :; do sleep 0.05; done");
	int64_t ms = shut_down(500);
	cr_expect(ms >= 500 && ms < WAIT_MS / 2, "%d ms", (int)ms);
}

Test(init_life, a_timeout_asks_by_the_stop_signal)
{
	Conker__Start s = CONKER__START__INIT;

	s.timeout_ms = 200;
	s.grace_ms = 20000;
	s.stop_signal = SIGINT;
	struct result r = wait_exit(begin_detached(
		&s, "trap 'exit 5' INT; trap '' TERM; while :; do sleep 0.05; done"));
	cr_expect_eq(r.exit.status, CONKER__STATUS__TIMED_OUT);
	cr_expect_eq(r.exit.code, 5);
}

/* ---- stdin ---- */

static void send_input(struct conn *c, uint32_t channel, const char *text, int eof, int flush)
{
	Conker__Stdin in = CONKER__STDIN__INIT;

	in.data = bytes(text);
	in.eof = eof;
	in.flush = flush;
	ask(c, channel, CONKER__CLIENT_MSG__MSG_INPUT, &in);
}

static void await_credits(struct conn *c, struct result *r, int n)
{
	for (int i = 0; i < 100 && r->n_credits < n && !r->done; i++)
		step(c, 1, r, 50);
	cr_assert_geq(r->n_credits, n);
}

Test(init_life, a_flush_is_answered_when_all_was_taken)
{
	struct conn c = connect_init();

	cmd.stdin_open = 1;
	struct result r = begin(&c, 1, &cmd, "cat");
	cr_assert_eq(r.start.stdin_window, STDIN_WINDOW_BYTES);
	send_input(&c, 1, "hello", 0, 1);
	await_credits(&c, &r, 1);
	cr_assert_eq(r.credit, 5);
	cr_assert_eq(r.dropped, 0);
	send_input(&c, 1, "", 0, 1); /* nothing is pending: an answer all the same */
	await_credits(&c, &r, 2);
	send_input(&c, 1, "!", 1, 1);
	go_on(&c, 1, &r);
	cr_assert(said(&r, "hello!"));
	cr_assert_eq(r.credit, 6);
}

Test(init_life, stdin_that_went_nowhere_is_granted_back_as_dropped)
{
	struct conn c = connect_init();

	cmd.stdin_open = 1;
	struct result r = begin(&c, 1, &cmd, "exec <&-; echo closed; sleep 1");
	while (r.out_len == 0)
		step(&c, 1, &r, 50);
	send_input(&c, 1, "12345", 0, 0);
	await_credits(&c, &r, 1);
	cr_assert_eq(r.dropped, 5);
	send_input(&c, 1, "678", 0, 1);
	await_credits(&c, &r, 2);
	cr_assert_eq(r.dropped, 8);
	go_on(&c, 1, &r);
	cr_assert_eq(r.exit.code, 0);
}

Test(init_life, one_view_feeds_at_a_time_and_the_next_one_has_the_window)
{
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct conn c = connect_init(), d = connect_init();

	cmd.stdin_open = 1;
	struct result r = begin(&c, 1, &cmd, "cat; exit 7");
	uint64_t id = r.start.exec;
	send_input(&c, 1, "one ", 0, 0);
	a.follow = a.feed = 1;
	attach(&d, 1, id, &a);
	cr_assert_eq(finish(&d, 1).code, EBUSY);
	detach(&c, 1);
	go_on(&c, 1, &r);
	cr_assert_eq(list_of("", id, 0).listing.stdin_writable, 1);
	attach(&d, 1, id, &a);
	send_input(&d, 1, "two", 1, 0);
	r = (struct result){.out = keep(OUT_MAX)};
	go_on(&d, 1, &r);
	cr_assert_eq(r.start.feeds, 1);
	cr_assert_eq(r.start.stdin_window, STDIN_WINDOW_BYTES);
	cr_assert(said(&r, "one two"));
	cr_assert_eq(r.exit.code, 7);
}

Test(init_life, a_view_that_does_not_feed_gets_its_stdin_back)
{
	uint64_t id = sh_detached("sleep 1");
	struct result r = {.out = keep(OUT_MAX)};
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct conn c = connect_init();

	a.follow = 1;
	attach(&c, 1, id, &a);
	send_input(&c, 1, "xyz", 0, 0);
	await_credits(&c, &r, 1);
	cr_assert_eq(r.start.feeds, 0);
	cr_assert_eq(r.start.stdin_window, 0);
	cr_assert_eq(r.dropped, 3);
}

/* Waits for a signal, then counts its input. */
#define COUNTS_LATER "trap go=1 USR1; echo; until [ $go ]; do sleep 0.05; done; cat | wc -c"

/* As much as a feeder may send while nobody reads: what the pipe takes, and a full queue behind it.
 * Returns how much. */
static size_t fill_input(struct conn *c, struct result *r)
{
	static const uint8_t zeros[FRAME_DATA_BYTES];
	size_t sent = 0;

	for (; sent < STDIN_WINDOW_BYTES; sent += sizeof(zeros))
		send_stdin(c, zeros, sizeof(zeros), 0);
	send_input(c, 1, "", 0, 1);
	await_credits(c, r, 1);
	for (size_t more = r->credit; more > 0; more -= min_(more, sizeof(zeros)))
		send_stdin(c, zeros, min_(more, sizeof(zeros)), 0);
	return sent + r->credit;
}

Test(init_life, what_one_feeder_has_left_is_fed_first_and_is_no_credit_of_the_next)
{
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct conn c = connect_init(), d = connect_init();
	char sum[32];

	cmd.stdin_open = 1;
	struct result r = begin(&c, 1, &cmd, COUNTS_LATER), v = {.out = keep(OUT_MAX)};
	await_output(r.start.exec, 1);
	size_t sent = fill_input(&c, &r);
	detach(&c, 1);
	go_on(&c, 1, &r);
	a.follow = a.feed = 1;
	attach(&d, 1, r.start.exec, &a);
	while (!v.started && !v.done)
		step(&d, 1, &v, 100);
	cr_assert_eq(v.start.feeds, 1, "a window of 0 is not the same as no stdin");
	cr_assert_eq(v.start.stdin_window, 0);
	cr_assert_eq(signal_exec(r.start.exec, SIGUSR1, CONKER__SCOPE__PROCESS).done, 'd');
	while (v.opened < STDIN_WINDOW_BYTES && !v.done)
		step(&d, 1, &v, 100);
	cr_assert_eq(v.opened, STDIN_WINDOW_BYTES);
	cr_assert_eq(v.credit, 0, "it has sent nothing");
	send_input(&d, 1, "xyz", 1, 1);
	go_on(&d, 1, &v);
	cr_assert_eq(v.credit, 3);
	(void)snprintf(sum, sizeof(sum), "\n%zu\n", sent + 3);
	cr_assert(said(&v, sum), "%.*s", (int)v.out_len, v.out);
}

Test(init_life, a_feeder_without_a_window_hears_that_stdin_was_closed)
{
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct conn c = connect_init(), d = connect_init();

	cmd.stdin_open = 1;
	struct result r = begin(&c, 1, &cmd,
				"trap 'exec <&-' USR1; echo; while :; do sleep 0.05; done"),
		      v = {.out = keep(OUT_MAX)};
	await_output(r.start.exec, 1);
	(void)fill_input(&c, &r);
	detach(&c, 1);
	go_on(&c, 1, &r);
	a.feed = a.follow = 1;
	attach(&d, 1, r.start.exec, &a);
	await_started(&d, 1);
	cr_assert_eq(signal_exec(r.start.exec, SIGUSR1, CONKER__SCOPE__PROCESS).done, 'd');
	await_credits(&d, &v, 1);
	cr_assert_eq(v.credit, 0);
	cr_assert_eq(v.opened, STDIN_WINDOW_BYTES);
	cr_assert_eq(signal_exec(r.start.exec, SIGKILL, CONKER__SCOPE__ALL).done, 'd');
}

/* ---- the end of a terminal's input ---- */

Test(init_life, the_end_of_input_arrives_behind_whatever_a_terminal_was_sent_last)
{
	static const struct {
		const char *script, *input, *output;
	} cases[] = {
		{"stty -echo; echo; cat", "half", "\r\nhalf"},
		{"stty -echo; echo; cat", "line\n", "\r\nline\r\n"},
		{"stty -echo; echo; cat", "line\r", "\r\nline\r\n"},
		{"stty -echo; echo; cat", "", "\r\n"},
		{"stty -echo; echo; cat", "half\x04", "\r\nhalf"},
		{"stty -echo eof '#'; echo; cat", "half", "\r\nhalf"},
		{"stty -echo; echo; cat; head -c 1; echo .", "half\n\x04x", "\r\nhalf\r\nx.\r\n"},
	};

	for (size_t i = 0; i < countof(cases); i++) {
		Conker__Start s = CONKER__START__INIT;
		Conker__Tty t = CONKER__TTY__INIT;
		struct conn c = connect_init();

		s.tty = &t;
		struct result r = begin(&c, 1, &s, cases[i].script);
		await_output(r.start.exec, 2);
		send_input(&c, 1, cases[i].input, 1, 0);
		go_on(&c, 1, &r);
		cr_assert(said(&r, cases[i].output), "case %zu: %.*s", i, (int)r.out_len, r.out);
		cr_assert_eq(r.exit.code, 0);
		(void)close(c.fd);
	}
}

/* Fills a terminal that nobody reads, and ends its input when it has taken so many bytes (0: all
 * that it takes). Returns what it took. */
static size_t fill_terminal(size_t most, struct result *ret)
{
	static const char line[] = "0123456789abcde\n";
	Conker__Start s = CONKER__START__INIT;
	Conker__Tty t = CONKER__TTY__INIT;
	struct conn c = connect_init();
	char chunk[1024];
	size_t sent = 0;

	for (size_t i = 0; i < sizeof(chunk); i++)
		chunk[i] = line[i % 16];
	s.tty = &t;
	*ret = begin(&c, 1, &s, "stty -echo; " COUNTS_LATER);
	await_output(ret->start.exec, 2);
	for (int full = 0; !full && sent < STDIN_WINDOW_BYTES && (!most || sent < most);) {
		size_t n = most ? min_(most - sent, sizeof(chunk)) : sizeof(chunk);

		send_stdin(&c, chunk, n, 0);
		sent += n;
		send_input(&c, 1, "", 0, 1);
		for (int i = 0; i < 20 && ret->credit < sent; i++)
			step(&c, 1, ret, 50);
		full = ret->credit < sent;
	}
	size_t taken = ret->credit;
	if (most) {
		send_stdin(&c, "", 0, 1);
		usleep(100000); /* it has been told, and there was no room */
		(void)signal_exec(ret->start.exec, SIGUSR1, CONKER__SCOPE__PROCESS);
		go_on(&c, 1, ret);
	}
	(void)close(c.fd);
	return taken;
}

Test(init_life, the_end_of_input_waits_until_a_terminal_has_room_for_it)
{
	struct result r;
	size_t room = 0, taken = 1;
	char sum[32];

	/* How much a terminal takes depends on when the kernel moves it on: until one takes as much as the one before. */
	for (int i = 0; i < 10 && taken != room; i++) {
		room = fill_terminal(0, &r);
		cr_assert_gt(room, 4096);
		taken = fill_terminal(room, &r);
	}
	cr_assert_eq(taken, room);
	(void)snprintf(sum, sizeof(sum), "\r\n%zu\r\n", room);
	cr_assert(said(&r, sum), "%.*s", (int)r.out_len, r.out);
}

/* ---- restarts ---- */

static uint64_t begin_restarted(Conker__Restart__Policy policy, uint32_t max, uint32_t backoff_ms,
				const char *script)
{
	Conker__Start s = CONKER__START__INIT;
	Conker__Restart p = CONKER__RESTART__INIT;

	p.policy = policy;
	p.max = max;
	p.backoff_ms = backoff_ms;
	s.restart = &p;
	return begin_detached(&s, script);
}

Test(init_life, is_restarted_on_failure_up_to_its_maximum_with_one_exit_and_one_log)
{
	Conker__Restart p = CONKER__RESTART__INIT;
	ProtobufCBinaryData env = bytes("WORD=again");

	p.policy = CONKER__RESTART__POLICY__ON_FAILURE;
	p.max = 3;
	p.backoff_ms = 50;
	cmd.restart = &p;
	cmd.env = &env;
	cmd.n_env = 1;
	struct result r = begin(&caller, 1, &cmd, "echo $WORD; exit 4");
	go_on(&caller, 1, &r);
	cr_assert_eq(r.done, 'x');
	cr_assert(said(&r, "again\nagain\nagain\nagain\n"), "%.*s", (int)r.out_len, r.out);
	cr_assert_eq(r.exit.restarts, 3);
	cr_assert_eq(r.exit.code, 4);
	cr_assert_eq(r.exit.out_bytes, 24);
	cr_assert_eq(list_of("", 0, 1).listed, 1);
}

Test(init_life, success_is_restarted_only_by_always)
{
	uint64_t a = begin_restarted(CONKER__RESTART__POLICY__ON_FAILURE, 5, 10, "exit 0");
	uint64_t b = begin_restarted(CONKER__RESTART__POLICY__ALWAYS, 5, 10, "exit 0");

	cr_assert_eq(wait_exit(a).exit.restarts, 0);
	cr_assert_eq(wait_exit(b).exit.restarts, 5);
}

Test(init_life, kill_stops_the_restarts_while_it_runs_and_while_it_waits)
{
	uint64_t a = begin_restarted(CONKER__RESTART__POLICY__ALWAYS, 0, 10, "sleep 30");
	uint64_t b = begin_restarted(CONKER__RESTART__POLICY__ALWAYS, 0, 30000, "exit 1");

	usleep(100000);
	cr_assert_eq(signal_exec(a, SIGTERM, CONKER__SCOPE__PROCESS).done, 'd');
	struct result r = wait_exit(a);
	cr_assert_eq(r.exit.status, CONKER__STATUS__KILLED);
	cr_assert_eq(r.exit.restarts, 0);
	await_status(b, CONKER__STATUS__BACKOFF);
	cr_assert_eq(signal_exec(b, SIGUSR1, CONKER__SCOPE__PROCESS).code, ESRCH);
	cr_assert_eq(signal_exec(b, SIGKILL, CONKER__SCOPE__PROCESS).done, 'd');
	r = wait_exit(b);
	cr_assert_eq(r.exit.status, CONKER__STATUS__KILLED);
	cr_assert_eq(r.exit.code, 1);
}

static void ask_to_end(uint64_t id)
{
	cr_assert_eq(signal_exec(id, SIGTERM, CONKER__SCOPE__PROCESS).done, 'd');
}

Test(init_life, a_sigterm_that_a_run_survives_does_not_end_its_restarts)
{
	uint64_t id = begin_restarted(CONKER__RESTART__POLICY__ALWAYS, 0, 10,
				      "trap 'echo t' TERM; echo; while :; do sleep 0.05; done");

	for (uint64_t run = 0; run < 3; run++) {
		await_output(id, run * 3 + 1);
		ask_to_end(id);
		await_output(id, run * 3 + 3);
		cr_assert_eq(list_of("", id, 0).listing.restarts, run);
		cr_assert_eq(signal_exec(id, SIGUSR1, CONKER__SCOPE__PROCESS).done, 'd');
	}
	await_output(id, 10);
	cr_assert_eq(signal_exec(id, SIGKILL, CONKER__SCOPE__PROCESS).done, 'd');
	cr_assert_eq(wait_exit(id).exit.restarts, 3);
}

Test(init_life, a_failure_long_after_a_sigterm_is_none_of_its_doing)
{
	uint64_t id = begin_restarted(CONKER__RESTART__POLICY__ON_FAILURE, 1, 10,
				      "trap 'go=1' TERM; echo; until [ $go ]; do sleep 0.05; done; "
				      "sleep 3; exit 5");

	await_output(id, 1);
	ask_to_end(id);
	await_output(id, 2);
	cr_assert_eq(signal_exec(id, SIGKILL, CONKER__SCOPE__PROCESS).done, 'd');
	cr_assert_eq(wait_exit(id).exit.restarts, 1);
}

Test(init_life, an_exit_on_sigterm_ends_the_restarts_also_an_orderly_one_that_takes_its_time)
{
	static const char *const scripts[] = {
		"trap 'exit 3' TERM; echo; while :; do sleep 0.05; done",
		"trap 'sleep 3; exit 0' TERM; echo; while :; do sleep 0.05; done",
		"trap 'sleep 3; exit 143' TERM; echo; while :; do sleep 0.05; done",
	};

	for (size_t i = 0; i < countof(scripts); i++) {
		uint64_t id = begin_restarted(CONKER__RESTART__POLICY__ALWAYS, 1, 10, scripts[i]);

		await_output(id, 1);
		ask_to_end(id);
		struct result r = wait_exit(id);
		cr_assert_eq(r.exit.restarts, 0, "case %zu", i);
		cr_assert_eq(r.exit.status, CONKER__STATUS__EXITED);
	}
}

Test(init_life, a_timeout_counts_per_run_and_is_restarted_only_by_always)
{
	for (int always = 0; always < 2; always++) {
		Conker__Start s = CONKER__START__INIT;
		Conker__Restart p = CONKER__RESTART__INIT;

		p.policy = always ? CONKER__RESTART__POLICY__ALWAYS
				  : CONKER__RESTART__POLICY__ON_FAILURE;
		p.max = 2;
		p.backoff_ms = 10;
		s.restart = &p;
		s.timeout_ms = 100;
		s.grace_ms = 100;
		struct result r = wait_exit(begin_detached(&s, "sleep 30"));
		cr_assert_eq(r.exit.status, CONKER__STATUS__TIMED_OUT);
		cr_assert_eq(r.exit.restarts, always ? 2 : 0);
	}
}

Test(init_life, a_restart_that_cannot_start_ends_it_as_failed)
{
	Conker__Restart p = CONKER__RESTART__INIT;
	char path[96], script[256];
	struct conn c = connect_init();

	p.policy = CONKER__RESTART__POLICY__ALWAYS;
	p.backoff_ms = 10;
	cmd.restart = &p;
	cmd.detached = 1;
	(void)snprintf(path, sizeof(path), "/tmp/conker-once-%d", getpid());
	(void)snprintf(script, sizeof(script), "#!/bin/sh\nrm %s\necho ran\n", path);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	cr_assert_eq(write(fd, script, strlen(script)), (ssize_t)strlen(script));
	(void)close(fd);
	start(&c, 1, &cmd, (const char *[]){path, NULL});
	struct result r = finish(&c, 1);
	(void)unlink(path);
	cr_assert_eq(r.done, 'x');
	cr_assert_eq(r.exit.status, CONKER__STATUS__FAILED);
	cr_assert_eq(r.exit.code, 127);
	cr_assert(said(&r, "ran\n"));
}

Test(init_life, backoff_doubles)
{
	int64_t t = now_us();
	uint64_t id = begin_restarted(CONKER__RESTART__POLICY__ALWAYS, 3, 100, "exit 1");

	cr_assert_eq(wait_exit(id).exit.restarts, 3);
	cr_assert_geq(now_us() - t, 700000); /* 100 + 200 + 400 */
}

Test(init_life, the_loss_of_the_starter_ends_the_restarts)
{
	Conker__Restart p = CONKER__RESTART__INIT;

	p.policy = CONKER__RESTART__POLICY__ALWAYS;
	p.backoff_ms = 20000;
	cmd.restart = &p;
	struct result r = begin(&caller, 1, &cmd, "exit 1");
	await_status(r.start.exec, CONKER__STATUS__BACKOFF);
	(void)close(caller.fd);
	r = wait_exit(r.start.exec);
	cr_assert_eq(r.exit.status, CONKER__STATUS__KILLED);
}

/* ---- children left behind ---- */

static struct result leave(struct conn *c, uint32_t timeout_ms, const char *script)
{
	Conker__Start s = CONKER__START__INIT;

	s.leave_children = 1;
	s.timeout_ms = timeout_ms;
	s.grace_ms = 100;
	struct result r = begin(c, 1, &s, script);
	if (!r.done)
		go_on(c, 1, &r);
	return r;
}

Test(init_life, what_main_leaves_behind_lives_on_listed_and_killable)
{
	struct result r =
		leave(&caller, 0, "(sleep 0.6; echo server; sleep 30) & echo main; exit 3");
	uint64_t id = r.start.exec;

	cr_assert_eq(r.done, 'x');
	cr_assert_eq(r.exit.code, 3);
	cr_assert(said(&r, "main\n"));
	(void)close(caller.fd); /* nobody is needed any more */
	struct result l = list_of("", id, 0);
	cr_assert_eq(l.listing.status, CONKER__STATUS__LEFT);
	cr_assert_eq(list_of("", 0, 0).listed, 1);
	await_output(id, 12);
	r = replay(id, 0);
	cr_assert(said(&r, "main\nserver\n"), "%.*s", (int)r.out_len, r.out);
	cr_assert_eq(signal_exec(id, SIGTERM, CONKER__SCOPE__PROCESS).done, 'd');
	r = wait_exit(id);
	cr_assert_eq(r.exit.status, CONKER__STATUS__KILLED);
	cr_assert_eq(r.exit.code, 3);
	cr_assert_eq(signal_exec(id, SIGTERM, CONKER__SCOPE__ALL).code, ESRCH);
}

Test(init_life, what_was_left_ends_by_itself_and_those_who_wait_get_the_exit)
{
	struct result r = leave(&caller, 0, "(sleep 0.7; echo bye) & exit 0");

	cr_assert_eq(r.exit.code, 0);
	r = replay(r.start.exec, 1);
	cr_assert_eq(r.done, 'x');
	cr_assert(said(&r, "bye\n"));
	cr_assert_eq(r.exit.status, CONKER__STATUS__EXITED);
}

Test(init_life, leaving_nobody_behind_is_an_ordinary_end)
{
	struct result r = leave(&caller, 0, "echo x; exit 1");

	cr_assert_eq(r.exit.code, 1);
	cr_assert_eq(r.exit.status, CONKER__STATUS__EXITED);
	cr_assert_eq(status_of(r.start.exec), CONKER__STATUS__EXITED);
}

Test(init_life, the_timeout_applies_to_what_was_left)
{
	struct result r = leave(&caller, 3000, "trap '' TERM; sleep 30 & exit 0");

	cr_assert_eq(r.done, 'x');
	cr_assert_not(r.exit.timed_out);
	r = wait_exit(r.start.exec);
	cr_assert_eq(r.exit.status, CONKER__STATUS__TIMED_OUT);
	cr_assert(r.exit.timed_out);
}

/* ---- streams put elsewhere ---- */

Test(init_life, streams_can_be_merged_and_discarded)
{
	cmd.err = CONKER__DISPOSAL__MERGE;
	struct result r = begin(&caller, 1, &cmd, "echo a; echo b >&2; echo c");
	go_on(&caller, 1, &r);
	cr_assert(said(&r, "a\nb\nc\n"));
	cmd.err = CONKER__DISPOSAL__CAPTURE;
	cmd.out = CONKER__DISPOSAL__DISCARD;
	r = begin(&caller, 1, &cmd, "echo a; echo b >&2");
	go_on(&caller, 1, &r);
	cr_assert_eq(r.out_len, 0);
	cr_assert_eq(r.err_len, 2);
	cmd.err = CONKER__DISPOSAL__MERGE;
	r = begin(&caller, 1, &cmd, "echo a; echo b >&2; exit 8");
	go_on(&caller, 1, &r);
	cr_assert_eq(r.out_len + r.err_len, 0);
	cr_assert_eq(r.exit.code, 8);
}
