/* cmd_create.c - conker create: start a box that stays, and print its name. */
#include "tools/cli/cli.h"

#include <stdlib.h>

static const struct opt own_opts[] = {
	{"name", 'n', OPT_STRING, offsetof(struct box_args, name), "NAME",
	 "its name (default: its id)"},
	{"verbose", 'v', OPT_FLAG, offsetof(struct box_args, verbose), NULL,
	 "say what happens, step by step"},
};

static int create(const struct cli *c, const struct box_args *a)
{
	conker_box_info info = {.size = sizeof(info)};
	conker_box *b;

	if (box_create(c, a, CONKER_BOX_DETACHED, &b) < 0)
		return signals_caught() ? exit_by_signal(signals_caught()) : fail_lib();
	int r = conker_box_info_get(b, &info);
	conker_box_free(b);
	if (r < 0)
		return fail_lib();
	puts(info.name);
	return finish_output();
}

int cmd_create(struct cli *c, int argc, char **argv)
{
	struct box_args a = {0};
	struct usage u = {
		.operands = "[OPTIONS]",
		.text = "Starts a box and prints its name once commands can be run in it.",
		.group = {{own_opts, countof(own_opts), &a}, {box_opt_table, box_opt_count, &a}},
		.command_after = -1,
	};
	int status;

	if (opts_parse(c, &u, argc, argv, &status) >= 0) {
		signals_init();
		status = create(c, &a);
	}
	free(a.disks.v);
	return status;
}
