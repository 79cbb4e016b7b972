/* SPDX-License-Identifier: Apache-2.0 */
/* conker.h - run commands in small virtual machines.
 *
 * Nouns      A conker_box is a virtual machine and what is in it. A conker_exec is a command that
 *            runs in a box, or has run. Both are handles: freeing one never surprises the other.
 * Errors     Calls return >= 0, or a negative errno; conker_errmsg() then gives this thread's
 *            message, one line that says what to do. Passing NULL where a handle is required is
 *            -EINVAL.
 * Kinds      Three things are kept apart, and conker_errkind() says which a call's error was: the
 *            command failed (it ran; its result is data), it could not be started (errno and step),
 *            the box is broken (reason). Everything else is a usage or host error.
 *            What any call may return is said here once: -EINVAL a NULL or an impossible value, -ENOMEM, -ECHILD after
 *            fork(). A call that waits: -EDEADLK in a callback, -EINTR, -EAGAIN when a box has too many handles (see
 *            below). One that needs the box, when that is gone, with kind CONKER_ERR_BOX: -ESHUTDOWN it ended
 *            in order or is suspended, -ECONNRESET it crashed, -EPROTO its guest broke the protocol. Others stand at the call.
 * Options    Structures that start with `size`: set it to sizeof, zero the rest, fill in what you
 *            need. A library that is older than its caller answers -E2BIG only if a field it does
 *            not know is set.
 * Time       Every timeout is an int of milliseconds. As a call's parameter: how long the call waits; < 0 is for ever,
 *            0 looks once. In an options structure 0 is the default that stands beside the field, CONKER_NO_TIMEOUT
 *            (-1) is none. Points in time are int64_t: `_s` seconds, `_us` microseconds of Unix time.
 * Threads    Every call may be made from any thread on any handle, except that a handle must not be
 *            in use elsewhere while it is freed. No call holds a lock while it waits, so
 *            conker_exec_kill() works while another thread is in conker_exec_wait(). The library
 *            starts no threads.
 * Loop       conker_box_fd() is one descriptor for the life of the handle: poll it for POLLIN and
 *            call conker_box_dispatch(). Calls that wait do this for you; they return -EINTR when a
 *            signal handler ran while they slept, and may be called again. One that ran before is not
 *            noticed: a handler that must end a wait sets a timer that interrupts again and again, or the
 *            caller waits by itself, in ppoll() for that descriptor.
 * Callbacks  Run only inside conker_box_dispatch() or a call that waits, on that thread, with no
 *            lock held. They may make any call but those that wait, which return -EDEADLK there.
 * Process    Installs no signal handlers, raises no SIGPIPE, prints nothing, never exits, and
 *            leaves no child that the caller's own wait() could meet. Every descriptor is
 *            close-on-exec. Where a limit of file sizes is set, ignore SIGXFSZ: then what exceeds it
 *            fails with -EFBIG (copies never raise it). After fork() the child gets -ECHILD from every call but the _free ones.
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

#define CONKER_VERSION    "0.2.0"

/* No timeout, where one is asked for: see Time above. */
#define CONKER_NO_TIMEOUT (-1)

typedef struct conker_box conker_box;
typedef struct conker_exec conker_exec;

/* This thread's message for its last call that failed. Never NULL; valid until the thread's next
 * call. Not set by success. */
CONKER_PUBLIC const char *conker_errmsg(void);

/* What kind of failure this thread's last failed call met. */
enum conker_errkind {
	/* Wrong use, or the host refused something. */
	CONKER_ERR_CALL = 0,
	/* It ran and ended badly: -EREMOTEIO; only where CHECK was asked for. */
	CONKER_ERR_COMMAND,
	/* It ran into its own timeout: -ETIME; likewise. */
	CONKER_ERR_TIMEOUT,
	/* It could not be started: errno, and conker_errstep() says what failed. */
	CONKER_ERR_START,
	/* The box or the connection to it is gone, and why. */
	CONKER_ERR_BOX,
};
CONKER_PUBLIC enum conker_errkind conker_errkind(void);
/* Of CONKER_ERR_START: "exec", "cwd", "user", "limit", ...; else "". As long-lived as the message. */
CONKER_PUBLIC const char *conker_errstep(void);

/* ---- Boxes ------------------------------------------------------------------------------------ */

enum {
	/* Outlives the handle and, once it is ready, the process; else freeing the handle, or the end of the process,
	 * ends it. */
	CONKER_BOX_DETACHED = 1 << 0,
	/* No box unless the host offers every layer of the jail. */
	CONKER_BOX_REQUIRE_JAIL = 1 << 1,
	/* From a template: a snapshot of a box like this one, idle and just booted, which the library makes when there
	 * is none that fits this host, kernel, init, image and options, and keeps for the next time. See Snapshots. */
	CONKER_BOX_WARM = 1 << 2,
};

/* Why a box is no more, or that it is. */
enum conker_box_state {
	CONKER_BOX_STARTING = 0,
	CONKER_BOX_RUNNING,
	/* The guest powered off. */
	CONKER_BOX_POWEROFF,
	/* The guest asked for a reboot; a box is never rebooted. */
	CONKER_BOX_REBOOT,
	/* The guest kernel panicked; the console says why. */
	CONKER_BOX_PANIC,
	/* Triple fault. */
	CONKER_BOX_CRASH,
	/* On request. */
	CONKER_BOX_STOPPED,
	/* KVM or the host failed it. */
	CONKER_BOX_ERROR,
	/* Its VMM vanished without a word. */
	CONKER_BOX_KILLED,
	/* On disk; conker_box_open() resumes it. */
	CONKER_BOX_SUSPENDED,
};

#define CONKER_NO_LIMIT         UINT64_MAX
#define CONKER_RATE_MAX         ((uint64_t)1 << 33)

/* How long a box may take to become ready, and to end in order, where nothing else is said. */
#define CONKER_READY_DEFAULT_MS 60000
#define CONKER_STOP_DEFAULT_MS  5000

/* What a device may move in a second. Each 0: the default, see below; CONKER_NO_LIMIT; else at most
 * CONKER_RATE_MAX. What is beyond waits; nothing is lost. */
typedef struct conker_rate {
	uint64_t bytes_per_s, ops_per_s;
} conker_rate;

