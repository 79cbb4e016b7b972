/* SPDX-License-Identifier: Apache-2.0 */
/* exec - warm executions: how long does a command take in a box that is up, over a connection that
 * is open, and how much of that is starting a process at all?
 *
 *   exec [-n RUNS] [-b BATCH] [-m MIB] [-c CPUS] DIRECTORY
 *
 * DIRECTORY has the guest's programs, `true` and `spawn`. The first series is conker_exec_start()
 * and conker_exec_wait() of `true`, on the host's clock. The second is vfork, exec and wait of the
 * same file by a process in the same box, on the guest's clock. They take turns, BATCH of each, so
 * that whatever else this machine does meets both; what counts is the ratio. WARM_UP of each come
 * first and are not counted: page cache, slabs and cgroups are made by them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/conker.h"
#include "tools/bench/boxes.h"
#include "tools/bench/host.h"
#include "tools/bench/jail.h"
#include "tools/bench/table.h"
#include "util/num.h"

enum { WARM_UP = 5, BATCH_MAX = 255 };

struct options {
	unsigned runs, batch, memory_mib, cpus;
	const char *dir;
};

struct bench {
	conker_box *box;
	conker_exec *spawner; /* the process in the box that measures the second series */
	uint8_t answer[BATCH_MAX * sizeof(uint32_t)];
	size_t answered; /* bytes of it */
	struct result r;
	struct series *exec, *spawn;
};

static int pair_fail(const char *what)
{
	fprintf(stderr, "exec: %s: %s\n", what, conker_errmsg());
	return -1;
}

/* ---- the two series -------------------------------------------------------------------------- */

static void batch_of_execs(struct bench *b, unsigned n)
{
	static const char *const argv[] = {"/tmp/true", NULL};
	struct ran ran;

	for (unsigned i = 0; i < n; i++) {
		if (boxes_run(b->box, argv, &ran) == 0)
			(void)series_add(b->exec, ran.ns, NULL);
		else
			series_fail(b->exec, ran.why);
	}
}

static void on_answer(conker_exec *e, enum conker_event ev, const conker_event_data *data,
		      void *user)
{
	struct bench *b = user;

	(void)e;
	if (ev != CONKER_STDOUT || data->output.len > sizeof(b->answer) - b->answered)
		return;
	memcpy(b->answer + b->answered, data->output.bytes, data->output.len);
	b->answered += data->output.len;
}

static int start_spawner(struct bench *b)
{
	const char *argv[] = {"/tmp/spawn", "/tmp/true", NULL};
	conker_exec_opts o = {.size = sizeof(o), .argv = argv, .flags = CONKER_EXEC_STDIN};
	conker_exec_cb cb = {.fn = on_answer, .user = b};

	return conker_exec_start(b->box, &o, cb, &b->spawner) < 0 ? pair_fail("spawn") : 0;
}

static void batch_of_spawns(struct bench *b, unsigned n)
{
	enum { SLICE_MS = 100, PATIENCE_MS = 600000 };
	uint8_t count = (uint8_t)n;
	uint32_t us;

	b->answered = 0;
	if (conker_exec_write(b->spawner, &count, 1) != 1) {
		series_fail(b->spawn, conker_errmsg());
		return;
	}
	for (int i = 0; i < PATIENCE_MS / SLICE_MS && b->answered < n * sizeof(us); i++)
		if (conker_exec_wait(b->spawner, SLICE_MS, NULL) != -ETIMEDOUT)
			break;
	for (size_t at = 0; at < b->answered; at += sizeof(us)) {
		memcpy(&us, b->answer + at, sizeof(us));
		(void)series_add(b->spawn, us * 1000ULL, NULL);
	}
	if (b->answered < n * sizeof(us))
		series_fail(b->spawn, "no answer from the box");
}

static int measure(struct bench *b, const struct options *o)
{
	conker_box_opts opts = {.size = sizeof(opts), .memory_mib = o->memory_mib, .cpus = o->cpus};

	conker_box_info info = {.size = sizeof(info)};
	char jail[160] = "";

	if (conker_box_create(&opts, &b->box) < 0 || conker_box_info_get(b->box, &info) < 0)
		return pair_fail("box");
	jail_of(info.vmm_pid, jail, sizeof(jail));
	printf("jail %s\n", jail);
	if (boxes_upload(b->box, o->dir, "true") < 0 || boxes_upload(b->box, o->dir, "spawn") < 0 ||
	    start_spawner(b) < 0)
		return -1;
	batch_of_execs(b, WARM_UP);
	batch_of_spawns(b, WARM_UP);
	b->exec->n = b->spawn->n = 0;
	for (unsigned done = 0; done < o->runs; done += o->batch) {
		unsigned n = o->runs - done < o->batch ? o->runs - done : o->batch;

		batch_of_execs(b, n);
		batch_of_spawns(b, n);
	}
	return 0;
}

static int parse(int argc, char **argv, struct options *o)
{
	int c;

	while ((c = getopt(argc, argv, "n:b:m:c:")) != -1) {
		unsigned v = c == '?' ? 0 : (unsigned)num_at(optarg);

		if (v == 0)
			return -1;
		*(c == 'n'   ? &o->runs
		  : c == 'b' ? &o->batch
		  : c == 'm' ? &o->memory_mib
			     : &o->cpus) = v;
	}
	o->dir = argv[optind];
	return o->dir && o->batch <= BATCH_MAX ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct options o = {.runs = 100, .batch = 10, .memory_mib = 128, .cpus = 1};
	struct bench *b = calloc(1, sizeof(*b));

	if (!b || parse(argc, argv, &o) < 0) {
		fprintf(stderr, "usage: exec [-n RUNS] [-b BATCH] [-m MIB] [-c CPUS] DIRECTORY\n");
		return 2;
	}
	b->exec = result_series(&b->r, "exec", "conker");
	b->spawn = result_series(&b->r, "vfork, exec, wait", "in it");
	if (!b->exec || !b->spawn)
		return 1;
	host_facts(&b->r);
	printf("warm exec of a program of three instructions: host %s with %s CPUs, %u MiB, %u "
	       "vCPU\n",
	       result_fact_of(&b->r, "kind"), result_fact_of(&b->r, "cpus"), o.memory_mib, o.cpus);
	int r = measure(b, &o);
	struct text t = {0};
	if (r == 0)
		b->exec->ended = b->spawn->ended = ENDED_ENOUGH;
	table_head(&t);
	table_series(&t, b->exec);
	table_series(&t, b->spawn);
	fputs(t.s ? t.s : "", stdout);
	text_fini(&t);
	uint64_t base = series_median(b->spawn);
	if (base)
		printf("ratio of the two p50: %.2f\n",
		       (double)series_median(b->exec) / (double)base);
	uint64_t failures = result_failures(&b->r);
	conker_exec_free(b->spawner);
	conker_box_free(b->box);
	result_fini(&b->r);
	free(b);
	return r < 0 || failures ? 1 : 0;
}
