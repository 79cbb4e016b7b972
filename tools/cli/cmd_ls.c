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

static void json_box(const conker_box_info *i)
{
	printf("{\"name\":");
	json_string(i->name);
	printf(",\"id\":\"%s\",\"state\":\"%s\",\"reason\":", i->id, state_name(i->state));
	json_string(i->reason);
	printf(",\"image\":");
	json_string(i->image);
	printf(",\"memory_mib\":%u,\"cpus\":%u,\"vmm_pid\":%d,\"created\":%lld,\"setup_us\":%llu,"
	       "\"boot_us\":%llu}",
	       i->memory_mib, i->cpus, i->vmm_pid, (long long)i->created_s,
	       (unsigned long long)i->setup_us, (unsigned long long)i->boot_us);
}

static void text_box(const conker_box_info *i)
{
	char age[24];

	printf("%-20s %-9s %-12s %4u %7u %6s %8d  ", i->name, state_name(i->state), i->image,
	       i->cpus, i->memory_mib, age_text(time(NULL) - i->created_s, age, sizeof(age)),
	       i->vmm_pid);
	print_clean(i->reason);
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
		printf("%-20s %-9s %-12s %4s %7s %6s %8s\n", "NAME", "STATE", "IMAGE", "CPUS",
		       "MIB", "AGE", "PID");
	if (conker_box_list(on_box, &l) < 0)
		return fail_lib();
	if (l.json)
		puts("]");
	return finish_output();
}

/* ---- conker info --------------------------------------------------------------------------------- */

static const struct opt info_opts[] = {
	{"json", 0, OPT_FLAG, offsetof(struct ls, json), NULL, "for programs: an object"},
};

static void text_info(const conker_box_info *i)
{
	time_t created = (time_t)i->created_s;
	char when[64] = "?";
	struct tm tm;

	if (localtime_r(&created, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	printf("name     %s\nid       %s\nstate    %s\n", i->name, i->id, state_name(i->state));
	if (*i->reason) {
		printf("reason   ");
		print_clean(i->reason);
		putchar('\n');
	}
	printf("image    %s\nmemory   %u MiB\ncpus     %u\ncreated  %s\n", i->image, i->memory_mib,
	       i->cpus, when);
	if (i->vmm_pid)
		printf("pid      %d\n", i->vmm_pid);
	printf("set-up   %.1f ms\nboot     %.1f ms\n", (double)i->setup_us / 1000,
	       (double)i->boot_us / 1000);
}

int cmd_info(struct cli *c, int argc, char **argv)
{
	conker_box_info info = {.size = sizeof(info)};
	struct ls l = {0};
	struct usage u = {
		.operands = "BOX [OPTIONS]",
		.text = "What is known of a box, also of one that has ended.",
		.group = {{info_opts, countof(info_opts), &l}},
		.operands_min = 1,
		.operands_max = 1,
		.command_after = -1,
	};
	int status;

	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	if (conker_box_lookup(argv[0], &info) < 0)
		return fail_lib();
	if (l.json) {
		json_box(&info);
		putchar('\n');
	} else {
		text_info(&info);
	}
	return finish_output();
}
