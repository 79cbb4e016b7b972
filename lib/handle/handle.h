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
#include "lib/host/boxdir.h"

struct artefacts;

struct conker_box {
	pid_t maker; /* the process that may use the handle */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* the leader left, or something that one waits for happened */
	unsigned refs;          /* the handle, each execution, each call that waits */
	int leading;
	int free_later; /* freed inside a callback */

	struct meta meta;
	int doomed;                            /* the box ends with this handle */
	int dir, starter;                      /* the box's directory; the starter's lock */
	int ep, wake, conn, owner, vmm, grace; /* vmm: pidfd; grace: timer, see box_on_conn_end() */
	int child, child_stderr;
	uint64_t template_us; /* see conker_box_info */

	struct out out;
	int conn_over;    /* no byte more goes either way; the fd stays until the end */
	int out_armed;    /* EPOLLOUT is asked for */
	int drain_wanted; /* someone waits for the buffer to drain */
	uint8_t *in;      /* [leader] bytes received, in_len of them */
	size_t in_len;
	struct arena arena; /* [leader] */
	int hello_seen;     /* [leader] */

	struct chan *chans[CHAN_BUCKETS];
	uint32_t last_number;
	struct conker_exec *ready, **ready_tail; /* callbacks are due: WRITABLE or LOST */
	int callbacks;                           /* [leader] run since the leadership began */

	struct conker_forward *forwards;
	uint32_t last_forward;
	struct many *many;    /* those in conker_exec_wait_many(): woken with `changed` */
	struct line_buf line; /* [leader] */
	struct vm_events events;
	int gone;      /* the VMM has ended */
	int lost;      /* positive errno once nothing can be run any more */
	int lost_told; /* conker_box_dispatch() said so */
	char reason[TEXT_BYTES];
};

enum src { SRC_WAKE, SRC_CONN, SRC_OWNER, SRC_VMM, SRC_GRACE, SRC_FORWARD };

/* -ECHILD after fork, -EINVAL for NULL, else 0 with the message cleared. */
must_check int box_enter(const conker_box *b, struct err **ret_e);
must_check int exec_enter(const conker_exec *x, struct err **ret_e);
/* Of a call that waits: -EDEADLK in a callback, too. */
must_check int box_enter_to_wait(const conker_box *b, struct err **ret_e);
void box_close_fds(conker_box *b);
conker_box *box_new(struct err *e); /* NULL: with e set, which is required */
must_check int box_watch(conker_box *b, int fd, enum src src, uint32_t events);
/* Unlocks, and frees the memory when nothing refers to it any more. Every unlock is this one. */
void box_unlock(conker_box *b);
/* Nothing can be run any more: every conversation ends. Only the first reason counts. [locked] */
void box_lose(conker_box *b, int code, const char *reason);
/* Opens what a box that boots is made of; what o leaves open becomes the default. */
must_check int box_open_cold(struct artefacts *a, conker_box_opts *o, struct err *e);
/* Starts the VMM of the box in b->dir, whose starter we are, and says what is to be said first. */
must_check int box_launch(conker_box *b, const conker_box_opts *o, struct artefacts *a,
			  struct err *e);
/* Waits until commands can be run in it; a detached one is then on its own. */
must_check int box_await_ready(conker_box *b, const conker_box_opts *o, const struct artefacts *a,
			       struct err *e);
/* Ends the VMM of a box of ours, wherever it is. Little can be done with the handle afterwards but free it. 0 or
 * -errno: it may still be there. */
must_check int box_end_vmm(conker_box *b);
/* Another handle on the same running box, with a connection of its own. NULL: with e set. */
conker_box *box_second(const conker_box *b, struct err *e);
/* The end of the box's life on this handle, once its users have gone. */
void box_teardown(conker_box *b);
/* [leader] each source's handler. */
void box_on_owner(conker_box *b);
void box_on_vmm(conker_box *b);
void box_on_grace(conker_box *b);
void box_on_conn_end(conker_box *b);
void box_watch_vmm(conker_box *b);
int box_lost_errno(const conker_box *b);
int box_lost_error(conker_box *b, struct err *e); /* [locked] -errno with the reason as message */

/* ---- wait.c: leader and followers ------------------------------------------------------------------ */

typedef int wait_fn(const void *arg); /* [locked] non-zero: what we wait for is there */

/* Waits until fn(arg). 0, -ETIMEDOUT (timeout_ms >= 0), -EINTR. [locked], and again on return; the
 * lock is not held in between. */
must_check int wait_for(conker_box *b, wait_fn *fn, const void *arg, int timeout_ms);
/* Makes the leader, or whoever polls the descriptor, look at the ready list. [locked] */
void wait_wake(conker_box *b);
void wait_broadcast(conker_box *b);
void many_wake(conker_box *b); /* [locked] many.c */

#endif
