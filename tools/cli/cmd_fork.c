/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_fork.c - conker fork: many boxes that begin with one snapshot.
 *
 * The library's call to create a box waits, so several processes of ours call it, each for its share. A running box is
 * snapshotted first, to a directory that is gone again when the clones run: they have its files open.
 */
#include "tools/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS_MAX = 64, LINE_BYTES = 128 };

struct fork_args {
	struct box_args box;
	uint32_t count, jobs;
	int json;
};

static const struct opt own_opts[] = {
	{"count", 'n', OPT_UINT, offsetof(struct fork_args, count), "N", "this many boxes (1)"},
	{"jobs", 'j', OPT_UINT, offsetof(struct fork_args, jobs), "N",
	 "start so many at a time (one per CPU of the host)"},
	{"prefix", 0, OPT_STRING, offsetof(struct fork_args, box.name), "NAME",
	 "names NAME-1, NAME-2, ... (default: their ids)"},
	{"json", 0, OPT_FLAG, offsetof(struct fork_args, json), NULL, "for programs: an array"},
	{"verbose", 'v', OPT_FLAG, offsetof(struct fork_args, box.verbose), NULL,
	 "say what happens, step by step"},
};

static int create_one(const struct cli *c, const struct fork_args *a, uint32_t i, int out)
{
	conker_box_info info = {.size = sizeof(info)};
	struct box_args one = a->box;
	char name[LINE_BYTES], line[LINE_BYTES];
	conker_box *b = NULL;

	if (a->box.name) {
		(void)snprintf(name, sizeof(name), "%.80s-%u", a->box.name, i + 1);
		one.name = name;
	}
	if (box_create(c, &one, CONKER_BOX_DETACHED, &b) < 0)
		return fail_lib();
	int r = conker_box_info_get(b, &info);
	conker_box_free(b);
	if (r < 0)
		return fail_lib();
	int n = snprintf(line, sizeof(line), "%s\n", info.name);
	/* Short enough for a pipe to take it whole. */
	return write(out, line, (size_t)n) == n ? 0 : EXIT_CONKER;
}

/* Every jobs-th box, from the job-th on. One that fails is said, the others are created. */
static _Noreturn void work(const struct cli *c, const struct fork_args *a, uint32_t job, int out)
{
	int status = 0;

	for (uint32_t i = job; i < a->count && !signals_caught(); i += a->jobs)
		status |= create_one(c, a, i, out);
	_exit(signals_caught() ? EXIT_CONKER : status);
}

static void print_names(int in, int json)
{
	FILE *f = fdopen(in, "r");
	char line[LINE_BYTES];
	int count = 0;

	if (json)
		putchar('[');
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (json) {
			fputs(count++ ? "," : "", stdout);
			json_string(line);
		} else {
			puts(line);
		}
	}
	if (json)
		puts("]");
	if (f)
		fclose(f);
	else
		close(in);
}

static int fork_all(const struct cli *c, struct fork_args *a)
{
	int pipes[2], status = 0, ended;
	uint32_t job = 0;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return fail("pipe: %s", strerror(errno));
	(void)fflush(NULL); /* or each of them would write it, too */
	for (; job < a->jobs; job++) {
		pid_t pid = fork();

		if (pid == 0) {
			close(pipes[0]);
			work(c, a, job, pipes[1]);
		}
		if (pid < 0) {
			status = fail("fork: %s", strerror(errno));
			break;
		}
	}
	close(pipes[1]);
	print_names(pipes[0], a->json);
	while (wait(&ended) > 0 || errno == EINTR)
		status |= WIFEXITED(ended) ? WEXITSTATUS(ended) : EXIT_CONKER;
	return status ? status : finish_output();
}

/* ---- from a running box --------------------------------------------------------------------------- */

static void remove_snapshot(const char *above)
{
	static const char *const names[] = {"/snapshot/manifest", "/snapshot/state",
					    "/snapshot/memory", "/snapshot", ""};
	char path[2 * LINE_BYTES];

	for (size_t i = 0; i < countof(names); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", above, names[i]);
		(void)remove(path);
	}
}

/* On a disk, if it can be: /tmp is often memory. */
static const char *place(void)
{
	const char *set = getenv("TMPDIR");

	if (set && *set == '/' && strlen(set) <= 80)
		return set;
	return access("/var/tmp", W_OK) == 0 ? "/var/tmp" : "/tmp";
}

static int fork_box(const struct cli *c, const char *name, struct fork_args *a)
{
	char above[LINE_BYTES - sizeof("/snapshot")], dir[LINE_BYTES];
	conker_box *b = NULL;

	(void)snprintf(above, sizeof(above), "%.80s/conker-fork-XXXXXX", place());
	if (!mkdtemp(above))
		return fail("make '%s': %s", above, strerror(errno));
	(void)snprintf(dir, sizeof(dir), "%s/snapshot", above);
	int r = over_again(conker_box_open(name, &b));
	if (r == 0) {
		r = over_again(conker_box_snapshot(b, dir, NULL, NULL));
		conker_box_free(b);
	}
	a->box.from = dir;
	int status = r < 0 ? fail_lib() : fork_all(c, a);
	a->box.from = NULL;
	remove_snapshot(above);
	return status;
}

/* A box's name has no slash. */
static int is_directory(const char *operand)
{
	conker_box_info info = {.size = sizeof(info)};
	struct stat st;

	if (strchr(operand, '/'))
		return 1;
	return conker_box_lookup(operand, &info) < 0 && stat(operand, &st) == 0 &&
	       S_ISDIR(st.st_mode);
}

int cmd_fork(struct cli *c, int argc, char **argv)
{
	struct fork_args a = {0};
	struct usage u = {
		.operands = "[OPTIONS] BOX|DIR",
		.text = "Starts boxes that go on where a running box, or the one in the snapshot "
			"DIR, stands, and prints\n"
			"their names. They share its memory until they write to it.",
		.group = {{own_opts, countof(own_opts), &a},
			  {life_opt_table, life_opt_count, &a.box}},
		.operands_min = 1,
		.operands_max = 1,
		.command_after = -1,
	};
	int status, n = opts_parse(c, &u, argc, argv, &status);

	if (n < 0)
		return status;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	a.count = a.count ? a.count : 1;
	a.jobs = a.jobs ? a.jobs : (uint32_t)max_(cpus, 1L);
	a.jobs = min_(a.jobs, a.count);
	a.jobs = min_(a.jobs, (uint32_t)JOBS_MAX);
	signals_init();
	if (!is_directory(argv[0]))
		return fork_box(c, argv[0], &a);
	a.box.from = argv[0];
	return fork_all(c, &a);
}
