/* SPDX-License-Identifier: Apache-2.0 */
/* vm_fixture.h - a machine with a guest of a few instructions, for unit tests of vm.h. */
#ifndef TESTS_LIB_VM_FIXTURE_H
#define TESTS_LIB_VM_FIXTURE_H

#include <signal.h>
#include <sys/mman.h>

#include "tests/lib/raw_guest.h"
#include "tests/lib/test.h"
#include "vmm/vm.h"

static struct config config;
static struct trace trace;
static struct events events;
static struct vm *vm;
static char text[1024];

static void set_up(void)
{
	sigset_t set;

	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		cr_skip_test("no /dev/kvm");
	close(kvm);
	vm_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	trace_init(&trace);
	config = config_none();
	config.memory_mib = 32;
	config.cpus = 1;
	config.fd[VMM_FD_CONSOLE] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	config.cmdline = "";
	events = (struct events){.state_fd = memfd_create("state", MFD_CLOEXEC), .owner_fd = -1};
}

static void make(const uint8_t *code, const uint8_t *end)
{
	struct err e = {0};

	config.fd[VMM_FD_KERNEL] = raw_guest(code, end);
	config.fd[VMM_FD_KVM] = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	cr_assert_eq(vm_new(&config, &events, &trace, &vm, &e), 0, "%s", e.msg);
}

/* The last event line. */
static const char *last_event(void)
{
	ssize_t n = pread(events.state_fd, text, sizeof(text) - 1, 0);

	cr_assert_gt(n, 0);
	cr_assert_eq(text[n - 1], '\n');
	text[n - 1] = '\0';
	char *nl = strrchr(text, '\n');
	return nl ? nl + 1 : text;
}

#endif
