/* html_plots.c - see html.h. Lengths are in units of the viewBox, which are pixels at full width. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/bench/html.h"
#include "tools/bench/stats.h"
#include "util/cleanup.h"

enum { WIDTH = 520, COLOURS = 8, TICKS_MAX = 6 };

struct axis {
	double low, high; /* values */
	double from, to;  /* where they are drawn */
};

static double place(const struct axis *a, double v)
{
	double part = a->high > a->low ? (v - a->low) / (a->high - a->low) : 0.5;

	part = part < 0 ? 0 : part > 1 ? 1 : part;
	return a->from + part * (a->to - a->from);
}

/* 1, 2 or 5 times a power of ten, so that a range has at most TICKS_MAX of them. */
static double tick_step(double range)
{
	static const double nice[] = {1, 2, 5};
	double power = 1;

	if (range <= 0)
		return 1;
	while (range / power > 1e3)
		power *= 10;
	while (range / power < 1)
		power /= 10;
	double result = power;
	for (size_t i = 0; range / result > TICKS_MAX;) {
		i = (i + 1) % countof(nice);
		if (i == 0)
			power *= 10;
		result = nice[i] * power;
	}
	return result;
}

/* ---- distributions --------------------------------------------------------------------------------------- */

enum { BINS = 65, PLOT_TOP = 22, PLOT_BOTTOM = 92, PLOT_HEIGHT = 116, MARGIN = 28 };

/* Where the axis ends. A far outlier would leave no room for the rest: it is told in words. */
static uint64_t far_end(const uint64_t *v, size_t n)
{
	uint64_t p50 = stats_percentile(v, n, 500), p90 = stats_percentile(v, n, 900);
	uint64_t end = p50 + 5 * (p90 - p50) + (p50 - v[0]) + p50 / 50;

	return v[n - 1] > end ? end : v[n - 1];
}

static struct axis axis_of(const uint64_t *v, size_t n)
{
	double low = (double)v[0], high = (double)far_end(v, n);
	double room = (high - low) * 0.04 + high * 0.005;

	return (struct axis){.low = low > room ? low - room : 0,
			     .high = high + room,
			     .from = MARGIN,
			     .to = WIDTH - MARGIN};
}

static void draw_bins(struct text *t, const struct axis *a, const uint64_t *v, size_t n, double top,
		      double bottom)
{
	size_t bin[BINS] = {0}, most = 1;
	double width = (a->to - a->from) / BINS;

	for (size_t i = 0; i < n; i++) {
		double x = (place(a, (double)v[i]) - a->from) / width;
		size_t b = x >= BINS ? BINS - 1 : (size_t)x;

		if ((double)v[i] <= a->high && ++bin[b] > most)
			most = bin[b];
	}
	for (size_t b = 0; b < BINS; b++) {
		double height = (bottom - top) * (double)bin[b] / (double)most;

		if (bin[b])
			text_add(t,
				 "<rect class=\"b\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
				 "height=\"%.1f\" rx=\"1\"/>",
				 a->from + (double)b * width + 0.5, bottom - height, width - 1,
				 height);
	}
}

static void draw_ticks(struct text *t, const struct axis *a, enum unit unit)
{
	double step = tick_step(a->high - a->low);
	char buf[32], last[32] = "";

	text_add(t, "<path class=\"ax\" d=\"M%.1f %dH%.1f\"/>", a->from, PLOT_BOTTOM, a->to);
	uint64_t first = (uint64_t)(a->low / step) + 1;
	for (uint64_t i = 0; i <= TICKS_MAX; i++) {
		double v = step * (double)(first + i), x = place(a, v);

		if (v >= a->high)
			break;
		text_add(t, "<path class=\"ax\" d=\"M%.1f %dv4\"/>", x, PLOT_BOTTOM);
		/* Three digits do not tell the ticks of a narrow range apart. */
		if (strcmp(value_text(unit, (uint64_t)v, buf, sizeof(buf)), last) != 0)
			text_add(t, "<text x=\"%.1f\" y=\"%d\">%s</text>", x, PLOT_BOTTOM + 17,
				 buf);
		(void)snprintf(last, sizeof(last), "%s", buf);
	}
}

static void draw_mark(struct text *t, const struct axis *a, uint64_t v, const char *name,
		      const char *class)
{
	double x = place(a, (double)v);

	if ((double)v > a->high)
		return;
	text_add(t,
		 "<path class=\"%s\" d=\"M%.1f %dV%d\"/><text class=\"m\" x=\"%.1f\" "
		 "y=\"%d\">%s</text>",
		 class, x, PLOT_TOP - 6, PLOT_BOTTOM, x, PLOT_TOP - 10, name);
}

