/* launch.c - one conker-vmm process: its command line, its descriptors, nothing else.
 *
 * It gets no environment, no descriptor but the listed ones, and a session of its own.
 */
#include "lib/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/ports.h"
#include "util/cleanup.h"

enum {
	FD_NULL_IN,
	FD_NULL_OUT,
	FD_STDERR,
	FD_KERNEL, /* of a box that goes on from a snapshot: its state ... */
	FD_INITRD, /* ... and its memory */
	FD_CONSOLE,
	FD_STATE,
	FD_LOCK,
	FD_OWNER,
	FD_LISTEN,
	FD_FORWARD,
	FD_CTL,
	FD_SUSPEND_STATE,
	FD_SUSPEND_MEMORY,
	FD_DISKS, /* and on */
	FD_COUNT = FD_DISKS + DISKS_MAX + 1,
	ARGS_ROOM = 4096,
	ARGS_COUNT = 48 + 2 * (DISKS_MAX + 1),
	BACKLOG = 128,
};

struct args {
	char *v[ARGS_COUNT];
	int n;
	char room[ARGS_ROOM];
	size_t used;
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

static void compose_args(struct args *a, const struct artefacts *f, const conker_box_opts *o,
			 const char *cmdline)
{
	arg(a, "conker-vmm", NULL);
	arg(a, "--memory-mib", "%u", o->memory_mib);
	arg(a, "--cpus", "%u", o->cpus);
	if (f->state >= 0) {
		arg(a, "--restore", "%d:%d", FD_KERNEL, FD_INITRD);
	} else {
		arg(a, "--kernel-fd", "%d", FD_KERNEL);
		arg(a, "--initrd-fd", "%d", FD_INITRD);
		arg(a, "--cmdline", "%s", cmdline);
	}
	for (int i = 0; i < f->ndisks; i++)
		arg(a, "--disk", "%d%s", FD_DISKS + i, f->ro[i] ? ":ro" : "");
	arg(a, "--vsock-listen", "%d:%d", FD_LISTEN, PORT_EXEC);
	arg(a, "--vsock-listen", "%d:%d", FD_FORWARD, PORT_FORWARD);
	arg(a, "--ctl-listen", "%d", FD_CTL);
	if (f->suspend[0] >= 0)
		arg(a, "--suspend", "%d:%d", FD_SUSPEND_STATE, FD_SUSPEND_MEMORY);
	arg(a, "--console-fd", "%d", FD_CONSOLE);
	arg(a, "--state-fd", "%d", FD_STATE);
	arg(a, "--lock-fd", "%d", FD_LOCK);
	arg(a, "--owner-fd", "%d", FD_OWNER);
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
	a->v[a->n] = NULL;
}

/* Bound through /proc, because a box's path may be longer than a socket address. */
static int listen_in(int dir, const char *name, int type)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	auto_close int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/%s", dir, name);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return take_fd(fd);
}

struct files { /* what the VMM gets beside the artefacts */
	int null, console, state, lock, theirs, listener, forward, ctl;
};

static void files_close(struct files *f)
{
	int all[] = {f->null,   f->console,  f->state,   f->lock,
		     f->theirs, f->listener, f->forward, f->ctl};

	for (size_t i = 0; i < countof(all); i++)
		if (all[i] >= 0)
			close(all[i]);
}

static int files_open(struct files *f, int dir, struct launched *l, struct err *e)
{
	enum { NEW = O_CREAT | O_EXCL | O_CLOEXEC };
	int pair[2];

	f->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (f->null < 0)
		return err_errno(e, "open '/dev/null'");
	/* A box that goes on keeps its console. */
	f->console = openat(dir, "console", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	f->state = openat(dir, "state", O_WRONLY | O_APPEND | NEW, 0600);
	/* Not a duplicate of the starter's: that would hand on its flock too. */
	f->lock = openat(dir, "lock", O_RDWR | O_CLOEXEC);
	if (f->console < 0 || f->state < 0 || f->lock < 0)
		return err_errno(e, "make the box's files");
	f->listener = listen_in(dir, "exec.sock", SOCK_STREAM);
	f->forward = f->listener < 0 ? f->listener : listen_in(dir, "forward.sock", SOCK_STREAM);
	f->ctl = f->forward < 0 ? f->forward : listen_in(dir, "ctl.sock", SOCK_SEQPACKET);
	if (f->ctl < 0)
		return err_set(e, -f->ctl, "make the box's sockets: %s", strerror(-f->ctl));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, "make the owner socket");
	l->owner = pair[0];
	f->theirs = pair[1];
	l->stderr_fd = spawn_stderr();
	if (l->stderr_fd < 0)
		return err_set(e, -l->stderr_fd, "make a memory file: %s", strerror(-l->stderr_fd));
	return 0;
}

