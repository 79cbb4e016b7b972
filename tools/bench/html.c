/* html.c - see html.h. */
#include "tools/bench/html.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/bench/stats.h"
#include "tools/bench/table.h"
#include "util/cleanup.h"

/* Colours of parts are told apart by people who see none, too: they differ in lightness, and each has a legend in the
 * same order. */
static const char style[] =
	":root{color-scheme:light "
	"dark;--bg:#f7f7f5;--card:#fff;--ink:#1d2023;--dim:#656b73;--line:#dfe0e3;"
	"--hot:#2f5fd0;--band:#2f5fd022;--bad:#c62a2f;--badbg:#fdecec;"
	"--c0:#2f5fd0;--c1:#e08a1e;--c2:#1f9d8a;--c3:#9b4dca;--c4:#d9485f;--c5:#5aa02c;--c6:#"
	"8a9099;--c7:#b9bec6}"
	"@media(prefers-color-scheme:dark){:root{--bg:#14161a;--card:#1c1f24;--ink:#e9eaec;--dim:#"
	"9aa1ab;"
	"--line:#30343b;--hot:#7ea2ff;--band:#7ea2ff2e;--bad:#ff8589;--badbg:#3a1c1e;"
	"--c0:#6f96ff;--c1:#f0a94a;--c2:#3cc4b0;--c3:#bf83e6;--c4:#f2798b;--c5:#8ccb5e;--c6:#"
	"7c838d;--c7:#4b515a}}"
	"*{box-sizing:border-box}"
	"body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 "
	"system-ui,-apple-system,'Segoe UI',"
	"Roboto,'Helvetica Neue',sans-serif;font-variant-numeric:tabular-nums}"
	"main{max-width:1080px;margin:0 auto;padding:40px 24px 64px}"
	"h1{font-size:30px;line-height:1.2;margin:0 0 6px;letter-spacing:-.02em}"
	"h2{font-size:19px;margin:44px 0 4px;letter-spacing:-.01em}"
	"h3{font-size:15px;margin:0;font-weight:600}"
	"p{margin:0 0 12px;max-width:76ch}.dim{color:var(--dim)}"
	".card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px "
	"18px;min-width:0}"
	".chips{display:flex;flex-wrap:wrap;gap:8px;margin:14px 0 0;padding:0;list-style:none}"
	".chips li{border:1px solid "
	"var(--line);background:var(--card);border-radius:8px;padding:3px 11px;font-size:13px}"
	".chips b{font-weight:500;color:var(--dim);margin-right:7px}"
	".tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:14px;"
	"margin:26px 0 0}"
	".tile "
	"strong{display:block;font-size:29px;line-height:1.25;font-weight:600;letter-spacing:-."
	"02em}"
	".tile span{display:block;font-size:13px;color:var(--dim)}.tile "
	".what{color:var(--ink);font-size:14px}"
	".tile .fail{color:var(--bad)}"
	".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,460px),1fr));"
	"gap:14px;margin-top:14px}"
	".head{display:flex;justify-content:space-between;gap:16px;align-items:baseline;flex-wrap:"
	"wrap}"
	".head em{font-style:normal;color:var(--dim);font-size:13px}"
	".block{margin-top:14px}.note{font-size:13px;color:var(--dim);margin:2px 0 10px}"
	"svg{display:block;width:100%;height:auto}svg.spark{height:26px;margin-top:8px}"
	"svg.stack{height:30px;border-radius:6px;margin:10px 0}"
	"text{font-size:11.5px;fill:var(--dim);text-anchor:middle}.out,.l{text-anchor:end}.v{text-"
	"anchor:start}"
	".bars .l,.bars .v,.scale "
	".v{font-size:13px;fill:var(--ink)}tspan{fill:var(--dim);font-size:12px}"
	".b{fill:var(--hot);opacity:.8}.ci{fill:var(--band)}"
	".ax,.gr{stroke:var(--line);fill:none}.p50{stroke:var(--ink);stroke-width:1.5}"
	".pxx{stroke:var(--dim);stroke-dasharray:3 "
	"3}.w{stroke:var(--ink);stroke-width:2}.m{fill:var(--ink)}"
	".ln{fill:none;stroke-width:2}.d{opacity:.35}.ln.s0{stroke:var(--c0)}.ln.s1{stroke:var(--"
	"c1)}"
	".ln.s2{stroke:var(--c2)}.ln.s3{stroke:var(--c3)}circle.s0{fill:var(--c0)}circle.s1{fill:"
	"var(--c1)}"
	"circle.s2{fill:var(--c2)}circle.s3{fill:var(--c3)}"
	".c0{fill:var(--c0);background:var(--c0)}.c1{fill:var(--c1);background:var(--c1)}"
	".c2{fill:var(--c2);background:var(--c2)}.c3{fill:var(--c3);background:var(--c3)}"
	".c4{fill:var(--c4);background:var(--c4)}.c5{fill:var(--c5);background:var(--c5)}"
	".c6{fill:var(--c6);background:var(--c6)}.c7{fill:var(--c7);background:var(--c7)}"
	".legend{list-style:none;margin:0;padding:0;display:grid;gap:1px 26px;"
	"grid-template-columns:repeat(auto-fill,minmax(min(100%,420px),1fr));font-size:13.5px}"
	".legend li{display:grid;grid-template-columns:12px 1fr auto "
	"58px;gap:9px;align-items:center}"
	".legend i{width:12px;height:12px;border-radius:3px}.legend b{font-weight:600}"
	".legend em{font-style:normal;color:var(--dim);text-align:right}"
	".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13.5px}"
	"th{font-weight:500;color:var(--dim);text-align:right;padding:5px 10px;white-space:nowrap}"
	"td{padding:5px 10px;border-top:1px solid "
	"var(--line);text-align:right;white-space:nowrap;vertical-align:top}"
	"th:first-child,td:first-child{text-align:left;padding-left:0}th:last-child,td:last-child{"
	"padding-right:0}"
	".facts td{text-align:left;white-space:normal}.facts "
	"td:first-child{color:var(--dim);white-space:nowrap}"
	".bad{color:var(--bad)}.alarm{background:var(--badbg);border:1px solid "
	"var(--bad);color:var(--bad);"
	"border-radius:10px;padding:12px 18px;margin-top:22px}"
	"@media print{body{background:none}.card{break-inside:avoid}}";