typedef struct conker_box_opts {
	size_t size;
	const char *name; /* NULL: the generated id. [A-Za-z0-9][A-Za-z0-9_.-]*, at most 63 bytes */
	const char *image;   /* NULL: the built-in base image */
	const char *kernel;  /* NULL: the built-in one for the number of CPUs */
	uint32_t memory_mib; /* 0: 128 */
	uint32_t cpus;       /* 0: 1 */
	uint32_t flags;
	/* 0: CONKER_READY_DEFAULT_MS; then -ETIMEDOUT with the end of the console. */
	int ready_timeout_ms;
	/* NULL, or NULL-terminated: "FILE" or "FILE:ro", vdb onwards. A file has one box that writes it, or any number
	 * that read it: -EBUSY says which box has it. A suspended box has none of its files. */
	const char *const *disks;
	const char *cmdline_append; /* NULL, or more words for the guest kernel's command line */
	void (*log)(const char *line, void *user); /* NULL, or told what happens, step by step */
	void *log_user;
	/* Stops itself after this long without a view on an execution, a running keep-alive execution, a
	 * forwarded connection, a wait for ports, or any request: counted from the end of the last of these;
	 * and after this long whatever happens. 0, or CONKER_NO_TIMEOUT: never. */
	int idle_timeout_ms, max_life_ms;
	/* Of each disk: bytes and requests (2 GiB/s, 100,000). Of what passes between host and box, in each
	 * direction: bytes and packets below 1 KiB (the same). Of the console: bytes and writes (8 MiB/s, 20,000). */
	conker_rate disk_rate, vsock_rate, console_rate;
	/* NULL, or a directory that conker_box_snapshot() made: the box goes on where that one stood. Memory, CPUs,
	 * image, kernel, disks and command line are the snapshot's: zero here, or the same. Its life and idle times are
	 * its own, from its start: zero is none, whatever the other one had. */
	const char *from;
	/* As idle_timeout_ms, but it suspends itself, as conker_box_suspend() would; not both. With
	 * CONKER_BOX_DETACHED only. If that fails it runs on, says so (conker_box_info.reason), and tries again when it has
	 * been idle for 30 seconds at least, then for twice as long each time, up to ten minutes. */
	int idle_suspend_ms;
} conker_box_opts;

typedef struct conker_box_info {
	size_t size;
	/* reason: detail of the state, or ""; of one that runs: why it could not suspend itself. */
	char name[64], id[16], image[256], reason[256];
	enum conker_box_state state;
	uint32_t memory_mib, cpus;
	uint32_t flags;
	/* 0: there is none. */
	int32_t vmm_pid;
	int64_t created_s;
	/* VMM start to first guest instruction; from there to ready. 0: not yet. */
	uint64_t setup_us, boot_us;
	/* Layers of the jail that this host does not offer, each with its reason; "" when the jail is complete. */
	char unjailed[256];
	/* Of the VMM, a path; or "none: REASON". */
	char cgroup[512];
	/* The snapshot that it began with, a path or the beginning of one; "": it booted. */
	char from[256];
	/* Of a suspended one: since when, else 0; and what it takes on disk. */
	int64_t suspended_s;
	uint64_t suspended_bytes;
	/* As it was created; 0: never. */
	int max_life_ms, idle_timeout_ms, idle_suspend_ms;
	/* By the handle that created it, CONKER_BOX_WARM: how long making a template took, or 0. */
	uint64_t template_us;
} conker_box_info;

/* Starts a box and waits until commands can be run in it. On failure nothing is left behind.
 * Errors: -ESTALE a snapshot that this host, or this release, cannot go on with; -EBADMSG one that is damaged;
 * -EEXIST name taken, -ENOENT no such image or kernel, -ENODEV no KVM, -EACCES no permission
 * for it, -EINVAL impossible options, -ETIMEDOUT not ready in time, -ECONNABORTED the guest ended before
 * it was ready, -EINTR a signal handler ran, others of the host. *ret is set only on success; free it
 * with conker_box_free(). */
CONKER_PUBLIC int conker_box_create(const conker_box_opts *opts, conker_box **ret);

/* A handle on an existing box, found by name or id. Freeing it leaves the box alone. A suspended one is resumed
 * first, which waits. One that may suspend itself is asked first whether it is about to, and if so waited for.
 * -ENOENT: no such box; -ESHUTDOWN: it is there but no longer runs; -ETIMEDOUT: its guest does not answer. */
CONKER_PUBLIC int conker_box_open(const char *name, conker_box **ret);

/* The same without asking the guest anything: for conker_box_stop(), which ends also a box that does not answer. A box
 * that suspends itself may be doing so. */
CONKER_PUBLIC int conker_box_open_now(const char *name, conker_box **ret);

/* Ends the handle; and the box too if this handle created it without CONKER_BOX_DETACHED: at once,
 * waited for, leaving nothing. Executions of the handle end with CONKER_LOST. NULL is fine; returns NULL. */
CONKER_PUBLIC conker_box *conker_box_free(conker_box *b);

/* Asks the guest to end everything and power off; if it has not after timeout_ms (CONKER_STOP_DEFAULT_MS is a good
 * one; 0: at once) it is ended the hard way, which takes two seconds more. Waits until the VMM is gone. The box stays
 * listed with its console until removed. 0, also of one that has ended. -ERESTART: it has been suspended meanwhile:
 * open it again, which resumes it. -ETIMEDOUT: its VMM does not end. */
CONKER_PUBLIC int conker_box_stop(conker_box *b, int timeout_ms);

/* What is known of the handle's box, running, lost or ended, into *ret, whose `size` the caller has set. Asks nobody and
 * does not wait. */
CONKER_PUBLIC int conker_box_info_get(conker_box *b, conker_box_info *ret);

/* Waits for the box to end, in whatever way. 0, or -ETIMEDOUT. */
CONKER_PUBLIC int conker_box_wait(conker_box *b, int timeout_ms);

/* A round trip to guest-init. 0, -ETIMEDOUT, or what became of the box. */
CONKER_PUBLIC int conker_box_ping(conker_box *b, int timeout_ms);

/* A box takes 64 handles that have started, attached or waited for ports, and 72 in all. The 65th is refused these calls:
 * -EAGAIN, step "limit". When there are 72, one more takes the place of one that has only asked questions and has asked
 * none for a second: that handle has then lost the box, with -EAGAIN. */

/* One descriptor for life; POLLIN means: call dispatch. dispatch never blocks and returns the number
 * of callbacks it ran, or -errno once the box is lost (all executions have had their CONKER_LOST). */
CONKER_PUBLIC int conker_box_fd(conker_box *b);
CONKER_PUBLIC int conker_box_dispatch(conker_box *b);

/* Boxes known to this user, also ended ones, by name; fn returns non-zero to stop (and the call returns
 * that). Boxes whose starter died without cleaning up are removed on the way. */
