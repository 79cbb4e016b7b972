/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - see table.h. */
#include "tools/bench/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/bench/stats.h"
#include "util/cleanup.h"

const char *table_name(const struct series *s, char *buf, size_t size)
{
	int other = strcmp(s->system, "conker") != 0;

	if (strncmp(s->id, "rate", 4) == 0)
		(void)snprintf(buf, size, "%s%s%s, %" PRIu32 " at once", s->id, other ? ", " : "",
			       other ? s->system : "", s->boxes);
	else
		(void)snprintf(buf, size, "%s%s%s", s->id, other ? ", " : "",
			       other ? s->system : "");
	return buf;
}

static void percentile(struct text *t, const struct series *s, const uint64_t *v, unsigned permille)
{
	char buf[32];

	if (v && stats_has_percentile(s->n, permille))
		text_add(
			t, " %10s",
			value_text(s->unit, stats_percentile(v, s->n, permille), buf, sizeof(buf)));
	else
		text_add(t, " %10s", "-");
}

void table_series(struct text *t, const struct series *s)
{
	auto_free uint64_t *v = series_sorted(s);
	char name[80], low[32], high[32], ci[72] = "-";
	struct interval i;

	if (v && stats_median_ci(v, s->n, &i) == 0)
		(void)snprintf(ci, sizeof(ci), "%s to %s",
			       value_text(s->unit, i.low, low, sizeof(low)),
			       value_text(s->unit, i.high, high, sizeof(high)));
	text_add(t, "%-28s %5zu", table_name(s, name, sizeof(name)), s->n);
	percentile(t, s, v, 500);
	text_add(t, "  %-24s", ci);
	percentile(t, s, v, 900);
	percentile(t, s, v, 990);
	text_add(t, " %10s  %s", v ? value_text(s->unit, v[s->n - 1], high, sizeof(high)) : "-",
		 ended_name(s->ended));
	if (s->failures)
		text_add(t, "; FAILED %" PRIu32 ": %s", s->failures, s->failure);
	text_add(t, "\n");
}

void table_head(struct text *t)
{
	text_add(t, "%-28s %5s %10s  %-24s %10s %10s %10s  %s\n", "series", "n", "p50",
		 "95% interval of it", "p90", "p99", "max", "ended by");
}

void table_result(struct text *t, const struct result *r)
{
	static const char *const facts[] = {"conker", "kind", "cpu", "cpus",
					    "kernel", "jail", "box"};

	for (size_t i = 0; i < countof(facts); i++)
		text_add(t, "%-7s %s\n", facts[i], result_fact_of(r, facts[i]));
	text_add(t, "\n");
	table_head(t);
	for (size_t i = 0; i < r->nseries; i++)
		table_series(t, r->series[i]);
	for (size_t i = 0; i < r->nskips; i++)
		text_add(t, "not measured: %s: %s\n", r->skip[i].key, r->skip[i].value);
	text_add(t, "\nended by: confident (the interval is within 5%% of p50), time (the series' "
		    "share of it "
		    "was over), enough (as many samples as are taken of it)\n");
}