void html_escape(struct text *t, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '<': text_add(t, "&lt;"); break;
		case '>': text_add(t, "&gt;"); break;
		case '&': text_add(t, "&amp;"); break;
		case '"': text_add(t, "&quot;"); break;
		default: text_add_char(t, *s);
		}
	}
}

static void element(struct text *t, const char *name, const char *class, const char *s)
{
	text_add(t, *class ? "<%s class=\"%s\">" : "<%s>", name, class);
	html_escape(t, s);
	text_add(t, "</%s>", name);
}

/* ---- heading --------------------------------------------------------------------------------------------- */

static void chip(struct text *t, const char *name, const char *value)
{
	if (!*value)
		return;
	text_add(t, "<li>");
	element(t, "b", "", name);
	html_escape(t, value);
	text_add(t, "</li>");
}

static void heading(struct text *t, const struct result *r)
{
	text_add(t, "<h1>How fast conker's boxes are on this host</h1><p class=\"dim\">Measured ");
	html_escape(t, r->started);
	text_add(t,
		 ", in %" PRIu64 " min %" PRIu64
		 " s. Figures of other hosts cannot be compared with these.</p>",
		 r->seconds / 60, r->seconds % 60);
	text_add(t, "<ul class=\"chips\">");
	chip(t, "conker", result_fact_of(r, "conker"));
	chip(t, "KVM", result_fact_of(r, "kind"));
	chip(t, "CPU", result_fact_of(r, "cpu"));
	chip(t, "CPUs", result_fact_of(r, "cpus"));
	chip(t, "kernel", result_fact_of(r, "kernel"));
	chip(t, "box", result_fact_of(r, "box"));
	chip(t, "jail", result_fact_of(r, "jail"));
	text_add(t, "</ul>");
}

