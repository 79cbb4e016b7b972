/* SPDX-License-Identifier: Apache-2.0 */
/* blk.c - virtio-blk over a raw file, or several joined to one disk (Virtio 1.2 section 5.2).
 *
 * The protocol: one queue. A request is a chain of
 *
 *   readable   { type:32, reserved:32, sector:64 }, then what is written (OUT), or one
 *              { sector:64, num_sectors:32, flags:32 } (DISCARD, WRITE_ZEROES)
 *   writable   what is read (IN) or the 20-byte name (GET_ID), then one status byte
 *
 * in any segmentation; the status is the chain's last byte. Sectors are 512 bytes. Requests may be
 * completed in any order; FLUSH makes durable what was completed before it was queued. A driver that
 * does not negotiate FLUSH gets write-through.
 *
 * Where it runs: on the disk worker, as it may block; reads that the page cache can answer are answered
 * at once.
 *
 * Duties: sizes and ranges are checked against the capacity once, on the copied header; the data goes
 * between file and guest memory without another copy. A request that cannot be answered (no header,
 * no room for the status) breaks the device; any other nonsense, data that points the wrong way included,
 * is answered with IOERR or UNSUPP.
 * Limits: DISK_DEPTH requests under way (the queue holds more), one range per DISCARD or WRITE_ZEROES;
 * bytes and requests per second as blk_limit() says: the next request is taken when the last is paid for.
 * The host's disk: a file is never grown, so it takes at most its size at start.
 * A joined disk is only read. A read inside one of its files, nearly every one, is that file's from here on; one over
 * an edge is split by the worker. A file that has become shorter is an I/O error of what reads there, as for one file.
 * Reset, stop: what is under way is cancelled (disk_cancel()); the guest's memory is then untouched.
 * Snapshot: it is busy until what is under way has been answered; then there is nothing to save.
 */
#include "vmm/virtio/blk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "util/clock.h"
#include "vmm/disk/rw.h"

enum {
	SECTOR_BYTES = 512,
	QUEUE_SIZE = 64,
	MAX_DISCARD_SECTORS = 1 << 22, /* 2 GiB: a hole is cheap */
	MAX_ZEROES_SECTORS = 1 << 16,  /* 32 MiB: zeroes may have to be written */
	CACHED_BYTES = 64 << 10,       /* a read up to this size may be done on the loop */
	ALIGN_SECTORS = 8,             /* what discards should be aligned to: a page */
};

_Static_assert(DISK_DEPTH <= 32, "one bit each in struct blk's free_slots");
_Static_assert((int)DISK_SEGS >= (int)VQ_SEGS, "the worker takes any chain");

struct slot {
	struct vq_chain chain;
	struct iovec segs[VQ_SEGS];
	uint32_t data_in_bytes; /* of the writable part, once done */
	uint64_t cost_bytes;
};

struct blk {
	struct virtio_dev dev;
	struct virtio_blk_config config;
	struct disk_client client;
	int fd;              /* of a joined disk the first one */
	struct parts *parts; /* NULL: not joined */
	bool read_only;
	bool no_cached_reads; /* the file system cannot tell */
	uint64_t sectors;
	uint64_t features;
	uint32_t free_slots;
	struct slot slot[DISK_DEPTH];
	struct rate rate;
};

struct blk_header {
	uint32_t type, reserved;
	uint64_t sector;
};

static struct blk *blk_of(struct virtio_dev *d)
{
	return container_of(d, struct blk, dev);
}

static bool has(const struct blk *b, unsigned feature)
{
	return b->features >> feature & 1;
}

/* ---- answers ---- */

/* Ends a request of which data_bytes of the writable part were filled from its start. */
static void finish(struct blk *b, uint16_t i, uint8_t status, uint32_t data_bytes)
{
	const struct vq_chain *c = &b->slot[i].chain;
	const struct iovec *last = &c->seg[c->nout + c->nin - 1];

	((uint8_t *)last->iov_base)[last->iov_len - 1] = status;
	/* What we report must be filled without a gap: the status only counts right behind the data. */
	vq_push(b->dev.vq[0], c, data_bytes + (data_bytes + 1 == c->in_len));
	b->free_slots |= UINT32_C(1) << i;
}

static void on_done(struct disk_client *client, uint16_t i, int result)
{
	struct blk *b = container_of(client, struct blk, client);

	if (result < 0)
		finish(b, i, VIRTIO_BLK_S_IOERR, 0);
	else
		finish(b, i, VIRTIO_BLK_S_OK, b->slot[i].data_in_bytes);
}

