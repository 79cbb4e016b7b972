/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_random - what patch 0028 lets root do with the kernel's generator, and nobody else.
 * Prints each fact that is not so; exits 1 then. Runs as root in a box.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "expect.h"

#define RNDTWISTKEY _IOW('R', 0x70, unsigned char[32])

int main(void)
{
	static const unsigned char seed[32] = "nobody else knows";
	int fd = open("/dev/urandom", O_WRONLY);

	expect(fd >= 0, "the generator can be opened");
	expect(ioctl(fd, RNDTWISTKEY, seed) == 0, "root may twist the key");
	expect(ioctl(fd, RNDTWISTKEY, NULL) < 0 && errno == EFAULT, "the bytes must be there");
	expect(ioctl(fd, RNDRESEEDCRNG) == 0, "root may still reseed");
	expect(setuid(1000) == 0, "a user can be had");
	expect(ioctl(fd, RNDTWISTKEY, seed) < 0 && errno == EPERM, "a user may not");
	return bad;
}
