/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of a box that suspends itself when it is idle: when its init freezes it and rings. */
#include "tests/lib/freeze_requests.h"

static void start_server_with(int idle_ms, int life_ms)
{
	shared[0] = 0;
	shared[1] = idle_ms;
	shared[2] = life_ms;
	start_server();
}

static void start_idle_server(void)
{
	start_server_with(IDLE_MS, 0);
}

TestSuite(init_suspend, .init = start_idle_server, .fini = clean_up, .timeout = 240);

static void await_rings(int n)
{
	for (int i = 0; i < 3000 && __atomic_load_n(&shared[0], __ATOMIC_SEQ_CST) < n; i++)
		usleep(10000);
	cr_assert_eq(shared[0], n);
}

static uint64_t start_detached_ticker(int keep_alive)
{
	Conker__Start s = CONKER__START__INIT;
	struct conn user = connect_init();

	s.detached = 1;
	s.keep_alive = keep_alive;
	uint64_t exec = start_ticker(&user, 1, &s);
	(void)close(user.fd);
	return exec;
}

Test(init_suspend, an_idle_box_freezes_and_then_rings_once)
{
	start_detached_ticker(0);
	await_rings(1);
	cr_assert(still());
	sleep(IDLE_MS / 1000 + 1);
	cr_assert_eq(shared[0], 1);
}

Test(init_suspend, it_does_not_while_a_keep_alive_execution_runs)
{
	start_detached_ticker(1);
	sleep(IDLE_MS / 1000 + 2);
	cr_assert_eq(shared[0], 0);
	await_ticks();
}

Test(init_suspend, it_does_not_while_somebody_has_not_taken_all_output_of_what_has_ended)
{
	Conker__Attach a = CONKER__ATTACH__INIT;
	struct result r = {.out = keep(OUT_MAX), .stingy = 1};
	struct result ended = sh("head -c 30000 /dev/zero");

	cr_assert_eq(ended.done, 'x');
	struct conn user = connect_init();
	a.window = 10000;
	attach(&user, 1, 1, &a);
	for (int i = 0; i < IDLE_MS / 100 + 20; i++)
		step(&user, 1, &r, 100);
	cr_assert_eq(r.out_len, 10000);
	cr_assert_eq(shared[0], 0);
	(void)close(user.fd);
	await_rings(1);
}

Test(init_suspend, idle_begins_when_a_quiet_command_of_long_ends)
{
	struct conn user = connect_init();

	send_sh(&user, 1, "exec >&- 2>&-; sleep 5"); /* it ends in one turn of init */
	cr_assert_eq(finish(&user, 1).done, 'x');
	int64_t ended = now_us();
	(void)close(user.fd);
	await_rings(1);
	cr_assert_geq(*rang_us - ended, ms_to_us(IDLE_MS - 500));
}

Test(init_suspend, idle_begins_when_a_keep_alive_execution_ends)
{
	Conker__Start s = CONKER__START__INIT;
	struct conn user = connect_init();
	int64_t begun = now_us();

	s.detached = s.keep_alive = 1;
	start(&user, 1, &s, (const char *[]){"/bin/sh", "-c", "exec >&- 2>&-; sleep 5", NULL});
	await_started(&user, 1);
	(void)close(user.fd);
	await_rings(1);
	cr_assert_geq(*rang_us - begun, ms_to_us(5000 + IDLE_MS - 500));
}

Test(init_suspend, idle_begins_when_a_wait_for_ports_ends)
{
	Conker__AwaitPorts a = CONKER__AWAIT_PORTS__INIT;
	struct conn user = connect_init();
	uint32_t port = 1;

	a.ports = &port;
	a.n_ports = 1;
	a.timeout_ms = 5000;
	ask(&user, 1, CONKER__CLIENT_MSG__MSG_AWAIT_PORTS, &a);
	expect_error(&(struct result[]){finish(&user, 1)}[0], ETIMEDOUT);
	int64_t ended = now_us();
	await_rings(1);
	cr_assert_geq(*rang_us - ended, ms_to_us(IDLE_MS - 500));
}

Test(init_suspend, idle_begins_when_the_last_forwarded_connection_ends)
{
	int fd = connect_forward();

	usleep(5000000);
	(void)close(fd);
	int64_t ended = now_us();
	await_rings(1);
	cr_assert_geq(*rang_us - ended, ms_to_us(IDLE_MS - 500));
}

Test(init_suspend, after_resume_the_idle_time_begins_anew)
{
	start_detached_ticker(0);
	await_rings(1);
	struct conn host = connect_init();
	int64_t t = now_us();
	cr_assert_eq(resume(&host).done, 'd');
	(void)close(host.fd);
	await_ticks();
	await_rings(2);
	cr_assert_geq(*rang_us - t, ms_to_us(IDLE_MS));
}

