/* SPDX-License-Identifier: Apache-2.0 */
/* A port that is held, saved and restored: registers, rings, interrupts, commands; and states that
 * no port can have. The probe device of mmio.h stands in for any. */
#include "tests/unit/mmio.h"

#include <linux/virtio_ids.h>

#include "vmm/snap/device.h"
#include "vmm/virtio/pace.h"
#include "vmm/virtio/state.h"

static struct port_state *s;
static bool is_busy;

static bool probe_busy(const struct virtio_dev *d)
{
	(void)d;
	return is_busy;
}

static const struct virtio_ops busy_ops = {
	.activate = probe_activate,
	.kick = probe_kick,
	.reset = probe_reset,
	.free = probe_free,
	.busy = probe_busy,
};
/* Of a kind that a state file has. */
static const struct virtio_class disk_class = {
	.name = "probe", .id = VIRTIO_ID_BLOCK, .nvqs = 2, .vq_max = {8, 4}, .ops = &busy_ops};

static struct virtio_dev *remake(struct fake *fk)
{
	(void)fk;
	dev = calloc(1, sizeof(*dev));
	dev->dev = (struct virtio_dev){
		.cls = &disk_class,
		.offered = VERSION_1 | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX | 1,
		.config = dev->config,
		.config_len = sizeof(dev->config),
	};
	memcpy(dev->config, "abcdefghijkl", 12);
	return &dev->dev;
}

static void setup_disk(void)
{
	fake_init(&f);
	f.remake = remake;
	fake_attach(&f, remake(&f));
	s = calloc(1, sizeof(*s));
}

static void teardown_disk(void)
{
	free(s);
	teardown();
}

static void setup_live(void)
{
	setup_disk();
	fake_start(&f, 0);
}

TestSuite(snap_port, .init = setup_disk, .fini = teardown_disk, .timeout = 30);
TestSuite(snap_port_live, .init = setup_live, .fini = teardown_disk, .timeout = 30);

/* A buffer in queue q, as the device would see it. */
static void add(unsigned q)
{
	fake_add(&f, q, &(struct fake_seg){fake_alloc(&f, 16, 16), 16, true}, 1);
}

static bool pop_push(unsigned q)
{
	struct vq_chain c;

	if (vq_pop(dev->dev.vq[q], &c) != 1)
		return false;
	vq_push(dev->dev.vq[q], &c, 1);
	return true;
}

/* ---- hold and release ---- */

Test(snap_port_live, kicks_wait_while_it_is_held)
{
	unsigned before[] = {dev->kicks[0], dev->kicks[1]};
	virtio_port_hold(f.port);
	fake_kick(&f, 0);
	fake_kick(&f, 1);
	fake_run(&f);
	cr_assert_eq(dev->kicks[0], before[0]);
	virtio_port_release(f.port);
	cr_assert_eq(dev->kicks[0], before[0] + 1);
	cr_assert_eq(dev->kicks[1], before[1] + 1);
	fake_kick(&f, 0);
	fake_run(&f);
	cr_assert_eq(dev->kicks[0], before[0] + 2, "it listens again");
}

Test(snap_port_live, a_kick_that_nobody_saw_before_is_not_lost)
{
	fake_kick(&f, 1); /* the loop does not turn any more */
	fake_move(&f);
	cr_assert_eq(dev->kicks[1], 1);
}

Test(snap_port_live, queues_look_empty_while_it_is_held)
{
	add(0);
	virtio_port_hold(f.port);
	cr_assert_not(pop_push(0));
	virtio_port_hold(f.port); /* again */
	cr_assert_not(pop_push(0));
	virtio_port_release(f.port);
	cr_assert(pop_push(0));
}

Test(snap_port_live, waits_and_deafness_end_with_it)
{
	for (int i = 0; i < PACE_IDLE_KICKS_RESERVE + 100; i++) {
		fake_kick(&f, 0);
		cr_assert_geq(loop_step(&f.loop, 0), 0);
	}
	unsigned before = dev->kicks[0];
	fake_kick(&f, 0);
	cr_assert_geq(loop_step(&f.loop, 0), 0);
	cr_assert_eq(dev->kicks[0], before, "deaf");
	virtio_port_hold(f.port);
	virtio_port_release(f.port);
	cr_assert_eq(dev->kicks[0], before + 1);
	fake_kick(&f, 0);
	cr_assert_geq(loop_step(&f.loop, 0), 0);
	cr_assert_eq(dev->kicks[0], before + 2);
}

