/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of guest-init's server; tests/lib/init_fixture.h says how it comes to run here. */
#include "tests/lib/init_fixture.h"

TestSuite(init_server, .init = serve_and_connect, .fini = stop_server, .timeout = 240);

/* No process of the box has this in its command line, now or soon; `what` does not match itself. */
static void await_none(const char *what)
{
	struct result ps = {0};
	char script[160];

	(void)snprintf(script, sizeof(script),
		       "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '%s'; true", what);
	for (int i = 0; i < WAIT_MS / 100; i++) {
		ps = sh(script);
		if (said(&ps, "0\n"))
			return;
		usleep(100000);
	}
	cr_assert_fail("%.*s", (int)ps.out_len, ps.out);
}

Test(init_server, reports_exit_code_after_all_output_of_both_streams)
{
	struct result r = sh("echo out; echo error >&2; exit 7");

	cr_assert_eq(r.done, 'x');
	cr_assert_eq(r.exit.code, 7);
	cr_assert_eq(r.exit.signal, 0);
	cr_assert(said(&r, "out\n"));
	cr_assert_eq(r.err_len, 6);
}

Test(init_server, reports_the_signal_that_ended_it)
{
	struct result r = sh("kill -USR1 $$");

	cr_assert_eq(r.exit.signal, SIGUSR1);
}

Test(init_server, stdin_that_is_not_open_reads_eof)
{
	struct result r = sh("cat; echo end");

	cr_assert(said(&r, "end\n"));
}

Test(init_server, gives_defaults_for_path_and_home_and_a_clean_table_of_files)
{
	struct result r = sh("echo $HOME $PATH; ls /proc/self/fd | wc -l; pwd");

	cr_assert(said(&r, "/root " ENV_PATH_DEFAULT "\n4\n/\n"), "%.*s", (int)r.out_len, r.out);
}

Test(init_server, cannot_start_is_an_error_with_step_and_errno)
{
	static const struct {
		const char *argv0, *cwd, *user, *step;
		int code;
	} cases[] = {
		{"no-such-program", "", "", "exec", ENOENT},
		{"/no/such/program", "", "", "exec", ENOENT},
		{"/etc/passwd", "", "", "exec", EACCES},
		{"/", "", "", "exec", EACCES},
		{"true", "/nowhere", "", "cwd", ENOENT},
		{"true", "relative", "", "cwd", EINVAL},
		{"true", "", "no-such-user", "user", EINVAL},
	};

	for (uint32_t i = 0; i < countof(cases); i++) {
		Conker__Start s = CONKER__START__INIT;

		s.cwd = (ProtobufCBinaryData){strlen(cases[i].cwd),
					      (uint8_t *)(uintptr_t)cases[i].cwd};
		s.user = (ProtobufCBinaryData){strlen(cases[i].user),
					       (uint8_t *)(uintptr_t)cases[i].user};
		start(&caller, i + 1, &s, (const char *[]){cases[i].argv0, NULL});
		struct result r = finish(&caller, i + 1);
		cr_assert_eq(r.done, 'e', "case %u", i);
		cr_assert_eq(r.code, cases[i].code, "case %u: %d", i, r.code);
		cr_assert_str_eq(r.step, cases[i].step);
	}
}

Test(init_server, a_name_that_means_something_else_is_refused_and_the_connection_goes_on)
{
	static const char *const names[] = {"4", "key:x", "a\x1b[31m"};

	for (uint32_t i = 0; i < countof(names); i++) {
		Conker__Start s = CONKER__START__INIT;

		s.name = (ProtobufCBinaryData){strlen(names[i]), (uint8_t *)(uintptr_t)names[i]};
		start(&caller, i + 1, &s, (const char *[]){"true", NULL});
		struct result r = finish(&caller, i + 1);
		cr_assert_eq(r.done, 'e', "case %u", i);
		cr_assert_eq(r.code, EINVAL, "case %u: %d", i, r.code);
		cr_assert_str_eq(r.step, "name");
	}
	Conker__Start s = CONKER__START__INIT;
	start(&caller, 9, &s, (const char *[]){"true", NULL});
	cr_assert_eq(finish(&caller, 9).done, 'x');
}

