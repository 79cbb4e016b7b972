/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_stats.c - conker stats: what a box uses and has done. */
#include "tools/cli/cli.h"

#include <errno.h>

struct stats_args {
	int json;
};

static const struct opt own_opts[] = {
	{"json", 0, OPT_FLAG, offsetof(struct stats_args, json), NULL, "for programs: an object"},
};

static void json_stats(const conker_box_stats *s)
{
	printf("{\"uptime_us\":%llu,\"idle_us\":%llu,\"running\":%u,\"kept\":%u,\"started\":%llu,"
	       "\"clients\":%u,\"forwards\":%u,\"memory_total_bytes\":%llu,\"refused_frames\":%llu,"
	       "\"dropped_bytes\":%llu,\"init_rss_kib\":%llu,\"init_fds\":%u,\"usage\":",
	       (unsigned long long)s->uptime_us, (unsigned long long)s->idle_us, s->running,
	       s->kept, (unsigned long long)s->started, s->clients, s->forwards,
	       (unsigned long long)s->memory_total_bytes, (unsigned long long)s->refused_frames,
	       (unsigned long long)s->dropped_bytes, (unsigned long long)s->init_rss_kib,
	       s->init_fds);
	json_usage(&s->usage);
	puts("}");
}

static void text_stats(const conker_box_stats *s)
{
	char up[24], idle[24], now[24], peak[24], total[24], rss[24];
	const conker_usage *u = &s->usage;

	printf("up          %s, idle for %s\n",
	       age_text((int64_t)(s->uptime_us / 1000000), up, sizeof(up)),
	       age_text((int64_t)(s->idle_us / 1000000), idle, sizeof(idle)));
	printf("executions  %u running, %u kept, %llu ever\n", s->running, s->kept,
	       (unsigned long long)s->started);
	printf("clients     %u, forwarded connections %u\n", s->clients, s->forwards);
	printf("cpu         %.2f s user, %.2f s system, %.2f s throttled\n",
	       (double)u->user_us / 1e6, (double)u->sys_us / 1e6, (double)u->throttled_us / 1e6);
	printf("memory      %s, at most %s, of %s; %u out-of-memory kills\n",
	       size_text(u->memory_bytes, now, sizeof(now)),
	       size_text(u->memory_peak_bytes, peak, sizeof(peak)),
	       size_text(s->memory_total_bytes, total, sizeof(total)), u->oom_kills);
	printf("processes   %u, at most %u\n", u->pids, u->pids_peak);
	printf("init        %s, %u descriptors, %llu frames refused, %llu bytes of output "
	       "dropped\n",
	       size_text(s->init_rss_kib << 10, rss, sizeof(rss)), s->init_fds,
	       (unsigned long long)s->refused_frames, (unsigned long long)s->dropped_bytes);
}

int cmd_stats(struct cli *c, int argc, char **argv)
{
	conker_box_stats s = {.size = sizeof(s)};
	struct stats_args a = {0};
	struct usage u = {
		.operands = "BOX [OPTIONS]",
		.text = "What a box uses now and has done so far.",
		.group = {{own_opts, countof(own_opts), &a}},
		.operands_min = 1,
		.operands_max = 1,
		.command_after = -1,
	};
	conker_box *b;
	int status;

	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	if (over_again(conker_box_open(argv[0], &b)) < 0)
		return fail_lib();
	status = over_again(conker_box_stats_get(b, &s)) < 0 ? fail_lib() : 0;
	conker_box_free(b);
	if (status)
		return status;
	if (a.json)
		json_stats(&s);
	else
		text_stats(&s);
	return finish_output();
}