/* ---- requests ---- */

/* Each returns a status for an answer at once, or SUBMITTED. */
enum { SUBMITTED = -1 };

static int submit(struct blk *b, const struct disk_req *r)
{
	disk_submit(&b->client, r);
	return SUBMITTED;
}

static bool in_range(const struct blk *b, uint64_t sector, uint64_t n)
{
	return sector <= b->sectors && n <= b->sectors - sector;
}

static bool fits(const struct blk *b, uint64_t sector, uint32_t bytes)
{
	return bytes % SECTOR_BYTES == 0 && in_range(b, sector, bytes / SECTOR_BYTES);
}

/* Small reads of what the page cache holds need no other thread: 1.4 us instead of 11 for 4 KiB, 5
 * instead of 15 for CACHED_BYTES (through the whole transport, measured). True: the segments are filled. */
static bool read_cached(struct blk *b, const struct disk_req *r)
{
	if (!r->len_bytes || r->len_bytes > CACHED_BYTES || b->no_cached_reads || r->parts)
		return false;
	/* #syscalls loop: preadv2 */
	ssize_t n = rw_read(r->fd, r->segs, r->nsegs, (off_t)r->off_bytes, RWF_NOWAIT);
	b->no_cached_reads = n < 0 && errno == EOPNOTSUPP;
	return n == (ssize_t)r->len_bytes;
}

/* Is all that the guest gave for this request's data to be written by us, or all to be read? Without data,
 * either. */
static bool is_one_way(const struct vq_chain *c, bool in)
{
	return in ? c->out_len == sizeof(struct blk_header) : c->in_len == 1;
}

/* Makes of a read of a joined disk one of a file, if it is all in there. */
static void find_file(const struct blk *b, struct disk_req *r)
{
	if (!b->parts || !r->len_bytes)
		return;
	struct extent at = parts_at(b->parts, r->off_bytes);
	if (r->len_bytes > at.len_bytes) {
		r->parts = b->parts;
		return;
	}
	r->fd = at.fd;
	r->off_bytes = at.off_bytes;
}

static int do_in(struct blk *b, uint16_t i, const struct blk_header *h)
{
	struct slot *s = &b->slot[i];
	struct disk_req r = {.op = DISK_READ, .fd = b->fd, .slot = i, .segs = s->segs};
	uint32_t len = s->chain.in_len - 1;

	if (!is_one_way(&s->chain, true) || !fits(b, h->sector, len))
		return VIRTIO_BLK_S_IOERR;
	r.nsegs = (uint16_t)chain_rest_in(&s->chain, len, s->segs);
	r.off_bytes = h->sector * SECTOR_BYTES;
	r.len_bytes = s->data_in_bytes = len;
	find_file(b, &r);
	return read_cached(b, &r) ? VIRTIO_BLK_S_OK : submit(b, &r);
}

static int do_out(struct blk *b, uint16_t i, const struct blk_header *h)
{
	struct slot *s = &b->slot[i];
	struct disk_req r = {.op = DISK_WRITE, .fd = b->fd, .slot = i, .segs = s->segs};
	uint32_t len = s->chain.out_len - (uint32_t)sizeof(*h);

	if (b->read_only || !is_one_way(&s->chain, false) || !fits(b, h->sector, len))
		return VIRTIO_BLK_S_IOERR;
	if (!has(b, VIRTIO_BLK_F_FLUSH))
		r.op = DISK_WRITE_SYNC;
	r.nsegs = (uint16_t)chain_rest_out(&s->chain, len, s->segs);
	r.off_bytes = h->sector * SECTOR_BYTES;
	r.len_bytes = len;
	return submit(b, &r);
}

static int do_flush(struct blk *b, uint16_t i, const struct blk_header *h)
{
	(void)h;
	if (b->read_only)
		return VIRTIO_BLK_S_OK; /* nothing was written */
	return submit(b, &(struct disk_req){.op = DISK_FLUSH, .fd = b->fd, .slot = i});
}

static int do_get_id(struct blk *b, uint16_t i, const struct blk_header *h)
{
	struct slot *s = &b->slot[i];
	char id[VIRTIO_BLK_ID_BYTES] = "";
	uint32_t n = min_((uint32_t)sizeof(id), s->chain.in_len - 1);

	(void)h;
	(void)snprintf(id, sizeof(id), "conker-%u", b->client.id);
	if (!is_one_way(&s->chain, true) || chain_put(&s->chain, id, n) < 0)
		return VIRTIO_BLK_S_IOERR;
	s->data_in_bytes = n;
	return VIRTIO_BLK_S_OK;
}

