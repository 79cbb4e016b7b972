/* SPDX-License-Identifier: Apache-2.0 */
/* machine.h - a machine that stands still, as plain data and as the bytes of a state file.
 *
 * Thread: any; pure but for the heap.
 */
#ifndef VMM_SNAP_MACHINE_H
#define VMM_SNAP_MACHINE_H

#include "vmm/arch/x86/vstate.h"
#include "vmm/config.h"
#include "vmm/snap/device.h"
#include "vmm/snap/memfile.h"

enum {
	MACHINE_VERSION = 1,
	MACHINE_DEVICES_MAX = 2 + VMM_DISKS_MAX, /* console, vsock, disks */
};

struct machine_state {
	struct memfile_id id;
	uint64_t memory_bytes;
	uint64_t cpuid_hash;
	struct board_state board;
	unsigned ncpus, ndevices;
	struct vcpu_state *cpu; /* ncpus of them */
	struct snap_device device[MACHINE_DEVICES_MAX];
};

/* NULL: no memory. machine_free() takes NULL. */
must_check struct machine_state *machine_new(unsigned ncpus, unsigned ndevices);
void machine_free(struct machine_state *m);

/* A whole state file, header included, on the heap; of m only the devices' messages are changed. 0, or -ENOMEM, with the reason in e. */
must_check int machine_pack(struct machine_state *m, uint8_t **ret, size_t *ret_len, struct err *e);

/* The other way: every length and number is checked, so that the result has the shape it says, and what KVM and the devices
 * are given has the size they expect. 0, -EINVAL or -ENOMEM, with the reason in e. */
must_check int machine_unpack(const uint8_t *file, size_t len, struct machine_state **ret,
			      struct err *e);

#endif
