/* SPDX-License-Identifier: Apache-2.0 */
/* power.c - see power.h. */
#include "vmm/power.h"

#include <string.h>

#include "vmm/events.h"

enum {
	PVPANIC_PANICKED = 1 << 0, /* docs: QEMU's pvpanic specification */
	KBD_PULSE_RESET = 0xfe,
};

/* The value written, little-endian. A read is answered with val. */
static uint64_t exchange(const struct bus_access *a, uint64_t val)
{
	if (a->write) {
		val = 0;
		memcpy(&val, a->data, a->len);
	} else {
		memcpy(a->data, &val, a->len);
	}
	return val;
}

int power_syscon(void *user, const struct bus_access *a)
{
	uint64_t val = exchange(a, 0);

	(void)user;
	if (!a->write || a->addr != 0)
		return EXIT_NONE;
	switch (val) {
	case POWER_SYSCON_OFF: return EXIT_POWEROFF;
	case POWER_SYSCON_REBOOT: return EXIT_REBOOT;
	default: return EXIT_NONE;
	}
}

int power_pvpanic(void *user, const struct bus_access *a)
{
	uint64_t val = exchange(a, PVPANIC_PANICKED);

	(void)user;
	return a->write && (val & PVPANIC_PANICKED) ? EXIT_PANIC : EXIT_NONE;
}

int power_kbd(void *user, const struct bus_access *a)
{
	uint64_t val = exchange(a, 0);

	(void)user;
	return a->write && val == KBD_PULSE_RESET ? EXIT_REBOOT : EXIT_NONE;
}
