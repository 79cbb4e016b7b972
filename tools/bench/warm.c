/* SPDX-License-Identifier: Apache-2.0 */
/* warm.c - what is measured in one box that is up: executions, streams, a disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench.h"
#include "tools/bench/boxes.h"

enum { RTT_MIN = 100, RTT_MAX = 2000, QUICK_MAX = 100 };

/* ---- executions ------------------------------------------------------------------------------------------ */

struct exec_ctx {
	struct bench *b;
	struct series *s;
};

static void exec_turn(void *ctx)
{
	struct exec_ctx *c = ctx;
	struct ran ran;

	if (boxes_run(c->b->box, boxes_tiny, &ran) < 0) {
		series_fail(c->s, ran.why);
		return;
	}
	uint64_t in = ran.in_ns < ran.ns ? ran.in_ns : ran.ns;
	const uint64_t steps[] = {in, ran.ns - in};
	(void)series_add(c->s, ran.ns, steps);
}

static void ping_turn(void *ctx)
{
	struct exec_ctx *c = ctx;
	uint64_t start = machine_now_ns();

	if (conker_box_ping(c->b->box, 10000) < 0)
		series_fail(c->s, conker_errmsg());
	else
		(void)series_add(c->s, machine_now_ns() - start, NULL);
}

void warm_run(struct bench *b, unsigned weight)
{
	struct exec_ctx exec = {.b = b}, ping = {.b = b};
	size_t min = b->quick ? 0 : RTT_MIN, max = b->quick ? QUICK_MAX : RTT_MAX;

	exec.s = bench_series(b, "exec", "conker", "warm exec",
			      "conker_exec_start() to conker_exec_wait() of a program of three "
			      "instructions in a box that is up, over an open connection",
			      UNIT_NS);
	ping.s = bench_series(b, "ping", "conker", "warm ping",
			      "conker_box_ping(): a round trip to guest-init, no process", UNIT_NS);
	if (exec.s) {
		(void)series_step(exec.s, "in the box: spawn to end");
		(void)series_step(exec.s, "there and back: client, vsock, init");
	}
	if (boxes_warm_up(b->box) < 0 && exec.s && !b->plan.interrupted())
		series_fail(exec.s, conker_errmsg());
	struct task tasks[] = {
		{.s = exec.s, .turn = exec_turn, .ctx = &exec, .min = min, .max = max},
		{.s = ping.s, .turn = ping_turn, .ctx = &ping, .min = min, .max = max},
	};
	plan_run(&b->plan, tasks, countof(tasks), weight);
}

/* ---- bytes ------------------------------------------------------------------------------------------------ */

enum { BLOCK_BYTES = 256 << 10, AIM_NS = 1000000000, STREAM_MIB_MAX = 512, FIRST_MIB = 1 };

struct bytes_ctx {
	struct bench *b;
	struct series *s;
	const char *script; /* to which "count=MIB" is added, unless it is fed */
	unsigned mib, mib_max;
	const char *block; /* BLOCK_BYTES to feed it with, or NULL */
	int guest_clock;
};

/* One transfer: bytes per second. */
static int transfer(struct bytes_ctx *c, uint64_t *ret, struct ran *ran)
{
	char script[160];
	const char *argv[] = {"sh", "-c", script, NULL};
	uint64_t bytes = (uint64_t)c->mib << 20;

	if (c->block)
		(void)snprintf(script, sizeof(script), "%s", c->script);
	else
		(void)snprintf(script, sizeof(script), "exec %s count=%u 2>/dev/null", c->script,
			       c->mib);
	int r = boxes_feed(c->b->box, argv, c->block, BLOCK_BYTES, bytes, ran);
	if (r < 0)
		return r;
	uint64_t ns = c->guest_clock ? ran->in_ns : ran->ns;
	*ret = (uint64_t)((double)bytes * 1e9 / (double)(ns ? ns : 1));
	return 0;
}

static void bytes_turn(void *ctx)
{
	struct bytes_ctx *c = ctx;
	struct ran ran;
	uint64_t rate = 0;

	if (transfer(c, &rate, &ran) < 0)
		series_fail(c->s, ran.why);
	else
		(void)series_add(c->s, rate, NULL);
}

/* As many MiB as take about a second (a quarter, when in a hurry), so that starting the command does not count. */
static void choose_size(struct bytes_ctx *c)
{
	uint64_t rate = 0;
	struct ran ran;

	c->mib = FIRST_MIB;
	if (transfer(c, &rate, &ran) < 0)
		return; /* the first turn will say so */
	c->mib = (unsigned)((rate * (c->b->quick ? 1 : 4) / 4) >> 20) + 1;
	if (c->mib > c->mib_max)
		c->mib = c->mib_max;
}

static struct task bytes_task(struct bench *b, struct bytes_ctx *c, const char *id,
			      const char *title)
{
	char measures[320];

	c->b = b;
	choose_size(c);
	(void)snprintf(measures, sizeof(measures), "`%s`, %u MiB at a time, over %s", c->script,
		       c->mib,
		       c->guest_clock ? "the command's life on the guest's clock; the file is in "
					"the host's page cache"
				      : "the call's time, start of the command included");
	c->s = bench_series(b, id, "conker", title, measures, UNIT_BYTES_PER_S);
	return (struct task){.s = c->s, .turn = bytes_turn, .ctx = c, .min = 6, .max = 50};
}

void disk_run(struct bench *b, unsigned weight)
{
	char *block = calloc(1, BLOCK_BYTES);
	struct bytes_ctx out = {.script = "dd if=/dev/zero bs=1M", .mib_max = STREAM_MIB_MAX},
			 in = {.script = "cat >/dev/null",
			       .mib_max = STREAM_MIB_MAX,
			       .block = block},
			 rd = {.script = "dd if=/dev/vdb of=/dev/null bs=1M iflag=direct",
			       .mib_max = BENCH_DISK_MIB,
			       .guest_clock = 1},
			 wr = {.script =
				       "dd if=/dev/zero of=/dev/vdb bs=1M oflag=direct conv=fsync",
			       .mib_max = BENCH_DISK_MIB,
			       .guest_clock = 1};
	struct task tasks[4];
	size_t n = 0;

	if (b->which & BENCH_STREAM && block) {
		tasks[n++] = bytes_task(b, &out, "stream-out", "stream out of a box (stdout)");
		tasks[n++] = bytes_task(b, &in, "stream-in", "stream into a box (stdin)");
	}
	if (b->which & BENCH_BLK) {
		tasks[n++] = bytes_task(b, &rd, "blk-read", "disk, sequential read");
		tasks[n++] = bytes_task(b, &wr, "blk-write", "disk, sequential write and sync");
	}
	plan_run(&b->plan, tasks, n, weight);
	free(block);
}