/* What the reader has to know before any figure. */
static void warnings(struct text *t, const struct result *r)
{
	uint64_t failures = result_failures(r);
	size_t open = 0;

	for (size_t i = 0; i < r->nseries; i++)
		open += r->series[i]->ended == ENDED_NOT;
	if (failures)
		text_add(t,
			 "<div class=\"alarm\" role=\"alert\"><b>%" PRIu64
			 " run%s failed.</b> Failed runs are in no figure; the table of all series "
			 "says "
			 "which, and why.</div>",
			 failures, failures == 1 ? "" : "s");
	if (open)
		text_add(t,
			 "<div class=\"alarm\"><b>The run was interrupted:</b> %zu series %s not "
			 "complete.</div>",
			 open, open == 1 ? "is" : "are");
}

/* ---- tiles ----------------------------------------------------------------------------------------------- */

static void tile_text(struct text *t, const struct series *s, const uint64_t *v)
{
	struct interval ci;
	char low[32], high[32];

	if (stats_median_ci(v, s->n, &ci) == 0)
		text_add(t, "<span>95 %% sure: %s to %s, n=%zu</span>",
			 value_text(s->unit, ci.low, low, sizeof(low)),
			 value_text(s->unit, ci.high, high, sizeof(high)), s->n);
	else
		text_add(t, "<span>n=%zu: too few to be sure of anything</span>", s->n);
	if (s->failures)
		text_add(t, "<span class=\"fail\">%" PRIu32 " runs failed</span>", s->failures);
	plot_spark(t, s);
}

static void tile(struct text *t, const struct series *s)
{
	auto_free uint64_t *v = s ? series_sorted(s) : NULL;
	char buf[32];

	if (!v)
		return;
	text_add(t, "<div class=\"card tile\">");
	element(t, "span", "what", s->title);
	element(t, "strong", "",
		value_text(s->unit, stats_percentile(v, s->n, 500), buf, sizeof(buf)));
	tile_text(t, s, v);
	text_add(t, "</div>");
}

/* The number of boxes at once that gave the most of them in a second. */
static void rate_tile(struct text *t, const struct result *r, const char *id, const char *title)
{
	const struct series *best = NULL;
	double most = 0;

	for (size_t i = 0; i < r->nseries; i++) {
		const struct series *s = r->series[i];
		uint64_t ns = strcmp(s->id, id) == 0 ? series_median(s) : 0;

		if (ns && (double)s->boxes / (double)ns > most) {
			most = (double)s->boxes / (double)ns;
			best = s;
		}
	}
	if (!best)
		return;
	text_add(t, "<div class=\"card tile\">");
	element(t, "span", "what", title);
	text_add(t, "<strong>%.*f /s</strong><span>median of n=%zu, %" PRIu32 " at once</span>",
		 most * 1e9 < 10 ? 2 : 0, most * 1e9, best->n, best->boxes);
	plot_spark(t, best);
	text_add(t, "</div>");
}

static void tiles(struct text *t, const struct result *r)
{
	static const char *const ids[] = {"cold", "restore", "exec", "setup"};

	text_add(t, "<section class=\"tiles\">");
	for (size_t i = 0; i < countof(ids); i++)
		tile(t, result_find(r, ids[i], "conker", 0));
	tile(t, result_find(r, "memory", "conker", 0));
	tile(t, result_find(r, "memory", "conker clone", 0));
	rate_tile(t, r, "rate", "boxes per second, cold");
	rate_tile(t, r, "rate-restore", "boxes per second, from a snapshot");
	text_add(t, "</section>");
}

/* ---- sections -------------------------------------------------------------------------------------------- */

static void section(struct text *t, const char *title, const char *text)
{
	element(t, "h2", "", title);
	element(t, "p", "dim", text);
}

static void one_bar_of_steps(struct text *t, const struct series *s)
{
	char buf[32];

	text_add(t, "<div class=\"card block\"><div class=\"head\">");
	element(t, "h3", "", s->title);
	text_add(t, "<em>%s, n=%zu</em></div>",
		 value_text(s->unit, series_median(s), buf, sizeof(buf)), s->n);
	plot_steps(t, s);
	text_add(t, "</div>");
}

/* In the order of ids, then whatever else has steps. */
static int precedes(const char *a, const char *b)
{
	static const char *const ids[] = {"cold", "restore",     "restore-ping", "restore-start",
					  "exec", "setup-steps", "memory"};
	size_t i = 0, k = 0;

	while (i < countof(ids) && strcmp(ids[i], a) != 0)
		i++;
	while (k < countof(ids) && strcmp(ids[k], b) != 0)
		k++;
	return i < k;
}

