/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_template.c - conker template: what --warm has made. */
#include "tools/cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct template_ls {
	int json;
	int count;
};

static void print_json(const conker_template_info *i, int first)
{
	fputs(first ? "{\"name\":" : ",\n {\"name\":", stdout);
	json_string(i->name);
	fputs(",\"image\":", stdout);
	json_string(i->image);
	printf(",\"memory_mib\":%u,\"cpus\":%u,\"bytes\":%llu,\"created\":%lld,\"used\":%lld,"
	       "\"fits\":%s}",
	       i->memory_mib, i->cpus, (unsigned long long)i->bytes, (long long)i->created_s,
	       (long long)i->used_s, i->fits ? "true" : "false");
}

static void print_row(const conker_template_info *i)
{
	char age[24];

	printf("%s %-16s %7u %4u %8.1f %6s %s\n", i->name, i->image, i->memory_mib, i->cpus,
	       (double)i->bytes / (1 << 20), age_text(time(NULL) - i->used_s, age, sizeof(age)),
	       i->fits ? "yes" : "no");
}

static int on_template(const conker_template_info *i, void *user)
{
	struct template_ls *l = user;

	if (l->json)
		print_json(i, l->count == 0);
	else
		print_row(i);
	l->count++;
	return 0;
}

static int ls(struct cli *c, int argc, char **argv)
{
	static const struct opt opts[] = {
		{"json", 0, OPT_FLAG, offsetof(struct template_ls, json), NULL,
		 "for programs: an array of objects"},
	};
	struct template_ls l = {0};
	struct usage u = {
		.operands = "[OPTIONS]",
		.text = "FITS: whether a box can still begin with it. The one that was used last "
			"comes "
			"first.",
		.group = {{opts, countof(opts), &l}},
		.command_after = -1,
	};
	int status;

	c->command = "template ls";
	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	if (l.json)
		putchar('[');
	else
		printf("%-32s %-16s %7s %4s %8s %6s %s\n", "NAME", "IMAGE", "MEMORY", "CPUS", "MIB",
		       "USED", "FITS");
	if (conker_template_list(on_template, &l) < 0)
		return fail_lib();
	if (l.json)
		puts("]");
	return finish_output();
}

/* ---- rm ------------------------------------------------------------------------------------------------ */

struct template_rm {
	int all, unfit;
	char (*names)[40];
	size_t n;
};

static int note_name(const conker_template_info *i, void *user)
{
	struct template_rm *r = user;

	if (!r->all && i->fits)
		return 0;
	void *p = realloc(r->names, (r->n + 1) * sizeof(*r->names));
	if (!p)
		return fail("no memory");
	r->names = p;
	memcpy(r->names[r->n++], i->name, sizeof(*r->names));
	return 0;
}

static int rm_many(struct template_rm *r)
{
	int status = conker_template_list(note_name, r);

	if (status < 0)
		status = fail_lib();
	for (size_t i = 0; i < r->n; i++)
		if (conker_template_remove(r->names[i]) < 0)
			status = fail_lib();
	free(r->names);
	return status;
}

static int rm(struct cli *c, int argc, char **argv)
{
	static const struct opt opts[] = {
		{"all", 'a', OPT_FLAG, offsetof(struct template_rm, all), NULL, "all there are"},
		{"unfit", 0, OPT_FLAG, offsetof(struct template_rm, unfit), NULL,
		 "those that no longer fit"},
	};
	struct template_rm r = {0};
	struct usage u = {
		.operands = "[OPTIONS] [NAME...]",
		.text = "Removes templates. Boxes that began with them go on.",
		.group = {{opts, countof(opts), &r}},
		.operands_max = -1,
		.command_after = -1,
	};
	int status, n;

	c->command = "template rm";
	n = opts_parse(c, &u, argc, argv, &status);
	if (n < 0)
		return status;
	if ((n == 0) != (r.all || r.unfit))
		return fail_usage(c, "names, or --all, or --unfit");
	for (int i = 0; i < n; i++)
		if (conker_template_remove(argv[i]) < 0)
			status = fail_lib();
	return r.all || r.unfit ? rm_many(&r) : status;
}

int cmd_template(struct cli *c, int argc, char **argv)
{
	static const struct command table[] = {
		{"ls", ls, "list templates"},
		{"rm", rm, "remove templates"},
	};

	if (argc == 0)
		return fail_usage(c, "ls or rm?");
	if (argv[0][0] == '-') {
		struct usage u = {.operands = "ls|rm ...", .operands_min = 1, .command_after = -1};
		int status;

		return opts_parse(c, &u, argc, argv, &status) < 0 ? status : EXIT_CONKER;
	}
	int r = command_dispatch(c, table, countof(table), argc, argv);
	return r < 0 ? fail_usage(c, "no command '%s'; it is ls or rm", argv[0]) : r;
}
