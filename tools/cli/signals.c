/* SPDX-License-Identifier: Apache-2.0 */
/* signals.c - the signals that end us, and those that tell of the terminal.
 *
 * A handler that does nothing but remember, without SA_RESTART, makes the library's calls that wait
 * return -EINTR, whereupon they clean up. A signal that comes just before such a call goes to sleep
 * would be slept over; so the handler starts a timer that interrupts again and again until the process
 * ends. Loops of our own hold the signals back instead and let them in with ppoll().
 */
#include "tools/cli/cli.h"

#include <sys/time.h>

enum { REPEAT_US = 100000 };

/* A handler reaches nothing else: these are globals. */
static volatile sig_atomic_t caught, resized, stop, forwarding;

/* All that would end us and can be caught, so that the terminal is restored and no command forgotten. */
static const int ending[] = {SIGINT,  SIGTERM, SIGQUIT, SIGHUP,
			     SIGUSR1, SIGUSR2, SIGXCPU, SIGVTALRM};
static volatile sig_atomic_t came[countof(ending)]; /* while forwarding */

static void remember(int signo)
{
	for (size_t i = 0; i < countof(ending); i++)
		if (ending[i] == signo)
			came[i] = 1;
}

static void on_ending(int signo)
{
	struct itimerval again = {.it_interval.tv_usec = REPEAT_US, .it_value.tv_usec = REPEAT_US};

	if (forwarding) {
		remember(signo);
		return;
	}
	if (!caught)
		caught = signo;
	setitimer(ITIMER_REAL, &again, NULL);
}

static void on_terminal(int signo)
{
	if (signo == SIGTSTP)
		stop = 1;
	else
		resized = 1;
}

static void on_alarm(int signo)
{
	(void)signo; /* to interrupt is all */
}

static void handle(int signo, void (*fn)(int))
{
	struct sigaction sa = {.sa_handler = fn};

	sigaction(signo, &sa, NULL);
}

void signals_init_ending(void)
{
	struct sigaction old;

	/* A script's background job has SIGINT ignored, but must not survive the script's Ctrl-C as a
	 * machine that nobody owns. An ignored SIGHUP is nohup's, and meant. */
	for (size_t i = 0; i < countof(ending); i++)
		if (ending[i] != SIGHUP ||
		    (sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler != SIG_IGN))
			handle(ending[i], on_ending);
	handle(SIGALRM, on_alarm);
	handle(SIGPIPE, SIG_IGN);
}

void signals_init(void)
{
	signals_init_ending();
	handle(SIGWINCH, on_terminal);
	handle(SIGCONT, on_terminal);
}

int signals_caught(void)
{
	return caught;
}

void signals_forward(void)
{
	forwarding = 1;
}

int signals_next(void)
{
	for (size_t i = 0; i < countof(ending); i++) {
		if (!came[i])
			continue;
		came[i] = 0;
		return ending[i];
	}
	return 0;
}

int signals_resized(void)
{
	int r = resized;

	resized = 0;
	return r;
}

void signals_catch_stop(void)
{
	handle(SIGTSTP, on_terminal);
}

int signals_stop_asked(void)
{
	int r = stop;

	stop = 0;
	return r;
}

void signals_stop(void)
{
	(void)raise(SIGSTOP);
}

void signals_hold(sigset_t *ret_in_poll)
{
	sigset_t s;

	sigemptyset(&s);
	for (size_t i = 0; i < countof(ending); i++)
		sigaddset(&s, ending[i]);
	sigaddset(&s, SIGWINCH);
	sigaddset(&s, SIGCONT);
	sigaddset(&s, SIGTSTP);
	sigaddset(&s, SIGALRM);
	sigprocmask(SIG_BLOCK, &s, ret_in_poll);
}
