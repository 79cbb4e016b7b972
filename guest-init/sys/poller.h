/* SPDX-License-Identifier: Apache-2.0 */
/* poller.h - what init waits for: one epoll set, and the time at which the turn began.
 *
 * An event carries no pointer but {kind, stream, index, generation}: one that is already in the batch when its
 * object goes away no longer matches and is dropped. The kinds are numbered by the floors above, each for itself.
 */
#ifndef INIT_SYS_POLLER_H
#define INIT_SYS_POLLER_H

#include <stdint.h>

#include "util/util.h"

struct poller {
	int ep;
	int64_t now_us; /* at the beginning of the turn */
};

/* Whose event it is; fits into epoll's 64 bits. */
struct ev_name {
	uint32_t gen;
	uint16_t index;
	uint8_t stream;
	uint8_t kind;
};
_Static_assert(sizeof(struct ev_name) == sizeof(uint64_t), "epoll_data");

/* epoll_ctl(): op is EPOLL_CTL_ADD or _MOD. 0 or -errno. */
must_check int poller_watch(struct poller *p, int op, int fd, uint32_t events, struct ev_name name);

/* Takes fd out of the set. */
void poller_unwatch(struct poller *p, int fd);

#endif
