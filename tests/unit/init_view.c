/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of views on executions (guest-init/exec/views.h), and of what is kept of them;
 * tests/lib/init_fixture.h says how the server comes to run here. */
#include "tests/lib/init_requests.h"

TestSuite(init_view, .init = serve_and_connect, .fini = stop_server, .timeout = 240);

/* ---- lifetime ---- */

Test(init_view, a_detached_execution_outlives_its_starter_and_is_read_later)
{
	uint64_t id = sh_detached("sleep 0.3; echo out; echo err >&2; exit 5");
	struct result r = wait_exit(id);

	cr_assert_eq(r.done, 'x');
	cr_assert_eq(r.exit.code, 5);
	cr_assert_eq(r.exit.status, CONKER__STATUS__EXITED);
	cr_assert_eq(r.exit.out_bytes, 4);
	cr_assert_eq(r.exit.err_bytes, 4);
	r = replay(id, 0);
	cr_assert_eq(r.done, 'd');
	cr_assert(said(&r, "out\n"));
	cr_assert_eq(r.err_len, 4);
	r = replay(id, 1);
	cr_assert_eq(r.done, 'x');
	cr_assert(said(&r, "out\n"));
	cr_assert_eq(r.start.pid, 0);
}

Test(init_view, the_loss_of_a_starter_that_did_not_detach_kills)
{
	struct result r = begin(&caller, 1, &cmd, "sleep 30");

	(void)close(caller.fd);
	r = wait_exit(r.start.exec);
	cr_assert_eq(r.exit.signal, SIGKILL);
	cr_assert_eq(r.exit.status, CONKER__STATUS__KILLED);
}

Test(init_view, detach_closes_the_channel_and_leaves_the_execution_alone)
{
	struct result r = begin(&caller, 1, &cmd, "sleep 0.5; echo late");
	uint64_t id = r.start.exec;

	detach(&caller, 1);
	go_on(&caller, 1, &r);
	cr_assert_eq(r.done, 'd');
	(void)close(caller.fd);
	cr_assert_eq(list_of("", id, 0).listing.detached, 1);
	r = wait_exit(id);
	cr_assert_eq(r.exit.code, 0);
	r = replay(id, 0);
	cr_assert(said(&r, "late\n"));
}

Test(init_view, the_end_of_a_view_by_attach_never_matters)
{
	struct conn other = connect_init();
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct result r = begin(&caller, 1, &cmd, "sleep 0.5; echo x"), v = {.out = keep(OUT_MAX)};

	a.follow = a.lossless = 1;
	attach(&other, 1, r.start.exec, &a);
	while (!v.started)
		step(&other, 1, &v, 100);
	(void)close(other.fd);
	go_on(&caller, 1, &r);
	cr_assert_eq(r.exit.code, 0);
	cr_assert(said(&r, "x\n"));
}

/* ---- replay and live ---- */

Test(init_view, two_attached_clients_get_the_past_and_the_rest_live)
{
	struct conn c[2] = {connect_init(), connect_init()};
	struct result r[2] = {{.out = keep(OUT_MAX)}, {.out = keep(OUT_MAX)}};
	uint64_t id = sh_detached("echo past; sleep 0.5; echo live; sleep 0.1; exit 3");
	Conker__Attach a = CONKER__ATTACH__INIT;

	usleep(200000);
	a.follow = 1;
	for (int i = 0; i < 2; i++) {
		a.lossless = i;
		attach(&c[i], 1, id, &a);
	}
	for (int i = 0; i < 2; i++) {
		go_on(&c[i], 1, &r[i]);
		cr_assert(said(&r[i], "past\nlive\n"), "%.*s", (int)r[i].out_len, r[i].out);
		cr_assert_eq(r[i].exit.code, 3);
		cr_assert_neq(r[i].start.pid, 0);
	}
}

Test(init_view, replay_interleaves_the_streams_as_they_were_read)
{
	struct conn c = connect_init();

	cmd.stdin_open = 1;
	struct result live =
		begin(&c, 1, &cmd, "for i in 1 2 3; do echo o; read x; echo e >&2; read x; done");
	for (size_t n = 1; n <= 6;
	     n++) { /* each byte is asked for when the one before has been read */
		for (int i = 0; i < WAIT_MS / 100 && live.n_outputs < n; i++)
			step(&c, 1, &live, 100);
		send_stdin(&c, "\n", 1, 0);
	}
	go_on(&c, 1, &live);
	struct result r = replay(live.start.exec, 1);
	cr_assert_eq(r.n_outputs, 6);
	cr_assert_arr_eq(r.order, "oeoeoe", 6);
}

