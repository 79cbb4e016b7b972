/* SPDX-License-Identifier: Apache-2.0 */
/* pump.h - bytes between two stream sockets, in both directions, each direction with its own end.
 *
 *	fd[0] --> half[0] --> fd[1]
 *	fd[0] <-- half[1] <-- fd[1]
 *
 * A direction reads only when its buffer is empty, so a slow reader stops the writer and costs one buffer.
 * The end of what side i sends is passed on as shutdown(SHUT_WR) of the other side, once its buffer is
 * empty. Both descriptors are non-blocking; the owner polls for what pump_events() says and must not poll
 * a side at all when that is 0: a hang-up is reported regardless, and would not end.
 *
 * No allocation, no clock; the descriptors and buffers are the owner's.
 */
#ifndef UTIL_PUMP_H
#define UTIL_PUMP_H

#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

struct pump_half {
	uint8_t *buf;
	size_t size_bytes, head, len; /* buf[head .. head + len) waits to be written */
	int ended;                    /* nothing more will be read */
	int passed;                   /* and the other side knows */
};

struct pump {
	int fd[2];
	struct pump_half half[2]; /* half[i]: what was read from fd[i] */
};

/* EPOLLIN | EPOLLOUT, what to poll fd[side] for; 0: leave it alone. */
must_check uint32_t pump_events(const struct pump *p, int side);

/* Handles what was polled. 0: go on; 1: both directions have ended; -errno: a side broke. */
must_check int pump_on_events(struct pump *p, int side, uint32_t revents);

/* Puts n bytes behind what waits in a half that has room for them. */
void pump_put(struct pump_half *h, const void *data, size_t n);

#endif
