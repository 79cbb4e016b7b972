/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_attach.c - conker attach: join an execution, whoever started it. */
#include "tools/cli/cli.h"

#include <errno.h>

struct attach_args {
	int interactive, no_replay, no_stdout, no_stderr, lossless, forward;
	struct offsets from;
	uint64_t tail_bytes;
	struct keys detach_keys;
};

#define AT(field) offsetof(struct attach_args, field)

static const struct opt own_opts[] = {
	{"interactive", 'i', OPT_FLAG, AT(interactive), NULL, "pass our standard input to it"},
	{"no-replay", 0, OPT_FLAG, AT(no_replay), NULL, "only what it says from now on"},
	{"from", 0, OPT_OFFSETS, AT(from), "OFFSET[:ERR]",
	 "begin at that byte of stdout [and stderr]"},
	{"tail", 0, OPT_BYTES, AT(tail_bytes), "SIZE", "begin at most that far before the end"},
	{"no-stdout", 0, OPT_FLAG, AT(no_stdout), NULL, "leave its stdout out"},
	{"no-stderr", 0, OPT_FLAG, AT(no_stderr), NULL, "leave its stderr out"},
	{"lossless", 0, OPT_FLAG, AT(lossless), NULL, "it waits for us when we are slow"},
	{"sig-proxy", 0, OPT_FLAG, AT(forward), NULL, "Ctrl-C and the like go to it, not to us"},
	{"detach-keys", 0, OPT_KEYS, AT(detach_keys), "KEYS",
	 "with -i, on a terminal: leave (ctrl-p,ctrl-q)"},
};

static conker_view_opts view_opts(const struct attach_args *a, const conker_exec_info *i)
{
	return (conker_view_opts){
		.size = sizeof(conker_view_opts),
		.flags = CONKER_VIEW_FOLLOW | (a->interactive ? CONKER_VIEW_STDIN : 0U) |
			 (a->no_stdout ? CONKER_VIEW_NO_STDOUT : 0U) |
			 (a->no_stderr ? CONKER_VIEW_NO_STDERR : 0U) |
			 (a->lossless ? CONKER_VIEW_LOSSLESS : 0U),
		.stdout_from = a->no_replay ? i->stdout_bytes : a->from.out,
		.stderr_from = a->no_replay ? i->stderr_bytes : a->from.err,
		.tail_bytes = (uint32_t)min_(a->tail_bytes, (uint64_t)UINT32_MAX),
	};
}

static int attach(const char *box, const char *exec, const struct attach_args *a)
{
	const conker_exec_ref ref = exec_ref_of(exec);
	conker_exec_info *info = NULL;
	struct session s;
	conker_box *b = NULL;

	signals_init();
	if (over_again(conker_box_open(box, &b)) < 0)
		return fail_lib();
	if (over_again(conker_exec_lookup(b, &ref, 0, &info)) < 0 || !info) {
		s.status = fail_lib();
	} else {
		const struct session_view v = {
			.exec = ref, .opts = view_opts(a, info), .tty = info->tty};
		if (a->interactive && !info->stdin_writable)
			fail("box '%s': execution %llu takes no input; what comes on ours is "
			     "dropped",
			     box, (unsigned long long)info->id);
		session_attach(&s, b, &v, a->detach_keys, a->forward ? SESSION_FORWARD : 0);
		conker_exec_info_free(info);
	}
	conker_box_free(b);
	return s.status;
}

int cmd_attach(struct cli *c, int argc, char **argv)
{
	struct attach_args a = {.detach_keys = DETACH_KEYS};
	struct usage u = {
		.operands = "[OPTIONS] BOX EXEC",
		.text = "Shows what an execution has said, as far as the box keeps it, and goes on "
			"until it ends, with\n"
			"its exit status. Ctrl-C leaves it alone. EXEC is a number, a name or "
			"\"key:KEY\".",
		.group = {{own_opts, countof(own_opts), &a}},
		.operands_min = 2,
		.operands_max = 2,
		.command_after = -1,
	};
	int status;

	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	if (a.no_replay + a.from.given + !!a.tail_bytes > 1)
		return fail_usage(c, "--no-replay, --from and --tail exclude each other");
	return attach(argv[0], argv[1], &a);
}
