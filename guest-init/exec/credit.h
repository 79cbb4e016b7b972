/* SPDX-License-Identifier: Apache-2.0 */
/* credit.h - who may send how much: credit counters and the stdin queue of one execution.
 *
 * Pure: no descriptor, no clock, no allocation. The owner acts on what these say.
 */
#ifndef INIT_EXEC_CREDIT_H
#define INIT_EXEC_CREDIT_H

#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

/* More credit; it saturates, so that a client gains nothing from granting for ever. */
must_check uint32_t credit_add(uint32_t credit_bytes, uint32_t more_bytes);

/* Stdin: a ring that holds what the process has not taken yet, and the window that bounds it.
 *   received by the queue <= window: size_bytes, plus every byte granted back.
 * One client sends at a time. What the one before it left in the queue is in the way, and is nothing that this one
 * has sent: such bytes are the oldest ones, and their going opens the window without being granted back.
 *   open_bytes + owed_bytes + cleared_bytes + len == size_bytes, but for bytes that were just received. */
struct in_flow {
	uint8_t *buf;
	uint32_t size_bytes, head, len;
	uint32_t foreign_bytes; /* of len: an earlier sender's */
	uint32_t open_bytes;    /* the client may still send this much */
	uint32_t owed_bytes;    /* its own that are gone and were not granted back yet */
	uint32_t cleared_bytes; /* likewise foreign ones */
};

/* What a client learns at a time: the window opens by the sum. */
struct in_credit {
	uint32_t bytes;  /* of those it sent */
	uint32_t opened; /* of those that were in its way */
};

void in_flow_init(struct in_flow *f, uint8_t *buf, uint32_t size_bytes);

/* The client sent n bytes. 0, or -EPROTO: more than its window. */
must_check int in_flow_receive(struct in_flow *f, size_t n);

/* Queues received bytes that the process did not take at once. */
void in_flow_queue(struct in_flow *f, const uint8_t *data, size_t n);

/* The oldest queued bytes, as far as they are contiguous; 0 when empty. */
size_t in_flow_peek(const struct in_flow *f, const uint8_t **ret);

/* The oldest n queued bytes are the process's now (or nobody's): they may be granted back. */
void in_flow_drop(struct in_flow *f, size_t n);

/* The same of n received bytes that never were in the queue. */
void in_flow_pass(struct in_flow *f, size_t n);

/* What to grant the client now: nothing until a quarter of the window has gathered, so that a credit
 * message is worth its packet. */
must_check struct in_credit in_flow_take_credit(struct in_flow *f);

/* The same, however little it is. */
must_check struct in_credit in_flow_take_all(struct in_flow *f);

/* Another sender takes over: all but what is queued is its window. */
void in_flow_reopen(struct in_flow *f);

#endif
