/* SPDX-License-Identifier: Apache-2.0 */
/* poller.c - see poller.h. */
#include "guest-init/sys/poller.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

int poller_watch(struct poller *p, int op, int fd, uint32_t events, struct ev_name name)
{
	struct epoll_event e = {.events = events};

	memcpy(&e.data.u64, &name, sizeof(name));
	return epoll_ctl(p->ep, op, fd, &e) < 0 ? -errno : 0;
}

void poller_unwatch(struct poller *p, int fd)
{
	(void)epoll_ctl(p->ep, EPOLL_CTL_DEL, fd, NULL); /* fails only if it was not in the set */
}
