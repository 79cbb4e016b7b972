/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - see stats.h. */
#include "guest-init/serve/stats.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "guest-init/exec/messages.h"
#include "guest-init/serve/server.h"

/* Init has no /proc of its own. What it could leak is in its one mapping; the rest is its image. */
static uint64_t resident_kib(struct server *s)
{
	enum {
		PAGE_BYTES = 4096,
		PAGES = sizeof(*s) / PAGE_BYTES,
		AT_ONCE = sizeof(s->execs.stage)
	};
	uint8_t *in_use = s->execs.stage; /* free between two reads of a pipe */
	uint64_t n = 0;

	for (size_t at = 0; at < PAGES; at += AT_ONCE) {
		size_t pages = min_((size_t)PAGES - at, (size_t)AT_ONCE);

		if (mincore((uint8_t *)s + at * PAGE_BYTES, pages * PAGE_BYTES, in_use) < 0)
			return 0;
		for (size_t i = 0; i < pages; i++)
			n += in_use[i] & 1;
	}
	return n * PAGE_BYTES / 1024;
}

/* Descriptors are handed out from the lowest, so a whole batch of unused ones is the end. */
static uint32_t open_fds(void)
{
	enum { AT_ONCE = 256 };
	struct pollfd p[AT_ONCE];
	uint32_t n = 0, before;
	int first = 0;

	do {
		before = n;
		for (int i = 0; i < AT_ONCE; i++)
			p[i] = (struct pollfd){.fd = first + i};
		if (poll(p, AT_ONCE, 0) < 0)
			return n;
		for (int i = 0; i < AT_ONCE; i++)
			n += !(p[i].revents & POLLNVAL);
		first += AT_ONCE;
	} while (n > before);
	return n;
}

static void fill_counts(struct server *s, Conker__BoxStats *b)
{
	b->uptime_us = (uint64_t)s->poller.now_us; /* CLOCK_MONOTONIC begins with the machine */
	b->running = s->execs.n_live;
	b->kept = s->execs.n_ended;
	b->started = s->execs.last_id;
	b->refused_frames = s->clients.refused_frames;
	b->dropped_bytes = s->execs.logs.dropped_bytes;
	b->forwards = (uint32_t)s->forwards.n;
	b->clients = clients_count(&s->clients);
	if (s->execs.uses.n == 0)
		b->idle_us = s->poller.now_us - s->execs.uses.since_us;
}

void stats_send(struct server *s, struct outbox *out, uint32_t channel)
{
	Conker__BoxStats b = CONKER__BOX_STATS__INIT;
	Conker__Usage u = CONKER__USAGE__INIT;
	struct sysinfo info = {0};
	struct cg_usage of_box;

	fill_counts(s, &b);
	(void)sysinfo(&info); /* fails only for a bad pointer */
	b.memory_total_bytes = (uint64_t)info.totalram * info.mem_unit;
	cg_usage_box(&s->execs.cg, &of_box);
	message_put_usage(&u, &of_box);
	b.usage = &u;
	b.init_rss_kib = resident_kib(s);
	b.init_fds = open_fds();
	message_send(out, channel, CONKER__SERVER_MSG__MSG_BOX_STATS, &b);
}
