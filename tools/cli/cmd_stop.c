/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_stop.c - conker stop and conker rm: the ends of boxes. */
#include "tools/cli/cli.h"

#include <errno.h>

struct stop_args {
	int timeout_ms;
};

static const struct opt stop_opts[] = {
	{"timeout", 0, OPT_SECONDS, offsetof(struct stop_args, timeout_ms), "SECONDS",
	 "then end it the hard way (5), within two more"},
};

/* 0 or 1, or what conker_box_stop() says. */
static int stop_once(const char *name, int timeout_ms)
{
	conker_box *b;
	int r = over_again(conker_box_open_now(name, &b));

	if (r == -ESHUTDOWN)
		return 0; /* it has ended: nothing to do */
	if (r < 0)
		return fail_lib();
	r = over_again(conker_box_stop(b, timeout_ms));
	if (r < 0 && r != -ERESTART)
		r = fail_lib();
	conker_box_free(b);
	return r;
}

/* A box may suspend itself just then: it is resumed, and ends in order. */
static int stop(const char *name, int timeout_ms)
{
	enum { TRIES = 4 };
	int r = -ERESTART;

	for (int i = 0; i < TRIES && r == -ERESTART && !signals_caught(); i++)
		r = stop_once(name, timeout_ms);
	return r == -ERESTART ? fail("box '%s' suspends itself all the time", name) : r;
}

int cmd_stop(struct cli *c, int argc, char **argv)
{
	struct stop_args a = {.timeout_ms = CONKER_STOP_DEFAULT_MS};
	struct usage u = {
		.operands = "[OPTIONS] BOX...",
		.text = "Asks the guests to end everything and power off. The boxes stay listed "
			"(conker ls --all)\n"
			"with their consoles until they are removed.",
		.group = {{stop_opts, countof(stop_opts), &a}},
		.operands_min = 1,
		.operands_max = -1,
		.command_after = -1,
	};
	int status, n = opts_parse(c, &u, argc, argv, &status);

	for (int i = 0; i < n; i++)
		status |= stop(argv[i], a.timeout_ms);
	return status;
}

/* ---- conker rm ----------------------------------------------------------------------------------- */

struct rm_args {
	int force;
};

static const struct opt rm_opts[] = {
	{"force", 'f', OPT_FLAG, offsetof(struct rm_args, force), NULL,
	 "also one that runs, which ends first, or is suspended"},
};

int cmd_rm(struct cli *c, int argc, char **argv)
{
	struct rm_args a = {0};
	struct usage u = {
		.operands = "[OPTIONS] BOX...",
		.text = "Forgets boxes that have ended, with their consoles. A suspended box has "
			"not: it is\n"
			"removed, with its memory and files, by --force only.",
		.group = {{rm_opts, countof(rm_opts), &a}},
		.operands_min = 1,
		.operands_max = -1,
		.command_after = -1,
	};
	int status, n = opts_parse(c, &u, argc, argv, &status);

	for (int i = 0; i < n; i++)
		if (conker_box_remove(argv[i], a.force ? CONKER_RM_FORCE : 0) < 0)
			status = fail_lib();
	return status;
}
