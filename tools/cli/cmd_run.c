/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_run.c - conker run: create, run, tear down. The exit status is the command's. */
#include "tools/cli/cli.h"

#include <stdlib.h>
#include <string.h>

struct run_args {
	struct box_args box;
	struct exec_args exec;
	int keep, timing;
};

static const struct opt own_opts[] = {
	{"name", 'n', OPT_STRING, offsetof(struct run_args, box.name), "NAME", "the box's name"},
	{"keep", 0, OPT_FLAG, offsetof(struct run_args, keep), NULL,
	 "leave the box running afterwards"},
	{"idle-suspend", 0, OPT_SECONDS, offsetof(struct run_args, box.idle_suspend_ms), "SECONDS",
	 "with --keep: suspend it when nobody has used it for that long"},
	{"entrypoint", 0, OPT_TEXT, offsetof(struct run_args, exec.entrypoint), "PROGRAM",
	 "in place of the image's; '': none"},
	{"timing", 0, OPT_FLAG, offsetof(struct run_args, timing), NULL,
	 "say at the end where the time went"},
};

static void timing_line(const char *what, int64_t us, const char *comment)
{
	fprintf(stderr, "  %-10s %9.1f ms   %s\n", what, (double)us / 1000, comment);
}

static void print_timing(const struct cli *c, const conker_box_info *info, const struct session *s)
{
	int64_t end_us = now_us(), ready_us = s->started_us - c->start_us;
	int64_t setup_us = (int64_t)info->setup_us, boot_us = (int64_t)info->boot_us;
	int64_t template_us = (int64_t)info->template_us;
	char inside[96];

	(void)snprintf(inside, sizeof(inside),
		       "the command itself: %.1f ms, %.1f user, %.1f system",
		       (double)s->result.duration_us / 1000, (double)s->result.user_us / 1000,
		       (double)s->result.sys_us / 1000);
	fprintf(stderr, "\nwhere the time went:\n");
	if (template_us)
		timing_line("template", template_us, "booting a box to begin with, this once");
	timing_line("start", ready_us - setup_us - boot_us - template_us,
		    "conker, and starting its VMM");
	timing_line("set-up", setup_us, "the VMM, to the first guest instruction");
	timing_line("boot", boot_us, "the guest, until it takes commands");
	timing_line("exec", s->ended_us - s->started_us, inside);
	timing_line("tear-down", end_us - s->ended_us, "");
	timing_line("total", end_us - c->start_us, "");
}

static int run(const struct cli *c, const struct run_args *a, const struct exec_plan *plan)
{
	conker_box_info info = {.size = sizeof(info)};
	struct session s;
	conker_box *b;
	int status = box_pull(c, &a->box);

	if (status)
		return status;
	if (box_create(c, &a->box, a->keep ? CONKER_BOX_DETACHED : 0, &b) < 0)
		return fail_lib();
	session_run(&s, b, plan, a->exec.detach_keys, a->keep ? SESSION_KILL : 0);
	(void)conker_box_info_get(b, &info);
	conker_box_free(b);
	if (a->keep && !a->box.name)
		note("the box is kept: %s", info.name);
	if (a->timing && s.end == SESSION_EXITED)
		print_timing(c, &info, &s);
	return s.status;
}

int cmd_run(struct cli *c, int argc, char **argv)
{
	struct run_args a = {.exec.is_run = 1}; /* no keys to detach: the box ends with us */
	struct exec_plan plan;
	struct usage u = {
		.operands = "[OPTIONS] [--] [CMD [ARG...]]",
		.text = "Starts a box, runs the command in it and ends the box. Without a command "
			"it is "
			"the image's; an\n"
			"entrypoint of the image comes before the command. The exit status is the "
			"command's;\n"
			"124: timed out, 125: conker failed, 126: cannot be executed, 127: not "
			"found,\n"
			"128+N: ended by signal N.",
		.group = {{own_opts, countof(own_opts), &a},
			  {exec_opt_table, exec_opt_count, &a.exec},
			  {limit_opt_table, limit_opt_count, &a.exec},
			  {box_opt_table, box_opt_count, &a.box},
			  {life_opt_table, life_opt_count - 1, &a.box}},
		.operands_max = -1,
	};
	int status, n = opts_parse(c, &u, argc, argv, &status);

	if (n >= 0 && a.box.idle_suspend_ms && !a.keep) {
		status = fail_usage(c, "--idle-suspend: the box ends with the command, unless "
				       "there is --keep");
	} else if (n >= 0) {
		a.box.verbose = a.exec.verbose;
		status = exec_plan_init(&plan, c, &a.exec, n, argv);
		if (status == 0) {
			signals_init();
			status = run(c, &a, &plan);
			exec_plan_fini(&plan);
		}
	}
	free(a.box.disks.v);
	exec_args_fini(&a.exec);
	return status;
}
