/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of many clients of guest-init at once: who finds room, and who is told that there is none. */
#include "tests/lib/init_requests.h"

TestSuite(init_clients, .init = start_server, .fini = stop_server, .timeout = 240);

static struct conn user[CLIENTS_MAX + 8];

static void send_simple(struct conn *c, Conker__ClientMsg__MsgCase kind)
{
	Conker__List l = CONKER__LIST__INIT;
	Conker__Shutdown s = CONKER__SHUTDOWN__INIT;

	ask(c, 7, kind, kind == CONKER__CLIENT_MSG__MSG_LIST ? (void *)&l : &s);
}

static void fill_with_users(void)
{
	for (int i = 0; i < CLIENTS_USING_MAX; i++) {
		user[i] = connect_init();
		send_sh(&user[i], 1, "exec sleep 1000");
		await_started(&user[i], 1);
	}
}

static struct result answer_to(struct conn *c, Conker__ClientMsg__MsgCase kind)
{
	send_simple(c, kind);
	return finish(c, 7);
}

Test(init_clients, when_all_places_for_commands_are_taken_the_next_is_told_which)
{
	fill_with_users();
	struct conn more = connect_init();
	send_sh(&more, 1, "true");
	struct result r = finish(&more, 1);
	cr_assert_eq(r.done, 'e');
	cr_expect_eq(r.code, EAGAIN);
	cr_expect_str_eq(r.step, "limit");
	(void)close(user[3].fd);
	for (int i = 0; i < WAIT_MS / 10 && r.done != 'x'; i++, usleep(10000)) {
		send_sh(&more, 1, "true");
		r = finish(&more, 1);
	}
	cr_expect_eq(r.done, 'x', "there is room again");
}

Test(init_clients, who_looks_and_who_ends_finds_room_beside_them)
{
	fill_with_users();
	struct conn ps = connect_init(), stop = connect_init();
	struct result r = answer_to(&ps, CONKER__CLIENT_MSG__MSG_LIST);
	cr_expect_eq(r.done, 'd');
	cr_expect_eq(r.listed, CLIENTS_USING_MAX);
	cr_expect_eq(signal_exec(r.listing.exec, SIGKILL, CONKER__SCOPE__ALL).done, 'd');
	cr_expect_eq(answer_to(&stop, CONKER__CLIENT_MSG__MSG_SHUTDOWN).done, 'd');
}

Test(init_clients, however_many_only_sit_there_the_next_finds_room)
{
	for (int i = 0; i < CLIENTS_MAX; i++) {
		user[i] = connect_init();
		ping(&user[i]);
		cr_assert_eq(finish(&user[i], 50).done, 'd');
	}
	usleep((RESTING_MS + 100) * 1000);
	struct conn stop = connect_init();
	cr_expect_eq(answer_to(&stop, CONKER__CLIENT_MSG__MSG_LIST).done, 'd');
	struct result r = finish(&user[0], 50);
	cr_expect_eq(r.done, 'e', "the first of them gave way, and is told");
	cr_expect_eq(r.code, EAGAIN);
	ping(&user[1]);
	cr_expect_eq(finish(&user[1], 50).done, 'd', "no other did");
}

/* Each is in the middle of a request, the first one has a command. */
Test(init_clients, one_too_many_is_told_and_the_others_go_on)
{
	static const uint8_t half[] = {0xff, 0xff};

	user[0] = connect_init();
	send_sh(&user[0], 1, "exec sleep 1000");
	await_started(&user[0], 1);
	for (int i = 1; i < CLIENTS_MAX; i++) {
		user[i] = connect_init();
		ping(&user[i]);
		cr_assert_eq(finish(&user[i], 50).done, 'd');
		cr_assert_eq(send(user[i].fd, half, sizeof(half), 0), 2);
	}
	struct conn more = connect_raw();
	struct result r = finish(&more, 1);
	cr_expect_eq(r.done, 'e');
	cr_expect_eq(r.code, EAGAIN);
	send_sh(&user[0], 2, "echo alive");
	r = finish(&user[0], 2);
	cr_expect(said(&r, "alive\n"));
	(void)close(user[1].fd);
	for (int i = 0; i < WAIT_MS / 10 && r.done != 'd'; i++, usleep(10000)) {
		more = connect_raw(); /* there is room once init has seen the end */
		hello(&more);
		ping(&more);
		r = finish(&more, 50);
	}
	cr_expect_eq(r.done, 'd');
}
