/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of vmm/vm.h and vmm/vcpu.h, with guests of a few instructions: enough to tell how a machine
 * ends, and done in milliseconds also where guest kernel code is emulated. */
#include <pthread.h>
#include <sys/socket.h>

#include "tests/lib/vm_fixture.h"

GUEST(off_guest, MAP_DEVICES POWER_OFF SPIN);
GUEST(reboot_guest, REBOOT SPIN);
GUEST(syscon_reboot_guest, MAP_DEVICES "movl $2, 0x100000(%rbx);" SPIN);
GUEST(panic_guest, MAP_DEVICES "movb $1, 0x101000(%rbx);" SPIN);
GUEST(crash_guest, "lidt 0x600; ud2;");
GUEST(spin_guest, SPIN);
GUEST(halt_guest, "98: hlt; jmp 98b;");
/* Powers off if what nobody answers reads as it should, reboots if not. */
GUEST(open_bus_guest, MAP_DEVICES "in $0x61, %al; cmp $0xff, %al; jne 1f;"
				  "movl $0x1234, 0x1f0000(%rbx);"
				  "cmpl $0, 0x1f0000(%rbx); jne 1f;"
				  "out %al, $0x80;" POWER_OFF SPIN "1:" REBOOT SPIN);
GUEST(devices_guest, MAP_DEVICES "cmpl $0x74726976, (%rbx); jne 1f;"
				 "cmpl $3, 0x8(%rbx); jne 1f;"
				 "cmpl $0x74726976, 0x1000(%rbx); jne 1f;"
				 "cmpl $19, 0x1008(%rbx); jne 1f;"
				 "cmpl $0, 0x2000(%rbx); jne 1f;" POWER_OFF SPIN "1:" REBOOT SPIN);

/* Powers off if XCR0 allows SSE and AVX registers, or if there is no XSAVE; the port access makes it
 * leave the guest in between, as that is when a hypervisor puts XCR0 back. */
GUEST(xcr0_guest, MAP_DEVICES "mov $1, %eax; xor %ecx, %ecx; cpuid; mov $0xd0000000, %ebx;"
			      "bt $26, %ecx; jnc 2f;"
			      "mov %cr4, %rax; or $0x40000, %eax; mov %rax, %cr4;"
			      "out %al, $0x80; xor %ecx, %ecx; xgetbv;"
			      "and $6, %eax; cmp $6, %eax; jne 1f;"
			      "2:" POWER_OFF SPIN "1:" REBOOT SPIN);

/* Wakes vCPU 1 by INIT and start-up message (x2APIC), which then reboots from real mode: its five bytes
 * at 0x8000 are REBOOT and a jump to itself. */
GUEST(second_vcpu_guest, "movabs $0xfeeb64e6feb0, %rax; mov %rax, 0x8000;"
			 "mov $0x1b, %ecx; rdmsr; or $0xc00, %eax; wrmsr;"
			 "mov $0x830, %ecx; mov $1, %edx; mov $0x4500, %eax; wrmsr;"
			 "mov $0x4608, %eax; wrmsr;" SPIN);

static enum exit_reason run(const uint8_t *code, const uint8_t *end)
{
	make(code, end);
	enum exit_reason r = vm_run(vm);
	vm_free(vm);
	return r;
}

TestSuite(vm, .init = set_up, .timeout = 60);

Test(vm, power_off_is_told)
{
	cr_assert_eq(run(off_guest, off_guest_end), EXIT_POWEROFF);
	cr_assert_str_eq(last_event(), "exited poweroff");
	cr_assert_eq(strncmp(text, "started ", 8), 0);
}

Test(vm, reboot_is_told)
{
	cr_assert_eq(run(reboot_guest, reboot_guest_end), EXIT_REBOOT);
	cr_assert_str_eq(last_event(), "exited reboot");
}

Test(vm, reboot_by_syscon_is_told)
{
	cr_assert_eq(run(syscon_reboot_guest, syscon_reboot_guest_end), EXIT_REBOOT);
}

Test(vm, panic_is_told)
{
	cr_assert_eq(run(panic_guest, panic_guest_end), EXIT_PANIC);
	cr_assert_str_eq(last_event(), "exited panic");
}

Test(vm, triple_fault_is_a_crash_with_its_place)
{
	cr_assert_eq(run(crash_guest, crash_guest_end), EXIT_CRASH);
	cr_assert_eq(strncmp(last_event(), "exited crash triple fault on vCPU 0", 35), 0);
}

Test(vm, open_bus_reads_ones_from_ports_and_zero_from_memory)
{
	cr_assert_eq(run(open_bus_guest, open_bus_guest_end), EXIT_POWEROFF);
}

Test(vm, console_and_vsock_are_always_there_and_disks_only_when_given)
{
	cr_assert_eq(run(devices_guest, devices_guest_end), EXIT_POWEROFF);
}

Test(vm, vector_registers_are_allowed_from_the_start)
{
	cr_assert_eq(run(xcr0_guest, xcr0_guest_end), EXIT_POWEROFF, "%s", last_event());
}