Test(init_view, begins_at_an_offset_or_so_many_bytes_before_the_end)
{
	uint64_t id = sh_detached("printf 0123456789");
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct conn c = connect_init();
	struct result r;

	(void)wait_exit(id);
	a.out_from = 4;
	for (uint32_t ch = 1; ch <= 3; ch++) {
		r = (struct result){.out = keep(OUT_MAX), .may_gap = 1};
		attach(&c, ch, id, &a);
		go_on(&c, ch, &r);
		cr_assert_eq(r.done, 'd');
		cr_assert_eq(r.gap[0], ch == 1 ? 4 : ch == 2 ? 7 : 0);
		cr_assert_eq(r.out_len, ch == 1 ? 6 : ch == 2 ? 3 : 0);
		a.tail_bytes = 3;
		a.no_out = ch == 2;
	}
}

Test(init_view, an_offset_in_the_future_waits_for_it)
{
	uint64_t id = sh_detached("sleep 0.3; printf 0123456789");
	struct result r = {.out = keep(OUT_MAX), .may_gap = 1};
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct conn c = connect_init();

	a.out_from = 6;
	a.follow = 1;
	attach(&c, 1, id, &a);
	go_on(&c, 1, &r);
	cr_assert_eq(r.done, 'x');
	cr_assert(said(&r, "6789"));
}

Test(init_view, without_a_lossless_view_the_command_never_waits_and_the_gap_is_reported)
{
	cmd.log_bytes = 20000;
	uint64_t id = begin_detached(&cmd, "i=0; while [ $i -lt 500 ]; do i=$((i+1)); "
					   "printf '%01000d' $i; done; echo e >&2");
	struct result x = wait_exit(id);
	cr_assert_eq(x.exit.out_bytes, 500000);
	struct result r = replay(id, 0);
	cr_assert_geq(r.out_len, 20000);
	cr_assert_leq(r.out_len, 45000);
	cr_assert_eq(r.gap[0] + r.out_len, 500000);
	cr_assert_eq(r.err_len, 2, "one stream pushed the other out");
	cr_assert_eq(memcmp(r.out + r.out_len - 4, "0500", 4), 0);
	x = list_of("", id, 1);
	cr_assert_eq(x.listing.out_from, r.gap[0]);
	cr_assert_eq(x.listing.out_bytes, 500000);
}

Test(init_view, a_lossless_view_without_credit_makes_the_command_wait)
{
	struct result r = {.out = keep(OUT_MAX), .stingy = 1};
	struct conn c = connect_init();

	cmd.window = WINDOW_MIN_BYTES;
	start(&c, 1, &cmd, (const char *[]){"/bin/sh", "-c", "yes | head -c 300000; exit 4", NULL});
	for (int i = 0; i < 10; i++)
		step(&c, 1, &r, 50);
	cr_assert_eq(r.done, 0);
	cr_assert_eq(r.out_len, WINDOW_MIN_BYTES);
	r.stingy = 0;
	Conker__Output fake = CONKER__OUTPUT__INIT;
	fake.stream = CONKER__STREAM__STDOUT;
	fake.data.len = WINDOW_MIN_BYTES;
	grant(&c, 1, &fake);
	go_on(&c, 1, &r);
	cr_assert_eq(r.out_len, 300000);
	cr_assert_eq(r.exit.code, 4);
}

Test(init_view, a_stalled_stdout_does_not_hold_back_stderr)
{
	struct result r = {.out = keep(OUT_MAX), .stingy = 1};
	struct conn c = connect_init();

	cmd.window = WINDOW_MIN_BYTES;
	start(&c, 1, &cmd,
	      (const char *[]){"/bin/sh", "-c", "yes & sleep 0.2; echo here >&2; wait", NULL});
	for (int i = 0; i < 40 && r.err_len == 0; i++)
		step(&c, 1, &r, 50);
	cr_assert_eq(r.err_len, 5);
	cr_assert_eq(r.out_len, WINDOW_MIN_BYTES);
}