Test(init_server, builtin_runs_a_program_of_its_own_with_the_user_and_streams_of_any_other)
{
	struct conn c = connect_init();

	cmd.builtin = 1;
	cmd.user = (ProtobufCBinaryData){5, (uint8_t *)(uintptr_t) "65534"};
	start(&c, 1, &cmd,
	      (const char *[]){"conker-files", "read", "-", "/etc/hostname", "999", NULL});
	struct result r = finish(&c, 1);
	struct result cat = sh("cat /etc/hostname");
	cr_assert_eq(r.done, 'x');
	cr_assert_eq(r.exit.code, 0);
	cr_assert_eq(r.out_len, cat.out_len);
	cr_assert_arr_eq(r.out, cat.out, r.out_len);

	start(&c, 2, &cmd,
	      (const char *[]){"conker-files", "read", "-", "/etc/shadow", "9999", NULL});
	r = finish(&c, 2);
	cr_assert_eq(r.exit.code, EACCES);
	cr_assert_gt(r.err_len, 0);
}

Test(init_server, builtin_runs_nothing_of_the_image)
{
	struct conn c = connect_init();

	cmd.builtin = 1;
	start(&c, 1, &cmd, (const char *[]){"/bin/true", NULL});
	struct result r = finish(&c, 1);
	cr_assert_eq(r.done, 'e');
	cr_assert_eq(r.code, ENOENT);
	cr_assert_str_eq(r.step, "exec");
}

Test(init_server, a_megabyte_through_cat_comes_back_unchanged)
{
	enum { TOTAL = 3 << 20, CHUNK = 60000 };
	struct result r = {.out = keep(OUT_MAX)};
	uint8_t *data = keep(TOTAL);
	struct conn c = connect_init();
	size_t sent = 0;

	for (size_t i = 0; i < TOTAL; i++)
		data[i] = (uint8_t)(i * 31 + (i >> 8) * 7);
	cmd.stdin_open = 1;
	start(&c, 1, &cmd, (const char *[]){"/bin/cat", NULL});
	for (int64_t end = now_us() + WAIT_MS * 1000; !r.done && now_us() < end;) {
		size_t window = STDIN_WINDOW_BYTES + r.credit - sent;
		size_t n = min_(window, TOTAL - sent);

		n = min_(n, (size_t)CHUNK);

		if (n > 0) {
			send_stdin(&c, data + sent, n, sent + n == TOTAL);
			sent += n;
		}
		step(&c, 1, &r, n > 0 ? 0 : 100);
	}
	cr_assert_eq(r.done, 'x');
	cr_assert_eq(r.out_len, TOTAL);
	cr_assert_arr_eq(r.out, data, TOTAL);
}

Test(init_server, more_stdin_than_the_window_breaks_the_connection)
{
	static uint8_t chunk[FRAME_DATA_BYTES];
	struct conn c = connect_init();

	cmd.stdin_open = 1;
	start(&c, 1, &cmd, (const char *[]){"/bin/sleep", "30", NULL});
	for (int i = 0; i < 6; i++) /* the window and a pipe's worth, and more */
		send_stdin(&c, chunk, sizeof(chunk), 0);
	struct result r = finish(&c, 1);
	cr_assert(r.done == 'e' || r.done == 'c');
}

Test(init_server, a_process_that_closed_its_stdin_does_not_starve_the_sender)
{
	static uint8_t chunk[FRAME_DATA_BYTES];
	struct result r = {.out = keep(OUT_MAX)};
	struct conn c = connect_init();
	size_t sent = 0;

	cmd.stdin_open = 1;
	start(&c, 1, &cmd, (const char *[]){"/bin/sh", "-c", "exec <&-; sleep 1; exit 3", NULL});
	for (int64_t end = now_us() + WAIT_MS * 1000; !r.done && now_us() < end;) {
		if (sent + sizeof(chunk) <= STDIN_WINDOW_BYTES + r.credit && sent < (2 << 20)) {
			send_stdin(&c, chunk, sizeof(chunk), 0);
			sent += sizeof(chunk);
		}
		step(&c, 1, &r, 10);
	}
	cr_assert_eq(r.exit.code, 3);
	cr_assert_eq(sent, 2 << 20);
}

