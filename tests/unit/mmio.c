/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio-mmio transport: registers, status, queues, kicks and interrupts, broken devices. */
#include "tests/unit/mmio.h"

#include <fcntl.h>

TestSuite(mmio, .init = setup, .fini = teardown, .timeout = 60);

/* ---- identity ---- */

Test(mmio, says_who_it_is)
{
	cr_assert_eq(reg(VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	cr_assert_eq(reg(VIRTIO_MMIO_VERSION), 2);
	cr_assert_eq(reg(VIRTIO_MMIO_DEVICE_ID), 42);
	cr_assert_eq(status(), 0);
}

Test(mmio, unknown_registers_read_zero_and_swallow_writes)
{
	static const uint16_t known[] = {0x00, 0x04, 0x08, 0x0c, 0x10,
					 0x34, 0xb0, 0xb4, 0xb8, 0xbc};

	for (uint64_t off = 0; off < VIRTIO_MMIO_CONFIG; off += 4) {
		bool k = false;

		for (size_t i = 0; i < countof(known); i++)
			k |= known[i] == off;
		if (!k)
			cr_assert_eq(reg(off), 0, "register %#lx", (unsigned long)off);
	}
	uint64_t before = stats().ignored;
	set(0x0c, 1); /* read-only */
	set(0xd0, 1); /* nothing there */
	cr_assert_eq(stats().ignored, before + 2);
	cr_assert_eq(stats().broken, 0);
}

Test(mmio, shared_memory_regions_do_not_exist)
{
	cr_assert_eq(reg(VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
	cr_assert_eq(reg(VIRTIO_MMIO_SHM_LEN_HIGH), UINT32_MAX);
	cr_assert_eq(reg(VIRTIO_MMIO_SHM_BASE_LOW), UINT32_MAX);
	cr_assert_eq(reg(VIRTIO_MMIO_SHM_BASE_HIGH), UINT32_MAX);
}

static uint64_t access_n(uint64_t off, unsigned len)
{
	uint64_t v = UINT64_MAX;

	virtio_port_access(f.port, false, off, &v, len);
	return len == 8 ? v : v & ((UINT64_C(1) << len * 8) - 1);
}

Test(mmio, registers_are_32_bits_wide_and_nothing_else)
{
	static const unsigned len[] = {1, 2, 8};

	for (size_t i = 0; i < countof(len); i++)
		cr_assert_eq(access_n(VIRTIO_MMIO_MAGIC_VALUE, len[i]), 0);
	for (unsigned off = 1; off < 4; off++)
		cr_assert_eq(access_n(off, 4), 0);
	uint64_t ack = 1;
	virtio_port_access(f.port, true, VIRTIO_MMIO_STATUS, &ack, 1);
	virtio_port_access(f.port, true, VIRTIO_MMIO_STATUS, &ack, 8);
	cr_assert_eq(status(), 0);
	cr_assert_eq(stats().ignored, 8);
}

Test(mmio, configuration_has_any_width_and_ends_where_it_ends)
{
	cr_assert_eq(access_n(VIRTIO_MMIO_CONFIG, 1), 'a');
	cr_assert_eq(access_n(VIRTIO_MMIO_CONFIG + 1, 2), 'b' | 'c' << 8);
	cr_assert_eq(access_n(VIRTIO_MMIO_CONFIG + 8, 4), 0x6c6b6a69);
	cr_assert_eq(access_n(VIRTIO_MMIO_CONFIG, 8), UINT64_C(0x6867666564636261));
	cr_assert_eq(access_n(VIRTIO_MMIO_CONFIG + 10, 4), 0x6c6b, "the rest reads 0");
	cr_assert_eq(access_n(VIRTIO_MMIO_CONFIG + 11, 1), 'l');
	cr_assert_eq(access_n(VIRTIO_MMIO_CONFIG + 12, 1), 0);
	cr_assert_eq(access_n(VIRTIO_MMIO_BYTES - 8, 8), 0);
}

Test(mmio, configuration_is_read_only)
{
	uint64_t v = 0;

	virtio_port_access(f.port, true, VIRTIO_MMIO_CONFIG, &v, 8);
	cr_assert_eq(access_n(VIRTIO_MMIO_CONFIG, 1), 'a');
	cr_assert_eq(stats().broken, 0);
}

/* ---- features ---- */

Test(mmio, features_are_offered_in_two_words)
{
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	cr_assert_eq(reg(VIRTIO_MMIO_DEVICE_FEATURES), 1 | 1U << VIRTIO_RING_F_EVENT_IDX);
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	cr_assert_eq(reg(VIRTIO_MMIO_DEVICE_FEATURES), 1);
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	cr_assert_eq(reg(VIRTIO_MMIO_DEVICE_FEATURES), 0);
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, UINT32_MAX);
	cr_assert_eq(reg(VIRTIO_MMIO_DEVICE_FEATURES), 0);
}

Test(mmio, accepts_a_subset_with_version_1)
{
	cr_assert_eq(fake_negotiate(&f, VERSION_1), 0xb);
}

Test(mmio, refuses_features_it_did_not_offer)
{
	cr_assert_eq(fake_negotiate(&f, VERSION_1 | 2), 3);
	cr_assert_eq(fake_negotiate(&f, VERSION_1 | UINT64_C(1) << 63), 3);
	cr_assert_eq(fake_negotiate(&f, VERSION_1 | 1), 0xb, "a reset gives another chance");
}

Test(mmio, refuses_a_driver_without_version_1)
{
	cr_assert_eq(fake_negotiate(&f, 1), 3);
}

Test(mmio, refuses_features_beyond_the_64th)
{
	set(VIRTIO_MMIO_STATUS, 1);
	set(VIRTIO_MMIO_STATUS, 3);
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set(VIRTIO_MMIO_DRIVER_FEATURES, 1);
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
	set(VIRTIO_MMIO_DRIVER_FEATURES, 0);
	set(VIRTIO_MMIO_STATUS, 0xb);
	cr_assert_eq(status(), 0xb, "zero is no feature");
	fake_reset(&f);
	set(VIRTIO_MMIO_STATUS, 3);
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set(VIRTIO_MMIO_DRIVER_FEATURES, 1);
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
	set(VIRTIO_MMIO_DRIVER_FEATURES, 1);
	set(VIRTIO_MMIO_STATUS, 0xb);
	cr_assert_eq(status(), 3);
}

Test(mmio, features_cannot_be_changed_once_accepted)
{
	fake_negotiate(&f, VERSION_1);
	set(VIRTIO_MMIO_DRIVER_FEATURES, 1);
	cr_assert_eq(status(), 0xb | NEEDS_RESET);
}

/* ---- status ---- */

Test(mmio, status_moves_only_along_the_table)
{
	static const uint32_t chain[] = {0, 1, 3, 0xb, 0xf};

	/* from each state, every other value of the four bits */
	for (unsigned i = 0; i < countof(chain); i++) {
		for (uint32_t to = 1; to < 16; to++) {
			fake_reset(&f);
			if (i >= 1)
				set(VIRTIO_MMIO_STATUS, 1);
			if (i >= 2)
				set(VIRTIO_MMIO_STATUS, 3);
			set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
			if (i >= 2)
				set(VIRTIO_MMIO_DRIVER_FEATURES, 1);
			for (unsigned k = 3; k <= i; k++)
				set(VIRTIO_MMIO_STATUS, chain[k]);
			cr_assert_eq(status(), chain[i]);

			bool legal = to == chain[i] ||
				     (i + 1 < countof(chain) && to == chain[i + 1]) ||
				     (i == 0 && to == 3);
			if (i == 1 && to == 3)
				legal = true;
			set(VIRTIO_MMIO_STATUS, to);
			cr_assert_eq(status(), legal ? to : (chain[i] | NEEDS_RESET), "%#x to %#x",
				     chain[i], to);
		}
	}
}

Test(mmio, start_activates_on_the_loop_thread_and_kicks_each_queue_once)
{
	cr_assert_eq(fake_start(&f, 0), LIVE);
	cr_assert_eq(dev->activated, 1);
	cr_assert(pthread_equal(dev->thread, pthread_self()));
	cr_assert_eq(dev->features, dev->dev.offered);
	cr_assert_eq(dev->kicks[0], 1);
	cr_assert_eq(dev->kicks[1], 1);
	cr_assert_eq(dev->dev.vq[0]->layout.size, 8);
	cr_assert_eq(dev->dev.vq[1]->layout.size, 4);
	cr_assert(dev->dev.vq[0]->event_idx);
	cr_assert_not(dev->dev.vq[0]->indirect);
}

Test(mmio, queues_that_were_not_enabled_stay_away)
{
	fake_negotiate(&f, VERSION_1);
	fake_setup_queue(&f, 1, 2);
	set(VIRTIO_MMIO_STATUS, LIVE);
	cr_assert_eq(status(), LIVE);
	cr_assert_null(dev->dev.vq[0]);
	cr_assert_eq(dev->dev.vq[1]->layout.size, 2);
	fake_run(&f);
	cr_assert_eq(dev->kicks[1], 1);
	fake_kick(&f, 0);
	fake_kick(&f, 1);
	fake_run(&f);
	cr_assert_eq(dev->kicks[0], 0);
	cr_assert_eq(dev->kicks[1], 2);
}

Test(mmio, a_device_that_cannot_start_needs_a_reset)
{
	dev->fail = -EIO;
	cr_assert_eq(fake_start(&f, 0), LIVE | NEEDS_RESET);
	cr_assert_eq(fake_irqs(&f), 1);
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	cr_assert_eq(dev->kicks[0], 0);
	dev->fail = 0;
	cr_assert_eq(fake_start(&f, 0), LIVE);
}

Test(mmio, a_failed_driver_can_only_reset)
{
	fake_negotiate(&f, VERSION_1);
	set(VIRTIO_MMIO_STATUS, 0x8b);
	cr_assert_eq(status(), 0x8b);
	set(VIRTIO_MMIO_STATUS, 0x8f);
	cr_assert_eq(status(), 0x8b);
	cr_assert_eq(dev->activated, 0);
	cr_assert_eq(fake_start(&f, 0), LIVE);
}

Test(mmio, reset_of_a_live_device_runs_on_the_loop_thread_and_clears_everything)
{
	fake_start(&f, 0);
	virtio_broken(&dev->dev, "a reason");
	cr_assert_eq(fake_reset(&f), 0);
	cr_assert_eq(dev->resets, 1);
	cr_assert(pthread_equal(dev->thread, pthread_self()));
	cr_assert_null(dev->dev.vq[0]);
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	set(VIRTIO_MMIO_QUEUE_SEL, 0);
	cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_READY), 0);
	fake_reset(&f);
	cr_assert_eq(dev->resets, 1, "once is enough");
}

Test(mmio, reset_of_an_idle_device_does_not_bother_it)
{
	fake_negotiate(&f, VERSION_1);
	cr_assert_eq(fake_reset(&f), 0);
	cr_assert_eq(dev->resets, 0);
}

Test(mmio, restarts_as_often_as_one_likes)
{
	for (unsigned i = 1; i <= 20; i++) {
		f.next_free = 0;
		cr_assert_eq(fake_start(&f, 0), LIVE);
		cr_assert_eq(dev->activated, i);
		cr_assert_eq(dev->resets, i - 1);
	}
}

/* ---- queues ---- */

Test(mmio, queue_sizes_are_per_queue_and_zero_beyond)
{
	static const uint32_t max[] = {8, 4, 0, 0, 0};

	for (uint32_t q = 0; q < countof(max); q++) {
		set(VIRTIO_MMIO_QUEUE_SEL, q);
		cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_NUM_MAX), max[q]);
	}
	set(VIRTIO_MMIO_QUEUE_SEL, UINT32_MAX);
	cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
}

