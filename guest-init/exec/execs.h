/* SPDX-License-Identifier: Apache-2.0 */
/* execs.h - the executions of the box: what this floor keeps, and the table of them.
 *
 * An execution that lives owns its pidfd, its ends of the pipes (or the terminal's master) and a cgroup;
 * one that ended keeps its slot, its Exit and its log until it is evicted (RETAINED_MAX, the oldest
 * goes first) or forgotten. Those who look at it are its views (views.h). If it is not detached, the loss
 * of its starter's view kills it.
 *
 * `struct execs` has all of them, and what they are made from. It lies in one mapping that is zeroed and never
 * grows: nothing is allocated after start, and a page that was never touched costs nothing.
 */
#ifndef INIT_EXEC_EXECS_H
#define INIT_EXEC_EXECS_H

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include "guest-init/exec/credit.h"
#include "guest-init/exec/exec_fsm.h"
#include "guest-init/exec/log.h"
#include "guest-init/exec/outbox.h"
#include "guest-init/exec/pipes.h"
#include "guest-init/exec/uses.h"
#include "guest-init/sys/cg.h"
#include "guest-init/sys/child.h"
#include "guest-init/sys/poller.h"
#include "guest-init/sys/namespaces.h"
#include "guest-init/sys/self.h"
#include "proto/codec.h"

enum {
	EXEC_MAX = 512,     /* that have not ended */
	RETAINED_MAX = 128, /* that have */
	SLOTS_MAX = EXEC_MAX + RETAINED_MAX,
	VIEWS_MAX = 1024,
	VIEWS_ATTACHED_MAX = 512, /* by Attach: each that may be started finds one */
	EXEC_ARGV_BYTES = 512,    /* of argv kept for List; longer ones are cut at an argument */
	DRAIN_CHECK_MS = 50, /* first look, when output does not end; the next ones come later */
	DRAIN_CHECK_MAX_MS = 1000,
	KILL_AGAIN_MS = 1000,
	BACKOFF_MS = 500, /* defaults of Restart */
	BACKOFF_MAX_MS = 30000,
	TERM_MIN_MS =
		2000, /* who exits so soon after a SIGTERM by request has done so because of it ... */
	TERM_ORDERLY_MS = 60000, /* ... also so late, with a status that tells of an orderly end */
};

struct view;

/* One output: a pipe, or a terminal's master. What it carried is in its log. */
struct exec_out {
	int fd;           /* -1: ended, or never there */
	int wr;           /* -1, or the other end, kept to use the pipe again (pipes.h) */
	int armed;        /* in the epoll set */
	uint64_t settled; /* LEAVING: offset up to which it is main's */
	int64_t read_us;  /* when it was last read */
	int64_t due_us; /* 0, or when it will be read, and until then it is not looked at (output.c) */
	uint32_t gather_ms;
};

/* Start.restart, and what is needed to start again. */
struct exec_restart {
	Conker__Restart__Policy policy;
	uint32_t max, n;
	uint32_t backoff_ms, backoff_max_ms;
	uint8_t *start; /* the bytes of the message, in a mapping of their own; NULL: none */
	size_t start_len;
};

struct exec {
	enum exec_state state;
	uint32_t gen; /* counts the runs in this slot: tells a late event from one of ours */
	uint16_t pos; /* in execs.live */
	struct exec *older, *newer; /* ENDED: in the order of their ends */
	struct view *views, *feeder;
	uint64_t id;
	pid_t pid, box_pid;
	int pidfd; /* -1: reaped */
	int cg;
	int tty; /* out[0].fd is a terminal's master, and stdin goes there too */
	int detached, keep_alive;
	int builtin;       /* a program of init's own */
	int leave;         /* Start.leave_children, until all of it is killed on request */
	int left;          /* main's end was told, or is about to be */
	int group_watched; /* the cgroup's events are in the epoll set */

	struct exec_out out[2]; /* STDOUT, STDERR */
	struct log *log[2];
	uint64_t n_reads; /* of both: the order of its records */

	int in_fd;              /* -1: closed */
	int in_open;            /* there is, or will be, a stdin to feed */
	int in_armed, in_eof;   /* waits for room in the pipe; close it once the queue is empty */
	int in_last;            /* the last byte that a terminal took */
	int in_used;            /* the queue's memory was touched */
	int in_flush;           /* somebody waits for Credit... */
	uint32_t in_flush_left; /* ...until this much of the queue was taken */
	struct in_flow in;

	int64_t start_us, run_us, end_us; /* of the first run; of the last one's begin and end */
	int64_t deadline_us;              /* of the current state; 0: none */
	int64_t started_real_us, ended_real_us;
	uint32_t timeout_ms, grace_ms, check_ms;
	int stop_signal; /* Start.stop_signal */
	struct exec_restart restart;

	int timed_out, failed;
	int asked;         /* bits: by Signal, SIGTERM or SIGKILL went out to this run... */
	int64_t termed_us; /* ...SIGTERM last at that time */
	int orphaned;      /* lost its starter while the box was frozen */
	int abandoned; /* its starter went, or it was asked to end when it had no process to ask */
	int code, signo;
	Conker__Status status; /* of the end; of LEFT and BACKOFF: main's */
	int64_t user_us, sys_us, max_rss_kib;
	struct cg_usage usage; /* of all runs that have ended */
	uint32_t oom_kills;    /* of the last run */

