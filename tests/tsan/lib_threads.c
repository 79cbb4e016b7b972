/* SPDX-License-Identifier: Apache-2.0 */
/* lib_threads.c - several threads on one box: waiting, killing, writing, dispatching, freeing in callbacks.
 *
 * A plain program, for the thread sanitizer: it exits with 66 when it finds a race. Beside races this
 * finds lost wake-ups, because every wait has a limit.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/tsan/counted.h"

enum { THREADS = 6, ROUNDS = 40 };

static void finish(conker_exec *e, const struct count *c)
{
	CHECK(conker_exec_wait(e, LIMIT_MS, NULL) == 0);
	CHECK(c->ends == 1 && c->frees == 1);
	conker_exec_free(e);
}

static void *runner(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		struct count c = {0};
		conker_exec *e = start(&c, 0, ARGV("flood", "300000"));
		finish(e, &c);
		CHECK(c.bytes == 300000);
	}
	return NULL;
}

static void *killer(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		struct count c = {0};
		conker_exec *e = start(&c, 0, ARGV("sleep"));
		CHECK(conker_exec_kill(e, SIGTERM, CONKER_KILL_ALL) == 0);
		finish(e, &c);
	}
	return NULL;
}

static void *wait_for_it(void *e)
{
	CHECK(conker_exec_wait(e, LIMIT_MS, NULL) == 0);
	return NULL;
}

static void *writer(void *arg)
{
	static const char zeros[50000];

	(void)arg;
	for (int i = 0; i < ROUNDS / 4; i++) {
		struct count c = {0};
		conker_exec *e = start(&c, CONKER_EXEC_STDIN, ARGV("cat"));
		pthread_t t;
		size_t at = 0;

		CHECK(pthread_create(&t, NULL, wait_for_it, e) == 0);
		while (at < 1000000) {
			ssize_t n = conker_exec_write(e, zeros, sizeof(zeros));
			CHECK(n > 0 || n == -EAGAIN);
			at += n > 0 ? (size_t)n : 0;
			if (n < 0)
				usleep(500);
		}
		CHECK(conker_exec_close_stdin(e) == 0);
		pthread_join(t, NULL);
		CHECK(c.bytes == at && c.frees == 1);
		conker_exec_free(e);
	}
	return NULL;
}

static void *asker(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS * 4; i++) {
		conker_box_info info = {.size = sizeof(info)};
		CHECK(conker_box_ping(box, LIMIT_MS) == 0);
		CHECK(conker_box_info_get(box, &info) == 0);
	}
	return NULL;
}

static void *looper(void *arg)
{
	struct pollfd p = {.fd = conker_box_fd(box), .events = POLLIN};

	(void)arg;
	for (int i = 0; i < ROUNDS * 10; i++)
		if (poll(&p, 1, 1) > 0)
			CHECK(conker_box_dispatch(box) >= 0);
	return NULL;
}

static void free_it(conker_exec *e, enum conker_event ev, const conker_event_data *data, void *user)
{
	(void)data;
	(void)user;
	if (ev == CONKER_STARTED)
		conker_exec_free(e);
}

static void *freer(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		struct count c = {0};
		conker_exec_opts o = {.size = sizeof(o), .argv = ARGV("flood", "2000000")};
		conker_exec *e;

		CHECK(conker_exec_start(box, &o, (conker_exec_cb){free_it, NULL, NULL}, &e) == 0);
		e = start(&c, 0, ARGV("sleep"));
		conker_exec_free(e);
	}
	return NULL;
}

static void all_at_once(void)
{
	static void *(*const parts[THREADS])(void *) = {runner, killer, writer,
							asker,  looper, freer};
	conker_box_opts o = {.size = sizeof(o), .name = "tsan"};
	pthread_t t[THREADS];

	CHECK(conker_box_create(&o, &box) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&t[i], NULL, parts[i], NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	CHECK(conker_box_ping(box, LIMIT_MS) == 0);
	conker_box_free(box);
}

static void *wait_for_loss(void *e)
{
	CHECK(conker_exec_wait(e, LIMIT_MS, NULL) == -ECONNRESET);
	return NULL;
}

/* The VMM dies while threads wait, write and ask: each learns of it. */
static void loss(void)
{
	conker_box_opts o = {.size = sizeof(o), .name = "tsan"};
	struct count c[THREADS] = {0}, d = {0};
	conker_exec *e[THREADS], *last;
	pthread_t t[THREADS];

	CHECK(conker_box_create(&o, &box) == 0);
	for (int i = 0; i < THREADS; i++) {
		e[i] = start(&c[i], CONKER_EXEC_STDIN, ARGV("sleep"));
		CHECK(pthread_create(&t[i], NULL, wait_for_loss, e[i]) == 0);
	}
	last = start(&d, 0, ARGV("vanish"));
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		CHECK(c[i].ends == 1 && c[i].frees == 1);
		conker_exec_free(e[i]);
	}
	(void)conker_exec_wait(last, LIMIT_MS, NULL);
	conker_exec_free(last);
	conker_box_free(box);
}

int main(void)
{
	fakevmm_use();
	all_at_once();
	loss();
	fakevmm_clean();
	puts("lib_threads: no race seen");
	return 0;
}
