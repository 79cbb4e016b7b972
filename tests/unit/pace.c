/* SPDX-License-Identifier: Apache-2.0 */
/* Time at the transport: storms of notifications, and what a device asked for later. */
#include "tests/unit/mmio.h"
#include "util/clock.h"
#include "vmm/virtio/pace.h"

enum { STORM = 40 * PACE_IDLE_KICKS_RESERVE };

TestSuite(pace, .init = setup, .fini = teardown, .timeout = 60);

static void kick(unsigned q)
{
	fake_kick(&f, q);
	fake_run(&f);
}

/* Kicks until they are no longer delivered; how many were. */
static unsigned storm(unsigned q)
{
	unsigned n = 0, before;

	do {
		before = (unsigned)stats().kicks;
		kick(q);
	} while ((unsigned)stats().kicks != before && ++n < STORM);
	return n;
}

/* A request, which the test takes as the device would. */
static void probe_pop(struct virtio_dev *d, unsigned q)
{
	struct vq_chain c;

	container_of(d, struct probe, dev)->kicks[q]++;
	if (vq_pop(d->vq[q], &c) == 1)
		vq_push(d->vq[q], &c, 0);
}

Test(pace, a_storm_of_notifications_that_find_nothing_is_not_listened_to)
{
	fake_start(&f, 0);
	unsigned n = storm(0);
	cr_assert_geq(n, PACE_IDLE_KICKS_RESERVE - 10);
	cr_assert_lt(n, STORM);
}

Test(pace, deaf_means_that_the_loop_sleeps)
{
	fake_start(&f, 0);
	storm(0);
	for (int i = 0; i < 20; i++) {
		fake_kick(&f, 0);
		fake_kick(&f, 1);
		/* at most the end of the wait, never a kick as such */
		cr_assert_leq(loop_step(&f.loop, 0), 1);
	}
}

Test(pace, what_was_asked_for_meanwhile_is_looked_at_soon)
{
	fake_start(&f, 0);
	storm(0);
	unsigned before = dev->kicks[1];
	fake_kick(&f, 1);
	fake_kick(&f, 0);
	cr_assert_eq(dev->kicks[1], before);
	cr_assert_eq(loop_step(&f.loop, 1000), 1);
	cr_assert_eq(dev->kicks[1], before + 1);
	cr_assert_eq(loop_step(&f.loop, 20), 0, "and once");
}

Test(pace, a_storm_in_its_second_minute_costs_a_few_kicks_at_a_time)
{
	fake_start(&f, 0);
	storm(0);
	for (int i = 0; i < 10; i++) {
		unsigned before = (unsigned)stats().kicks;
		uint64_t begin_ns = clock_now_ns();

		cr_assert_eq(loop_step(&f.loop, 1000), 1);
		storm(0);
		/* A machine that stalls lets time pass, and that pays for as many. */
		uint64_t paid = (clock_now_ns() - begin_ns) * PACE_IDLE_KICKS_PER_S / 1000000000;
		cr_assert_lt(stats().kicks - before, PACE_IDLE_KICKS_RESERVE / 10 + paid);
	}
}

Test(pace, a_storm_ends_and_all_is_as_before)
{
	fake_start(&f, 0);
	storm(0);
	cr_assert_eq(loop_step(&f.loop, 1000), 1);
	usleep(200000);
	for (int i = 0; i < 150; i++) {
		unsigned before = dev->kicks[0];

		kick(0);
		cr_assert_eq(dev->kicks[0], before + 1);
	}
}

Test(pace, reset_does_not_buy_patience)
{
	fake_start(&f, 0);
	storm(0);
	cr_assert_eq(loop_step(&f.loop, 1000), 1);
	fake_start(&f, 0);
	cr_assert_lt(storm(0), PACE_IDLE_KICKS_RESERVE / 2);
}

Test(pace, a_device_that_was_never_started_is_no_better_target)
{
	int n = 0, r;

	do {
		fake_kick(&f, 0);
		r = loop_step(&f.loop, 0);
	} while (r == 1 && ++n < STORM);
	cr_assert_lt(n, STORM, "the loop woke for each");
}

Test(pace, notifications_that_bring_work_are_not_counted)
{
	static const struct virtio_ops ops = {.activate = probe_activate,
					      .kick = probe_pop,
					      .reset = probe_reset,
					      .free = probe_free};
	struct virtio_class class = probe_class;
	struct fake_seg s;

	class.ops = &ops;
	dev->dev.cls = &class;
	fake_start(&f, VERSION_1);
	s = (struct fake_seg){fake_alloc(&f, 8, 8), 8, false};
	for (unsigned i = 0; i < 3 * PACE_IDLE_KICKS_RESERVE; i++) {
		unsigned before = dev->kicks[0];

		fake_add(&f, 0, &s, 1);
		kick(0);
		cr_assert_eq(dev->kicks[0], before + 1);
	}
	dev->dev.cls = &probe_class;
}

Test(pace, later_kicks_every_queue_once_and_not_before)
{
	fake_start(&f, 0);
	virtio_later(&dev->dev, UINT64_C(3000000000));
	virtio_later(&dev->dev, UINT64_C(3200000000));
	fake_run(&f);
	cr_assert_eq(loop_step(&f.loop, 100), 0);
	cr_assert_eq(dev->kicks[0], 1, "that of the start");
	cr_assert_eq(loop_step(&f.loop, 20000), 1);
	cr_assert_eq(dev->kicks[0], 2);
	cr_assert_eq(dev->kicks[1], 2);
	cr_assert_eq(loop_step(&f.loop, 500), 0, "the earliest of several counts");
}

Test(pace, an_earlier_wait_replaces_a_later_one)
{
	fake_start(&f, 0);
	virtio_later(&dev->dev, UINT64_C(3600) * 1000000000);
	virtio_later(&dev->dev, 1000000);
	cr_assert_eq(loop_step(&f.loop, 5000), 1);
	cr_assert_eq(dev->kicks[0], 2);
}

Test(pace, a_wait_survives_reset_and_kicks_nobody)
{
	fake_start(&f, 0);
	virtio_later(&dev->dev, 1000000);
	fake_reset(&f);
	unsigned before = dev->kicks[0];
	usleep(2000);
	fake_run(&f);
	cr_assert_eq(dev->kicks[0], before);
}
