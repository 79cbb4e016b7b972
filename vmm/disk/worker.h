/* SPDX-License-Identifier: Apache-2.0 */
/* worker.h - the one thread that may block on file I/O, so that an fsync never stalls the loop.
 *
 * Two rings with one producer each, requests from the loop to the worker and results back, under one
 * mutex that is only ever held for moments: with a system call per request, a lock-free ring would
 * save nothing one could measure, and a cancelled request can be taken out of a locked one.
 *
 * Order: requests run one after the other, oldest first, across all clients. As each client has at
 * most DISK_DEPTH of them under way, none can hold up another for long.
 * Thread: every function here belongs to the loop thread.
 */
#ifndef VMM_DISK_WORKER_H
#define VMM_DISK_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/err.h"
#include "util/loop.h"
#include "util/util.h"
#include "vmm/disk/parts.h"

enum {
	DISK_CLIENTS = 16,          /* disks of one box */
	DISK_DEPTH = 32,            /* requests of one client under way */
	DISK_SEGS = 64,             /* segments of one request */
	DISK_PIECE_BYTES = 1 << 20, /* of a transfer, between two looks whether it was cancelled */
};

enum disk_op {
	DISK_READ,
	DISK_WRITE,
	DISK_WRITE_SYNC, /* a write that is durable when it completes */
	DISK_FLUSH,
	DISK_DISCARD, /* a hint: success also where the file system cannot */
	DISK_ZERO,    /* reads as zeroes afterwards, still allocated */
	DISK_UNMAP,   /* reads as zeroes afterwards, allocated or not */
};

struct disk_req {
	enum disk_op op;
	int fd;
	uint16_t slot; /* comes back with the result */
	uint16_t nsegs;
	const struct iovec *segs; /* read and write only; untouched until the result is there */
	uint64_t off_bytes, len_bytes; /* len_bytes: sum of segs, or the range; 0 for flush */
	const struct parts *parts; /* NULL, or in place of fd: of a read that is in several files */
};

/* Embedded in who uses the worker. */
struct disk_client {
	struct disk_worker *worker;
	unsigned id;       /* the lowest free number at disk_attach() */
	unsigned inflight; /* submitted, on_done() not yet called */
	bool batch;        /* on_batch() is due */

	/* A request is done: result 0 (everything was transferred) or -errno. Loop thread. */
	void (*on_done)(struct disk_client *c, uint16_t slot, int result);
	/* After a batch of on_done(): the place to interrupt the guest once. */
	void (*on_batch)(struct disk_client *c);
};

struct disk_worker;

/* Starts the thread, all signals but SIGSYS blocked in it; on_start, which may be NULL, is the first
 * that it runs. NULL with the reason in e. */
must_check struct disk_worker *disk_worker_new(struct loop *loop, void (*on_start)(void),
					       struct err *e);

/* Waits for the request being run, drops the rest. After every client has detached. NULL is fine. */
void disk_worker_free(struct disk_worker *w);

/* c->on_done and c->on_batch are set by the caller, the rest here. 0, or -EUSERS. */
must_check int disk_attach(struct disk_worker *w, struct disk_client *c);
void disk_detach(struct disk_client *c); /* cancels, too; also for one never attached */

/* The caller keeps c->inflight below DISK_DEPTH; then this cannot fail. */
void disk_submit(struct disk_client *c, const struct disk_req *r);

/* Forgets everything submitted so far: no on_done() for it will come, and on return nothing but a
 * flush or an fallocate of it is still running: no memory is touched any more. May wait for one piece
 * (DISK_PIECE_BYTES) of a transfer. */
void disk_cancel(struct disk_client *c);

#endif
