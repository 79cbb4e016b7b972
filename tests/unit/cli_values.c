/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of the values that options take. */
#include <sys/resource.h>

#include "tests/lib/test.h"
#include "tools/cli/cli.h"

static void refuses(enum opt_kind kind, const char *const *bad, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char into[sizeof(struct rlimits)] = {0};

		cr_assert_lt(value_parse(kind, bad[i], into), 0, "'%s'", bad[i]);
	}
}

Test(cli_values, age_is_seconds_or_has_a_letter)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} good[] = {{"0", 0},       {"90", 90},     {"90s", 90},    {"2m", 120},
		    {"12h", 43200}, {"7d", 604800}, {"2w", 1209600}};
	static const char *const bad[] = {"", "d", "-1", "1.5d", "7 d", "7x", "dd", "1d2h"};

	for (size_t i = 0; i < countof(good); i++) {
		int64_t v = -1;

		cr_assert_eq(value_parse(OPT_AGE, good[i].text, &v), 0, "%s", good[i].text);
		cr_assert_eq(v, good[i].seconds, "%s", good[i].text);
	}
	refuses(OPT_AGE, bad, countof(bad));
}

Test(cli_values, size_is_bytes_or_has_a_letter)
{
	static const struct {
		const char *text;
		uint64_t bytes, as_mib;
	} good[] = {
		{"1", 1, 1 << 20},
		{"64K", 64 << 10, 64 << 10},
		{"1.5M", 3 << 19, 3 << 19},
		{"2G", 2ULL << 30, 2ULL << 30},
		{"1000", 1000, 1000ULL << 20},
		{"0.5", 0, 1 << 19},
	};

	for (size_t i = 0; i < countof(good); i++) {
		uint64_t v = 0;

		if (good[i].bytes)
			cr_assert_eq(value_parse(OPT_BYTES, good[i].text, &v), 0, "%s",
				     good[i].text);
		cr_assert_eq(v, good[i].bytes, "%s", good[i].text);
		cr_assert_eq(value_parse(OPT_MIB, good[i].text, &v), 0);
		cr_assert_eq(v, good[i].as_mib, "%s", good[i].text);
	}
}

Test(cli_values, size_refuses_what_is_none)
{
	static const char *const bad[] = {"",    "0",   "K",   "-1",       "1k",    "1KB", "inf",
					  "0x1", "1e3", "0.1", "9999999G", "1.2.3", " 1"};

	refuses(OPT_BYTES, bad, countof(bad));
}

Test(cli_values, memory_is_whole_mib_with_or_without_a_letter)
{
	static const struct {
		const char *text;
		uint32_t mib;
		int r;
	} cases[] = {
		{"256", 256, 0},       {"256M", 256, 0},
		{"1G", 1024, 0},       {"0.5G", 512, 0},
		{"2048K", 2, 0},       {"1.5", 0, -EDOM},
		{"1000K", 0, -EDOM},   {"1023K", 0, -EDOM},
		{"0", 0, -EINVAL},     {"5000000000", 0, -ERANGE},
		{"256MB", 0, -EINVAL}, {"", 0, -EINVAL},
	};

	for (size_t i = 0; i < countof(cases); i++) {
		uint32_t mib = 0;

		cr_assert_eq(value_parse(OPT_MEMORY, cases[i].text, &mib), cases[i].r, "%s",
			     cases[i].text);
		if (cases[i].r == 0)
			cr_assert_eq(mib, cases[i].mib, "%s", cases[i].text);
	}
}

Test(cli_values, a_number_that_is_too_large_is_told_from_what_is_none)
{
	static const struct {
		enum opt_kind kind;
		const char *text;
	} large[] = {
		{OPT_UINT, "4294967296"},
		{OPT_UINT, "99999999999999999999999"},
		{OPT_SECONDS, "99999999"},
		{OPT_TIMEOUT, "99999999"},
		{OPT_AGE, "99999999999"},
		{OPT_BYTES, "9999999G"},
		{OPT_MIB, "9999999G"},
		{OPT_CPUS, "1001"},
		{OPT_RESTART, "always:5000000000"},
		{OPT_RATE, "9G"},
		{OPT_RATE, "1:5000000000"},
		{OPT_OFFSETS, "18446744073709551616"},
		{OPT_RLIMIT, "core=18446744073709551616"},
	};

	for (size_t i = 0; i < countof(large); i++) {
		unsigned char into[sizeof(struct rlimits)] = {0};

		cr_assert_eq(value_parse(large[i].kind, large[i].text, into), -ERANGE, "%s",
			     large[i].text);
	}
	uint32_t v;
	cr_assert_eq(value_parse(OPT_UINT, "99999999999x", &v), -EINVAL);
	cr_assert_str_eq(value_wrong(-ERANGE), "is too large");
}

Test(cli_values, a_limit_that_there_is_not_is_told_from_wrong_syntax)
{
	struct rlimits r = {0};

	cr_assert_eq(value_parse(OPT_RLIMIT, "nix=5", &r), -ENOENT);
	cr_assert_eq(value_parse(OPT_RLIMIT, "nix", &r), -EINVAL);
	cr_assert_eq(value_parse(OPT_RLIMIT, "core=x", &r), -EINVAL);
	cr_assert(strstr(value_wrong(-ENOENT), "nofile"));
}

