/* SPDX-License-Identifier: Apache-2.0 */
/* report.h - a result as one page: self-contained, in light and in dark. Pure.
 *
 * The page is the template report.html, which lies in this program: a script of its own draws what the result says, and
 * where no script runs there is the table. Whatever a result says is escaped; nothing is fetched from anywhere.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "tools/bench/result.h"

void report_page(struct text *t, const struct result *r);

#endif
