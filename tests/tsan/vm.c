/* SPDX-License-Identifier: Apache-2.0 */
/* vm.c - a machine's threads under TSan: kicks against vCPUs that spin, halt, wait to be woken and touch
 * devices, ends by signal and by the guest. A plain program: Criterion aborts under TSan. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/lib/raw_guest.h"
#include "vmm/vm.h"

enum { ROUNDS = 10, SKIPPED = 77 };

GUEST(spin_guest, SPIN);
GUEST(halt_guest, "98: hlt; jmp 98b;");
GUEST(reboot_guest, REBOOT SPIN);
/* Maps the devices, resets the console and asks for its magic, for ever. */
GUEST(device_guest,
      MAP_DEVICES "96: movl $0, 0x70(%rbx); mov (%rbx), %eax; movl $0, 0x50(%rbx); jmp 96b;");

static void *send_term(void *delay_us)
{
	usleep(*(useconds_t *)delay_us);
	kill(getpid(), SIGTERM);
	return NULL;
}

static void expect(const uint8_t *code, const uint8_t *end, enum exit_reason want, int round)
{
	struct config c = config_none();
	struct events ev = {.state_fd = memfd_create("state", MFD_CLOEXEC), .owner_fd = -1};
	struct trace t = {0};
	struct err e = {0};
	struct vm *v = NULL;
	useconds_t delay_us = 2000 + 777 * (useconds_t)round;
	pthread_t term;

	c.memory_mib = 32;
	c.cpus = 2;
	c.fd[VMM_FD_KERNEL] = raw_guest(code, end);
	c.fd[VMM_FD_CONSOLE] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	c.fd[VMM_FD_KVM] = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	c.cmdline = "";
	if (vm_new(&c, &ev, &t, &v, &e) < 0) {
		fprintf(stderr, "set-up: %s\n", e.msg);
		exit(1);
	}
	if (want == EXIT_STOPPED && pthread_create(&term, NULL, send_term, &delay_us) != 0)
		abort();
	enum exit_reason got = vm_run(v);
	if (want == EXIT_STOPPED)
		pthread_join(term, NULL);
	vm_free(v);
	close(c.fd[VMM_FD_KERNEL]);
	close(ev.state_fd);
	if (got != want) {
		fprintf(stderr, "ended by %s, not %s\n", exit_reason_name(got),
			exit_reason_name(want));
		exit(1);
	}
}

int main(void)
{
	sigset_t set;

	if (access("/dev/kvm", R_OK | W_OK) < 0) {
		printf("skipped: no /dev/kvm\n");
		return SKIPPED;
	}
	vm_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		expect(spin_guest, spin_guest_end, EXIT_STOPPED, i);
		expect(halt_guest, halt_guest_end, EXIT_STOPPED, i);
		expect(device_guest, device_guest_end, EXIT_STOPPED, i);
		expect(reboot_guest, reboot_guest_end, EXIT_REBOOT, i);
	}
	printf("vm: ok\n");
	return 0;
}
