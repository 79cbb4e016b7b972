/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - see worker.h.
 *
 * What the worker thread touches: the two rings and `running` under the mutex; the fd and the
 * segments of the request it runs, without it. A result exists only while its client wants it:
 * disk_cancel() takes the client's entries out of both rings and makes an orphan of the request being
 * run, so the loop never meets a result of a client that was reset or freed.
 *
 * #syscalls disk: preadv pwritev2 fdatasync fallocate write
 */
#include "vmm/disk/worker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "vmm/disk/rw.h"

enum { RING = DISK_CLIENTS * DISK_DEPTH, ZEROES_BYTES = 4096 };

struct entry { /* of either ring: a request, or its result */
	struct disk_client *client;
	struct disk_req req;
	int result;
};

struct ring {
	unsigned head, n;
	struct entry e[RING];
};

struct disk_worker {
	struct loop *loop;
	struct loop_src src;
	int event_fd;
	pthread_t thread;
	void (*on_start)(void);
	struct disk_client *clients[DISK_CLIENTS]; /* loop thread */

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t work;  /* there is a request, or quit */
	pthread_cond_t idle;  /* running went back to NULL */
	bool quit;
	bool busy;                   /* a request is being run ... */
	struct disk_client *running; /* ... and for whom; NULL: its client has lost interest */
	uint64_t serial;             /* of the request being run */
	bool touches_memory;
	atomic_bool cancelled; /* a hint to the transfer being run, read without the lock */
	struct ring requests, results;
};

/* ---- rings ---- */

static void ring_push(struct ring *r, const struct entry *e)
{
	assert(r->n < RING); /* DISK_DEPTH each */
	r->e[(r->head + r->n++) % RING] = *e;
}

static struct entry ring_pop(struct ring *r)
{
	struct entry e = r->e[r->head];

	r->head = (r->head + 1) % RING;
	r->n--;
	return e;
}

/* Takes out all of one client, the rest keeps its order. */
static void ring_remove(struct ring *r, const struct disk_client *c)
{
	for (unsigned i = r->n; i > 0; i--) {
		struct entry e = ring_pop(r);

		if (e.client != c)
			ring_push(r, &e);
	}
}

/* ---- the worker thread ---- */

/* Where the rest of r, whose first `done` bytes are through, begins: all of it, or what is in one file. */
static struct extent rest_of(const struct disk_req *r, uint64_t done)
{
	if (r->parts)
		return parts_at(r->parts, r->off_bytes + done);
	return (struct extent){r->fd, r->off_bytes + done, r->len_bytes - done};
}

/* The next piece of r, of at most room bytes. */
static int next_piece(const struct disk_req *r, uint64_t done, size_t room, struct iovec *ret)
{
	int n = 0;

	for (unsigned i = 0; i < r->nsegs && room; i++) {
		size_t len = r->segs[i].iov_len;

		if (done >= len) {
			done -= len;
			continue;
		}
		ret[n].iov_base = (uint8_t *)r->segs[i].iov_base + done;
		ret[n].iov_len = min_(len - done, room);
		room -= ret[n++].iov_len;
		done = 0;
	}
	return n;
}

static int zero_piece(const struct disk_req *r, uint64_t done, size_t room, struct iovec *ret)
{
	static const uint8_t zeroes[ZEROES_BYTES];
	int n = 0;

	(void)r;
	(void)done;
	for (; n < DISK_SEGS && room; n++) {
		ret[n].iov_base = (void *)zeroes; /* only written from */
		ret[n].iov_len = min_(room, (size_t)ZEROES_BYTES);
		room -= ret[n].iov_len;
	}
	return n;
}

static ssize_t move(enum disk_op op, const struct extent *at, const struct iovec *v, int n)
{
	if (op == DISK_READ)
		return preadv(at->fd, v, n, (off_t)at->off_bytes);
	return rw_write(at->fd, v, n, (off_t)at->off_bytes, op == DISK_WRITE_SYNC ? RWF_DSYNC : 0);
}