Test(snap_port, a_device_started_while_it_is_held_waits_too)
{
	fake_negotiate(&f, VERSION_1);
	fake_setup_queue(&f, 0, 8);
	add(0);
	virtio_port_hold(f.port);
	set(VIRTIO_MMIO_STATUS, LIVE);
	fake_run(&f);
	cr_assert_eq(dev->activated, 1);
	cr_assert_eq(dev->kicks[0], 0);
	cr_assert_not(pop_push(0));
	virtio_port_release(f.port);
	cr_assert_eq(dev->kicks[0], 1);
	cr_assert(pop_push(0));
	virtio_port_hold(f.port);
	fake_reset(&f);
	cr_assert_eq(dev->resets, 1);
	virtio_port_release(f.port);
}

/* ---- busy ---- */

Test(snap_port_live, is_not_saved_while_its_device_is_busy)
{
	virtio_port_hold(f.port);
	is_busy = true;
	cr_assert(virtio_port_busy(f.port));
	cr_assert_eq(virtio_port_save(f.port, s), -EBUSY);
	is_busy = false;
	cr_assert_not(virtio_port_busy(f.port));
	cr_assert_eq(virtio_port_save(f.port, s), 0);
}

static void *vcpu_resets(void *port)
{
	uint32_t zero = 0;

	virtio_port_access(port, true, VIRTIO_MMIO_STATUS, &zero, sizeof(zero));
	return NULL;
}

Test(snap_port, is_not_saved_while_a_vcpu_waits_for_the_loop)
{
	pthread_t t;

	fake_start(&f, 0);
	virtio_port_hold(f.port);
	cr_assert_eq(pthread_create(&t, NULL, vcpu_resets, f.port), 0);
	while (!virtio_port_busy(f.port))
		usleep(1000);
	cr_assert_eq(virtio_port_save(f.port, s), -EBUSY);
	while (virtio_port_busy(f.port))
		cr_assert_geq(loop_step(&f.loop, 1000), 0);
	pthread_join(t, NULL);
	cr_assert_eq(virtio_port_save(f.port, s), 0);
	cr_assert_eq(s->status, 0);
}

/* ---- interrupts ---- */

Test(snap_port, an_interrupt_that_was_on_its_way_is_raised_again)
{
	fake_start(&f, VERSION_1);
	add(0);
	cr_assert(pop_push(0));
	virtio_irq(&dev->dev, 0);
	cr_assert_eq(fake_irqs(&f), 1); /* and lost: not in the interrupt controller's state */
	fake_move(&f);
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	cr_assert_eq(fake_irqs(&f), 1);
	set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	fake_move(&f);
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	cr_assert_eq(fake_irqs(&f), 0);
}

