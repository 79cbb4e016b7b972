/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 that powers the machine off. */
#include <sys/reboot.h>

int main(void)
{
	return reboot(RB_POWER_OFF);
}
