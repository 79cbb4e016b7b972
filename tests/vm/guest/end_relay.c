/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 that never lets its devices rest: three processes write and read back what is theirs of /dev/vda, past
 * the page cache, while it numbers lines on the console, for as many seconds as relay_s=N on the kernel's
 * command line says. Says "relay ok", or what went wrong, and powers the machine off. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 32768, BLOCKS = 96, WRITERS = 3, SECTOR = 512 };

static _Alignas(4096) unsigned char out[BLOCK], in[BLOCK];

static void end(const char *what)
{
	printf("relay %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
	fflush(stdout);
	reboot(RB_POWER_OFF);
	_exit(1);
}

static time_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* Each sector of a block tells which it is, and of which round. */
static void fill(unsigned block, unsigned round)
{
	for (unsigned i = 0; i < BLOCK; i += SECTOR) {
		unsigned stamp[] = {block, round, i};

		memset(out + i, (int)(round + i / SECTOR), SECTOR);
		memcpy(out + i, stamp, sizeof(stamp));
	}
}

static void check(int fd, unsigned block, unsigned round)
{
	fill(block, round);
	if (pread(fd, in, BLOCK, (off_t)block * BLOCK) != BLOCK)
		end("read");
	errno = 0;
	if (memcmp(in, out, BLOCK) != 0)
		end("wrong data");
}

/* Writes each of its blocks, and reads the one before. */
static void write_blocks(int fd, unsigned first, time_t until_s)
{
	for (unsigned round = 1; now_s() < until_s; round++) {
		for (unsigned b = first; b < BLOCKS; b += WRITERS) {
			fill(b, round);
			if (pwrite(fd, out, BLOCK, (off_t)b * BLOCK) != BLOCK)
				end("write");
			if (b >= WRITERS)
				check(fd, b - WRITERS, round);
		}
		if (round % 4 == 0 && fsync(fd) < 0)
			end("flush");
	}
	_exit(0);
}

int main(void)
{
	const char *seconds = getenv("relay_s");
	unsigned long line = 0;
	unsigned left = WRITERS;
	int status;

	if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) < 0)
		printf("relay: devtmpfs: %s\n", strerror(errno));
	errno = 0;
	int fd = open("/dev/vda", O_RDWR | O_DIRECT);
	if (fd < 0)
		end("open");
	time_t until_s = now_s() + (seconds ? (time_t)strtoul(seconds, NULL, 10) : 3);
	for (unsigned w = 0; w < WRITERS; w++)
		if (fork() == 0)
			write_blocks(fd, w, until_s);
	while (left) {
		printf("line %lu\n", ++line);
		fflush(stdout);
		if (waitpid(-1, &status, WNOHANG) <= 0)
			continue;
		left--;
		if (status)
			end("a writer failed");
	}
	printf("lines %lu\n", line);
	errno = 0;
	end("ok");
}
