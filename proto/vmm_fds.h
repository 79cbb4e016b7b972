/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_fds.h - the descriptors of a VMM, each once.
 *
 * conker-vmm opens hardly a file: it is given descriptors, by the options named here. The library hands them out and writes
 * those options, the VMM reads them, looks whether they are open, and closes what else it inherited when it enters its jail.
 * All four walk this list, and no other place holds a descriptor of the VMM. One that is not in it has no name to be used by.
 * PART has the files behind the first of a disk that is joined of several, those of all such disks one after the other.
 */
#ifndef PROTO_VMM_FDS_H
#define PROTO_VMM_FDS_H

#include <string.h>

/* X(NAME, OPTION, COUNT). Two in a row with the same option are its FD:FD, but for LISTEN, PART and DISK. Without an option:
 * the VMM opens it. */
#define VMM_FDS_EACH(X)                   \
	X(KERNEL, "--kernel-fd", 1)       \
	X(INITRD, "--initrd-fd", 1)       \
	X(RESTORE_STATE, "--restore", 1)  \
	X(RESTORE_MEMORY, "--restore", 1) \
	X(SUSPEND_STATE, "--suspend", 1)  \
	X(SUSPEND_MEMORY, "--suspend", 1) \
	X(CONSOLE, "--console-fd", 1)     \
	X(STATE, "--state-fd", 1)         \
	X(LOCK, "--lock-fd", 1)           \
	X(OWNER, "--owner-fd", 1)         \
	X(CTL, "--ctl-listen", 1)         \
	X(LISTEN, "--vsock-listen", 8)    \
	X(PART, "--disk", 512)            \
	X(DISK, "--disk", 16)             \
	X(KVM, NULL, 1)                   \
	X(PAGEMAP, NULL, 1)

enum vmm_fd {
#define X(name, option, count) VMM_FD_##name, VMM_FD_##name##_LAST = VMM_FD_##name + (count)-1,
	VMM_FDS_EACH(X)
#undef X
		VMM_FDS,
	VMM_LISTENERS_MAX = VMM_FD_LISTEN_LAST - VMM_FD_LISTEN + 1,
	VMM_PARTS_MAX = VMM_FD_PART_LAST - VMM_FD_PART + 1,
	VMM_DISKS_MAX = VMM_FD_DISK_LAST - VMM_FD_DISK + 1,
};

/* By which option each is given. */
static const char *const vmm_fd_option[VMM_FDS] = {
#define X(name, option, count) [VMM_FD_##name... VMM_FD_##name##_LAST] = option,
	VMM_FDS_EACH(X)
#undef X
};

/* Whether i and the next belong to one option. */
static inline int vmm_fd_has_next(int i)
{
	const char *option = vmm_fd_option[i],
		   *next = i + 1 < VMM_FDS ? vmm_fd_option[i + 1] : NULL;

	return option && next && strcmp(option, next) == 0;
}

#endif
