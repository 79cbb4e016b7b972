/* SPDX-License-Identifier: Apache-2.0 */
/* latency.c - how long a short command takes in a box: latency BOX COUNT
 *
 * Runs `true` COUNT times, one after the other, over one connection, and prints the microseconds of each. One
 * before is not counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/conker.h"

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "latency: %s: %s\n", what, conker_errmsg());
	exit(1);
}

static int64_t run_one(conker_box *b)
{
	const char *const argv[] = {"true", NULL};
	conker_exec_opts o = {.size = sizeof(o), .argv = argv};
	conker_status s = {.size = sizeof(s)};
	conker_exec *x;
	int64_t start_us = now_us();

	if (conker_exec_start(b, &o, (conker_exec_cb){0}, &x) < 0)
		die("start");
	if (conker_exec_wait(x, -1, &s) < 0 || s.code != 0)
		die("wait");
	int64_t us = now_us() - start_us;
	conker_exec_free(x);
	return us;
}

int main(int argc, char *argv[])
{
	int n = argc == 3 ? (int)strtoul(argv[2], NULL, 10) : 0;
	conker_box *b;

	if (n <= 0) {
		fprintf(stderr, "usage: latency BOX COUNT\n");
		return 2;
	}
	if (conker_box_open(argv[1], &b) < 0)
		die("open");
	(void)run_one(b);
	while (n--)
		printf("%lld\n", (long long)run_one(b));
	conker_box_free(b);
	return 0;
}
