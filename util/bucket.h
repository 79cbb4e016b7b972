/* SPDX-License-Identifier: Apache-2.0 */
/* bucket.h - token buckets: how much of something may happen, on average and at once.
 *
 * A bucket holds at most `capacity` tokens and gains `per_s` of them a second. Whoever is about to do
 * something asks bucket_open(), does it, and then pays what it cost with bucket_take(): the price need
 * not be known before, and may exceed the whole bucket. The debt is then waited for, so the average
 * holds whatever the sizes are; a request larger than the bucket is late, never refused.
 *
 * Pure: no clock inside, the caller passes one that counts nanoseconds. One that stands still or
 * steps back gains nothing. Arithmetic is exact: no fraction of a token is lost or made by asking often.
 * Plain data; thread: its owner's.
 */
#ifndef UTIL_BUCKET_H
#define UTIL_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* Of a capacity, a rate and a price; larger prices count as this. */
#define BUCKET_MAX (UINT64_C(1) << 33)

struct bucket {
	uint64_t capacity, per_s; /* tokens; per_s 0: no limit, always open */
	int64_t level;            /* in 10^-9 tokens; negative: debt */
	uint64_t at_ns;           /* when level was right */
};

/* Full. capacity and per_s at most BUCKET_MAX, capacity at least 1 where there is a limit. */
void bucket_init(struct bucket *b, uint64_t capacity, uint64_t per_s, uint64_t now_ns);

/* Adds what was gained since the last call. */
void bucket_refill(struct bucket *b, uint64_t now_ns);

/* May the next thing happen? As of the last refill it holds a token. */
bool bucket_open(const struct bucket *b);

void bucket_take(struct bucket *b, uint64_t tokens);

/* After so long without bucket_take(), and not before, a refill opens it. 0: it is open. */
uint64_t bucket_wait_ns(const struct bucket *b);

/* ---- two of them: a device's bytes and operations ---- */

struct limit { /* 0: none */
	uint64_t bytes_per_s, ops_per_s;
};

enum {
	RATE_WAIT_MIN_NS = 1000000
}; /* a wait is worth a timer only if a few things can then happen */

struct rate {
	struct bucket bytes, ops;
};

/* Each bucket holds what one second brings. A zeroed struct rate is one without limits. */
void rate_init(struct rate *r, const struct limit *l, uint64_t now_ns);
bool rate_is_limited(const struct rate *r); /* false: there is no need to ask the clock */
void rate_refill(struct rate *r, uint64_t now_ns);
bool rate_open(const struct rate *r);
void rate_take(struct rate *r, uint64_t bytes); /* one operation of so many bytes */
/* RATE_WAIT_MIN_NS or more, unless it is open: 0. */
uint64_t rate_wait_ns(const struct rate *r);

#endif
