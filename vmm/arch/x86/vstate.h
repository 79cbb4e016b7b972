/* SPDX-License-Identifier: Apache-2.0 */
/* vstate.h - the state of a vCPU and of the machine's interrupt controllers and clock, out of KVM and back in.
 *
 * Plain data in KVM's own structures: what KVM gave is given back to KVM, on this host or one like it, and nobody in
 * between looks inside. KVM validates what it takes; the structures hold host state of no other box.
 *
 * Thread: the loop's, while no vCPU is in KVM_RUN. A vCPU's last KVM_RUN was one with immediate_exit, so that nothing
 * is half done (vcpu_pause()).
 * Not kept: the state of nested guests (a guest that runs its own does not survive), performance counters' running
 * values.
 */
#ifndef VMM_ARCH_X86_VSTATE_H
#define VMM_ARCH_X86_VSTATE_H

#include <linux/kvm.h>

#include "vmm/arch/x86/xstate.h"
#include "vmm/kvm.h"

enum { VSTATE_MSRS_MAX = 512, VSTATE_IRQCHIPS = 3 };

struct vcpu_state {
	struct kvm_mp_state mp;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	uint32_t tsc_khz;
	uint32_t xsave_bytes;
	_Alignas(struct kvm_xsave) uint8_t xsave[XSTATE_MAX_BYTES];
	uint32_t nmsrs;
	struct kvm_msr_entry msr[VSTATE_MSRS_MAX];
};

struct board_state {
	struct kvm_irqchip irqchip[VSTATE_IRQCHIPS]; /* two PICs, the IOAPIC */
	uint64_t clock_ns;                           /* KVM's clock of the machine */
};

/* The MSRs that this KVM keeps for a guest. On the heap; NULL with the reason in e. */
must_check struct kvm_msr_list *vstate_msrs(const struct kvm *k, struct err *e);

/* Reads everything; what this host does not have is left out. 0 or -errno with the reason in e. */
must_check int vstate_get(const struct kvm *k, int vcpu_fd, const struct kvm_msr_list *msrs,
			  struct vcpu_state *ret, struct err *e);

/* Into a vCPU that has its CPUID and has not run. An MSR that this host refuses to set is no failure if it has the
 * value already. 0 or -errno. */
must_check int vstate_set(const struct kvm *k, int vcpu_fd, const struct vcpu_state *s,
			  struct err *e);

/* Pending interrupts of lines are part of it. After every vstate_set() of the machine: the clock goes on from there. */
must_check int board_get(const struct kvm *k, struct board_state *ret, struct err *e);
must_check int board_set(const struct kvm *k, const struct board_state *s, struct err *e);

#endif
