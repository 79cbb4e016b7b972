/* SPDX-License-Identifier: Apache-2.0 */
/* term.c - the terminal around an interactive command.
 *
 * Raw mode is ours only while we are in the foreground: from the background we would be stopped for
 * touching it, and would spoil the shell's own mode. What a crash handler needs are the only globals.
 */
#include "tools/cli/cli.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static volatile sig_atomic_t is_raw;

static int is_ours(void)
{
	pid_t foreground = tcgetpgrp(STDIN_FILENO);

	return foreground < 0 || foreground == getpgrp(); /* < 0: not our controlling terminal */
}

static void on_crash(int signo)
{
	term_restore();
	(void)raise(signo); /* SA_RESETHAND: ends us now */
}

static void catch_crashes(void)
{
	static const int crashes[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	struct sigaction sa = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND};

	for (size_t i = 0; i < countof(crashes); i++)
		sigaction(crashes[i], &sa, NULL);
}

int term_raw(void)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO) || (!is_raw && tcgetattr(STDIN_FILENO, &before) < 0))
		return 0;
	if (!is_raw)
		catch_crashes();
	raw = before;
	cfmakeraw(&raw);
	is_raw = 1; /* first: a signal in between must find it so */
	/* Not TCSADRAIN, here and below: a terminal that nobody reads would hold us up for ever. */
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	return 1;
}

void term_restore(void)
{
	if (is_raw && is_ours())
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
	is_raw = 0;
}

void term_size(uint16_t *rows, uint16_t *cols)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		struct winsize w;

		if (ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_row && w.ws_col) {
			*rows = w.ws_row;
			*cols = w.ws_col;
			return;
		}
	}
}