Test(init_suspend, a_host_that_does_not_answer_gets_it_back_after_ten_seconds)
{
	int64_t t;

	start_detached_ticker(0);
	await_rings(1);
	t = *rang_us;
	await_ticks();
	cr_assert_gt(now_us() - t, 9000000);
}

Test(init_suspend, what_the_host_did_not_keep_waits_before_it_is_offered_again)
{
	start_detached_ticker(0);
	await_rings(1);
	int64_t t = *rang_us;
	await_ticks();
	for (int i = 0; i < 300 && shared[0] < 2; i++) /* longer than others are waited for */
		usleep(200000);
	cr_assert_eq(shared[0], 2);
	cr_assert_geq(*rang_us - t, ms_to_us(FREEZE_RING_MS + IDLE_RETRY_MS - 1000));
}

Test(init_suspend, what_was_kept_is_offered_without_waiting_the_next_time)
{
	start_detached_ticker(0);
	await_rings(1);
	await_ticks(); /* it was not kept */
	struct conn host = connect_init();
	cr_assert_eq(freeze_it(&host).done, 'd');
	cr_assert_eq(resume(&host).done, 'd');
	(void)close(host.fd);
	int64_t t = now_us();
	await_rings(2);
	cr_assert_lt(*rang_us - t, ms_to_us(IDLE_RETRY_MS));
}

Test(init_suspend, a_start_that_comes_too_late_runs_after_resume)
{
	start_detached_ticker(0);
	await_rings(1);
	struct conn late = connect_init(), host = connect_init();
	send_sh(&late, 1, "echo here");
	pong(&host);
	cr_assert_eq(resume(&host).done, 'd');
	struct result r = finish(&late, 1);
	cr_assert(said(&r, "here\n"));
}

/* ---- a copy is a new box ---- */

Test(init_suspend, a_copy_has_the_idle_time_of_its_own_resume)
{
	start_detached_ticker(0);
	await_rings(1);
	struct conn host = connect_init();
	int64_t t = now_us();
	cr_assert_eq(resume_copy(&host, 0, IDLE_MS / 2, 1).done, 'd');
	(void)close(host.fd);
	await_rings(2);
	cr_assert_geq(*rang_us - t, ms_to_us(IDLE_MS / 2));
	cr_assert_lt(*rang_us - t, ms_to_us(IDLE_MS), "it has another's");
}

Test(init_suspend, a_copy_without_an_idle_time_runs_on)
{
	start_detached_ticker(0);
	await_rings(1);
	struct conn host = connect_init();
	cr_assert_eq(resume_copy(&host, 0, 0, 0).done, 'd');
	(void)close(host.fd);
	sleep(IDLE_MS / 1000 + 1);
	cr_assert_eq(shared[0], 1);
	await_ticks();
}

static int ends_within(int ms)
{
	for (; ms > 0; ms -= 10, usleep(10000))
		if (waitpid(server_pid, NULL, WNOHANG) == server_pid) {
			server_pid = 0; /* nothing is left to end */
			return 1;
		}
	return 0;
}

static void start_mortal_server(void)
{
	start_server_with(0, IDLE_MS);
}

Test(init_suspend, a_copy_ends_by_itself_when_idle, .init = start_mortal_server)
{
	struct conn host = connect_init();

	cr_assert_eq(freeze_it(&host).done, 'd');
	cr_assert_eq(resume_copy(&host, 0, IDLE_MS / 3, 0).done, 'd');
	(void)close(host.fd);
	cr_assert(ends_within(WAIT_MS));
	cr_assert_eq(shared[0], 0, "nobody was asked to keep it");
}

Test(init_suspend, a_copy_lives_from_its_resume_on, .init = start_mortal_server)
{
	struct conn host = connect_init();

	cr_assert_eq(freeze_it(&host).done, 'd');
	sleep(IDLE_MS / 1000 + 1);
	int64_t t = now_us();
	cr_assert_eq(resume_copy(&host, IDLE_MS, 0, 0).done, 'd', "another's life is over");
	cr_assert(ends_within(WAIT_MS));
	cr_assert_geq(now_us() - t, ms_to_us(IDLE_MS));
}

Test(init_suspend, a_copy_without_a_life_lives_on, .init = start_mortal_server)
{
	struct conn host = connect_init();

	cr_assert_eq(freeze_it(&host).done, 'd');
	cr_assert_eq(resume_copy(&host, 0, 0, 0).done, 'd');
	cr_assert_not(ends_within(IDLE_MS + 1000));
	pong(&host);
}

Test(init_suspend, who_comes_back_goes_on_with_its_life, .init = start_mortal_server)
{
	int64_t t = now_us();
	struct conn host = connect_init();

	usleep(IDLE_MS / 2 * 1000);
	cr_assert_eq(freeze_it(&host).done, 'd');
	cr_assert_eq(resume(&host).done, 'd');
	cr_assert(ends_within(WAIT_MS));
	cr_assert_lt(now_us() - t, ms_to_us(IDLE_MS + IDLE_MS / 2), "it has begun anew");
}
