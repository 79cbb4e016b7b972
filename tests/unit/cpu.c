/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/test.h"
#include "vmm/arch/x86/cpu.h"
#include "vmm/kvm.h"

static struct kvm_cpuid2 *c;

static void add(uint32_t function, uint32_t index, const uint32_t regs[4])
{
	c->entries[c->nent++] = (struct kvm_cpuid_entry2){.function = function,
							  .index = index,
							  .eax = regs[0],
							  .ebx = regs[1],
							  .ecx = regs[2],
							  .edx = regs[3]};
}

#define LEAF(fn, ix, a, b, cc, d) add(fn, ix, (const uint32_t[]){a, b, cc, d})

static void start(const char vendor[4])
{
	uint32_t v;

	c = calloc(1, sizeof(*c) + (KVM_CPUID_ENTRIES + KVM_CPUID_SPARE) * sizeof(c->entries[0]));
	memcpy(&v, vendor, 4);
	LEAF(0, 0, 0x20, v, 0, 0);
	LEAF(1, 0, 0x806f8, 0x07020800, 0, 0x0f8bfbff);
	LEAF(4, 0, 0x04000121, 0, 0, 0);
	LEAF(4, 1, 0, 0, 0, 0);
	LEAF(7, 0, 0, 0, 0, 0);
	LEAF(0xb, 0, 0x55, 0x55, 0x55, 0x55);
	LEAF(0xb, 7, 0x55, 0x55, 0x55, 0x55);
	LEAF(0x1f, 0, 0x55, 0x55, 0x55, 0x55);
	LEAF(0x80000008, 0, 0, 0, 0, 0);
}

static void intel(void)
{
	start("Genu");
}

static void stop(void)
{
	free(c);
}

TestSuite(cpu, .init = intel, .fini = stop);

static const struct kvm_cpuid_entry2 *leaf(uint32_t function, uint32_t index)
{
	const struct kvm_cpuid_entry2 *found = NULL;

	for (uint32_t i = 0; i < c->nent; i++)
		if (c->entries[i].function == function && c->entries[i].index == index) {
			cr_assert_null(found, "leaf %#x.%u is there twice", function, index);
			found = &c->entries[i];
		}
	return found;
}

static void apply(unsigned apic_id, unsigned ncpus)
{
	cpu_template(c, &(struct cpu_shape){.apic_id = apic_id, .ncpus = ncpus});
}

Test(cpu, each_vcpu_shows_its_own_apic_id_in_every_leaf_that_has_one)
{
	for (unsigned id = 0; id < 4; id++) { /* each on top of the one before */
		apply(id, 4);
		cr_assert_eq(leaf(1, 0)->ebx >> 24, id);
		for (unsigned level = 0; level < 3; level++)
			cr_assert_eq(leaf(0xb, level)->edx, id);
	}
}

Test(cpu, topology_is_one_package_of_single_thread_cores)
{
	apply(2, 5);
	cr_assert_eq(leaf(0xb, 0)->eax, 0);
	cr_assert_eq(leaf(0xb, 0)->ebx, 1);
	cr_assert_eq(leaf(0xb, 0)->ecx, 0x100);
	cr_assert_eq(leaf(0xb, 1)->eax, 3, "five cores take three bits");
	cr_assert_eq(leaf(0xb, 1)->ebx, 5);
	cr_assert_eq(leaf(0xb, 1)->ecx, 0x201);
	cr_assert_eq(leaf(0xb, 2)->ebx, 0);
	cr_assert_eq(leaf(1, 0)->ebx >> 16 & 0xff, 5);
	cr_assert(leaf(1, 0)->edx & 1U << 28, "more than one logical processor");
	cr_assert_eq(leaf(4, 0)->eax >> 26, 4);
	cr_assert_eq(leaf(4, 1)->eax, 0, "the end of the list of caches stays its end");
}

Test(cpu, one_vcpu_is_no_package_of_many)
{
	apply(0, 1);
	cr_assert_eq(leaf(0xb, 1)->eax, 0);
	cr_assert_eq(leaf(0xb, 1)->ebx, 1);
	cr_assert_eq(leaf(1, 0)->edx & 1U << 28, 0);
	cr_assert_eq(leaf(4, 0)->eax >> 26, 0);
}

Test(cpu, the_hosts_own_topology_does_not_shine_through)
{
	apply(0, 2);
	cr_assert_null(leaf(0x1f, 0));
	cr_assert_null(leaf(0xb, 7));
}

Test(cpu, fast_strings_and_hypervisor_are_announced)
{
	apply(0, 1);
	cr_assert(leaf(7, 0)->ebx & 1U << 9, "ERMS");
	cr_assert(leaf(7, 0)->edx & 1U << 4, "FSRM");
	cr_assert(leaf(1, 0)->ecx & 1U << 31, "hypervisor");
}

Test(cpu, nothing_invites_the_guest_to_hypercalls)
{
	LEAF(0x40000001, 0, 0x01007efb, 0, 0, 0);
	apply(0, 4);
	cr_assert_eq(leaf(0x40000001, 0)->eax, 0x0100567b, "kvm-clock and the rest stay");
}

Test(cpu, deadline_timer_only_where_kvm_has_it)
{
	apply(0, 1);
	cr_assert_eq(leaf(1, 0)->ecx & 1U << 24, 0);
	cpu_template(c, &(struct cpu_shape){.ncpus = 1, .tsc_deadline = true});
	cr_assert(leaf(1, 0)->ecx & 1U << 24);
}

Test(cpu, xsaveerptr_is_for_amd_alone)
{
	apply(0, 1);
	cr_assert_eq(leaf(0x80000008, 0)->ebx, 0);
	free(c);
	start("Auth");
	apply(0, 1);
	cr_assert_eq(leaf(0x80000008, 0)->ebx, 1U << 2);
}

Test(cpu, a_leaf_that_kvm_does_not_know_is_not_invented)
{
	c->nent = 2; /* leaves 0 and 1 only */
	apply(0, 2);
	cr_assert_eq(c->nent, 2);
}

Test(cpu, repeated_use_does_not_grow_the_list)
{
	apply(0, 32);
	uint32_t n = c->nent;

	for (unsigned id = 1; id < 32; id++)
		apply(id, 32);
	cr_assert_eq(c->nent, n);
}