CONKER_PUBLIC int conker_box_list(int (*fn)(const conker_box_info *info, void *user), void *user);

/* As conker_box_info_get(), also for a box that has ended. */
CONKER_PUBLIC int conker_box_lookup(const char *name, conker_box_info *ret);

enum {
	/* Also one that runs, which ends first, or is suspended. */
	CONKER_RM_FORCE = 1 << 0,
};

/* Forgets an ended box: its directory, console and sockets; of a suspended one, its memory and files.
 * -EBUSY: it runs or is suspended, and force was not asked. */
CONKER_PUBLIC int conker_box_remove(const char *name, uint32_t flags);

/* A descriptor on the box's console output, positioned at the oldest byte kept; the caller closes it. */
CONKER_PUBLIC int conker_box_console(const char *name);

/* ---- Snapshots -------------------------------------------------------------------------------- */

/* A snapshot is a directory: the memory of a box, the state of its machine, and a manifest that names the files
 * it depends on (its image above all) with their checksums. Any number of boxes may begin with it, each by
 * conker_box_opts.from, also after the box it was taken of has gone. They share its memory until they write to it.
 * In each the executions of the source go on, as detached ones: attach to them. Every clone has a name, an id and
 * a hostname of its own, and its kernel has new random numbers before any of its processes runs again; what a
 * program has drawn before (a seed, a key) is the same in all clones, and only the program can change that.
 * CLOCK_MONOTONIC goes on as if no time had passed, CLOCK_REALTIME is right. Connections from outside have ended.
 * A snapshot fits one kind of CPU and of KVM, and one release of conker; elsewhere it is refused. It holds what the
 * box held in memory, secrets too, and is readable by its maker only. */

enum {
	/* The box ends with it, as by a power cut. */
	CONKER_SNAPSHOT_STOP = 1 << 0,
};

typedef struct conker_snapshot_opts {
	size_t size;
	uint32_t flags;
} conker_snapshot_opts;

typedef struct conker_snapshot_result {
	size_t size;
	/* Its CPUs stood still; its processes did; until the snapshot was complete on disk. */
	uint64_t pause_us, frozen_us, total_us;
	/* In the memory file, holes not counted. */
	uint64_t memory_bytes;
} conker_snapshot_result;

/* A template, which CONKER_BOX_WARM makes and keeps. Of those that no longer fit, because kernel, init, image or release
 * are others by now, the two that were used last are kept, and sixteen in all: whoever makes one removes the others. */
typedef struct conker_template_info {
	size_t size;
	char name[40], image[256]; /* name: 32 hex digits */
	uint32_t memory_mib, cpus;
	int fits; /* a box can still begin with it */
	int64_t created_s, used_s;
	uint64_t bytes; /* on disk */
} conker_template_info;

/* The one that was used last comes first; fn returns non-zero to stop (and the call returns that). */
CONKER_PUBLIC int conker_template_list(int (*fn)(const conker_template_info *info, void *user),
				       void *user);
/* Boxes that began with it go on. -ENOENT; -EBUSY: it is being made. */
CONKER_PUBLIC int conker_template_remove(const char *name);

/* Takes a snapshot of a running box. dir must not exist, and does only when it is complete. Executions go on
 * afterwards. opts and ret may be NULL. Waits; -EEXIST, -EBUSY another one is being taken, -ENOTSUP what it has
 * on writable disks would change meanwhile: use STOP, which copies them, -ESTALE its image was replaced since. */
CONKER_PUBLIC int conker_box_snapshot(conker_box *b, const char *dir,
				      const conker_snapshot_opts *opts,
				      conker_snapshot_result *ret);

/* Puts the box aside: its memory goes to disk ($XDG_STATE_HOME/conker, for root /var/lib/conker), its process
 * ends, it stays listed. conker_box_open() by anyone of this user resumes it; what was left of its max_life_ms is left
 * then. Of a box that was created with CONKER_BOX_DETACHED only. The handle has lost it: -ESHUTDOWN from all calls but
 * _free. If it fails, for want of space or whatever, the box runs on and the disk is as it was. ret may be NULL. */
CONKER_PUBLIC int conker_box_suspend(conker_box *b, conker_snapshot_result *ret);

/* ---- Executions ------------------------------------------------------------------------------- */

/* How an execution of a box is named: by exactly one of these, the others are 0 and NULL; else -EINVAL. The number is
 * conker_exec_id()'s. Of a name the newest execution that has or had it is meant. */
typedef struct conker_exec_ref {
	uint64_t id;
	const char *name, *key;
} conker_exec_ref;

/* What happens to an execution; the member of conker_event_data that goes with it. */
enum conker_event {
	/* It runs; no data. */
	CONKER_STARTED = 1,
	/* output */
	CONKER_STDOUT,
	/* output */
	CONKER_STDERR,
	/* conker_exec_write() takes bytes again after -EAGAIN; no data. */
	CONKER_WRITABLE,
	/* status: it ended, after its last output. */
	CONKER_EXIT,
	/* failure: the box or the connection is gone, or it could not be started. Instead of EXIT. */
	CONKER_LOST,
	/* gap: bytes that are no longer kept. */
	CONKER_GAP,
	/* written: a conker_exec_write_all() completed. */
	CONKER_WRITTEN,
	/* Of a view without FOLLOW, or after detach: all there was has been delivered; no data. Instead of EXIT. */
	CONKER_DETACHED,
};

/* How long things may be, in bytes, and how many; beyond it calls fail with -EINVAL (argv and env: -E2BIG) and say
 * what is. The box has the same limits. */
enum {
	CONKER_NAME_MAX = 64, /* of an execution */
	CONKER_KEY_MAX = 128,
	CONKER_TERM_MAX = 64,
	CONKER_ARGS_MAX = 32768, /* argv and env together; of one string Linux takes 128 KiB */
	CONKER_RLIMITS_MAX = 16,
	CONKER_PORTS_MAX = 32,
	CONKER_LOG_MAX = 8 << 20,
	CONKER_BOX_NAME_MAX = 63,    /* also of an image's local names */
	CONKER_IMAGE_NAME_MAX = 255, /* a reference, whole */
};

