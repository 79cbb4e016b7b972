/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 that reboots the machine. */
#include <sys/reboot.h>

int main(void)
{
	return reboot(RB_AUTOBOOT);
}
