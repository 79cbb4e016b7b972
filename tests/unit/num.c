/* SPDX-License-Identifier: Apache-2.0 */
/* num: what is a number, and what is not. */
#include "tests/lib/test.h"
#include "util/num.h"

static int parse(const char *s, unsigned base, uint64_t max, uint64_t *ret)
{
	return num_parse(s, strlen(s), base, max, ret);
}

Test(num, digits_and_nothing_else)
{
	static const char *const none[] = {"",   " 1",  "1 ",  "+1", "-1", "0x1", "1.0",
					   "1a", "1\n", "ten", "8/", "9:", "\xb2"};
	uint64_t v;

	for (size_t i = 0; i < countof(none); i++)
		cr_expect_eq(parse(none[i], 10, UINT64_MAX, &v), -EINVAL, "'%s'", none[i]);
	cr_expect(parse("0", 10, UINT64_MAX, &v) == 0 && v == 0);
	cr_expect(parse("0042", 10, UINT64_MAX, &v) == 0 && v == 42);
	cr_expect(num_parse("1\0002", 3, 10, UINT64_MAX, &v) == -EINVAL);
}

Test(num, too_large_is_told_from_no_number)
{
	uint64_t v;

	cr_expect(parse("255", 10, 255, &v) == 0 && v == 255);
	cr_expect(parse("256", 10, 255, &v) == -ERANGE && v == 255);
	cr_expect(parse("18446744073709551615", 10, UINT64_MAX, &v) == 0 && v == UINT64_MAX);
	cr_expect(parse("18446744073709551616", 10, UINT64_MAX, &v) == -ERANGE && v == UINT64_MAX);
	cr_expect(parse("99999999999999999999999", 10, 7, &v) == -ERANGE && v == 7);
	cr_expect(parse("99999999999999999999999x", 10, 7, &v) == -EINVAL);
	cr_expect(parse("1", 10, 0, &v) == -ERANGE && v == 0);
}

Test(num, bases)
{
	uint64_t v;

	cr_expect(parse("644", 8, 07777, &v) == 0 && v == 0644);
	cr_expect(parse("8", 8, 07777, &v) == -EINVAL);
	cr_expect(parse("1f90", 16, 0xffff, &v) == 0 && v == 8080);
	cr_expect(parse("1F90", 16, 0xffff, &v) == 0 && v == 8080);
	for (int c = 0; c < 256; c++) {
		const char *at = c ? strchr("0123456789abcdefABCDEF", c) : NULL;
		int want = at ? (int)(at - "0123456789abcdefABCDEF") : -1;

		cr_expect_eq(num_digit((char)c, 16), want > 15 ? want - 6 : want, "%d", c);
		cr_expect_eq(num_digit((char)c, 8), want < 8 ? want : -1, "%d", c);
	}
}

Test(num, what_follows_is_left)
{
	const char *s = "12:34", *at = s;
	uint64_t v;

	cr_expect(num_take(&at, NULL, 10, UINT64_MAX, &v) == 0 && v == 12 && at == s + 2);
	cr_expect(num_take(&at, NULL, 10, UINT64_MAX, &v) == -EINVAL && v == 0 && at == s + 2);
	at++;
	cr_expect(num_take(&at, s + 4, 10, UINT64_MAX, &v) == 0 && v == 3 && at == s + 4);
	at = s;
	cr_expect(num_take(&at, NULL, 10, 11, &v) == -ERANGE && v == 11 && at == s + 2);
	at = s;
	cr_expect(num_take(&at, s, 10, 11, &v) == -EINVAL && at == s);
}

Test(num, fractions)
{
	static const char *const none[] = {"", ".", "1.2.3", "-1", "1e3", "inf", "nan", "0x1p3"};
	static const struct {
		const char *s;
		double v;
	} some[] = {{"2", 2},         {"0.5", 0.5}, {".5", 0.5},  {"2.", 2},
		    {"0.001", 0.001}, {"1.1", 1.1}, {"0.3", 0.3}, {"1000000", 1e6}};
	double v;

	for (size_t i = 0; i < countof(none); i++)
		cr_expect_eq(num_fraction(none[i], strlen(none[i]), &v), -EINVAL, "'%s'", none[i]);
	for (size_t i = 0; i < countof(some); i++)
		cr_expect(num_fraction(some[i].s, strlen(some[i].s), &v) == 0 && v == some[i].v,
			  "'%s' is %.17g", some[i].s, v);
}

Test(num, of_what_the_kernel_wrote)
{
	cr_expect_eq(num_at("123 kB"), 123);
	cr_expect_eq(num_at("    7\n8"), 7);
	cr_expect_eq(num_at("max\n"), 0);
	cr_expect_eq(num_at(""), 0);
	cr_expect_eq(num_at("-5"), 0);
	cr_expect_eq(num_at("99999999999999999999"), UINT64_MAX);
}
