/* compare.c - see compare.h. */
#include "tools/bench/compare.h"

#include <stdio.h>
#include <string.h>

#include "tools/bench/stats.h"
#include "util/cleanup.h"

unsigned compare_hosts(const struct result *a, const struct result *b, struct text *why)
{
	static const char *const keys[] = {"kind", "cpu", "cpus", "kernel", "jail", "box"};
	unsigned differ = 0;

	for (size_t i = 0; i < countof(keys); i++) {
		const char *x = result_fact_of(a, keys[i]), *y = result_fact_of(b, keys[i]);

		if (strcmp(x, y) == 0)
			continue;
		text_add(why, "%s%s: '%s' and '%s'", differ ? "; " : "", keys[i], x, y);
		differ++;
	}
	return differ;
}

static const char *verdict(const struct series *a, const struct series *b, const struct interval *x,
			   const struct interval *y)
{
	int more_is_better = a->unit == UNIT_BYTES_PER_S;
	int less = y->high<x->low, more = y->low> x->high;

	if (!less && !more)
		return "no difference shown";
	if (a->unit != b->unit)
		return "different units";
	return less == more_is_better ? "worse" : "better";
}

static void compare_one(const struct series *a, const struct series *b, struct text *out)
{
	auto_free uint64_t *va = series_sorted(a), *vb = series_sorted(b);
	struct interval x, y;
	char ta[32], tb[32], name[96];

	(void)snprintf(name, sizeof(name), a->boxes > 1 ? "%s %s x%u" : "%s %s", a->id, a->system,
		       a->boxes);
	if (!va || !vb) {
		text_add(out, "%-34s %12s %12s %8s  %s\n", name, "-", "-", "-", "no samples");
		return;
	}
	uint64_t ma = stats_percentile(va, a->n, 500), mb = stats_percentile(vb, b->n, 500);
	const char *what = "too few samples to tell";
	if (stats_median_ci(va, a->n, &x) == 0 && stats_median_ci(vb, b->n, &y) == 0)
		what = verdict(a, b, &x, &y);
	text_add(out, "%-34s %12s %12s %+7.1f%%  %s", name, value_text(a->unit, ma, ta, sizeof(ta)),
		 value_text(b->unit, mb, tb, sizeof(tb)),
		 ma ? 100.0 * ((double)mb - (double)ma) / (double)ma : 0.0, what);
	if (a->failures || b->failures)
		text_add(out, "; FAILED runs: %u and %u", a->failures, b->failures);
	text_add(out, "\n");
}

void compare_series(const struct result *a, const struct result *b, struct text *out)
{
	text_add(out, "%-34s %12s %12s %8s\n", "medians", "first", "second", "change");
	for (size_t i = 0; i < a->nseries; i++) {
		const struct series *s = a->series[i];
		const struct series *t = result_find(b, s->id, s->system, s->boxes);

		if (t)
			compare_one(s, t, out);
		else
			text_add(out, "%-34s only in the first\n", s->id);
	}
	for (size_t i = 0; i < b->nseries; i++)
		if (!result_find(a, b->series[i]->id, b->series[i]->system, b->series[i]->boxes))
			text_add(out, "%-34s only in the second\n", b->series[i]->id);
}
