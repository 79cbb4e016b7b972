/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of what may be said of samples. */
#include "tests/lib/test.h"
#include "tools/bench/stats.h"

static void ramp(uint64_t *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		v[i] = i + 1;
}

Test(bench_stats, a_percentile_is_one_of_the_samples)
{
	const uint64_t v[] = {10, 20, 30, 40};

	cr_assert_eq(stats_percentile(v, 4, 500), 20);
	cr_assert_eq(stats_percentile(v, 4, 501), 30);
	cr_assert_eq(stats_percentile(v, 4, 900), 40);
	cr_assert_eq(stats_percentile(v, 4, 1000), 40);
	cr_assert_eq(stats_percentile(v, 4, 0), 10);
	cr_assert_eq(stats_percentile(v, 1, 990), 10);
	cr_assert_eq(stats_percentile(NULL, 0, 500), 0);
}

Test(bench_stats, a_percentile_needs_a_sample_beyond_it)
{
	cr_assert(!stats_has_percentile(1, 500));
	cr_assert(stats_has_percentile(2, 500));
	cr_assert(!stats_has_percentile(9, 900));
	cr_assert(stats_has_percentile(10, 900));
	cr_assert(!stats_has_percentile(99, 990));
	cr_assert(stats_has_percentile(100, 990));
}

/* The table of any book on nonparametric statistics: k of n at 95 %. */
Test(bench_stats, ranks_of_the_interval_are_those_of_the_tables)
{
	static const struct {
		size_t n;
		int left_out;
	} book[] = {{0, -1}, {5, -1}, {6, 0},  {8, 0},   {9, 1},    {10, 1},
		    {12, 2}, {17, 4}, {20, 5}, {50, 17}, {100, 39}, {1000, 468}};

	for (size_t i = 0; i < sizeof(book) / sizeof(book[0]); i++)
		cr_assert_eq(stats_ci_rank(book[i].n), book[i].left_out, "n=%zu: %d", book[i].n,
			     stats_ci_rank(book[i].n));
}

Test(bench_stats, ranks_go_on_where_the_approximation_begins)
{
	int exact = stats_ci_rank(1000), normal = stats_ci_rank(1001);

	cr_assert(normal == exact || normal == exact + 1, "%d, %d", exact, normal);
	cr_assert_eq(stats_ci_rank(10000), 4901);
}

Test(bench_stats, interval_holds_the_median_of_the_whole_as_often_as_it_says)
{
	enum { ROUNDS = 2000, N = 15 };
	unsigned held = 0;

	srand(1);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t v[N];
		struct interval ci;

		for (int k = 0; k < N; k++) /* of a skewed population */
			v[k] = (uint64_t)(rand() % 32) * (uint64_t)(rand() % 32);
		stats_sort(v, N);
		cr_assert_eq(stats_median_ci(v, N, &ci), 0);
		held += ci.low <= 176 && 176 <= ci.high; /* 176: the median of all 1024 */
	}
	cr_assert_geq(held, ROUNDS * 95 / 100, "%u", held);
}

Test(bench_stats, few_samples_are_never_confident)
{
	const uint64_t v[] = {7, 7, 7, 7, 7, 7};
	struct interval ci;

	cr_assert_eq(stats_median_ci(v, 5, &ci), -1);
	cr_assert(!stats_confident(v, 5, 5));
	cr_assert(stats_confident(v, 6, 5));
}

Test(bench_stats, confident_means_both_ends_near_the_median)
{
	uint64_t v[101];
	const uint64_t skewed[] = {100, 100, 100, 100, 100, 100, 106, 106, 106, 106};

	ramp(v, 101); /* 1 to 101: median 51, interval 41 to 61 */
	cr_assert(!stats_confident(v, 101, 5));
	cr_assert(!stats_confident(v, 101, 19));
	cr_assert(stats_confident(v, 101, 20));
	cr_assert_eq(stats_uncertainty_permille(v, 101), 196);
	cr_assert(!stats_confident(skewed, 10, 5));
	cr_assert(stats_confident(skewed, 10, 6));
}
