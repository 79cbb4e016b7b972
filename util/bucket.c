/* SPDX-License-Identifier: Apache-2.0 */
/* bucket.c - see bucket.h. */
#include "util/bucket.h"

#include <assert.h>

#include "util/util.h"

enum {
	UNITS = 1000000000
}; /* of level, per token: what one nanosecond brings at one token a second */

_Static_assert(BUCKET_MAX <= INT64_MAX / UNITS, "a full bucket's level, and a price, fit");

static int64_t full(const struct bucket *b)
{
	return (int64_t)(b->capacity * UNITS);
}

void bucket_init(struct bucket *b, uint64_t capacity, uint64_t per_s, uint64_t now_ns)
{
	assert(capacity <= BUCKET_MAX && per_s <= BUCKET_MAX && (capacity || !per_s));
	*b = (struct bucket){.capacity = capacity, .per_s = per_s, .at_ns = now_ns};
	b->level = full(b);
}

void bucket_refill(struct bucket *b, uint64_t now_ns)
{
	uint64_t missing = (uint64_t)full(b) - (uint64_t)b->level; /* right also where level < 0 */
	uint64_t gain;

	if (now_ns <= b->at_ns)
		return;
	if (__builtin_mul_overflow(now_ns - b->at_ns, b->per_s, &gain) || gain >= missing)
		gain = missing;
	b->level = (int64_t)((uint64_t)b->level + gain);
	b->at_ns = now_ns;
}

bool bucket_open(const struct bucket *b)
{
	return !b->per_s || b->level >= UNITS;
}

void bucket_take(struct bucket *b, uint64_t tokens)
{
	int64_t price = (int64_t)(min_(tokens, BUCKET_MAX) * UNITS);

	if (b->per_s && __builtin_sub_overflow(b->level, price, &b->level))
		b->level = INT64_MIN;
}

uint64_t bucket_wait_ns(const struct bucket *b)
{
	if (bucket_open(b))
		return 0;
	uint64_t need = (uint64_t)UNITS - (uint64_t)b->level; /* right also where level < 0 */
	return need / b->per_s + (need % b->per_s != 0);
}

void rate_init(struct rate *r, const struct limit *l, uint64_t now_ns)
{
	bucket_init(&r->bytes, l->bytes_per_s, l->bytes_per_s, now_ns);
	bucket_init(&r->ops, l->ops_per_s, l->ops_per_s, now_ns);
}

bool rate_is_limited(const struct rate *r)
{
	return r->bytes.per_s || r->ops.per_s;
}

void rate_refill(struct rate *r, uint64_t now_ns)
{
	bucket_refill(&r->bytes, now_ns);
	bucket_refill(&r->ops, now_ns);
}

bool rate_open(const struct rate *r)
{
	return bucket_open(&r->bytes) && bucket_open(&r->ops);
}

void rate_take(struct rate *r, uint64_t bytes)
{
	bucket_take(&r->bytes, bytes);
	bucket_take(&r->ops, 1);
}

uint64_t rate_wait_ns(const struct rate *r)
{
	if (rate_open(r))
		return 0;
	uint64_t wait_ns = max_(bucket_wait_ns(&r->bytes), bucket_wait_ns(&r->ops));
	return max_(wait_ns, (uint64_t)RATE_WAIT_MIN_NS);
}
