/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_ps.c - conker ps: the executions of a box, one line each. */
#include "tools/cli/cli.h"

#include <errno.h>

struct ps {
	int all, usage, json;
	int count;
};

static const struct opt ps_opts[] = {
	{"all", 'a', OPT_FLAG, offsetof(struct ps, all), NULL, "also those that have ended"},
	{"usage", 0, OPT_FLAG, offsetof(struct ps, usage), NULL,
	 "with processor time, memory and processes"},
	{"json", 0, OPT_FLAG, offsetof(struct ps, json), NULL, "for programs: an array of objects"},
};

static void heading(const struct ps *p)
{
	printf("%-6s %-12s %-15s %-7s %-6s %8s ", "EXEC", "NAME", "STATUS", "PID", "AGE",
	       "RESTARTS");
	if (p->usage)
		printf("%8s %7s %7s %5s ", "CPU", "MEMORY", "PEAK", "PIDS");
	printf("COMMAND\n");
}

static void text_usage(const conker_usage *u)
{
	char now[24], peak[24];

	printf("%7.2fs %7s %7s %5u ", (double)(u->user_us + u->sys_us) / 1e6,
	       size_text(u->memory_bytes, now, sizeof(now)),
	       size_text(u->memory_peak_bytes, peak, sizeof(peak)), u->pids);
}

static void text_exec(const struct ps *p, const conker_exec_info *i)
{
	char age[24], state[32], pid[16] = "-";

	if (i->pid)
		(void)snprintf(pid, sizeof(pid), "%d", i->pid);
	printf("%-6llu ", (unsigned long long)i->id);
	print_column(i->name && *i->name ? i->name : "-", 12);
	printf(" %-15s %-7s %-6s %8u ", exec_state_text(i->state, &i->status, state, sizeof(state)),
	       pid, age_text((int64_t)(i->age_us / 1000000), age, sizeof(age)), i->restarts);
	if (p->usage)
		text_usage(&i->usage);
	print_argv(i->argv);
	putchar('\n');
}

static int on_exec(const conker_exec_info *i, void *user)
{
	struct ps *p = user;

	if (p->json) {
		fputs(p->count ? ",\n " : "", stdout);
		json_exec(i, p->usage);
	} else {
		text_exec(p, i);
	}
	p->count++;
	return 0;
}

static int list(const char *box, struct ps *p)
{
	uint32_t flags = (p->all ? CONKER_LIST_ALL : 0U) | (p->usage ? CONKER_LIST_USAGE : 0U);
	conker_box *b = NULL;

	if (over_again(conker_box_open(box, &b)) < 0)
		return fail_lib();
	if (p->json)
		putchar('[');
	else
		heading(p);
	int status = over_again(conker_exec_list(b, flags, on_exec, p)) < 0 ? fail_lib() : 0;
	conker_box_free(b);
	if (p->json)
		puts("]");
	return status ? status : finish_output();
}

int cmd_ps(struct cli *c, int argc, char **argv)
{
	struct ps p = {0};
	struct usage u = {
		.operands = "BOX [OPTIONS]",
		.text = "Lists the executions of a box, whoever started them: those that run, or "
			"all that it still\n"
			"knows.",
		.group = {{ps_opts, countof(ps_opts), &p}},
		.operands_min = 1,
		.operands_max = 1,
		.command_after = -1,
	};
	int status;

	return opts_parse(c, &u, argc, argv, &status) < 0 ? status : list(argv[0], &p);
}
