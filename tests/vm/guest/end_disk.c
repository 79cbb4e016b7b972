/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 that puts /dev/vda through its paces: reads and writes with and without the page cache, many at
 * once, flush, discard, zeroes; then reads what it wrote. Says "disk ok", or what went wrong, and
 * powers the machine off. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

/* of <linux/fs.h>, which this C library does not bring along */
#define BLKDISCARD _IO(0x12, 119)
#define BLKZEROOUT _IO(0x12, 127)

enum { BLOCK = 65536, BLOCKS = 24, WRITERS = 3 };

static _Alignas(4096) unsigned char out[BLOCK], in[BLOCK];

static void end(const char *what)
{
	printf("disk %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
	_exit(1);
}

static void fill(unsigned block)
{
	for (unsigned i = 0; i < BLOCK; i += 512)
		memset(out + i, (int)(block * 7 + i / 512), 512);
}

static void check(int fd, unsigned block, int zero)
{
	if (pread(fd, in, BLOCK, (off_t)block * BLOCK) != BLOCK)
		end("read");
	fill(block);
	if (zero)
		memset(out, 0, BLOCK);
	errno = 0;
	if (memcmp(in, out, BLOCK) != 0)
		end("wrong data");
}

static void write_blocks(int fd, unsigned first)
{
	for (unsigned b = first; b < BLOCKS; b += WRITERS) {
		fill(b);
		if (pwrite(fd, out, BLOCK, (off_t)b * BLOCK) != BLOCK)
			end("write");
	}
}

int main(void)
{
	unsigned long long size = 0, range[2] = {4 * BLOCK, 2 * BLOCK};

	if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) < 0)
		printf("disk: devtmpfs: %s\n", strerror(errno));
	errno = 0;
	int fd = open("/dev/vda", O_RDWR), direct = open("/dev/vda", O_RDWR | O_DIRECT);
	if (fd < 0 || direct < 0)
		end("open");
	if (ioctl(fd, BLKGETSIZE64, &size) < 0 || size != 4 << 20)
		end("size");
	for (unsigned w = 0; w < WRITERS; w++) {
		if (fork() == 0) {
			write_blocks(direct, w);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
	for (unsigned b = 0; b < BLOCKS; b++)
		check(fd, b, 0);
	fill(30);
	if (pwrite(fd, out, BLOCK, 30 * BLOCK) != BLOCK || fsync(fd) < 0)
		end("flush");
	check(direct, 30, 0);
	if (ioctl(direct, BLKZEROOUT, range) < 0)
		end("zeroes");
	check(direct, 3, 0);
	check(direct, 4, 1);
	check(direct, 5, 1);
	check(direct, 6, 0);
	range[0] = 10 * BLOCK;
	if (ioctl(direct, BLKDISCARD, range) < 0)
		end("discard");
	check(direct, 9, 0);
	check(direct, 12, 0);
	errno = 0;
	if (pread(direct, in, BLOCK, 4 << 20) != 0)
		end("read past the end");
	end("ok");
}
