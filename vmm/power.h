/* SPDX-License-Identifier: Apache-2.0 */
/* power.h - the registers by which a guest ends its machine, and how they are told apart.
 *
 *   syscon   32-bit register, reads 0: write 1 powers off, 2 reboots (syscon-poweroff in the tree)
 *   pvpanic  8-bit register, reads the events it knows: bit 0 set by a write means "I panicked"
 *   port 64  the keyboard controller's reset pulse, by which Linux on x86 reboots; it reads 0, "my
 *            input buffer is empty", or the guest would wait for it
 * A triple fault is the fourth way out and KVM tells of it. The registers have no state.
 */
#ifndef VMM_POWER_H
#define VMM_POWER_H

#include "vmm/bus.h"

enum { POWER_SYSCON_OFF = 1, POWER_SYSCON_REBOOT = 2 };

/* Bus handlers; user is not used. Any vCPU thread. */
int power_syscon(void *user, const struct bus_access *a);
int power_pvpanic(void *user, const struct bus_access *a);
int power_kbd(void *user, const struct bus_access *a);

#endif
