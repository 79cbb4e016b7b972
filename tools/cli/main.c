/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the table of subcommands. */
#include "tools/cli/cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int cmd_help(struct cli *c, int argc, char **argv);
static int cmd_version(struct cli *c, int argc, char **argv);

static const struct command commands[] = {
	{"run", cmd_run, "run a command in a new box, which ends with it"},
	{"create", cmd_create, "start a box that stays"},
	{"exec", cmd_exec, "run a command in a box"},
	{"shell", cmd_shell, "an interactive shell in a box"},
	{"attach", cmd_attach, "join an execution: what it said, what it says, its status"},
	{"wait", cmd_wait, "wait for executions, or for ports"},
	{"ps", cmd_ps, "list the executions of a box"},
	{"logs", cmd_logs, "what an execution has said; the console of a box"},
	{"kill", cmd_kill, "end or signal executions"},
	{"forget", cmd_forget, "drop what is kept of executions that have ended"},
	{"forward", cmd_forward, "lead a port of this host into a box"},
	{"cp", cmd_cp, "copy files and directories in and out of a box"},
	{"fs", cmd_fs, "files of a box: ls, stat, cat, write, rm, mkdir, mv, watch"},
	{"snapshot", cmd_snapshot, "write a running box to a directory"},
	{"restore", cmd_restore, "start a box from a snapshot"},
	{"fork", cmd_fork, "start many boxes from one, or from a snapshot"},
	{"suspend", cmd_suspend, "put boxes aside, on disk"},
	{"resume", cmd_resume, "and back; any command that names one does"},
	{"ls", cmd_ls, "list boxes"},
	{"info", cmd_info, "all about a box, or about one execution"},
	{"stats", cmd_stats, "what a box uses"},
	{"stop", cmd_stop, "shut boxes down"},
	{"rm", cmd_rm, "forget boxes that have ended"},
	{"image", cmd_image, "images: pull, import, ls, inspect, tag, rm, df, prune"},
	{"template", cmd_template, "what --warm keeps: ls, rm"},
	{"bench", cmd_bench, "how fast boxes are on this host, and what they take"},
	{"doctor", cmd_doctor, "what this host can do, and what to do about it"},
	{"version", cmd_version, "the version"},
	{"help", cmd_help, "this list"},
};

int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

void command_list(FILE *f, const struct command *table, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fprintf(f, "  %-9s %s\n", table[i].name, table[i].summary);
}

int command_dispatch(struct cli *c, const struct command *table, size_t n, int argc, char **argv)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(argv[0], table[i].name) == 0)
			return table[i].run(c, argc - 1, argv + 1);
	return -1;
}

static int cmd_help(struct cli *c, int argc, char **argv)
{
	char help[] = "--help";
	char *args[] = {argv[0], help, NULL};

	if (argc > 0 && argv[0][0] != '-') {
		c->command = argv[0];
		int r = command_dispatch(c, commands, countof(commands), 2, args);
		return r < 0 ? fail("no command '%s' (see 'conker help')", argv[0]) : r;
	}
	printf("conker - run programs in small virtual machines of their own\n\n"
	       "  conker COMMAND [OPTIONS] ...\n\n");
	command_list(stdout, commands, countof(commands));
	printf("\n'conker COMMAND --help' tells more. A first try: conker run -- uname -a\n");
	return finish_output();
}

static int cmd_version(struct cli *c, int argc, char **argv)
{
	struct usage u = {.operands = ""};
	int status;

	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	printf("conker " CONKER_VERSION "\n");
	return finish_output();
}

/* A descriptor that is opened later must not become our stdin, stdout or stderr. A closed stdin is empty; what is
 * written to a closed stdout or stderr is an error, as it would be for any program, not lost. */
static void fill_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static int dispatch(struct cli *c, int argc, char **argv)
{
	if (argc < 2)
		return fail("no command given (see 'conker help')");
	c->command = argv[1];
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return cmd_help(c, 0, argv + 2);
	if (strcmp(argv[1], "--version") == 0)
		return cmd_version(c, 0, argv + 2);
	int r = command_dispatch(c, commands, countof(commands), argc - 1, argv + 1);
	return r < 0 ? fail("no command '%s' (see 'conker help')", argv[1]) : r;
}

int main(int argc, char **argv)
{
	struct cli c = {.start_us = now_us()};

	fill_standard_fds();
	(void)signal(SIGXFSZ,
		     SIG_IGN); /* a limit of our files is an error of a write, which we report */
	int status = dispatch(&c, argc, argv);
	int written = finish_output(); /* no command may forget it */
	return status ? status : written;
}
