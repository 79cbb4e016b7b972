/* SPDX-License-Identifier: Apache-2.0 */
/* blk - requests of any shape on a disk whose worker is played by this file: what reaches it must lie
 * inside the disk and inside guest memory, and nothing may reach it for a device that was reset. */
#include <assert.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fake/fake.h"
#include "vmm/virtio/blk.h"

enum { SECTORS = 64, SECTOR = 512, DISK_BYTES = SECTORS * SECTOR, SEGS = 8, LIVE = 0xf };
enum { PARTS = 5 };

/* Of the disk when it is joined: an empty one among them, and all together DISK_BYTES. */
static const unsigned part_bytes[PARTS] = {4096, 0, 8192, 4096, DISK_BYTES - 4 * 4096};
static int part[PARTS];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at;
	size_t left;
};

static uint8_t next(struct input *in)
{
	return in->left ? in->left--, *in->at++ : 0;
}

static uint32_t next16(struct input *in)
{
	uint32_t lo = next(in);

	return lo | (uint32_t)next(in) << 8;
}

/* ---- the worker ---- */

static struct fake f;
static struct disk_client *client;
static struct disk_req queue[DISK_DEPTH];
static bool read_only, is_joined, has_flush;

int disk_attach(struct disk_worker *w, struct disk_client *c)
{
	(void)w;
	client = c;
	c->inflight = 0;
	return 0;
}

void disk_detach(struct disk_client *c)
{
	disk_cancel(c);
	client = NULL;
}

void disk_cancel(struct disk_client *c)
{
	c->inflight = 0;
}

static void check_segs(const struct disk_req *r)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < r->nsegs; i++) {
		const uint8_t *p = r->segs[i].iov_base;

		assert(p >= f.ram && p + r->segs[i].iov_len <= f.ram + FAKE_RAM_BYTES);
		sum += r->segs[i].iov_len;
	}
	assert(r->nsegs <= DISK_SEGS && sum == r->len_bytes);
}

/* Inside one file, or over an edge of the disk's files, from a byte that it has to its last one. */
static void check_place(const struct disk_req *r)
{
	for (unsigned i = 0; i < PARTS && !r->parts && r->len_bytes; i++)
		if (part[i] == r->fd) {
			assert(r->off_bytes + r->len_bytes <= part_bytes[i]);
			return;
		}
	assert(r->parts || !r->len_bytes);
	for (uint64_t at = r->off_bytes, end = at + r->len_bytes; r->parts && at < end;) {
		struct extent e = parts_at(r->parts, at);

		assert(e.len_bytes > 0 && (at > r->off_bytes || e.len_bytes < r->len_bytes));
		at += e.len_bytes;
	}
}

void disk_submit(struct disk_client *c, const struct disk_req *r)
{
	assert(c == client && c->inflight < DISK_DEPTH);
	assert(r->off_bytes <= DISK_BYTES && r->len_bytes <= DISK_BYTES - r->off_bytes);
	if (is_joined)
		check_place(r);
	assert(!read_only || r->op == DISK_READ);
	assert(has_flush ? r->op != DISK_WRITE_SYNC : r->op != DISK_WRITE);
	if (r->op == DISK_READ || r->op == DISK_WRITE || r->op == DISK_WRITE_SYNC)
		check_segs(r);
	for (unsigned i = 0; i < c->inflight; i++)
		assert(queue[i].slot != r->slot);
	queue[c->inflight++] = *r;
}

/* Completes the n-th request under way. */
static void complete(unsigned n, int result)
{
	if (!client->inflight)
		return;
	n %= client->inflight;
	struct disk_req r = queue[n];
	queue[n] = queue[--client->inflight];
	for (unsigned i = 0; i < r.nsegs && r.op == DISK_READ; i++)
		memset(r.segs[i].iov_base, 0x5a, r.segs[i].iov_len);
	client->on_done(client, r.slot, result);
	client->on_batch(client);
}

/* ---- the driver ---- */

static void set(uint64_t off, uint32_t v)
{
	virtio_port_access(f.port, true, off, &v, sizeof(v));
}

