/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_create.c - conker create: start a box that stays, and print its name. */
#include "tools/cli/cli.h"

#include <stdlib.h>

static const struct opt own_opts[] = {
	{"name", 'n', OPT_STRING, offsetof(struct box_args, name), "NAME",
	 "its name (default: its id)"},
	{"verbose", 'v', OPT_FLAG, offsetof(struct box_args, verbose), NULL,
	 "say what happens, step by step"},
};

int cmd_create(struct cli *c, int argc, char **argv)
{
	struct box_args a = {0};
	struct usage u = {
		.operands = "[OPTIONS]",
		.text = "Starts a box and prints its name once commands can be run in it.",
		.group = {{own_opts, countof(own_opts), &a},
			  {box_opt_table, box_opt_count, &a},
			  {life_opt_table, life_opt_count, &a}},
		.command_after = -1,
	};
	int status;

	if (opts_parse(c, &u, argc, argv, &status) >= 0) {
		signals_init();
		status = box_create_and_print(c, &a);
	}
	free(a.disks.v);
	return status;
}
