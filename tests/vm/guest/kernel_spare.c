/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_spare - what patches 0016 to 0019, 0024, 0025 and 0029 let init spare, and that it is refused, or
 * done all the same, where it must be.
 * Prints each fact that is not so; exits 1 then. Runs as root in a box.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"

#define PIPE_IOC_ARE_NEW _IO('P', 0x70)

/* ---- a pipe is as good as new, or not --------------------------------------------------------- */

static void use_nothing(int *p)
{
	(void)p;
}
static void use_bytes(int *p)
{
	(void)!write(p[1], "x", 1);
}
static void use_nonblock(int *p)
{
	(void)fcntl(p[1], F_SETFL, O_NONBLOCK);
}
static void use_packets(int *p)
{
	(void)fcntl(p[1], F_SETFL, O_DIRECT);
}
static void use_owner(int *p)
{
	(void)fcntl(p[1], F_SETOWN, getpid());
}
static void use_size(int *p)
{
	(void)fcntl(p[1], F_SETPIPE_SZ, 4096);
}
static void use_mode(int *p)
{
	(void)fchmod(p[1], 0666);
}
static void use_group(int *p)
{
	(void)fchown(p[1], 0, 1);
}
static void use_second_descriptor(int *p)
{
	(void)fcntl(p[1], F_DUPFD_CLOEXEC, 0);
}

static void use_second_file(int *p)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", p[1]);
	(void)open(path, O_RDONLY | O_NONBLOCK);
}

static void use_epoll(int *p)
{
	struct epoll_event ev = {.events = EPOLLOUT};

	(void)epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, p[1], &ev);
}

static void use_inotify(int *p)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", p[1]);
	(void)inotify_add_watch(inotify_init1(0), path, IN_MODIFY);
}

static void use_child(int *p)
{
	pid_t pid = fork();

	(void)p;
	if (pid == 0) {
		sleep(5);
		_exit(0);
	}
}

/* Written, read again, and left alone: nothing of it remains. */
static void use_and_empty(int *p)
{
	char c;

	(void)!write(p[1], "x", 1);
	(void)!read(p[0], &c, 1);
}

static void check_pipes(void)
{
	static const struct {
		const char *what;
		void (*use)(int *p);
		int is_new;
	} cases[] = {
		{"untouched", use_nothing, 1},
		{"emptied", use_and_empty, 1},
		{"with bytes in it", use_bytes, 0},
		{"non-blocking", use_nonblock, 0},
		{"in packet mode", use_packets, 0},
		{"with an owner for signals", use_owner, 0},
		{"of another size", use_size, 0},
		{"of another mode", use_mode, 0},
		{"of another group", use_group, 0},
		{"with a second descriptor", use_second_descriptor, 0},
		{"opened again", use_second_file, 0},
		{"in an epoll set", use_epoll, 0},
		{"watched", use_inotify, 0},
		{"in another process", use_child, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int p[2], other[2], is_new = cases[i].is_new;

		if (pipe2(p, O_CLOEXEC) < 0)
			exit(99);
		cases[i].use(p);
		if (pipe2(other, O_CLOEXEC) < 0)
			exit(99);
		if (ioctl(p[1], PIPE_IOC_ARE_NEW, -1) == is_new &&
		    ioctl(p[1], PIPE_IOC_ARE_NEW, 0) == is_new && /* no pipe */
		    ioctl(p[1], PIPE_IOC_ARE_NEW, other[1]) == (is_new | 2) &&
		    ioctl(other[1], PIPE_IOC_ARE_NEW, p[1]) == (1 | is_new << 1))
			continue;
		printf("not so: a pipe %s is %s new\n", cases[i].what,
		       cases[i].is_new ? "as good as" : "not");
		bad = 1;
	}
}

/* ---- namespaces ------------------------------------------------------------------------------- */

static ino_t namespace_of(const char *path)
{
	struct stat st = {0};

	(void)stat(path, &st);
	return st.st_ino;
}

static void check_namespaces(void)
{
	ino_t mnt = namespace_of("/proc/self/ns/mnt"),
	      cgroup = namespace_of("/proc/self/ns/cgroup");
	int mnt_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	int uts_fd = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
	char cwd[64] = "";

	expect(setns(mnt_fd, CLONE_NEWCGROUP) < 0 && errno == EINVAL,
	       "a file is entered as what it is");
	expect(setns(uts_fd, CLONE_NEWUTS | CLONE_NEWCGROUP) < 0 && errno == EINVAL,
	       "only mounts come with a new cgroup namespace");
	expect(namespace_of("/proc/self/ns/cgroup") == cgroup, "what is refused changes nothing");
	expect(chdir("/tmp") == 0 && setns(mnt_fd, CLONE_NEWNS) == 0 && getcwd(cwd, sizeof(cwd)) &&
		       strcmp(cwd, "/") == 0,
	       "who enters mounts is at their root");
	expect(namespace_of("/proc/self/ns/cgroup") == cgroup,
	       "mounts alone leave the cgroup namespace");
	expect(setns(mnt_fd, CLONE_NEWNS | CLONE_NEWCGROUP) == 0,
	       "mounts and a new cgroup namespace");
	expect(namespace_of("/proc/self/ns/mnt") == mnt, "the same mounts");
	expect(namespace_of("/proc/self/ns/cgroup") != cgroup, "another cgroup namespace");
	close(mnt_fd);
	close(uts_fd);
}

/* ---- cgroups ---------------------------------------------------------------------------------- */

static void put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	(void)!write(fd, value, strlen(value));
	close(fd);
}

