/* SPDX-License-Identifier: Apache-2.0 */
/* freeze.c - a box's freezer without a snapshot, by the library's internals: freeze BOX COMMAND
 *
 *	thaw MS     freezes, waits, thaws
 *	resume      freezes, and resumes by another connection, as after a restore
 *	lose        freezes, and goes
 *	figures N   microseconds, N of each: freeze, thaw; on a new connection a ping, a command, and one behind
 *	            Resume with the processes frozen
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/box/box.h"

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "freeze: %s: %s\n", what, conker_errmsg());
	exit(1);
}

static conker_box *open_box(const char *name)
{
	conker_box *b;

	if (conker_box_open(name, &b) < 0)
		die("open");
	return b;
}

static void freeze(conker_box *b)
{
	if (box_freeze(b, NULL, api_enter()) < 0)
		die("freeze");
}

static void thaw(conker_box *b)
{
	if (box_thaw(b, api_enter()) < 0)
		die("thaw");
}

static void run_true(conker_box *b)
{
	const char *const argv[] = {"true", NULL};
	conker_exec_opts o = {.size = sizeof(o), .argv = argv};
	conker_status s = {.size = sizeof(s)};
	conker_exec *x;

	if (conker_exec_start(b, &o, (conker_exec_cb){0}, &x) < 0)
		die("start");
	if (conker_exec_wait(x, 60000, &s) < 0 || s.code != 0)
		die("wait");
	conker_exec_free(x);
}

static int64_t time_freeze(conker_box *b)
{
	int64_t start = now_us();

	freeze(b);
	return now_us() - start;
}

static int64_t time_thaw(conker_box *b)
{
	int64_t start = now_us();

	thaw(b);
	return now_us() - start;
}

static int64_t time_ping(const char *name)
{
	int64_t start = now_us();
	conker_box *b = open_box(name);

	if (conker_box_ping(b, 60000) < 0)
		die("ping");
	start = now_us() - start;
	conker_box_free(b);
	return start;
}

static int64_t time_exec(const char *name, int resumes)
{
	int64_t start = now_us();
	conker_box *b = open_box(name);

	if (resumes && box_resume_send(b, NULL, api_enter()) < 0)
		die("resume");
	run_true(b);
	start = now_us() - start;
	conker_box_free(b);
	return start;
}

static void figures(const char *name, int n)
{
	for (int i = 0; i < n; i++) {
		conker_box *b = open_box(name);
		int64_t freeze_us = time_freeze(b), thaw_us = time_thaw(b);
		int64_t ping_us = time_ping(name), exec_us = time_exec(name, 0);

		freeze(b);
		int64_t frozen_us = time_ping(name), resume_us = time_exec(name, 1);
		conker_box_free(b);
		printf("freeze %lld thaw %lld ping %lld exec %lld frozen-ping %lld resume-exec "
		       "%lld\n",
		       (long long)freeze_us, (long long)thaw_us, (long long)ping_us,
		       (long long)exec_us, (long long)frozen_us, (long long)resume_us);
	}
}

int main(int argc, char *argv[])
{
	const char *what = argc >= 3 ? argv[2] : "";
	int n = argc == 4 ? (int)strtoul(argv[3], NULL, 10) : 0;

	if (strcmp(what, "figures") == 0) {
		figures(argv[1], n);
		return 0;
	}
	conker_box *b = open_box(argv[1]);
	freeze(b);
	if (strcmp(what, "thaw") == 0) {
		(void)usleep((useconds_t)n * 1000);
		thaw(b);
	} else if (strcmp(what, "resume") == 0) {
		conker_box *other = open_box(argv[1]);

		if (box_resume(other, NULL, api_enter()) < 0)
			die("resume");
		conker_box_free(other);
	} else if (strcmp(what, "lose") != 0) {
		return 2;
	}
	conker_box_free(b);
	return 0;
}
