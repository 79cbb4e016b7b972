/* conker.h - run commands in small virtual machines.
 *
 * Nouns      A conker_box is a virtual machine and what is in it. A conker_exec is a command that
 *            runs in a box, or has run. Both are handles: freeing one never surprises the other.
 * Errors     Calls return >= 0, or a negative errno; conker_errmsg() then gives this thread's
 *            message, one line that says what to do. Passing NULL where a handle is required is
 *            -EINVAL.
 * Options    Structures that start with `size`: set it to sizeof, zero the rest, fill in what you
 *            need. A library that is older than its caller answers -E2BIG only if a field it does
 *            not know is set.
 * Threads    Every call may be made from any thread on any handle, except that a handle must not be
 *            in use elsewhere while it is freed. No call holds a lock while it waits, so
 *            conker_exec_kill() works while another thread is in conker_exec_wait(). The library
 *            starts no threads.
 * Loop       conker_box_fd() is one descriptor for the life of the handle: poll it for POLLIN and
 *            call conker_box_dispatch(). Calls that wait do this for you; they return -EINTR when a
 *            signal handler ran meanwhile, and may be called again.
 * Callbacks  Run only inside conker_box_dispatch() or a call that waits, on that thread, with no
 *            lock held. They may make any call but those that wait, which return -EDEADLK there.
 * Process    Installs no signal handlers, raises no SIGPIPE, prints nothing, never exits, and
 *            leaves no child that the caller's own wait() could meet. Every descriptor is
 *            close-on-exec. After fork() the child gets -ECHILD from every call but the _free ones.
 */
#ifndef CONKER_H
#define CONKER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CONKER_PUBLIC __attribute__((visibility("default")))
#else
#define CONKER_PUBLIC
#endif

typedef struct conker_box conker_box;
typedef struct conker_exec conker_exec;

/* This thread's message for its last call that failed. Never NULL; valid until the thread's next
 * call. Not set by success. */
CONKER_PUBLIC const char *conker_errmsg(void);

/* ---- Boxes ------------------------------------------------------------------------------------ */

enum {
	CONKER_BOX_DETACHED =
		1 << 0, /* outlives the handle and the process; else freeing the handle,
				       * or the end of the process, ends the box */
};

/* Why a box is no more, or that it is. */
enum conker_box_state {
	CONKER_BOX_STARTING = 0,
	CONKER_BOX_RUNNING,
	CONKER_BOX_POWEROFF, /* the guest powered off */
	CONKER_BOX_REBOOT,   /* the guest asked for a reboot; a box is never rebooted */
	CONKER_BOX_PANIC,    /* the guest kernel panicked; the console says why */
	CONKER_BOX_CRASH,    /* triple fault */
	CONKER_BOX_STOPPED,  /* on request */
	CONKER_BOX_ERROR,    /* KVM or the host failed it */
	CONKER_BOX_KILLED,   /* its VMM vanished without a word */
};

typedef struct conker_box_opts {
	size_t size;
	const char *name; /* NULL: the generated id. [A-Za-z0-9][A-Za-z0-9_.-]*, at most 63 bytes */
	const char *image;   /* NULL: the built-in base image */
	const char *kernel;  /* NULL: the built-in one for the number of CPUs */
	uint32_t memory_mib; /* 0: 128 */
	uint32_t cpus;       /* 0: 1 */
	uint32_t flags;
	uint32_t ready_timeout_ms;  /* 0: 60,000; then -ETIMEDOUT with the end of the console */
	const char *const *disks;   /* NULL, or NULL-terminated: "FILE" or "FILE:ro", vdb onwards */
	const char *cmdline_append; /* NULL, or more words for the guest kernel's command line */
	void (*log)(const char *line, void *user); /* NULL, or told what happens, step by step */
	void *log_user;
} conker_box_opts;

typedef struct conker_box_info {
	size_t size;
	char name[64], id[16], image[64], reason[256]; /* reason: detail of the state, or "" */
	enum conker_box_state state;
	uint32_t memory_mib, cpus;
	uint32_t flags;
	int32_t vmm_pid;   /* 0 when there is none */
	int64_t created_s; /* Unix time */
	uint64_t setup_us,
		boot_us; /* VMM start to first guest instruction; from there to ready. 0: not yet */
} conker_box_info;

/* Starts a box and waits until commands can be run in it. On failure nothing is left behind.
 * Errors: -EEXIST name taken, -ENOENT no such image or kernel, -ENODEV no KVM, -EACCES no permission
 * for it, -EINVAL impossible options, -ETIMEDOUT not ready in time, -ECONNABORTED the guest ended before
 * it was ready, -EINTR a signal handler ran, others of the host. *ret is set only on success; free it
 * with conker_box_free(). */
