/* SPDX-License-Identifier: Apache-2.0 */
/* setup.c - how long does a VMM need until its guest runs?
 *
 * Each turn starts conker-vmm as the library does for a box, with kernel, initramfs, base image, console and listening
 * sockets, and ends it as soon as it has said that KVM_RUN comes next.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench/bench.h"
#include "tools/bench/machine.h"
#include "util/num.h"

enum { SETUP_MIN = 100, SETUP_MAX = 1000, QUICK_MAX = 50, TEXT_BYTES = 8192 };

struct setup_ctx {
	struct bench *b;
	struct series *s;
	unsigned flags;
};

/* A line of a step, "conker-vmm:  1234 us  +  56  what was done": 56, and where its name begins; or NULL. */
static const char *read_step(const char *line, uint64_t *ret_us)
{
	const char *plus = strchr(line, '+');
	const char *at = plus ? plus + 1 + strspn(plus + 1, " ") : NULL;

	if (!plus || strncmp(line, "conker-vmm:", 11) != 0 ||
	    num_take(&at, NULL, 10, UINT64_MAX, ret_us) < 0)
		return NULL;
	return at + strspn(at, " ");
}

static void take_steps(struct series *s, int fd, uint64_t total_us)
{
	char text[TEXT_BYTES], *save = NULL;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	uint64_t took = 0, steps[STEPS_MAX] = {0};

	text[n > 0 ? n : 0] = 0;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		const char *name = read_step(l, &took);
		int i = name ? series_step(s, name) : -1;

		if (i >= 0)
			steps[i] = took * 1000;
	}
	(void)series_add(s, total_us * 1000, steps);
}

static void setup_turn(void *ctx)
{
	struct setup_ctx *c = ctx;
	char line[512];
	struct machine m;

	if (machine_start_box(&c->b->parts, c->flags, &m) < 0) {
		series_fail(c->s, "conker-vmm could not be started");
		return;
	}
	if (machine_await_event(&m, "started ", line, sizeof(line)) < 0)
		series_fail(c->s, line);
	else if (c->flags & MACHINE_VERBOSE)
		take_steps(c->s, m.err, num_at(line + strlen("started ")));
	else
		(void)series_add(c->s, machine_now_ns() - m.start_ns, NULL);
	machine_end(&m);
}

void setup_run(struct bench *b, unsigned weight)
{
	struct setup_ctx plain = {.b = b}, verbose = {.b = b, .flags = MACHINE_VERBOSE};
	size_t min = b->quick ? 0 : SETUP_MIN, max = b->quick ? QUICK_MAX : SETUP_MAX;

	plain.s = bench_series(
		b, "setup", "conker", "VMM set-up",
		"from before the spawn of conker-vmm until its word that KVM_RUN comes next "
		"has arrived; kernel, initramfs, base image and sockets in place",
		UNIT_NS);
	verbose.s = bench_series(
		b, "setup-steps", "conker", "VMM set-up, step by step",
		"from the start of the process to the first KVM_RUN on the VMM's own clock, in "
		"runs of their own that write down each step",
		UNIT_NS);
	struct task tasks[] = {
		{.s = plain.s, .turn = setup_turn, .ctx = &plain, .min = min, .max = max},
		{.s = verbose.s, .turn = setup_turn, .ctx = &verbose, .min = min, .max = max},
	};
	plan_run(&b->plan, tasks, countof(tasks), weight);
}
