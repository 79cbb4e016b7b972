/* SPDX-License-Identifier: Apache-2.0 */
/* load.c - many short commands in a box: load BOX COUNT AT_ONCE
 *
 * Each says its own number on both streams, some lines more or less; every byte, the exit code and
 * the number of ends are checked. Afterwards this process must hold the descriptors and about the
 * memory that it held after the first few. Prints the milliseconds it took.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/conker.h"
#include "tests/lib/fds.h"

enum { TEXT_MAX = 2048, AT_ONCE_MAX = 256, GROWTH_MAX_KIB = 2048, WARM_UP = 32 };

struct job {
	conker_exec *exec;
	int number, ends;
	int32_t code;
	size_t len[2];
	char text[2][TEXT_MAX];
};

static _Noreturn void die(const char *what, int number)
{
	fprintf(stderr, "load: execution %d: %s: %s\n", number, what, conker_errmsg());
	exit(1);
}

static void on_event(conker_exec *e, enum conker_event ev, const conker_event_data *data,
		     void *user)
{
	struct job *j = user;
	int k = ev == CONKER_STDERR;

	(void)e;
	switch (ev) {
	case CONKER_STDOUT:
	case CONKER_STDERR:
		if (j->ends || data->output.len > TEXT_MAX - j->len[k])
			die("output that is not its own", j->number);
		memcpy(j->text[k] + j->len[k], data->output.bytes, data->output.len);
		j->len[k] += data->output.len;
		break;
	case CONKER_EXIT:
		j->code = data->status.code;
		j->ends++;
		break;
	case CONKER_LOST: fprintf(stderr, "load: %s\n", data->failure.text); die("lost", j->number);
	default: break;
	}
}

static int lines_of(int number)
{
	return 1 + number % 7;
}

static void begin(conker_box *b, struct job *j, int number)
{
	static const char script[] = "i=0; while [ $i -lt $1 ]; do i=$((i+1)); echo out $0 $i; "
				     "echo err $0 $i >&2; done; exit $1";
	char name[16], lines[16];
	const char *const argv[] = {"/bin/sh", "-c", script, name, lines, NULL};
	conker_exec_opts o = {.size = sizeof(o), .argv = argv};
	conker_exec_cb cb = {.fn = on_event, .user = j};

	memset(j, 0, sizeof(*j));
	j->number = number;
	snprintf(name, sizeof(name), "%d", number);
	snprintf(lines, sizeof(lines), "%d", lines_of(number));
	if (conker_exec_start(b, &o, cb, &j->exec) < 0)
		die("start", number);
}

static void check(const struct job *j, int k)
{
	char want[TEXT_MAX];
	size_t n = 0;

	for (int i = 1; i <= lines_of(j->number); i++)
		n += (size_t)snprintf(want + n, sizeof(want) - n, "%s %d %d\n", k ? "err" : "out",
				      j->number, i);
	if (n != j->len[k] || memcmp(want, j->text[k], n) != 0)
		die(k ? "stderr is not what it wrote" : "stdout is not what it wrote", j->number);
}

static void finish(struct job *j)
{
	if (conker_exec_wait(j->exec, 300000, NULL) < 0)
		die("wait", j->number);
	check(j, 0);
	check(j, 1);
	if (j->ends != 1 || j->code != lines_of(j->number))
		die("its end", j->number);
	j->exec = conker_exec_free(j->exec);
}

static void run(conker_box *b, int first, int count, int at_once)
{
	static struct job jobs[AT_ONCE_MAX];

	for (int i = 0; i < count + at_once; i++) {
		struct job *j = &jobs[i % at_once];

		if (j->exec)
			finish(j);
		if (i < count)
			begin(b, j, first + i);
	}
}

static long rss_kib(void)
{
	long size, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f || fscanf(f, "%ld %ld", &size, &resident) != 2)
		exit(1);
	fclose(f);
	return resident * 4;
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
	conker_box *b;
	int count = argc == 4 ? (int)strtoul(argv[2], NULL, 10) : 0;
	int at_once = argc == 4 ? (int)strtoul(argv[3], NULL, 10) : 0;

	if (count <= 0 || at_once <= 0 || at_once > AT_ONCE_MAX)
		return 2;
	if (conker_box_open(argv[1], &b) < 0)
		die("box", 0);
	int warm_up = at_once < WARM_UP ? at_once : WARM_UP;
	run(b, 0, warm_up, at_once);
	int fds = open_fds();
	long rss = rss_kib();
	long long start = now_ms();
	run(b, warm_up, count, at_once);
	printf("%lld\n", now_ms() - start);
	if (open_fds() != fds || rss_kib() - rss > GROWTH_MAX_KIB) {
		fprintf(stderr, "load: descriptors %d, then %d; memory %ld KiB, then %ld KiB\n",
			fds, open_fds(), rss, rss_kib());
		return 1;
	}
	conker_box_free(b);
	return 0;
}
