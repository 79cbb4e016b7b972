/* main.c - command line in, exit status out; the only file of the program that may exit. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/vm.h"

/* Who holds the lock is the box. Taken after the fork of --detach: it belongs to one process. */
static int take_lock(int fd, struct err *e)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fd < 0 || fcntl(fd, F_SETLK, &l) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return err_set(e, EBUSY, "this box is running already");
	return err_errno(e, "lock --lock-fd");
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

/* A bad number would be noticed late or never. */
static int check_fds(const struct config *c, struct err *e)
{
	const struct {
		const char *name;
		int fd;
	} fds[] = {
		{"kernel-fd", c->kernel_fd},   {"initrd-fd", c->initrd_fd},
		{"console-fd", c->console_fd}, {"state-fd", c->state_fd},
		{"lock-fd", c->lock_fd},       {"owner-fd", c->owner_fd},
	};

	for (size_t i = 0; i < countof(fds); i++)
		if (fds[i].fd >= 0 && fcntl(fds[i].fd, F_GETFD) < 0)
			return err_set(e, EBADF, "--%s: descriptor %d is not open", fds[i].name,
				       fds[i].fd);
	return 0;
}

static int run(const struct config *c, const struct events *ev, struct trace *t)
{
	struct err e = {0};
	struct vm *v = NULL;
	sigset_t set;

	int r = check_fds(c, &e);
	if (r == 0 && c->detach)
		r = detach(&e);
	if (r == 0)
		r = take_lock(c->lock_fd, &e);
	if (r == 0) {
		(void)signal(SIGPIPE, SIG_IGN);
		vm_signals(&set);
		(void)sigprocmask(SIG_BLOCK, &set, NULL);
		trace_step(t, "process, arguments");
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
	t.on = c.verbose;
	return run(&c, &(struct events){.state_fd = c.state_fd, .owner_fd = c.owner_fd}, &t);
}
