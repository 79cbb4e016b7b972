/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_logs.c - conker logs: what an execution has said (execlogs.c), or the console of a box.
 *
 * What a guest prints is its own business until it reaches our terminal, where it could forge or
 * hide output: there it is made fit (util/clean.h), but for newlines and tabs. A file or pipe gets
 * the bytes.
 */
#include "tools/cli/logs.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "util/clean.h"
#include "util/cleanup.h"

enum { LOOK_MS = 500 }; /* how often to see whether the box has ended */

struct console {
	int fd;
	size_t held; /* at the front of buf: the beginning of a character */
	char buf[8192];
};

#define AT(field) offsetof(struct logs_args, field)

static const struct opt own_opts[] = {
	{"follow", 'f', OPT_FLAG, AT(follow), NULL, "go on until it ends"},
	{"stdout", 0, OPT_FLAG, AT(only_stdout), NULL, "its stdout only"},
	{"stderr", 0, OPT_FLAG, AT(only_stderr), NULL, "its stderr only"},
	{"tags", 0, OPT_FLAG, AT(tags), NULL, "lines that begin with stdout: or stderr:"},
	{"timestamps", 't', OPT_FLAG, AT(timestamps), NULL, "lines that begin with their time"},
	{"from", 0, OPT_OFFSETS, AT(from), "OFFSET[:ERR]",
	 "begin at that byte of stdout [and of stderr]"},
	{"tail", 0, OPT_BYTES, AT(tail_bytes), "SIZE", "begin at most that far before the end"},
	{"json", 0, OPT_FLAG, AT(json), NULL, "for programs: an object per line of output"},
};

/* Copies what there is. A character that is not there as a whole yet waits in *k. 0, or an exit
 * status. */
static int copy(struct console *k)
{
	int terminal = isatty(STDOUT_FILENO);
	ssize_t n;

	while ((n = read(k->fd, k->buf + k->held, sizeof(k->buf) - k->held)) > 0) {
		size_t len = k->held + (size_t)n;
		size_t fit = terminal ? clean_piece(k->buf, len, "\n\t\r", 1) : len;

		fwrite(k->buf, 1, fit, stdout);
		k->held = len - fit;
		memmove(k->buf, k->buf + fit, k->held);
	}
	if (n < 0)
		return fail("read the console: %s", strerror(errno));
	return finish_output();
}

static int has_ended(const char *box)
{
	conker_box_info i = {.size = sizeof(i)};

	return conker_box_lookup(box, &i) < 0 ||
	       (i.state != CONKER_BOX_RUNNING && i.state != CONKER_BOX_STARTING);
}

static int follow(const char *box, struct console *k)
{
	auto_close int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct pollfd p = {.fd = watch, .events = POLLIN};
	char path[32], events[4096];
	int status = 0;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", k->fd);
	if (watch < 0 || inotify_add_watch(watch, path, IN_MODIFY) < 0)
		return fail("watch the console: %s", strerror(errno));
	while (status == 0) {
		int ended = has_ended(box); /* before the last copy, which then has everything */

		status = copy(k);
		if (ended || signals_caught())
			break;
		(void)poll(&p, 1, LOOK_MS);
		while (read(watch, events, sizeof(events)) > 0)
			;
	}
	return signals_caught() ? exit_by_signal(signals_caught()) : status;
}

static int console(const char *box, int want_follow)
{
	auto_close int fd = conker_box_console(box);
	struct console k = {.fd = fd};

	if (fd < 0)
		return fail_lib();
	return want_follow ? follow(box, &k) : copy(&k);
}

static int logs_check(const struct cli *c, const struct logs_args *a, int n)
{
	if (n == 1 && (a->only_stdout || a->only_stderr || a->tags || a->timestamps || a->json ||
		       a->from.given || a->tail_bytes))
		return fail_usage(c, "a box's console has --follow only; which EXEC?");
	if (a->only_stdout && a->only_stderr)
		return fail_usage(c, "--stdout and --stderr exclude each other");
	return a->from.given && a->tail_bytes
		       ? fail_usage(c, "--from and --tail exclude each other")
		       : 0;
}

int cmd_logs(struct cli *c, int argc, char **argv)
{
	struct logs_args a = {0};
	struct usage u = {
		.operands = "[OPTIONS] BOX [EXEC]",
		.text = "Prints what an execution has said, as far as the box keeps it (a number, "
			"a name or\n"
			"\"key:KEY\"); without EXEC the newest part of the box's console: its "
			"kernel's messages.",
		.group = {{own_opts, countof(own_opts), &a}},
		.operands_min = 1,
		.operands_max = 2,
		.command_after = -1,
	};
	int status, n = opts_parse(c, &u, argc, argv, &status);

	if (n < 0)
		return status;
	status = logs_check(c, &a, n);
	if (status)
		return status;
	signals_init();
	return n == 1 ? console(argv[0], a.follow) : logs_exec(argv[0], argv[1], &a);
}
