/* SPDX-License-Identifier: Apache-2.0 */
/* table.h - a result as lines of text, for a terminal. Pure. */
#ifndef BENCH_TABLE_H
#define BENCH_TABLE_H

#include "tools/bench/result.h"

/* The line above those of series. */
void table_head(struct text *t);

/* One line of a series: its name, n, percentiles, failures. */
void table_series(struct text *t, const struct series *s);

/* The whole result. */
void table_result(struct text *t, const struct result *r);

/* "exec", "rate x4 boxes", "boot-end, qemu microvm". */
const char *table_name(const struct series *s, char *buf, size_t size);

#endif
