/* SPDX-License-Identifier: Apache-2.0 */
/* launch.c - one conker-vmm process: its command line, its descriptors, nothing else.
 *
 * It gets no environment, no descriptor but the listed ones, and a session of its own.
 */
#include "lib/host/host.h"
#include "lib/host/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/ports.h"
#include "proto/vmm_fds.h"

enum {
	FDS_STANDARD = 3,
	PARTS_ROOM = sizeof("+9999") * VMM_PARTS_MAX,
	CMDLINE_ROOM = 2048,
	ARGS_ROOM = 2 * CMDLINE_ROOM + PARTS_ROOM,
	ARGS_COUNT = 32 + 2 * (VMM_FDS - VMM_PARTS_MAX),
};

_Static_assert((int)DISKS_MAX + 1 == (int)VMM_DISKS_MAX, "the image and the others");
_Static_assert((int)PARTS_MAX == (int)VMM_PARTS_MAX, "the image's files");

struct args {
	char *v[ARGS_COUNT]; /* zeroes: what is behind the last ends it */
	int n;
	char room[ARGS_ROOM];
	size_t used;
	int fds[FDS_STANDARD + VMM_FDS], nfds; /* that the process has, by number */
};

/* --name and a formatted value; the room is sized for the longest, the command line. */
__attribute__((format(printf, 3, 4))) static void arg(struct args *a, const char *name,
						      const char *fmt, ...)
{
	va_list ap;

	a->v[a->n++] = (char *)name;
	if (!fmt)
		return;
	a->v[a->n++] = a->room + a->used;
	va_start(ap, fmt);
	int n = vsnprintf(a->room + a->used, sizeof(a->room) - a->used, fmt, ap);
	va_end(ap);
	a->used = min_(a->used + (size_t)n + 1, sizeof(a->room) - 1);
}

/* [BYTES][:OPS]; nothing said is the VMM's default, 0 none at all. */
static void arg_rate(struct args *a, const char *name, const conker_rate *r)
{
	char bytes[24] = "", ops[24] = "";

	if (!r->bytes_per_s && !r->ops_per_s)
		return;
	if (r->bytes_per_s)
		(void)snprintf(bytes, sizeof(bytes), "%" PRIu64,
			       r->bytes_per_s == CONKER_NO_LIMIT ? 0 : r->bytes_per_s);
	if (r->ops_per_s)
		(void)snprintf(ops, sizeof(ops), ":%" PRIu64,
			       r->ops_per_s == CONKER_NO_LIMIT ? 0 : r->ops_per_s);
	arg(a, name, "%s%s", bytes, ops);
}

static int is_debug(void)
{
	const char *log = getenv("CONKER_LOG");

	return log && strcmp(log, "debug") == 0;
}

/* N, or N+N+... of the nparts descriptors from part on. */
static void arg_disk(struct args *a, int n, int part, int nparts, int ro)
{
	char more[PARTS_ROOM] = "";
	size_t used = 0;

	for (int i = 0; i < nparts; i++)
		used += (size_t)snprintf(more + used, sizeof(more) - used, "+%d", part + i);
	arg(a, vmm_fd_option[VMM_FD_DISK], "%d%s%s", n, more, ro ? ":ro" : "");
}

/* Those that are there, with what the VMM is told of them. The parts, which come first, are all of the first disk, the image. */
static void arg_fds(struct args *a, const int fd[VMM_FDS], const int disk_is_ro[VMM_DISKS_MAX])
{
	static const unsigned ports[VMM_LISTENERS_MAX] = {PORT_EXEC, PORT_FORWARD};
	int nparts = 0;

	for (int i = 0; i < VMM_FDS; i++) {
		const char *option = vmm_fd_option[i];
		int n = a->nfds;

		if (fd[i] < 0)
			continue;
		a->fds[a->nfds++] = fd[i];
		if (i >= VMM_FD_PART && i <= VMM_FD_PART_LAST)
			nparts++;
		else if (i == VMM_FD_DISK)
			arg_disk(a, n, n - nparts, nparts, disk_is_ro[0]);
		else if (i > VMM_FD_DISK && i <= VMM_FD_DISK_LAST)
			arg_disk(a, n, n, 0, disk_is_ro[i - VMM_FD_DISK]);
		else if (i >= VMM_FD_LISTEN && i <= VMM_FD_LISTEN_LAST)
			arg(a, option, "%d:%u", n, ports[i - VMM_FD_LISTEN]);
		else if (vmm_fd_has_next(i))
			arg(a, option, "%d:%d", n, n + 1);
		else if (i == 0 || !vmm_fd_has_next(i - 1))
			arg(a, option, "%d", n);
	}
}

static void compose_args(struct args *a, const conker_box_opts *o, const char *cmdline)
{
	arg(a, "conker-vmm", NULL);
	arg(a, "--memory-mib", "%u", o->memory_mib);
	arg(a, "--cpus", "%u", o->cpus);
	if (*cmdline)
		arg(a, "--cmdline", "%s", cmdline);
	arg_rate(a, "--disk-rate", &o->disk_rate);
	arg_rate(a, "--vsock-rate", &o->vsock_rate);
	arg_rate(a, "--console-rate", &o->console_rate);
	if (o->max_life_ms)
		arg(a, "--life-ms", "%d", o->max_life_ms);
	if (o->flags & CONKER_BOX_DETACHED)
		arg(a, "--detach", NULL);
	if (o->flags & CONKER_BOX_REQUIRE_JAIL)
		arg(a, "--jail", "required");
	if (is_debug())
		arg(a, "--verbose", NULL);
}

struct files { /* what the VMM gets beside the artefacts */
	int null, fd[VMM_FDS];
};

