/* cmd_exec.c - conker exec and conker shell: run a command in a box that is there. */
#include "tools/cli/cli.h"

#include <stdlib.h>

static const struct opt own_opts[] = {
	{"name", 'n', OPT_STRING, offsetof(struct exec_args, name), "NAME",
	 "its name, for ps and kill"},
};

static int exec(const char *box, const struct exec_args *a, const char **argv)
{
	struct session s;
	conker_box *b;

	signals_init();
	if (conker_box_open(box, &b) < 0)
		return signals_caught() ? exit_by_signal(signals_caught()) : fail_lib();
	session_run(&s, b, a, argv, SESSION_KILL);
	conker_box_free(b);
	return s.status;
}

int cmd_exec(struct cli *c, int argc, char **argv)
{
	struct exec_args a = {0};
	struct usage u = {
		.operands = "BOX [OPTIONS] [--] CMD [ARG...]",
		.text = "Runs a command in a box. The exit status is the command's; 124: timed "
			"out, 125: conker\n"
			"failed, 126: cannot be executed, 127: not found, 128+N: ended by signal "
			"N.",
		.group = {{own_opts, countof(own_opts), &a}, {exec_opt_table, exec_opt_count, &a}},
		.operands_min = 1,
		.operands_max = -1,
		.command_after = 1,
	};
	int status, n = opts_parse(c, &u, argc, argv, &status);

	if (n >= 0) {
		const char **command = exec_argv(c, &a, n - 1, argv + 1, &status);
		if (command)
			status = exec(argv[0], &a, command);
		free(command);
	}
	free(a.env.v);
	return status;
}

int cmd_shell(struct cli *c, int argc, char **argv)
{
	static const char *login[] = {"/bin/sh", "-l", NULL};
	struct exec_args a = {.interactive = 1, .tty = 1};
	struct usage u = {
		.operands = "BOX",
		.text = "An interactive shell in a box, on a terminal.",
		.operands_min = 1,
		.operands_max = 1,
		.command_after = -1,
	};
	int status;

	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	return exec(argv[0], &a, login);
}
