/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "vmm/events.h"
#include "vmm/power.h"

static int write_to(bus_fn *fn, uint64_t addr, unsigned len, uint64_t val)
{
	return fn(NULL,
		  &(struct bus_access){.addr = addr, .data = &val, .len = len, .write = true});
}

static uint64_t read_from(bus_fn *fn, unsigned len)
{
	uint64_t val = 0;

	cr_assert_eq(fn(NULL, &(struct bus_access){.data = &val, .len = len}), EXIT_NONE);
	return val;
}

Test(power, syscon_tells_power_off_from_reboot)
{
	cr_expect_eq(write_to(power_syscon, 0, 4, 1), EXIT_POWEROFF);
	cr_expect_eq(write_to(power_syscon, 0, 4, 2), EXIT_REBOOT);
	cr_expect_eq(write_to(power_syscon, 0, 4, 0), EXIT_NONE);
	cr_expect_eq(write_to(power_syscon, 0, 4, 3), EXIT_NONE);
	cr_expect_eq(write_to(power_syscon, 4, 4, 1), EXIT_NONE);
}

Test(power, syscon_reads_zero_or_linux_would_skip_the_write)
{
	cr_expect_eq(read_from(power_syscon, 4), 0);
}

Test(power, pvpanic_announces_panic_and_takes_it)
{
	cr_expect_eq(read_from(power_pvpanic, 1), 1);
	cr_expect_eq(write_to(power_pvpanic, 0, 1, 1), EXIT_PANIC);
	cr_expect_eq(write_to(power_pvpanic, 0, 1, 3), EXIT_PANIC);
	cr_expect_eq(write_to(power_pvpanic, 0, 1, 2), EXIT_NONE);
	cr_expect_eq(write_to(power_pvpanic, 0, 1, 0), EXIT_NONE);
}

Test(power, keyboard_controller_is_never_busy_and_resets_on_its_pulse)
{
	cr_expect_eq(read_from(power_kbd, 1), 0);
	cr_expect_eq(write_to(power_kbd, 0, 1, 0xfe), EXIT_REBOOT);
	cr_expect_eq(write_to(power_kbd, 0, 1, 0xd1), EXIT_NONE);
}