static void check_events(const char *group)
{
	char procs[128], events[128], buf[4096];

	(void)snprintf(procs, sizeof(procs), "%s/cgroup.procs", group);
	(void)snprintf(events, sizeof(events), "%s/cgroup.events", group);
	int in = inotify_init1(IN_NONBLOCK);
	struct pollfd p = {.fd = in, .events = POLLIN};

	expect(inotify_add_watch(in, events, IN_MODIFY) >= 0, "inotify on cgroup.events");
	pid_t pid = fork();
	if (pid == 0) {
		put(procs, "0");
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	expect(poll(&p, 1, 20000) == 1 && read(in, buf, sizeof(buf)) > 0,
	       "inotify tells of a group's first or last process");
}

/* What a file of one number says, or of the line that begins with name; -1: it cannot be read. */
static long number_in(const char *path, const char *name)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[4096];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n < 0 ? 0 : n] = '\0';
	const char *line = strstr(text, name);

	return n < 0 || !line ? -1 : (long)strtoul(line + strlen(name), NULL, 10);
}

/* A threaded controller may be had below a group only if that has no process of its own. */
static void check_peak(void)
{
	(void)mkdir("/tmp/cg/self", 0755);
	put("/tmp/cg/self/cgroup.procs", "0");
	put("/tmp/cg/cgroup.subtree_control", "+pids");
	check_events("/tmp/cg/leaf");
	expect(number_in("/tmp/cg/leaf/pids.peak", "") == 1, "pids.peak knows of a process");
	put("/tmp/cg/leaf/pids.peak", "0");
	expect(number_in("/tmp/cg/leaf/pids.peak", "") == 0, "pids.peak can be reset");
}

/* ---- RCU -------------------------------------------------------------------------------------- */

/* A group is gone when callbacks have run, one after the other. */
static int groups_go(void)
{
	for (int i = 0; i < 500; i++) {
		if (number_in("/tmp/cg/cgroup.stat", "nr_dying_descendants") == 0)
			return 1;
		usleep(20000);
	}
	return 0;
}

static void make_and_remove_groups(void)
{
	for (int i = 0; i < 10; i++)
		expect(mkdir("/tmp/cg/x", 0755) == 0 && rmdir("/tmp/cg/x") == 0, "a group");
}

static void check_callbacks(void)
{
	make_and_remove_groups();
	expect(groups_go(), "callbacks run when the CPU is idle");
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			;
	make_and_remove_groups();
	expect(groups_go(), "callbacks run beside a program that spins");
	(void)kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	(void)mkdir("/tmp/cg", 0700);
	if (mount("cgroup2", "/tmp/cg", "cgroup2", 0, NULL) < 0) {
		perror("mount");
		return 99;
	}
	(void)mkdir("/tmp/cg/leaf", 0755);
	check_events("/tmp/cg/leaf");
	check_peak();
	check_callbacks();
	check_pipes();
	check_namespaces();
	return bad;
}