static const uint64_t queue_fields[] = {
	VIRTIO_MMIO_QUEUE_NUM,       VIRTIO_MMIO_QUEUE_READY,     VIRTIO_MMIO_QUEUE_DESC_LOW,
	VIRTIO_MMIO_QUEUE_DESC_HIGH, VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
	VIRTIO_MMIO_QUEUE_USED_LOW,  VIRTIO_MMIO_QUEUE_USED_HIGH,
};

Test(mmio, queue_fields_are_writable_between_features_ok_and_driver_ok_only)
{
	for (size_t i = 0; i < countof(queue_fields); i++) {
		for (uint32_t st = 0; st < 5; st++) {
			f.next_free = 0;
			if (st == 4)
				fake_start(&f, 0);
			else if (st == 3)
				fake_negotiate(&f, VERSION_1);
			else
				fake_reset(&f);
			if (st == 1 || st == 2)
				set(VIRTIO_MMIO_STATUS, st == 1 ? 1 : 3);
			uint32_t was = status();
			set(VIRTIO_MMIO_QUEUE_SEL, 0);
			bool ready = queue_fields[i] == VIRTIO_MMIO_QUEUE_READY;
			if (ready && st == 4) /* a ready queue stays as it is */
				set(VIRTIO_MMIO_QUEUE_READY, 0);
			set(queue_fields[i], ready ? 1 : 8);
			cr_assert_eq(status(), st == 3 ? was : was | NEEDS_RESET);
		}
	}
}