static void draw_marks(struct text *t, const struct axis *a, const uint64_t *v, size_t n)
{
	double room = 26, last = place(a, (double)stats_percentile(v, n, 500));

	draw_mark(t, a, stats_percentile(v, n, 500), "p50", "p50");
	for (unsigned permille = 900; permille <= 990; permille += 90) {
		uint64_t p = stats_percentile(v, n, permille);
		double x = place(a, (double)p);
		int fits = x - last > room;

		if (!stats_has_percentile(n, permille))
			continue;
		draw_mark(t, a, p, fits ? (permille == 900 ? "p90" : "p99") : "", "pxx");
		last = fits ? x : last;
	}
}

static size_t beyond(const uint64_t *v, size_t n, double high)
{
	size_t k = 0;

	while (k < n && (double)v[n - 1 - k] > high)
		k++;
	return k;
}

static void draw_interval(struct text *t, const struct axis *a, const uint64_t *v, size_t n)
{
	struct interval ci;

	if (stats_median_ci(v, n, &ci) < 0)
		return;
	double x = place(a, (double)ci.low), w = place(a, (double)ci.high) - x;
	text_add(t, "<rect class=\"ci\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>", x,
		 PLOT_TOP - 6, w < 1 ? 1 : w, PLOT_BOTTOM - PLOT_TOP + 6);
}

void plot_distribution(struct text *t, const struct series *s)
{
	auto_free uint64_t *v = series_sorted(s);
	char buf[32];

	if (!v)
		return;
	struct axis a = axis_of(v, s->n);
	text_add(t, "<svg class=\"plot\" viewBox=\"0 0 %d %d\" role=\"img\">", WIDTH, PLOT_HEIGHT);
	draw_interval(t, &a, v, s->n);
	draw_bins(t, &a, v, s->n, PLOT_TOP, PLOT_BOTTOM);
	draw_ticks(t, &a, s->unit);
	draw_marks(t, &a, v, s->n);
	size_t out = beyond(v, s->n, a.high);
	if (out)
		text_add(t,
			 "<text class=\"out\" x=\"%d\" y=\"%d\">%zu beyond, up to %s "
			 "\xe2\x86\x92</text>",
			 WIDTH - MARGIN, PLOT_TOP + 12, out,
			 value_text(s->unit, v[s->n - 1], buf, sizeof(buf)));
	text_add(t, "</svg>");
}

void plot_spark(struct text *t, const struct series *s)
{
	enum { HEIGHT = 26 };
	auto_free uint64_t *v = series_sorted(s);

	if (!v || s->n < 2)
		return;
	struct axis a = axis_of(v, s->n);
	text_add(t,
		 "<svg class=\"spark\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" "
		 "aria-hidden=\"true\">",
		 WIDTH, HEIGHT);
	draw_bins(t, &a, v, s->n, 2, HEIGHT - 1);
	text_add(t, "<path class=\"ax\" d=\"M0 %.1fH%d\"/></svg>", HEIGHT - 0.5, WIDTH);
}

/* ---- where the time went ------------------------------------------------------------------------------------ */

enum { PARTS_MAX = COLOURS, SMALL_PERCENT = 3 };

struct part {
	const char *name;
	uint64_t v;
	size_t of; /* how many steps it stands for */
};

/* The steps in their order, the small ones together at the end when there are many. The number of parts. */
static size_t gather(const struct series *s, struct part *part, uint64_t *ret_sum)
{
	uint64_t v[STEPS_MAX], sum = 0;
	struct part rest = {.name = "smaller steps"};
	size_t n = 0;

	for (size_t i = 0; i < s->nsteps; i++) {
		v[i] = series_step_median(s, i);
		sum += v[i];
	}
	*ret_sum = sum;
	for (size_t i = 0; i < s->nsteps; i++) {
		int small = s->nsteps > PARTS_MAX &&
			    (v[i] * 100 < sum * SMALL_PERCENT || n == PARTS_MAX - 1);

		if (small) {
			rest.v += v[i];
			rest.of++;
		} else {
			part[n++] = (struct part){.name = s->step[i].name, .v = v[i], .of = 1};
		}
	}
	if (rest.of)
		part[n++] = rest;
	return n;
}

static void legend(struct text *t, const struct series *s, const struct part *p, size_t n,
		   uint64_t sum)
{
	char buf[32];

	text_add(t, "<ul class=\"legend\">");
	for (size_t i = 0; i < n; i++) {
		text_add(t, "<li><i class=\"c%zu\"></i><span>", i % COLOURS);
		html_escape(t, p[i].name);
		if (p[i].of > 1)
			text_add(t, " (%zu)", p[i].of);
		text_add(t, "</span><b>%s</b><em>%.1f %%</em></li>",
			 value_text(s->unit, p[i].v, buf, sizeof(buf)),
			 sum ? 100.0 * (double)p[i].v / (double)sum : 0.0);
	}
	text_add(t, "</ul>");
}

