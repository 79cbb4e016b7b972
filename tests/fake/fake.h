/* SPDX-License-Identifier: Apache-2.0 */
/* fake.h - a virtio driver in plain memory: drives one device through its real transport, without
 * KVM and without a vCPU.
 *
 * Guest memory is FAKE_RAM_BYTES from guest-physical FAKE_RAM_BASE on, between two inaccessible
 * pages: a device that runs over either end crashes, also without a sanitizer. Queues, tables and
 * buffers come from fake_alloc(), a bump allocator.
 *
 * Thread: the test's own is the loop thread. Register writes that the transport hands to the loop
 * (DRIVER_OK, reset, the stop of a queue) are made by a short-lived thread, as a vCPU would, while the test steps the
 * loop. Whatever the host refuses aborts the test.
 */
#ifndef TESTS_FAKE_FAKE_H
#define TESTS_FAKE_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/loop.h"
#include "vmm/mem.h"
#include "vmm/virtio/device.h"
#include "vmm/virtio/mmio.h"

enum { FAKE_RAM_BASE = 1 << 20, FAKE_RAM_BYTES = 4 << 20 };

struct fake_queue {
	uint16_t size;
	gpa_t desc, avail, used;
	uint16_t next_desc; /* next descriptor fake_add() takes; wraps: see there */
	uint16_t avail_idx; /* ours */
	uint16_t last_used; /* entries taken by fake_used() */
};

struct fake {
	struct loop loop;
	struct guest_mem mem;
	uint8_t *ram;
	uint64_t next_free; /* offset into RAM */
	int irq_fd;
	struct virtio_dev *dev;
	struct virtio_port *port;
	uint64_t features; /* negotiated */
	struct fake_queue q[VIRTIO_QUEUES];
	/* Set by the test: makes the device that goes on where a saved one stopped, for fake_move(). */
	struct virtio_dev *(*remake)(struct fake *f);
	bool moving; /* fake_move() before each register write, after each step of fake_run(), fake_wait_used() */
};

/* One buffer of a chain. */
struct fake_seg {
	gpa_t at;
	uint32_t len;
	bool writable;
};

/* The loop and the memory only: the device under test is made with &f->loop after that. */
void fake_init(struct fake *f);
void fake_fini(struct fake *f); /* frees the device through its port, too; NULL port is fine */

/* Gives dev (not NULL) a port. */
void fake_attach(struct fake *f, struct virtio_dev *dev);

/* ---- snapshots ---- */

/* Holds the port until it is no longer busy, and saves it. */
void fake_save(struct fake *f, struct port_state *ret);
/* Through the bytes of a state file and back. */
void fake_through_file(struct port_state *s);
/* Saves the device, frees it, restores its state into a new one of f->remake(), and goes on. */
void fake_move(struct fake *f);

/* ---- registers ---- */
uint32_t fake_read(struct fake *f, uint64_t off);
void fake_write(struct fake *f, uint64_t off, uint32_t v); /* steps the loop while it waits */
void fake_config(struct fake *f, uint64_t at, void *buf, unsigned len); /* reads it by bytes */

/* The steps of a driver's start; each returns Status as read back. */
uint32_t fake_reset(struct fake *f); /* forgets the queues' indices as well */
uint32_t fake_negotiate(struct fake *f, uint64_t features);       /* from reset to FEATURES_OK */
void fake_make_rings(struct fake *f, unsigned q, uint16_t size);  /* no register is touched */
void fake_setup_queue(struct fake *f, unsigned q, uint16_t size); /* rings, registers, ready */
/* All of it: reset, exactly these features (0: all that are offered), every queue of the class at
 * its greatest size, DRIVER_OK. Runs the loop until idle, so that the first kicks are through. */
uint32_t fake_start(struct fake *f, uint64_t features);

/* ---- memory ---- */
gpa_t fake_alloc(struct fake *f, size_t len, size_t align);     /* zeroed; never freed */
void *fake_ptr(struct fake *f, gpa_t at);                       /* host view, unchecked */
gpa_t fake_bytes(struct fake *f, const void *data, size_t len); /* allocated and filled */

/* ---- queues ---- */

/* The raw parts, for tests that break the rules. */
struct vring_desc *fake_desc(struct fake *f, unsigned q, uint16_t i);
uint16_t *fake_avail(struct fake *f, unsigned q); /* flags, idx, ring[], used_event */
uint16_t *fake_used_ring(struct fake *f, unsigned q);

/* Links n descriptors into a chain, from next_desc on, and returns its head. Not yet visible. The
 * test sees to it that no more descriptors are under way than the queue has. */
uint16_t fake_chain(struct fake *f, unsigned q, const struct fake_seg *s, unsigned n);
/* The same through an indirect table; one descriptor of the queue. */
uint16_t fake_chain_indirect(struct fake *f, unsigned q, const struct fake_seg *s, unsigned n);
/* Makes the chain at head visible: avail ring entry, then idx. No kick. */
void fake_expose(struct fake *f, unsigned q, uint16_t head);
/* chain + expose. */
uint16_t fake_add(struct fake *f, unsigned q, const struct fake_seg *s, unsigned n);
/* A kick as the register write does it. Does not run the loop. */
void fake_kick(struct fake *f, unsigned q);
/* The next used entry, if there is one. */
bool fake_used(struct fake *f, unsigned q, uint32_t *ret_head, uint32_t *ret_len);

/* ---- time ---- */
void fake_run(struct fake *f); /* steps the loop until nothing is pending, without waiting */
/* Steps, waiting up to timeout_ms in all, until queue q has an entry for fake_used(). */
bool fake_wait_used(struct fake *f, unsigned q, int timeout_ms);
uint64_t fake_irqs(struct fake *f); /* interrupts since the last call */

#endif
