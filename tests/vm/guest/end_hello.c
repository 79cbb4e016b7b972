/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 that says so on the console, and powers the machine off: the end point of boot comparisons. */
#include <sys/reboot.h>
#include <unistd.h>

int main(void)
{
	if (write(1, "PID1\n", 5) != 5)
		return 1;
	return reboot(RB_POWER_OFF);
}
