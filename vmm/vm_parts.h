/* SPDX-License-Identifier: Apache-2.0 */
/* vm_parts.h - what a machine consists of, for the files that are it: vm.c (set-up, life, end) and vm_snap.c
 * (standing still, snapshots). Nobody else includes this.
 */
#ifndef VMM_VM_PARTS_H
#define VMM_VM_PARTS_H

#include "vmm/ctl.h"
#include "vmm/snap/machine.h"
#include "vmm/vcpu.h"
#include "vmm/virtio/mmio.h"
#include "vmm/vm.h"

enum {
	CONSOLE_SLOT,
	VSOCK_SLOT,
	FIXED_DEVICES,
	DEVICES_MAX = FIXED_DEVICES + VMM_DISKS_MAX,
};

struct slot { /* one virtio device's place in the machine */
	struct virtio_port *port;
	int irq_fd;
};

struct vm {
	const struct config *config;
	const struct events *events;
	struct trace *trace;

	struct loop loop;
	struct loop_src signals; /* owns its descriptor */
	struct loop_src owner;
	struct loop_src life; /* owns its descriptor, a timer */

	struct guest_mem mem;
	uint64_t entry;
	struct kvm kvm;
	struct bus mmio, pio;
	unsigned nslots;
	struct slot slot[DEVICES_MAX];
	struct virtio_dev *console, *vsock; /* belong to their ports */
	struct disk_worker *worker;         /* NULL: no disk */

	unsigned ncpus, running; /* vCPUs that exist; whose threads have not gone */
	struct vcpu cpu[CONFIG_CPUS_MAX];

	struct vcpu_gate gate;
	_Atomic uint64_t debug_bytes;

	struct ctl ctl;
	struct kvm_msr_list *msrs; /* of a machine that may be asked for a snapshot */
	struct machine_state
		*restored; /* what it goes on from, until it does; NULL: a cold start */
	uint64_t cpuid_hash;
	bool ready;         /* guest-init has said so */
	bool suspend_asked; /* by the guest */
	bool suspended;     /* it is on disk: what it still has to say, it will say there */
	unsigned suspends_failed;
	uint64_t suspend_again_us; /* the guest's wish counts from then on */
	uint64_t life_end_us;      /* 0: it has none */
	uint64_t started_us;
	struct exit_report report; /* reason EXIT_NONE: not ending yet */
};

/* The first reason counts. The loop must go on turning until the vCPUs have gone: one of them may be
 * waiting for it inside a device access. */
void vm_stop(struct vm *v, enum exit_reason reason, const char *detail);

/* Reads what to restore, before anything is made. 0 or -errno. */
must_check int vm_restore_open(struct vm *v, struct err *e);

/* Puts it into the complete machine; the last step of its set-up. The state is then let go. */
must_check int vm_restore(struct vm *v, struct err *e);

/* The devices serve, the vCPUs run: from the start, from a pause. */
void vm_go_on(struct vm *v);

/* Takes the snapshot that somebody asked for, if so; turns the loop. Between two steps of it, never inside a handler. */
void vm_serve_snapshots(struct vm *v);

#endif
