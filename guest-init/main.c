/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - start-up of the guest's PID 1, in order; then the server, until the power goes.
 *
 * The kernel passes unknown NAME=value words of its command line to us as environment:
 *   CONKER_ROOT=vda        disk with the root image; without it the initramfs is the root
 *   CONKER_HOSTNAME=name
 *   CONKER_IDLE_MS=n       power off after being idle for that long (idle.h)
 *   CONKER_IDLE_SUSPEND=1  then ask to be kept instead of powering off
 *   CONKER_LIFE_MS=n       and power off after that long in any case
 *
 * A failure here is one line on the console, and then the end of PID 1, which the kernel turns into a
 * panic that the host reports.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "guest-init/files/operations.h"
#include "guest-init/sys/mounts.h"
#include "guest-init/sys/self.h"
#include "guest-init/serve/server.h"
#include "proto/ports.h"
#include "util/cleanup.h"
#include "util/num.h"

enum {
	READY_FROM_PORT = 1023, /* privileged: proof that it is init who rings */
	SUSPEND_FROM_PORT = 1022,
	FILES_MAX = 65536, /* 4 descriptors an execution, and what users' programs are used to */
};

/* fd 0 becomes /dev/null, not CLOEXEC: it is the stdin of every process that was given none (namespaces_open() has the
 * box's own take its place). fds 1
 * and 2 stay the console; each process gets its own in their place. */
static int null_stdin(struct err *e)
{
	(void)close(0);
	return open("/dev/null", O_RDWR) == 0 ? 0 : err_errno(e, "open /dev/null");
}

/* The kernel gives lo its address when it comes up. A box without loopback is still a box. */
static void loopback_up(void)
{
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		(void)ioctl(fd, SIOCSIFFLAGS, &ifr);
}

static int machine(struct err *e)
{
	const struct rlimit files = {FILES_MAX, FILES_MAX};
	const char *name = getenv("CONKER_HOSTNAME");

	int r = mounts_dev(e);
	if (r == 0)
		r = null_stdin(e);
	if (r < 0)
		return r;
	loopback_up();
	if (name)
		(void)sethostname(name, strlen(name));
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_errno(e, "limit of open files");
	return 0;
}

/* Returns the cgroup of the box; *ret_each: what an execution in it may not exceed. */
static int make_box(struct namespaces *b, struct cg_limits *ret_each, struct err *e)
{
	struct sysinfo info;

	b->pts_fd = mounts_box(getenv("CONKER_ROOT"), e);
	if (b->pts_fd < 0)
		return b->pts_fd;
	(void)sysinfo(&info); /* fails only for a bad pointer */

	uint64_t ram_bytes = (uint64_t)info.totalram * info.mem_unit;
	struct cg_plan plan = cg_plan(ram_bytes, (uint64_t)info.freeram * info.mem_unit,
				      log_store_bytes(ram_bytes));
	*ret_each = plan.each;
	auto_close int group = cg_mount(e, &plan.box);
	if (group < 0)
		return group;
	int r = namespaces_drop_caps(e);
	if (r == 0)
		r = namespaces_open(b, MOUNTS_ROOT, e);
	if (r == 0)
		r = mounts_seal(e);
	return r < 0 ? r : take_fd(group);
}

static int vsock_socket(unsigned cid, unsigned port, int flags, struct err *e)
{
	struct sockaddr_vm a = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
	auto_close int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return err_errno(e, "vsock port %u", port);
	return take_fd(fd);
}

static int listen_on(unsigned port, struct err *e)
{
	auto_close int fd = vsock_socket(VMADDR_CID_ANY, port, 0, e);

	if (fd < 0)
		return fd;
	if (listen(fd, PORT_STREAMS_MAX) <
	    0) /* what does not fit in there is reset, not kept waiting */
		return err_errno(e, "vsock listen");
	return take_fd(fd);
}

/* The connection request is the message; nobody waits for its answer. The socket stays open because
 * closing it would only cost time. */
static int ring(unsigned from, unsigned port, struct err *e)
{
	struct sockaddr_vm host = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port};
	int fd = vsock_socket(VMADDR_CID_ANY, from, SOCK_NONBLOCK, e);

	if (fd >= 0)
		(void)connect(fd, (struct sockaddr *)&host, sizeof(host));
	return fd;
}

static int ring_suspend(void)
{
	struct err e;

	return ring(SUSPEND_FROM_PORT, PORT_SUSPEND, &e);
}

/* Of the environment; 0 without it. */
static int64_t number_from_env(const char *name)
{
	const char *v = getenv(name);

	return v ? (int64_t)num_at(v) : 0;
}

/* The reaper is forked off before the server's memory is there, which it then need not copy. */
static int serve_box(const struct namespaces *b, int group, const struct cg_limits *each,
		     struct err *e)
{
	struct server *s = server_new();

	if (!s)
		return err_set(e, ENOMEM, "not enough memory");
	s->execs.box = *b;
	s->execs.self.path = (const char *)getauxval(AT_EXECFN);
	cg_init(&s->execs.cg, group, each);

	s->idle.idle_ms = number_from_env("CONKER_IDLE_MS");
	s->idle.life_ms = number_from_env("CONKER_LIFE_MS");
	s->idle.suspends = number_from_env("CONKER_IDLE_SUSPEND") != 0;
	s->freezer.root = MOUNTS_ROOT;
	s->freezer.ring = ring_suspend;

	int fd = listen_on(PORT_EXEC, e);
	if (fd < 0)
		return fd;
	s->forwards.listen_fd = listen_on(PORT_FORWARD, e);
	if (s->forwards.listen_fd < 0)
		return s->forwards.listen_fd;
	int r = ring(READY_FROM_PORT, PORT_READY, e);
	if (r < 0)
		return r;
	r = server_run(s, fd);
	return r < 0 ? err_set(e, -r, "server: %s", strerror(-r)) : 0;
}

int main(int argc, char **argv)
{
	struct err e = {0};
	struct cg_limits each;
	struct namespaces b;

	if (argc > 0 && self_has(argv[0]))
		return files_main(argc, argv);
	if (getpid() != 1) { /* somebody in the box runs the file that he found */
		(void)dprintf(2, "conker-init: this is the first process of a box's kernel\n");
		return 1;
	}
	int r = machine(&e);
	if (r == 0)
		r = make_box(&b, &each, &e);
	if (r >= 0)
		r = serve_box(&b, r, &each, &e);
	if (r < 0) {
		(void)dprintf(2, "conker-init: %s\n", e.msg);
		return 1;
	}
	sync();
	(void)reboot(RB_POWER_OFF);
	return 1;
}