enum {
	/* conker_exec_write() feeds stdin. Else it reads EOF; but from a terminal nothing comes, so that a read waits,
	 * until a view with CONKER_VIEW_STDIN feeds it. */
	CONKER_EXEC_STDIN = 1 << 0,
	/* One terminal for stdin, stdout and stderr. */
	CONKER_EXEC_TTY = 1 << 1,
	/* Output windows open by conker_exec_ack() only. */
	CONKER_EXEC_MANUAL_ACK = 1 << 2,
	/* Outlives its handle and connection: others may attach. */
	CONKER_EXEC_KEEP = 1 << 3,
	/* What the command left behind is not killed at its end. */
	CONKER_EXEC_LEAVE_CHILDREN = 1 << 4,
	/* While it runs the box does not stop for being idle; its timeout_ms is then CONKER_KEEP_ALIVE_DEFAULT_MS unless
	 * set. */
	CONKER_EXEC_KEEP_ALIVE = 1 << 5,
	/* STDOUT and STDERR events are whole lines with their newline (the last may lack it; one longer than 64 KiB comes
	 * in pieces). */
	CONKER_EXEC_LINES = 1 << 6,
	/* stderr goes into stdout, in the order of the writes. */
	CONKER_EXEC_MERGE_STDERR = 1 << 7,
	/* To /dev/null. */
	CONKER_EXEC_NO_STDOUT = 1 << 8,
	CONKER_EXEC_NO_STDERR = 1 << 9,
};

enum conker_restart { CONKER_RESTART_NEVER = 0, CONKER_RESTART_ON_FAILURE, CONKER_RESTART_ALWAYS };

/* See conker_exec_opts. */
#define CONKER_KEEP_ALIVE_DEFAULT_MS  600000
#define CONKER_GRACE_DEFAULT_MS       2000
#define CONKER_BACKOFF_DEFAULT_MS     500
#define CONKER_BACKOFF_MAX_DEFAULT_MS 30000

#define CONKER_UNLIMITED              UINT64_MAX

typedef struct conker_rlimit {
	int resource;        /* RLIMIT_* */
	uint64_t soft, hard; /* or CONKER_UNLIMITED */
} conker_rlimit;

typedef struct conker_exec_opts {
	size_t size;
	const char *const *argv; /* required, NULL-terminated, at least one */
	const char *const *env; /* NULL or "NAME=value"s; PATH, HOME, TERM are added when missing */
	const char *cwd;        /* NULL: "/"; absolute */
	const char *user; /* NULL: root; "name", "uid", either with ":group" or ":gid". Not "" */
	/* NULL, or unique among the box's executions that have not ended: UTF-8 without control characters, not "", not
	 * of digits only (a number) and without ':' (a key), so that each way to name one means one thing. */
	const char *name;
	const char *term; /* with TTY; NULL: "xterm-256color" */
	uint32_t flags;
	uint32_t window_bytes; /* output in flight per stream; 0: 256 KiB */
	/* 0: none (but see KEEP_ALIVE); then SIGTERM, and SIGKILL grace_ms (0: CONKER_GRACE_DEFAULT_MS) later. */
	int timeout_ms, grace_ms;
	uint16_t rows, cols; /* with TTY; 0: 24 x 80 */

	/* Idempotent start: if the box knows an execution with this key, running or ended, the handle
	 * becomes a view of that one from its first byte kept, and nothing is started. Implies KEEP. Not
	 * "". */
	const char *key;
	/* Same id, environment and log. conker_exec_kill() and conker_exec_kill_ref() end it for good with SIGKILL, and with
	 * SIGTERM if the command dies of that, exits within grace_ms (at least 2,000), or exits within a minute with
	 * status 0 or 143. A SIGTERM that it lives on after, as one that makes it reload, does not. */
	enum conker_restart restart;
	uint32_t restart_max; /* 0: unlimited */
	/* Before the first restart, then doubling; and at most. 0: CONKER_BACKOFF_DEFAULT_MS, _MAX_DEFAULT_MS. */
	int backoff_ms, backoff_max_ms;
	const conker_rlimit *rlimits;
	size_t n_rlimits;
	/* Of the command and all it starts together; 0: the box's. What goes over memory is killed,
	 * which the status reports, and hits this execution only. */
	uint64_t memory_max_bytes;
	uint32_t pids_max;
	uint32_t cpu_max_permille; /* 1,000: one CPU */
	uint32_t log_bytes; /* newest output the box keeps per stream; 0: 128 KiB, at most 8 MiB */
} conker_exec_opts;

/* As in proto/exec.proto. */
enum conker_exec_state {
	CONKER_EXEC_RUNNING = 0,
	CONKER_EXEC_EXITED,
	/* By a signal nobody asked conker for. */
	CONKER_EXEC_SIGNALED,
	CONKER_EXEC_TIMED_OUT,
	CONKER_EXEC_OOM_KILLED,
	/* On request, or with its starter. */
	CONKER_EXEC_KILLED,
	/* By job control; it may continue. */
	CONKER_EXEC_STOPPED,
	/* A restart could not start it. */
	CONKER_EXEC_FAILED,
	/* About to be restarted. */
	CONKER_EXEC_BACKOFF,
	/* The command has ended, what it left behind runs. */
	CONKER_EXEC_LEFT,
};

/* Of everything an execution started, living and dead; or of a box. */
typedef struct conker_usage {
	uint64_t user_us, sys_us;
	uint64_t memory_bytes, memory_peak_bytes;
	uint32_t pids, pids_peak;
	uint32_t oom_kills;
	uint64_t throttled_us;
} conker_usage;

typedef struct conker_status {
	size_t size;
	int32_t code;      /* exit status, valid when signo is 0 */
	int32_t signo;     /* the signal that ended it, or 0 */
	int32_t timed_out; /* by conker_exec_opts.timeout_ms */
	/* Of the command and what it waited for. */
	uint64_t duration_us, user_us, sys_us, max_rss_kib;
	enum conker_exec_state state;
	int32_t returncode; /* code, or -signo: what subprocess and the sandbox APIs call it */
	uint64_t stdout_bytes, stderr_bytes; /* ever written */
	uint32_t restarts;
	conker_usage usage;
} conker_status;

typedef struct conker_failure {
	size_t size;
	/* errno; ENOENT and EACCES with step "exec": not found, cannot be executed. ERESTART: the box was suspended and
	 * nothing of the command ran, or will: open it and start anew. */
	int32_t error;
	/* What could not be done: "exec", "cwd", "user", ...; "" when the box is lost. */
	const char *step;
	/* One line. */
	const char *text;
	/* CONKER_ERR_START or CONKER_ERR_BOX; of a view that was refused CONKER_ERR_CALL. */
	enum conker_errkind kind;
} conker_failure;