typedef int piece_fn(const struct disk_req *r, uint64_t done, size_t room, struct iovec *ret);

static int transfer(struct disk_worker *w, const struct disk_req *r, piece_fn *piece)
{
	struct iovec v[DISK_SEGS];
	uint64_t done = 0;

	while (done < r->len_bytes) {
		if (atomic_load_explicit(&w->cancelled, memory_order_relaxed))
			return -ECANCELED;
		struct extent at = rest_of(r, done);
		size_t room = min_(at.len_bytes, (uint64_t)DISK_PIECE_BYTES);
		ssize_t n = move(r->op, &at, v, piece(r, done, room, v));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO; /* the file has shrunk under us */
		if (n > 0)
			done += (uint64_t)n;
	}
	return 0;
}

static int allocate(const struct disk_req *r, int mode)
{
	int flags = mode | FALLOC_FL_KEEP_SIZE;

	if (r->len_bytes == 0)
		return 0;
	return fallocate(r->fd, flags, (off_t)r->off_bytes, (off_t)r->len_bytes) < 0 ? -errno : 0;
}

static int zero(struct disk_worker *w, const struct disk_req *r, int mode)
{
	int err = allocate(r, mode);

	return err == -EOPNOTSUPP ? transfer(w, r, zero_piece) : err;
}

static int run(struct disk_worker *w, const struct disk_req *r)
{
	int err;

	switch (r->op) {
	case DISK_READ:
	case DISK_WRITE:
	case DISK_WRITE_SYNC: return transfer(w, r, next_piece);
	case DISK_FLUSH: return fdatasync(r->fd) < 0 ? -errno : 0;
	case DISK_DISCARD:
		err = allocate(r, FALLOC_FL_PUNCH_HOLE);
		return err == -EOPNOTSUPP ? 0 : err;
	case DISK_ZERO: return zero(w, r, FALLOC_FL_ZERO_RANGE);
	case DISK_UNMAP: return zero(w, r, FALLOC_FL_PUNCH_HOLE);
	}
	return -EINVAL;
}

static void signal_loop(struct disk_worker *w)
{
	uint64_t one = 1;

	(void)!write(w->event_fd, &one, sizeof(one)); /* cannot overflow */
}

/* Waits for a request and marks it as being run. False: quit. The lock is held. */
static bool take_request(struct disk_worker *w, struct entry *ret)
{
	while (!w->requests.n && !w->quit)
		pthread_cond_wait(&w->work, &w->lock);
	if (w->quit)
		return false;
	*ret = ring_pop(&w->requests);
	w->busy = true;
	w->serial++;
	w->running = ret->client;
	w->touches_memory = ret->req.nsegs > 0;
	atomic_store_explicit(&w->cancelled, false, memory_order_relaxed);
	return true;
}

static void post_result(struct disk_worker *w, const struct entry *e)
{
	if (w->running) {
		ring_push(&w->results, e);
		if (w->results.n == 1) /* otherwise the loop has yet to answer the last signal */
			signal_loop(w);
	}
	w->busy = false;
	w->running = NULL;
	pthread_cond_signal(&w->idle);
}

