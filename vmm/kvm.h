/* SPDX-License-Identifier: Apache-2.0 */
/* kvm.h - /dev/kvm and one virtual machine: the ioctls by name, with errors a person can use.
 *
 * Nothing is decided by the processor's brand or its svm/vmx bits: /dev/kvm is opened and asked.
 * Thread: set-up calls, main thread.
 */
#ifndef VMM_KVM_H
#define VMM_KVM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>

#include "vmm/mem.h"

enum { KVM_CPUID_ENTRIES = 256, KVM_CPUID_SPARE = 8 };

struct kvm {
	int fd, vm_fd;    /* -1: not open */
	size_t run_bytes; /* of a struct kvm_run mapping */
	unsigned max_vcpus;
	unsigned xsave_bytes; /* of KVM_GET_XSAVE2's answer; 0: there is only KVM_GET_XSAVE */
	bool tsc_deadline;    /* the local APIC's TSC deadline mode works */
};

/* Opens /dev/kvm. The descriptor, or -errno with advice in e. */
must_check int kvm_device(struct err *e);

/* With k->fd a kvm_device(), which kvm_close() closes: checks what we rely on, creates the machine. KVM lets no other process use the machine. */
must_check int kvm_open(struct kvm *k, struct err *e);
void kvm_close(struct kvm *k);

/* Before kvm_add_irqchip() and vCPUs: afterwards the same call takes a hundred times as long, because
 * every change of the memory map then waits for a grace period. */
must_check int kvm_add_memory(const struct kvm *k, const struct guest_mem *m, struct err *e);

/* Local APICs, IOAPIC (and the PICs KVM adds); before the first vCPU. */
must_check int kvm_add_irqchip(const struct kvm *k, struct err *e);

/* A write of 4 bytes with this value to gpa signals fd instead of leaving the guest. */
must_check int kvm_add_ioeventfd(const struct kvm *k, gpa_t gpa, uint32_t value, int fd,
				 struct err *e);

/* Makes an eventfd each write to which raises pin gsi once (edge). The descriptor is the caller's. */
must_check int kvm_new_irqfd(const struct kvm *k, unsigned gsi, int *ret_fd, struct err *e);

/* Raises pin gsi once (edge). */
must_check int kvm_pulse(const struct kvm *k, unsigned gsi, struct err *e);

/* What KVM can show a guest, on the heap, with room for KVM_CPUID_SPARE further entries. */
must_check int kvm_supported_cpuid(const struct kvm *k, struct kvm_cpuid2 **ret, struct err *e);

#endif
