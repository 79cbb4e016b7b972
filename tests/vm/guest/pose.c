/* SPDX-License-Identifier: Apache-2.0 */
/* pose.c - a user of the box who would like to be init, or the host. Prints what works and should not;
 * exits 1 then. The ports are those of proto/ports.h. To be run by an ordinary user, and by root. */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT_EXEC = 1, PORT_READY = 2, PORT_FORWARD = 3, GUEST_CID = 3, PRIVILEGED = 1023 };

static int bad;

static int vsock(void)
{
	return socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static struct sockaddr_vm address(unsigned cid, unsigned port)
{
	return (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
}

/* Root may take a port that nobody has; init's own it cannot. */
static void try_to_listen(unsigned port)
{
	struct sockaddr_vm a = address(VMADDR_CID_ANY, port);
	int fd = vsock();

	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
		printf("may listen on port %u\n", port);
		bad = 1;
	} else if (errno != (geteuid() == 0 ? EADDRINUSE : EACCES)) {
		printf("port %u: %s\n", port, strerror(errno));
		bad = 1;
	}
	close(fd);
}

static void try_to_call(unsigned cid, unsigned port)
{
	struct sockaddr_vm a = address(cid, port);
	int fd = vsock();

	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
		printf("reaches port %u of %u\n", port, cid);
		bad = 1;
	}
	close(fd);
}

int main(void)
{
	static const unsigned cids[] = {VMADDR_CID_HYPERVISOR, VMADDR_CID_LOCAL, VMADDR_CID_HOST,
					GUEST_CID};
	int fd = vsock();

	if (fd < 0) {
		perror("vsock");
		return 2;
	}
	close(fd);
	try_to_listen(PORT_EXEC);
	if (geteuid() != 0) {
		try_to_listen(PORT_READY);
		try_to_listen(PRIVILEGED);
	}
	for (size_t i = 0; i < sizeof(cids) / sizeof(cids[0]); i++)
		for (unsigned port = PORT_EXEC; port <= PORT_FORWARD; port++)
			try_to_call(cids[i], port);
	return bad;
}
