/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_snapshot.c - conker snapshot, restore, suspend and resume: boxes to disk and back. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <stdlib.h>

/* ---- conker snapshot ------------------------------------------------------------------------------ */

struct snapshot_args {
	int stop, json;
};

static const struct opt snapshot_opts[] = {
	{"stop", 0, OPT_FLAG, offsetof(struct snapshot_args, stop), NULL,
	 "end the box with it, as by a power cut"},
	{"json", 0, OPT_FLAG, offsetof(struct snapshot_args, json), NULL,
	 "for programs: an object"},
};

static void print_result(const conker_snapshot_result *r, int json)
{
	char size[24];

	if (json)
		printf("{\"pause_us\":%llu,\"frozen_us\":%llu,\"total_us\":%llu,\"memory_bytes\":%"
		       "llu}\n",
		       (unsigned long long)r->pause_us, (unsigned long long)r->frozen_us,
		       (unsigned long long)r->total_us, (unsigned long long)r->memory_bytes);
	else
		printf("paused for %.1f ms, complete after %.1f ms, %s of memory\n",
		       (double)r->pause_us / 1000, (double)r->total_us / 1000,
		       size_text(r->memory_bytes, size, sizeof(size)));
}

static int snapshot(const char *box, const char *dir, const struct snapshot_args *a)
{
	conker_snapshot_opts o = {.size = sizeof(o), .flags = a->stop ? CONKER_SNAPSHOT_STOP : 0};
	conker_snapshot_result res = {.size = sizeof(res)};
	conker_box *b = NULL;

	if (over_again(conker_box_open(box, &b)) < 0)
		return fail_lib();
	int status = over_again(conker_box_snapshot(b, dir, &o, &res)) < 0 ? fail_lib() : 0;
	conker_box_free(b);
	if (status)
		return status;
	print_result(&res, a->json);
	return finish_output();
}

int cmd_snapshot(struct cli *c, int argc, char **argv)
{
	struct snapshot_args a = {0};
	struct usage u = {
		.operands = "[OPTIONS] BOX DIR",
		.text = "Writes the memory of a running box and the state of its machine to a new "
			"directory. Boxes can\n"
			"begin with it: run --from, create --from, restore, fork. What runs in the "
			"box goes on.",
		.group = {{snapshot_opts, countof(snapshot_opts), &a}},
		.operands_min = 2,
		.operands_max = 2,
		.command_after = -1,
	};
	int status, n = opts_parse(c, &u, argc, argv, &status);

	if (n < 0)
		return status;
	signals_init();
	return snapshot(argv[0], argv[1], &a);
}

/* ---- conker restore ------------------------------------------------------------------------------- */

static const struct opt restore_opts[] = {
	{"name", 'n', OPT_STRING, offsetof(struct box_args, name), "NAME",
	 "its name (default: its id)"},
	{"require-jail", 0, OPT_FLAG, offsetof(struct box_args, require_jail), NULL,
	 "refuse a host that lacks a layer of the jail"},
	{"verbose", 'v', OPT_FLAG, offsetof(struct box_args, verbose), NULL,
	 "say what happens, step by step"},
};

int cmd_restore(struct cli *c, int argc, char **argv)
{
	struct box_args a = {0};
	struct usage u = {
		.operands = "[OPTIONS] DIR",
		.text = "Starts a box that goes on where the one in the snapshot DIR stood, and "
			"prints its name:\n"
			"conker create --from DIR.",
		.group = {{restore_opts, countof(restore_opts), &a},
			  {life_opt_table, life_opt_count, &a}},
		.operands_min = 1,
		.operands_max = 1,
		.command_after = -1,
	};
	int status, n = opts_parse(c, &u, argc, argv, &status);

	if (n < 0)
		return status;
	a.from = argv[0];
	signals_init();
	return box_create_and_print(c, &a);
}

/* ---- conker suspend, conker resume ---------------------------------------------------------------- */

struct suspend_args {
	int json;
};

static const struct opt suspend_opts[] = {
	{"json", 0, OPT_FLAG, offsetof(struct suspend_args, json), NULL, "for programs: an object"},
};

/* One that is suspended is not resumed for this. */
static int suspend(const char *name, const struct suspend_args *a)
{
	conker_snapshot_result res = {.size = sizeof(res)};
	conker_box_info info = {.size = sizeof(info)};
	conker_box *b = NULL;

	if (conker_box_lookup(name, &info) < 0)
		return fail_lib();
	if (info.state == CONKER_BOX_SUSPENDED)
		return 0;
	if (over_again(conker_box_open(name, &b)) < 0)
		return fail_lib();
	int status = over_again(conker_box_suspend(b, &res)) < 0 ? fail_lib() : 0;
	conker_box_free(b);
	if (status == 0 && a->json)
		print_result(&res, 1);
	return status;
}

int cmd_suspend(struct cli *c, int argc, char **argv)
{
	struct suspend_args a = {0};
	struct usage u = {
		.operands = "[OPTIONS] BOX...",
		.text = "Puts boxes aside: their memory goes to disk, their processes end, they "
			"stay listed\n"
			"(conker ls --all). The next command that names one resumes it.",
		.group = {{suspend_opts, countof(suspend_opts), &a}},
		.operands_min = 1,
		.operands_max = -1,
		.command_after = -1,
	};
	int status, n = opts_parse(c, &u, argc, argv, &status);

	if (n > 0)
		signals_init();
	for (int i = 0; i < n; i++)
		status |= suspend(argv[i], &a);
	return n < 0 || status ? status : finish_output();
}

int cmd_resume(struct cli *c, int argc, char **argv)
{
	struct usage u = {
		.operands = "BOX...",
		.text = "Resumes suspended boxes, as any command does that names one. No error for "
			"one that runs.",
		.operands_min = 1,
		.operands_max = -1,
		.command_after = -1,
	};
	int status, n = opts_parse(c, &u, argc, argv, &status);
	conker_box *b = NULL;

	if (n > 0)
		signals_init();
	for (int i = 0; i < n; i++) {
		if (over_again(conker_box_open(argv[i], &b)) < 0)
			status |= fail_lib();
		else
			conker_box_free(b);
	}
	return status;
}