static void *worker_thread(void *arg)
{
	struct disk_worker *w = arg;
	struct entry e;

	pthread_setname_np(pthread_self(), "conker-disk");
	if (w->on_start)
		w->on_start();
	pthread_mutex_lock(&w->lock);
	while (take_request(w, &e)) {
		pthread_mutex_unlock(&w->lock);
		e.result = run(w, &e.req);
		pthread_mutex_lock(&w->lock);
		post_result(w, &e);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* ---- the loop's side ---- */

static bool next_result(struct disk_worker *w, struct entry *ret)
{
	pthread_mutex_lock(&w->lock);
	bool any = w->results.n > 0;
	if (any)
		*ret = ring_pop(&w->results);
	pthread_mutex_unlock(&w->lock);
	return any;
}

static void on_results(struct loop_src *s, uint32_t revents)
{
	struct disk_worker *w = container_of(s, struct disk_worker, src);
	struct entry e;
	uint64_t v;

	(void)revents;
	(void)!read(s->fd, &v, sizeof(v)); /* only resets the counter */
	unsigned budget = RING;
	while (budget && next_result(w, &e)) {
		e.client->inflight--;
		e.client->batch = true;
		e.client->on_done(e.client, e.req.slot, e.result);
		budget--;
	}
	if (!budget)
		signal_loop(w);
	for (unsigned i = 0; i < DISK_CLIENTS; i++) {
		struct disk_client *c = w->clients[i];

		if (c && c->batch) {
			c->batch = false;
			c->on_batch(c);
		}
	}
}

int disk_attach(struct disk_worker *w, struct disk_client *c)
{
	c->worker = NULL;
	c->inflight = 0;
	c->batch = false;
	for (unsigned i = 0; i < DISK_CLIENTS; i++) {
		if (w->clients[i])
			continue;
		w->clients[i] = c;
		c->worker = w;
		c->id = i;
		return 0;
	}
	return -EUSERS;
}

void disk_detach(struct disk_client *c)
{
	if (!c->worker)
		return;
	disk_cancel(c);
	c->worker->clients[c->id] = NULL;
	c->worker = NULL;
}

void disk_submit(struct disk_client *c, const struct disk_req *r)
{
	struct disk_worker *w = c->worker;
	struct entry e = {.client = c, .req = *r};

	assert(c->inflight < DISK_DEPTH && r->nsegs <= DISK_SEGS);
	assert(!r->parts || r->op == DISK_READ);
	c->inflight++;
	pthread_mutex_lock(&w->lock);
	ring_push(&w->requests, &e);
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
}

void disk_cancel(struct disk_client *c)
{
	struct disk_worker *w = c->worker;

	pthread_mutex_lock(&w->lock);
	ring_remove(&w->requests, c);
	ring_remove(&w->results, c);
	if (w->running == c) {
		w->running = NULL;
		atomic_store_explicit(&w->cancelled, true, memory_order_relaxed);
		uint64_t mine = w->serial;
		while (w->busy && w->serial == mine && w->touches_memory)
			pthread_cond_wait(&w->idle, &w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	c->inflight = 0;
	c->batch = false;
}

/* ---- life ---- */

static int start_thread(struct disk_worker *w)
{
	sigset_t all, was;

	sigfillset(&all);
	sigdelset(&all, SIGSYS);                  /* a forbidden call is to be reported */
	pthread_sigmask(SIG_SETMASK, &all, &was); /* signals are the loop's */
	int err = pthread_create(&w->thread, NULL, worker_thread, w);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	return -err;
}

static int open_events(struct disk_worker *w)
{
	w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return w->event_fd < 0 ? -errno
			       : loop_add(w->loop, &w->src, w->event_fd, EPOLLIN, on_results);
}

static void release(struct disk_worker *w)
{
	loop_del(w->loop, &w->src);
	if (w->event_fd >= 0)
		close(w->event_fd);
	pthread_cond_destroy(&w->idle);
	pthread_cond_destroy(&w->work);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

struct disk_worker *disk_worker_new(struct loop *loop, void (*on_start)(void), struct err *e)
{
	struct disk_worker *w = calloc(1, sizeof(*w));

	if (!w) {
		(void)!err_set(e, ENOMEM, "disk worker: out of memory");
		return NULL;
	}
	w->loop = loop;
	w->on_start = on_start;
	w->src.fd = -1;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	pthread_cond_init(&w->idle, NULL);
	int r = open_events(w);
	if (r == 0)
		r = start_thread(w);
	if (r < 0) {
		(void)!err_set(e, -r, "disk worker: %s", strerror(-r));
		release(w);
		return NULL;
	}
	return w;
}

void disk_worker_free(struct disk_worker *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->quit = true;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	release(w);
}