/* The one range of a DISCARD or WRITE_ZEROES. */
static int range(struct blk *b, uint16_t i, enum disk_op op, uint32_t max_sectors,
		 const struct virtio_blk_discard_write_zeroes *r)
{
	if (r->num_sectors > max_sectors || !in_range(b, r->sector, r->num_sectors))
		return VIRTIO_BLK_S_IOERR;
	if (op != DISK_DISCARD)
		b->slot[i].cost_bytes += (uint64_t)r->num_sectors * SECTOR_BYTES;
	return submit(b, &(struct disk_req){
				 .op = op,
				 .fd = b->fd,
				 .slot = i,
				 .off_bytes = r->sector * SECTOR_BYTES,
				 .len_bytes = (uint64_t)r->num_sectors * SECTOR_BYTES,
			 });
}

/* 0 and the range, or the status to refuse with. */
static int get_range(struct blk *b, uint16_t i, unsigned feature,
		     struct virtio_blk_discard_write_zeroes *ret)
{
	struct vq_chain *c = &b->slot[i].chain;

	if (b->read_only)
		return VIRTIO_BLK_S_IOERR;
	if (!has(b, feature))
		return VIRTIO_BLK_S_UNSUPP;
	if (!is_one_way(c, false) || c->out_len != sizeof(struct blk_header) + sizeof(*ret) ||
	    chain_get(c, ret, sizeof(*ret)))
		return VIRTIO_BLK_S_IOERR;
	return 0;
}

static int do_discard(struct blk *b, uint16_t i, const struct blk_header *h)
{
	struct virtio_blk_discard_write_zeroes r;
	int status = get_range(b, i, VIRTIO_BLK_F_DISCARD, &r);

	(void)h;
	if (status)
		return status;
	if (r.flags) /* no flag is defined for a discard */
		return VIRTIO_BLK_S_UNSUPP;
	return range(b, i, DISK_DISCARD, MAX_DISCARD_SECTORS, &r);
}

static int do_write_zeroes(struct blk *b, uint16_t i, const struct blk_header *h)
{
	struct virtio_blk_discard_write_zeroes r;
	int status = get_range(b, i, VIRTIO_BLK_F_WRITE_ZEROES, &r);

	(void)h;
	if (status)
		return status;
	if (r.flags & ~(uint32_t)VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP)
		return VIRTIO_BLK_S_UNSUPP;
	return range(b, i, r.flags ? DISK_UNMAP : DISK_ZERO, MAX_ZEROES_SECTORS, &r);
}

static const struct {
	uint32_t type;
	int (*run)(struct blk *b, uint16_t i, const struct blk_header *h);
} requests[] = {
	{VIRTIO_BLK_T_IN, do_in},           {VIRTIO_BLK_T_OUT, do_out},
	{VIRTIO_BLK_T_FLUSH, do_flush},     {VIRTIO_BLK_T_GET_ID, do_get_id},
	{VIRTIO_BLK_T_DISCARD, do_discard}, {VIRTIO_BLK_T_WRITE_ZEROES, do_write_zeroes},
};

static int run_request(struct blk *b, uint16_t i, const struct blk_header *h)
{
	for (size_t k = 0; k < countof(requests); k++)
		if (requests[k].type == h->type)
			return requests[k].run(b, i, h);
	return VIRTIO_BLK_S_UNSUPP;
}

/* ---- the queue ---- */

/* Drops everything under way; no answer will come. */
static void forget(struct blk *b)
{
	disk_cancel(&b->client);
	b->free_slots = (uint32_t)((UINT64_C(1) << DISK_DEPTH) - 1);
}

static void broken(struct blk *b, const char *why)
{
	forget(b);
	virtio_broken(&b->dev, why);
}

/* Takes one request into slot i and pays for it. Its cost in bytes, 0 if the queue is empty or the
 * device broke. */
