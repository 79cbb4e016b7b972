/* SPDX-License-Identifier: Apache-2.0 */
/* stats.h - what may be said of samples. Pure.
 *
 * Percentiles are nearest-rank: always one of the samples. The confidence interval of the median is that of
 * the order statistics, which assumes nothing about the distribution: of n samples the interval from the k-th
 * smallest to the k-th largest holds the median with probability 1 - 2 * P(Binomial(n, 1/2) < k).
 */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stddef.h>
#include <stdint.h>

enum {
	STATS_CONFIDENCE = 95, /* per cent */
	STATS_CI_MIN = 6,      /* samples; of fewer even the whole range is less sure than that */
};

struct interval {
	uint64_t low, high;
};

/* Sorts a copy's worth of samples in place, ascending. */
void stats_sort(uint64_t *v, size_t n);

/* The smallest sample that at least permille / 1000 of all are not above. 0 of no samples. */
uint64_t stats_percentile(const uint64_t *sorted, size_t n, unsigned permille);

/* Whether n samples say anything of that percentile above the median: at least one is expected beyond it. */
int stats_has_percentile(size_t n, unsigned permille);

/* How many samples may be left out at each end (k - 1), or -1 when n is too small. */
int stats_ci_rank(size_t n);

/* The interval of the median; -1 when there are too few samples. */
int stats_median_ci(const uint64_t *sorted, size_t n, struct interval *ret);

/* Whether that interval lies within percent of the median on both sides. */
int stats_confident(const uint64_t *sorted, size_t n, unsigned percent);

/* The larger of the distances from the median to the interval's ends, in thousandths of the median. */
unsigned stats_uncertainty_permille(const uint64_t *sorted, size_t n);

#endif