void plot_steps(struct text *t, const struct series *s)
{
	enum { BAR = 1000, HEIGHT = 26 };
	struct part part[PARTS_MAX + 1];
	uint64_t sum = 0;
	double x = 0;
	char buf[32];

	if (s->n == 0 || s->nsteps == 0)
		return;
	size_t n = gather(s, part, &sum);
	text_add(t,
		 "<svg class=\"stack\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" "
		 "role=\"img\">",
		 BAR, HEIGHT);
	for (size_t i = 0; i < n; i++) {
		double w = sum ? BAR * (double)part[i].v / (double)sum : 0;

		text_add(t,
			 "<rect class=\"c%zu\" x=\"%.2f\" y=\"0\" width=\"%.2f\" "
			 "height=\"%d\"><title>",
			 i % COLOURS, x, w, HEIGHT);
		html_escape(t, part[i].name);
		text_add(t, ": %s</title></rect>",
			 value_text(s->unit, part[i].v, buf, sizeof(buf)));
		x += w;
	}
	text_add(t, "</svg>");
	legend(t, s, part, n, sum);
}

/* ---- bars ------------------------------------------------------------------------------------------------------ */

static uint64_t highest(const struct series *const *s, size_t n)
{
	uint64_t most = 0;

	for (size_t i = 0; i < n; i++) {
		auto_free uint64_t *v = series_sorted(s[i]);
		struct interval ci;

		if (!v)
			continue;
		uint64_t top = stats_percentile(v, s[i]->n, 500);
		if (stats_median_ci(v, s[i]->n, &ci) == 0 && ci.high > top)
			top = ci.high;
		most = top > most ? top : most;
	}
	return most;
}

static void one_bar(struct text *t, const struct series *s, size_t i, uint64_t most)
{
	enum { LEFT = 232, RIGHT = 690, ROW = 34 };
	auto_free uint64_t *v = series_sorted(s);
	struct axis a = {0, (double)most, LEFT, RIGHT};
	double y = (double)i * ROW;
	struct interval ci;
	char buf[32];

	text_add(t, "<text class=\"l\" x=\"%d\" y=\"%.0f\">", LEFT - 10, y + 20);
	html_escape(t, strcmp(s->system, "conker") ? s->system : s->title);
	text_add(t, "</text>");
	if (!v) {
		text_add(t, "<text class=\"v\" x=\"%d\" y=\"%.0f\">failed %" PRIu32 " times</text>",
			 LEFT, y + 20, s->failures);
		return;
	}
	uint64_t p50 = stats_percentile(v, s->n, 500);
	double end = place(&a, (double)p50);
	text_add(t,
		 "<rect class=\"c%d\" x=\"%d\" y=\"%.0f\" width=\"%.1f\" height=\"20\" rx=\"2\"/>",
		 strncmp(s->system, "conker", 6) ? 6 : 0, LEFT, y + 5, end - LEFT);
	if (stats_median_ci(v, s->n, &ci) == 0) {
		text_add(t, "<path class=\"w\" d=\"M%.1f %.0fH%.1f\"/>", place(&a, (double)ci.low),
			 y + 15, place(&a, (double)ci.high));
		end = place(&a, (double)ci.high);
	}
	text_add(t, "<text class=\"v\" x=\"%.1f\" y=\"%.0f\">%s <tspan>n=%zu</tspan></text>",
		 end + 8, y + 20, value_text(s->unit, p50, buf, sizeof(buf)), s->n);
}

void plot_bars(struct text *t, const struct series *const *s, size_t n)
{
	uint64_t most = highest(s, n);

	text_add(t, "<svg class=\"bars\" viewBox=\"0 0 840 %zu\" role=\"img\">", n * 34 + 2);
	for (size_t i = 0; i < n; i++)
		one_bar(t, s[i], i, most ? most : 1);
	text_add(t, "</svg>");
}

/* ---- scaling ------------------------------------------------------------------------------------------------- */

enum {
	LINES_MAX = 4,
	S_WIDTH = 840,
	S_LEFT = 64,
	S_RIGHT = 824,
	S_TOP = 26,
	S_BOTTOM = 230,
	S_HEIGHT = 272
};

static double rate_of(const struct series *s, uint64_t ns)
{
	return ns ? (double)s->boxes * 1e9 / (double)ns : 0;
}

static double log2_of(uint32_t boxes)
{
	double x = 0;

	for (; boxes > 1; boxes /= 2)
		x++;
	return x;
}