Test(mmio, a_ready_queue_cannot_be_changed)
{
	for (size_t i = 0; i < countof(queue_fields); i++) {
		fake_negotiate(&f, VERSION_1);
		fake_setup_queue(&f, 0, 8);
		bool ready = queue_fields[i] == VIRTIO_MMIO_QUEUE_READY;
		set(queue_fields[i], ready ? 0 : 8);
		cr_assert_eq(status(), ready ? 0xb : 0xb | NEEDS_RESET);
	}
}

Test(mmio, clearing_ready_of_a_queue_that_is_not_is_always_fine)
{
	fake_start(&f, 0);
	fake_reset(&f);
	set(VIRTIO_MMIO_QUEUE_SEL, 0);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(status(), 0);
}

Test(mmio, clearing_ready_of_a_live_queue_stops_it_alone)
{
	fake_start(&f, 0);
	set(VIRTIO_MMIO_QUEUE_SEL, 0);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_READY), 0);
	cr_assert_eq(status(), LIVE);
	cr_assert_eq(stats().broken, 0);
	cr_assert_eq(dev->stops[0], 1);
	cr_assert(dev->had_queue, "the device lets go of it first");
	cr_assert(pthread_equal(dev->thread, pthread_self()));
	cr_assert_null(dev->dev.vq[0]);
	cr_assert_not_null(dev->dev.vq[1]);

	unsigned before = dev->kicks[1];
	fake_kick(&f, 0);
	fake_kick(&f, 1);
	fake_run(&f);
	cr_assert_eq(dev->kicks[0], 1, "at the start");
	cr_assert_eq(dev->kicks[1], before + 1);
	set(VIRTIO_MMIO_QUEUE_SEL, 1);
	cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_READY), 1);
	set(VIRTIO_MMIO_QUEUE_SEL, 0);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(dev->stops[0], 1, "once is enough");
}

