/* SPDX-License-Identifier: Apache-2.0 */
/* assist.h - finishes in user space the instructions that KVM's emulator gives up on.
 *
 * Some hosts run guest kernel code in KVM's instruction emulator, which does not know every
 * instruction a kernel uses (XSAVE, CMPXCHG16B, ...). KVM then ends KVM_RUN with
 * KVM_EXIT_INTERNAL_ERROR, suberror KVM_INTERNAL_ERROR_EMULATION; assist_handle() does what that one
 * instruction would have done, or raises in the guest the exception it would have raised.
 *
 * One struct assist per vCPU. Thread: that vCPU's, except where said otherwise.
 */
#ifndef VMM_ARCH_X86_ASSIST_H
#define VMM_ARCH_X86_ASSIST_H

#include <stddef.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "util/err.h"
#include "util/util.h"
#include "vmm/mem.h"

struct assist;

struct assist_count {
	const char *name; /* mnemonic, static */
	uint64_t n;       /* times finished, or raised an exception, since assist_new() */
};

/* Call after KVM_SET_CPUID2 and before the first KVM_RUN; any thread. The descriptors are borrowed,
 * run is the vCPU's mapped kvm_run, mem outlives the result. Turns on run->kvm_valid_regs where KVM
 * offers KVM_CAP_SYNC_REGS. NULL with the reason in e. assist_free() takes NULL. */
must_check struct assist *assist_new(int kvm_fd, int vm_fd, int vcpu_fd, struct kvm_run *run,
				     const struct guest_mem *mem, struct err *e);
void assist_free(struct assist *a);

/* After KVM_EXIT_INTERNAL_ERROR with suberror KVM_INTERNAL_ERROR_EMULATION.
 *   1       done; call KVM_RUN again. General registers may reach KVM only then (sync regs), so
 *           whoever reads the vCPU's state first runs it once with immediate_exit, as after MMIO
 *   0       not an instruction we know; nothing changed; assist_refused() describes it.
 *           Only with CPL 0: at CPL 3 the program gets #UD instead
 *   -errno  an ioctl failed; the vCPU's state is unknown, the box must end
 * Allocates nothing; its work is bounded, whatever the guest's bytes and page tables hold. */
must_check int assist_handle(struct assist *a);

/* What the last 0 of assist_handle() was about: "rip 0x... cpl 0 bytes 0f 0b ...". Never NULL. */
const char *assist_refused(const struct assist *a);

/* Counters by instruction, at most max of them; returns how many there are. Another thread may call
 * it once the vCPU's thread was joined. */
size_t assist_counts(const struct assist *a, struct assist_count *ret, size_t max);

#endif
