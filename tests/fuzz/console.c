/* SPDX-License-Identifier: Apache-2.0 */
/* console - output in chains of any shape, resets and drains in between; a pipe that is read now and
 * then. The sink must hold what it may hold, and every byte is either delivered or counted as lost. */
#include <assert.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fake/fake.h"
#include "vmm/virtio/console.h"
#include "vmm/virtio/sink.h"

enum { TX = 1, SEGS = 6, STEPS = 300, PIPE_BYTES = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at;
	size_t left;
};

static struct fake f;

static uint8_t next(struct input *in)
{
	return in->left ? in->left--, *in->at++ : 0;
}

static uint32_t next16(struct input *in)
{
	uint32_t lo = next(in);

	return lo | (uint32_t)next(in) << 8;
}

static void set(uint64_t off, uint32_t v)
{
	virtio_port_access(f.port, true, off, &v, sizeof(v));
}

static void start(void)
{
	static const uint32_t steps[] = {0, 1, 3, 0xb};

	for (size_t i = 0; i < countof(steps); i++) {
		if (steps[i] == 0xb) {
			set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
			set(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)f.dev->offered);
			set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
			set(VIRTIO_MMIO_DRIVER_FEATURES, 1);
		}
		set(VIRTIO_MMIO_STATUS, steps[i]);
	}
	f.next_free = 0;
	fake_setup_queue(&f, 0, 2);
	fake_setup_queue(&f, TX, 16);
	set(VIRTIO_MMIO_STATUS, 0xf);
}

static void say(struct input *in)
{
	struct fake_seg s[SEGS];
	uint8_t shape = next(in);
	unsigned n = 1 + shape % SEGS;

	for (unsigned i = 0; i < n; i++) {
		uint32_t len = next16(in);

		s[i] = (struct fake_seg){{FAKE_RAM_BASE + (1 << 20) + next16(in)}, len, false};
	}
	s[n - 1].writable = shape & 0x40;
	if (shape & 0x80)
		fake_expose(&f, TX, fake_chain_indirect(&f, TX, s, n));
	else
		fake_add(&f, TX, s, n);
}

static void step(struct input *in, int reader)
{
	static char buf[2 * PIPE_BYTES];
	static const struct limit low = {.bytes_per_s = 16 << 10, .ops_per_s = 10};
	uint8_t op = next(in);

	if (op == 0xfb)
		console_limit(f.dev, &low);
	else if (f.next_free > 256 << 10 || op == 0xff)
		start();
	else if (op % 4 == 0)
		(void)!read(reader, buf, op * 16);
	else if (op % 4 == 1)
		fake_kick(&f, op & 0x80 ? 0 : TX);
	else
		say(in);
	(void)!loop_step(&f.loop, 0);
}

/* The same through sink_write() alone, where bytes can be counted. */
static void sink_only(struct input in, int p[2])
{
	static struct sink s;
	static uint8_t bytes[0x10000], got[0x10000];
	uint64_t put = 0, seen = 0;
	ssize_t r;

	memset(bytes, 1, sizeof(bytes)); /* in no line about a loss */
	assert(sink_init(&s, &f.loop, p[1], NULL) == 0);
	while (in.left) {
		uint32_t n = next16(&in);

		sink_write(&s, bytes, n);
		put += n;
		assert(s.used <= SINK_QUEUE_BYTES && s.head < SINK_QUEUE_BYTES);
		r = next(&in) & 1 ? read(p[0], got, sizeof(got)) : 0;
		for (ssize_t i = 0; i < r; i++)
			seen += got[i] == 1;
		(void)!loop_step(&f.loop, 0);
	}
	for (int i = 0; i < 100; i++) {
		(void)!loop_step(&f.loop, 0);
		r = read(p[0], got, sizeof(got));
		for (ssize_t k = 0; k < r; k++)
			seen += got[k] == 1;
	}
	assert(seen == put - s.lost);
	sink_fini(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	int p[2];

	signal(SIGPIPE, SIG_IGN);
	assert(pipe2(p, O_CLOEXEC | O_NONBLOCK) == 0);
	assert(fcntl(p[1], F_SETPIPE_SZ, PIPE_BYTES) >= 0);
	fake_init(&f);
	bool file = next(&in) & 1;
	int fd = file ? memfd_create("console", MFD_CLOEXEC) : p[1];
	fake_attach(&f, console_new(&f.loop, fd, NULL));
	start();
	struct input script = in;
	for (int i = 0; i < STEPS && script.left; i++)
		step(&script, p[0]);
	while (read(p[0], &(char[PIPE_BYTES]){0}, PIPE_BYTES) > 0)
		;
	if (file) {
		console_drain(f.dev);
		sink_only(in, p);
	}
	fake_fini(&f);
	if (file)
		close(fd);
	close(p[0]);
	close(p[1]);
	return 0;
}
