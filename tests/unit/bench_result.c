/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of results: samples, files, the page. What the page's script and --compare make of a file:
 * tests/tools/bench.py. */
#include "tests/lib/test.h"
#include "tools/bench/report.h"
#include "tools/bench/result.h"
#include "tools/bench/table.h"

static struct series *with_samples(struct result *r, const char *id, uint64_t from, size_t n)
{
	struct series *s = result_series(r, id, "conker");

	for (size_t i = 0; i < n; i++)
		cr_assert_eq(series_add(s, from + i, NULL), 0);
	return s;
}

static void make(struct result *r)
{
	text_ascii(r->started, sizeof(r->started), "2026-11-21T11:00:00Z");
	r->seconds = 12;
	result_fact(r, "kind", "pvm");
	result_fact(r, "cpu", "A \"fast\" one \\ <b>");
	result_skip(r, "firecracker", "no firecracker on PATH");
	struct series *s = result_series(r, "cold", "conker");
	cr_assert_eq(series_step(s, "set-up"), 0);
	cr_assert_eq(series_step(s, "boot"), 1);
	for (uint64_t i = 0; i < 40; i++) {
		const uint64_t steps[] = {i, 1000};
		cr_assert_eq(series_add(s, 1000 + i, steps), 0);
	}
	s->ended = ENDED_CONFIDENT;
	s = with_samples(r, "stream-out", UINT64_MAX - 3, 3);
	s->unit = UNIT_BYTES_PER_S;
	s = with_samples(r, "rate", 5, 0);
	s->boxes = 8;
	series_fail(s, "2 of 8 boxes failed");
	series_fail(s, "later");
}

static void has(const struct text *t, const char *expected)
{
	cr_assert_not(t->failed);
	cr_assert_not_null(strstr(t->s, expected), "%s: %s", expected, t->s);
}

Test(bench_result, a_file_has_everything)
{
	static struct result r;
	struct text t = {0};

	make(&r);
	result_write(&t, &r);
	has(&t, "{\"format\":\"conker "
		"bench\",\"version\":1,\"started\":\"2026-11-21T11:00:00Z\",\"seconds\":12,");
	has(&t, "\"cpu\":\"A \\\"fast\\\" one \\\\ <b>\"},");
	has(&t, "\"firecracker\":\"no firecracker on PATH\"");
	has(&t, "\"samples\":[1000,1001,");
	has(&t, "\"interval\":[1013,1026],");
	has(&t, "{\"name\":\"boot\",\"samples\":[1000,1000,");
	has(&t, "\"unit\":\"bytes/s\",\"boxes\":1,\"ended\":\"interrupted\",\"failures\":0,");
	has(&t, "\"samples\":[18446744073709551612,18446744073709551613,18446744073709551614],\n   "
		" \"interval\":[],");
	has(&t, "\"boxes\":8,\"ended\":\"interrupted\",\"failures\":2,\"failure\":\"2 of 8 boxes "
		"failed\",");
	text_fini(&t);
	result_fini(&r);
}

/* Nothing in a result ends the script that holds it, or makes it another one. */
Test(bench_result, the_page_holds_what_a_result_says_as_text)
{
	static struct result r;
	struct text t = {0};

	result_fact(&r, "cpu", "</script><script>x</script> <!-- & \"<b>\"");
	series_fail(result_series(&r, "cold", "<i>"), "</pre></noscript>@DATA@");
	report_page(&t, &r);
	has(&t, "<!doctype html>");
	has(&t, "\"cpu\":\"\\u003c/script>\\u003cscript>x\\u003c/script> \\u003c!-- & "
		"\\\"\\u003cb>\\\"\"");
	has(&t, "cpu     &lt;/script>&lt;script>x&lt;/script> &lt;!-- &amp; \"&lt;b>\"");
	has(&t, "FAILED 1: &lt;/pre>&lt;/noscript>@DATA@");
	const char *data = strstr(t.s, "id=\"data\">{"), *end = data ? strchr(data, '<') : NULL;
	cr_assert(end && strncmp(end - 3, "]}\n</script>\n<script>\n", 22) == 0);
	cr_assert_str_eq(t.s + t.len - 8, "</html>\n");
	cr_assert_null(strstr(t.s, "://"));
	text_fini(&t);
	result_fini(&r);
}

Test(bench_result, a_step_that_comes_later_was_nothing_before)
{
	struct result r = {0};
	struct series *s = with_samples(&r, "setup", 1, 20);
	int i = series_step(s, "late");
	const uint64_t steps[] = {7};

	cr_assert_eq(i, 0);
	cr_assert_eq(series_add(s, 1, steps), 0);
	cr_assert_eq(s->step[0].v[19], 0);
	cr_assert_eq(s->step[0].v[20], 7);
	result_fini(&r);
}

Test(bench_result, what_had_no_time_is_told_as_not_measured)
{
	static struct result r;

	with_samples(&r, "exec", 1, 3)->ended = ENDED_TIME;
	with_samples(&r, "rate", 1, 0)->ended = ENDED_TIME;
	with_samples(&r, "ping", 1, 0)->ended = ENDED_NOT;
	struct series *s = with_samples(&r, "cold", 1, 0);
	s->ended = ENDED_TIME;
	series_fail(s, "no");
	result_drop_empty(&r);
	cr_assert_eq(r.nseries, 3);
	cr_assert_str_eq(r.series[2]->id, "cold");
	cr_assert_eq(r.nskips, 1);
	cr_assert_str_eq(r.skip[0].key, "rate, 1 at once");
	result_fini(&r);
}

Test(bench_result, failures_are_in_the_table)
{
	struct result r = {0};
	struct text t = {0};

	make(&r);
	table_result(&t, &r);
	cr_assert_not_null(strstr(t.s, "FAILED 2: 2 of 8 boxes failed"));
	text_fini(&t);
	result_fini(&r);
}

Test(bench_result, values_have_three_digits_and_a_unit)
{
	static const struct {
		enum unit unit;
		uint64_t v;
		const char *text;
	} cases[] = {
		{UNIT_NS, 0, "0.00 ns"},
		{UNIT_NS, 1234, "1.23 us"},
		{UNIT_NS, 51000000, "51.0 ms"},
		{UNIT_NS, 3063000000, "3.06 s"},
		{UNIT_BYTES, 487424, "476 KiB"},
		{UNIT_BYTES, 12058624, "11.5 MiB"},
		{UNIT_BYTES_PER_S, 1880000, "1.88 MB/s"},
	};
	char buf[32];

	for (size_t i = 0; i < countof(cases); i++)
		cr_assert_str_eq(value_text(cases[i].unit, cases[i].v, buf, sizeof(buf)),
				 cases[i].text);
}
