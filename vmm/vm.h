/* SPDX-License-Identifier: Apache-2.0 */
/* vm.h - the machine: owns everything there is of one virtual machine.
 *
 * Threads: the caller's becomes the loop thread, on which all devices run; one per vCPU; one for
 * blocking disk I/O if there is a disk.
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <signal.h>

#include "vmm/config.h"
#include "vmm/events.h"
#include "vmm/trace.h"

struct vm;

/* The signals that end a machine: SIGTERM, SIGINT, SIGHUP. */
void vm_signals(sigset_t *ret);

/* Sets the machine up, up to the moment before its first instruction. c, ev and t are borrowed for
 * the machine's life, as are the descriptors in c but for those of --vsock-listen and VMM_FD_KVM, which
 * it takes.
 * The caller has blocked the signals of vm_signals() and ignores SIGPIPE. 0 or -errno. */
must_check int vm_new(const struct config *c, const struct events *ev, struct trace *t,
		      struct vm **ret, struct err *e);

/* Runs it to its end: emits "started" first, "ready" when the guest rings, "exited" when all output
 * of the guest has been passed on. */
must_check enum exit_reason vm_run(struct vm *v);

/* NULL is fine. Slow on some hosts (KVM waits for a grace period): after the last event line. */
void vm_free(struct vm *v);

#endif
