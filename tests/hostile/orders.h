/* SPDX-License-Identifier: Apache-2.0 */
/* orders.h - what the hostile guest tells the host's clients to do (tests/vm/host/hostile.c).
 *
 * One order at a time, one reply to each, over the control stream. Bytes of a stream follow a pattern in
 * either direction, so that what arrives is what was sent, in order.
 */
#ifndef TESTS_HOSTILE_ORDERS_H
#define TESTS_HOSTILE_ORDERS_H

#include <stdint.h>

enum order_op {
	ORDER_OPEN,  /* a connection to the victim's socket */
	ORDER_WRITE, /* arg bytes, as far as the socket takes them; value: how many it took */
	ORDER_READ,  /* arg bytes, or up to the end; value: how many came */
	ORDER_SHUT,  /* arg: SHUT_* of shutdown(2) */
	ORDER_CLOSE,
	ORDER_CROWD, /* opens arg connections in the slots from ORDER_CROWD_FIRST on; value: how many */
	ORDER_COUNT_ENDED, /* waits for the end of the first arg of the crowd; value: how many ended */
};

enum order_status {
	ORDER_DONE,
	ORDER_ENDED,  /* the stream ended before */
	ORDER_LATE,   /* nothing came for a long time */
	ORDER_WRONG,  /* a byte that nobody sent */
	ORDER_FAILED, /* the host refuses; value: errno */
};

enum { ORDER_SLOTS = 2048, ORDER_CROWD_FIRST = 16 };

static inline uint8_t order_byte(uint32_t i)
{
	return (uint8_t)(i * 7 + (i >> 8));
}

struct order {
	uint16_t op, slot;
	uint32_t arg;
};

struct order_reply {
	uint32_t status, value;
};

#endif