typedef struct conker_gap {
	enum conker_event stream; /* CONKER_STDOUT or CONKER_STDERR */
	uint64_t from, to;        /* offsets; to is where output goes on */
} conker_gap;

typedef struct conker_written {
	int64_t ticket; /* of conker_exec_write_all() */
	int32_t error; /* 0: the process has it all; -EPIPE: it closed its stdin; -ESRCH: it ended */
} conker_written;

typedef struct conker_output {
	const void *bytes;
	size_t len;
	/* Where in its stream it begins, and when init read it (by the clock of the box). */
	uint64_t offset;
	int64_t time_us;
} conker_output;

/* What comes with an event; the callback's until it returns, with all it points to. */
typedef union conker_event_data {
	conker_output output;
	conker_status status;
	conker_failure failure;
	conker_gap gap;
	conker_written written;
} conker_event_data;

/* A callback and its baggage. data is NULL for events without. free(user), when set, runs exactly once, after the last
 * call of fn, also when the function that took it fails. Order: STARTED, (STDOUT|STDERR|GAP|WRITABLE|WRITTEN)*, then
 * exactly one of EXIT, DETACHED and LOST. fn NULL: nobody is told. */
typedef struct conker_exec_cb {
	void (*fn)(conker_exec *e, enum conker_event ev, const conker_event_data *data, void *user);
	void *user;
	void (*free)(void *user);
} conker_exec_cb;

/* Starts a command; does not wait. The outcome comes by callback, or by conker_exec_wait(). *ret is set only on success,
 * and before the first event; free it with conker_exec_free(). -EINVAL and -E2BIG: what is too long, or no such option;
 * -EAGAIN: 8 MiB of starts wait to be sent; those of a lost box. */
CONKER_PUBLIC int conker_exec_start(conker_box *b, const conker_exec_opts *opts, conker_exec_cb cb,
				    conker_exec **ret);

/* Queues stdin. The number of bytes taken, which may be fewer than len; -EAGAIN: the window is full,
 * wait for CONKER_WRITABLE; -ESHUTDOWN: after conker_exec_close_stdin(), or never open; -EPIPE: the
 * process closed its end; -ESRCH: it has ended. Any thread. */
CONKER_PUBLIC ssize_t conker_exec_write(conker_exec *e, const void *buf, size_t len);

/* Queues all of it (the library copies; at most 64 MiB wait, else -EAGAIN and nothing was queued) and
 * numbers it: CONKER_WRITTEN with this ticket comes once the process's pipe has taken the last byte, or
 * never will. Tickets count from 1 per execution. Errors as conker_exec_write(). Order is kept with
 * every other write. */
CONKER_PUBLIC int64_t conker_exec_write_all(conker_exec *e, const void *buf, size_t len);

/* Waits until a ticket is complete: 0, its error, or -ETIMEDOUT. ticket 0: all so far. -EINVAL: no such ticket. */
CONKER_PUBLIC int conker_exec_flush(conker_exec *e, int64_t ticket, int timeout_ms);

/* Bytes of stdin that are written but not taken by the process yet: back-pressure in numbers. */
CONKER_PUBLIC size_t conker_exec_stdin_pending(const conker_exec *e);

/* EOF after what was written so far; on a terminal by its EOF character, also in the middle of a line. Idempotent. */
CONKER_PUBLIC int conker_exec_close_stdin(conker_exec *e);

/* Opens the output windows further, with CONKER_EXEC_MANUAL_ACK; stream is CONKER_STDOUT or CONKER_STDERR. */
CONKER_PUBLIC int conker_exec_ack(conker_exec *e, enum conker_event stream, size_t bytes);

/* Sets the size of its terminal, which tells its foreground processes by SIGWINCH. Queued, not waited for; may be called
 * before STARTED and by any thread. -ENOTTY: it has none, as far as the handle knows: of a view only the box does, and a
 * resize of no terminal has no effect. -ESRCH: it has ended. -EAGAIN: too much waits to be sent. */
CONKER_PUBLIC int conker_exec_resize(conker_exec *e, uint16_t rows, uint16_t cols);

enum {
	CONKER_KILL_PROCESS = 0,
	CONKER_KILL_GROUP,
	CONKER_KILL_ALL,
};

/* Sends a signal (0: SIGKILL) to the process, its process group, or everything it started. Queued, not
 * waited for; -ESRCH when it is known to have ended. */
CONKER_PUBLIC int conker_exec_kill(conker_exec *e, int signo, int scope);

/* Waits for the end, until the callback's `free` has returned, whatever thread it ran on: what `user` points to
 * may be on the caller's stack. 0 with *ret filled; -ETIMEDOUT; the failure's -errno if it could not be started or
 * was lost, the text by conker_errmsg(). ret may be NULL. A view
 * that ended by DETACHED is -ENODATA. */
CONKER_PUBLIC int conker_exec_wait(conker_exec *e, int timeout_ms, conker_status *ret);

/* Waits until at least `need` of n executions, of one box or many, have ended (in whatever way); sets
 * done[i] (may be NULL) for each that has. The number that has ended, or -ETIMEDOUT, -EINTR, -EINVAL. */
CONKER_PUBLIC int conker_exec_wait_many(conker_exec *const *v, size_t n, size_t need,
					int timeout_ms, unsigned char *done);

/* CHECK as a function: 0 for exit code 0; -ETIME timed out; -EREMOTEIO any other end; with message and
 * kind. */
CONKER_PUBLIC int conker_status_check(const conker_status *st);

/* The guest's number for it (0 until STARTED), for a conker_exec_ref. */
CONKER_PUBLIC uint64_t conker_exec_id(const conker_exec *e);

/* Whether STARTED came from a start whose key was known already. */
CONKER_PUBLIC int conker_exec_existing(const conker_exec *e);

/* Ends the handle; kills what still runs, unless the handle is a view or was started with KEEP, without
 * further callbacks (but cb.free). NULL is fine; returns NULL. May be called in a callback. */
CONKER_PUBLIC conker_exec *conker_exec_free(conker_exec *e);

/* Leaves the execution alone from now on, also one that was started without KEEP. The callback's last
 * event is DETACHED (or EXIT, if that crossed). Does not wait. */
CONKER_PUBLIC int conker_exec_detach(conker_exec *e);

