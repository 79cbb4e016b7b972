/* Rules of the page: it is well formed, needs nothing from outside, and escapes what a result says. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tools/bench/html.h"

enum { DEPTH_MAX = 64 };

static int is_void(const char *name)
{
	return strcmp(name, "meta") == 0;
}

/* Every element ends, in the order in which they began. */
static void is_well_formed(const char *s)
{
	char open[DEPTH_MAX][16], name[16];
	int depth = 0;

	s = strstr(s, "<html");
	cr_assert_not_null(s);
	for (s = strchr(s, '<'); s; s = strchr(s + 1, '<')) {
		const char *end = strchr(s, '>');

		cr_assert_not_null(end);
		if (s[1] == '/') {
			cr_assert(depth > 0 && sscanf(s, "</%15[a-zA-Z0-9]>", name) == 1, "%.60s",
				  s);
			cr_assert_str_eq(open[--depth], name, "%.60s", s);
			continue;
		}
		cr_assert_eq(sscanf(s, "<%15[a-zA-Z0-9]", name), 1, "%.60s", s);
		if (end[-1] == '/' || is_void(name))
			continue;
		cr_assert_lt(depth, DEPTH_MAX);
		(void)snprintf(open[depth++], sizeof(open[0]), "%s", name);
	}
	cr_assert_eq(depth, 0);
}

static void check(const struct result *r, const char *expected)
{
	struct text t = {0};

	html_report(&t, r);
	cr_assert_not(t.failed);
	is_well_formed(t.s);
	cr_assert_null(strstr(t.s, "://"));
	cr_assert_null(strstr(t.s, "src="));
	cr_assert_null(strstr(t.s, "nan"));
	cr_assert_null(strstr(t.s, "inf\""));
	cr_assert_not_null(strstr(t.s, expected), "%s", expected);
	text_fini(&t);
}

static struct series *add(struct result *r, const char *id, const char *system, size_t n,
			  uint64_t from, uint64_t spread)
{
	struct series *s = result_series(r, id, system);

	text_ascii(s->title, sizeof(s->title), id);
	(void)series_step(s, "first");
	(void)series_step(s, "second");
	for (size_t i = 0; i < n; i++) {
		uint64_t v = from + i * 7919 % (spread + 1);
		const uint64_t steps[] = {v / 3, v - v / 3};

		(void)series_add(s, v, steps);
	}
	s->ended = ENDED_CONFIDENT;
	return s;
}

Test(bench_html, an_empty_result_is_a_page)
{
	static struct result r;

	check(&r, "</html>");
}

Test(bench_html, what_a_result_says_is_escaped)
{
	static struct result r;

	result_fact(&r, "cpu", "<script>alert(\"&\")</script>");
	result_skip(&r, "<b>", "\"because\" & <why>");
	series_fail(add(&r, "cold", "<i>", 20, 1000, 10), "<failed> & \"so\"");
	check(&r, "&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;");
	check(&r, "&lt;failed&gt; &amp; &quot;so&quot;");
	result_fini(&r);
}

Test(bench_html, samples_of_any_shape_are_drawn)
{
	static const uint64_t from[] = {0, 1, 1000000, UINT64_MAX / 2, UINT64_MAX - 100};
	static const size_t counts[] = {1, 2, 5, 6, 100, 1000};

	for (size_t i = 0; i < countof(from); i++)
		for (size_t k = 0; k < countof(counts); k++) {
			static struct result r;

			add(&r, "cold", "conker", counts[k], from[i], 0);
			add(&r, "memory", "conker clone", counts[k], from[i], 90)->unit =
				UNIT_BYTES;
			add(&r, "stream-out", "conker", counts[k], from[i], 90)->unit =
				UNIT_BYTES_PER_S;
			add(&r, "boot-console", "conker-vmm", counts[k], from[i], 90);
			add(&r, "boot-console", "qemu microvm", 0, 0, 0);
			add(&r, "rate", "conker", counts[k], from[i], 90)->boxes = 1;
			add(&r, "rate", "conker", counts[k], from[i], 50)->boxes = UINT32_MAX;
			check(&r, "<svg");
			result_fini(&r);
		}
}

Test(bench_html, many_small_steps_become_one)
{
	static struct result r;
	struct series *s = result_series(&r, "setup-steps", "conker");
	uint64_t steps[STEPS_MAX];
	char name[16];

	for (unsigned i = 0; i < STEPS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "step-%u", i);
		cr_assert_eq(series_step(s, name), (int)i);
		steps[i] = i == 3 ? 100000 : 10;
	}
	cr_assert_eq(series_step(s, "one too many"), -1);
	(void)series_add(s, 100000, steps);
	check(&r, "step-3");
	check(&r, "smaller steps (27)");
	result_fini(&r);
}

Test(bench_html, a_failed_and_an_interrupted_run_are_told_first)
{
	static struct result r;

	series_fail(add(&r, "cold", "conker", 3, 10, 1), "no");
	check(&r, "<b>1 run failed.</b>");
	series_fail(r.series[0], "no");
	r.series[0]->ended = ENDED_NOT;
	check(&r, "<b>2 runs failed.</b>");
	check(&r, "The run was interrupted:");
	result_fini(&r);
}