static void steps(struct text *t, const struct result *r)
{
	const struct series *s[SERIES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < r->nseries; i++) {
		size_t at = n;

		if (r->series[i]->nsteps == 0 || r->series[i]->n == 0)
			continue;
		for (; at > 0 && precedes(r->series[i]->id, s[at - 1]->id); at--)
			s[at] = s[at - 1];
		s[at] = r->series[i];
		n++;
	}
	if (n)
		section(t, "Where it went",
			"Each bar is the medians of the steps of one series; the whole width is "
			"their sum.");
	for (size_t i = 0; i < n; i++)
		one_bar_of_steps(t, s[i]);
}

/* All series of one id, or of ids that begin with it, as bars. */
static void bars(struct text *t, const struct result *r, const char *id, const char *title,
		 size_t min)
{
	const struct series *s[SERIES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < r->nseries; i++)
		if (strncmp(r->series[i]->id, id, strlen(id)) == 0)
			s[n++] = r->series[i];
	if (n < min || n == 0)
		return;
	text_add(t, "<div class=\"card block\"><div class=\"head\">");
	element(t, "h3", "", title);
	text_add(t, "</div>");
	plot_bars(t, s, n);
	for (size_t i = 0; i < n; i++) {
		text_add(t, "<p class=\"note\">");
		html_escape(t, strcmp(s[i]->system, "conker") ? s[i]->system : s[i]->title);
		text_add(t, ": ");
		html_escape(t, s[i]->measures);
		text_add(t, "</p>");
	}
	text_add(t, "</div>");
}

static void beside(struct text *t, const struct result *r)
{
	const struct series *s = result_find(r, "boot-console", "conker-vmm", 0);

	if (!s)
		return;
	section(t, "Beside other machines",
		"The same kernel with a PID 1 that does nothing but say so, in the same run, "
		"taking turns. Bars are "
		"medians, the lines at their ends the 95 % interval.");
	bars(t, r, "boot-console", s->title, 1);
	bars(t, r, "boot-end", "Boot to the end of a machine that restarts at once", 2);
}

static void scaling(struct text *t, const struct result *r)
{
	if (!result_find(r, "rate", "conker", 0) && !result_find(r, "rate-restore", "conker", 0))
		return;
	section(t, "Boxes per second",
		"N times `conker run -- true` at once, from the first spawn until the last box is "
		"gone; each pale dot is a "
		"round, the line goes through the medians.");
	text_add(t, "<div class=\"card block\"><div class=\"head\"><h3>cold</h3></div>");
	plot_scaling(t, r, "rate");
	text_add(t, "</div>");
	if (!result_find(r, "rate-restore", "conker", 0))
		return;
	text_add(t, "<div class=\"card block\"><div class=\"head\"><h3>from a snapshot</h3></div>");
	plot_scaling(t, r, "rate-restore");
	text_add(t, "</div>");
}

static void throughput(struct text *t, const struct result *r)
{
	if (!result_find(r, "stream-out", "conker", 0) && !result_find(r, "blk-read", "conker", 0))
		return;
	section(t, "Throughput", "Medians; more is better.");
	bars(t, r, "stream-", "Streams", 1);
	bars(t, r, "blk-", "Disk", 1);
}

static void distributions(struct text *t, const struct result *r)
{
	char buf[96];

	section(t, "Distributions",
		"How many samples lie where. The band is the 95 % interval of the median.");
	text_add(t, "<div class=\"grid\">");
	for (size_t i = 0; i < r->nseries; i++) {
		const struct series *s = r->series[i];

		if (s->n < 2)
			continue;
		text_add(t, "<div class=\"card\"><div class=\"head\">");
		element(t, "h3", "", table_name(s, buf, sizeof(buf)));
		text_add(t, "<em>n=%zu</em></div>", s->n);
		element(t, "p", "note", s->title);
		plot_distribution(t, s);
		text_add(t, "</div>");
	}
	text_add(t, "</div>");
}

/* ---- tables ---------------------------------------------------------------------------------------------- */

static void cell(struct text *t, const struct series *s, const uint64_t *v, unsigned permille)
{
	char buf[32];

	text_add(
		t, "<td>%s</td>",
		v && (permille == 0 || permille == 1000 || stats_has_percentile(s->n, permille))
			? value_text(s->unit, stats_percentile(v, s->n, permille), buf, sizeof(buf))
			: "\xe2\x80\x93");
}

