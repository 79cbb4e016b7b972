/* SPDX-License-Identifier: Apache-2.0 */
/* result_json.c - a result as JSON.
 *
 *	{"format":"conker bench","version":1,"started":"2026-11-21T11:00:00Z","seconds":300,
 *	 "facts":{"kind":"pvm", ...},
 *	 "skipped":{"firecracker":"not on PATH"},
 *	 "series":[{"id":"cold","system":"conker","title":"...","measures":"...","unit":"ns","boxes":1,
 *	   "ended":"confident","failures":0,"failure":"","samples":[...],"interval":[...],
 *	   "steps":[{"name":"boot","samples":[...]}]}]}
 *
 * Strings are printable ASCII (text_ascii()), numbers whole and below 2^64. The interval is that of the median; empty: there
 * are too few samples. Members are added in later versions, not renamed.
 */
#include "tools/bench/result.h"

#include <inttypes.h>
#include <stdlib.h>

#include "tools/bench/stats.h"
#include "util/cleanup.h"

static void json_write_string(struct text *t, const char *s)
{
	text_add_char(t, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			text_add_char(t, '\\');
		text_add_char(t, *s);
	}
	text_add_char(t, '"');
}

static void write_samples(struct text *t, const uint64_t *v, size_t n)
{
	text_add_char(t, '[');
	for (size_t i = 0; i < n; i++)
		text_add(t, "%s%" PRIu64, i ? "," : "", v[i]);
	text_add_char(t, ']');
}

static void write_interval(struct text *t, const struct series *s)
{
	auto_free uint64_t *v = series_sorted(s);
	struct interval i;

	if (v && stats_median_ci(v, s->n, &i) == 0)
		text_add(t, "[%" PRIu64 ",%" PRIu64 "]", i.low, i.high);
	else
		text_add(t, "[]");
}

static void write_facts(struct text *t, const char *name, const struct fact *f, size_t n)
{
	text_add(t, "\"%s\":{", name);
	for (size_t i = 0; i < n; i++) {
		text_add(t, "%s\n  ", i ? "," : "");
		json_write_string(t, f[i].key);
		text_add_char(t, ':');
		json_write_string(t, f[i].value);
	}
	text_add(t, "},\n ");
}

static void write_string(struct text *t, const char *key, const char *value)
{
	text_add(t, "\"%s\":", key);
	json_write_string(t, value);
	text_add_char(t, ',');
}

static void write_series(struct text *t, const struct series *s)
{
	text_add_char(t, '{');
	write_string(t, "id", s->id);
	write_string(t, "system", s->system);
	write_string(t, "title", s->title);
	text_add(t, "\n    ");
	write_string(t, "measures", s->measures);
	text_add(t, "\n    ");
	write_string(t, "unit", unit_name(s->unit));
	text_add(t, "\"boxes\":%" PRIu32 ",", s->boxes);
	write_string(t, "ended", ended_name(s->ended));
	text_add(t, "\"failures\":%" PRIu32 ",", s->failures);
	write_string(t, "failure", s->failure);
	text_add(t, "\n    \"samples\":");
	write_samples(t, s->v, s->n);
	text_add(t, ",\n    \"interval\":");
	write_interval(t, s);
	text_add(t, ",\n    \"steps\":[");
	for (size_t i = 0; i < s->nsteps; i++) {
		text_add(t, "%s\n     {", i ? "," : "");
		write_string(t, "name", s->step[i].name);
		text_add(t, "\"samples\":");
		write_samples(t, s->step[i].v, s->n);
		text_add_char(t, '}');
	}
	text_add(t, "]}");
}

void result_write(struct text *t, const struct result *r)
{
	text_add(t, "{\"format\":\"conker bench\",\"version\":%d,", RESULT_VERSION);
	write_string(t, "started", r->started);
	text_add(t, "\"seconds\":%" PRIu64 ",\n ", r->seconds);
	write_facts(t, "facts", r->fact, r->nfacts);
	write_facts(t, "skipped", r->skip, r->nskips);
	text_add(t, "\"series\":[");
	for (size_t i = 0; i < r->nseries; i++) {
		text_add(t, "%s\n  ", i ? "," : "");
		write_series(t, r->series[i]);
	}
	text_add(t, "]}\n");
}