static uint64_t take(struct blk *b, uint16_t i)
{
	struct slot *s = &b->slot[i];
	struct blk_header h;
	int r = vq_pop(b->dev.vq[0], &s->chain);

	if (r == 0)
		return 0;
	if (r < 0 || chain_get(&s->chain, &h, sizeof(h)) < 0 || !s->chain.in_len) {
		broken(b, r < 0 ? "illegal ring" : "request without header or status");
		return 0;
	}
	s->data_in_bytes = 0;
	s->cost_bytes = (uint64_t)s->chain.out_len + s->chain.in_len;
	b->free_slots &= ~(UINT32_C(1) << i);
	int status = run_request(b, i, &h);
	if (status != SUBMITTED)
		finish(b, i, (uint8_t)status, s->data_in_bytes);
	rate_take(&b->rate, s->cost_bytes);
	return s->cost_bytes;
}

/* Takes requests while there are slots and it may: without a slot, the next completion comes back
 * here, without the right to, the end of the wait does. */
static void pump(struct blk *b)
{
	uint64_t bytes = 0;
	unsigned n = 0;

	if (rate_is_limited(&b->rate))
		rate_refill(&b->rate, clock_now_ns());
	while (b->free_slots && rate_open(&b->rate) && n < VIRTIO_BUDGET_CHAINS &&
	       bytes < VIRTIO_BUDGET_BYTES) {
		uint64_t len = take(b, (uint16_t)__builtin_ctz(b->free_slots));

		if (!len)
			break;
		bytes += len;
		n++;
	}
	if (!rate_open(&b->rate))
		virtio_later(&b->dev, rate_wait_ns(&b->rate));
	else if (b->free_slots && (n == VIRTIO_BUDGET_CHAINS || bytes >= VIRTIO_BUDGET_BYTES))
		virtio_again(&b->dev, 0);
	virtio_irq(&b->dev, 0);
}

static void on_batch(struct disk_client *client)
{
	pump(container_of(client, struct blk, client));
}

static void blk_kick(struct virtio_dev *d, unsigned q)
{
	(void)q;
	pump(blk_of(d));
}

static int blk_activate(struct virtio_dev *d, uint64_t features)
{
	blk_of(d)->features = features;
	return 0;
}

static void blk_stop(struct virtio_dev *d, unsigned q)
{
	(void)q;
	forget(blk_of(d));
}

static void blk_reset(struct virtio_dev *d)
{
	forget(blk_of(d));
}

static void blk_free(struct virtio_dev *d)
{
	if (!d)
		return;
	disk_detach(&blk_of(d)->client);
	parts_free(blk_of(d)->parts);
	free(blk_of(d));
}

static bool blk_busy(const struct virtio_dev *d)
{
	return container_of(d, const struct blk, dev)->client.inflight > 0;
}

static const struct virtio_ops blk_ops = {
	.activate = blk_activate,
	.kick = blk_kick,
	.stop = blk_stop,
	.reset = blk_reset,
	.free = blk_free,
	.busy = blk_busy,
};

static const struct virtio_class blk_class = {
	.name = "blk",
	.id = VIRTIO_ID_BLOCK,
	.nvqs = 1,
	.vq_max = {QUEUE_SIZE},
	.ops = &blk_ops,
};

/* ---- life ---- */

/* The disk's size, or -errno. */
static int64_t size_of(int fd, struct err *e)
{
	struct stat st;
	uint64_t size;

	if (fstat(fd, &st) < 0)
		return err_errno(e, "disk");
	if (S_ISREG(st.st_mode))
		size = (uint64_t)st.st_size;
	else if (!S_ISBLK(st.st_mode))
		return err_set(e, EINVAL, "disk: neither a file nor a block device");
	else if (ioctl(fd, BLKGETSIZE64, &size) < 0)
		return err_errno(e, "disk: size of the block device");
	if (!size || size % SECTOR_BYTES || size > INT64_MAX)
		return err_set(e, EINVAL,
			       "disk: %llu bytes are not whole sectors (truncated image?)",
			       (unsigned long long)size);
	return (int64_t)size;
}

static int check_access(int fd, unsigned flags, struct err *e)
{
	int mode = fcntl(fd, F_GETFL);

	if (mode < 0)
		return err_errno(e, "disk");
	if ((mode & O_ACCMODE) == O_WRONLY)
		return err_set(e, EBADF, "disk: not open for reading");
	if (!(flags & BLK_RO) && ((mode & O_ACCMODE) == O_RDONLY || mode & O_APPEND))
		return err_set(e, EBADF, "disk: not open for writing at any place");
	return 0;
}

