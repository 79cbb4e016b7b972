/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - command line in, exit status out; the only file of the program that may exit. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/jail.h"
#include "vmm/jail_check.h"
#include "vmm/kvm.h"
#include "vmm/last_words.h"
#include "vmm/snap/memfile.h"
#include "vmm/virtio/sink.h"
#include "vmm/vm.h"

/* Who holds the lock is the box. Taken after the fork of the jail: it belongs to one process. */
static int take_lock(int fd, struct err *e)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fd < 0 || fcntl(fd, F_SETLK, &l) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return err_set(e, EBUSY, "this box is running already");
	return err_errno(e, "lock --lock-fd");
}

/* A bad number would be noticed late or never. */
static int check_fds(const struct config *c, struct err *e)
{
	for (unsigned i = 0; i < VMM_FDS; i++)
		if (c->fd[i] >= 0 && fcntl(c->fd[i], F_GETFD) < 0)
			return err_set(e, EBADF, "%s: descriptor %d is not open", vmm_fd_option[i],
				       c->fd[i]);
	return 0;
}

/* Everything that has a path: in the jail there are none. */
static int open_paths(struct config *c, struct err *e)
{
	c->fd[VMM_FD_KVM] = kvm_device(e);
	if (c->fd[VMM_FD_KVM] < 0)
		return c->fd[VMM_FD_KVM];
	c->fd[VMM_FD_CONSOLE] = c->fd[VMM_FD_CONSOLE] < 0 ? open("/dev/null", O_WRONLY | O_CLOEXEC)
							  : sink_own(c->fd[VMM_FD_CONSOLE]);
	return c->fd[VMM_FD_CONSOLE] < 0 ? err_errno(e, "open '/dev/null'") : 0;
}

static int detach(struct err *e)
{
	pid_t pid = fork();

	if (pid < 0)
		return err_errno(e, "fork");
	if (pid > 0)
		_exit(0);
	return setsid() < 0 ? err_errno(e, "setsid") : 0;
}

/* Into the background, if asked for, and into the jail. */
static int leave(struct config *c, const struct events *ev, struct err *e)
{
	if (c->jail)
		return jail_enter(c, ev, e);
	events_emit(ev, "unjailed everything switched off");
	int r = c->detach ? detach(e) : 0;
	c->fd[VMM_FD_PAGEMAP] = config_may_snapshot(c) ? memfile_pagemap() : -1;
	return r;
}

static int machine_run(struct config *c, const struct events *ev, struct trace *t)
{
	struct err e = {0};
	struct vm *v = NULL;
	sigset_t set;

	int r = check_fds(c, &e);
	if (r == 0)
		r = open_paths(c, &e);
	trace_step(t, "process, arguments");
	if (r == 0)
		r = leave(c, ev, &e);
	trace_step(t, "jail");
	if (r == 0)
		r = take_lock(c->fd[VMM_FD_LOCK], &e);
	if (r == 0)
		r = last_words_init(ev, &e);
	if (r == 0) {
		(void)signal(SIGPIPE, SIG_IGN);
		(void)signal(SIGXFSZ,
			     SIG_IGN); /* a limit of a file's size is an error of a write */
		vm_signals(&set);
		(void)sigprocmask(SIG_BLOCK, &set, NULL);
		r = vm_new(c, ev, t, &v, &e);
	}
	if (r < 0) {
		events_emit(ev, "failed %d %s", e.code ? e.code : -r, e.msg);
		return STATUS_FAILED;
	}
	enum exit_reason reason = vm_run(v);
	vm_free(v);
	trace_step(t, "freed");
	return exit_reason_status(reason);
}

int main(int argc, char *argv[])
{
	struct config c;
	struct trace t;
	struct err e = {0};

	trace_init(&t);
	if (config_parse(argc, argv, &c, &e) < 0) {
		fprintf(stderr, "conker-vmm: %s (--help lists the options)\n", e.msg);
		return STATUS_USAGE;
	}
	if (c.help) {
		fputs(config_usage, stdout);
		return 0;
	}
	if (c.jail_check)
		return jail_check();
	t.on = c.verbose;
	return machine_run(
		&c,
		&(struct events){.state_fd = c.fd[VMM_FD_STATE], .owner_fd = c.fd[VMM_FD_OWNER]},
		&t);
}