Test(init_server, what_it_left_behind_dies_with_it_and_does_not_delay_the_exit)
{
	int64_t t = now_us();
	struct result r = sh("sleep 4321 & (setsid sleep 4321 &) ; echo x");

	cr_assert(said(&r, "x\n"));
	cr_assert_lt(now_us() - t, 15000000);
	await_none("sleep 432[1]");
}

Test(init_server, timeout_terminates_and_then_kills_everything)
{
	struct conn c = connect_init();

	cmd.timeout_ms = 3000; /* it ignores SIGTERM by then */
	cmd.grace_ms = 200;
	start(&c, 1, &cmd,
	      (const char *[]){"/bin/sh", "-c", "trap '' TERM; sleep 30 & sleep 30; wait; sleep 30",
			       NULL});
	struct result r = finish(&c, 1);
	cr_assert(r.exit.timed_out);
	cr_assert_eq(r.exit.signal, SIGKILL);
	cr_assert_lt(r.exit.duration_us, 15000000);
}

Test(init_server, a_finished_execution_cannot_be_signalled)
{
	send_sh(&caller, 1, "true");
	(void)finish(&caller, 1);
	send_signal(&caller, 1, SIGKILL, CONKER__SCOPE__PROCESS);
	struct result r = finish(&caller, 99);
	cr_assert_eq(r.done, 'e');
	cr_assert_eq(r.code, ESRCH);
}

Test(init_server, signals_reach_process_group_and_all)
{
	for (Conker__Scope scope = CONKER__SCOPE__PROCESS; scope <= CONKER__SCOPE__ALL; scope++) {
		struct conn c = connect_init();

		send_sh(&c, 1, "exec sleep 30");
		send_signal(&c, 1, SIGTERM, scope);
		struct result r = finish(&c, 1);
		cr_assert_eq(r.exit.signal, SIGTERM, "scope %d", (int)scope);
	}
}

Test(init_server, a_client_that_does_not_read_stops_only_its_own)
{
	struct conn slow = connect_init(), other = connect_init();

	for (uint32_t ch = 1; ch <= 8; ch++)
		send_sh(&slow, ch, "yes");
	for (int i = 0; i < 20; i++) {
		send_sh(&other, 1, "echo alive");
		struct result r = finish(&other, 1);
		cr_assert(said(&r, "alive\n"));
	}
}

Test(init_server, what_a_client_started_dies_with_its_connection)
{
	send_sh(&caller, 1, "sleep 8765");
	await_started(&caller, 1);
	(void)close(caller.fd);
	await_none("sleep 876[5]");
}

