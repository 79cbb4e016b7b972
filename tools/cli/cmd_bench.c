/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_bench.c - conker bench: how fast boxes are on this host, as text, JSON and a page to look at. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/bench/bench.h"
#include "tools/bench/compare.h"
#include "tools/bench/report.h"
#include "tools/bench/stats.h"
#include "tools/bench/table.h"
#include "util/cleanup.h"
#include "util/io.h"

enum { TIME_DEFAULT_MS = 300000, TIME_QUICK_MS = 30000, STATUS_FAILURES = 1 };

struct bench_args {
	const char *series, *json, *output;
	uint32_t time_ms;
	int quick, compare;
};

#define ARG(field) offsetof(struct bench_args, field)

static const struct opt own_opts[] = {
	{"series", 0, OPT_STRING, ARG(series), "LIST",
	 "only these: cold,memory,peers,restore,exec,setup,stream,blk,rate"},
	{"time", 0, OPT_SECONDS, ARG(time_ms), "SECONDS", "time to be used, all in all (300)"},
	{"quick", 0, OPT_FLAG, ARG(quick), NULL,
	 "few samples: does it work, what to expect (30 s)"},
	{"json", 0, OPT_STRING, ARG(json), "FILE", "write what was found, raw samples and all"},
	{"output", 'o', OPT_STRING, ARG(output), "DIR", "write bench.json and bench.html there"},
	{"compare", 0, OPT_FLAG, ARG(compare), NULL,
	 "two files of --json, of one host, side by side"},
};

/* ---- files --------------------------------------------------------------------------------------------- */

/* A device, a FIFO or a link, which is written into; a file is replaced when its successor is complete. */
static int is_special(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static int open_beside(const char *path, char ret_beside[PATH_MAX])
{
	enum { FLAGS = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC };
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		errno = EISDIR;
	else if (snprintf(ret_beside, PATH_MAX, "%s.conker-%d", path, (int)getpid()) >= PATH_MAX)
		errno = ENAMETOOLONG;
	else
		return open(ret_beside, FLAGS, 0644);
	return -1;
}

static int save(const char *path, const struct text *t)
{
	char beside[PATH_MAX] = "";
	auto_close int fd = is_special(path)
				    ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)
				    : open_beside(path, beside);

	if (t->failed)
		return fail("no memory for '%s'", path);
	if (fd >= 0 && io_write_all(fd, t->s, t->len) == 0 &&
	    (!*beside || rename(beside, path) == 0))
		return 0;
	int status = fail("'%s': %s", path, strerror(errno));
	if (fd >= 0 && *beside)
		(void)unlink(beside);
	return status;
}

static int path_in(const char *dir, const char *name, char ret_path[PATH_MAX])
{
	return snprintf(ret_path, PATH_MAX, "%s/%s", dir, name) < PATH_MAX
		       ? 0
		       : fail("the path '%.100s...' is too long", dir);
}

static int save_as(const char *dir, const char *name, const struct text *t)
{
	char path[PATH_MAX];
	int status = path_in(dir, name, path);

	if (status == 0)
		status = save(path, t);
	if (status == 0)
		printf("%s\n", path);
	return status;
}

static int save_all(const struct bench_args *a, const struct result *r)
{
	struct text json = {0}, html = {0};
	int status = 0;

	result_write(&json, r);
	if (a->json)
		status = save(a->json, &json);
	if (a->output && status == 0) {
		report_page(&html, r);
		status = save_as(a->output, "bench.json", &json);
		if (status == 0)
			status = save_as(a->output, "bench.html", &html);
	}
	text_fini(&json);
	text_fini(&html);
	return status;
}

/* ---- measuring ----------------------------------------------------------------------------------------- */

/* The series that LIST names; 0 after a message. */
static unsigned parse_series(const struct cli *c, const char *list)
{
	unsigned which = 0;
	char word[16];

	while (*list) {
		size_t n = strcspn(list, ",");

		(void)snprintf(word, sizeof(word), "%.*s", (int)n, list);
		unsigned bit = n < sizeof(word) ? bench_word(word) : 0;
		if (!bit) {
			(void)fail_usage(c, "--series: no '%.*s'; there are %s", (int)n, list,
					 bench_words);
			return 0;
		}
		which |= bit;
		list += n + (list[n] == ',');
	}
	if (!which)
		(void)fail_usage(c, "--series needs one of %s", bench_words);
	return which;
}

