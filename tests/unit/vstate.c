/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of vmm/arch/x86/vstate.h, with a machine of a few instructions on the host's KVM. */
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "tests/lib/test.h"
#include "vmm/arch/x86/boot.h"
#include "vmm/arch/x86/cpu.h"
#include "vmm/arch/x86/layout.h"
#include "vmm/arch/x86/vstate.h"
#include "util/clock.h"

enum {
	MIB = 1 << 20,
	ENTRY = 0x200000,
	PORT = 0x10,
	LSTAR = 0xc0000082,
	MSR_TSC = 0x10,
	DEADLINE = 0x6e0
};

/* 1: inc %rbx; out %al, $0x10; jmp 1b */
static const uint8_t counter[] = {0x48, 0xff, 0xc3, 0xe6, PORT, 0xeb, 0xf9};

struct machine {
	struct kvm kvm;
	struct guest_mem mem;
	int cpu;
	struct kvm_run *run;
};

static struct machine first, second;
static struct kvm_msr_list *msrs;
static struct vcpu_state state;
static struct err e;

static void map_memory(const struct guest_mem *mem)
{
	const uint64_t entry[][2] = {{LAYOUT_PML4, LAYOUT_PDPT | 3},
				     {LAYOUT_PDPT, LAYOUT_PD | 3},
				     {LAYOUT_PD, 0x83},
				     {LAYOUT_PD + 8, 0x200083}};

	for (size_t i = 0; i < countof(entry); i++)
		cr_assert_eq(mem_write(mem, (gpa_t){entry[i][0]}, &entry[i][1], 8), 0);
	cr_assert_eq(mem_write(mem, (gpa_t){ENTRY}, counter, sizeof(counter)), 0);
}

static void make(struct machine *m)
{
	struct kvm_cpuid2 *cpuid;

	cr_assert_eq(mem_init(&m->mem, 4 * MIB, -1, &e), 0);
	map_memory(&m->mem);
	m->kvm.fd = kvm_device(&e);
	cr_assert_eq(kvm_open(&m->kvm, &e), 0, "%s", e.msg);
	cr_assert_eq(kvm_add_memory(&m->kvm, &m->mem, &e), 0);
	cr_assert_eq(kvm_add_irqchip(&m->kvm, &e), 0);
	cr_assert_eq(kvm_supported_cpuid(&m->kvm, &cpuid, &e), 0);
	struct cpu_shape shape = {.ncpus = 1, .tsc_deadline = m->kvm.tsc_deadline};
	cpu_template(cpuid, &shape);
	m->cpu = ioctl(m->kvm.vm_fd, KVM_CREATE_VCPU, 0);
	cr_assert_geq(m->cpu, 0);
	cr_assert_eq(cpu_set_up(m->cpu, cpuid, &e), 0);
	free(cpuid);
	m->run = mmap(NULL, m->kvm.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->cpu, 0);
	cr_assert_neq(m->run, MAP_FAILED);
}

static void run_to_port(struct machine *m)
{
	while (ioctl(m->cpu, KVM_RUN, 0) < 0)
		;
	cr_assert_eq(m->run->exit_reason, KVM_EXIT_IO);
	cr_assert_eq(m->run->io.port, PORT);
}

/* What vcpu_pause() does. */
static void finish_exit(struct machine *m)
{
	m->run->immediate_exit = 1;
	cr_assert_eq(ioctl(m->cpu, KVM_RUN, 0), -1);
	m->run->immediate_exit = 0;
}

static uint64_t rbx(const struct machine *m)
{
	struct kvm_regs r;

	cr_assert_eq(ioctl(m->cpu, KVM_GET_REGS, &r), 0);
	return r.rbx;
}

static uint64_t msr(const struct machine *m, uint32_t index)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} b = {.head.nmsrs = 1, .entry.index = index};

	cr_assert_eq(ioctl(m->cpu, KVM_GET_MSRS, &b), 1);
	return b.entry.data;
}

static void set_msr(const struct machine *m, uint32_t index, uint64_t val)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} b = {.head.nmsrs = 1, .entry = {.index = index, .data = val}};

	cr_assert_eq(ioctl(m->cpu, KVM_SET_MSRS, &b), 1);
}

static void start(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		cr_skip_test("no /dev/kvm");
	close(fd);
	make(&first);
	make(&second);
	cr_assert_eq(boot_enter(first.cpu, ENTRY, &e), 0);
	msrs = vstate_msrs(&first.kvm, &e);
	cr_assert(msrs, "%s", e.msg);
}

TestSuite(vstate, .init = start, .timeout = 60);

static void move(void)
{
	finish_exit(&first);
	cr_assert_eq(vstate_get(&first.kvm, first.cpu, msrs, &state, &e), 0, "%s", e.msg);
	cr_assert_eq(vstate_set(&second.kvm, second.cpu, &state, &e), 0, "%s", e.msg);
}

Test(vstate, another_machine_goes_on_where_this_one_stood)
{
	for (int i = 0; i < 3; i++)
		run_to_port(&first);
	move();
	cr_assert_eq(rbx(&second), 3);
	run_to_port(&second);
	cr_assert_eq(rbx(&second), 4);
}

