/* SPDX-License-Identifier: Apache-2.0 */
/* knock.c - calls ports of the host that nobody serves, as fast as it can and for ever. Each call is a packet
 * and each refusal another. */
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	for (unsigned port = 1;; port++) {
		struct sockaddr_vm a = {
			.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port};
		int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			return 1;
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
			return 2;
		close(fd);
	}
}
