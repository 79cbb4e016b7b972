/* SPDX-License-Identifier: Apache-2.0 */
/* vcpu.h - one virtual processor: its thread, and what its exits mean.
 *
 * Thread: set-up, start, stop and fini on the main thread; the run loop on the vCPU's own, which
 * touches nothing but its struct vcpu, the buses (frozen by then) and what their handlers allow.
 * Life: vcpu_init -> vcpu_start -> vcpu_resume -> (vcpu_pause -> vcpu_resume)* -> (vcpu_stop) -> on_gone ran -> vcpu_fini. A thread ends by itself
 * when the machine is to end; the others must then be stopped.
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <pthread.h>
#include <stdatomic.h>

#include "util/loop.h"
#include "vmm/bus.h"
#include "vmm/events.h"
#include "vmm/kvm.h"

struct assist;

/* Where vCPUs wait: before their first instruction, and while they are paused. One for all of a machine. */
struct vcpu_gate {
	pthread_mutex_t lock;
	pthread_cond_t opened;
};

/* How often a vCPU left KVM, by kind; what a slow guest did. */
enum vcpu_count {
	VCPU_PIO,
	VCPU_MMIO,
	VCPU_ASSIST, /* an instruction was finished in user space */
	VCPU_SIGNAL, /* kicks, and anything else that interrupted it */
	VCPU_OTHER,
	VCPU_COUNTS,
};

struct vcpu {
	unsigned id;
	int fd;
	struct kvm_run *run;
	size_t run_bytes;
	struct assist *assist;
	const struct bus *mmio, *pio;

	pthread_t thread;
	bool started;
	atomic_bool stop, pause;
	uint64_t count[VCPU_COUNTS]; /* the thread's own until it has gone */
	/* Written by the thread, for who gets on_gone. EXIT_NONE: it was stopped. */
	struct exit_report exit;

	struct loop *loop;
	struct loop_call gone, parking;
	struct vcpu_gate *gate;
	bool parked,
		posted; /* guarded by the gate: the thread waits there; `parking` is on its way */
	void (*on_start)(struct vcpu *v); /* once, vCPU thread: before its first instruction */
	void (*on_gone)(struct vcpu *v);  /* once, loop thread: the thread has left KVM for good */
};

/* What all vCPUs of a machine share; borrowed. */
struct vcpu_env {
	const struct kvm *kvm;
	const struct guest_mem *mem;
	struct kvm_cpuid2 *cpuid; /* kvm_supported_cpuid(); each vCPU makes it its own in turn */
	unsigned ncpus;
	const struct bus *mmio, *pio;
	struct loop *loop;
	struct vcpu_gate *gate;
	void (*on_start)(struct vcpu *v); /* may be NULL */
	void (*on_gone)(struct vcpu *v);
};

/* Installs the empty handler of the signal that kicks vCPUs out of KVM. Once per process. */
must_check int vcpu_global_init(struct err *e);

/* Creates vCPU id in KVM and gives it its processor. vcpu_fini() copes with a half-built one, and with
 * a zeroed one whose fd is -1. */
must_check int vcpu_init(struct vcpu *v, const struct vcpu_env *env, unsigned id, struct err *e);
must_check int vcpu_start(struct vcpu *v, struct err *e);

/* Makes the thread leave KVM at the next instruction boundary; on_gone follows. A handler that sleeps
 * until the loop has run (virtio_port_access) must be let go by who owns it. May be repeated. */
void vcpu_stop(struct vcpu *v);

/* Makes the thread leave KVM with nothing half done, and wait at the gate: its state may be read as soon as
 * vcpu_is_parked(). Accesses it is in the middle of are finished first, so the loop must go on turning; it
 * wakes up when the thread gets there. */
void vcpu_pause(struct vcpu *v);
bool vcpu_is_parked(struct vcpu *v);

/* The thread runs on: after a pause, and after its start, which it waits out, too. */
void vcpu_resume(struct vcpu *v);

/* Prints the counters to stderr. After on_gone. */
void vcpu_print_counts(const struct vcpu *v);

/* After on_gone, or never started. */
void vcpu_fini(struct vcpu *v);

#endif