CONKER_PUBLIC int conker_box_create(const conker_box_opts *opts, conker_box **ret);

/* A handle on an existing box, found by name or id. Freeing it leaves the box alone.
 * -ENOENT: no such box; -ESHUTDOWN: it is there but no longer runs. */
CONKER_PUBLIC int conker_box_open(const char *name, conker_box **ret);

/* Ends the handle; and the box too if this handle created it without CONKER_BOX_DETACHED: at once,
 * waited for, leaving nothing. Executions of the handle end with CONKER_LOST. NULL is fine; returns NULL. */
CONKER_PUBLIC conker_box *conker_box_free(conker_box *b);

/* Asks the guest to end everything and power off; after timeout_ms (0: 5,000) it is ended the hard
 * way. Waits until the VMM is gone. The box stays listed with its console until removed. */
CONKER_PUBLIC int conker_box_stop(conker_box *b, uint32_t timeout_ms);

CONKER_PUBLIC int conker_box_info_get(conker_box *b, conker_box_info *ret);

/* Waits for the box to end. 0, or -ETIMEDOUT; timeout_ms < 0 waits for ever. */
CONKER_PUBLIC int conker_box_wait(conker_box *b, int timeout_ms);

/* A round trip to guest-init. 0, -ETIMEDOUT, or what became of the box. */
CONKER_PUBLIC int conker_box_ping(conker_box *b, int timeout_ms);

/* One descriptor for life; POLLIN means: call dispatch. dispatch never blocks and returns the number
 * of callbacks it ran, or -errno once the box is lost (all executions have had their CONKER_LOST). */
CONKER_PUBLIC int conker_box_fd(conker_box *b);
CONKER_PUBLIC int conker_box_dispatch(conker_box *b);

/* Boxes known to this user, also ended ones, by name; fn returns non-zero to stop (and the call returns
 * that). Boxes whose starter died without cleaning up are removed on the way. */
CONKER_PUBLIC int conker_box_list(int (*fn)(const conker_box_info *info, void *user), void *user);

/* As conker_box_info_get(), also for a box that has ended. */
CONKER_PUBLIC int conker_box_lookup(const char *name, conker_box_info *ret);

enum { CONKER_RM_FORCE = 1 << 0 /* end it first if it runs */ };

/* Forgets an ended box: its directory, console and sockets. -EBUSY: it runs and force was not asked. */
CONKER_PUBLIC int conker_box_remove(const char *name, uint32_t flags);

/* A descriptor on the box's console output, positioned at the oldest byte kept; the caller closes it. */
CONKER_PUBLIC int conker_box_console(const char *name);

/* ---- Executions ------------------------------------------------------------------------------- */

enum conker_event {
	CONKER_STARTED = 1, /* it runs; data NULL */
	CONKER_STDOUT,      /* data, len */
	CONKER_STDERR,      /* data, len */
	CONKER_WRITABLE,    /* conker_exec_write() takes bytes again after -EAGAIN; data NULL */
	CONKER_EXIT,        /* it ended, after its last output; data is a const conker_status * */
	CONKER_LOST,        /* the box or the connection is gone, or it could not be started:
	                     * data is a const conker_failure *. Instead of EXIT */
};

/* A callback and its baggage. free(user), when set, runs exactly once, after the last call of fn, also
 * when the function that took it fails. Order: STARTED, (STDOUT|STDERR|WRITABLE)*, then exactly one of
 * EXIT and LOST. */
typedef struct conker_exec_cb {
	void (*fn)(conker_exec *e, enum conker_event ev, const void *data, size_t len, void *user);
	void *user;
	void (*free)(void *user);
} conker_exec_cb;

enum {
	CONKER_EXEC_STDIN = 1 << 0,      /* conker_exec_write() feeds stdin; else it reads EOF */
	CONKER_EXEC_TTY = 1 << 1,        /* one terminal for stdin, stdout and stderr */
	CONKER_EXEC_MANUAL_ACK = 1 << 2, /* output windows open by conker_exec_ack() only */
};

typedef struct conker_exec_opts {
	size_t size;
	const char *const *argv; /* required, NULL-terminated, at least one */
	const char *const *env; /* NULL or "NAME=value"s; PATH, HOME, TERM are added when missing */
	const char *cwd;        /* NULL: "/"; absolute */
	const char *user;       /* NULL: root; "name", "uid", either with ":group" or ":gid" */
	const char *name;       /* NULL, or unique among the box's running executions */
	const char *term;       /* with TTY; NULL: "xterm-256color" */
	uint32_t flags;
	uint32_t window_bytes; /* output in flight per stream; 0: 256 KiB */
	uint32_t timeout_ms;   /* 0: none; then SIGTERM, and SIGKILL grace_ms (0: 2,000) later */
	uint32_t grace_ms;
	uint16_t rows, cols; /* with TTY; 0: 24 x 80 */
} conker_exec_opts;

