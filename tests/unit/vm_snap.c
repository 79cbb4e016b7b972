/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of vmm/vm_snap.c and vmm/ctl.h, with guests of a few instructions. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "tests/lib/fds.h"
#include "tests/lib/vm_fixture.h"
#include "vmm/ctl.h"
#include "vmm/snap/memfile.h"

enum { FLAG = 0x600, COUNT = 0x608 };

/* Counts, with many exits, until somebody sets the flag in its memory; then it powers off if it
 * lost no count: the one in a register and the one in memory. */
GUEST(count_guest,
      MAP_DEVICES "xor %r8, %r8; 1: inc %r8; incq 0x608; out %al, $0x80;"
		  "cmpq $0, 0x600; je 1b; cmp %r8, 0x608; jne 2f;" POWER_OFF SPIN "2:" REBOOT SPIN);

static struct sockaddr_un ctl_addr = {.sun_family = AF_UNIX};
static int snap[2]; /* state, memory */
static pthread_t runner;
static enum exit_reason reason; /* once runner has been joined */

static void *run_machine(void *unused)
{
	(void)unused;
	reason = vm_run(vm);
	return NULL;
}

static int new_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

/* One that somebody can find. */
static int named_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0, "%s", path);
	return fd;
}

static const char *path_of(const char *name)
{
	static char path[2][64];
	char *p = path[*name == 'm'];

	snprintf(p, sizeof(path[0]), "/tmp/conker-vm_snap-%d.%s", getpid(), name);
	return p;
}

static void remove_named(void)
{
	(void)unlink(path_of("state"));
	(void)unlink(path_of("memory"));
}

static void start(void)
{
	config.fd[VMM_FD_CTL] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	config.fd[VMM_FD_PAGEMAP] = memfile_pagemap();
	snprintf(ctl_addr.sun_path + 1, sizeof(ctl_addr.sun_path) - 1, "vm_snap.%d", getpid());
	cr_assert_eq(bind(config.fd[VMM_FD_CTL], (struct sockaddr *)&ctl_addr, sizeof(ctl_addr)),
		     0);
	cr_assert_eq(listen(config.fd[VMM_FD_CTL], 4), 0);
	make(count_guest, count_guest_end);
	cr_assert_eq(pthread_create(&runner, NULL, run_machine, NULL), 0);
}

static int client(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	cr_assert_eq(connect(fd, (struct sockaddr *)&ctl_addr, sizeof(ctl_addr)), 0);
	return fd;
}

static const char *ask_with(int fd, const char *request, unsigned nfds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(snap))] = {0};
	struct iovec v = {.iov_base = (void *)request, .iov_len = strlen(request)};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	static char answer[CTL_MESSAGE_BYTES];

	if (nfds) {
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(h), snap, nfds * sizeof(int));
	}
	cr_assert_eq(sendmsg(fd, &m, 0), (ssize_t)v.iov_len);
	ssize_t n = recv(fd, answer, sizeof(answer) - 1, 0);
	cr_assert_gt(n, 0);
	answer[n] = '\0';
	return answer;
}

static const char *take(const char *request)
{
	int stop = strstr(request, "stop") != NULL;

	snap[0] = stop ? named_file(path_of("state")) : new_file("state.snap");
	snap[1] = stop ? named_file(path_of("memory")) : new_file("memory.snap");
	int fd = client();
	const char *answer = ask_with(fd, request, 2);

	close(fd);
	return answer;
}

static void end(void)
{
	kill(getpid(), SIGTERM);
	pthread_join(runner, NULL);
	cr_assert_eq(reason, EXIT_STOPPED);
	vm_free(vm);
	config.fd[VMM_FD_CTL] = -1;
}

/* Makes the machine of the snapshot. */
static int restore(struct err *e)
{
	*e = (struct err){0};
	config.fd[VMM_FD_KERNEL] = -1;
	config.cmdline = NULL;
	config.fd[VMM_FD_KVM] = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	config.fd[VMM_FD_RESTORE_STATE] = snap[0];
	config.fd[VMM_FD_RESTORE_MEMORY] = snap[1];
	return vm_new(&config, &events, &trace, &vm, e);
}

