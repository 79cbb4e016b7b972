/* SPDX-License-Identifier: Apache-2.0 */
/* last_words.c - see last_words.h. */
#include "vmm/last_words.h"

#include <assert.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The one variable of the program that is none's member: neither a signal handler nor a failed
 * assertion is told whose it is. Written once, before there is a second thread. */
static const struct events *last_events;

_Noreturn void last_words(const char *fmt, ...)
{
	char why[EXIT_DETAIL_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (last_events)
		events_emit(last_events, "exited error %s", why);
	_exit(exit_reason_status(EXIT_ERROR));
}

/* #syscalls loop,vcpu,disk: write? sendto? exit_group? */
static void on_sigsys(int sig, siginfo_t *si, void *context)
{
	(void)sig;
	(void)context;
	last_words("system call %d is not allowed here (seccomp)", si->si_syscall);
}

int last_words_init(const struct events *ev, struct err *e)
{
	struct sigaction sa = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO | SA_NODEFER};

	last_events = ev;
	return sigaction(SIGSYS, &sa, NULL) < 0 ? err_errno(e, "sigaction") : 0;
}

/* In place of libc's, which allocates, maps memory and signals: calls that no filter allows. */
#ifdef __GLIBC__
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): libc's are reserved ones */
_Noreturn void __assert_fail(const char *expr, const char *file, unsigned line,
			     const char *function)
#else
_Noreturn void __assert_fail(const char *expr, const char *file, int line, const char *function)
#endif
{
	static const struct events to_stderr = {.state_fd = -1, .owner_fd = -1};

	events_emit(&to_stderr, "%s:%u: %s: assertion '%s' failed", file, (unsigned)line, function,
		    expr);
	if (!last_events)
		abort(); /* of no box yet, or of a test or fuzzer, which look for the signal */
	last_words("assertion '%s' failed (%s:%u)", expr, file, (unsigned)line);
}
