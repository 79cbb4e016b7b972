/* SPDX-License-Identifier: Apache-2.0 */
/* killer.c - SIGKILL at a chosen moment in the life of a command.
 *
 *	killer client DELAY_US CMD ARG...	the command itself, so long after its start
 *	killer vmm DELAY_US CMD ARG...	the conker-vmm that it starts, so long after that is seen
 *
 * Prints the command's status (128 + signal). Of VMMs that are there already, the environment variable SPARE
 * has the pids, separated by blanks.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Sleep is too coarse, and these are milliseconds in all. */
static void delay(long us)
{
	long end = now_us() + us;

	if (us > 5000)
		(void)usleep((useconds_t)(us - 3000));
	while (now_us() < end)
		;
}

enum { PATIENCE_US = 20000000 };

static int is_spared(const char *pid)
{
	char all[4096], one[300];

	(void)snprintf(all, sizeof(all), " %s ", getenv("SPARE") ? getenv("SPARE") : "");
	(void)snprintf(one, sizeof(one), " %s ", pid);
	return strstr(all, one) != NULL;
}

static int is_vmm(const char *pid)
{
	char path[300], comm[32] = "";

	(void)snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, comm, sizeof(comm) - 1);
	if (fd >= 0)
		close(fd);
	return n > 0 && strcmp(comm, "conker-vmm\n") == 0;
}

/* Every one there is: there may be two while it goes into its jail. How many. */
static int each_vmm(int signo)
{
	DIR *d = opendir("/proc");
	struct dirent *de;
	int n = 0;

	while (d && (de = readdir(d))) {
		if (!isdigit((unsigned char)de->d_name[0]) || is_spared(de->d_name) ||
		    !is_vmm(de->d_name))
			continue;
		if (signo)
			(void)kill((pid_t)strtoll(de->d_name, NULL, 10), signo);
		n++;
	}
	if (d)
		closedir(d);
	return n;
}

static int is_over(pid_t pid)
{
	siginfo_t si = {0};

	return waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid;
}

/* 1: done, or the command has ended by itself. */
static int kill_vmm(pid_t command, long us)
{
	long end = now_us() + PATIENCE_US;
	int n = 0, seen = 0;

	while (each_vmm(0) == 0 && !is_over(command) && now_us() < end)
		(void)usleep(50);
	delay(us);
	do {
		n = each_vmm(SIGKILL);
		seen += n;
		(void)usleep(200);
	} while (n > 0 && now_us() < end);
	return seen > 0 || is_over(command);
}

int main(int argc, char **argv)
{
	int status, ok = 1;

	if (argc < 4)
		return 2;
	long us = strtoll(argv[2], NULL, 10);
	pid_t pid = fork();
	if (pid == 0) {
		execvp(argv[3], argv + 3);
		_exit(127);
	}
	if (strcmp(argv[1], "vmm") == 0) {
		ok = kill_vmm(pid, us);
	} else {
		delay(us);
		(void)kill(pid, SIGKILL);
	}
	if (!ok) {
		(void)fprintf(stderr, "killer: no VMM was seen\n");
		(void)kill(pid, SIGKILL);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	printf("%d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return ok ? 0 : 1;
}
