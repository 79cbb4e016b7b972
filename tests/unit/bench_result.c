/* Rules of results: samples, files, comparison. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tools/bench/compare.h"
#include "tools/bench/html.h"
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

Test(bench_result, a_file_is_read_as_it_was_written)
{
	static struct result a, b;
	struct text first = {0}, second = {0};

	make(&a);
	result_write(&first, &a);
	cr_assert_eq(result_read(&b, first.s, first.len), 0);
	result_write(&second, &b);
	cr_assert_str_eq(first.s, second.s);
	cr_assert_eq(b.series[0]->step[1].v[39], 1000);
	cr_assert_eq(b.series[1]->v[2], UINT64_MAX - 1);
	cr_assert_eq(result_failures(&b), 2);
	cr_assert_str_eq(result_find(&b, "rate", "conker", 8)->failure, "2 of 8 boxes failed");
	cr_assert_null(result_find(&b, "rate", "conker", 4));
	text_fini(&first);
	text_fini(&second);
	result_fini(&a);
	result_fini(&b);
}

static int read_text(const char *s)
{
	struct result r = {0};
	int ret = result_read(&r, s, strlen(s));

	result_fini(&r);
	return ret;
}

#define HEAD "{\"format\":\"conker bench\",\"version\":1"

Test(bench_result, other_files_are_refused)
{
	cr_assert_eq(read_text(HEAD "}"), 0);
	cr_assert_eq(read_text(HEAD ",\"news\":[{\"x\":true}]}"), 0);
	cr_assert_eq(read_text("{\"format\":\"conker bench\",\"version\":2}"), -ENOTSUP);
	cr_assert_eq(read_text("{\"format\":\"other\",\"version\":1}"), -EINVAL);
	cr_assert_eq(read_text("[]"), -EINVAL);
	cr_assert_eq(read_text(HEAD "} "), 0);
	cr_assert_eq(read_text(HEAD "}x"), -EINVAL);
	cr_assert_eq(read_text(HEAD ",\"series\":[{\"unit\":\"parsec\"}]}"), -EINVAL);
	cr_assert_eq(read_text(HEAD ",\"series\":[{\"failures\":4294967296}]}"), -EINVAL);
}

Test(bench_result, steps_have_as_many_samples_as_their_series)
{
	cr_assert_eq(read_text(HEAD ",\"series\":[{\"samples\":[1,2],\"steps\":[{\"name\":\"a\","
				    "\"samples\":[1,2]}]}]}"),
		     0);
	cr_assert_eq(read_text(HEAD ",\"series\":[{\"samples\":[1,2],\"steps\":[{\"name\":\"a\","
				    "\"samples\":[1]}]}]}"),
		     -EINVAL);
	cr_assert_eq(read_text(HEAD ",\"series\":[{\"steps\":[{\"name\":\"a\",\"samples\":[1]}],"
				    "\"samples\":[]}]}"),
		     -EINVAL);
	cr_assert_eq(
		read_text(HEAD ",\"series\":[{\"samples\":[1],\"steps\":[{\"name\":\"a\"}]}]}"),
		-EINVAL);
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

Test(bench_result, different_hosts_are_told_apart)
{
	static struct result a, b;
	struct text why = {0};

	make(&a);
	make(&b);
	cr_assert_eq(compare_hosts(&a, &b, &why), 0);
	result_fact(&a, "kernel", "6.18");
	result_fact(&b, "kernel", "6.19");
	result_fact(&b, "jail", "OFF");
	cr_assert_eq(compare_hosts(&a, &b, &why), 2);
	cr_assert_not_null(strstr(why.s, "kernel: '6.18' and '6.19'"));
	text_fini(&why);
	result_fini(&a);
	result_fini(&b);
}

static void verdict_is(uint64_t first, uint64_t second, size_t n, enum unit unit,
		       const char *expected)
{
	static struct result a, b;
	struct text t = {0};

	with_samples(&a, "x", first, n)->unit = unit;
	with_samples(&b, "x", second, n)->unit = unit;
	compare_series(&a, &b, &t);
	cr_assert_not_null(strstr(t.s, expected), "%s", t.s);
	text_fini(&t);
	result_fini(&a);
	result_fini(&b);
}

Test(bench_result, a_difference_is_told_where_the_intervals_are_apart)
{
	verdict_is(1000, 2000, 20, UNIT_NS, "worse");
	verdict_is(2000, 1000, 20, UNIT_NS, "better");
	verdict_is(2000, 1000, 20, UNIT_BYTES_PER_S, "worse");
	verdict_is(1000, 2000, 20, UNIT_BYTES_PER_S, "better");
	verdict_is(1000, 1005, 20, UNIT_NS, "no difference shown");
	verdict_is(1000, 2000, 5, UNIT_NS, "too few samples");
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

Test(bench_result, failures_are_in_every_form)
{
	struct result r = {0};
	struct text t = {0}, h = {0};

	make(&r);
	table_result(&t, &r);
	cr_assert_not_null(strstr(t.s, "FAILED 2: 2 of 8 boxes failed"));
	html_report(&h, &r);
	cr_assert_not_null(strstr(h.s, "2 of 8 boxes failed"));
	text_fini(&t);
	text_fini(&h);
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
