/* SPDX-License-Identifier: Apache-2.0 */
/* inject.c - a conker-vmm that is taken over: it makes a system call that its guest never asked for.
 *
 * Linked around the objects of the real one by the linker's --wrap, so that the product has no hook. The order
 * is a word of the guest's command line:
 *
 *	inject=KIND:NUMBER[,ARG...]	on a thread of that kind, after its filter: vcpu, loop, disk
 *	inject=vcpu:reach		no filters at all: tries everything an intruder would, and says
 *					"reached WHAT" on stderr for what worked, then "reach done"
 *	inject=vcpu:look		the harmless half of it, to be tried without a jail, too
 *
 * A call that is not refused is said, too: "inject: system call N gave R".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vmm/bus.h"
#include "vmm/config.h"
#include "vmm/seccomp.h"
#include "vmm/virtio/device.h"

static char kind[8], what[64];

/* The linker's names. NOLINTBEGIN */
int __real_config_parse(int argc, char *const argv[], struct config *ret, struct err *e);
int __real_bus_access(const struct bus *b, const struct bus_access *a);
void __real_console_drain(struct virtio_dev *d);
int __real_fdatasync(int fd);
void __real_seccomp_enter(enum seccomp_kind k);
int __wrap_config_parse(int argc, char *const argv[], struct config *ret, struct err *e);
int __wrap_bus_access(const struct bus *b, const struct bus_access *a);
void __wrap_console_drain(struct virtio_dev *d);
int __wrap_fdatasync(int fd);
void __wrap_seccomp_enter(enum seccomp_kind k);
/* NOLINTEND */

/* --- what an intruder would try ------------------------------------------------------------------ */

static void reached(const char *thing, int yes)
{
	if (yes)
		fprintf(stderr, "reached %s\n", thing);
}

static int can_open(int at, const char *path, int flags)
{
	int fd = openat(at, path, flags);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void try_files(void)
{
	static const char *const paths[] = {
		"/etc/passwd", "/proc/self/status", "/dev/kvm",  "/dev/null",
		"/sys",        "/proc/1/root/etc",  "../../etc", "/tmp"};

	for (size_t i = 0; i < countof(paths); i++)
		reached(paths[i], can_open(AT_FDCWD, paths[i], O_RDONLY));
	for (int fd = 0; fd < 64; fd++) { /* no descriptor is a way to a path */
		reached("a path beside a descriptor", can_open(fd, "..", O_RDONLY));
		reached("a directory", fchdir(fd) == 0);
	}
}

static void try_network(void)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(22), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct if_nameindex *all = if_nameindex();
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	reached("loopback", fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	to.sin_addr.s_addr = htonl(0x01010101);
	reached("the internet", fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	for (struct if_nameindex *i = all; i && i->if_index; i++)
		reached("a network interface", strcmp(i->if_name, "lo") != 0);
	reached("raw packets", socket(AF_PACKET, SOCK_RAW, 0) >= 0);
}

static void try_processes(void)
{
	for (pid_t pid = 2; pid < 70000; pid++)
		if (kill(pid, 0) == 0 && syscall(SYS_tgkill, getpid(), pid, 0) < 0)
			reached("another process", 1);
	reached("its parent", kill(getppid(), 0) == 0 && getppid() != 0);
}

static void try_rights(void)
{
	reached("a new file", can_open(AT_FDCWD, "/x", O_RDWR | O_CREAT));
	reached("a file of the root", can_open(AT_FDCWD, "/", O_TMPFILE | O_RDWR));
	reached("the old root", chroot("..") == 0);
	reached("ptrace", ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0);
	reached("root", setuid(0) == 0 || setresuid(0, 0, 0) == 0);
	reached("a mount", mount("none", "/", "tmpfs", 0, NULL) == 0);
	reached("a device", mknod("/kvm", S_IFCHR | 0600, makedev(10, 232)) == 0);
	reached("the host's name", sethostname("x", 1) == 0);
	reached("a namespace of others", unshare(CLONE_NEWNET | CLONE_NEWNS) == 0);
	reached("a program", execl("/bin/sh", "sh", NULL) == 0);
}

static void reach(int all)
{
	try_files();
	try_network();
	try_processes();
	if (all)
		try_rights();
	fprintf(stderr, "reach done\n");
}

/* --- injection ------------------------------------------------------------------------------------- */

static int has_no_filter(void)
{
	return strcmp(what, "reach") == 0 || strcmp(what, "look") == 0;
}

static long take_number(char **at)
{
	long n = 0;
	int used = 0;

	if (sscanf(*at, "%li%n", &n, &used) == 1)
		*at += used;
	return n;
}

static void inject(const char *here)
{
	long arg[6] = {0}, number;
	char *at = what;

	if (strcmp(kind, here) != 0 || !*what)
		return;
	if (has_no_filter()) {
		int all = *what == 'r';

		*what = 0;
		reach(all);
		return;
	}
	number = take_number(&at);
	for (int i = 0; i < 6 && *at == ','; i++) {
		at++;
		arg[i] = take_number(&at);
	}
	*what = 0;
	long r = syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	char line[64];
	int n = snprintf(line, sizeof(line), "inject: system call %ld gave %ld\n", number, r);
	(void)!write(STDERR_FILENO, line, (size_t)n);
}

int __wrap_config_parse(int argc, char *const argv[], struct config *ret, struct err *e)
{
	int r = __real_config_parse(argc, argv, ret, e);
	const char *order = r == 0 ? strstr(ret->cmdline, "inject=") : NULL;

	if (order && sscanf(order, "inject=%7[a-z]:%63[^ ]", kind, what) != 2)
		abort();
	return r;
}

int __wrap_bus_access(const struct bus *b, const struct bus_access *a)
{
	inject("vcpu");
	return __real_bus_access(b, a);
}

void __wrap_console_drain(struct virtio_dev *d)
{
	inject("loop");
	__real_console_drain(d);
}

int __wrap_fdatasync(int fd)
{
	inject("disk");
	return __real_fdatasync(fd);
}

void __wrap_seccomp_enter(enum seccomp_kind k)
{
	if (!has_no_filter())
		__real_seccomp_enter(k);
}
