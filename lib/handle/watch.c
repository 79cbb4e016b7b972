/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - descriptors of others that whoever leads looks at too.
 *
 * An event names one by a number, which is looked up under the lock: the leader may have been told of one that has
 * been taken away since.
 */
#include "lib/handle/handle.h"

#include <errno.h>
#include <sys/epoll.h>

int watch_add(conker_box *b, struct watched *w, int fd, struct err *e)
{
	int r = 0;

	pthread_mutex_lock(&b->lock);
	w->box = b;
	w->number = ++b->last_watched;
	struct epoll_event ev = {.events = EPOLLIN,
				 .data.u64 = SRC_WATCHED | (uint64_t)w->number << 32};
	if (b->lost) {
		r = box_lost_error(b, e);
	} else if (epoll_ctl(b->ep, EPOLL_CTL_ADD, fd, &ev) < 0) {
		r = err_errno(e, "watch a descriptor");
	} else {
		w->refs = 1;
		w->next = b->watched;
		b->watched = w;
		b->refs++;
	}
	box_unlock(b);
	return r;
}

void watch_del(struct watched *w, int fd)
{
	conker_box *b = w->box;
	struct watched **p = &b->watched;

	pthread_mutex_lock(&b->lock);
	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
	if (b->ep >= 0)
		(void)epoll_ctl(b->ep, EPOLL_CTL_DEL, fd, NULL);
	box_unlock(b);
}

void watch_unref(struct watched *w)
{
	conker_box *b = w->box;

	pthread_mutex_lock(&b->lock);
	if (--w->refs == 0) {
		b->refs--;
		w->free(w);
	}
	box_unlock(b);
}

void watch_on_events(conker_box *b, uint32_t number)
{
	pthread_mutex_lock(&b->lock);
	struct watched *w = b->watched;
	while (w && w->number != number)
		w = w->next;
	if (w)
		w->refs++;
	box_unlock(b);
	if (!w)
		return;
	w->on_events(w);
	watch_unref(w);
}
