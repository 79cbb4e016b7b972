/* SPDX-License-Identifier: Apache-2.0 */
/* jail_check.c - see jail_check.h. */
#include "vmm/jail_check.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/jail.h"
#include "vmm/seccomp.h"

static const struct events to_stdout = {.state_fd = STDOUT_FILENO, .owner_fd = -1};

static const struct {
	const char *name;
	int flag;
} kinds[] = {
	{"user", CLONE_NEWUSER},     {"mount", CLONE_NEWNS}, {"pid", CLONE_NEWPID},
	{"net", CLONE_NEWNET},       {"ipc", CLONE_NEWIPC},  {"uts", CLONE_NEWUTS},
	{"cgroup", CLONE_NEWCGROUP},
};

/* Runs fn in a child: its exit status. */
static int in_child(int (*fn)(int arg), int arg)
{
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		return errno;
	if (pid == 0)
		_exit(fn(arg));
	if (waitpid(pid, &status, 0) < 0)
		return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

/* An ordinary user has the right to the others from a user namespace. */
static int try_namespace(int flag)
{
	return unshare(flag | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) < 0 ? errno : 0;
}

static int try_jail(int unused)
{
	struct config c = config_none();
	struct err e = {0};

	(void)unused;
	c.jail = JAIL_ON;
	if (jail_enter(&c, &to_stdout, &e) < 0) {
		events_emit(&to_stdout, "failed %s", e.msg);
		return STATUS_FAILED;
	}
	if (seccomp_check() == 0)
		seccomp_enter(SECCOMP_LOOP);
	events_emit(&to_stdout, "jailed");
	return 0;
}

int jail_check(void)
{
	for (size_t i = 0; i < countof(kinds); i++) {
		int e = in_child(try_namespace, kinds[i].flag);

		events_emit(&to_stdout, "namespace %s %s", kinds[i].name, e ? strerror(e) : "ok");
	}
	return in_child(try_jail, 0);
}
