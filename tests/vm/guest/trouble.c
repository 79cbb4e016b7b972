/* SPDX-License-Identifier: Apache-2.0 */
/* trouble.c - programs that no box should suffer from: trouble MODE. Each says "ready" once it is at it,
 * and goes on until it is killed. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void ready(void)
{
	(void)!write(1, "ready\n", 6);
}

static _Noreturn void sleep_for_ever(void)
{
	for (;;)
		(void)pause();
}

static void fork_bomb(void)
{
	ready();
	for (;;)
		(void)fork();
}

static void memory_hog(void)
{
	enum { STEP_BYTES = 1 << 20 };

	ready();
	for (;;) {
		char *p = malloc(STEP_BYTES);
		if (p)
			memset(p, 1, STEP_BYTES);
	}
}

/* One that is killed is replaced by its parent, so that it never ends by itself. */
static void memory_hogs(void)
{
	for (;;)
		if (fork() == 0)
			memory_hog();
}

static void disk_filler(void)
{
	static char block[1 << 16];
	int fd = open("/fill", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ready();
	memset(block, 'x', sizeof(block));
	for (;;)
		if (write(fd, block, sizeof(block)) <= 0)
			(void)usleep(10000);
}

/* Once: the processes of other executions are in its reach, as in any one machine. */
static void kill_everyone(void)
{
	(void)kill(-1, SIGKILL); /* all but itself and PID 1 */
	(void)kill(1, SIGKILL);
	for (int pid = 1; pid < 100; pid++)
		if (pid != getpid())
			(void)kill(pid, SIGKILL);
	ready();
	sleep_for_ever();
}

static void close_everything(void)
{
	ready();
	for (int fd = 0; fd < 1024; fd++)
		(void)close(fd);
	sleep_for_ever();
}

static void stop_oneself(void)
{
	ready();
	if (fork() == 0)
		for (;;)
			(void)kill(getppid(), SIGSTOP);
	for (;;)
		(void)raise(SIGSTOP);
}

/* Out of the process group, the session, and its parents' sight; with all that can be said no to. */
static void daemons(void)
{
	for (int i = 0; i < 10; i++) {
		if (fork() > 0)
			continue;
		(void)setsid();
		if (fork() > 0)
			_exit(0);
		for (int sig = 1; sig < 32; sig++)
			(void)signal(sig, SIG_IGN);
		sleep_for_ever();
	}
	ready();
}

static void daemons_that_end(void)
{
	daemons();
	exit(0);
}

static void deaf(void)
{
	for (int sig = 1; sig < 32; sig++)
		(void)signal(sig, SIG_IGN);
	ready();
	sleep_for_ever();
}

static void pipe_holder(void)
{
	if (fork() == 0) {
		(void)setsid();
		deaf();
	}
	sleep_for_ever();
}

static void flood(void)
{
	static char block[1 << 16];

	memset(block, 'x', sizeof(block));
	ready();
	for (;;)
		(void)!write(1, block, sizeof(block));
}

static void tiny_writes(void)
{
	ready();
	for (;;) {
		(void)!write(1, "x", 1);
		(void)!write(2, "y", 1);
	}
}

static void exec_for_ever(void)
{
	if (!getenv("AGAIN"))
		ready();
	(void)setenv("AGAIN", "1", 1);
	(void)execl("/proc/self/exe", "trouble", "exec-for-ever", NULL);
}

/* As fast as it can, always one more process alive than dead. */
static void fork_chain(void)
{
	ready();
	for (;;)
		if (fork() > 0)
			_exit(0);
}

static const struct {
	const char *name;
	void (*fn)(void);
} modes[] = {
	{"fork-bomb", fork_bomb},
	{"fork-chain", fork_chain},
	{"memory-hog", memory_hog},
	{"memory-hogs", memory_hogs},
	{"disk-filler", disk_filler},
	{"kill-everyone", kill_everyone},
	{"close-everything", close_everything},
	{"stop-oneself", stop_oneself},
	{"daemons", daemons_that_end},
	{"deaf", deaf},
	{"pipe-holder", pipe_holder},
	{"flood", flood},
	{"tiny-writes", tiny_writes},
	{"exec-for-ever", exec_for_ever},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			modes[i].fn();
	return 2;
}
