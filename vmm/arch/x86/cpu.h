/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.h - what the processor claims to be. */
#ifndef VMM_ARCH_X86_CPU_H
#define VMM_ARCH_X86_CPU_H

#include <linux/kvm.h>
#include <stdbool.h>

#include "util/err.h"
#include "util/util.h"

struct cpu_shape {
	unsigned apic_id, ncpus;
	bool tsc_deadline; /* KVM offers the mode */
};

/* Turns what KVM supports into what vCPU shape->apic_id shows; c has room for KVM_CPUID_SPARE more
 * entries than KVM filled in. May be applied again, for the next vCPU, to its own result. Pure. */
void cpu_template(struct kvm_cpuid2 *c, const struct cpu_shape *shape);

/* CPUID, XCR0 and the MSRs that a BIOS would have set. Before the first KVM_RUN of the vCPU. */
must_check int cpu_set_up(int vcpu_fd, struct kvm_cpuid2 *c, struct err *e);

#endif
