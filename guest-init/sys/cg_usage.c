/* SPDX-License-Identifier: Apache-2.0 */
/* cg_usage.c - what groups count. See cg.h. */
#include <signal.h>

#include "guest-init/sys/cg.h"
#include "guest-init/sys/cg_file.h"
#include "util/num.h"

enum { TEXT_BYTES = 512 };

uint64_t cg_parse(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = text; p && *p; p = strchr(p, '\n'), p += p != NULL) {
		if (n == 0)
			return num_at(p);
		if (strncmp(p, key, n) == 0 && p[n] == ' ')
			return num_at(p + n + 1);
	}
	return 0;
}

static uint64_t above(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static int read_text(struct cg *c, int i, enum cg_file f, char *text)
{
	int fd = cg_fd(c, i, f);

	text[0] = 0;
	return fd < 0 ? fd : cg_file_get(fd, text, TEXT_BYTES);
}

/* 0 when it cannot be read. */
static uint64_t read_number(struct cg *c, int i, enum cg_file f)
{
	char text[TEXT_BYTES];

	return read_text(c, i, f, text) == 0 ? cg_parse(text, "") : 0;
}

static void parse_cpu(const char *text, struct cg_usage *ret)
{
	ret->user_us = cg_parse(text, "user_usec");
	ret->sys_us = cg_parse(text, "system_usec");
	ret->throttled_us = cg_parse(text, "throttled_usec");
}

/* Since its group's last execution; CPU is 0 when the kernel does not count it. */
static void read_cpu(struct cg *c, int i, struct cg_usage *u)
{
	const struct cg_usage *told = &c->group[i].told;
	char text[TEXT_BYTES];

	(void)!read_text(c, i, CG_CPU_STAT, text);
	parse_cpu(text, u);
	u->user_us = above(u->user_us, told->user_us);
	u->sys_us = above(u->sys_us, told->sys_us);
	u->throttled_us = above(u->throttled_us, told->throttled_us);
}

static uint32_t read_oom_kills(struct cg *c, int i)
{
	char text[TEXT_BYTES];

	(void)!read_text(c, i, CG_MEMORY_EVENTS, text);
	return (uint32_t)above(cg_parse(text, "oom_kill"), c->group[i].told.oom_kills);
}

static void read_memory_peak(struct cg *c, int i, struct cg_usage *u)
{
	const struct cg_group *g = &c->group[i];

	u->memory_peak_bytes = above(read_number(c, i, CG_MEMORY_PEAK), g->memory_base_bytes);
}

void cg_usage(struct cg *c, int i, struct cg_usage *ret)
{
	const struct cg_group *g = &c->group[i];

	*ret = (struct cg_usage){0};
	read_cpu(c, i, ret);
	read_memory_peak(c, i, ret);
	ret->memory_bytes = above(read_number(c, i, CG_MEMORY), g->memory_base_bytes);
	ret->pids = (uint32_t)read_number(c, i, CG_PIDS);
	ret->pids_peak = (uint32_t)read_number(c, i, CG_PIDS_PEAK);
	ret->oom_kills = read_oom_kills(c, i);
}

/* Counted in the group's figures from now on; they may be finer than main's. */
static void tell(struct cg_usage *told, const struct cg_usage *u)
{
	told->user_us += u->user_us;
	told->sys_us += u->sys_us;
	told->throttled_us += u->throttled_us;
	told->oom_kills += u->oom_kills;
}

void cg_usage_add(struct cg_usage *sum, const struct cg_usage *u)
{
	tell(sum, u);
	if (sum->memory_peak_bytes < u->memory_peak_bytes)
		sum->memory_peak_bytes = u->memory_peak_bytes;
	if (sum->pids_peak < u->pids_peak)
		sum->pids_peak = u->pids_peak;
}

uint32_t cg_usage_end(struct cg *c, int i, const struct cg_main *m, struct cg_usage *sum)
{
	struct cg_group *g = &c->group[i];
	struct cg_usage u = {.pids_peak = 1};

	if (g->was_shared || g->limited)
		read_cpu(c, i, &u);
	if (g->was_shared)
		u.pids_peak = (uint32_t)read_number(c, i, CG_PIDS_PEAK);
	if (g->was_shared || m->signo == SIGKILL)
		u.oom_kills = read_oom_kills(c, i);
	read_memory_peak(c, i, &u);
	tell(&g->told, &u);
	if (u.user_us + u.sys_us < m->user_us + m->sys_us) {
		u.user_us = m->user_us;
		u.sys_us = m->sys_us;
	}
	if (!g->was_shared && !g->limited) {
		g->told.user_us += u.user_us;
		g->told.sys_us += u.sys_us;
	}
	g->untidy |= u.memory_peak_bytes > CG_NOISE_BYTES;
	cg_usage_add(sum, &u);
	return u.oom_kills;
}

static void read_box_file(struct cg *c, const char *name, char *text)
{
	auto_close int fd = openat(c->box_fd, name, O_RDONLY | O_CLOEXEC);

	text[0] = 0;
	if (fd >= 0)
		(void)!cg_file_get(fd, text, TEXT_BYTES);
}

void cg_usage_box(struct cg *c, struct cg_usage *ret)
{
	char text[TEXT_BYTES];

	*ret = (struct cg_usage){0};
	read_box_file(c, "cpu.stat", text);
	parse_cpu(text, ret);
	read_box_file(c, "memory.current", text);
	ret->memory_bytes = cg_parse(text, "");
	read_box_file(c, "memory.peak", text);
	ret->memory_peak_bytes = cg_parse(text, "");
	read_box_file(c, "memory.events", text);
	ret->oom_kills = (uint32_t)cg_parse(text, "oom_kill");
	read_box_file(c, "pids.current", text);
	ret->pids = (uint32_t)cg_parse(text, "");
	read_box_file(c, "pids.peak", text);
	ret->pids_peak = (uint32_t)cg_parse(text, "");
}