enum {
	/* Until its EXIT; else what is there now, then DETACHED. */
	CONKER_VIEW_FOLLOW = 1 << 0,
	/* Feed its stdin from now on, after what others have fed and it has not read yet, which leaves less room at first.
	 * -EBUSY as LOST: another view does. */
	CONKER_VIEW_STDIN = 1 << 1,
	/* Neither: only the EXIT. */
	CONKER_VIEW_NO_STDOUT = 1 << 2,
	CONKER_VIEW_NO_STDERR = 1 << 3,
	/* The command waits for this reader too; else gaps. */
	CONKER_VIEW_LOSSLESS = 1 << 4,
	CONKER_VIEW_MANUAL_ACK = 1 << 5,
	CONKER_VIEW_LINES = 1 << 6,
};

typedef struct conker_view_opts {
	size_t size;
	uint32_t flags;
	uint64_t stdout_from, stderr_from; /* offsets to begin at */
	uint32_t tail_bytes;   /* not 0: at most this many bytes per stream before the end */
	uint32_t window_bytes; /* as in conker_exec_opts */
} conker_view_opts;

/* A handle on any execution of the box, running or ended, whoever started it. opts NULL: FOLLOW from the oldest byte
 * kept. Not waited for: an unknown execution is LOST with ESRCH. ref need not outlive the call. *ret as
 * conker_exec_start()'s. Freeing the handle leaves the execution alone. */
CONKER_PUBLIC int conker_exec_attach(conker_box *b, const conker_exec_ref *ref,
				     const conker_view_opts *opts, conker_exec_cb cb,
				     conker_exec **ret);

typedef struct conker_exec_info {
	size_t size;
	uint64_t id;
	int32_t pid; /* as the box sees it; 0: none at the moment */
	/* "" for none; valid as long as the structure: during a callback, or until it is freed. */
	const char *name, *key;
	const char *const *argv;
	uint64_t age_us;
	enum conker_exec_state state;
	conker_status status; /* of what has ended (BACKOFF, LEFT: of the command) */
	int32_t stdin_writable, detached, keep_alive, tty;
	uint32_t restarts, views;
	int64_t started_us, ended_us;        /* Unix time of the box; ended 0: not yet */
	uint64_t stdout_bytes, stderr_bytes; /* ever written ... */
	uint64_t stdout_from, stderr_from;   /* ... and the oldest kept */
	conker_usage usage;                  /* live, with CONKER_LIST_USAGE */
} conker_exec_info;

enum {
	/* Also those that have ended. */
	CONKER_LIST_ALL = 1 << 0,
	/* Costs the box a few system calls per execution. */
	CONKER_LIST_USAGE = 1 << 1,
};

/* Executions of a box by number, whoever started them; fn returns non-zero to stop. Waits for the answer. */
CONKER_PUBLIC int conker_exec_list(conker_box *b, uint32_t flags,
				   int (*fn)(const conker_exec_info *i, void *user), void *user);

/* One execution, running or ended. *ret, set only on success, is the caller's: conker_exec_info_free(). Waits for the
 * answer. flags: CONKER_LIST_USAGE. -ESRCH. */
CONKER_PUBLIC int conker_exec_lookup(conker_box *b, const conker_exec_ref *ref, uint32_t flags,
				     conker_exec_info **ret);
/* NULL is fine; returns NULL. */
CONKER_PUBLIC conker_exec_info *conker_exec_info_free(conker_exec_info *i);

/* As conker_exec_kill(), for any execution of the box, without a handle on it. Waits for the answer. -ESRCH: none such,
 * or it has ended. */
CONKER_PUBLIC int conker_exec_kill_ref(conker_box *b, const conker_exec_ref *ref, int signo,
				       int scope);

/* Drops what the box keeps of an ended execution. Waits for the answer. -ESRCH, -EBUSY: it runs. */
CONKER_PUBLIC int conker_exec_forget(conker_box *b, const conker_exec_ref *ref);

/* Waits until every one of n (at most 32) TCP ports is listened on in the box, by whomever. ref names an execution whose
 * end ends the waiting: -ESRCH; NULL: none. -ETIMEDOUT. */
CONKER_PUBLIC int conker_box_await_ports(conker_box *b, const conker_exec_ref *ref,
					 const uint16_t *ports, size_t n, int timeout_ms);

typedef struct conker_box_stats {
	size_t size;
	uint64_t uptime_us, idle_us;
	uint32_t running, kept, clients, forwards;
	uint64_t started, memory_total_bytes;
	conker_usage usage;
	uint64_t refused_frames, dropped_bytes;
	uint64_t init_rss_kib;
	uint32_t init_fds;
} conker_box_stats;

/* Asks the box for its figures, into *ret, whose `size` the caller has set and which is left alone on failure. Waits for the
 * answer, a minute at most: -ETIMEDOUT. */
CONKER_PUBLIC int conker_box_stats_get(conker_box *b, conker_box_stats *ret);

/* ---- Run and capture ------------------------------------------------------------------------------ */

enum {
	/* An end other than exit code 0 is -EREMOTEIO or -ETIME; *ret is filled all the same. */
	CONKER_RUN_CHECK = 1 << 0,
};

typedef struct conker_run_opts {
	size_t size;
	uint32_t flags;
	/* Kept per stream, and of both together; 0: 16 MiB. What comes after is counted and dropped, the command goes on. */
	size_t output_max_bytes;
	const void *input; /* NULL: stdin reads EOF */
	size_t input_len;  /* at most 64 MiB */
} conker_run_opts;

typedef struct conker_captured {
	char *data; /* NUL-terminated beyond len */
	size_t len, lines;
	uint64_t produced; /* bytes that the command wrote */
	int truncated;
} conker_captured;

typedef struct conker_result {
	size_t size;
	conker_status status;
	conker_captured out, err;
	/* In the order in which init read them (exact with MERGE_STDERR). */
	conker_captured both;
	/* "" for exit code 0; else one line: "exited with code 3", "killed by signal 9 (out of memory)", "timed out after
	 * 5.0 s", ... */
	char *message;
} conker_result;

/* Starts a command, feeds it, waits, and captures. 0 whatever its exit status (but see CHECK); -errno with
 * CONKER_ERR_START or CONKER_ERR_BOX, when *ret is zeroed. Free with conker_result_free(). */
CONKER_PUBLIC int conker_run(conker_box *b, const conker_exec_opts *exec,
			     const conker_run_opts *opts, conker_result *ret);
CONKER_PUBLIC void conker_result_free(conker_result *r);

/* ---- Ports --------------------------------------------------------------------------------------- */

typedef struct conker_forward conker_forward;

/* Listens on a host address, "HOST:PORT" (PORT 0: any; HOST numeric) or a path with a '/' for a Unix
 * socket (which must not exist), and passes every connection to a TCP port of the box's loopback. Served
 * by conker_box_dispatch() and calls that wait. At most 256 connections, of it and of all forwards of a box; more
 * wait, also while this process has no descriptor for one. One whose port refuses is reset. No callback. */
