/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - see stats.h. */
#include "tools/bench/stats.h"

#include <limits.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

void stats_sort(uint64_t *v, size_t n)
{
	if (n > 1)
		qsort(v, n, sizeof(*v), by_value);
}

uint64_t stats_percentile(const uint64_t *sorted, size_t n, unsigned permille)
{
	size_t rank = (n * permille + 999) / 1000;

	if (n == 0)
		return 0;
	return sorted[rank ? rank - 1 : 0];
}

int stats_has_percentile(size_t n, unsigned permille)
{
	return n * (1000 - permille) >= 1000;
}

int stats_ci_rank(size_t n)
{
	/* P(X = 0) = 2^-n leaves the range of a double for n > 1074: from there on the normal approximation,
	 * which is exact to a rank at such n. 1.959964 / 2 = 0.979982. */
	enum { EXACT_MAX = 1000 };
	const double tail_max = (100.0 - STATS_CONFIDENCE) / 200;
	double p = 1, tail = 0;
	int k = -1;

	if (n > EXACT_MAX) {
		double root = 1;
		for (int i = 0; i < 60; i++)
			root = (root + (double)n / root) / 2;
		return (int)((double)n / 2 - 0.979982 * root) - 1;
	}
	for (size_t i = 0; i < n; i++)
		p /= 2;
	for (size_t i = 0; i < n; i++) {
		tail += p;
		if (tail > tail_max)
			break;
		k = (int)i;
		p = p * (double)(n - i) / (double)(i + 1);
	}
	return k;
}

int stats_median_ci(const uint64_t *sorted, size_t n, struct interval *ret)
{
	int k = stats_ci_rank(n);

	if (k < 0)
		return -1;
	ret->low = sorted[k];
	ret->high = sorted[n - 1 - (size_t)k];
	return 0;
}

unsigned stats_uncertainty_permille(const uint64_t *sorted, size_t n)
{
	struct interval ci;
	uint64_t median = stats_percentile(sorted, n, 500);

	if (stats_median_ci(sorted, n, &ci) < 0 || median == 0)
		return UINT_MAX;
	uint64_t off = ci.high - median > median - ci.low ? ci.high - median : median - ci.low;
	double permille = 1000.0 * (double)off / (double)median;
	return permille > UINT_MAX / 2 ? UINT_MAX / 2 : (unsigned)permille;
}

int stats_confident(const uint64_t *sorted, size_t n, unsigned percent)
{
	struct interval ci;
	uint64_t median = stats_percentile(sorted, n, 500);

	if (stats_median_ci(sorted, n, &ci) < 0)
		return 0;
	double room = (double)median * percent / 100;
	return (double)(ci.high - median) <= room && (double)(median - ci.low) <= room;
}