TestSuite(vm_snap, .init = set_up, .fini = remove_named, .timeout = 60);

static uint64_t file_count(void)
{
	uint64_t n = 0;

	cr_assert_eq(pread(snap[1], &n, sizeof(n), COUNT), (ssize_t)sizeof(n));
	return n;
}

/* Snapshots until one shows that the machine goes on; the test's timeout bounds it. */
static void take_progress(uint64_t before)
{
	do
		cr_assert_eq(strncmp(take("snapshot"), "done ", 5), 0);
	while (file_count() <= before);
}

static void let_it_end(void)
{
	const uint64_t one = 1;

	cr_assert_eq(pwrite(snap[1], &one, sizeof(one), FLAG), (ssize_t)sizeof(one));
}

/* The copy knows all that the source had counted. */
static void restored_ends(void)
{
	struct err e;

	let_it_end();
	cr_assert_eq(restore(&e), 0, "%s", e.msg);
	cr_assert_eq(vm_run(vm), EXIT_POWEROFF, "%s", last_event());
	vm_free(vm);
}

Test(vm_snap, the_copy_goes_on_where_the_source_stood_and_the_source_too)
{
	start();
	usleep(20000);
	for (int i = 0; i < 20; i++)
		take_progress(i ? file_count() : 0);
	end();
	restored_ends();
}

Test(vm_snap, one_that_is_to_stop_does_not_go_on)
{
	start();
	usleep(20000);
	cr_assert_eq(strncmp(take("snapshot stop"), "done ", 5), 0);
	pthread_join(runner, NULL);
	cr_assert_eq(reason, EXIT_STOPPED);
	cr_assert_str_eq(last_event(), "exited stopped suspended");
	vm_free(vm);
	config.fd[VMM_FD_CTL] = -1;
	restored_ends();
}

Test(vm_snap, a_restored_machine_can_be_copied_again)
{
	struct err e;

	start();
	usleep(20000);
	take("snapshot");
	end();
	config.fd[VMM_FD_CTL] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ctl_addr.sun_path[1] = 'V';
	cr_assert_eq(bind(config.fd[VMM_FD_CTL], (struct sockaddr *)&ctl_addr, sizeof(ctl_addr)),
		     0);
	cr_assert_eq(listen(config.fd[VMM_FD_CTL], 4), 0);
	cr_assert_eq(restore(&e), 0, "%s", e.msg);
	uint64_t before = file_count();
	cr_assert_eq(pthread_create(&runner, NULL, run_machine, NULL), 0);
	take_progress(before);
	end();
	restored_ends();
}

/* Takes no byte, though it can be emptied. */
static int full_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	return fd;
}

Test(vm_snap, a_file_without_a_name_ends_no_machine)
{
	start();
	snap[0] = named_file(path_of("state"));
	snap[1] = named_file(path_of("memory"));
	remove_named();
	int fd = client();
	cr_assert_str_eq(ask_with(fd, "snapshot stop", 2),
			 "failed 116 the memory file was removed meanwhile");
	cr_assert_eq(file_size(snap[0]) + file_size(snap[1]), 0);
	close(fd);
	take_progress(0);
	end();
}

Test(vm_snap, what_an_attempt_before_has_left_in_the_files_is_gone)
{
	static const char junk[1 << 20];
	struct err e;

	start();
	snap[0] = new_file("state.snap");
	snap[1] = new_file("memory.snap");
	cr_assert_eq(pwrite(snap[0], junk, sizeof(junk), 0), (ssize_t)sizeof(junk));
	int fd = client();
	cr_assert_eq(strncmp(ask_with(fd, "snapshot", 2), "done ", 5), 0);
	close(fd);
	cr_assert_lt(file_size(snap[0]), (off_t)sizeof(junk));
	end();
	let_it_end();
	cr_assert_eq(restore(&e), 0, "%s", e.msg);
	vm_free(vm);
}