Test(init_view, a_slow_view_that_is_not_lossless_misses_bytes_and_says_so)
{
	struct result r = {.out = keep(OUT_MAX), .stingy = 1, .may_gap = 1};
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct conn c = connect_init();
	Conker__Output fake = CONKER__OUTPUT__INIT;

	cmd.log_bytes = 10000;
	uint64_t id = begin_detached(&cmd, "sleep 0.2; yes | head -c 1000000; exit 6");
	a.follow = 1;
	a.window = WINDOW_MIN_BYTES;
	attach(&c, 1, id, &a);
	struct result x = wait_exit(id);
	cr_assert_eq(x.exit.code, 6);
	for (int i = 0; i < 5; i++)
		step(&c, 1, &r, 50);
	cr_assert_eq(r.out_len, WINDOW_MIN_BYTES);
	cr_assert_eq(r.done, 0);
	r.stingy = 0;
	fake.stream = CONKER__STREAM__STDOUT;
	fake.data.len = WINDOW_MIN_BYTES;
	grant(&c, 1, &fake);
	go_on(&c, 1, &r);
	cr_assert_eq(r.done, 'x');
	cr_assert_gt(r.gap[0], 900000);
	cr_assert_eq(r.gap[0] + r.out_len, 1000000);
}

Test(init_view, a_replay_larger_than_the_outbox_arrives_whole)
{
	cmd.log_bytes = 3 << 20;
	uint64_t id = begin_detached(&cmd, "yes 0123456789abcdef | head -c 3000000");
	(void)wait_exit(id);
	struct result r = replay(id, 1);
	cr_assert_eq(r.done, 'x');
	cr_assert_eq(r.gap[0], 0);
	cr_assert_eq(r.out_len, 3000000);
	for (size_t i = 0; i < r.out_len; i++)
		cr_assert_eq(r.out[i], "0123456789abcdef\n"[i % 17]);
}

Test(init_view, many_lossless_views_of_one_client_all_get_everything)
{
	enum { VIEWS = 60, BYTES = 200000 };
	uint64_t id = sh_detached("sleep 0.5; yes | head -c 200000; exit 9");
	size_t got[VIEWS + 1] = {0}, ended = 0;
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct conn c = connect_init();

	a.follow = a.lossless = 1;
	a.window = 1 << 20;
	for (uint32_t ch = 1; ch <= VIEWS; ch++)
		attach(&c, ch, id, &a);
	for (int64_t end = now_us() + WAIT_MS * 1000; ended < VIEWS && now_us() < end;) {
		struct pollfd p = {.fd = c.fd, .events = POLLIN};
		size_t at = 0, used, len;
		const uint8_t *msg;

		if (poll(&p, 1, 100) <= 0)
			continue;
		ssize_t n = recv(c.fd, c.in + c.in_len, (2 << 20) - c.in_len, 0);
		cr_assert_gt(n, 0);
		c.in_len += (size_t)n;
		while (frame_peek(c.in + at, c.in_len - at, FRAME_MAX_BYTES, &msg, &len, &used) ==
		       1) {
			Conker__ServerMsg *m;
			const char *why;
			uint32_t ch;

			c.arena.used_bytes = 0;
			cr_assert_eq(codec_decode_server(msg, len, &c.arena, &m, &ch, &why), 0);
			at += used;
			if (m->msg_case == CONKER__SERVER_MSG__MSG_OUTPUT) {
				cr_assert_eq(m->output->offset, got[ch]);
				got[ch] += m->output->data.len;
			} else if (m->msg_case == CONKER__SERVER_MSG__MSG_EXIT) {
				cr_assert_eq(got[ch], BYTES);
				ended++;
			}
		}
		c.in_len -= at;
		memmove(c.in, c.in + at, c.in_len);
	}
	cr_assert_eq(ended, VIEWS);
}

/* ---- what is kept ---- */

Test(init_view, ended_executions_are_kept_in_a_bounded_number_and_can_be_forgotten)
{
	for (uint32_t i = 1; i <= RETAINED_MAX + 20; i++) {
		Conker__Start s = CONKER__START__INIT;

		start(&caller, i, &s, (const char *[]){"/bin/true", NULL});
		cr_assert_eq(finish(&caller, i).done, 'x');
	}
	struct result r = list_of("", 0, 1);
	cr_assert_eq(r.listed, RETAINED_MAX);
	cr_assert_eq(r.listing.exec, RETAINED_MAX + 20, "not in order of numbers");
	cr_assert_eq(list_of("", 0, 0).listed, 0);
	cr_assert_eq(list_of("", 20, 0).code, ESRCH);
	cr_assert_eq(list_of("", 21, 0).listed, 1);
	cr_assert_eq(forget(21).done, 'd');
	cr_assert_eq(forget(21).code, ESRCH);
	cr_assert_eq(wait_exit(21).code, ESRCH);
	cr_assert_eq(list_of("", 0, 1).listed, RETAINED_MAX - 1);
	uint64_t id = sh_detached("sleep 30");
	cr_assert_eq(forget(id).code, EBUSY);
}

