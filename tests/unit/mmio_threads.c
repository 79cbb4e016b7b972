/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio-mmio transport: vCPUs that wait for the loop, and the end of a port. */
#include "tests/unit/mmio.h"

#include <stdatomic.h>

TestSuite(mmio_threads, .init = setup, .fini = teardown, .timeout = 60);

static void *driver_ok(void *arg)
{
	uint32_t v = LIVE;

	virtio_port_access(arg, true, VIRTIO_MMIO_STATUS, &v, sizeof(v));
	return NULL;
}

static void *read_status(void *arg)
{
	uint32_t v;

	virtio_port_access(arg, false, VIRTIO_MMIO_STATUS, &v, sizeof(v));
	return (void *)(uintptr_t)v;
}

Test(mmio_threads, others_wait_until_the_command_is_done, .timeout = 60)
{
	pthread_t a, b;
	void *seen;

	fake_negotiate(&f, VERSION_1);
	pthread_create(&a, NULL, driver_ok, f.port);
	while (!virtio_port_busy(f.port))
		usleep(1000);
	pthread_create(&b, NULL, read_status, f.port);
	usleep(20000);
	cr_assert_eq(dev->activated, 0);
	fake_run(&f);
	pthread_join(a, NULL);
	pthread_join(b, &seen);
	cr_assert_eq((uintptr_t)seen, LIVE);
}

Test(mmio_threads, the_loop_itself_never_waits, .timeout = 60)
{
	uint32_t v = LIVE;
	pthread_t a;

	fake_negotiate(&f, VERSION_1);
	virtio_port_access(f.port, true, VIRTIO_MMIO_STATUS, &v, sizeof(v));
	cr_assert_eq(status(), LIVE);
	fake_reset(&f);
	fake_negotiate(&f, VERSION_1);
	pthread_create(&a, NULL, driver_ok, f.port);
	while (!virtio_port_busy(f.port))
		usleep(1000);
	cr_assert_eq(status(), LIVE, "it runs the command of another that it meets");
	cr_assert_eq(dev->activated, 2);
	pthread_join(a, NULL);
}

static void *stop_first_queue(void *arg)
{
	uint32_t v = 0;

	virtio_port_access(arg, true, VIRTIO_MMIO_QUEUE_READY, &v, sizeof(v));
	virtio_port_access(arg, false, VIRTIO_MMIO_QUEUE_READY, &v, sizeof(v));
	return (void *)(uintptr_t)v;
}

Test(mmio_threads, a_vcpu_that_stops_a_queue_waits_until_it_is_let_go_of)
{
	pthread_t a;
	void *seen = (void *)1;

	fake_start(&f, 0);
	set(VIRTIO_MMIO_QUEUE_SEL, 0);
	pthread_create(&a, NULL, stop_first_queue, f.port);
	while (!virtio_port_busy(f.port))
		usleep(1000);
	cr_assert_not_null(dev->dev.vq[0]);
	cr_assert_eq(dev->stops[0], 0);
	fake_run(&f);
	pthread_join(a, &seen);
	cr_assert_null(seen);
	cr_assert_eq(dev->stops[0], 1);
}

Test(mmio_threads, stop_frees_a_vcpu_that_waits_for_a_loop_that_no_longer_turns, .timeout = 60)
{
	pthread_t a, b;
	void *seen;

	fake_negotiate(&f, VERSION_1);
	pthread_create(&a, NULL, driver_ok, f.port);
	while (!virtio_port_busy(f.port))
		usleep(1000);
	pthread_create(&b, NULL, read_status, f.port);
	usleep(20000);
	virtio_port_stop(f.port);
	virtio_port_stop(f.port);
	pthread_join(a, NULL);
	pthread_join(b, &seen);
	uint32_t v = LIVE;
	virtio_port_access(f.port, true, VIRTIO_MMIO_STATUS, &v, sizeof(v)); /* does not wait */
	cr_assert_eq(status(), 0xb);
}

Test(mmio_threads, after_stop_nothing_is_started_any_more)
{
	uint32_t v = LIVE;

	fake_negotiate(&f, VERSION_1);
	virtio_port_stop(f.port);
	virtio_port_access(f.port, true, VIRTIO_MMIO_STATUS, &v, sizeof(v));
	fake_run(&f);
	cr_assert_eq(dev->activated, 0);
}

Test(mmio_threads, freeing_resets_a_live_device_first)
{
	static unsigned freed;
	dev->freed = &freed;
	fake_start(&f, 0);
	virtio_port_free(f.port);
	f.port = NULL;
	cr_assert_eq(freed, 2, "reset once, then freed");
	fake_run(&f); /* nothing of it is left in the loop */
}

Test(mmio_threads, a_port_of_no_device_is_no_port)
{
	struct err e = {.code = EIO, .msg = "the device's reason"};

	cr_assert_null(virtio_port_new(NULL, &f.mem, &f.loop, f.irq_fd, &e));
	cr_assert_str_eq(e.msg, "the device's reason");
	virtio_port_free(NULL);
}

/* All registers from four threads while the loop runs: a race would show under a sanitizer. */
static atomic_uint running;

static void *hammer(void *arg)
{
	static const uint32_t useful[] = {0, 1, 3, 0xb, 0xf};
	uint32_t seed = (uint32_t)(uintptr_t)arg;

	for (int i = 0; i < 3000; i++) {
		uint32_t v = (seed = seed * 1664525 + 1013904223) >> 20;
		uint64_t off = (seed >> 8) % 0x120;

		if (v % 2) /* often something that means something as a status */
			v = useful[v % countof(useful)];
		virtio_port_access(f.port, seed >> 16 & 1, off & ~3U, &v, 4);
	}
	running--;
	return NULL;
}

Test(mmio_threads, survives_any_registers_from_many_threads, .timeout = 60)
{
	pthread_t t[4];

	running = countof(t);
	for (uintptr_t i = 0; i < countof(t); i++)
		pthread_create(&t[i], NULL, hammer, (void *)(i + 1));
	while (running)
		cr_assert_geq(loop_step(&f.loop, 1), 0);
	for (size_t i = 0; i < countof(t); i++)
		pthread_join(t[i], NULL);
	cr_assert_eq(fake_start(&f, 0), LIVE);
}
