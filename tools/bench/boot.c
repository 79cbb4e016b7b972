/* SPDX-License-Identifier: Apache-2.0 */
/* boot.c - cold boots, and what a box takes of its host's memory. */
#include <stdio.h>
#include <string.h>

#include "tools/bench/bench.h"
#include "tools/bench/boxes.h"
#include "tools/bench/procs.h"

/* ---- memory ------------------------------------------------------------------------------------------------- */

static const char *const memory_steps[] = {
	"guest memory, private",
	"guest memory, its share of shared pages",
	"VMM, private",
	"VMM, its share of shared pages",
};

void memory_series(struct bench *b, const char *system, unsigned of, struct memory_series *ret)
{
	char all[320], own[320];

	*ret = (struct memory_series){0};
	if (!(b->which & BENCH_MEMORY))
		return;
	(void)snprintf(all, sizeof(all),
		       "Pss of all processes of a box after its first exec, from smaps: private "
		       "pages, and "
		       "shared ones by share; %u of them at once",
		       of);
	(void)snprintf(
		own, sizeof(own),
		"VmRSS of all processes of a box after its first exec without the guest's memory; "
		"pages shared with other boxes counted in full; %u of them at once",
		of);
	ret->all = bench_series(b, "memory", system,
				of > 1 ? "memory of a clone" : "memory of a box", all, UNIT_BYTES);
	ret->own = bench_series(b, "memory-own", system,
				of > 1 ? "memory of a clone, less its guest's"
				       : "memory of a box, less its guest's",
				own, UNIT_BYTES);
	for (size_t i = 0; i < countof(memory_steps) && ret->all; i++)
		(void)series_step(ret->all, memory_steps[i]);
}

static uint64_t shared(uint64_t pss, uint64_t private_)
{
	return pss > private_ ? pss - private_ : 0;
}

void memory_sample(struct bench *b, const struct memory_series *m, const struct procs *before,
		   unsigned boxes)
{
	struct footprint f;

	if (!m->all || !m->own)
		return;
	procs_measure(before, (uint64_t)b->parts.memory_mib << 20, &f);
	if (f.guests != boxes) {
		series_fail(m->all, "the guest's memory was not found in smaps");
		return;
	}
	const uint64_t steps[] = {f.guest_private / boxes,
				  shared(f.guest_pss, f.guest_private) / boxes,
				  f.own_private / boxes, shared(f.own_pss, f.own_private) / boxes};
	(void)series_add(m->all, steps[0] + steps[1] + steps[2] + steps[3], steps);
	(void)series_add(m->own, f.own_rss / boxes, NULL);
}

/* ---- the client of `conker run` -------------------------------------------------------------------------- */

struct client_ctx {
	struct bench *b;
	struct series *s;
};

static void client_turn(void *ctx)
{
	enum { PATIENCE_MS = 120000 };
	char *argv[] = {(char *)"/proc/self/exe", (char *)"run", (char *)"--sh",
			(char *)"echo up; exec sleep 1000", NULL};
	struct client_ctx *c = ctx;
	struct machine m;
	uint64_t rss = 0;

	if (machine_start_other(argv, &m) == 0) {
		if (machine_await_text(&m, "up", PATIENCE_MS) == 0)
			rss = procs_rss(m.pid);
		machine_end(&m);
	}
	if (rss)
		(void)series_add(c->s, rss, NULL);
	else
		series_fail(c->s, "`conker run` failed");
}

static struct series *client_series(struct bench *b)
{
	return bench_series(b, "memory-client", "conker", "memory of the client of `conker run`",
			    "VmRSS of the process that waits for the command, as long as it runs; "
			    "the box not counted",
			    UNIT_BYTES);
}

/* ---- cold boots ------------------------------------------------------------------------------------------- */

struct cold_ctx {
	struct bench *b;
	struct series *s;
	struct memory_series memory;
};

static void add_boot(struct series *s, conker_box *box, uint64_t created_ns, const struct ran *ran)
{
	conker_box_info info = {.size = sizeof(info)};
	uint64_t steps[4] = {created_ns, 0, 0, ran->ns};

	if (conker_box_info_get(box, &info) == 0 &&
	    (info.setup_us + info.boot_us) * 1000 <= created_ns) {
		steps[1] = info.setup_us * 1000;
		steps[2] = info.boot_us * 1000;
		steps[0] -= steps[1] + steps[2];
	}
	(void)series_add(s, created_ns + ran->ns, steps);
}

static void cold_turn(void *ctx)
{
	static const char *const argv[] = {"true", NULL};
	struct cold_ctx *c = ctx;
	conker_box_opts o = {
		.size = sizeof(o), .memory_mib = c->b->parts.memory_mib, .cpus = c->b->parts.cpus};
	conker_box *box = NULL;
	struct procs before;
	struct ran ran;

	procs_list(&before);
	uint64_t start = machine_now_ns();
	if (conker_box_create(&o, &box) < 0) {
		series_fail(c->s, conker_errmsg());
		return;
	}
	uint64_t created = machine_now_ns() - start;
	if (boxes_run(box, argv, &ran) < 0) {
		series_fail(c->s, ran.why);
	} else {
		add_boot(c->s, box, created, &ran);
		memory_sample(c->b, &c->memory, &before, 1);
	}
	conker_box_free(box);
}

void boot_run(struct bench *b, unsigned weight)
{
	static const char *const steps[] = {
		"library: spawn, connect", "VMM set-up: process start to first KVM_RUN",
		"guest boot: first KVM_RUN to init serving", "first exec of `true`"};
	struct cold_ctx cold = {.b = b};
	struct client_ctx client = {.b = b};
	struct task tasks[2 + PEERS_MAX];
	struct peer peers[PEERS_MAX];
	size_t n = 0, npeers = 0;

	if (b->which & (BENCH_COLD | BENCH_MEMORY)) {
		cold.s = bench_series(
			b, "cold", "conker", "cold boot to first exec result",
			"from before the VMM's process is spawned until the exit status of "
			"`true` has arrived, through the library; no template, no snapshot",
			UNIT_NS);
		for (size_t i = 0; i < countof(steps) && cold.s; i++)
			(void)series_step(cold.s, steps[i]);
		memory_series(b, "conker", 1, &cold.memory);
		tasks[n++] =
			(struct task){.s = cold.s, .turn = cold_turn, .ctx = &cold, .max = 200};
	}
	if (b->which & BENCH_MEMORY && !b->quick) {
		client.s = client_series(b);
		tasks[n++] = (struct task){
			.s = client.s, .turn = client_turn, .ctx = &client, .max = MEMORY_MAX};
	}
	if (b->which & BENCH_PEERS)
		npeers = peers_tasks(b, peers, tasks + n);
	n += npeers;
	plan_run(&b->plan, tasks, n, weight);
	if (cold.memory.all && cold.memory.own && cold.s)
		cold.memory.all->ended = cold.memory.own->ended = cold.s->ended;
	for (size_t i = 0; i < npeers; i++)
		if (peers[i].console && peers[i].end)
			peers[i].end->ended = peers[i].console->ended;
}