static void row(struct text *t, const struct series *s)
{
	auto_free uint64_t *v = series_sorted(s);
	char name[96], low[32], high[32];
	struct interval ci;

	text_add(t, "<tr><td title=\"");
	html_escape(t, s->measures);
	text_add(t, "\">");
	html_escape(t, table_name(s, name, sizeof(name)));
	text_add(t, "</td><td>%zu</td>", s->n);
	text_add(t, s->failures ? "<td class=\"bad\">%" PRIu32 "</td>" : "<td>%" PRIu32 "</td>",
		 s->failures);
	cell(t, s, v, 0);
	cell(t, s, v, 500);
	if (v && stats_median_ci(v, s->n, &ci) == 0)
		text_add(t, "<td>%s \xe2\x80\x93 %s</td>",
			 value_text(s->unit, ci.low, low, sizeof(low)),
			 value_text(s->unit, ci.high, high, sizeof(high)));
	else
		text_add(t, "<td>\xe2\x80\x93</td>");
	cell(t, s, v, 900);
	cell(t, s, v, 990);
	cell(t, s, v, 1000);
	text_add(t, "<td>%s</td></tr>", ended_name(s->ended));
	if (s->failures) {
		text_add(t, "<tr><td class=\"bad\" colspan=\"10\" "
			    "style=\"border:0;white-space:normal\">");
		html_escape(t, s->failure);
		text_add(t, "</td></tr>");
	}
}

static void percentiles(struct text *t, const struct result *r)
{
	section(t, "All series",
		"A percentile is shown where at least one sample is to be expected beyond it. The "
		"last column says why "
		"there are no more samples: the median is sure (its interval within 5 % of it), "
		"the series' share of the "
		"time was over, or there were enough.");
	text_add(t, "<div class=\"card block "
		    "scroll\"><table><thead><tr><th>series</th><th>n</th><th>failed</th>"
		    "<th>min</th><th>p50</th><th>95 %% "
		    "interval</th><th>p90</th><th>p99</th><th>max</th>"
		    "<th>ended by</th></tr></thead><tbody>");
	for (size_t i = 0; i < r->nseries; i++)
		row(t, r->series[i]);
	text_add(t, "</tbody></table></div>");
}

static void fact_rows(struct text *t, const struct fact *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		text_add(t, "<tr>");
		element(t, "td", "", f[i].key);
		element(t, "td", "", f[i].value);
		text_add(t, "</tr>");
	}
}

static void meanings(struct text *t, const struct result *r)
{
	const char *last = "";

	for (size_t i = 0; i < r->nseries; i++) {
		const struct series *s = r->series[i];

		if (strcmp(s->id, last) == 0)
			continue;
		last = s->id;
		text_add(t, "<tr>");
		element(t, "td", "", s->id);
		element(t, "td", "", s->measures);
		text_add(t, "</tr>");
	}
}

static void facts(struct text *t, const struct result *r)
{
	if (r->nskips) {
		section(t, "Not measured", "");
		text_add(t, "<div class=\"card block\"><table class=\"facts\"><tbody>");
		fact_rows(t, r->skip, r->nskips);
		text_add(t, "</tbody></table></div>");
	}
	section(t, "What was measured", "");
	text_add(t, "<div class=\"card block\"><table class=\"facts\"><tbody>");
	meanings(t, r);
	text_add(t, "</tbody></table></div>");
	section(t, "This host", "");
	text_add(t, "<div class=\"card block\"><table class=\"facts\"><tbody>");
	fact_rows(t, r->fact, r->nfacts);
	text_add(t, "</tbody></table></div>");
}

void html_report(struct text *t, const struct result *r)
{
	text_add(t,
		 "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
		 "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
		 "<title>conker bench</title>\n<style>%s</style></head>\n<body><main>",
		 style);
	heading(t, r);
	warnings(t, r);
	tiles(t, r);
	steps(t, r);
	beside(t, r);
	scaling(t, r);
	throughput(t, r);
	distributions(t, r);
	percentiles(t, r);
	facts(t, r);
	text_add(t, "</main></body></html>\n");
}
