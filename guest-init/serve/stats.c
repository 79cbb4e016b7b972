/* stats.c - see stats.h. */
#include "guest-init/serve/stats.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "guest-init/serve/server.h"

static void fill(Conker__Usage *ret, const struct cg_usage *u)
{
	ret->user_us = u->user_us;
	ret->sys_us = u->sys_us;
	ret->memory_bytes = u->memory_bytes;
	ret->memory_peak_bytes = u->memory_peak_bytes;
	ret->pids = u->pids;
	ret->pids_peak = u->pids_peak;
	ret->oom_kills = u->oom_kills;
	ret->throttled_us = u->throttled_us;
}

void stats_of_exec(struct server *s, struct exec *x, Conker__Usage *ret)
{
	struct cg_usage u = x->usage, now;

	if (x->cg >= 0) {
		cg_usage(&s->cg, x->cg, &now);
		cg_usage_add(&u, &now);
		u.memory_bytes = now.memory_bytes;
		u.pids = now.pids;
	}
	fill(ret, &u);
}

/* Init has no /proc of its own. What it could leak is in its one mapping; the rest is its image. */
static uint64_t resident_kib(struct server *s)
{
	enum { PAGE_BYTES = 4096, PAGES = sizeof(*s) / PAGE_BYTES, AT_ONCE = sizeof(s->stage) };
	uint8_t *in_use = s->stage; /* free between two reads of a pipe */
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
	b->uptime_us = (uint64_t)s->now_us; /* CLOCK_MONOTONIC begins with the machine */
	b->running = s->n_live;
	b->kept = s->n_ended;
	b->started = s->last_exec_id;
	b->refused_frames = s->refused_frames;
	b->dropped_bytes = s->log.dropped_bytes;
	b->forwards = (uint32_t)s->n_forwards;
	b->idle_us = idle_for_us(s);
	for (const struct client *c = s->client; c < clients_end(s); c++)
		b->clients += c->fd >= 0;
}

void stats_send(struct server *s, struct client *c, uint32_t channel)
{
	Conker__ServerMsg m = CONKER__SERVER_MSG__INIT;
	Conker__BoxStats b = CONKER__BOX_STATS__INIT;
	Conker__Usage u = CONKER__USAGE__INIT;
	struct sysinfo info = {0};
	struct cg_usage of_box;

	fill_counts(s, &b);
	(void)sysinfo(&info); /* fails only for a bad pointer */
	b.memory_total_bytes = (uint64_t)info.totalram * info.mem_unit;
	cg_usage_box(&s->cg, &of_box);
	fill(&u, &of_box);
	b.usage = &u;
	b.init_rss_kib = resident_kib(s);
	b.init_fds = open_fds();
	m.channel = channel;
	m.msg_case = CONKER__SERVER_MSG__MSG_BOX_STATS;
	m.box_stats = &b;
	client_send(c, &m);
}