CONKER_PUBLIC int conker_forward_open(conker_box *b, const char *address, uint16_t guest_port,
				      conker_forward **ret);
/* The address with the port that was chosen. Valid until freed. */
CONKER_PUBLIC const char *conker_forward_address(const conker_forward *f);
CONKER_PUBLIC uint32_t conker_forward_connections(const conker_forward *f);
/* Closes the listener and its connections. NULL is fine; returns NULL. */
CONKER_PUBLIC conker_forward *conker_forward_free(conker_forward *f);

/* ---- Files --------------------------------------------------------------------------------------- */

/* Paths in the box are absolute. Every call waits, runs with the rights of `user` (NULL: root), and fails
 * with the errno that the box's kernel gave. A symbolic link in the box's tree is followed inside the box's
 * tree only; nothing that a box sends is ever written outside the host path named (or what that leads to, if it is
 * a symbolic link). */

enum {
	/* Keep owner and group numbers; out of a box: only as root. */
	CONKER_COPY_OWNERS = 1 << 0,
	/* -EEXIST instead of replacing a file. */
	CONKER_COPY_NO_CLOBBER = 1 << 1,
	/* The source, if a symbolic link, is followed. */
	CONKER_COPY_FOLLOW = 1 << 2,
	/* Make missing parents of the destination. */
	CONKER_COPY_PARENTS = 1 << 3,
};

typedef struct conker_copy_opts {
	size_t size;
	uint32_t flags;
	const char *user;
	void (*progress)(uint64_t bytes, const char *path, void *user_data);
	void *progress_data;
	/* What of a directory was left out although the copy is complete, one line; once, at the end. May be NULL. */
	void (*note)(const char *text, void *user_data);
	void *note_data;
} conker_copy_opts;

/* Copies a file or directory as cp -a would: modes, times, symbolic links, hard links, sparseness. An
 * existing directory as destination takes the source in under its own name, as cp does. A file appears under its
 * name, and replaces one that is there, only when it is complete. Files are read up to their end, whatever size they
 * are said to have. What the kernel shows in a directory (mounts of proc, sysfs, devtmpfs and the like) is no file, left
 * out and told by `note`; such a path itself may be copied. -ESTALE: all is copied, but a file became shorter meanwhile
 * and ends in zeros; -EOPNOTSUPP: all but sockets and device nodes is. A destination that is a symbolic link is followed; one that is (or leads
 * to) a device or a FIFO gets the bytes of a single file written into it, and waits for a FIFO's reader. A
 * call that waits for that fails with -EINTR if a signal's handler interrupts it, with -ECANCELED once
 * something was written. */
CONKER_PUBLIC int conker_copy_in(conker_box *b, const char *host_path, const char *box_path,
				 const conker_copy_opts *opts);
CONKER_PUBLIC int conker_copy_out(conker_box *b, const char *box_path, const char *host_path,
				  const conker_copy_opts *opts);
/* A tar stream from or to a descriptor of the caller, into or of a directory of the box. */
CONKER_PUBLIC int conker_tar_in(conker_box *b, int fd, const char *box_dir,
				const conker_copy_opts *opts);
CONKER_PUBLIC int conker_tar_out(conker_box *b, const char *box_path, int fd,
				 const conker_copy_opts *opts);

typedef struct conker_file_info {
	size_t size;
	/* list: the entry, valid during the callback; stat: as asked, valid until freed. */
	const char *name;
	const char *target; /* of a symbolic link, else "" */
	uint32_t mode;      /* type and permissions, as st_mode */
	uint32_t uid, gid, nlink;
	uint64_t bytes, allocated_bytes;
	int64_t mtime_us;
} conker_file_info;

/* Whole small files. read: at most max_bytes (0: 64 MiB), else -EFBIG; *ret is malloc'd, with a NUL after
 * its end. write: replaces atomically, what a symbolic link leads to likewise; mode 0: 0644, or that of the
 * file replaced; a device or a FIFO is written into, and keeps its mode. */
CONKER_PUBLIC int conker_file_read(conker_box *b, const char *path, const char *user,
				   size_t max_bytes, char **ret, size_t *ret_len);
CONKER_PUBLIC int conker_file_write(conker_box *b, const char *path, const char *user,
				    const void *buf, size_t len, uint32_t mode);
/* One file; of a symbolic link the link itself. *ret, set only on success, is the caller's: conker_file_info_free(). */
CONKER_PUBLIC int conker_file_stat(conker_box *b, const char *path, const char *user,
				   conker_file_info **ret);
/* NULL is fine; returns NULL. */
CONKER_PUBLIC conker_file_info *conker_file_info_free(conker_file_info *f);
/* The entries of a directory but . and .., in its own order; fn returns non-zero to stop (and the call returns that). */
CONKER_PUBLIC int conker_file_list(conker_box *b, const char *dir, const char *user,
				   int (*fn)(const conker_file_info *f, void *data), void *data);

enum {
	/* remove: directories with all in them; mkdir: parents too. */
	CONKER_FILE_RECURSIVE = 1 << 0,
};
/* mkdir: mode 0 is 0755. */
CONKER_PUBLIC int conker_file_remove(conker_box *b, const char *path, const char *user,
				     uint32_t flags);
CONKER_PUBLIC int conker_file_mkdir(conker_box *b, const char *path, const char *user,
				    uint32_t mode, uint32_t flags);
CONKER_PUBLIC int conker_file_rename(conker_box *b, const char *from, const char *to,
				     const char *user);

enum conker_change {
	CONKER_CREATED = 1,
	/* Was written and closed, or its attributes changed. */
	CONKER_MODIFIED,
	CONKER_REMOVED,
	CONKER_MOVED_FROM,
	CONKER_MOVED_TO,
	/* Changes were lost: look again. */
	CONKER_OVERFLOW,
};
typedef int conker_watch_fn(enum conker_change what, const char *name, void *data);

/* Watches a directory (not what is below it) or a file; fn returns non-zero to end it, which the call
 * returns. -ETIMEDOUT after timeout_ms without the end. -ENOENT once the path itself is
 * gone. `ready` (may be NULL) runs once watching has begun. */
CONKER_PUBLIC int conker_file_watch(conker_box *b, const char *path, const char *user,
				    int timeout_ms, void (*ready)(void *data), conker_watch_fn *fn,
				    void *data);

/* ---- Images ------------------------------------------------------------------------------------ */

