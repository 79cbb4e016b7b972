/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets: averages that hold to the token, debts, and clocks that misbehave. */
#include <criterion/criterion.h>

#include "util/bucket.h"

enum { S = 1000000000, MS = 1000000 };

static struct bucket b;

static bool open_at(uint64_t now_ns)
{
	bucket_refill(&b, now_ns);
	return bucket_open(&b);
}

/* How many things of one token happen at now_ns. */
static unsigned drain_at(uint64_t now_ns)
{
	unsigned n = 0;

	for (bucket_refill(&b, now_ns); bucket_open(&b); n++)
		bucket_take(&b, 1);
	return n;
}

Test(bucket, is_full_at_first_and_holds_its_capacity)
{
	bucket_init(&b, 10, 3, 5 * (uint64_t)S);
	cr_assert_eq(drain_at(5 * (uint64_t)S), 10);
	cr_assert_eq(drain_at(5 * (uint64_t)S), 0);
}

Test(bucket, never_holds_more_than_its_capacity)
{
	bucket_init(&b, 10, 1000, 0);
	cr_assert_eq(drain_at(3600 * (uint64_t)S), 10);
	cr_assert_eq(drain_at(7200 * (uint64_t)S), 10);
}

Test(bucket, without_a_rate_is_always_open)
{
	bucket_init(&b, 0, 0, 0);
	for (int i = 0; i < 5; i++)
		bucket_take(&b, UINT64_MAX);
	cr_assert(open_at(0));
	cr_assert_eq(bucket_wait_ns(&b), 0);
}

Test(bucket, a_zeroed_one_is_always_open)
{
	b = (struct bucket){0};
	bucket_take(&b, 1);
	cr_assert(open_at(1));
}

Test(bucket, gains_nothing_while_the_clock_stands)
{
	bucket_init(&b, 1, 1000000, 77);
	bucket_take(&b, 1);
	for (int i = 0; i < 1000; i++)
		cr_assert_not(open_at(77));
}

Test(bucket, gains_nothing_when_the_clock_steps_back_and_no_second_time_later)
{
	bucket_init(&b, 5, 5, 10 * (uint64_t)S);
	cr_assert_eq(drain_at(10 * (uint64_t)S), 5);
	cr_assert_not(open_at(1));
	cr_assert_not(open_at(10 * (uint64_t)S));
	cr_assert_eq(drain_at(11 * (uint64_t)S), 5);
}

Test(bucket, refills_exactly_however_often_it_is_asked)
{
	unsigned n = 0;

	/* 3 a second: something is lost in each step if rounding is sloppy */
	bucket_init(&b, 1000, 3, 0);
	bucket_take(&b, 1000);
	for (uint64_t t = 1; t <= 7 * (uint64_t)S; t += 6999) {
		for (bucket_refill(&b, t); bucket_open(&b); n++)
			bucket_take(&b, 1);
	}
	n += drain_at(7 * (uint64_t)S);
	cr_assert_eq(n, 21);
}

Test(bucket, rates_that_do_not_divide_a_second_keep_their_average)
{
	uint64_t taken = 0;

	bucket_init(&b, 7, 999999937, 0); /* a prime */
	bucket_take(&b, 7);
	for (uint64_t t = 0; t < 1000; t++) { /* each nanosecond brings less than a token */
		bucket_refill(&b, t);
		if (bucket_open(&b)) {
			bucket_take(&b, 1);
			taken++;
		}
	}
	cr_assert_eq(b.level, 999 * INT64_C(999999937) - (int64_t)taken * S);
}

Test(bucket, opens_at_the_nanosecond_it_says_and_not_before)
{
	static const uint64_t rates[] = {1, 3, 7, 1000, 999999937, BUCKET_MAX};

	for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		bucket_init(&b, 1, rates[i], 100);
		bucket_take(&b, 12345);
		uint64_t wait_ns = bucket_wait_ns(&b);

		cr_assert_gt(wait_ns, 0);
		cr_assert_not(open_at(100 + wait_ns - 1), "rate %lu", (unsigned long)rates[i]);
		cr_assert(open_at(100 + wait_ns), "rate %lu", (unsigned long)rates[i]);
	}
}

Test(bucket, a_request_larger_than_the_bucket_is_paid_for_by_those_after_it)
{
	bucket_init(&b, 100, 100, 0);
	cr_assert(open_at(0));
	bucket_take(&b, 1100); /* happens at once, 1000 more than there was */
	cr_assert_not(open_at(9 * (uint64_t)S));
	cr_assert_not(open_at(10 * (uint64_t)S + 10 * MS - 1), "out of debt, but empty");
	cr_assert(open_at(10 * (uint64_t)S + 10 * MS));
}

Test(bucket, survives_the_largest_times)
{
	bucket_init(&b, BUCKET_MAX, BUCKET_MAX, 0);
	bucket_take(&b, BUCKET_MAX);
	cr_assert_not(open_at(0));
	bucket_refill(&b, UINT64_MAX);
	cr_assert_eq(b.level, (int64_t)(BUCKET_MAX * S), "full, not wrapped");
	bucket_refill(&b, 0);
	bucket_refill(&b, UINT64_MAX);
	cr_assert_eq(b.level, (int64_t)(BUCKET_MAX * S));
}

Test(bucket, survives_the_largest_costs)
{
	bucket_init(&b, 1, 1, 0);
	for (int i = 0; i < 4; i++)
		bucket_take(&b, UINT64_MAX);
	cr_assert_eq(b.level, INT64_MIN, "saturated, not wrapped");
	uint64_t wait_ns = bucket_wait_ns(&b);
	cr_assert_not(open_at(wait_ns - 1));
	cr_assert(open_at(wait_ns));
	bucket_refill(&b, UINT64_MAX);
	cr_assert_eq(drain_at(UINT64_MAX), 1);
}

/* ---- both kinds ---- */

Test(rate, is_closed_by_either_kind)
{
	struct rate r;

	rate_init(&r, &(struct limit){.bytes_per_s = 1000, .ops_per_s = 10}, 0);
	rate_take(&r, 1000);
	cr_assert_not(rate_open(&r), "bytes");
	rate_init(&r, &(struct limit){.bytes_per_s = 1000, .ops_per_s = 10}, 0);
	for (int i = 0; i < 10; i++) {
		cr_assert(rate_open(&r));
		rate_take(&r, 0);
	}
	cr_assert_not(rate_open(&r), "operations");
}

Test(rate, holds_what_one_second_brings)
{
	struct rate r;

	rate_init(&r, &(struct limit){.bytes_per_s = 4096}, 0);
	rate_refill(&r, 100 * (uint64_t)S);
	rate_take(&r, 4095);
	cr_assert(rate_open(&r));
	rate_take(&r, 1);
	cr_assert_not(rate_open(&r));
}

Test(rate, waits_for_the_slower_kind_and_long_enough_for_a_timer)
{
	struct rate r;

	rate_init(&r, &(struct limit){.bytes_per_s = 1 << 30, .ops_per_s = 2}, 0);
	cr_assert_eq(rate_wait_ns(&r), 0);
	rate_take(&r, 1 << 30);
	cr_assert_eq(rate_wait_ns(&r), RATE_WAIT_MIN_NS, "bytes: 1 ns would do");
	rate_take(&r, 0);
	cr_assert_eq(rate_wait_ns(&r), S / 2);
}

Test(rate, a_zeroed_one_has_no_limit)
{
	struct rate r = {0};

	cr_assert_not(rate_is_limited(&r));
	rate_take(&r, UINT64_MAX);
	rate_refill(&r, 5);
	cr_assert(rate_open(&r));
}
