/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_info.c - conker info: all that is known of a box, or of one execution of it. */
#include "tools/cli/cli.h"

#include <errno.h>
#include <time.h>

struct info_args {
	int json;
};

static const struct opt own_opts[] = {
	{"json", 0, OPT_FLAG, offsetof(struct info_args, json), NULL, "for programs: an object"},
};

static void text_line(const char *what, const char *value)
{
	printf("%s", what);
	print_clean(value);
	putchar('\n');
}

/* ---- a box --------------------------------------------------------------------------------------- */

static const char *local_time(int64_t unix_s, char *buf, size_t size)
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm))
		(void)snprintf(buf, size, "?");
	return buf;
}

static void text_life(const conker_box_info *i)
{
	if (i->max_life_ms)
		printf("life     ends after %.1f s\n", (double)i->max_life_ms / 1000);
	if (i->idle_timeout_ms)
		printf("idle     ends after %.1f s\n", (double)i->idle_timeout_ms / 1000);
	if (i->idle_suspend_ms)
		printf("idle     suspends itself after %.1f s\n",
		       (double)i->idle_suspend_ms / 1000);
}

static void text_box(const conker_box_info *i)
{
	char when[64], size[24];

	text_line("name     ", i->name);
	text_line("id       ", i->id);
	text_line("state    ", state_name(i->state));
	if (*i->reason)
		text_line("reason   ", i->reason);
	text_line("image    ", i->image);
	printf("memory   %u MiB\ncpus     %u\ncreated  %s\n", i->memory_mib, i->cpus,
	       local_time(i->created_s, when, sizeof(when)));
	if (*i->from)
		text_line("from     ", i->from);
	text_life(i);
	if (i->state == CONKER_BOX_SUSPENDED) {
		printf("since    %s\non disk  %s\n", local_time(i->suspended_s, when, sizeof(when)),
		       size_text(i->suspended_bytes, size, sizeof(size)));
		return; /* the rest is of a process */
	}
	if (i->vmm_pid)
		printf("pid      %d\n", i->vmm_pid);
	text_line(*i->unjailed ? "jail     lacks " : "jail     complete", i->unjailed);
	text_line("cgroup   ", i->cgroup);
	printf("set-up   %.1f ms\nboot     %.1f ms\n", (double)i->setup_us / 1000,
	       (double)i->boot_us / 1000);
}

static int box_info(const char *box, const struct info_args *a)
{
	conker_box_info info = {.size = sizeof(info)};

	if (conker_box_lookup(box, &info) < 0)
		return fail_lib();
	if (a->json) {
		json_box(&info);
		putchar('\n');
	} else {
		text_box(&info);
	}
	return finish_output();
}

/* ---- an execution -------------------------------------------------------------------------------- */

static void text_flags(const conker_exec_info *i)
{
	printf("%s%s%s%s\n", i->tty ? "tty " : "", i->stdin_writable ? "stdin " : "",
	       i->detached ? "detached " : "", i->keep_alive ? "keep-alive" : "");
}

static void text_stream(const char *name, uint64_t bytes, uint64_t from)
{
	printf("%-9s %llu bytes, kept from %llu\n", name, (unsigned long long)bytes,
	       (unsigned long long)from);
}

static void text_end(const conker_exec_info *i)
{
	const conker_status *st = &i->status;
	char when[64];

	if (i->ended_us)
		printf("ended     %s, after %.3f s\n", time_text(i->ended_us, when, sizeof(when)),
		       (double)st->duration_us / 1e6);
	if (st->state == CONKER_EXEC_RUNNING)
		return; /* has not ended */
	printf("status    %d\n", exit_status_of(st));
	printf("rusage    %.3f s user, %.3f s system, %llu KiB\n", (double)st->user_us / 1e6,
	       (double)st->sys_us / 1e6, (unsigned long long)st->max_rss_kib);
}

static void text_usage(const conker_usage *u)
{
	char now[24], peak[24];

	printf("cpu       %.3f s user, %.3f s system, %.3f s throttled\n", (double)u->user_us / 1e6,
	       (double)u->sys_us / 1e6, (double)u->throttled_us / 1e6);
	printf("memory    %s, at most %s; %u out-of-memory kills\n",
	       size_text(u->memory_bytes, now, sizeof(now)),
	       size_text(u->memory_peak_bytes, peak, sizeof(peak)), u->oom_kills);
	printf("processes %u, at most %u\n", u->pids, u->pids_peak);
}

static void text_exec(const conker_exec_info *i)
{
	char when[64], state[32];

	printf("id        %llu\n", (unsigned long long)i->id);
	text_line("name      ", i->name ? i->name : "");
	text_line("key       ", i->key ? i->key : "");
	printf("command   ");
	print_argv(i->argv);
	printf("\nstate     %s\npid       %d\nstarted   %s\n",
	       exec_state_text(i->state, &i->status, state, sizeof(state)), i->pid,
	       time_text(i->started_us, when, sizeof(when)));
	text_end(i);
	printf("restarts  %u\nviews     %u\nflags     ", i->restarts, i->views);
	text_flags(i);
	text_stream("stdout", i->stdout_bytes, i->stdout_from);
	text_stream("stderr", i->stderr_bytes, i->stderr_from);
	text_usage(&i->usage);
}

static void print_exec(const conker_exec_info *i, const struct info_args *a)
{
	if (a->json) {
		json_exec(i, 1);
		putchar('\n');
	} else {
		text_exec(i);
	}
}

static int exec_info(const char *box, const char *exec, const struct info_args *a)
{
	const conker_exec_ref ref = exec_ref_of(exec);
	conker_exec_info *info = NULL;
	conker_box *b = NULL;

	if (over_again(conker_box_open(box, &b)) < 0)
		return fail_lib();
	int r = over_again(conker_exec_lookup(b, &ref, CONKER_LIST_USAGE, &info));
	if (info)
		print_exec(info, a);
	int status = r < 0 ? fail_lib() : finish_output();
	conker_exec_info_free(info);
	conker_box_free(b);
	return status;
}

int cmd_info(struct cli *c, int argc, char **argv)
{
	struct info_args a = {0};
	struct usage u = {
		.operands = "BOX [EXEC] [OPTIONS]",
		.text = "What is known of a box, also of one that has ended; or of one execution "
			"of it, running or\n"
			"ended: a number, a name or \"key:KEY\".",
		.group = {{own_opts, countof(own_opts), &a}},
		.operands_min = 1,
		.operands_max = 2,
		.command_after = -1,
	};
	int status, n = opts_parse(c, &u, argc, argv, &status);

	if (n < 0)
		return status;
	return n == 1 ? box_info(argv[0], &a) : exec_info(argv[0], argv[1], &a);
}