	char name[NAME_MAX_BYTES + 1], key[KEY_MAX_BYTES + 1];
	uint16_t n_argv, argv_len;
	char argv[EXEC_ARGV_BYTES]; /* n_argv strings */
};

enum { ASKED_TERM = 1 << 0, ASKED_KILL = 1 << 1 };

/* ---- views: who looks at them (views.h) ---- */

enum view_flags {
	VIEW_OUT = 1 << 0, /* wants the stream; 1 << k for stream k */
	VIEW_ERR = 1 << 1,
	VIEW_FOLLOW = 1 << 2, /* ends with Exit; else with Done, at what was there when it came */
	VIEW_LOSSLESS = 1 << 3,
	VIEW_STARTER = 1 << 4,
	VIEW_FEEDS = 1 << 5, /* stdin */
};

struct view_stream {
	uint64_t at;           /* next byte to send */
	uint64_t until;        /* where it ends; UINT64_MAX: not known yet */
	uint32_t credit_bytes; /* the client takes */
	uint32_t hint;         /* of log_read() */
};

struct view {
	struct outbox *out; /* of its client */
	struct exec *exec;
	struct view *next; /* of the same execution */
	uint32_t channel, flags;
	uint16_t pos; /* in view_table.slot */
	struct view_stream stream[2];
};

struct view_table {
	int n, n_attached;
	uint16_t slot[VIEWS_MAX]; /* the first n are in use, in no order; the rest is a stack */
	struct view view[VIEWS_MAX];
};

/* ---- all of them ---- */

/* Whose events of the epoll set these are; index is that of the slot. */
enum exec_kind {
	KIND_EXIT,
	KIND_OUTPUT,
	KIND_INPUT,
	KIND_GROUP, /* cgroup.events of an execution that left children */
	EXEC_N_KINDS,
};

enum { YOUNG_FDS = 3 };

struct execs {
	struct poller *poller;
	struct arena *arena; /* where messages are decoded, one at a time */
	struct namespaces box;
	struct cg cg;
	struct self self;
	struct uses uses;
	int is_frozen;    /* clocks stand still, nothing can be started */
	uint64_t last_id; /* also how many were ever started */

	/* exec[0 .. n_slots) were used at least once: live, ended or free. */
	unsigned n_slots, n_live, n_ended, n_free;
	uint16_t live[EXEC_MAX];  /* in no order */
	uint16_t free[SLOTS_MAX]; /* a stack: the last one used is the warmest */
	struct exec *oldest_ended, *newest_ended;
	struct exec *young;             /* NULL, or the last one started: young.h */
	uint16_t young_seen[YOUNG_FDS]; /* what poll() said of its outputs, and its end */
	int64_t alone_until_us;         /* nothing is to be done before, but for what epoll tells */
	struct exec exec[SLOTS_MAX];
	struct view_table views;
	struct log_store logs; /* two a slot */

	struct pipes pipes;
	struct child_area child;
	char *vec[ARGS_MAX + 8]; /* argv and env of the process being started */
	char term[TERM_MAX_BYTES + 8];

	/* Each on pages of its own, so that using one touches no other. */
	_Alignas(4096) uint8_t in_mem[SLOTS_MAX][STDIN_WINDOW_BYTES];
	uint8_t log_mem[LOG_STORE_MAX_BYTES];
	uint8_t stage[4096 + FRAME_DATA_BYTES]; /* output on its way: OUTPUT_HEAD_BYTES, data */
};
_Static_assert(LOGS_MAX == 2 * SLOTS_MAX, "two logs a slot");

/* Of zeroed memory; box, cg, self and what it points to are the caller's. */
void execs_init(struct execs *e);

/* A slot for a new execution, in part zeroed; NULL: EXEC_MAX of them live. May evict. */
struct exec *execs_take(struct execs *e);

/* The slot with everything in it is free again. Any state. */
void execs_release(struct execs *e, struct exec *x);

/* A live one ended. May evict others, not it. */
void execs_retire(struct execs *e, struct exec *x);

/* NULL when there is none, of those that live and those that are kept. */
struct exec *execs_by_id(struct execs *e, uint64_t id);
struct exec *execs_by_key(struct execs *e, const char *key);
struct exec *execs_by_ref(struct execs *e, const Conker__ExecRef *r); /* by name: the newest */

static inline unsigned exec_index(const struct execs *e, const struct exec *x)
{
	return (unsigned)(x - e->exec);
}

static inline int exec_is_live(const struct exec *x)
{
	return x->state != EXEC_FREE && x->state != EXEC_ENDED;
}

/* Adds one of its descriptors to the epoll set: 0 or -errno. */
must_check static inline int exec_watch(struct execs *e, const struct exec *x, int fd,
					uint32_t events, enum exec_kind kind, int k)
{
	struct ev_name name = {.kind = (uint8_t)kind,
			       .stream = (uint8_t)k,
			       .index = (uint16_t)exec_index(e, x),
			       .gen = x->gen};

	return poller_watch(e->poller, EPOLL_CTL_ADD, fd, events, name);
}

#endif
