/* SPDX-License-Identifier: Apache-2.0 */
/* result.c - see result.h. */
#include "tools/bench/result.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/stats.h"
#include "util/cleanup.h"

static void series_free(struct series *s)
{
	for (size_t i = 0; i < s->nsteps; i++)
		free(s->step[i].v);
	free(s->v);
	free(s);
}

void result_fini(struct result *r)
{
	for (size_t i = 0; i < r->nseries; i++)
		series_free(r->series[i]);
	*r = (struct result){0};
}

static void put_fact(struct fact *v, size_t *n, size_t max, const char *key, const char *value)
{
	if (*n == max)
		return;
	struct fact *f = &v[(*n)++];
	text_ascii(f->key, sizeof(f->key), key);
	text_ascii(f->value, sizeof(f->value), value);
}

void result_fact(struct result *r, const char *key, const char *value)
{
	put_fact(r->fact, &r->nfacts, FACTS_MAX, key, value);
}

void result_skip(struct result *r, const char *what, const char *why)
{
	put_fact(r->skip, &r->nskips, SKIPS_MAX, what, why);
}

const char *result_fact_of(const struct result *r, const char *key)
{
	for (size_t i = 0; i < r->nfacts; i++)
		if (strcmp(r->fact[i].key, key) == 0)
			return r->fact[i].value;
	return "";
}

struct series *result_series(struct result *r, const char *id, const char *system)
{
	struct series *s = r->nseries < SERIES_MAX ? calloc(1, sizeof(*s)) : NULL;

	if (!s)
		return NULL;
	text_ascii(s->id, sizeof(s->id), id);
	text_ascii(s->system, sizeof(s->system), system);
	s->boxes = 1;
	r->series[r->nseries++] = s;
	return s;
}

void result_drop_empty(struct result *r)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->nseries; i++) {
		struct series *s = r->series[i];
		char what[48];

		if (s->n || s->failures || s->ended != ENDED_TIME) {
			r->series[kept++] = s;
			continue;
		}
		(void)snprintf(what, sizeof(what), "%.20s, %" PRIu32 " at once", s->id, s->boxes);
		result_skip(r, what, "the time was over");
		series_free(s);
	}
	r->nseries = kept;
}

uint64_t result_failures(const struct result *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->nseries; i++)
		n += r->series[i]->failures;
	return n;
}

/* ---- samples --------------------------------------------------------------------------------------- */

static int resize(uint64_t **v, size_t cap)
{
	uint64_t *larger = realloc(*v, cap * sizeof(**v));

	if (!larger)
		return -1;
	*v = larger;
	return 0;
}

static int grow(struct series *s)
{
	size_t cap = s->cap ? s->cap * 2 : 16;

	if (s->n < s->cap)
		return 0;
	if (s->n == SAMPLES_MAX || resize(&s->v, cap) < 0)
		return -1;
	for (size_t i = 0; i < s->nsteps; i++)
		if (resize(&s->step[i].v, cap) < 0)
			return -1;
	s->cap = cap;
	return 0;
}

int series_step(struct series *s, const char *name)
{
	for (size_t i = 0; i < s->nsteps; i++)
		if (strcmp(s->step[i].name, name) == 0)
			return (int)i;
	if (s->nsteps == STEPS_MAX)
		return -1;
	struct step *p = &s->step[s->nsteps];
	p->v = calloc(s->cap ? s->cap : 1, sizeof(*p->v));
	if (!p->v)
		return -1;
	text_ascii(p->name, sizeof(p->name), name);
	return (int)s->nsteps++;
}

int series_add(struct series *s, uint64_t value, const uint64_t *steps)
{
	if (grow(s) < 0)
		return -1;
	for (size_t i = 0; i < s->nsteps; i++)
		s->step[i].v[s->n] = steps ? steps[i] : 0;
	s->v[s->n++] = value;
	return 0;
}

void series_fail(struct series *s, const char *why)
{
	if (s->failures++ == 0)
		text_ascii(s->failure, sizeof(s->failure), why);
}

uint64_t *series_sorted(const struct series *s)
{
	uint64_t *copy = s->n ? calloc(s->n, sizeof(*copy)) : NULL;

	if (copy) {
		memcpy(copy, s->v, s->n * sizeof(*copy));
		stats_sort(copy, s->n);
	}
	return copy;
}

uint64_t series_median(const struct series *s)
{
	auto_free uint64_t *v = series_sorted(s);

	return v ? stats_percentile(v, s->n, 500) : 0;
}

/* ---- words ------------------------------------------------------------------------------------------- */

static const char *scaled(double v, const char *const *units, double base, char *buf, size_t size)
{
	size_t i = 0;

	while (v >= base && units[i + 1]) {
		v /= base;
		i++;
	}
	(void)snprintf(buf, size,
		       v < 10    ? "%.2f %s"
		       : v < 100 ? "%.1f %s"
				 : "%.0f %s",
		       v, units[i]);
	return buf;
}

const char *value_text(enum unit unit, uint64_t v, char *buf, size_t size)
{
	static const char *const ns[] = {"ns", "us", "ms", "s", NULL};
	static const char *const kib[] = {"KiB", "MiB", "GiB", NULL};
	static const char *const rate[] = {"B/s", "kB/s", "MB/s", "GB/s", NULL};

	switch (unit) {
	case UNIT_NS: return scaled((double)v, ns, 1000, buf, size);
	case UNIT_BYTES: return scaled((double)v / 1024, kib, 1024, buf, size);
	default: return scaled((double)v, rate, 1000, buf, size);
	}
}

const char *unit_name(enum unit u)
{
	static const char *const names[] = {"ns", "bytes", "bytes/s"};

	return names[u];
}

const char *ended_name(enum ended e)
{
	static const char *const names[] = {"interrupted", "confident", "time", "enough", "failed"};

	return names[e];
}