struct scaling {
	struct axis x, y;
	const char *system[LINES_MAX];
	size_t n;
};

static void add_system(struct scaling *g, const char *system)
{
	for (size_t i = 0; i < g->n; i++)
		if (strcmp(g->system[i], system) == 0)
			return;
	if (g->n < LINES_MAX)
		g->system[g->n++] = system;
}

/* 0 when there is nothing to draw. */
static int survey(const struct result *r, const char *id, struct scaling *g)
{
	for (size_t i = 0; i < r->nseries; i++) {
		const struct series *s = r->series[i];
		auto_free uint64_t *v = series_sorted(s);

		if (!v || strcmp(s->id, id) != 0)
			continue;
		add_system(g, s->system);
		double x = log2_of(s->boxes), y = rate_of(s, v[0]);
		g->x.high = x > g->x.high ? x : g->x.high;
		g->y.high = y > g->y.high ? y : g->y.high;
	}
	g->x.from = S_LEFT + 16;
	g->x.to = S_RIGHT - 16;
	g->y.from = S_BOTTOM;
	g->y.to = S_TOP;
	g->y.high *= 1.08;
	return g->n > 0 && g->y.high > 0;
}

static void draw_grid(struct text *t, const struct scaling *g)
{
	double step = tick_step(g->y.high);

	for (int i = 0; i <= TICKS_MAX && step * i <= g->y.high; i++) {
		double v = step * i;

		text_add(t,
			 "<path class=\"gr\" d=\"M%d %.1fH%d\"/><text class=\"l\" x=\"%d\" "
			 "y=\"%.1f\">%g</text>",
			 S_LEFT, place(&g->y, v), S_RIGHT, S_LEFT - 8, place(&g->y, v) + 4, v);
	}
	for (unsigned i = 0; i <= (unsigned)g->x.high; i++)
		text_add(t, "<text x=\"%.1f\" y=\"%d\">%u</text>", place(&g->x, i), S_BOTTOM + 18,
			 1U << i);
	text_add(t, "<text class=\"v\" x=\"%d\" y=\"%d\">boxes/s</text>", S_LEFT, S_TOP - 12);
	text_add(t, "<text x=\"%d\" y=\"%d\">boxes at once</text>", (S_LEFT + S_RIGHT) / 2,
		 S_BOTTOM + 38);
}

static void draw_line(struct text *t, const struct result *r, const char *id,
		      const struct scaling *g, size_t line)
{
	double x = 0, y = 0;
	int begun = 0;

	text_add(t, "<path class=\"ln s%zu\" d=\"", line);
	for (size_t i = 0; i < r->nseries; i++) {
		const struct series *s = r->series[i];

		if (strcmp(s->id, id) != 0 || strcmp(s->system, g->system[line]) != 0 || s->n == 0)
			continue;
		x = place(&g->x, log2_of(s->boxes));
		y = place(&g->y, rate_of(s, series_median(s)));
		text_add(t, "%s%.1f %.1f", begun++ ? "L" : "M", x, y);
	}
	text_add(t, "\"/>");
	if (g->n == 1)
		return;
	text_add(t, "<text class=\"l\" x=\"%.1f\" y=\"%.1f\">", x - 8, y - 10);
	html_escape(t, g->system[line]);
	text_add(t, "</text>");
}

static void draw_dots(struct text *t, const struct series *s, const struct scaling *g, size_t line)
{
	double x = place(&g->x, log2_of(s->boxes));
	char buf[32];

	for (size_t i = 0; i < s->n; i++)
		text_add(t, "<circle class=\"d s%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"/>", line, x,
			 place(&g->y, rate_of(s, s->v[i])));
	text_add(t,
		 "<circle class=\"D s%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"><title>%u at once: "
		 "%.2f boxes/s, %s</title></circle>",
		 line, x, place(&g->y, rate_of(s, series_median(s))), s->boxes,
		 rate_of(s, series_median(s)),
		 value_text(UNIT_NS, series_median(s), buf, sizeof(buf)));
}

void plot_scaling(struct text *t, const struct result *r, const char *id)
{
	struct scaling g = {0};

	if (!survey(r, id, &g))
		return;
	text_add(t, "<svg class=\"scale\" viewBox=\"0 0 %d %d\" role=\"img\">", S_WIDTH, S_HEIGHT);
	draw_grid(t, &g);
	for (size_t line = 0; line < g.n; line++) {
		draw_line(t, r, id, &g, line);
		for (size_t i = 0; i < r->nseries; i++)
			if (r->series[i]->n && strcmp(r->series[i]->id, id) == 0 &&
			    strcmp(r->series[i]->system, g.system[line]) == 0)
				draw_dots(t, r->series[i], &g, line);
	}
	text_add(t, "</svg>");
}
