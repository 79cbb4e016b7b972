/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_doctor.c - conker doctor: what this host can do, and what to do about it. */
#include "tools/cli/cli.h"

struct doctor {
	int json;
	int count;
};

static const struct opt own_opts[] = {
	{"json", 0, OPT_FLAG, offsetof(struct doctor, json), NULL,
	 "for programs: an array of objects"},
};

static const char *verdict_name(enum conker_check v)
{
	static const char *const names[] = {
		[CONKER_CHECK_OK] = "ok",
		[CONKER_CHECK_SLOW] = "slow",
		[CONKER_CHECK_MISSING] = "MISSING",
		[CONKER_CHECK_WEAK] = "weak",
	};

	return names[v];
}

static void on_check(enum conker_check v, const char *what, const char *found, const char *advice,
		     void *user)
{
	struct doctor *d = user;

	if (d->json) {
		printf("%s{\"verdict\":\"%s\",\"what\":", d->count ? ",\n " : "",
		       v == CONKER_CHECK_MISSING ? "missing" : verdict_name(v));
		json_string(what);
		printf(",\"found\":");
		json_string(found);
		printf(",\"advice\":");
		json_string(advice);
		printf("}");
	} else {
		printf("%-8s %-22s ", verdict_name(v), what);
		print_clean(found);
		if (*advice)
			printf("\n%-8s %-22s -> %s", "", "", advice);
		putchar('\n');
	}
	d->count++;
}

int cmd_doctor(struct cli *c, int argc, char **argv)
{
	struct doctor d = {0};
	struct usage u = {
		.operands = "[OPTIONS]",
		.text = "Tries what conker needs of this host, and which layers of isolation it "
			"offers. The exit status is 1 when "
			"something is missing.",
		.group = {{own_opts, countof(own_opts), &d}},
		.command_after = -1,
	};
	int status;

	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	if (d.json)
		putchar('[');
	int r = conker_doctor(on_check, &d);
	if (r < 0)
		return fail_lib();
	if (d.json)
		puts("]");
	status = finish_output();
	return status ? status : r > 0;
}
