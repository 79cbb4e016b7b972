/* SPDX-License-Identifier: Apache-2.0 */
/* signame.c - see signame.h. */
#include "util/signame.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "util/num.h"
#include "util/util.h"

static const char *const names[] = {
	[SIGHUP] = "HUP",   [SIGINT] = "INT",       [SIGQUIT] = "QUIT", [SIGILL] = "ILL",
	[SIGTRAP] = "TRAP", [SIGABRT] = "ABRT",     [SIGBUS] = "BUS",   [SIGFPE] = "FPE",
	[SIGKILL] = "KILL", [SIGUSR1] = "USR1",     [SIGSEGV] = "SEGV", [SIGUSR2] = "USR2",
	[SIGPIPE] = "PIPE", [SIGALRM] = "ALRM",     [SIGTERM] = "TERM", [SIGSTKFLT] = "STKFLT",
	[SIGCHLD] = "CHLD", [SIGCONT] = "CONT",     [SIGSTOP] = "STOP", [SIGTSTP] = "TSTP",
	[SIGTTIN] = "TTIN", [SIGTTOU] = "TTOU",     [SIGURG] = "URG",   [SIGXCPU] = "XCPU",
	[SIGXFSZ] = "XFSZ", [SIGVTALRM] = "VTALRM", [SIGPROF] = "PROF", [SIGWINCH] = "WINCH",
	[SIGPOLL] = "POLL", [SIGPWR] = "PWR",       [SIGSYS] = "SYS",
};

static const char realtime[][sizeof("RTMIN+15")] = {
	"RTMIN",    "RTMIN+1",  "RTMIN+2",  "RTMIN+3",  "RTMIN+4",  "RTMIN+5",  "RTMIN+6",
	"RTMIN+7",  "RTMIN+8",  "RTMIN+9",  "RTMIN+10", "RTMIN+11", "RTMIN+12", "RTMIN+13",
	"RTMIN+14", "RTMIN+15", "RTMAX-14", "RTMAX-13", "RTMAX-12", "RTMAX-11", "RTMAX-10",
	"RTMAX-9",  "RTMAX-8",  "RTMAX-7",  "RTMAX-6",  "RTMAX-5",  "RTMAX-4",  "RTMAX-3",
	"RTMAX-2",  "RTMAX-1",  "RTMAX"};
static_assert(countof(realtime) == SIGNAME_RTMAX - SIGNAME_RTMIN + 1, "one each");

const char *signame(int signo)
{
	if (signo >= SIGNAME_RTMIN && signo <= SIGNAME_RTMAX)
		return realtime[signo - SIGNAME_RTMIN];
	return signo > 0 && (size_t)signo < countof(names) ? names[signo] : NULL;
}

/* "+3" or "-1" behind RTMIN or RTMAX, or nothing. */
static int realtime_number(int base, const char *s)
{
	int sign = base == SIGNAME_RTMIN ? 1 : -1;
	uint64_t n;

	if (!*s)
		return base;
	if (*s != (sign > 0 ? '+' : '-') ||
	    num_parse(s + 1, strlen(s + 1), 10, SIGNAME_RTMAX - SIGNAME_RTMIN, &n) < 0)
		return -EINVAL;
	return base + sign * (int)n;
}

int signame_number(const char *s)
{
	if (strncasecmp(s, "SIG", 3) == 0)
		s += 3;
	if (strncasecmp(s, "RTMIN", 5) == 0)
		return realtime_number(SIGNAME_RTMIN, s + 5);
	if (strncasecmp(s, "RTMAX", 5) == 0)
		return realtime_number(SIGNAME_RTMAX, s + 5);
	for (size_t i = 1; i < countof(names); i++)
		if (names[i] && strcasecmp(names[i], s) == 0)
			return (int)i;
	return -EINVAL;
}
