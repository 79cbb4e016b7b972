/* SPDX-License-Identifier: Apache-2.0 */
/* blk - a disk under load, while other vCPUs read every register, acknowledge, and now and then reset
 * the device in the middle: loop, disk worker and vCPU threads together. ThreadSanitizer reports what
 * is shared without a rule; the program itself checks that every answer is right. */
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fake/fake.h"
#include "vmm/virtio/blk.h"

enum { SECTOR = 512, SECTORS = 4096, ROUNDS = 200, REQUESTS = 10, VCPUS = 2, LIVE = 0xf };

static atomic_bool stop;

/* Reads registers and configuration and acknowledges interrupts; changes nothing else. */
static void *vcpu(void *arg)
{
	struct virtio_port *p = arg;
	uint64_t v;

	for (uint32_t i = 0; !stop; i++) {
		virtio_port_access(p, false, i * 4 % 0x140, &v, 4);
		virtio_port_access(p, false, VIRTIO_MMIO_CONFIG + i % 64, &v, 1);
		v = 3;
		virtio_port_access(p, true, VIRTIO_MMIO_INTERRUPT_ACK, &v, 4);
		virtio_port_access(p, true, VIRTIO_MMIO_VENDOR_ID, &v, 4);
		usleep(50);
	}
	return NULL;
}

static void must(int ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "blk: %s\n", what);
	exit(1);
}

/* One request of a whole piece or of a sector; with `wait`, its answer is checked. */
static void request(struct fake *f, unsigned i, int wait)
{
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} h = {VIRTIO_BLK_T_IN, 0, i % 64};
	uint32_t head, used, len = i % 3 ? SECTOR : 256 << 10;
	gpa_t data = fake_alloc(f, len, 1), status = fake_alloc(f, 1, 1);
	struct fake_seg s[] = {{fake_bytes(f, &h, sizeof(h)), sizeof(h), false},
			       {data, len, true},
			       {status, 1, true}};

	fake_add(f, 0, s, countof(s));
	fake_kick(f, 0);
	if (!wait)
		return;
	must(fake_wait_used(f, 0, 10000), "no answer");
	must(fake_used(f, 0, &head, &used) && used == len + 1, "wrong length");
	must(*(uint8_t *)fake_ptr(f, status) == VIRTIO_BLK_S_OK, "failed");
	must(*(uint8_t *)fake_ptr(f, data) == (uint8_t)h.sector, "wrong data");
}

int main(void)
{
	static struct fake f;
	static uint8_t disk[SECTORS * SECTOR];
	struct err e = {0};
	pthread_t t[VCPUS];
	int fd = memfd_create("disk", MFD_CLOEXEC);

	for (unsigned i = 0; i < SECTORS; i++)
		memset(disk + (size_t)i * SECTOR, (int)i, SECTOR);
	must(write(fd, disk, sizeof(disk)) == sizeof(disk), "write");
	fake_init(&f);
	struct disk_worker *w = disk_worker_new(&f.loop, NULL, &e);
	must(w != NULL, e.msg);
	fake_attach(&f, blk_new(w, fd, 0, &e));
	for (unsigned i = 0; i < VCPUS; i++)
		must(pthread_create(&t[i], NULL, vcpu, f.port) == 0, "thread");

	for (unsigned round = 0; round < ROUNDS; round++) {
		f.next_free = 0;
		must(fake_start(&f, 0) == LIVE, "start");
		for (unsigned i = 0; i < REQUESTS; i++)
			request(&f, i, 1);
		for (unsigned i = 0; i < 8; i++) /* left in flight for the reset */
			request(&f, i * 3, 0);
	}
	stop = true;
	for (unsigned i = 0; i < VCPUS; i++)
		pthread_join(t[i], NULL);
	virtio_port_free(f.port);
	f.port = NULL;
	disk_worker_free(w);
	fake_fini(&f);
	return 0;
}
