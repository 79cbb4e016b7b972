/* html.h - a result as one page: self-contained, without scripts, in light and in dark. Pure.
 *
 *	html.c		the page: heading, tiles, tables, how to read it
 *	html_plots.c	its plots, as inline SVG
 *
 * Whatever a result says is escaped; nothing is fetched from anywhere.
 */
#ifndef BENCH_HTML_H
#define BENCH_HTML_H

#include "tools/bench/result.h"

void html_report(struct text *t, const struct result *r);

/* For element content and attribute values in double quotes. */
void html_escape(struct text *t, const char *s);

/* ---- html_plots.c -------------------------------------------------------------------------------- */

/* The samples along a line: how many where, the median with its interval, p90 and p99. */
void plot_distribution(struct text *t, const struct series *s);
/* The same, small and without words. */
void plot_spark(struct text *t, const struct series *s);
/* The medians of a series' steps as parts of one bar, with a legend. */
void plot_steps(struct text *t, const struct series *s);
/* The medians of several series as bars of one scale, with their intervals. */
void plot_bars(struct text *t, const struct series *const *s, size_t n);
/* Boxes per second over how many at once: all series of that id, a line for each system. */
void plot_scaling(struct text *t, const struct result *r, const char *id);

#endif