Test(vm_snap, one_that_stops_says_what_is_left_of_its_life)
{
	unsigned left;

	config.life_ms = 60000;
	start();
	usleep(1200000);
	cr_assert_eq(strncmp(take("snapshot stop"), "done ", 5), 0);
	pthread_join(runner, NULL);
	(void)last_event();
	cr_assert_eq(sscanf(strstr(text, "life "), "life %u", &left), 1, "%s", text);
	cr_assert(left > 20000 && left <= 59000, "%u", left);
	vm_free(vm);
}

Test(vm_snap, what_cannot_be_written_leaves_the_machine_running)
{
	start();
	snap[0] = full_file("state.snap");
	snap[1] = new_file("memory.snap");
	int fd = client();
	cr_assert_eq(strncmp(ask_with(fd, "snapshot", 2), "failed 1 write the state file", 29), 0);
	cr_assert_eq(file_size(snap[1]), 0, "its space is given back");
	cr_assert_eq(strncmp(ask_with(fd, "snapshot stop", 2), "failed 1 ", 9), 0);
	cr_assert_eq(file_size(snap[1]), 0, "its space is given back");
	close(fd);
	take_progress(0);
	end();
}

Test(vm_snap, nonsense_is_refused_in_words)
{
	start();
	snap[0] = snap[1] = new_file("x");
	int fd = client();
	cr_assert_str_eq(ask_with(fd, "dance", 0), "failed 22 no such request");
	cr_assert_str_eq(ask_with(fd, "snapshot", 0), "failed 9 two descriptors are needed");
	cr_assert_str_eq(ask_with(fd, "snapshot", 1), "failed 9 two descriptors are needed");
	close(fd);
	end();
}

static void refused(const char *why)
{
	struct err e;

	cr_assert_eq(restore(&e), -EINVAL, "%s", why);
	cr_assert(strstr(e.msg, why), "'%s' instead of '%s'", e.msg, why);
	close(config.fd[VMM_FD_KVM]);
}

static void flip(int fd, off_t at)
{
	uint8_t b;

	cr_assert_eq(pread(fd, &b, 1, at), 1);
	b ^= 0x10;
	cr_assert_eq(pwrite(fd, &b, 1, at), 1);
}

Test(vm_snap, damaged_truncated_and_foreign_files_are_refused)
{
	off_t size;

	start();
	take("snapshot");
	int other = snap[1];
	take("snapshot");
	end();

	size = lseek(snap[0], 0, SEEK_END);
	flip(snap[0], size / 2);
	refused("damaged");
	flip(snap[0], size / 2);
	cr_assert_eq(ftruncate(snap[0], size - 1), 0);
	refused("cut short");
	cr_assert_eq(ftruncate(snap[0], 3), 0);
	refused("is none");
	cr_assert_eq(ftruncate(snap[0], 0), 0);
	refused("is none");
	(void)other;
}

Test(vm_snap, memory_of_another_snapshot_is_refused)
{
	off_t size;

	start();
	take("snapshot");
	int other = snap[1];
	take("snapshot");
	end();
	int own = snap[1];
	snap[1] = other;
	refused("another snapshot");
	snap[1] = own;
	size = lseek(own, 0, SEEK_END);
	cr_assert_eq(ftruncate(own, size - 4096), 0);
	refused("cut short");
	cr_assert_eq(ftruncate(own, size), 0);
	refused("damaged");
}

Test(vm_snap, another_shape_is_refused)
{
	start();
	take("snapshot");
	end();
	config.memory_mib = 64;
	refused("MiB of memory");
	config.memory_mib = 32;
	config.cpus = 2;
	refused("vCPUs");
	config.cpus = 1;
	config.ndisks = 1;
	refused("disks");
}