/* An image is a read-only root file system and what it says of itself: which command it is for, as whom, where. It has
 * any number of names. A local name is one of conker_image_import() or conker_image_tag(): as a box's name, so without
 * '/', ':' and '@'. A reference is what Docker understands: "python:3.12-slim", "ghcr.io/a/b@sha256:...",
 * "localhost:5000/x"; whole, it is "docker.io/library/python:3.12-slim". An `image` of these calls and of
 * conker_box_opts is a local name, exactly as given; else the built-in "base"; else a reference that is here. No other
 * call than conker_image_pull() asks a registry. */

enum conker_image_step {
	/* Asking the registry. No figures. */
	CONKER_IMAGE_RESOLVE = 0,
	/* Bytes here, of the manifest's sum. */
	CONKER_IMAGE_FETCH,
	/* Bytes of the layers read, as they are compressed; `layer` of `layers`. Total 0: not known before. */
	CONKER_IMAGE_UNPACK,
	/* Writing to disk. No figures. */
	CONKER_IMAGE_PUBLISH,
};

typedef struct conker_image_progress {
	size_t size; /* the library's */
	const char *name;
	enum conker_image_step step;
	uint32_t layer, layers; /* from 1 */
	uint64_t done_bytes, total_bytes;
} conker_image_progress;

typedef struct conker_image_opts {
	size_t size;
	/* NULL: linux/amd64. "OS/ARCH[/VARIANT]". An image of another one is refused, -ENOEXEC. */
	const char *platform;
	/* NULL: what docker's and podman's files have for the registry. "USER:PASSWORD". */
	const char *creds;
	/* Of an archive with several images: the one with this name. */
	const char *ref;
	/* NULL, or told in the calling thread, at least five times a second while the call waits. Not 0: the call ends with
	 * -ECANCELED. It may not call the library. */
	int (*progress)(const conker_image_progress *p, void *user);
	void *user;
} conker_image_opts;

/* What is listed. Strings live as long as the call of fn, or until conker_image_free(). */
typedef struct conker_image {
	size_t size;
	const char *name; /* "": none is left, but something uses it */
	const char *id;   /* 64 hex digits, of its content; "": of the former version, one file */
	/* Of the registry's manifest, 64 hex digits; "": it came from a file. */
	const char *digest;
	const char *platform;
	int64_t created_s; /* here */
	/* What it takes on disk; and of that what other images have too. */
	uint64_t bytes, shared_bytes;
	uint32_t layers, names, users; /* users: boxes, snapshots, templates */
	/* What it says of itself; lists end with NULL and are never NULL. "": nothing said. */
	const char *const *entrypoint, *const *cmd, *const *env, *const *ports, *const *labels;
	/* What no box heeds: "volume /data", "healthcheck". */
	const char *const *ignored;
	const char *workdir, *user, *stop_signal;
} conker_image;

/* Fetches what ref names, with skopeo, and makes it an image of that name, in place of one that was here. What is here
 * already is not fetched or unpacked again. An interrupted call leaves the whole layers, and the next one goes on.
 * opts may be NULL. -ENOENT no such image, or skopeo is not installed; -EACCES credentials; -ENOSPC also before the first byte if
 * the manifest's sum does not fit, or is above CONKER_IMAGES_MAX of the environment (bytes, K, M, G); -ENOEXEC no such
 * platform; -EINTR a signal handler ran; -ECANCELED; -EBADMSG the registry's bytes are not what their digests say. */
CONKER_PUBLIC int conker_image_pull(const char *ref, const conker_image_opts *opts);

/* Makes a directory, an archive (tar of a root file system, OCI layout as directory or tar, what docker save and podman save
 * write; compressed or not; "-": standard input) the image of a local name, in place of one that was there once it is
 * complete. What it is its content tells. -EBADMSG damaged, -E2BIG above a bound, -ENOEXEC another platform, and as above.
 * opts may be NULL. What fails leaves nothing behind. */
CONKER_PUBLIC int conker_image_import(const char *name, const char *path,
				      const conker_image_opts *opts);

/* One more local name for an image. */
CONKER_PUBLIC int conker_image_tag(const char *image, const char *name);

/* Takes the name away; and the image with what it alone has, when that was the last one and nothing uses it. One that
 * is used stays for its users, nameless: 1, else 0. */
CONKER_PUBLIC int conker_image_remove(const char *name);

/* Each name of each image, sorted; those without a name last. fn returns non-zero to stop (and the call returns that). */
CONKER_PUBLIC int conker_image_list(int (*fn)(const conker_image *i, void *user), void *user);

/* One, with all that it says of itself. *ret is to be freed. */
CONKER_PUBLIC int conker_image_inspect(const char *image, conker_image **ret);
CONKER_PUBLIC conker_image *conker_image_free(conker_image *i);

/* Whether image is here: 1, or 0 and ret has the reference that conker_image_pull() would get. -EINVAL: it cannot be
 * any image's. */
CONKER_PUBLIC int conker_image_resolve(const char *image, char ret[256]);

typedef struct conker_image_usage {
	size_t size;
	uint64_t images, images_bytes; /* with a name or a user, their layers counted once */
	uint64_t unused_bytes;         /* of images without both, and of layers of none */
	uint64_t blobs_bytes; /* as they came from registries; needed by nothing but a pull */
} conker_image_usage;
CONKER_PUBLIC int conker_image_usage_get(conker_image_usage *ret);

enum {
	/* Also images that have a name but no user. */
	CONKER_PRUNE_ALL = 1 << 0,
};
/* Removes compressed blobs, then what conker_image_usage.unused_bytes counts; nothing younger than older_s seconds.
 * *ret_bytes, which may be NULL: what was freed. */
CONKER_PUBLIC int conker_image_prune(uint32_t flags, int64_t older_s, uint64_t *ret_bytes);

/* ---- The host ---------------------------------------------------------------------------------- */

enum conker_check {
	CONKER_CHECK_OK,
	CONKER_CHECK_SLOW,
	/* No boxes without it. */
	CONKER_CHECK_MISSING,
	/* A layer of isolation that is not there, or something that weakens it. */
	CONKER_CHECK_WEAK,
};

/* What this host can do, check by check: what was looked at, what was found, what to do about it
 * ("" when nothing). Returns the number of checks that are MISSING. */
CONKER_PUBLIC int conker_doctor(void (*fn)(enum conker_check verdict, const char *what,
					   const char *found, const char *advice, void *user),
				void *user);

#ifdef __cplusplus
}
#endif

#endif
