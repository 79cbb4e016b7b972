/* exec.h - executions: from Start to the day they are forgotten.
 *
 * An execution that lives owns its pidfd, its ends of the pipes (or the terminal's master) and a cgroup;
 * one that ended keeps its slot, its Exit and its log until it is evicted (RETAINED_MAX, the oldest
 * goes first) or forgotten. Those who look at it are its views (view.h). If it is not detached, the loss
 * of its starter's view kills it.
 *
 * Where what is: start.c from Start to a process, exec.c its life, output.c from the pipes to
 * the views, input.c stdin, view.c the views, list.c what can be asked about executions.
 */
#ifndef INIT_EXEC_EXECUTION
#define INIT_EXEC_EXECUTION

#include <stdint.h>
#include <sys/types.h>

#include "guest-init/sys/cg.h"
#include "guest-init/exec/exec_fsm.h"
#include "guest-init/exec/credit.h"
#include "proto/codec.h"

enum {
	EXEC_MAX = 512,     /* that have not ended */
	RETAINED_MAX = 128, /* that have */
	SLOTS_MAX = EXEC_MAX + RETAINED_MAX,
	EXEC_ARGV_BYTES = 512, /* of argv kept for List; longer ones are cut at an argument */
	DRAIN_CHECK_MS = 50,   /* first look, when output does not end; the next ones come later */
	DRAIN_CHECK_MAX_MS = 1000,
	KILL_AGAIN_MS = 1000,
	BACKOFF_MS = 500, /* defaults of Restart */
	BACKOFF_MAX_MS = 30000,
	TERM_MIN_MS =
		2000, /* who exits so soon after a SIGTERM by request has done so because of it ... */
	TERM_ORDERLY_MS = 60000, /* ... also so late, with a status that tells of an orderly end */
};

struct server;
struct client;
struct view;
struct ev_name;

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
	uint16_t pos; /* in server.live */
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
	uint64_t n_reads;       /* of both: the order of its records */

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

/* ---- slots ---- */

/* A slot for a new execution, in part zeroed; NULL: EXEC_MAX of them live. May evict. */
struct exec *exec_take_slot(struct server *s);

/* The slot with everything in it is free again. Any state. */
void exec_release(struct server *s, struct exec *x);

/* NULL when there is none, of those that live and those that are kept. */
struct exec *exec_by_id(struct server *s, uint64_t id);
struct exec *exec_by_name(struct server *s, const char *name); /* the newest */
struct exec *exec_by_key(struct server *s, const char *key);
struct exec *exec_by_ref(struct server *s, const Conker__ExecRef *r);

static inline int exec_is_live(const struct exec *x)
{
	return x->state != EXEC_FREE && x->state != EXEC_ENDED;
}

/* Its log for stream k. */
unsigned exec_log_id(const struct server *s, const struct exec *x, int k);
struct log *exec_log(struct server *s, const struct exec *x, int k);

/* ---- its life ---- */

/* In start.c: a request that answers by itself, and the next run of x: 0, or -errno. */
void exec_start(struct server *s, struct client *c, uint32_t channel, const Conker__Start *m);

/* The rest of exec_start(). A command without stdin is not waited for until it runs: with luck it has ended, or
 * said something, when init looks again, and then waiting costs no call. Until then the message that it came in,
 * and the arena, must stay, and nothing else may happen that could notice; whoever is about to change that calls
 * this. Nothing to do otherwise. */
void exec_start_finish(struct server *s);
must_check int exec_start_again(struct server *s, struct exec *x);

/* For start.c: it runs now. */
void exec_started(struct server *s, struct exec *x);

/* Gives back what belongs to one run. */
void exec_end_run(struct server *s, struct exec *x);

/* Adds all that its process will be heard by to the epoll set. */
must_check int exec_watch_all(struct server *s, struct exec *x);

/* Adds one of its descriptors to the epoll set; kind and stream of name are the caller's. */
must_check int exec_watch(struct server *s, const struct exec *x, int fd, uint32_t events,
			  struct ev_name name);

/* Events from the loop. */
void exec_on_exit(struct server *s, struct exec *x);
void exec_on_group(struct server *s, struct exec *x);
void exec_on_timer(struct server *s, struct exec *x);

/* An output stream has ended, or brought something; called by output.c. */
void exec_check_output_end(struct server *s, struct exec *x);

/* 0 or -errno: ESRCH when there is nobody. */
must_check int exec_signal(struct server *s, struct exec *x, int signo, Conker__Scope scope);
void exec_resize(struct exec *x, const Conker__Resize *m);

/* The client has gone, and with it its views. */
void exec_client_gone(struct server *s, struct client *c);

/* The box was frozen for so long: clocks are set forward by that. What lost its starter meanwhile is
 * killed, or, if it is forgiven, detached. */
void exec_thawed(struct server *s, int64_t frozen_us, int forgive);

/* Kills everything there is, for the end of the machine. */
void exec_kill_all(struct server *s);

#endif