typedef struct conker_status {
	size_t size;
	int32_t code;      /* exit status, valid when signo is 0 */
	int32_t signo;     /* the signal that ended it, or 0 */
	int32_t timed_out; /* by conker_exec_opts.timeout_ms */
	uint64_t duration_us, user_us, sys_us, max_rss_kib;
} conker_status;

typedef struct conker_failure {
	size_t size;
	int32_t error; /* errno; ENOENT and EACCES with step "exec": not found, cannot be executed */
	const char *
		step; /* what could not be done: "exec", "cwd", "user", ...; "" when the box is lost */
	const char *text; /* one line */
} conker_failure;

/* Starts a command; does not wait. The outcome comes by callback, or by conker_exec_wait(). */
CONKER_PUBLIC int conker_exec_start(conker_box *b, const conker_exec_opts *opts, conker_exec_cb cb,
				    conker_exec **ret);

/* Queues stdin. The number of bytes taken, which may be fewer than len; -EAGAIN: the window is full,
 * wait for CONKER_WRITABLE; -EPIPE: closed, or the command has ended. Any thread. */
CONKER_PUBLIC ssize_t conker_exec_write(conker_exec *e, const void *buf, size_t len);

/* EOF after what was written so far. Idempotent. */
CONKER_PUBLIC int conker_exec_close_stdin(conker_exec *e);

/* Opens the output windows further, with CONKER_EXEC_MANUAL_ACK; stream is CONKER_STDOUT or CONKER_STDERR. */
CONKER_PUBLIC int conker_exec_ack(conker_exec *e, enum conker_event stream, size_t bytes);

CONKER_PUBLIC int conker_exec_resize(conker_exec *e, uint16_t rows, uint16_t cols);

enum { CONKER_KILL_PROCESS = 0, CONKER_KILL_GROUP, CONKER_KILL_ALL };

/* Sends a signal to the process, its process group, or everything it started. Queued, not waited for;
 * -ESRCH when it is known to have ended. */
CONKER_PUBLIC int conker_exec_kill(conker_exec *e, int signo, int scope);

/* Waits for the end. 0 with *ret filled; -ETIMEDOUT; the failure's -errno if it could not be started or
 * was lost, the text by conker_errmsg(). timeout_ms < 0 waits for ever. ret may be NULL. */
CONKER_PUBLIC int conker_exec_wait(conker_exec *e, int timeout_ms, conker_status *ret);

/* The guest's number for it (0 until STARTED), for conker_box_kill() by others. */
CONKER_PUBLIC uint64_t conker_exec_id(const conker_exec *e);

/* Ends the handle; kills what still runs, without further callbacks (but cb.free). NULL is fine; returns
 * NULL. May be called in a callback. */
CONKER_PUBLIC conker_exec *conker_exec_free(conker_exec *e);

typedef struct conker_exec_info {
	size_t size;
	uint64_t id;
	uint32_t pid;
	const char *name;
	const char *const *argv; /* valid during the callback */
	uint64_t age_us;
} conker_exec_info;

/* Running executions of a box, whoever started them. Waits for the answer. */
CONKER_PUBLIC int conker_exec_list(conker_box *b, int (*fn)(const conker_exec_info *i, void *user),
				   void *user);

/* As conker_exec_kill(), for any execution of the box, by number or name. Waits for the answer. */
CONKER_PUBLIC int conker_box_kill(conker_box *b, const char *exec, int signo, int scope);

/* ---- Images ------------------------------------------------------------------------------------ */

/* Makes a directory or a tar archive (compressed or not; "-": stdin) the read-only root file system
 * `name`, replacing one of that name only when it is complete. -ENOSPC and others leave nothing behind. */
CONKER_PUBLIC int conker_image_import(const char *name, const char *path);
CONKER_PUBLIC int conker_image_remove(const char *name);
CONKER_PUBLIC int conker_image_list(int (*fn)(const char *name, uint64_t bytes, int64_t created_s,
					      void *user),
				    void *user);

/* ---- The host ---------------------------------------------------------------------------------- */

enum conker_check { CONKER_CHECK_OK, CONKER_CHECK_SLOW, CONKER_CHECK_MISSING };

/* What this host can do, check by check: what was looked at, what was found, what to do about it
 * ("" when nothing). Returns the number of checks that are MISSING. */
CONKER_PUBLIC int conker_doctor(void (*fn)(enum conker_check verdict, const char *what,
					   const char *found, const char *advice, void *user),
				void *user);

#ifdef __cplusplus
}
#endif

#endif
