/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_exec.c - conker exec and conker shell: run a command in a box that is there. */
#include "tools/cli/cli.h"

#include <errno.h>

#include <stdlib.h>

#define EXEC(field) offsetof(struct exec_args, field)

static const struct opt own_opts[] = {
	{"name", 'n', OPT_STRING, EXEC(name), "NAME", "its name, for ps, attach, kill, ..."},
	{"key", 0, OPT_STRING, EXEC(key), "KEY",
	 "start it once: the same key again attaches to it"},
	{"detach", 'd', OPT_FLAG, EXEC(detach), NULL, "print its number and leave it running"},
	{"await-port", 0, OPT_PORT, EXEC(ports), "PORT",
	 "with -d: come back when it is listened on"},
	{"await-timeout", 0, OPT_SECONDS, EXEC(await_timeout_ms), "SECONDS",
	 "patience with that (60)"},
	{"keep-alive", 0, OPT_FLAG, EXEC(keep_alive), NULL,
	 "the box does not stop for being idle meanwhile"},
	{"detach-keys", 0, OPT_KEYS, EXEC(detach_keys), "KEYS",
	 "with -it: leave it running (ctrl-p,ctrl-q)"},
};

static int exec(const char *box, const struct exec_args *a, const struct exec_plan *plan)
{
	struct session s;
	conker_box *b = NULL;

	signals_init();
	do { /* until the box is not suspended just then; opening it resumes it */
		if (over_again(conker_box_open(box, &b)) < 0)
			return fail_lib();
		if (a->detach)
			session_detached(&s, b, plan, a);
		else
			session_run(&s, b, plan, a->detach_keys, SESSION_KILL);
		b = conker_box_free(b);
	} while (s.end == SESSION_AGAIN && !signals_caught());
	return s.status;
}

static int plan_and_exec(const struct cli *c, const struct exec_args *a, int argc, char **argv)
{
	struct exec_plan plan;

	if (a->ports.n && !a->detach)
		return fail_usage(c, "--await-port goes with --detach");
	int status = exec_plan_init(&plan, c, a, argc - 1, argv + 1);
	if (status == 0) {
		status = exec(argv[0], a, &plan);
		exec_plan_fini(&plan);
	}
	return status;
}

int cmd_exec(struct cli *c, int argc, char **argv)
{
	struct exec_args a = {.detach_keys = DETACH_KEYS};
	struct usage u = {
		.operands = "BOX [OPTIONS] [--] CMD [ARG...]",
		.text = "Runs a command in a box. The exit status is the command's; 124: timed "
			"out, 125: conker\n"
			"failed, 126: cannot be executed, 127: not found, 128+N: ended by signal "
			"N.",
		.group = {{own_opts, countof(own_opts), &a},
			  {exec_opt_table, exec_opt_count, &a},
			  {limit_opt_table, limit_opt_count, &a}},
		.operands_min = 1,
		.operands_max = -1,
		.command_after = 1,
	};
	int status, n = opts_parse(c, &u, argc, argv, &status);

	if (n >= 0)
		status = plan_and_exec(c, &a, n, argv);
	exec_args_fini(&a);
	return status;
}

/* ---- conker shell -------------------------------------------------------------------------------- */

static const struct opt shell_opts[] = {
	{"shell", 0, OPT_STRING, EXEC(shell), "PATH", "which shell (/bin/sh)"},
	{"env", 'e', OPT_LIST, EXEC(env), "NAME[=VALUE]",
	 "set a variable of its environment, or pass ours"},
	{"workdir", 'w', OPT_STRING, EXEC(workdir), "DIR", "where it starts (/)"},
	{"user", 'u', OPT_STRING, EXEC(user), "USER[:GROUP]",
	 "who it is, by name or number (root)"},
	{"name", 'n', OPT_STRING, EXEC(name), "NAME", "its name, for ps, attach, kill, ..."},
	{"detach-keys", 0, OPT_KEYS, EXEC(detach_keys), "KEYS", "leave it running (ctrl-p,ctrl-q)"},
};

int cmd_shell(struct cli *c, int argc, char **argv)
{
	struct exec_args a = {.interactive = 1, .tty = 1, .detach_keys = DETACH_KEYS};
	struct usage u = {
		.operands = "BOX [OPTIONS]",
		.text = "A login shell in a box, on a terminal of the size and kind of ours. The "
			"exit status is the\n"
			"shell's.",
		.group = {{shell_opts, countof(shell_opts), &a}},
		.operands_min = 1,
		.operands_max = 1,
		.command_after = -1,
	};
	char login[] = "-l";
	int status;

	if (opts_parse(c, &u, argc, argv, &status) >= 0) {
		char *command[] = {argv[0], (char *)(a.shell ? a.shell : "/bin/sh"), login, NULL};
		status = plan_and_exec(c, &a, 3, command);
	}
	exec_args_fini(&a);
	return status;
}
