/* cmd_ps.c - conker ps and conker kill: the commands that run in a box. */
#include "tools/cli/cli.h"

#include <string.h>

struct ps {
	int json;
	int count;
};

static const struct opt ps_opts[] = {
	{"json", 0, OPT_FLAG, offsetof(struct ps, json), NULL, "for programs: an array of objects"},
};

static void json_exec(const conker_exec_info *i)
{
	printf("{\"id\":%llu,\"pid\":%u,\"name\":", (unsigned long long)i->id, i->pid);
	json_string(i->name ? i->name : "");
	printf(",\"age_us\":%llu,\"argv\":[", (unsigned long long)i->age_us);
	for (size_t k = 0; i->argv && i->argv[k]; k++) {
		fputs(k ? "," : "", stdout);
		json_string(i->argv[k]);
	}
	printf("]}");
}

static void text_exec(const conker_exec_info *i)
{
	char age[24];

	printf("%-6llu %-7u %-6s %-12s", (unsigned long long)i->id, i->pid,
	       age_text((int64_t)(i->age_us / 1000000), age, sizeof(age)), i->name ? i->name : "");
	for (size_t k = 0; i->argv && i->argv[k]; k++) {
		putchar(' ');
		print_clean(i->argv[k]);
	}
	putchar('\n');
}

static int on_exec(const conker_exec_info *i, void *user)
{
	struct ps *p = user;

	if (p->json) {
		fputs(p->count ? ",\n " : "", stdout);
		json_exec(i);
	} else {
		text_exec(i);
	}
	p->count++;
	return 0;
}

int cmd_ps(struct cli *c, int argc, char **argv)
{
	struct ps p = {0};
	struct usage u = {
		.operands = "BOX [OPTIONS]",
		.text = "Lists the commands that run in a box, whoever started them.",
		.group = {{ps_opts, countof(ps_opts), &p}},
		.operands_min = 1,
		.operands_max = 1,
		.command_after = -1,
	};
	conker_box *b;
	int status;

	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	if (conker_box_open(argv[0], &b) < 0)
		return fail_lib();
	if (p.json)
		putchar('[');
	else
		printf("%-6s %-7s %-6s %-12s %s\n", "EXEC", "PID", "AGE", "NAME", "COMMAND");
	int r = conker_exec_list(b, on_exec, &p);
	status = r < 0 ? fail_lib() : 0;
	conker_box_free(b);
	if (status)
		return status;
	if (p.json)
		puts("]");
	return finish_output();
}

/* ---- conker kill --------------------------------------------------------------------------------- */

struct kill_args {
	int signo, group, all;
};

static const struct opt kill_opts[] = {
	{"signal", 's', OPT_SIGNAL, offsetof(struct kill_args, signo), "SIGNAL",
	 "by name or number (TERM)"},
	{"group", 0, OPT_FLAG, offsetof(struct kill_args, group), NULL, "to its process group"},
	{"all", 0, OPT_FLAG, offsetof(struct kill_args, all), NULL, "to everything it started"},
};

int cmd_kill(struct cli *c, int argc, char **argv)
{
	struct kill_args a = {.signo = SIGTERM};
	struct usage u = {
		.operands = "[OPTIONS] BOX EXEC",
		.text = "Sends a signal to a command in a box, found by its number or name (see "
			"conker ps).",
		.group = {{kill_opts, countof(kill_opts), &a}},
		.operands_min = 2,
		.operands_max = 2,
		.command_after = -1,
	};
	conker_box *b;
	int status;

	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	if (a.group && a.all)
		return fail_usage(c, "--group and --all exclude each other");
	if (conker_box_open(argv[0], &b) < 0)
		return fail_lib();
	int scope = a.all ? CONKER_KILL_ALL : a.group ? CONKER_KILL_GROUP : CONKER_KILL_PROCESS;
	status = conker_box_kill(b, argv[1], a.signo, scope) < 0 ? fail_lib() : 0;
	conker_box_free(b);
	return status;
}
