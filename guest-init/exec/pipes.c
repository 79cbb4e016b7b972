/* SPDX-License-Identifier: Apache-2.0 */
/* pipes.c - see pipes.h. */
#include "guest-init/exec/pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PIPE_IOC_ARE_NEW _IO('P', 0x70) /* kernel-config/patches/0017 */

int pipes_get(struct pipes *p, struct pipe_ends *ret)
{
	int fd[2];

	if (p->n > 0) {
		*ret = p->spare[--p->n];
		return 0;
	}
	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	*ret = (struct pipe_ends){fd[0], fd[1]};
	return 0;
}

unsigned pipes_put(struct pipes *p, const struct pipe_ends e[2])
{
	int asked = e[0].wr < 0; /* with the other one as argument, if that is not the first */

	if (e[asked].wr < 0 || p->unusable || p->n > PIPES_SPARE_MAX - 2)
		return 0;
	int is_new = ioctl(e[asked].wr, PIPE_IOC_ARE_NEW, asked ? -1 : e[1].wr);

	p->unusable = is_new < 0;
	if (is_new < 0)
		return 0;
	unsigned taken = (unsigned)is_new << asked;
	for (int k = 0; k < 2; k++)
		if (taken >> k & 1)
			p->spare[p->n++] = e[k];
	return taken;
}
