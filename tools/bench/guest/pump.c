/* SPDX-License-Identifier: Apache-2.0 */
/* pump - moves bytes and does nothing else, in two roles.
 *
 *   pump out BYTES    zeroes to stdout
 *   pump in           stdin to nowhere
 *
 * As PID 1 of a machine of its own it serves vsock port 5000: a client says 'o' or 'i' and a number of
 * bytes (LE64), and gets as many zeroes, or sends as many and gets one byte when all have arrived. No
 * frames, no credit but that of vsock: what the protocol costs is the difference.
 */
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "proto/ports.h"

enum { PORT = 5000, RING_FROM_PORT = 1023, BLOCK_BYTES = 64 << 10 };

static char block[BLOCK_BYTES];

static int out(int fd, uint64_t left)
{
	while (left) {
		ssize_t n = write(fd, block, left < BLOCK_BYTES ? left : BLOCK_BYTES);

		if (n <= 0)
			return 1;
		left -= (uint64_t)n;
	}
	return 0;
}

static int in(int fd, uint64_t left)
{
	while (left) {
		ssize_t n = read(fd, block, left < BLOCK_BYTES ? left : BLOCK_BYTES);

		if (n <= 0)
			return n < 0;
		left -= (uint64_t)n;
	}
	return 0;
}

static void serve_one(int fd)
{
	uint64_t count;
	char what;

	if (read(fd, &what, 1) == 1 && read(fd, &count, sizeof(count)) == sizeof(count)) {
		if (what == 'o')
			(void)out(fd, le64toh(count));
		else if (in(fd, le64toh(count)) == 0)
			(void)!write(fd, "", 1);
	}
	close(fd);
}

static int vsock(unsigned cid, unsigned port)
{
	struct sockaddr_vm a = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	return bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -1 : fd;
}

/* As init does: the connection request from a privileged port is the message (proto/ports.h). */
static int serve(void)
{
	struct sockaddr_vm host = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = PORT_READY};
	int l = vsock(VMADDR_CID_ANY, PORT), bell = vsock(VMADDR_CID_ANY, RING_FROM_PORT);

	if (l < 0 || listen(l, 8) < 0)
		return 1;
	(void)connect(bell, (struct sockaddr *)&host, sizeof(host));
	for (;;) {
		int fd = accept(l, NULL, NULL);

		if (fd >= 0)
			serve_one(fd);
	}
}

int main(int argc, char **argv)
{
	if (getpid() == 1)
		return serve();
	if (argc == 3 && strcmp(argv[1], "out") == 0)
		return out(1, strtoull(argv[2], NULL, 10));
	return argc == 2 && strcmp(argv[1], "in") == 0 ? in(0, UINT64_MAX) : 2;
}
