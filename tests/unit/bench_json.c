/* Rules of the JSON that result files are made of. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tools/bench/json.h"

static int skip(const char *s)
{
	struct json j;

	json_init(&j, s, strlen(s));
	int r = json_skip(&j);
	return r == 0 && !json_at_end(&j) ? -EINVAL : r;
}

Test(bench_json, takes_what_it_should)
{
	static const char *const good[] = {
		"{}",
		"[]",
		" [ 1 , 2 ] ",
		"\"\"",
		"0",
		"18446744073709551615",
		"true",
		"false",
		"null",
		"{\"a\":{\"b\":[[],{}]},\"c\":\"\\\\\\\"\\/\"}",
		"[[[[[[[[1]]]]]]]]",
	};

	for (size_t i = 0; i < countof(good); i++)
		cr_assert_eq(skip(good[i]), 0, "%s", good[i]);
}

Test(bench_json, refuses_what_it_should)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"[",
		"\"",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"[1,]",
		"[1 2]",
		"[,1]",
		"-1",
		"1.5",
		"1e3",
		"tru",
		"nul",
		"{a:1}",
		"\"\\u0041\"",
		"\"\\n\"",
		"\"\t\"",
		"\"\x80\"",
		"\"\x7f\"",
		"[1]]",
		"18446744073709551616",
		"[[[[[[[[[1]]]]]]]]]",
	};

	for (size_t i = 0; i < countof(bad); i++)
		cr_assert_lt(skip(bad[i]), 0, "%s", bad[i]);
}

Test(bench_json, a_string_fits_with_its_nul_or_is_refused)
{
	char buf[4];
	struct json j;

	json_init(&j, "\"abc\"", 5);
	cr_assert_eq(json_read_string(&j, buf, sizeof(buf)), 0);
	cr_assert_str_eq(buf, "abc");
	json_init(&j, "\"abcd\"", 6);
	cr_assert_eq(json_read_string(&j, buf, sizeof(buf)), -E2BIG);
}

Test(bench_json, what_is_written_is_read)
{
	static const char text[] = "a \"quoted\" \\ path/with/slashes";
	char buf[64];
	struct text t = {0};
	struct json j;

	json_write_string(&t, text);
	json_init(&j, t.s, t.len);
	cr_assert_eq(json_read_string(&j, buf, sizeof(buf)), 0);
	cr_assert_str_eq(buf, text);
	cr_assert(json_at_end(&j));
	text_fini(&t);
}