Test(snap_port_live, what_the_driver_was_not_told_of_it_is)
{
	add(0);
	add(0);
	fake_avail(&f, 0)[2 + 8] = 1; /* used_event: tell me once two are back */
	cr_assert(pop_push(0));
	virtio_irq(&dev->dev, 0);
	cr_assert_eq(fake_irqs(&f), 0, "not yet");
	cr_assert(pop_push(0)); /* no virtio_irq(): it puts it off */
	fake_move(&f);
	cr_assert_eq(fake_irqs(&f), 1);
	cr_assert_eq(reg(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	fake_move(&f);
	cr_assert_eq(fake_irqs(&f), 0, "once");
}

/* ---- registers and rings ---- */

Test(snap_port, a_driver_may_be_moved_between_any_two_steps)
{
	f.moving = true;
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	cr_assert_eq(reg(VIRTIO_MMIO_DEVICE_FEATURES), 1, "VERSION_1 is bit 32");
	fake_negotiate(&f, VERSION_1);
	fake_setup_queue(&f, 1, 4);
	set(VIRTIO_MMIO_STATUS, LIVE);
	cr_assert_eq(status(), LIVE);
	fake_run(&f);
	cr_assert_eq(dev->features, VERSION_1);
	cr_assert_null(dev->dev.vq[0]);
	for (int i = 0; i < 70000; i += 1 + (i > 10 && i < 65530) * 997) {
		f.moving = i % 3 == 0;
		add(1);
		fake_kick(&f, 1);
		fake_run(&f);
		cr_assert(pop_push(1));
		uint32_t head, len;
		cr_assert(fake_used(&f, 1, &head, &len));
		cr_assert_eq(len, 1);
	}
	f.moving = true;
	cr_assert_eq(fake_reset(&f), 0);
	cr_assert_eq(fake_start(&f, 0), LIVE);
}

Test(snap_port_live, indices_go_on_past_the_end_of_their_type)
{
	uint32_t head, len;

	for (unsigned i = 0; i < 65536 + 20; i++) {
		f.q[0].next_desc = 0;
		*fake_desc(&f, 0, 0) =
			(struct vring_desc){FAKE_RAM_BASE, 16, VRING_DESC_F_WRITE, 0};
		fake_expose(&f, 0, 0);
		if (i % 8191 == 0 || (i > 65530 && i < 65545))
			fake_move(&f);
		cr_assert(pop_push(0), "%u", i);
		cr_assert(fake_used(&f, 0, &head, &len));
	}
}

Test(snap_port_live, selectors_and_harmless_nonsense_are_kept)
{
	set(VIRTIO_MMIO_QUEUE_SEL, 77);
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 5);
	fake_move(&f);
	cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	cr_assert_eq(reg(VIRTIO_MMIO_DEVICE_FEATURES), 0);
}

Test(snap_port_live, a_stopped_queue_stays_stopped_and_the_others_go_on)
{
	add(1);
	cr_assert(pop_push(1));
	set(VIRTIO_MMIO_QUEUE_SEL, 0);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	fake_move(&f);
	cr_assert_eq(status(), LIVE);
	cr_assert_eq(reg(VIRTIO_MMIO_QUEUE_READY), 0);
	cr_assert_null(dev->dev.vq[0]);
	add(1);
	cr_assert(pop_push(1));
	set(VIRTIO_MMIO_QUEUE_READY, 1);
	cr_assert_eq(status(), LIVE | NEEDS_RESET, "not even here");
	f.next_free = 0;
	cr_assert_eq(fake_start(&f, 0), LIVE);
}

Test(snap_port_live, a_device_that_needs_a_reset_still_does)
{
	dev->breaks = true;
	fake_kick(&f, 0);
	fake_run(&f);
	cr_assert_eq(status(), LIVE | NEEDS_RESET);
	fake_move(&f);
	cr_assert_eq(status(), LIVE | NEEDS_RESET);
	cr_assert_eq(dev->activated, 0);
	fake_kick(&f, 0);
	fake_run(&f);
	cr_assert_eq(dev->kicks[0], 0);
	cr_assert_eq(fake_reset(&f), 0);
	cr_assert_eq(dev->resets, 1);
	cr_assert_eq(fake_start(&f, 0), LIVE);
	cr_assert_eq(dev->activated, 1);
}

Test(snap_port, illegal_queues_of_a_device_that_broke_on_them_are_kept)
{
	fake_negotiate(&f, VERSION_1);
	fake_setup_queue(&f, 0, 7); /* not a power of two */
	set(VIRTIO_MMIO_STATUS, LIVE);
	cr_assert_eq(status(), LIVE | NEEDS_RESET);
	fake_move(&f);
	cr_assert_eq(status(), LIVE | NEEDS_RESET);
	cr_assert_eq(fake_start(&f, 0), LIVE);
}

Test(snap_port_live, a_driver_that_gave_up_is_not_served)
{
	set(VIRTIO_MMIO_STATUS, LIVE | VIRTIO_CONFIG_S_FAILED);
	fake_move(&f);
	cr_assert_eq(status(), LIVE | VIRTIO_CONFIG_S_FAILED);
	cr_assert_eq(dev->kicks[0] + dev->activated, 0);
	cr_assert_eq(fake_start(&f, 0), LIVE);
}

Test(snap_port_live, the_saved_one_is_as_it_was)
{
	struct port_state *again = calloc(1, sizeof(*again));

	add(0);
	cr_assert(pop_push(0));
	add(0);
	fake_save(&f, s);
	fake_save(&f, again);
	cr_assert_eq(memcmp(s, again, sizeof(*s)), 0);
	cr_assert_eq(s->queue[0].next, 1);
	virtio_port_release(f.port);
	cr_assert(pop_push(0));
	free(again);
}

/* ---- states that no port has ---- */

static void refuse(const char *text)
{
	struct err e = {0};

	virtio_port_free(f.port);
	fake_attach(&f, remake(&f));
	cr_assert_eq(virtio_port_restore(f.port, s, &e), -EINVAL, "%s", text);
	cr_assert_eq(e.code, EINVAL);
	cr_assert_not_null(strstr(e.msg, text), "%s", e.msg);
	cr_assert_eq(strncmp(e.msg, "virtio-probe: ", 14), 0);
}

static void accept(void)
{
	struct err e = {0};

	virtio_port_free(f.port);
	fake_attach(&f, remake(&f));
	cr_assert_eq(virtio_port_restore(f.port, s, &e), 0, "%s", e.msg);
}

#define REFUSE(field, value, text)                   \
	do {                                         \
		__typeof__(s->field) was = s->field; \
		s->field = (value);                  \
		refuse(text);                        \
		s->field = was;                      \
		accept();                            \
	} while (0)

Test(snap_port_live, another_device_is_refused)
{
	fake_save(&f, s);
	REFUSE(device_id, VIRTIO_ID_CONSOLE, "another kind");
	REFUSE(nqueues, 1, "another kind");
	REFUSE(nqueues, 3, "another kind");
	REFUSE(offered, s->offered | 2, "other features");
	REFUSE(offered, s->offered & ~UINT64_C(1), "other features");
	REFUSE(config_bytes, 11, "configuration");
	REFUSE(config_bytes, 13, "configuration");
	REFUSE(config_bytes, UINT32_MAX, "configuration");
	REFUSE(config[11], 'm', "configuration");
}

Test(snap_port_live, registers_that_no_driver_wrote_are_refused)
{
	fake_save(&f, s);
	REFUSE(status, 2, "status");
	REFUSE(status, 4, "status");
	REFUSE(status, 0x10 | LIVE, "status");
	REFUSE(status, 0x100, "status");
	REFUSE(isr, 4, "interrupt");
	REFUSE(isr, UINT32_MAX, "interrupt");
	REFUSE(alien_features, true, "never accepted");
	REFUSE(driver_features, 1, "never accepted");
	REFUSE(driver_features, VERSION_1 | 2, "never accepted");
	REFUSE(queue[0].layout.size, 16, "larger than offered");
	REFUSE(queue[1].layout.size, 8, "larger than offered");
	s->status = 3; /* before FEATURES_OK a driver may write what it likes */
	s->driver_features = ~UINT64_C(0);
	s->alien_features = true;
	accept();
}

Test(snap_port_live, queues_outside_memory_are_refused)
{
	fake_save(&f, s);
	REFUSE(queue[0].layout.size, 0, "illegal");
	REFUSE(queue[0].layout.size, 3, "illegal");
	REFUSE(queue[0].layout.desc.raw, 0, "illegal");
	REFUSE(queue[0].layout.desc.raw, s->queue[0].layout.desc.raw + 1, "illegal");
	REFUSE(queue[0].layout.avail.raw, FAKE_RAM_BASE + FAKE_RAM_BYTES - 2, "illegal");
	REFUSE(queue[1].layout.used.raw, UINT64_MAX - 3, "illegal");
	s->queue[0].layout.desc.raw = 1;
	s->queue[0].ready = false; /* never enabled: nobody looks */
	accept();
	s->queue[0].ready = true;
	s->status = LIVE & ~4u; /* not in use yet */
	accept();
}

/* Whatever a queue's indices say, the worst is a broken device. */
Test(snap_port_live, false_indices_break_the_device_at_most)
{
	add(0);
	fake_save(&f, s);
	for (unsigned i = 0; i < 65536; i += 257) {
		struct vq_chain c;

		s->queue[0].next = (uint16_t)i;
		s->queue[0].signalled = (uint16_t)(i * 31);
		accept();
		virtio_port_release(f.port);
		int r = vq_pop(dev->dev.vq[0], &c);
		unsigned queued = (uint16_t)(1 - i);
		cr_assert_eq(r, queued == 0 ? 0 : queued <= 8 ? 1 : -EPROTO, "%u: %d", i, r);
	}
}