Test(vstate, what_only_the_kernel_sees_comes_along)
{
	set_msr(&first, LSTAR, 0xffffffff81234560);
	run_to_port(&first);
	move();
	cr_assert_eq(msr(&second, LSTAR), 0xffffffff81234560);
}

Test(vstate, vector_registers_come_along)
{
	struct kvm_xsave x;

	run_to_port(&first);
	cr_assert_eq(ioctl(first.cpu, KVM_GET_XSAVE, &x), 0);
	memset((uint8_t *)&x + 160, 0x5a, 16); /* XMM0, and that it is in use */
	((uint8_t *)&x)[XSTATE_HEADER] |= XSTATE_SSE;
	cr_assert_eq(ioctl(first.cpu, KVM_SET_XSAVE, &x), 0);
	move();
	memset(&x, 0, sizeof(x));
	cr_assert_eq(ioctl(second.cpu, KVM_GET_XSAVE, &x), 0);
	cr_assert_eq(((uint8_t *)&x)[160], 0x5a);
	cr_assert_eq(((uint8_t *)&x)[175], 0x5a);
}

/* Where the time stamp counter can be set it leaves the gap out, else the deadline moves along with
 * it: either way the time left is the same. */
Test(vstate, a_timer_keeps_the_time_it_has_left)
{
	enum { LVT_TIMER = 0x320, DEADLINE_MODE = 0x40000, SPURIOUS = 0xf0, ENABLED = 0x1ff };
	struct kvm_lapic_state l;
	const uint32_t mode = DEADLINE_MODE | 0x40, spurious = ENABLED;

	run_to_port(&first);
	finish_exit(&first);
	cr_assert_eq(ioctl(first.cpu, KVM_GET_LAPIC, &l), 0);
	memcpy(l.regs + LVT_TIMER, &mode, sizeof(mode));
	memcpy(l.regs + SPURIOUS, &spurious, sizeof(spurious));
	cr_assert_eq(ioctl(first.cpu, KVM_SET_LAPIC, &l), 0);
	cr_assert_eq(vstate_get(&first.kvm, first.cpu, msrs, &state, &e), 0, "%s", e.msg);
	uint64_t per_s = state.tsc_khz * 1000ULL, spent_ns = clock_now_ns();
	set_msr(&first, DEADLINE, msr(&first, MSR_TSC) + 100 * per_s);
	cr_assert_eq(vstate_get(&first.kvm, first.cpu, msrs, &state, &e), 0, "%s", e.msg);
	spent_ns = clock_now_ns() -
		   spent_ns; /* what is not the gap counts, also on a machine that stalls */
	sleep(1);
	uint64_t again_ns = clock_now_ns();
	cr_assert_eq(vstate_set(&second.kvm, second.cpu, &state, &e), 0, "%s", e.msg);
	uint64_t left = msr(&second, DEADLINE) - msr(&second, MSR_TSC);
	spent_ns += clock_now_ns() - again_ns;
	cr_assert_gt(left + spent_ns / 1000 * per_s / 1000000, 100 * per_s - per_s / 2, "%lu",
		     left);
	cr_assert_lt(left, 100 * per_s + per_s / 2, "%lu", left);
}

Test(vstate, the_clock_leaves_the_gap_out)
{
	struct board_state b, c;

	uint64_t spent_ns = clock_now_ns();
	cr_assert_eq(board_get(&first.kvm, &b, &e), 0, "%s", e.msg);
	spent_ns = clock_now_ns() - spent_ns;
	sleep(1);
	uint64_t again_ns = clock_now_ns();
	cr_assert_eq(board_set(&second.kvm, &b, &e), 0, "%s", e.msg);
	cr_assert_eq(board_get(&second.kvm, &c, &e), 0);
	spent_ns += clock_now_ns() - again_ns;
	cr_assert_geq(c.clock_ns, b.clock_ns);
	cr_assert_lt(c.clock_ns - b.clock_ns, 500000000ULL + spent_ns);
}

Test(vstate, interrupt_controllers_come_along)
{
	struct board_state b, c;

	cr_assert_eq(board_get(&first.kvm, &b, &e), 0, "%s", e.msg);
	b.irqchip[2].chip.ioapic.redirtbl[7].bits = 0x10031;
	cr_assert_eq(board_set(&second.kvm, &b, &e), 0, "%s", e.msg);
	cr_assert_eq(board_get(&second.kvm, &c, &e), 0);
	cr_assert_eq(c.irqchip[2].chip.ioapic.redirtbl[7].bits, 0x10031);
}

Test(vstate, an_msr_that_this_host_refuses_is_an_error_with_its_number)
{
	run_to_port(&first);
	finish_exit(&first);
	cr_assert_eq(vstate_get(&first.kvm, first.cpu, msrs, &state, &e), 0);
	state.msr[state.nmsrs++] = (struct kvm_msr_entry){.index = 0x12345, .data = 1};
	cr_assert_lt(vstate_set(&second.kvm, second.cpu, &state, &e), 0);
	cr_assert(strstr(e.msg, "0x12345"), "%s", e.msg);
}

Test(vstate, controllers_in_the_wrong_order_are_refused)
{
	struct board_state b;

	cr_assert_eq(board_get(&first.kvm, &b, &e), 0);
	b.irqchip[1].chip_id = 2;
	cr_assert_eq(board_set(&second.kvm, &b, &e), -EINVAL);
}
