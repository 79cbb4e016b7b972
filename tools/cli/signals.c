/* signals.c - the signals that end us, and the one that resizes us.
 *
 * A handler that does nothing but remember, without SA_RESTART, makes the library's calls that wait
 * return -EINTR, whereupon they clean up. A signal that comes just before such a call goes to sleep
 * would be slept over; so the handler starts a timer that interrupts again and again until the process
 * ends. Loops of our own hold the signals back instead and let them in with ppoll().
 */
#include "tools/cli/cli.h"

#include <sys/time.h>

enum { REPEAT_US = 100000 };

/* A handler reaches nothing else. These are the only mutable globals of the command. */
static volatile sig_atomic_t caught, resized;

static const int ending[] = {SIGINT, SIGTERM, SIGQUIT, SIGHUP};

static void on_ending(int signo)
{
	struct itimerval again = {.it_interval.tv_usec = REPEAT_US, .it_value.tv_usec = REPEAT_US};

	if (!caught)
		caught = signo;
	setitimer(ITIMER_REAL, &again, NULL);
}

static void on_winch(int signo)
{
	(void)signo;
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

void signals_init(void)
{
	struct sigaction old;

	/* A script's background job has SIGINT ignored, but must not survive the script's Ctrl-C as a
	 * machine that nobody owns. An ignored SIGHUP is nohup's, and meant. */
	handle(SIGINT, on_ending);
	handle(SIGTERM, on_ending);
	handle(SIGQUIT, on_ending);
	if (sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
		handle(SIGHUP, on_ending);
	handle(SIGALRM, on_alarm);
	handle(SIGWINCH, on_winch);
	handle(SIGPIPE, SIG_IGN);
}

int signals_caught(void)
{
	return caught;
}

int signals_resized(void)
{
	int r = resized;

	resized = 0;
	return r;
}

void signals_hold(sigset_t *ret_in_poll)
{
	sigset_t s;

	sigemptyset(&s);
	for (size_t i = 0; i < countof(ending); i++)
		sigaddset(&s, ending[i]);
	sigaddset(&s, SIGWINCH);
	sigaddset(&s, SIGALRM);
	sigprocmask(SIG_BLOCK, &s, ret_in_poll);
}
