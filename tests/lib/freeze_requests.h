/* SPDX-License-Identifier: Apache-2.0 */
/* freeze_requests.h - what tests of guest-init's freezer ask, and see; on top of init_requests.h. */
#ifndef TESTS_LIB_FREEZE_REQUESTS_H
#define TESTS_LIB_FREEZE_REQUESTS_H

#include "tests/lib/init_requests.h"

#include <sys/inotify.h>
#include <sys/mman.h>

enum { IDLE_MS = 3000 };

/* In memory shared with the server: how often it rang; the idle time and the life that it is to have; when it rang
 * last. */
static int *shared;
static int64_t *rang_us;

static int ring_test(void)
{
	*rang_us = now_us();
	(void)__atomic_add_fetch(&shared[0], 1, __ATOMIC_SEQ_CST);
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

__attribute__((constructor)) static void share(void)
{
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	rang_us = (int64_t *)(shared + 4);
}

/* The other door of init, where forwarded connections come in. */
static struct sockaddr_un forward_address(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/f", dir);
	return a;
}

static int listen_forward(void)
{
	struct sockaddr_un a = forward_address();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 16) < 0)
		_exit(77);
	return fd;
}

unused static int connect_forward(void)
{
	struct sockaddr_un a = forward_address();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	for (int i = 0; connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0; i++) {
		cr_assert_lt(i, WAIT_MS / 10, "init does not listen");
		usleep(10000);
	}
	return fd;
}

void server_begins(struct server *s)
{
	s->forwards.listen_fd = listen_forward();
	(void)unshare(CLONE_NEWUTS);
	s->idle.idle_ms = shared[1];
	s->idle.life_ms = shared[2];
	s->idle.suspends = 1;
	s->idle.born_us = now_us();
	s->freezer.ring = ring_test;
}

unused static void clean_up(void)
{
	static const char *const left[] = {"ticks", "victim", "f"};
	char path[96];

	for (size_t i = 0; i < countof(left); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, left[i]);
		(void)unlink(path);
	}
	stop_server();
}

/* ---- requests ---- */

enum { FREEZE_CHANNEL = 500, THAW_CHANNEL, RESUME_CHANNEL };

unused static void send_freeze(struct conn *c)
{
	Conker__Freeze f = CONKER__FREEZE__INIT;

	ask(c, FREEZE_CHANNEL, CONKER__CLIENT_MSG__MSG_FREEZE, &f);
}

unused static struct result freeze_it(struct conn *c)
{
	send_freeze(c);
	return finish(c, FREEZE_CHANNEL);
}

unused static void send_thaw(struct conn *c)
{
	Conker__Thaw t = CONKER__THAW__INIT;

	ask(c, THAW_CHANNEL, CONKER__CLIENT_MSG__MSG_THAW, &t);
}

unused static struct result thaw(struct conn *c)
{
	send_thaw(c);
	return finish(c, THAW_CHANNEL);
}

/* With its answer, so that all that was said before has been heard. */
unused static void pong(struct conn *c)
{
	ping(c);
	cr_assert_eq(finish(c, 50).done, 'd');
}

/* No time: that clock is the machine's. */
unused static void send_resume(struct conn *c, const char *hostname, const char *generation)
{
	Conker__Resume p = CONKER__RESUME__INIT;

	p.hostname = bytes(hostname);
	p.generation = bytes(generation);
	if (*generation)
		p.seed = bytes("a seed of thirty-two bytes, here");
	ask(c, RESUME_CHANNEL, CONKER__CLIENT_MSG__MSG_RESUME, &p);
}

/* As the host of a copy does. */
unused static struct result resume_copy(struct conn *c, uint32_t life_ms, uint32_t idle_ms,
					int suspends)
{
	Conker__Resume p = CONKER__RESUME__INIT;
	Conker__Lifetime l = CONKER__LIFETIME__INIT;

	l.life_ms = life_ms;
	l.idle_ms = idle_ms;
	l.idle_suspend = suspends;
	p.lifetime = &l;
	ask(c, RESUME_CHANNEL, CONKER__CLIENT_MSG__MSG_RESUME, &p);
	return finish(c, RESUME_CHANNEL);
}

unused static struct result resume(struct conn *c)
{
	send_resume(c, "", "");
	return finish(c, RESUME_CHANNEL);
}

/* Starts a script that appends a byte to the file `ticks` of the test's directory every 20 ms. */
unused static uint64_t start_ticker(struct conn *c, uint32_t channel, Conker__Start *s)
{
	struct result r = {.out = keep(OUT_MAX)};
	char script[160];

	(void)snprintf(script, sizeof(script),
		       "exec >>%s/ticks; while :; do printf x; sleep 0.02; done", dir);
	start(c, channel, s, (const char *[]){"/bin/sh", "-c", script, NULL});
	for (int i = 0; i < 200 && !r.started; i++)
		step(c, channel, &r, 100);
	cr_assert(r.started);
	return r.start.exec;
}

unused static long ticks(void)
{
	struct stat st = {0};
	char path[96];

	(void)snprintf(path, sizeof(path), "%s/ticks", dir);
	(void)stat(path, &st);
	return (long)st.st_size;
}

unused static int still(void)
{
	long before = ticks();

	usleep(300000);
	return ticks() == before;
}

unused static void await_ticks(void)
{
	long before = ticks();

	for (int i = 0; i < WAIT_MS / 10 && ticks() == before; i++)
		usleep(10000);
	cr_assert_gt(ticks(), before, "nothing runs");
}

unused static Conker__Status end_of(uint64_t exec)
{
	struct result r = wait_exit(exec);

	cr_assert_eq(r.done, 'x');
	return r.exit.status;
}

unused static void expect_error(const struct result *r, int code)
{
	cr_assert_eq(r->done, 'e');
	cr_assert_eq(r->code, code, "%d", r->code);
}

#endif