static void *send_term(void *delay_us)
{
	usleep(*(useconds_t *)delay_us);
	kill(getpid(), SIGTERM);
	return NULL;
}

static enum exit_reason run_and_term(const uint8_t *code, const uint8_t *end, useconds_t delay_us)
{
	pthread_t t;

	cr_assert_eq(pthread_create(&t, NULL, send_term, &delay_us), 0);
	enum exit_reason r = run(code, end);
	pthread_join(t, NULL);
	return r;
}

Test(vm, sigterm_stops_a_guest_that_spins)
{
	cr_assert_eq(run_and_term(spin_guest, spin_guest_end, 50000), EXIT_STOPPED);
	cr_assert_str_eq(last_event(), "exited stopped SIGTERM");
}

Test(vm, sigterm_stops_a_guest_that_halted)
{
	cr_assert_eq(run_and_term(halt_guest, halt_guest_end, 50000), EXIT_STOPPED);
}

Test(vm, sigterm_during_set_up_is_not_lost)
{
	kill(getpid(), SIGTERM);
	cr_assert_eq(run(spin_guest, spin_guest_end), EXIT_STOPPED);
}

Test(vm, vcpus_that_were_never_woken_stop_too)
{
	config.cpus = 3;
	cr_assert_eq(run(off_guest, off_guest_end), EXIT_POWEROFF);
	cr_assert_eq(run_and_term(halt_guest, halt_guest_end, 50000), EXIT_STOPPED);
}

Test(vm, second_vcpu_runs_when_the_first_wakes_it)
{
	config.cpus = 2;
	cr_assert_eq(run(second_vcpu_guest, second_vcpu_guest_end), EXIT_REBOOT);
}

Test(vm, many_stops_in_a_row_lose_no_kick)
{
	for (useconds_t i = 0; i < 20; i++)
		cr_assert_eq(run_and_term(spin_guest, spin_guest_end, 1000 + i * 97), EXIT_STOPPED);
}

static int owner[2];

static void *leave(void *arg)
{
	(void)arg;
	usleep(30000);
	close(owner[1]);
	return NULL;
}

static void with_owner(void)
{
	pthread_t t;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, owner), 0);
	config.fd[VMM_FD_OWNER] = events.owner_fd = owner[0];
	cr_assert_eq(pthread_create(&t, NULL, leave, NULL), 0);
	pthread_detach(t);
}

Test(vm, ends_when_its_owner_leaves)
{
	with_owner();
	cr_assert_eq(run(spin_guest, spin_guest_end), EXIT_STOPPED);
	cr_assert(strstr(last_event(), "gone"));
}

/* One that is ready lives on: every `conker create` of the VM tests. */
Test(vm, detached_one_ends_when_its_owner_leaves_before_it_is_ready)
{
	config.detach = true;
	with_owner();
	cr_assert_eq(run(spin_guest, spin_guest_end), EXIT_STOPPED);
	cr_assert(strstr(last_event(), "gone"));
}

/* Open descriptors, by trying. */
static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

Test(vm, leaves_no_descriptor_behind)
{
	unsigned before = open_fds();

	cr_assert_eq(run(off_guest, off_guest_end), EXIT_POWEROFF);
	cr_assert_eq(open_fds(), before + 1, "the kernel file alone, which is the test's own");
}

Test(vm, failed_set_up_says_why_and_leaves_nothing)
{
	static const uint8_t text_file[] = "this is not a kernel";
	unsigned before;
	struct err e = {0};

	config.fd[VMM_FD_KERNEL] = memfd_create("text", MFD_CLOEXEC);
	cr_assert_eq(write(config.fd[VMM_FD_KERNEL], text_file, sizeof(text_file)),
		     sizeof(text_file));
	before = open_fds();
	cr_assert_eq(vm_new(&config, &events, &trace, &vm, &e), -ENOEXEC);
	cr_assert_eq(e.code, ENOEXEC);
	cr_assert(strstr(e.msg, "kernel: not a kernel"), "%s", e.msg);
	cr_assert_eq(open_fds(), before);
}

Test(vm, more_memory_than_the_host_has_is_refused)
{
	struct err e = {0};

	config.fd[VMM_FD_KERNEL] = raw_guest(off_guest, off_guest_end);
	config.memory_mib = CONFIG_MEMORY_MAX_MIB;
	cr_assert_eq(vm_new(&config, &events, &trace, &vm, &e), -ENOMEM);
	cr_assert(strstr(e.msg, "this host has"), "%s", e.msg);
}

Test(vm, impossible_disk_fails_set_up)
{
	struct err e = {0};

	config.fd[VMM_FD_KERNEL] = raw_guest(off_guest, off_guest_end);
	config.ndisks = 1;
	config.fd[VMM_FD_DISK] = memfd_create("empty", MFD_CLOEXEC);
	unsigned before = open_fds();
	config.fd[VMM_FD_KVM] = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	cr_assert_lt(vm_new(&config, &events, &trace, &vm, &e), 0);
	cr_assert(strstr(e.msg, "disk 0"), "%s", e.msg);
	cr_assert_gt(e.code, 0);
	cr_assert_eq(open_fds(), before);
}
