/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_ls.c - conker ls: boxes, one line each. */
#include "tools/cli/cli.h"

#include <string.h>
#include <time.h>

struct ls {
	int all, json;
	int count;
};

static const struct opt own_opts[] = {
	{"all", 'a', OPT_FLAG, offsetof(struct ls, all), NULL, "also boxes that have ended"},
	{"json", 0, OPT_FLAG, offsetof(struct ls, json), NULL, "for programs: an array of objects"},
};

static void text_box(const conker_box_info *i)
{
	char age[24], pid[16] = "-";

	if (i->vmm_pid)
		(void)snprintf(pid, sizeof(pid), "%d", i->vmm_pid);
	print_column(i->name, 20);
	printf(" %-9s ", state_name(i->state));
	print_column(i->image, 12);
	printf(" %4u %7u %6s %8s", i->cpus, i->memory_mib,
	       age_text(time(NULL) - i->created_s, age, sizeof(age)), pid);
	if (*i->reason && strcmp(i->reason, state_name(i->state)) != 0) {
		printf("  ");
		print_clean(i->reason);
	}
	putchar('\n');
}

static int on_box(const conker_box_info *i, void *user)
{
	struct ls *l = user;

	if (!l->all && i->state != CONKER_BOX_RUNNING && i->state != CONKER_BOX_STARTING)
		return 0;
	if (l->json) {
		fputs(l->count ? ",\n " : "", stdout);
		json_box(i);
	} else {
		text_box(i);
	}
	l->count++;
	return 0;
}

int cmd_ls(struct cli *c, int argc, char **argv)
{
	struct ls l = {0};
	struct usage u = {
		.operands = "[OPTIONS]",
		.text = "Lists your boxes: those that run, or all.",
		.group = {{own_opts, countof(own_opts), &l}},
		.command_after = -1,
	};
	int status;

	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	if (l.json)
		putchar('[');
	else
		printf("%-20s %-9s %-12s %4s %7s %6s %8s  REASON\n", "NAME", "STATE", "IMAGE",
		       "CPUS", "MIB", "AGE", "PID");
	if (conker_box_list(on_box, &l) < 0)
		return fail_lib();
	if (l.json)
		puts("]");
	return finish_output();
}