Test(mmio, a_stopped_queue_is_set_up_again_after_a_reset_only)
{
	for (size_t i = 0; i < countof(queue_fields); i++) {
		f.next_free = 0;
		cr_assert_eq(fake_start(&f, 0), LIVE);
		set(VIRTIO_MMIO_QUEUE_SEL, 0);
		set(VIRTIO_MMIO_QUEUE_READY, 0);
		set(queue_fields[i], 1);
		cr_assert_eq(status(), LIVE | NEEDS_RESET);
		cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_READY), 0);
	}
	f.next_free = 0;
	cr_assert_eq(fake_start(&f, 0), LIVE);
	cr_assert_eq(dev->dev.vq[0]->layout.size, 8);
	unsigned before = dev->kicks[0];
	fake_kick(&f, 0);
	fake_run(&f);
	cr_assert_eq(dev->kicks[0], before + 1);
}

/* Linux warns of one that does not read back 0, also when it leaves a device that failed. */
Test(mmio, a_queue_stops_whatever_became_of_its_device)
{
	static const char *how[] = {"breaks", "gave up", "never started"};

	for (size_t i = 0; i < countof(how); i++) {
		f.next_free = 0;
		dev->breaks = false;
		fake_start(&f, 0);
		if (i == 0)
			virtio_broken(&dev->dev, "a reason");
		else if (i == 1)
			set(VIRTIO_MMIO_STATUS, LIVE | VIRTIO_CONFIG_S_FAILED);
		else
			fake_negotiate(&f, VERSION_1), fake_setup_queue(&f, 1, 4);
		uint32_t was = status();
		set(VIRTIO_MMIO_QUEUE_SEL, 1);
		cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_READY), 1);
		set(VIRTIO_MMIO_QUEUE_READY, 0);
		cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_READY), 0, "%s", how[i]);
		cr_assert_eq(status(), was, "%s", how[i]);
		cr_assert_null(dev->dev.vq[1]);
	}
}

Test(mmio, an_interrupt_for_a_stopped_queue_is_none)
{
	struct vq_chain c;

	fake_start(&f, VERSION_1);
	fake_add(&f, 0, &(struct fake_seg){fake_alloc(&f, 1, 1), 1, true}, 1);
	cr_assert_eq(vq_pop(dev->dev.vq[0], &c), 1);
	vq_push(dev->dev.vq[0], &c, 0);
	set(VIRTIO_MMIO_QUEUE_SEL, 0);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	virtio_irq(&dev->dev, 0);
	virtio_irq_any(&dev->dev);
	cr_assert_eq(fake_irqs(&f), 0);
}

