/* SPDX-License-Identifier: Apache-2.0 */
/* guest.h - what the attacker has: the devices' registers, its own rings, a log, a second CPU.
 *
 * There is no kernel below: main.c is entered by the boot code, everything is static and starts as
 * zero. Device registers and rings are reached through the accessors here, which do exactly what they
 * are told; nothing in them keeps a rule. Thread: the first CPU; the second runs racer.c alone.
 */
#ifndef TESTS_HOSTILE_GUEST_H
#define TESTS_HOSTILE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

enum { /* registers, Virtio 1.2 section 4.2.2 */
       R_MAGIC = 0x00,
       R_VERSION = 0x04,
       R_DEVICE_ID = 0x08,
       R_VENDOR = 0x0c,
       R_DEVICE_FEATURES = 0x10,
       R_DEVICE_FEATURES_SEL = 0x14,
       R_DRIVER_FEATURES = 0x20,
       R_DRIVER_FEATURES_SEL = 0x24,
       R_QUEUE_SEL = 0x30,
       R_QUEUE_NUM_MAX = 0x34,
       R_QUEUE_NUM = 0x38,
       R_QUEUE_READY = 0x44,
       R_NOTIFY = 0x50,
       R_INTERRUPT_STATUS = 0x60,
       R_INTERRUPT_ACK = 0x64,
       R_STATUS = 0x70,
       R_DESC = 0x80, /* each address: low, high */
       R_AVAIL = 0x90,
       R_USED = 0xa0,
       R_GENERATION = 0xfc,
       R_CONFIG = 0x100,
       PAGE_BYTES = 0x1000,
};

enum { /* Status */
       S_ACK = 1,
       S_DRIVER = 2,
       S_DRIVER_OK = 4,
       S_FEATURES_OK = 8,
       S_NEEDS_RESET = 0x40,
       S_FAILED = 0x80,
       S_SET_UP = S_ACK | S_DRIVER | S_FEATURES_OK,
       S_LIVE = S_SET_UP | S_DRIVER_OK,
};

enum { ID_BLK = 2, ID_CONSOLE = 3, ID_VSOCK = 19 };
enum { D_NEXT = 1, D_WRITE = 2, D_INDIRECT = 4 }; /* descriptor flags */

#define F_INDIRECT  (1ULL << 28)
#define F_EVENT_IDX (1ULL << 29)
#define F_VERSION_1 (1ULL << 32)
#define F_ALL       (~0ULL) /* whatever the device offers */

/* ---- rings ---- */

enum { RING_MAX = 64, QUEUES = 3 };

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct ring {
	_Alignas(4096) struct desc desc[RING_MAX];
	_Alignas(4096) volatile struct {
		uint16_t flags, idx,
			ring[RING_MAX + 1]; /* used_event is the word behind the last entry */
	} avail;
	_Alignas(4096) volatile struct {
		uint16_t flags, idx;
		struct {
			uint32_t id, len;
		} ring[RING_MAX];
		uint16_t avail_event;
	} used;
	uint16_t size;
	uint16_t avail_idx, used_idx; /* ours: next to expose, next to look at */
};

struct dev {
	uint64_t base;
	uint32_t id;
	uint64_t offered;      /* features; these two as they were at the beginning: */
	uint16_t size[QUEUES]; /* QueueNumMax; 0: no such queue */
	uint64_t features;     /* negotiated */
	struct ring q[QUEUES];
};

/* ---- registers, of any width ---- */
uint8_t rd8(const struct dev *d, unsigned off);
uint16_t rd16(const struct dev *d, unsigned off);
uint32_t rd(const struct dev *d, unsigned off);
uint64_t rd64(const struct dev *d, unsigned off);
void wr8(const struct dev *d, unsigned off, uint8_t v);
void wr16(const struct dev *d, unsigned off, uint16_t v);
void wr(const struct dev *d, unsigned off, uint32_t v);
void wr64(const struct dev *d, unsigned off, uint64_t v);
void wr_address(const struct dev *d, unsigned off, uint64_t addr); /* low, then high */