static int start(const struct artefacts *a, const struct files *f, struct args *args, int cgroup,
		 struct launched *l)
{
	static char *const no_env[] = {NULL};
	int restored = a->state >= 0, suspends = a->suspend[0] >= 0;
	int fds[FD_COUNT] = {
		[FD_NULL_IN] = f->null,
		[FD_NULL_OUT] = f->null,
		[FD_STDERR] = l->stderr_fd,
		[FD_KERNEL] = restored ? a->state : a->kernel,
		[FD_INITRD] = restored ? a->memory : a->initrd,
		[FD_CONSOLE] = f->console,
		[FD_STATE] = f->state,
		[FD_LOCK] = f->lock,
		[FD_OWNER] = f->theirs,
		[FD_LISTEN] = f->listener,
		[FD_FORWARD] = f->forward,
		[FD_CTL] = f->ctl,
		[FD_SUSPEND_STATE] = suspends ? a->suspend[0] : f->null,
		[FD_SUSPEND_MEMORY] = suspends ? a->suspend[1] : f->null,
	};
	struct spawn s = {.path = a->vmm,
			  .argv = args->v,
			  .env = no_env,
			  .fds = fds,
			  .cgroup = cgroup,
			  .nfds = FD_DISKS + a->ndisks};

	if (is_debug())
		fds[FD_STDERR] = STDERR_FILENO; /* asked for by the user, step by step */
	for (int i = 0; i < a->ndisks; i++)
		fds[FD_DISKS + i] = a->disk[i];
	return spawn_start(&s, &l->pidfd);
}

/* In a cgroup of its own, where there are any. */
static int start_in(int dir, const struct meta *m, const struct artefacts *a, const struct files *f,
		    struct args *args, struct launched *l)
{
	auto_close int cgroup = cgroup_make(dir, m);
	int r = start(a, f, args, cgroup, l);

	if (r >= 0 || cgroup < 0)
		return r;
	int again = start(a, f, args, -1, l);
	if (again >= 0) /* so it was the cgroup */
		cgroup_none(dir, strerror(-r));
	return again;
}

int launch(const struct artefacts *a, const conker_box_opts *o, const struct meta *m, int dir,
	   struct launched *ret, struct err *e)
{
	char cmdline[ARGS_ROOM / 2];
	struct args args = {0};
	struct files f = {-1, -1, -1, -1, -1, -1, -1, -1};

	ret->pidfd = ret->owner = ret->stderr_fd = -1;
	int r = a->state >= 0 ? 0 : cmdline_compose(cmdline, sizeof(cmdline), m->name, o, e);
	if (r < 0)
		return r;
	compose_args(&args, a, o, cmdline);
	r = files_open(&f, dir, ret, e);
	if (r == 0) {
		r = start_in(dir, m, a, &f, &args, ret);
		if (r < 0)
			r = err_set(e, -r, "start '%s': %s", a->vmm, strerror(-r));
	}
	files_close(&f);
	if (r < 0)
		launched_close(ret);
	return min_(r, 0);
}

void launched_close(struct launched *l)
{
	if (l->pidfd >= 0)
		close(l->pidfd);
	if (l->owner >= 0)
		close(l->owner);
	if (l->stderr_fd >= 0)
		close(l->stderr_fd);
	l->pidfd = l->owner = l->stderr_fd = -1;
}
