/* SPDX-License-Identifier: Apache-2.0 */
/* jail.h - what the process gives up before it has anything to do with a guest.
 *
 * Threat model: the guest takes the VMM over. What it then holds are the descriptors that were handed
 * in, and nothing else: an empty read-only root, namespaces of its own (mount, pid, net, ipc, uts,
 * cgroup, user), no capability, no way to regain one, a user id that owns nothing (if it was root), no
 * environment, no core dump, and the system calls of seccomp.h.
 *
 * Order: everything that has a path is opened before jail_enter(); the virtual machine is made after
 * it, because KVM ties one to the process that made it. The filters of seccomp.h come last, before the
 * first guest instruction.
 *
 * A layer that the host does not offer is left out and said, one event line each:
 *	unjailed LAYER REASON
 * or, with JAIL_REQUIRED, the reason to fail.
 */
#ifndef VMM_JAIL_H
#define VMM_JAIL_H

#include "vmm/config.h"
#include "vmm/events.h"

/* Continues in a child, because a pid namespace starts with one. The parent leaves at once, with
 * status 0, if somebody owns the box or it is detached; else it passes signals on and hands the child's
 * exit status to who started it by hand. c->jail must not be JAIL_OFF. Before there is a second thread.
 * Opens c->fd[VMM_FD_PAGEMAP], if there may be snapshots: it is the child's own. 0, in the child, or -errno in either. */
must_check int jail_enter(struct config *c, const struct events *ev, struct err *e);

#endif