Test(init_view, of_inits_own_programs_the_last_one_at_most_is_kept)
{
	Conker__Start s = CONKER__START__INIT, own = CONKER__START__INIT;

	own.builtin = 1;
	start(&caller, 1, &s, (const char *[]){"/bin/true", NULL});
	cr_assert_eq(finish(&caller, 1).done, 'x');
	for (uint32_t i = 2; i < 6; i++) {
		start(&caller, i, &own, (const char *[]){"conker-files", "stat", "-", "/", NULL});
		cr_assert_eq(finish(&caller, i).exit.code, 0);
	}
	cr_assert_eq(list_of("", 0, 1).listed, 2);
	cr_assert_eq(list_of("", 1, 0).listed, 1);
	start(&caller, 6, &s, (const char *[]){"/bin/true", NULL});
	cr_assert_eq(finish(&caller, 6).done, 'x');
	cr_assert_eq(list_of("", 0, 1).listed, 2);
}

Test(init_view, a_name_is_unique_among_those_that_live_and_the_newest_wins)
{
	cmd.name = bytes("web");
	struct result a = begin(&caller, 1, &cmd, "exit 1");
	go_on(&caller, 1, &a);
	struct result b = begin(&caller, 1, &cmd, "sleep 30");
	cr_assert_eq(list_of("web", 0, 0).listing.exec, b.start.exec);
	start(&caller, 2, &cmd, (const char *[]){"/bin/true", NULL});
	struct result r = finish(&caller, 2);
	cr_assert_eq(r.code, EEXIST);
	cr_assert_str_eq(r.step, "name");
	cr_assert_eq(list_of("other", 0, 0).code, ESRCH);
}

Test(init_view, the_same_key_starts_once_and_shows_it_from_its_first_byte)
{
	struct conn c = connect_init(), d = connect_init();

	cmd.key = bytes("k1");
	struct result a = begin(&c, 1, &cmd, "echo once; sleep 0.5; exit 2");
	cr_assert_not(a.start.existing);
	usleep(100000);
	(void)close(c.fd); /* a key means that it may */
	struct result b = begin(&d, 1, &cmd, "echo twice");
	cr_assert(b.start.existing);
	cr_assert_eq(b.start.exec, a.start.exec);
	go_on(&d, 1, &b);
	cr_assert_eq(b.exit.code, 2);
	cr_assert(said(&b, "once\n"));
	b = begin(&d, 1, &cmd, "echo thrice"); /* also when it has ended */
	if (!b.done)
		go_on(&d, 1, &b);
	cr_assert(b.start.existing);
	cr_assert(said(&b, "once\n"));
	cr_assert_eq(list_of("", 0, 1).listed, 1);
}

/* Several together are longer than an outbox, and their client does not read until all are asked
 * for. */
Test(init_view, lists_longer_than_the_outbox_arrive_whole_and_in_order)
{
	enum { LISTS = 40 };
	Conker__ClientMsg m = CONKER__CLIENT_MSG__INIT;
	Conker__List l = CONKER__LIST__INIT;
	struct conn c = connect_init();
	char arg[450];

	memset(arg, 'x', sizeof(arg));
	arg[sizeof(arg) - 1] = 0;
	for (uint32_t i = 1; i <= RETAINED_MAX; i++) {
		Conker__Start s = CONKER__START__INIT;

		start(&c, i, &s, (const char *[]){"/bin/true", arg, NULL});
		(void)finish(&c, i);
	}
	l.all = 1;
	m.msg_case = CONKER__CLIENT_MSG__MSG_LIST;
	m.list = &l;
	for (m.channel = 1; m.channel <= LISTS; m.channel++)
		send_msg(&c, &m);
	usleep(200000);
	struct result other = list_of("", 0, 1);
	cr_assert_eq(other.listed, RETAINED_MAX, "it held up another client");
	for (uint32_t channel = 1; channel <= LISTS; channel++) {
		struct result r = {0};

		go_on(&c, channel, &r);
		cr_assert_eq(r.done, 'd');
		cr_assert_eq(r.listed, RETAINED_MAX, "list %u", channel);
		cr_assert_eq(r.listing.exec, RETAINED_MAX);
	}
}

/* ---- bounds ---- */

