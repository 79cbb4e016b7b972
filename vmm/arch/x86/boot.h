/* SPDX-License-Identifier: Apache-2.0 */
/* boot.h - the 64-bit Linux boot protocol: kernel, initramfs and boot data into guest memory, and the
 * processor state with which a kernel is entered.
 */
#ifndef VMM_ARCH_X86_BOOT_H
#define VMM_ARCH_X86_BOOT_H

#include "vmm/mem.h"

struct boot_source {
	int kernel_fd, initrd_fd; /* files, borrowed; their bytes must stay while the guest runs.
				   * initrd_fd -1: none */
	const char *cmdline;
	const void *dtb; /* a finished device tree */
	size_t dtb_len;
};

/* Fills m. The kernel's and initramfs' pages are mapped, copy on write, not read: untouched ones cost
 * nothing and boxes share the others. 0, or -errno with what to do about it in e. */
must_check int boot_load(const struct guest_mem *m, const struct boot_source *s,
			 uint64_t *ret_entry, struct err *e);

/* Puts a new generation into its page: random bytes that tell a machine from every copy of it. boot_load() does so
 * for a cold start. For a restore: to be called once memory is mapped and before any vCPU runs. LAYOUT_GENERATION_PIN,
 * when it is raised, makes the guest's kernel reseed its generator as soon as it takes interrupts. 0 or -errno. */
must_check int boot_generation(const struct guest_mem *m, struct err *e);

/* Points the first vCPU at entry, as the boot protocol wants it. The others wait to be woken. */
must_check int boot_enter(int vcpu_fd, uint64_t entry, struct err *e);

#endif