/* ---- the steps of an honest driver (driver.c) ---- */
uint32_t status(const struct dev *d);
bool is_broken(const struct dev *d); /* DEVICE_NEEDS_RESET */
void reset(struct dev *d);           /* and forgets our indices */
bool negotiate(struct dev *d, uint64_t features);
void look_at(struct dev *d);                              /* fills in what d is */
void set_queue(struct dev *d, unsigned q, uint16_t size); /* registers of ring q, not ready */
void add_queue(struct dev *d, unsigned q, uint16_t size); /* and ready */
bool go(struct dev *d);                                   /* DRIVER_OK */
bool start(struct dev *d, uint64_t features); /* reset ... all queues at their largest ... go */

void put(struct dev *d, unsigned q, uint16_t i, struct desc v);
void expose(struct dev *d, unsigned q, uint16_t head); /* available ring, no kick */
void kick(const struct dev *d, unsigned q);
/* The next used entry within a generous time. False: none came. */
bool used(struct dev *d, unsigned q, uint32_t *ret_len);
bool used_now(struct dev *d, unsigned q, uint32_t *ret_len); /* without waiting */

static inline uint64_t at(const volatile void *p)
{
	return (uint64_t)p;
}

/* ---- the machine ---- */

enum { SLOT_CONSOLE, SLOT_VSOCK, SLOT_DISK, SLOT_LOG, SLOT_RO_DISK, SLOTS };

extern struct dev device[SLOTS];
extern uint64_t ram_end[2]; /* of RAM below the hole; of RAM above 4 GiB, which may be none */
/* How often a case of volume n does what it does: HOSTILE_PERCENT of n, but at least once. */
unsigned volume(unsigned n);

uint32_t chance(void); /* pseudo-random, the same in every run */
uint64_t clock_now(void);
bool is_late(uint64_t since); /* so long that what was waited for will not come */
_Noreturn void halt(void);
void in_ring_0(
	void (*fn)(void)); /* calls it there: ports are out of reach for others on some hosts */
void copy(void *to, const void *from, size_t n);
void fill(void *to, uint8_t byte, size_t n);
bool same(const void *a, const void *b, size_t n);

/* Returns when the VMM's loop, and its disk thread, have dealt with all that was asked before. */
void barrier(void);

/* ---- verdicts ---- */

enum verdict {
	ANSWERED,    /* as the specification says */
	IGNORED,     /* no effect at all, and the device works on */
	REFUSED,     /* the device says no in its own words: an error status, a reset packet */
	NEEDS_RESET, /* the device broke, alone */
	SURVIVED,    /* either of these: the case is a race or noise, and only the end counts */
	WRONG,       /* none of these */
};

/* One attack: from a device that is reset or live, as the group's table says, to what it answered. */
struct attack {
	const char *name; /* the rule */
	enum verdict want;
	enum verdict (*run)(struct dev *d);
};

/* Runs each case on d: prepare(d), the attack, and then that d can be reset and does honest work.
 * Writes a verdict of each to the log. */
struct group {
	const char *name;
	bool (*prepare)(struct dev *d); /* before each case */
	bool (*works)(struct dev *d);   /* after each: reset, start, honest work */
	const struct attack *attack;
	size_t n;
};
void run_group(const struct group *g, struct dev *d);

/* The verdict on a state that is left as it is when the guest halts. */
void leave(const char *name, bool as_meant);

/* What a device did about the last thing that was queued. */
enum verdict broken_or(const struct dev *d, enum verdict otherwise);
enum verdict holds(bool condition, enum verdict v); /* v, or WRONG */
void note(const char *what, uint64_t value);        /* into the next verdict's line */

/* ---- honest work, per device ---- */
bool console_works(struct dev *d);
bool disk_works(struct dev *d);
bool vsock_works(struct dev *d);

/* ---- the second CPU (racer.c) ---- */

/* Writes the two values to the place in turn, until it is told otherwise. */
struct flip {
	volatile void *place;
	unsigned bytes; /* 1, 2, 4 or 8 */
	uint64_t even, odd;
};
bool racer_is_here(void);                          /* the boot code woke it; false: there is none */
void racer_flip(const struct flip *f, unsigned n); /* at most RACER_FLIPS */
void racer_calls(void (*fn)(void));                /* calls it again and again */
void racer_rest(void);                             /* returns when it does */
void racer_halt(void);                             /* for good */
enum { RACER_FLIPS = 4 };

/* ---- groups ---- */
void regs_group(void);
void queue_group(void);
void blk_group(void);
void console_group(void);
void flood_group(void);
void vsock_group(void);
void stream_group(void);
void race_group(void);
void machine_group(void);
void stuck_group(void);
void mute_group(void);
void jump_group(void);

#endif
