/* compare.h - two results of one host beside each other. Pure. */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include "tools/bench/result.h"

/* How many facts that make a host what it is differ: kind, CPU and how many of them, kernel, jail, shape of the box.
 * A line of *why for each. */
unsigned compare_hosts(const struct result *a, const struct result *b, struct text *why);

/* A table of the series that both have. A difference is told only where the intervals of the medians are apart. */
void compare_series(const struct result *a, const struct result *b, struct text *out);

#endif