static int join_file(struct parts *p, int fd, struct err *e)
{
	struct stat st;
	int r = check_access(fd, BLK_RO, e);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return err_errno(e, "disk");
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "not a regular file, as each of several must be");
	r = parts_add(p, fd, (uint64_t)st.st_size);
	if (r == -EINVAL)
		return err_set(e, EINVAL,
			       "%lld bytes are not whole blocks of %d (truncated image?)",
			       (long long)st.st_size, PART_BLOCK_BYTES);
	return r < 0 ? err_set(e, -r, "larger than any file, with those before") : 0;
}

/* The size of all, or -errno. */
static int64_t join(struct blk *b, const int *others, unsigned n, struct err *e)
{
	b->parts = parts_new(n + 1);
	if (!b->parts)
		return err_set(e, ENOMEM, "disk: out of memory");
	for (unsigned i = 0; i <= n; i++) {
		int r = join_file(b->parts, i ? others[i - 1] : b->fd, e);

		if (r < 0)
			return err_wrap(e, r, "file %u of %u", i + 1, n + 1);
	}
	if (!parts_bytes(b->parts))
		return err_set(e, EINVAL, "disk: all of its %u files are empty", n + 1);
	return (int64_t)parts_bytes(b->parts);
}

static int64_t open_one(struct blk *b, struct err *e)
{
	int r = check_access(b->fd, b->read_only ? BLK_RO : 0, e);

	return r < 0 ? r : size_of(b->fd, e);
}

static void describe(struct blk *b)
{
	uint64_t f = UINT64_C(1) << VIRTIO_F_VERSION_1 |
		     UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC |
		     UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX | UINT64_C(1) << VIRTIO_BLK_F_SEG_MAX |
		     UINT64_C(1) << VIRTIO_BLK_F_BLK_SIZE;

	b->config = (struct virtio_blk_config){
		.capacity = b->sectors,
		.seg_max = VQ_SEGS - 2, /* header and status have one each */
		.blk_size = SECTOR_BYTES,
	};
	if (b->read_only) {
		f |= UINT64_C(1) << VIRTIO_BLK_F_RO;
	} else {
		f |= UINT64_C(1) << VIRTIO_BLK_F_FLUSH | UINT64_C(1) << VIRTIO_BLK_F_DISCARD |
		     UINT64_C(1) << VIRTIO_BLK_F_WRITE_ZEROES;
		b->config.max_discard_sectors = MAX_DISCARD_SECTORS;
		b->config.max_discard_seg = 1;
		b->config.discard_sector_alignment = ALIGN_SECTORS;
		b->config.max_write_zeroes_sectors = MAX_ZEROES_SECTORS;
		b->config.max_write_zeroes_seg = 1;
		b->config.write_zeroes_may_unmap = 1;
	}
	b->dev = (struct virtio_dev){
		.cls = &blk_class,
		.offered = f,
		.config = &b->config,
		.config_len = sizeof(b->config),
	};
}

static struct blk *blk_alloc(int fd, unsigned flags, struct err *e)
{
	struct blk *b = calloc(1, sizeof(*b));

	if (!b) {
		(void)!err_set(e, ENOMEM, "disk: out of memory");
		return NULL;
	}
	b->client.on_done = on_done;
	b->client.on_batch = on_batch;
	b->fd = fd;
	b->read_only = flags & BLK_RO;
	b->free_slots = (uint32_t)((UINT64_C(1) << DISK_DEPTH) - 1);
	return b;
}

/* Of that size, or the error it is. Takes b. */
static struct virtio_dev *blk_attach(struct blk *b, struct disk_worker *w, int64_t size,
				     struct err *e)
{
	if (size >= 0 && disk_attach(w, &b->client) < 0)
		size = err_set(e, EUSERS, "disk: more than %d disks", DISK_CLIENTS);
	if (size < 0) {
		parts_free(b->parts);
		free(b);
		return NULL;
	}
	b->sectors = (uint64_t)size / SECTOR_BYTES;
	describe(b);
	return &b->dev;
}

struct virtio_dev *blk_new(struct disk_worker *w, int fd, unsigned flags, struct err *e)
{
	struct blk *b = blk_alloc(fd, flags, e);

	return b ? blk_attach(b, w, open_one(b, e), e) : NULL;
}

struct virtio_dev *blk_new_joined(struct disk_worker *w, int first, const int *others, unsigned n,
				  struct err *e)
{
	struct blk *b = blk_alloc(first, BLK_RO, e);

	return b ? blk_attach(b, w, join(b, others, n, e), e) : NULL;
}

void blk_limit(struct virtio_dev *d, const struct limit *l)
{
	rate_init(&blk_of(d)->rate, l, clock_now_ns());
}
