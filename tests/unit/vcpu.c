/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of vmm/vcpu.h that a whole machine (vm.c) cannot show. */
#include <sys/ioctl.h>

#include "tests/lib/test.h"
#include "vmm/arch/x86/boot.h"
#include "vmm/arch/x86/layout.h"
#include "vmm/vcpu.h"

enum { MIB = 1 << 20, ENTRY = 0x200000 };

static struct kvm kvm;
static struct guest_mem mem;
static struct loop loop;
static struct bus bus;
static struct kvm_cpuid2 *cpuid;
static struct vcpu vcpu;
static unsigned gone;
static struct vcpu_gate gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};

static void on_gone(struct vcpu *v)
{
	cr_assert_eq(v, &vcpu);
	gone++;
}

/* The first 4 MiB, identity-mapped. */
static void map_memory(void)
{
	const uint64_t entry[][2] = {{LAYOUT_PML4, LAYOUT_PDPT | 3},
				     {LAYOUT_PDPT, LAYOUT_PD | 3},
				     {LAYOUT_PD, 0x83},
				     {LAYOUT_PD + 8, 0x200083}};

	for (size_t i = 0; i < countof(entry); i++)
		cr_assert_eq(mem_write(&mem, (gpa_t){entry[i][0]}, &entry[i][1], 8), 0);
}

/* A vCPU of its own in front of two bytes of guest code. */
static void make(const uint8_t code[2])
{
	struct err e = {0};

	cr_assert_eq(mem_init(&mem, 4 * MIB, -1, &e), 0);
	cr_assert_eq(mem_write(&mem, (gpa_t){ENTRY}, code, 2), 0);
	map_memory();
	kvm.fd = kvm_device(&e);
	cr_assert_eq(kvm_open(&kvm, &e), 0, "%s", e.msg);
	cr_assert_eq(kvm_add_memory(&kvm, &mem, &e), 0);
	cr_assert_eq(kvm_add_irqchip(&kvm, &e), 0);
	cr_assert_eq(kvm_supported_cpuid(&kvm, &cpuid, &e), 0);
	cr_assert_eq(loop_init(&loop), 0);
	cr_assert_eq(vcpu_global_init(&e), 0);
	struct vcpu_env env = {.kvm = &kvm,
			       .mem = &mem,
			       .cpuid = cpuid,
			       .ncpus = 1,
			       .mmio = &bus,
			       .pio = &bus,
			       .loop = &loop,
			       .gate = &gate,
			       .on_gone = on_gone};
	cr_assert_eq(vcpu_init(&vcpu, &env, 0, &e), 0, "%s", e.msg);
	cr_assert_eq(boot_enter(vcpu.fd, ENTRY, &e), 0);
}

static void need_kvm(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		cr_skip_test("no /dev/kvm");
	close(fd);
}

static void tear_down(void)
{
	free(cpuid);
	kvm_close(&kvm);
	mem_fini(&mem);
}

TestSuite(vcpu, .init = need_kvm, .fini = tear_down, .timeout = 60);

static void wait_until_gone(void)
{
	while (!gone)
		cr_assert_geq(loop_step(&loop, -1), 0);
}

static const uint8_t spin[2] = {0xeb, 0xfe};

Test(vcpu, stop_closes_the_window_before_the_ioctl)
{
	struct err e;

	make(spin);
	cr_assert_eq(vcpu_start(&vcpu, &e), 0);
	vcpu_stop(&vcpu);
	/* A signal that came before the ioctl is gone; what is left to end it is this flag. */
	cr_assert_eq(vcpu.run->immediate_exit, 1);
	wait_until_gone();
	cr_assert_eq(vcpu.exit.reason, EXIT_NONE, "it was stopped, it did not end by itself");
	vcpu_fini(&vcpu);
	cr_assert_eq(gone, 1);
}

Test(vcpu, stop_may_be_repeated_and_comes_to_nothing_before_the_start)
{
	struct err e;

	make(spin);
	vcpu_stop(&vcpu);
	cr_assert_eq(vcpu_start(&vcpu, &e), 0);
	vcpu_stop(&vcpu);
	vcpu_stop(&vcpu);
	wait_until_gone();
	vcpu_stop(&vcpu);
	vcpu_fini(&vcpu);
}

static int end_of_machine(void *user, const struct bus_access *a)
{
	*(struct bus_access *)user = *a;
	return EXIT_POWEROFF;
}

Test(vcpu, what_a_handler_answers_ends_the_machine)
{
	static const uint8_t out_0x10[2] = {0xe6, 0x10};
	struct bus_access seen;
	struct err e;

	bus_add(&bus, &(struct bus_range){0x10, 1, end_of_machine, &seen});
	make(out_0x10);
	cr_assert_eq(vcpu_start(&vcpu, &e), 0);
	vcpu_resume(&vcpu);
	wait_until_gone();
	cr_assert_eq(vcpu.exit.reason, EXIT_POWEROFF);
	cr_assert(seen.write && seen.len == 1 && seen.addr == 0);
	cr_assert_eq(vcpu.count[VCPU_PIO], 1);
	vcpu_fini(&vcpu);
}

Test(vcpu, half_built_one_can_be_freed)
{
	struct vcpu none = {.fd = -1};

	vcpu_fini(&none);
	vcpu_fini(&none);
}

static void wait_until_parked(void)
{
	while (!vcpu_is_parked(&vcpu))
		cr_assert_geq(loop_step(&loop, -1), 0);
}

static uint64_t counted(void)
{
	struct kvm_regs r;

	cr_assert_eq(ioctl(vcpu.fd, KVM_GET_REGS, &r), 0);
	return r.rbx;
}

Test(vcpu, it_runs_nothing_before_it_is_let_go)
{
	struct err e;

	make(spin);
	cr_assert_eq(vcpu_start(&vcpu, &e), 0);
	wait_until_parked();
	cr_assert_eq(vcpu.count[VCPU_SIGNAL], 0);
	vcpu_stop(&vcpu);
	wait_until_gone();
	vcpu_fini(&vcpu);
}

/* Also right after each other: a thread that has not noticed that it may go on is still parked. */
Test(vcpu, pause_and_resume_as_often_as_one_likes)
{
	static const uint8_t count_up[2] = {0xff,
					    0xc3}; /* inc %ebx; then what follows: a jump back */
	struct err e;

	make(count_up);
	cr_assert_eq(mem_write(&mem, (gpa_t){ENTRY + 2}, "\xeb\xfc", 2), 0);
	cr_assert_eq(vcpu_start(&vcpu, &e), 0);
	vcpu_resume(&vcpu);
	for (int i = 0; i < 200; i++) {
		vcpu_pause(&vcpu);
		wait_until_parked();
		uint64_t before = counted();

		cr_assert_eq(counted(), before, "it stands still");
		vcpu_resume(&vcpu);
	}
	for (uint64_t n = 0; n == 0; n = counted()) { /* and it moves in between */
		vcpu_resume(&vcpu);
		usleep(1000);
		vcpu_pause(&vcpu);
		wait_until_parked();
	}
	vcpu_stop(&vcpu);
	wait_until_gone();
	vcpu_fini(&vcpu);
}
