/* cmd_logs.c - conker logs: the console of a box.
 *
 * What a guest prints is its own business until it reaches our terminal, where it could forge or hide
 * output: there all control characters but newline and tab become '?'. A file or pipe gets the bytes.
 */
#include "tools/cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "util/cleanup.h"

enum { LOOK_MS = 500 }; /* how often to see whether the box has ended */

struct logs_args {
	int follow;
};

static const struct opt own_opts[] = {
	{"follow", 'f', OPT_FLAG, offsetof(struct logs_args, follow), NULL,
	 "go on until the box ends"},
};

static void clean(char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)buf[i] < 0x20 && !strchr("\n\t\r", buf[i])) || buf[i] == 0x7f ||
		    !buf[i])
			buf[i] = '?';
}

/* Copies what there is. 0, or an exit status. */
static int copy(int fd)
{
	int terminal = isatty(STDOUT_FILENO);
	char buf[8192];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		if (terminal)
			clean(buf, (size_t)n);
		fwrite(buf, 1, (size_t)n, stdout);
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

static int follow(const char *box, int fd)
{
	auto_close int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct pollfd p = {.fd = watch, .events = POLLIN};
	char path[32], events[4096];
	int status = 0;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (watch < 0 || inotify_add_watch(watch, path, IN_MODIFY) < 0)
		return fail("watch the console: %s", strerror(errno));
	while (status == 0) {
		int ended = has_ended(box); /* before the last copy, which then has everything */

		status = copy(fd);
		if (ended || signals_caught())
			break;
		(void)poll(&p, 1, LOOK_MS);
		while (read(watch, events, sizeof(events)) > 0)
			;
	}
	return signals_caught() ? exit_by_signal(signals_caught()) : status;
}

int cmd_logs(struct cli *c, int argc, char **argv)
{
	struct logs_args a = {0};
	struct usage u = {
		.operands = "[OPTIONS] BOX",
		.text = "Prints the newest part of a box's console: its kernel's messages.",
		.group = {{own_opts, countof(own_opts), &a}},
		.operands_min = 1,
		.operands_max = 1,
		.command_after = -1,
	};
	int status;

	if (opts_parse(c, &u, argc, argv, &status) < 0)
		return status;
	auto_close int fd = conker_box_console(argv[0]);
	if (fd < 0)
		return fail_lib();
	signals_init();
	return a.follow ? follow(argv[0], fd) : copy(fd);
}