Test(mmio, queues_beyond_the_last_do_not_exist)
{
	fake_negotiate(&f, VERSION_1);
	set(VIRTIO_MMIO_QUEUE_SEL, 2);
	set(VIRTIO_MMIO_QUEUE_NUM, 8);
	set(VIRTIO_MMIO_QUEUE_READY, 1);
	cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_READY), 0);
	cr_assert_eq(status(), 0xb);
}

Test(mmio, a_queue_may_be_as_large_as_offered_and_no_larger)
{
	fake_negotiate(&f, VERSION_1);
	set(VIRTIO_MMIO_QUEUE_SEL, 1);
	set(VIRTIO_MMIO_QUEUE_NUM, 4);
	cr_assert_eq(status(), 0xb);
	set(VIRTIO_MMIO_QUEUE_NUM, 5);
	cr_assert_eq(status(), 0xb | NEEDS_RESET);
	fake_negotiate(&f, VERSION_1);
	set(VIRTIO_MMIO_QUEUE_NUM, 0x10004);
	cr_assert_eq(status(), 0xb | NEEDS_RESET);
}

Test(mmio, an_illegal_queue_address_shows_at_driver_ok)
{
	fake_negotiate(&f, VERSION_1);
	fake_setup_queue(&f, 0, 8);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	set(VIRTIO_MMIO_QUEUE_USED_HIGH, 1);
	set(VIRTIO_MMIO_QUEUE_READY, 1);
	set(VIRTIO_MMIO_STATUS, LIVE);
	cr_assert_eq(status(), LIVE | NEEDS_RESET);
	cr_assert_eq(dev->activated, 0);
	cr_assert_eq(fake_irqs(&f), 1);
	cr_assert_eq(fake_start(&f, 0), LIVE);
}

Test(mmio, a_queue_of_an_illegal_size_shows_at_driver_ok)
{
	fake_negotiate(&f, VERSION_1);
	fake_setup_queue(&f, 0, 3);
	set(VIRTIO_MMIO_STATUS, LIVE);
	cr_assert_eq(status(), LIVE | NEEDS_RESET);
}

Test(mmio, addresses_have_64_bits)
{
	f.mem.region[0].gpa += UINT64_C(5) << 32;
	fake_negotiate(&f, VERSION_1);
	fake_setup_queue(&f, 0, 8);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	set(VIRTIO_MMIO_QUEUE_DESC_HIGH, 5);
	set(VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 5);
	set(VIRTIO_MMIO_QUEUE_USED_HIGH, 5);
	set(VIRTIO_MMIO_QUEUE_READY, 1);
	set(VIRTIO_MMIO_STATUS, LIVE);
	cr_assert_eq(status(), LIVE);
	cr_assert_eq(dev->dev.vq[0]->desc, f.ram + (f.q[0].desc.raw - FAKE_RAM_BASE));
}

/* ---- kicks and interrupts ---- */

Test(mmio, a_kick_reaches_its_queue)
{
	fake_start(&f, 0);
	fake_kick(&f, 1);
	fake_run(&f);
	cr_assert_eq(dev->kicks[0], 1);
	cr_assert_eq(dev->kicks[1], 2);
	uint64_t one = 1;
	cr_assert_eq(write(virtio_port_kick_fd(f.port, 0), &one, 8), 8);
	fake_run(&f);
	cr_assert_eq(dev->kicks[0], 2);
}

Test(mmio, only_real_queues_have_a_kick_fd)
{
	cr_assert_geq(virtio_port_kick_fd(f.port, 0), 0);
	cr_assert_geq(virtio_port_kick_fd(f.port, 1), 0);
	cr_assert_eq(virtio_port_kick_fd(f.port, 2), -1);
	cr_assert_eq(virtio_port_kick_fd(f.port, UINT32_MAX), -1);
}

Test(mmio, a_kick_for_no_queue_is_ignored)
{
	fake_start(&f, 0);
	fake_kick(&f, 2);
	fake_kick(&f, UINT32_MAX);
	fake_run(&f);
	cr_assert_eq(status(), LIVE);
	cr_assert_eq(stats().kicks, 2);
	cr_assert_eq(stats().ignored, 2);
}

