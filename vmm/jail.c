/* SPDX-License-Identifier: Apache-2.0 */
/* jail.c - see jail.h.
 *
 * Root and an ordinary user take the same way, with one difference. Root has the rights to make
 * namespaces, uses them, becomes a user that owns nothing and enters a user namespace as that one. An
 * ordinary user gets the rights from the user namespace, which therefore comes first; nobody is mapped
 * into it.
 */
#include "vmm/jail.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/confine.h"
#include "vmm/seccomp.h"
#include "vmm/snap/memfile.h"
#include "vmm/vm.h"

enum {
	FDS_OWN = 256, /* of a machine with all its devices, of whose disks none is joined */
	FDS_MAX = FDS_OWN + 1024,
};

static const int namespaces =
	CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

struct jail {
	const struct config *config;
	const struct events *events;
	struct err *e;
	bool apart; /* the namespaces are our own */
};

/* A confine_lacks_fn. */
static int jail_lacks(void *arg, const char *layer, int code)
{
	const struct jail *j = arg;

	if (j->config->jail == JAIL_REQUIRED)
		return err_set(j->e, code,
			       "the jail lacks a layer on this host: %s: %s (conker doctor tells)",
			       layer, strerror(code));
	events_emit(j->events, "unjailed %s %s", layer, strerror(code));
	return 0;
}

/* --- descriptors ---------------------------------------------------------------------------------- */

/* Closes what was inherited and is no business of ours. Before Linux 5.9 it stays open. */
static void close_others(const struct config *c)
{
	int keep[VMM_FDS];

	memcpy(keep, c->fd, sizeof(keep));
	confine_descriptors(keep, countof(keep));
}

/* --- the parent ---------------------------------------------------------------------------------- */

/* Somebody at a terminal waits for us: we are the child's stand-in. Does not return. */
_Noreturn static void stand_in(pid_t child, const sigset_t *set)
{
	siginfo_t si;
	int status = 0;

	while (waitpid(child, &status, WNOHANG) == 0)
		if (sigwaitinfo(set, &si) > 0 && si.si_signo != SIGCHLD)
			(void)kill(child, si.si_signo);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* 0 in the child. */
static int fork_in(struct jail *j)
{
	bool owned = j->config->fd[VMM_FD_OWNER] >= 0 || j->config->detach;
	sigset_t set, was;

	vm_signals(&set);
	sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, &was);
	pid_t pid = fork();
	if (pid < 0)
		return err_errno(j->e, "fork");
	if (pid > 0 && owned)
		_exit(0);
	if (pid > 0)
		stand_in(pid, &set);
	(void)sigprocmask(SIG_SETMASK, &was, NULL);
	if (j->config->detach && setsid() < 0)
		return err_errno(j->e, "setsid");
	return 0;
}

/* --- all ----------------------------------------------------------------------------------------- */

int jail_enter(struct config *c, const struct events *ev, struct err *e)
{
	/* Not RLIMIT_NPROC: since Linux 6.13 the first KVM_RUN makes a kernel thread that counts as ours, and no
	 * filter lets us start one anyway. */
	const struct confine_limit limits[] = {
		{RLIMIT_CORE, 0}, /* a core would hold the guest's memory */
		{RLIMIT_NOFILE, FDS_MAX + c->nparts},
		{RLIMIT_MEMLOCK, 0},
		{RLIMIT_MSGQUEUE, 0},
	};
	struct jail j = {.config = c, .events = ev, .e = e};
	struct confine give_up = {.root = geteuid() == 0,
				  .limits = limits,
				  .n_limits = countof(limits),
				  .lacks = jail_lacks,
				  .arg = &j};

	close_others(c);
	confine_environment();
	int r = confine_namespaces(namespaces | (give_up.root ? 0 : CLONE_NEWUSER));
	j.apart = r == 0;
	r = confine_without(&give_up, "namespaces", r);
	give_up.uid = give_up.root ? confine_uid() : 0;
	if (r == 0)
		r = fork_in(&j);
	if (r == 0 && config_may_snapshot(c))
		c->fd[VMM_FD_PAGEMAP] = memfile_pagemap();
	if (r == 0 && j.apart)
		r = confine_without(&give_up, "empty-root", confine_root());
	if (r == 0)
		r = confine_rights(&give_up);
	/* After the change of user, which forgets it. Those who stand in for us take us with them. */
	if (r == 0 && c->fd[VMM_FD_OWNER] < 0 && !c->detach)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	return r == 0 ? confine_without(&give_up, "seccomp", seccomp_check()) : r;
}