Test(init_server, a_breach_of_protocol_costs_only_that_connection)
{
	static const uint8_t garbage[] = {9,    0,    0,    0,    0xff, 0xff, 0xff,
					  0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	struct conn bad = connect_init(), good = connect_init();

	(void)!write(bad.fd, garbage, sizeof(garbage));
	struct result r = finish(&bad, 0);
	cr_assert_eq(r.done, 'e');
	cr_assert_eq(r.code, EPROTO);
	r.done = 0;
	for (int i = 0; i < 50 && r.done != 'c'; i++)
		step(&bad, 0, &r, 100);
	cr_assert_eq(r.done, 'c');
	ping(&good);
	r = finish(&good, 50);
	cr_assert_eq(r.done, 'd');
}

Test(init_server, the_first_message_must_be_hello)
{
	struct conn c = connect_raw();

	ping(&c);
	struct result r = finish(&c, 50);
	cr_assert_eq(r.done, 'e');
	cr_assert_eq(r.code, EPROTO);
}

Test(init_server, a_channel_in_use_cannot_be_opened_again)
{
	send_sh(&caller, 1, "sleep 30");
	send_sh(&caller, 1, "true");
	struct result r = finish(&caller, 1);
	cr_assert_eq(r.done, 'e');
	cr_assert_eq(r.code, EPROTO);
}

/* Each newborn may be stopped until its time is up (CHILD_STUCK_MS), so there are few of them. */
Test(init_server, stopping_the_newborn_does_not_stop_init, .timeout = 240)
{
	struct conn storm = connect_init();

	send_sh(&storm, 1, "while :; do kill -STOP -1; done 2>/dev/null");
	for (int i = 0; i < 5; i++) {
		send_sh(&caller, 1, "true");
		usleep(20000);
		send_signal(&caller, 1, SIGKILL,
			    CONKER__SCOPE__PROCESS); /* it may be stopped later on */
		(void)finish(&caller, 1);
	}
}

Test(init_server, a_terminal_has_its_size_and_ends_like_a_pipe)
{
	Conker__Tty t = CONKER__TTY__INIT;
	struct conn c = connect_init();

	t.rows = 33;
	t.cols = 44;
	cmd.tty = &t;
	start(&c, 1, &cmd,
	      (const char *[]){"/bin/sh", "-c", "stty size; echo $TERM; tty >/dev/null && exit 5",
			       NULL});
	struct result r = finish(&c, 1);
	cr_assert_eq(r.exit.code, 5);
	cr_assert(said(&r, "33 44\r\nxterm\r\n"), "%.*s", (int)r.out_len, r.out);
}

Test(init_server, control_c_on_a_terminal_interrupts_and_eof_ends_input)
{
	Conker__Tty t = CONKER__TTY__INIT;
	struct conn c = connect_init();

	cmd.tty = &t;
	start(&c, 1, &cmd, (const char *[]){"/bin/sleep", "30", NULL});
	await_started(&c, 1);
	send_stdin(&c, "\x03", 1, 0);
	struct result r = finish(&c, 1);
	cr_assert_eq(r.exit.signal, SIGINT);
	start(&c, 1, &cmd, (const char *[]){"/bin/cat", NULL});
	send_stdin(&c, "", 0, 1);
	r = finish(&c, 1);
	cr_assert_eq(r.exit.code, 0);
}

Test(init_server, runs_as_the_user_asked_for)
{
	struct conn c = connect_init();

	cmd.user = (ProtobufCBinaryData){11, (uint8_t *)(uintptr_t) "12345:23456"};
	start(&c, 1, &cmd,
	      (const char *[]){"/bin/sh", "-c",
			       "id -u; id -g; id -G; grep -c 'CapEff:.0*$' /proc/self/status",
			       NULL});
	struct result r = finish(&c, 1);
	cr_assert(said(&r, "12345\n23456\n23456\n1\n"), "%.*s", (int)r.out_len, r.out);
}

Test(init_server, a_working_directory_that_is_missing_is_made_by_root_where_that_was_asked_for)
{
	static char top[] = "/tmp/conker-cwd-XXXXXX", cwd[sizeof(top) + 8];
	Conker__Start s = CONKER__START__INIT;
	struct conn c = connect_init();

	cr_assert(mkdtemp(top) && chmod(top, 0755) == 0);
	(void)snprintf(cwd, sizeof(cwd), "%s/a//b/", top);
	s.cwd = (ProtobufCBinaryData){strlen(cwd), (uint8_t *)cwd};
	s.user = (ProtobufCBinaryData){5, (uint8_t *)(uintptr_t) "12345"};
	start(&c, 1, &s, (const char *[]){"/bin/sh", "-c", "exit 7", NULL});
	struct result r = finish(&c, 1);
	cr_expect(r.done == 'e' && r.code == ENOENT, "nobody asked to make it");
	s.make_cwd = 1;
	for (int i = 0; i < 2; i++) { /* missing, and there */
		start(&c, 1, &s,
		      (const char *[]){"/bin/sh", "-c", "stat -c '%u %a' . ; touch x || pwd",
				       NULL});
		r = finish(&c, 1);
		char want[128];
		(void)snprintf(want, sizeof(want), "0 755\n%s/a/b\n", top);
		cr_expect(said(&r, want), "%.*s", (int)r.out_len, r.out);
	}
	(void)snprintf(cwd, sizeof(cwd), "%s/a/b", top);
	(void)rmdir(cwd);
	*strrchr(cwd, '/') = 0;
	(void)rmdir(cwd);
	(void)rmdir(top);
}

/* The reaper is the server's first child. */
Test(init_server, the_box_survives_its_reaper)
{
	char path[64];
	int reaper = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", server_pid, server_pid);
	FILE *f = fopen(path, "r");
	if (!f || fscanf(f, "%d", &reaper) != 1)
		cr_skip_test("needs /proc/PID/task/TID/children");
	(void)fclose(f);
	send_sh(&caller, 1, "sleep 30");
	await_started(&caller, 1);
	cr_assert_eq(kill(reaper, SIGKILL), 0);
	struct result r = finish(&caller, 1);
	cr_assert_eq(r.exit.signal, SIGKILL);
	for (int i = 0; i < WAIT_MS / 10; i++) { /* until it is buried, a start is refused */
		send_sh(&caller, 1, "echo $$; test -d /proc/self/fd && echo proc");
		r = finish(&caller, 1);
		if (r.done != 'e')
			break;
		usleep(10000);
	}
	cr_assert(said(&r, "2\nproc\n"), "%.*s", (int)r.out_len, r.out);
}

Test(init_server, killing_everything_from_inside_spares_init)
{
	struct result r = sh("kill -9 -1; kill -9 1; echo still");

	cr_assert_eq(r.done, 'x');
	r = sh("echo next");
	cr_assert(said(&r, "next\n"));
}

static int count_files(pid_t pid)
{
	char path[64];
	int n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *d = opendir(path);
	while (d && readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

Test(init_server, a_thousand_executions_leave_nothing_behind)
{
	for (uint32_t i = 0; i < 1000; i++) {
		Conker__Start s = CONKER__START__INIT;

		start(&caller, i % 7 + 1, &s, (const char *[]){"/bin/true", NULL});
		struct result r = finish(&caller, i % 7 + 1);
		cr_assert_eq(r.done, 'x');
		cr_assert_eq(r.exit.code, 0);
	}
	int n = count_files(server_pid);

	cr_assert_lt(n, 32, "%d descriptors", n);
}

/* Init sees what was sent meanwhile all at once. */
static void server_stands_still(int on)
{
	cr_assert_eq(kill(server_pid, on ? SIGSTOP : SIGCONT), 0);
}

Test(init_server, starts_in_one_packet_do_not_mix_their_arguments)
{
	char script[160], path[128], text[16] = "";

	(void)snprintf(path, sizeof(path), "%s/first", dir);
	(void)snprintf(script, sizeof(script), "echo first >%s", path);
	server_stands_still(1);
	send_sh(&caller, 1, script);
	send_sh(&caller, 2, "echo second");
	server_stands_still(0);
	struct result r = finish(&caller, 2);
	cr_assert(said(&r, "second\n"));
	for (int i = 0; i < 1000 && !text[0]; i++) {
		FILE *f = fopen(path, "r");

		if (f) {
			(void)!fgets(text, sizeof(text), f);
			(void)fclose(f);
		}
		usleep(10000);
	}
	(void)unlink(path);
	cr_assert_str_eq(text, "first\n");
}

Test(init_server, starts_of_several_clients_at_once_all_answer)
{
	enum { CLIENTS = 6 };
	struct conn c[CLIENTS];
	char script[32];

	for (int i = 0; i < CLIENTS; i++)
		c[i] = connect_init();
	server_stands_still(1);
	for (int i = 0; i < CLIENTS; i++) {
		(void)snprintf(script, sizeof(script), i == 2 ? "kill $$" : "echo %d", i);
		send_sh(&c[i], 1, script);
	}
	(void)close(c[3].fd); /* its starter is gone before it is looked at */
	server_stands_still(0);
	for (int i = 0; i < CLIENTS; i++) {
		if (i == 3)
			continue;
		struct result r = finish(&c[i], 1);

		(void)snprintf(script, sizeof(script), "%d\n", i);
		cr_assert_eq(r.done, 'x');
		cr_assert(i == 2 ? r.exit.signal == SIGTERM : said(&r, script), "client %d", i);
	}
}

Test(init_server, a_command_that_says_nothing_is_known_to_have_started)
{
	enum { SOON_MS = 10000 };
	struct result r = {.out = keep(OUT_MAX)};
	int64_t begin = now_us();

	send_sh(&caller, 1, "exec sleep 30");
	while (!r.started && !r.done && now_us() < begin + WAIT_MS * 1000)
		step(&caller, 1, &r, 100);
	cr_assert(r.started);
	cr_assert_lt(now_us() - begin, ms_to_us(SOON_MS));
}
