/* SPDX-License-Identifier: Apache-2.0 */
/* handle.h - the handle on a box: one mutex, one epoll descriptor, one connection to guest-init.
 *
 * Whoever waits becomes the *leader*: the only thread that reads, and the only one that runs callbacks; the others
 * wait on a condition until it leaves and one of them takes over (wait.c). The mutex is held for bookkeeping only,
 * never while waiting and never while a callback runs. Sending needs the mutex, not the leadership: what the socket
 * does not take at once lies in a bounded buffer (wire.c).
 *
 * Lock order: box->lock is the only lock and a leaf. The registry's flock is taken without it.
 *
 * Functions marked [locked] want box->lock held, [leader] the leadership.
 */
#ifndef LIB_HANDLE_HANDLE_H
#define LIB_HANDLE_HANDLE_H

#include <pthread.h>

#include "lib/handle/wire.h"

/* What an event of the box's epoll is of: the low half of its data. */
enum src { SRC_WAKE, SRC_CONN, SRC_WATCHED /* its number is the high half */, SRC_OWNER };

struct box_ops { /* what the handle's owner does: the box that it is embedded in */
	/* One of the owner's own descriptors, SRC_OWNER or above. [leader] */
	void (*on_event)(conker_box *b, uint32_t src);
	/* The connection ended, and nobody has said why. [leader] */
	void (*on_conn_end)(conker_box *b);
	/* The end of the box's life on this handle, once its users have gone. */
	void (*teardown)(conker_box *b);
	/* Nothing refers to it any more: gives the memory back. */
	void (*delete)(conker_box *b);
};

struct image_config; /* lib/images/images.h */

struct due { /* what the leader is to do without a frame; embedded */
	struct due *next;
	int queued;
	void (*fn)(struct due *d); /* [locked][leader] */
};

struct watched { /* a descriptor that whoever leads looks at too; embedded */
	struct watched *next;
	conker_box *box;
	uint32_t number;
	unsigned refs;                       /* its owner, the leader */
	void (*on_events)(struct watched *); /* [leader] */
	void (*free)(struct watched *);      /* the last reference has gone. [locked] */
};

struct waker { /* one who waits for several boxes: an eventfd that is written to with `changed` */
	struct waker *next;
	int fd;
};

struct conker_box {
	const struct box_ops *ops;
	const char *name; /* for messages */
	const struct image_config *
		image; /* NULL, or what its image says of itself: the owner's, as long as the handle */
	pid_t maker; /* the process that may use the handle */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* the leader left, or something that one waits for happened */
	unsigned refs;          /* the handle, each execution, each call that waits */
	int leading;
	int free_later; /* freed inside a callback */
	int ep, wake;
	struct wire wire;

	struct due *due, **due_tail; /* callbacks are due: WRITABLE or LOST */
	int callbacks;               /* [leader] run since the leadership began */
	struct watched *watched;
	uint32_t last_watched;
	struct waker *wakers;

	int lost;      /* positive errno once nothing can be run any more */
	int suspended; /* because it has gone to disk: what had not begun never will */
	int lost_told; /* conker_box_dispatch() said so */
	char reason[TEXT_BYTES];
};

/* ---- handle.c ---------------------------------------------------------------------------------------- */

/* On failure, too, handle_fini() follows. */
must_check int handle_init(conker_box *b, const struct box_ops *ops);
void handle_close_fds(conker_box *b);
void handle_fini(conker_box *b);
must_check int box_watch(conker_box *b, int fd, uint32_t src, uint32_t events);
/* Takes conn, a connected stream socket, and says Hello on it. */
must_check int handle_begin(conker_box *b, int conn);
/* Connects to the init of the box whose directory that is, and says Hello. */
must_check int handle_connect(conker_box *b, int dir, struct err *e);
/* Nothing can be run any more: every conversation ends. Only the first reason counts. [locked] */
void box_lose(conker_box *b, int code, const char *reason);

/* ---- refs.c ------------------------------------------------------------------------------------------ */

/* -ECHILD after fork, -EINVAL for NULL, else 0 with the message cleared. */
must_check int box_enter(const conker_box *b, struct err **ret_e);
/* Of a call that waits: -EDEADLK in a callback, too. */
must_check int box_enter_to_wait(const conker_box *b, struct err **ret_e);
/* Unlocks, and frees the memory when nothing refers to it any more. Every unlock is this one. */
void box_unlock(conker_box *b);
int box_lost_error(conker_box *b, struct err *e); /* [locked] -errno with the reason as message */

/* ---- wait.c: leader and followers ------------------------------------------------------------------ */

typedef int wait_fn(const void *arg); /* [locked] non-zero: what we wait for is there */

/* Waits until fn(arg). 0, -ETIMEDOUT (timeout_ms >= 0), -EINTR. [locked], and again on return; the
 * lock is not held in between. */
must_check int wait_for(conker_box *b, wait_fn *fn, const void *arg, int timeout_ms);
/* Has the leader, or whoever polls the descriptor, do it. [locked] */
void wait_queue(conker_box *b, struct due *d);
void wait_run_due(conker_box *b); /* [locked][leader] */
/* Makes the leader, or whoever polls the descriptor, look. [locked] */
void wait_wake(conker_box *b);
void wait_broadcast(conker_box *b);

/* ---- watch.c ----------------------------------------------------------------------------------------- */

/* Its owner has one reference, and gives it back with watch_unref() after watch_del(). */
must_check int watch_add(conker_box *b, struct watched *w, int fd, struct err *e);
/* It is not looked at any more from now on, but one who already does may be at it until w->free(). */
void watch_del(struct watched *w, int fd);
void watch_unref(struct watched *w);
void watch_on_events(conker_box *b, uint32_t number); /* [leader] */

#endif
