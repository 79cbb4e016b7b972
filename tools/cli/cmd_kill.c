/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_kill.c - conker kill and conker forget: the ends of executions. */
#include "tools/cli/cli.h"

#include <errno.h>

struct kill_args {
	int signo, group, all, wait;
};

static const struct opt kill_opts[] = {
	{"signal", 's', OPT_SIGNAL, offsetof(struct kill_args, signo), "SIGNAL",
	 "this one, by name or number, to the process"},
	{"group", 0, OPT_FLAG, offsetof(struct kill_args, group), NULL, "to its process group"},
	{"all", 0, OPT_FLAG, offsetof(struct kill_args, all), NULL, "to everything it started"},
	{"wait", 'w', OPT_FLAG, offsetof(struct kill_args, wait), NULL, "until it has ended"},
};

typedef int each_fn(conker_box *b, const conker_exec_ref *exec, const void *arg);

/* For each operand behind the box: what fn does with it; all are tried. */
static int each(char **argv, int n, each_fn *fn, const void *arg)
{
	conker_box *b;
	int status = 0;

	if (over_again(conker_box_open(argv[0], &b)) < 0)
		return fail_lib();
	for (int i = 1; i < n; i++) {
		const conker_exec_ref exec = exec_ref_of(argv[i]);

		if (fn(b, &exec, arg) < 0)
			status = fail_lib();
	}
	conker_box_free(b);
	return status;
}

static int kill_one(conker_box *b, const conker_exec_ref *exec, const void *arg)
{
	const struct kill_args *a = arg;
	int scope = a->all || !a->signo ? CONKER_KILL_ALL : CONKER_KILL_PROCESS;

	return over_again(
		conker_exec_kill_ref(b, exec, a->signo, a->group ? CONKER_KILL_GROUP : scope));
}

/* The view is there before the signal, so that a name cannot be another's by then. */
static int kill_and_wait(conker_box *b, const conker_exec_ref *exec, const void *arg)
{
	const conker_view_opts o = {.size = sizeof(o),
				    .flags = CONKER_VIEW_FOLLOW | CONKER_VIEW_NO_STDOUT |
					     CONKER_VIEW_NO_STDERR};
	conker_exec *e;
	int r = conker_exec_attach(b, exec, &o, (conker_exec_cb){NULL, NULL, NULL}, &e);

	if (r < 0)
		return r;
	r = kill_one(b, exec, arg);
	if (r == 0)
		r = over_again(conker_exec_wait(e, -1, NULL));
	conker_exec_free(e);
	return r;
}

int cmd_kill(struct cli *c, int argc, char **argv)
{
	struct kill_args a = {0};
	struct usage u = {
		.operands = "[OPTIONS] BOX EXEC...",
		.text = "Ends executions, found by number, name or \"key:KEY\" (see conker ps): "
			"SIGKILL to everything\n"
			"they started. With --signal it is that signal, to the process only unless "
			"--group or --all.\n"
			"Comes back when the signal is sent; with --wait when they have ended.",
		.group = {{kill_opts, countof(kill_opts), &a}},
		.operands_min = 2,
		.operands_max = -1,
		.command_after = -1,
	};
	int status, n = opts_parse(c, &u, argc, argv, &status);

	if (n < 0)
		return status;
	if (a.group && a.all)
		return fail_usage(c, "--group and --all exclude each other");
	return each(argv, n, a.wait ? kill_and_wait : kill_one, &a);
}

/* ---- conker forget ------------------------------------------------------------------------------- */

static int forget_one(conker_box *b, const conker_exec_ref *exec, const void *arg)
{
	(void)arg;
	return over_again(conker_exec_forget(b, exec));
}

int cmd_forget(struct cli *c, int argc, char **argv)
{
	struct usage u = {
		.operands = "BOX EXEC...",
		.text = "Drops what a box keeps of executions that have ended: their status and "
			"output.",
		.operands_min = 2,
		.operands_max = -1,
		.command_after = -1,
	};
	int status, n = opts_parse(c, &u, argc, argv, &status);

	return n < 0 ? status : each(argv, n, forget_one, NULL);
}
