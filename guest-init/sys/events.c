/* events.c - see events.h. */
#include "guest-init/sys/events.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

int events_watch(struct events *v, int op, int fd, uint32_t events, struct ev_name name)
{
	struct epoll_event e = {.events = events};

	memcpy(&e.data.u64, &name, sizeof(name));
	return epoll_ctl(v->ep, op, fd, &e) < 0 ? -errno : 0;
}

void events_unwatch(struct events *v, int fd)
{
	(void)epoll_ctl(v->ep, EPOLL_CTL_DEL, fd, NULL); /* fails only if it was not in the set */
}
