/* stats.h - samples in, percentiles out. One line a series; failures are counted, never dropped. */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stddef.h>
#include <stdint.h>

enum { STATS_SAMPLES_MAX = 10000 };

struct series {
	size_t n, failures;
	uint64_t us[STATS_SAMPLES_MAX];
};

/* Microseconds of CLOCK_MONOTONIC. */
uint64_t stats_now_us(void);

/* Adds a sample; beyond STATS_SAMPLES_MAX it is ignored. */
void stats_add(struct series *s, uint64_t us);

/* Prints "NAME  n=.. p50=.. p90=.. p99=.. max=.. ms failures=..". Sorts the samples. */
void stats_print(const char *name, struct series *s);

/* The p-th percentile (nearest rank) in microseconds; 0 when there is no sample. Sorts. */
uint64_t stats_percentile(struct series *s, unsigned p);

/* "pvm", "hw", "lab" or "none": which kind of KVM this is, as `conker doctor` tells it. */
const char *stats_host_kind(void);

#endif