static void start(uint32_t features)
{
	static const uint32_t steps[] = {0, 1, 3, 0xb};

	for (size_t i = 0; i < countof(steps); i++) {
		if (steps[i] == 0xb) {
			set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
			set(VIRTIO_MMIO_DRIVER_FEATURES, features);
			set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
			set(VIRTIO_MMIO_DRIVER_FEATURES, 1);
		}
		set(VIRTIO_MMIO_STATUS, steps[i]);
		assert(i || client->inflight == 0);
	}
	f.next_free = 0;
	has_flush = features >> VIRTIO_BLK_F_FLUSH & 1;
	fake_setup_queue(&f, 0, 64);
	set(VIRTIO_MMIO_STATUS, LIVE);
	assert(fake_read(&f, VIRTIO_MMIO_STATUS) == LIVE);
}

/* A header most often well-formed, data of likely and unlikely lengths. */
static void add(struct input *in)
{
	static const uint32_t lens[] = {1, 16, 20, 512, 1024, 15, 17, 4096};
	static const uint32_t types[] = {0, 1, 4, 8, 11, 13, 2, 99};
	struct fake_seg s[SEGS];
	uint8_t shape = next(in);
	unsigned n = 1 + shape % SEGS;
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} h = {types[next(in) % countof(types)], 0, next(in)};

	if (shape & 0x80)
		h.sector = next16(in) * UINT64_C(0x100010001000101);
	for (unsigned i = 0; i < n; i++) {
		uint8_t kind = next(in);
		uint32_t len = lens[kind % countof(lens)];

		s[i] = (struct fake_seg){
			{FAKE_RAM_BASE + (1 << 20) + next16(in)}, len, kind & 0x20};
		if (kind & 0x10)
			s[i].len = next16(in);
	}
	if (!(shape & 0x40)) { /* the common frame */
		s[0] = (struct fake_seg){fake_bytes(&f, &h, sizeof(h)), sizeof(h), false};
		s[n - 1].writable = true;
	}
	if (shape & 0x20)
		fake_expose(&f, 0, fake_chain_indirect(&f, 0, s, n));
	else
		fake_add(&f, 0, s, n);
}

/* Nothing may be under way afterwards, nor begin. */
static void stop(void)
{
	set(VIRTIO_MMIO_QUEUE_SEL, 0);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	assert(!fake_read(&f, VIRTIO_MMIO_QUEUE_READY));
	fake_kick(&f, 0);
	assert(loop_step(&f.loop, 0) >= 0 && client->inflight == 0);
}

static void step(struct input *in)
{
	uint8_t op = next(in);

	if ((op & 0x3f) == 0x3e)
		stop();

	if (f.next_free > 256 << 10 || (op & 0x3f) == 0x3f) {
		/* The timer of a wait runs, but nobody stays for it. */
		static const struct limit none, low = {.bytes_per_s = 64 << 10, .ops_per_s = 20};

		blk_limit(f.dev, op & 0x80 ? &low : &none);
		start(op & 0x40 ? 0xffffffff & (uint32_t)f.dev->offered : 0);
		return;
	}
	switch (op % 4) {
	case 0:
	case 1: add(in); break;
	case 2: fake_kick(&f, 0); break;
	case 3: complete(op >> 2, op & 0x80 ? -EIO : 0); break;
	}
	(void)!loop_step(&f.loop, 0);
}

static int make_file(off_t bytes)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert(fd >= 0 && ftruncate(fd, bytes) == 0);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t kind = next(&in);
	int fd = make_file(DISK_BYTES);

	fake_init(&f);
	is_joined = (kind & 6) == 6;
	read_only = is_joined || kind & 1;
	for (int i = 0; i < PARTS && is_joined; i++)
		part[i] = make_file(part_bytes[i]);
	fake_attach(&f, is_joined ? blk_new_joined(NULL, part[0], part + 1, PARTS - 1, NULL)
				  : blk_new(NULL, fd, read_only ? BLK_RO : 0, NULL));
	start((uint32_t)f.dev->offered);
	while (in.left)
		step(&in);
	fake_fini(&f);
	assert(!client);
	for (int i = 0; i < PARTS && is_joined; i++)
		close(part[i]);
	close(fd);
	return 0;
}