Test(mmio, a_kick_before_driver_ok_or_after_reset_is_not_delivered)
{
	fake_negotiate(&f, VERSION_1);
	fake_kick(&f, 0);
	fake_run(&f);
	cr_assert_eq(dev->kicks[0], 0);
	fake_start(&f, 0);
	fake_reset(&f);
	fake_kick(&f, 0);
	fake_run(&f);
	cr_assert_eq(dev->kicks[0], 1);
}

Test(mmio, again_kicks_in_a_later_step)
{
	fake_start(&f, 0);
	virtio_again(&dev->dev, 0);
	cr_assert_eq(dev->kicks[0], 1);
	fake_run(&f);
	cr_assert_eq(dev->kicks[0], 2);
}

Test(mmio, interrupt_status_holds_until_acknowledged)
{
	struct vq_chain c;

	fake_start(&f, VERSION_1);
	virtio_irq(&dev->dev, 0);
	cr_assert_eq(fake_irqs(&f), 0, "nothing was used");
	fake_add(&f, 0, &(struct fake_seg){fake_alloc(&f, 1, 1), 1, true}, 1);
	cr_assert_eq(vq_pop(dev->dev.vq[0], &c), 1);
	vq_push(dev->dev.vq[0], &c, 0);
	virtio_irq(&dev->dev, 0);
	cr_assert_eq(fake_irqs(&f), 1);
	virtio_broken(&dev->dev, "a reason");
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), 3);
	set(VIRTIO_MMIO_INTERRUPT_ACK, 1);
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), 2);
	set(VIRTIO_MMIO_INTERRUPT_ACK, 2);
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

Test(mmio, an_interrupt_for_a_queue_that_is_off_is_none)
{
	virtio_irq(&dev->dev, 0);
	cr_assert_eq(fake_irqs(&f), 0);
}

/* ---- broken devices ---- */

Test(mmio, a_broken_device_says_so_once_and_hears_no_kick)
{
	fake_start(&f, 0);
	dev->breaks = true;
	fake_kick(&f, 0);
	fake_run(&f);
	cr_assert_eq(status(), LIVE | NEEDS_RESET);
	cr_assert_eq(fake_irqs(&f), 1);
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	cr_assert_eq(stats().broken, 1);
	cr_assert_str_eq(stats().why, "first kick");
	fake_kick(&f, 0);
	fake_kick(&f, 1);
	virtio_broken(&dev->dev, "again");
	fake_run(&f);
	cr_assert_eq(dev->kicks[0], 2);
	cr_assert_eq(dev->kicks[1], 1);
	cr_assert_eq(stats().broken, 1);
	cr_assert_eq(fake_irqs(&f), 0);
}

Test(mmio, a_device_broken_before_driver_ok_raises_no_interrupt)
{
	set(VIRTIO_MMIO_STATUS, 0xf);
	cr_assert_eq(status(), NEEDS_RESET);
	cr_assert_eq(fake_irqs(&f), 0);
	set(VIRTIO_MMIO_STATUS, 1);
	cr_assert_eq(status(), NEEDS_RESET, "only a reset helps");
}

Test(mmio, a_reset_mends_a_broken_device)
{
	dev->breaks = true;
	cr_assert_eq(fake_start(&f, 0), LIVE | NEEDS_RESET);
	dev->breaks = false;
	cr_assert_eq(fake_start(&f, 0), LIVE);
	cr_assert_eq(dev->resets, 1);
}

static unsigned lines(int fd)
{
	char text[4096];
	ssize_t len = pread(fd, text, sizeof(text), 0);
	unsigned n = 0;

	for (ssize_t i = 0; i < len; i++)
		n += text[i] == '\n';
	return n;
}

Test(mmio, is_logged_once_per_reset_and_a_few_times_in_all)
{
	int fd = memfd_create("stderr", MFD_CLOEXEC),
	    was = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

	cr_assert_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	dev->breaks = true;
	fake_start(&f, 0);
	virtio_broken(&dev->dev, "again");
	fake_run(&f);
	unsigned first = lines(fd);
	for (int i = 0; i < 20; i++) {
		f.next_free = 0;
		fake_start(&f, 0);
	}
	dup2(was, STDERR_FILENO);
	cr_assert_eq(first, 1);
	cr_assert_eq(lines(fd), 8);
	cr_assert_eq(stats().broken, 21);
}
