/* SPDX-License-Identifier: Apache-2.0 */
/* result.h - what one run of the benchmark found: the host, and series of samples. Pure.
 *
 * A series is one thing measured in one way: (id, system, boxes) name it, also across runs. Samples are whole
 * numbers in the series' unit, in the order in which they were taken. A series may have steps: of each sample how
 * much of it each step took. A run that failed is no sample; it is counted, and its reason kept.
 */
#ifndef BENCH_RESULT_H
#define BENCH_RESULT_H

#include <stddef.h>
#include <stdint.h>

#include "tools/bench/text.h"
#include "util/util.h"

enum {
	RESULT_VERSION = 1,
	SERIES_MAX = 64,
	SAMPLES_MAX = 10000,
	STEPS_MAX = 28,
	FACTS_MAX = 24,
	SKIPS_MAX = 16,
};

enum unit { UNIT_NS, UNIT_BYTES, UNIT_BYTES_PER_S };

/* Why a series has as many samples as it has. */
enum ended {
	ENDED_NOT,       /* it is still being taken; or the run was interrupted */
	ENDED_CONFIDENT, /* the median is as sure as was asked for */
	ENDED_TIME,      /* its share of the time was over */
	ENDED_ENOUGH,    /* as many as are ever taken of it */
	ENDED_FAILED,    /* nothing but failures */
};

struct step {
	char name[48];
	uint64_t *v; /* one of each sample */
};

struct series {
	char id[32];        /* "cold" */
	char system[32];    /* "conker", "qemu microvm" */
	char title[96];     /* "cold boot to first exec result" */
	char measures[320]; /* from where to where, and how */
	enum unit unit;
	uint32_t boxes; /* at a time */
	enum ended ended;
	uint32_t failures;
	char failure[256]; /* the first one's reason */
	size_t n, cap;
	uint64_t *v;
	size_t nsteps;
	struct step step[STEPS_MAX];
};

struct fact {
	char key[32], value[320];
};

struct result {
	char started[40]; /* UTC */
	uint64_t seconds;
	struct fact fact[FACTS_MAX]; /* of host, box and program */
	size_t nfacts;
	struct fact skip[SKIPS_MAX]; /* what was not measured, and why */
	size_t nskips;
	struct series *series[SERIES_MAX]; /* in the order in which they were begun */
	size_t nseries;
};

void result_fini(struct result *r);

/* Texts are cleaned (text_ascii()) and cut. Beyond the maximum they are left out. */
void result_fact(struct result *r, const char *key, const char *value);
void result_skip(struct result *r, const char *what, const char *why);
/* "" when there is none. */
const char *result_fact_of(const struct result *r, const char *key);

/* A series with no samples yet, which r owns; or NULL: no memory, or SERIES_MAX. */
struct series *result_series(struct result *r, const char *id, const char *system);
/* Series that had no turn because the time was over become entries of what was not measured. */
void result_drop_empty(struct result *r);
/* Of all series together. */
uint64_t result_failures(const struct result *r);

/* The number of the step of that name, made if there is room; else -1. */
int series_step(struct series *s, const char *name);
/* steps: one value for each step, or NULL. -1: no memory, or SAMPLES_MAX. */
int series_add(struct series *s, uint64_t value, const uint64_t *steps);
void series_fail(struct series *s, const char *why);
/* A sorted copy, for the caller to free; NULL when there are no samples, or no memory. */
uint64_t *series_sorted(const struct series *s);
uint64_t series_median(const struct series *s);

/* "1.234 ms", "23.1 us", "1.5 s"; "480 KiB"; "12.3 MB/s". */
const char *value_text(enum unit unit, uint64_t v, char *buf, size_t size);

const char *unit_name(enum unit u);
const char *ended_name(enum ended e);

/* ---- result_json.c ------------------------------------------------------------------------------- */

void result_write(struct text *t, const struct result *r);

#endif