Test(cli_values, cpus_are_thousandths)
{
	uint32_t v;

	cr_assert(value_parse(OPT_CPUS, "1.5", &v) == 0 && v == 1500);
	cr_assert(value_parse(OPT_CPUS, "0.1", &v) == 0 && v == 100);
	cr_assert(value_parse(OPT_CPUS, "2", &v) == 0 && v == 2000);
	static const char *const bad[] = {"0", "0.001", "-1", "x", "1001", ""};
	refuses(OPT_CPUS, bad, countof(bad));
}

Test(cli_values, timeout_of_zero_is_none)
{
	int v;

	cr_assert(value_parse(OPT_TIMEOUT, "0", &v) == 0 && v == CONKER_NO_TIMEOUT);
	cr_assert(value_parse(OPT_TIMEOUT, "0.25", &v) == 0 && v == 250);
	static const char *const bad[] = {"", "-1", "nan", "0.0001"};
	refuses(OPT_TIMEOUT, bad, countof(bad));
}

Test(cli_values, an_execution_is_a_number_a_name_or_a_key)
{
	cr_expect_eq(exec_ref_of("4").id, 4);
	cr_expect_eq(exec_ref_of("007").id, 7);
	cr_expect_eq(exec_ref_of("18446744073709551615").id, UINT64_MAX);
	cr_expect_str_eq(exec_ref_of("key:k:4").key, "k:4");
	cr_expect_str_eq(exec_ref_of("key:").key, "", "refused by the library, with the reason");
	static const char *const names[] = {"web", "4a", "", "0", "18446744073709551616", "keys:x"};
	for (size_t i = 0; i < countof(names); i++) {
		const conker_exec_ref r = exec_ref_of(names[i]);

		cr_expect(r.id == 0 && !r.key && r.name && strcmp(r.name, names[i]) == 0, "%zu", i);
	}
}

Test(cli_values, restart_is_a_policy_and_a_maximum)
{
	struct restart_arg r;

	cr_assert(value_parse(OPT_RESTART, "never", &r) == 0 && r.policy == CONKER_RESTART_NEVER);
	cr_assert(value_parse(OPT_RESTART, "always", &r) == 0 && r.max == 0);
	cr_assert_eq(r.policy, CONKER_RESTART_ALWAYS);
	cr_assert(value_parse(OPT_RESTART, "on-failure:3", &r) == 0 && r.max == 3);
	cr_assert_eq(r.policy, CONKER_RESTART_ON_FAILURE);
	static const char *const bad[] = {"",         "sometimes", "on-failure:", "on-failure:0",
					  "always:x", "never:1",   "alway",       "always "};
	refuses(OPT_RESTART, bad, countof(bad));
}

Test(cli_values, rlimit_has_a_name_a_soft_and_perhaps_a_hard_value)
{
	struct rlimits r = {0};

	cr_assert_eq(value_parse(OPT_RLIMIT, "nofile=64:128", &r), 0);
	cr_assert_eq(value_parse(OPT_RLIMIT, "core=unlimited", &r), 0);
	cr_assert_eq(value_parse(OPT_RLIMIT, "stack=0:unlimited", &r), 0);
	cr_assert_eq(r.n, 3);
	cr_assert(r.v[0].resource == RLIMIT_NOFILE && r.v[0].soft == 64 && r.v[0].hard == 128);
	cr_assert(r.v[1].soft == CONKER_UNLIMITED && r.v[1].hard == CONKER_UNLIMITED);
	cr_assert(r.v[2].soft == 0 && r.v[2].hard == CONKER_UNLIMITED);
	static const char *const bad[] = {"nofile",   "nofile=",    "nofile=1:", "files=1", "=1",
					  "nofile=x", "nofile=2:1", "nofile=-1", ""};
	refuses(OPT_RLIMIT, bad, countof(bad));
}

Test(cli_values, lists_of_rlimits_and_ports_end)
{
	struct rlimits r = {.n = CONKER_RLIMITS_MAX};
	struct ports p = {.n = CONKER_PORTS_MAX};

	cr_assert_lt(value_parse(OPT_RLIMIT, "core=0", &r), 0);
	cr_assert_lt(value_parse(OPT_PORT, "80", &p), 0);
}

Test(cli_values, port_fits_sixteen_bits)
{
	struct ports p = {0};
	static const char *const bad[] = {"0", "65536", "http", "", "-1", "80 "};

	cr_assert_eq(value_parse(OPT_PORT, "65535", &p), 0);
	cr_assert_eq(value_parse(OPT_PORT, "1", &p), 0);
	cr_assert(p.n == 2 && p.v[0] == 65535 && p.v[1] == 1);
	refuses(OPT_PORT, bad, countof(bad));
}