Test(init_view, attach_is_bounded_and_starts_go_on, .timeout = 120)
{
	uint64_t id = sh_detached("sleep 60");
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct conn c[8], last = connect_init();
	int refused = 0;

	a.follow = 1;
	for (int i = 0; i < 8; i++) {
		c[i] = connect_init();
		for (uint32_t ch = 1; ch <= 100; ch++)
			attach(&c[i], ch, id, &a);
	}
	for (int i = 0; i < 8; i++) {
		struct result r = {0};

		for (int k = 0; k < WAIT_MS / 100 && !r.started && !r.done; k++)
			step(&c[i], 100, &r, 100);
		refused += r.done == 'e' && r.code == EAGAIN;
	}
	cr_assert_gt(refused, 0);
	cr_assert_lt(refused, 8);
	send_sh(&last, 1, "echo alive");
	struct result r = finish(&last, 1);
	cr_assert(said(&r, "alive\n"));
	cr_assert_eq(list_of("", id, 0).listing.views, VIEWS_ATTACHED_MAX);
	for (int i = 0; i < 8; i++)
		(void)close(c[i].fd);
	for (int i = 0; i < WAIT_MS / 10 && list_of("", id, 0).listing.views > 0; i++)
		usleep(10000);
	cr_assert_eq(list_of("", id, 0).listing.views, 0);
}

Test(init_view, a_flood_of_attach_and_detach_leaves_nothing)
{
	uint64_t id = sh_detached("yes");
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct conn c = connect_init();
	struct result r = {.out = keep(OUT_MAX), .may_gap = 1, .stingy = 1};

	a.follow = 1;
	for (int round = 0; round < 50; round++) {
		for (uint32_t ch = 2; ch <= 40; ch++) {
			a.lossless = ch & 1;
			a.window = WINDOW_MIN_BYTES;
			attach(&c, ch, id, &a);
		}
		for (uint32_t ch = 2; ch <= 40; ch++)
			detach(&c, ch);
		step(&c, 1, &r, 10);
	}
	ping(&c);
	r = finish(&c, 50);
	cr_assert_eq(r.done, 'd');
	cr_assert_eq(list_of("", id, 0).listing.views, 0);
}

Test(init_view, a_view_that_stalls_on_an_ended_execution_does_not_keep_it_for_ever, .timeout = 120)
{
	uint64_t id = sh_detached("yes | head -c 60000");
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct conn c = connect_init(), d = connect_init();
	struct result r = {.out = keep(OUT_MAX), .stingy = 1};

	(void)wait_exit(id);
	a.follow = 1;
	a.window = WINDOW_MIN_BYTES;
	attach(&c, 1, id, &a);
	for (int i = 0; i < 3; i++)
		step(&c, 1, &r, 50);
	cr_assert_eq(r.done, 0);
	for (uint32_t i = 1; i <= RETAINED_MAX + 5; i++) {
		Conker__Start s = CONKER__START__INIT;

		start(&d, i, &s, (const char *[]){"/bin/true", NULL});
		(void)finish(&d, i);
	}
	cr_assert_eq(list_of("", id, 0).listed, 1, "evicted under its view");
	cr_assert_eq(forget(id).done, 'd');
	go_on(&c, 1, &r);
	cr_assert_eq(r.done, 'x');
	cr_assert_eq(r.exit.out_bytes, 60000);
	cr_assert_eq(r.out_len, WINDOW_MIN_BYTES);
}

/* ---- terminals ---- */

static struct result on_terminal(const char *script)
{
	Conker__Start s = CONKER__START__INIT;
	Conker__Tty t = CONKER__TTY__INIT;
	struct conn c = connect_init();

	s.tty = &t;
	struct result r = begin(&c, 1, &s, script);
	go_on(&c, 1, &r);
	return r;
}

Test(init_view, a_terminal_that_says_little_and_often_is_read_in_bunches)
{
	struct result r =
		on_terminal("i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo x; sleep 0.001; done");

	cr_assert_eq(r.out_len, 200 * 3);
	cr_assert_lt(r.n_outputs, 100, "%zu pieces of 200 lines", r.n_outputs);
}

Test(init_view, what_a_terminal_says_at_once_or_at_last_is_not_held_back)
{
	struct result r =
		on_terminal("head -c 3000000 /dev/zero | tr '\\0' x; "
			    "for i in 1 2 3 4 5 6 7 8 9; do echo; sleep 0.001; done; exit 3");

	cr_assert_eq(r.out_len, 3000000 + 9 * 2);
	cr_assert_eq(r.exit.out_bytes, r.out_len);
	cr_assert_eq(r.exit.code, 3);
}