static void on_turn(const struct series *s, void *user)
{
	const struct bench *b = user;
	char name[80], value[32] = "", sure[32] = "";
	auto_free uint64_t *v = series_sorted(s);
	uint64_t now = machine_now_ns(), left = b->plan.end_ns > now ? b->plan.end_ns - now : 0;

	if (v) {
		unsigned off = stats_uncertainty_permille(v, s->n);

		(void)value_text(s->unit, stats_percentile(v, s->n, 500), value, sizeof(value));
		if (s->n >= STATS_CI_MIN)
			(void)snprintf(sure, sizeof(sure), " +-%u.%u %%", off / 10, off % 10);
	}
	fprintf(stderr, "\r\033[K[%3u s left] %s: n=%zu %s%s%s", (unsigned)(left / 1000000000),
		table_name(s, name, sizeof(name)), s->n, value, sure,
		s->failures ? ", FAILURES" : "");
}

static int report(const struct bench_args *a, const struct result *r)
{
	struct text t = {0};

	table_result(&t, r);
	fputs(t.s ? t.s : "", stdout);
	text_fini(&t);
	int status = save_all(a, r);
	return status ? status : finish_output();
}

static int measure(const struct bench_args *a, unsigned which)
{
	auto_free struct bench *b = calloc(1, sizeof(*b));
	char why[320] = "";
	uint32_t ms = a->time_ms ? a->time_ms : a->quick ? TIME_QUICK_MS : TIME_DEFAULT_MS;

	if (!b)
		return fail("no memory");
	b->which = which;
	b->quick = a->quick;
	b->plan = (struct plan){
		.now_ns = machine_now_ns,
		.interrupted = signals_caught,
		.progress = isatty(STDERR_FILENO) ? on_turn : NULL,
		.user = b,
		.end_ns = machine_now_ns() + (uint64_t)ms * 1000000,
	};
	result_fact(&b->r, "conker", CONKER_VERSION);
	int r = bench_run(b, why, sizeof(why));
	if (b->plan.progress)
		fprintf(stderr, "\r\033[K");
	int status = r == 0 || b->r.nseries ? report(a, &b->r) : 0;
	uint64_t failures = result_failures(&b->r);
	result_fini(&b->r);
	if (signals_caught())
		return exit_by_signal(signals_caught());
	if (r < 0)
		return fail("bench: %s", why);
	if (status == 0 && failures)
		return fail("bench: %llu runs FAILED", (unsigned long long)failures),
		       STATUS_FAILURES;
	return status;
}

/* A pipe is left alone: its reader would take the end of this for the end. */
static int check_file(const char *path)
{
	char beside[PATH_MAX];

	if (is_special(path))
		return 0;
	auto_close int fd = open_beside(path, beside);
	if (fd < 0)
		return fail("'%s': %s", path, strerror(errno));
	(void)unlink(beside);
	return 0;
}

static int check_file_in(const char *dir, const char *name)
{
	char path[PATH_MAX];
	int status = path_in(dir, name, path);

	return status ? status : check_file(path);
}

/* Before minutes are spent on what could not be kept. */
static int check_outputs(const struct bench_args *a)
{
	int status = a->json ? check_file(a->json) : 0;

	if (status || !a->output)
		return status;
	if (mkdir(a->output, 0777) < 0 && errno != EEXIST)
		return fail("'%s': %s", a->output, strerror(errno));
	status = check_file_in(a->output, "bench.json");
	return status ? status : check_file_in(a->output, "bench.html");
}

int cmd_bench(struct cli *c, int argc, char **argv)
{
	struct bench_args a = {0};
	struct usage u = {
		.operands = "[OPTIONS] | --compare FIRST.json SECOND.json",
		.text = "Measures boxes on this host: cold boot and restore to the first exec "
			"result, warm exec, VMM "
			"set-up, memory,\nboxes per second, streams and disk; other VMMs beside it "
			"where there are "
			"any. Each series ends when the 95 %\ninterval of its median is within 5 % "
			"of it, or with "
			"its share of the time. The exit status is 1 when a run failed.",
		.group = {{own_opts, countof(own_opts), &a}},
		.operands_max = 2,
		.command_after = -1,
	};
	unsigned which = BENCH_ALL;
	int status, n = opts_parse(c, &u, argc, argv, &status);

	if (n < 0)
		return status;
	if (n != (a.compare ? 2 : 0))
		return fail_usage(c, a.compare ? "--compare needs two files"
					       : "files are for --compare only");
	if (a.compare)
		return fail("--compare needs python3: %s",
			    strerror(compare_exec(argv[0], argv[1])));
	if (a.series)
		which = parse_series(c, a.series);
	if (!which)
		return EXIT_CONKER;
	status = check_outputs(&a);
	if (status)
		return status;
	signals_init();
	return measure(&a, which);
}