Test(cli_values, offset_is_for_both_streams_unless_there_are_two)
{
	struct offsets o = {0};

	cr_assert_eq(value_parse(OPT_OFFSETS, "0", &o), 0);
	cr_assert(o.given && o.out == 0 && o.err == 0);
	cr_assert_eq(value_parse(OPT_OFFSETS, "18446744073709551615:7", &o), 0);
	cr_assert(o.out == UINT64_MAX && o.err == 7);
	static const char *const bad[] = {"",     ":", "1:", ":1", "x", "18446744073709551616",
					  "1:2:3"};
	refuses(OPT_OFFSETS, bad, countof(bad));
}

/* ---- keys ------------------------------------------------------------------------------------ */

static struct keys keys(const char *text)
{
	struct keys k;

	cr_assert_eq(value_parse(OPT_KEYS, text, &k), 0, "%s", text);
	return k;
}

Test(cli_values, keys_are_characters_with_or_without_ctrl)
{
	static const char *const bad[] = {"ctrl-",         "ctrl-P",           "ab", ",", "a,",
					  "ctrl-p ctrl-q", "a,b,c,d,e,f,g,h,i"};
	struct keys k = keys("ctrl-p,x,ctrl-]");

	cr_assert_eq(k.n, 3);
	cr_assert(k.v[0] == 0x10 && k.v[1] == 'x' && k.v[2] == 0x1d);
	cr_assert_eq(keys("").n, 0);
	refuses(OPT_KEYS, bad, countof(bad));
}

/* Feeds typed in pieces of `piece` bytes; what was passed is `passed`. Whether the keys were
 * found. */
static int typed(struct keys k, const char *data, size_t len, size_t piece, const char *passed)
{
	char out[512];
	size_t n_out = 0;
	int found = 0;

	for (size_t at = 0; at < len && !found; at += piece) {
		char buf[KEYS_MAX + 256];
		size_t n = min_(piece, len - at), n_passed;

		memcpy(buf + KEYS_MAX, data + at, n);
		found = keys_typed(&k, buf + KEYS_MAX, n, buf, &n_passed);
		memcpy(out + n_out, buf, n_passed);
		n_out += n_passed;
	}
	if (!found) {
		memcpy(out + n_out, k.held, k.n_held);
		n_out += k.n_held;
	}
	cr_assert(n_out == strlen(passed) && memcmp(out, passed, n_out) == 0, "piece %zu", piece);
	return found;
}

Test(cli_values, keys_are_found_wherever_reads_are_cut_and_pass_nothing)
{
	for (size_t piece = 1; piece <= 8; piece++) {
		cr_assert(typed(keys("ctrl-p,ctrl-q"), "ab\x10\x11zz", 6, piece, "ab"));
		cr_assert(typed(keys("ctrl-p,ctrl-q"), "\x10\x10\x11", 3, piece, "\x10"));
		cr_assert(typed(keys("a,a,b"), "aaab", 4, piece, "a"));
		cr_assert(typed(keys("a,b,a,c"), "xababac", 7, piece, "xab"));
		cr_assert(typed(keys("q"), "xq", 2, piece, "x"));
	}
}

Test(cli_values, all_that_is_typed_passes_unless_it_is_the_keys)
{
	char all[256];

	for (size_t i = 0; i < 255; i++)
		all[i] = (char)(255 - i);
	all[255] = 0;
	for (size_t piece = 1; piece <= 8; piece++) {
		cr_assert(!typed(keys("ctrl-p,ctrl-q"), all, 255, piece, all));
		cr_assert(!typed(keys("ctrl-p,ctrl-q"), "\x11\x10 \x11\x10", 5, piece,
				 "\x11\x10 \x11\x10"));
		cr_assert(!typed(keys(""), "\x10\x11", 2, piece, "\x10\x11"));
	}
}

Test(cli_values, rates_are_bytes_and_operations_either_of_which_may_be_missing)
{
	static const struct {
		const char *text;
		conker_rate rate;
	} good[] = {
		{"1000", {1000, 0}},
		{"20M:5", {20 << 20, 5}},
		{":7", {0, 7}},
		{"0", {CONKER_NO_LIMIT, 0}},
		{"0:0", {CONKER_NO_LIMIT, CONKER_NO_LIMIT}},
		{"1.5K:0", {1536, CONKER_NO_LIMIT}},
		{"8G", {CONKER_RATE_MAX, 0}},
	};

	for (size_t i = 0; i < countof(good); i++) {
		conker_rate v = {1, 1};

		cr_assert_eq(value_parse(OPT_RATE, good[i].text, &v), 0, "%s", good[i].text);
		cr_assert_eq(v.bytes_per_s, good[i].rate.bytes_per_s, "%s", good[i].text);
		cr_assert_eq(v.ops_per_s, good[i].rate.ops_per_s, "%s", good[i].text);
	}
}

Test(cli_values, rates_that_are_none_are_refused)
{
	static const char *const bad[] = {"",      ":", "1:",   "1:1K", "9G", "-1",          "1:-1",
					  "1:2:3", "x", "1 :2", "0.1",  "00", "1:4294967296"};

	refuses(OPT_RATE, bad, countof(bad));
}