static void launch_files_close(struct files *f)
{
	for (int i = 0; i < VMM_FDS; i++)
		if (f->fd[i] >= 0)
			close(f->fd[i]);
	if (f->null >= 0)
		close(f->null);
}

static int launch_files_open(struct files *f, int dir, struct launched *l, struct err *e)
{
	enum { NEW = O_CREAT | O_EXCL | O_CLOEXEC };
	int pair[2], *fd = f->fd, *listen = fd + VMM_FD_LISTEN;

	f->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (f->null < 0)
		return err_errno(e, "open '/dev/null'");
	/* A box that goes on keeps its console. */
	fd[VMM_FD_CONSOLE] =
		openat(dir, "console", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	fd[VMM_FD_STATE] = openat(dir, "state", O_WRONLY | O_APPEND | NEW, 0600);
	/* Not a duplicate of the starter's: that would hand on its flock too. */
	fd[VMM_FD_LOCK] = openat(dir, "lock", O_RDWR | O_CLOEXEC);
	if (fd[VMM_FD_CONSOLE] < 0 || fd[VMM_FD_STATE] < 0 || fd[VMM_FD_LOCK] < 0)
		return err_errno(e, "make the box's files");
	int r = listen[0] = boxdir_listen(dir, "exec.sock", SOCK_STREAM);
	if (r >= 0)
		r = listen[1] = boxdir_listen(dir, "forward.sock", SOCK_STREAM);
	if (r >= 0)
		r = fd[VMM_FD_CTL] = boxdir_listen(dir, "ctl.sock", SOCK_SEQPACKET);
	if (r < 0)
		return err_set(e, -r, "make the box's sockets: %s", strerror(-r));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, "make the owner socket");
	l->owner = pair[0];
	fd[VMM_FD_OWNER] = pair[1];
	l->stderr_fd = spawn_stderr();
	if (l->stderr_fd < 0)
		return err_set(e, -l->stderr_fd, "make a memory file: %s", strerror(-l->stderr_fd));
	return 0;
}

/* Beside its standard input, output and error. */
static void give_fds(struct args *args, const struct artefacts *a, const struct files *f,
		     const struct launched *l)
{
	int fd[VMM_FDS];

	memcpy(fd, f->fd, sizeof(fd));
	fd[VMM_FD_KERNEL] = a->kernel;
	fd[VMM_FD_INITRD] = a->initrd;
	fd[VMM_FD_RESTORE_STATE] = a->state;
	fd[VMM_FD_RESTORE_MEMORY] = a->memory;
	fd[VMM_FD_SUSPEND_STATE] = a->suspend[0];
	fd[VMM_FD_SUSPEND_MEMORY] = a->suspend[1];
	memcpy(fd + VMM_FD_DISK, a->disk, (size_t)a->ndisks * sizeof(*fd));
	memcpy(fd + VMM_FD_PART, a->parts, (size_t)a->nparts * sizeof(*fd));
	args->fds[STDIN_FILENO] = args->fds[STDOUT_FILENO] = f->null;
	/* Asked for by the user, step by step: where ours goes. */
	args->fds[STDERR_FILENO] = is_debug() ? STDERR_FILENO : l->stderr_fd;
	args->nfds = FDS_STANDARD;
	arg_fds(args, fd, a->ro);
}

static int launch_start(const char *vmm, const struct args *args, int cgroup, struct launched *l)
{
	static char *const no_env[] = {NULL};
	const struct spawn s = {.path = vmm,
				.argv = args->v,
				.env = no_env,
				.fds = args->fds,
				.nfds = args->nfds,
				.cgroup = cgroup};

	return spawn_start(&s, &l->pidfd);
}

/* In a cgroup of its own, where there are any. */
static int launch_in_cgroup(int dir, const struct meta *m, const char *vmm, const struct args *args,
			    struct launched *l)
{
	auto_close int cgroup = cgroup_make(dir, m);
	int r = launch_start(vmm, args, cgroup, l);

	if (r >= 0 || cgroup < 0)
		return r;
	int again = launch_start(vmm, args, -1, l);
	if (again >= 0) /* so it was the cgroup */
		cgroup_none(dir, strerror(-r));
	return again;
}

static void launched_close(struct launched *l)
{
	if (l->pidfd >= 0)
		close(l->pidfd);
	if (l->owner >= 0)
		close(l->owner);
	if (l->stderr_fd >= 0)
		close(l->stderr_fd);
	l->pidfd = l->owner = l->stderr_fd = -1;
}

int launch(const struct artefacts *a, const conker_box_opts *o, const struct meta *m, int dir,
	   struct launched *ret, struct err *e)
{
	char cmdline[CMDLINE_ROOM] = "";
	auto_free struct args *args = calloc(1, sizeof(*args));
	struct files f = {.null = -1, .fd = {[0 ... VMM_FDS - 1] = -1}};

	ret->pidfd = ret->owner = ret->stderr_fd = -1;
	if (!args)
		return err_set(e, ENOMEM, "no memory for a command line");
	int r = a->state >= 0 ? 0 : cmdline_compose(cmdline, sizeof(cmdline), m->name, o, e);
	if (r < 0)
		return r;
	compose_args(args, o, cmdline);
	r = launch_files_open(&f, dir, ret, e);
	if (r == 0) {
		give_fds(args, a, &f, ret);
		r = launch_in_cgroup(dir, m, a->vmm, args, ret);
		if (r < 0)
			r = err_set(e, -r, "start '%s': %s", a->vmm, strerror(-r));
	}
	launch_files_close(&f);
	if (r < 0)
		launched_close(ret);
	return min_(r, 0);
}
