/* internal.h - the library on one page, file by file, lowest first.
 *
 * A box handle is one mutex, one epoll descriptor and one connection to guest-init. Whoever waits
 * becomes the *leader*: the only thread that reads, and the only one that runs callbacks; the others
 * wait on a condition until it leaves and one of them takes over (wait.c). The mutex is held for
 * bookkeeping only, never while waiting and never while a callback runs. Sending needs the mutex, not
 * the leadership: what the socket does not take at once lies in a bounded buffer (wire.c).
 *
 * Lock order: box->lock is the only lock and a leaf. The registry's flock is taken without it.
 *
 * Functions marked [locked] want box->lock held, [leader] the leadership.
 */
#ifndef LIB_INTERNAL_H
#define LIB_INTERNAL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/conker.h"
#include "proto/codec.h"
#include "util/err.h"
#include "util/util.h"

enum {
	NAME_BYTES = 64, /* a box's or image's name with its NUL */
	ID_BYTES = 16,   /* 12 hex digits and a NUL, rounded */
	REASON_BYTES = 256,
	TEXT_BYTES = 320, /* a failure's one line */
	STEP_BYTES = 32,
	LINE_MAX_BYTES = 512, /* longest event line that is understood */
};

/* ---- error.c: the message of this thread --------------------------------------------------------- */

/* To be called first by every public function: forgets the old message and returns where to put the
 * new one. */
struct err *api_enter(void);
/* A call that waits: -EDEADLK when inside a callback. */
must_check int api_may_wait(struct err *e);
void api_callback_begin(void);
void api_callback_end(void);
/* Makes bytes of the guest fit for a one-line message: control characters become '?'. */
void text_clean(char *s);
int64_t now_ms(void);

/* ---- opts.c: structures that grow ---------------------------------------------------------------- */

/* Reads a caller's structure that starts with its size into ours of the given size, zeroing what the
 * caller does not know. -EINVAL without a size; -E2BIG when a field that we do not know is set. */
must_check int opts_in(void *ret, size_t ret_size, const void *caller, struct err *e);
/* The other way: fills as much as the caller has room for, keeping its size field. */
void opts_out(void *caller, const void *ours, size_t ours_size);
must_check int name_check(const char *what, const char *name, struct err *e);

/* ---- place.c: where things are ------------------------------------------------------------------- */

must_check int place_boxes(struct err *e);  /* directory of boxes, made when missing; a new fd */
must_check int place_images(struct err *e); /* likewise of images */
must_check int place_vmm(char *ret, size_t size, struct err *e); /* path of conker-vmm */
must_check int place_guest(const char *file, struct err *e);     /* opened artefact */
must_check int place_guest_path(const char *file, char *ret, size_t size, struct err *e);

/* ---- spawn.c: processes that the caller's wait() never meets ------------------------------------- */

enum {
	SPAWN_TOOL =
		1 << 0, /* dies with us, leads a process group, is to be reaped; else: on its own */
};

struct spawn {
	const char *path; /* without '/': looked up in /usr/sbin, /usr/bin, /sbin, /bin */
	char *const *argv, *const *env;
	const int *fds; /* fds[i] becomes the child's descriptor i; it gets no others */
	int nfds;
	int flags;
	int dir; /* of a tool: where it works, or -1 */
};

/* With *ret_pidfd to poll and to signal it by. A tool's process group; or -errno, for what is no tool
 * that of exec included. */
must_check int spawn_start(const struct spawn *s, int *ret_pidfd);
/* A file for a child's standard error: in memory, small, and sealed, so that a child gone bad can fill
 * nothing; and its first line, fit for a message. */
must_check int spawn_stderr(void);
void spawn_complaint(int fd, char *ret, size_t size);
/* Waits for a tool and reaps it: its exit status, or 128 + signal. */
int spawn_reap(int pidfd);
/* Waits until the process behind pidfd (anyone's child) has ended. 0, -ETIMEDOUT, -EINTR. */
int pidfd_wait(int pidfd, int timeout_ms);
int pidfd_of(pid_t pid);
int pidfd_kill(int pidfd, int signo);

/* ---- events.c: what the VMM says ------------------------------------------------------------------ */

struct vm_events {
	uint64_t setup_us, boot_us;
	int started, ready, over, stopping;
	enum conker_box_state end; /* when over */
	int error;                 /* positive errno of `failed`, else 0 */
	char detail[REASON_BYTES];
};

struct line_buf {
	size_t len;
	char buf[LINE_MAX_BYTES];
};

void events_line(struct vm_events *v, char *line);
/* Cuts bytes into lines and applies each; an overlong line is cut short. */
void events_feed(struct vm_events *v, struct line_buf *lb, const char *buf, size_t len);
/* The state file of the box in dirfd, from the beginning. */
void events_load(struct vm_events *v, int dirfd);
/* "the guest powered off", ...; takes the panic message from the console in dirfd. */
void events_reason(const struct vm_events *v, int dirfd, char *ret, size_t size);

/* ---- console.c: the end of the console ------------------------------------------------------------ */

/* The last lines, newest last, joined with " | ", at most size bytes; "" when there are none. */
void console_tail(int dirfd, char *ret, size_t size);
/* The line that says why the kernel panicked; else the last line. */
void console_panic(int dirfd, char *ret, size_t size);

/* ---- registry.c: the directories ------------------------------------------------------------------ */

enum liveness {
	BOX_OVER,     /* nobody holds it */
	BOX_STARTING, /* its starter does, there is no VMM (yet, or any more) */
	BOX_RUNS,     /* its VMM holds the lock */
};

struct meta { /* the file `box` */
	char name[NAME_BYTES], id[ID_BYTES], image[NAME_BYTES];
	uint32_t memory_mib, cpus, flags;
	int64_t created_s;
};

struct birth {
	int dir;     /* the new box's directory */
	int starter; /* flock'd: the starter lives */
};

/* Takes the registry's lock until the returned fd (a directory) is closed. */
must_check int dir_lock(int dir, struct err *e);
/* Makes the directory of a box; on success the box is STARTING and no sweeper touches it. */
must_check int registry_birth(struct meta *m, struct birth *ret, struct err *e);
enum liveness registry_liveness(int dir, pid_t *ret_vmm);
/* Opens a box's directory by name or id; -ENOENT. */
must_check int registry_open(const char *name, struct meta *ret, struct err *e);
/* A pidfd of the process that holds the VMM's lock, or -ESRCH. */
must_check int registry_vmm(int dir);
/* Kills whoever holds the VMM's lock and waits. 0, or -ETIMEDOUT. */
must_check int registry_kill(int dir);
void registry_remove(const char *name, int dir);
/* Removes what dead starters left, then names of all boxes, sorted; *ret is an array of n names. */
must_check int registry_names(char (**ret)[NAME_BYTES], size_t *ret_n, struct err *e);
must_check int meta_load(int dir, struct meta *ret);
void info_fill(conker_box_info *ret, const struct meta *m, const struct vm_events *v, int dir);

/* ---- cmdline.c, artefact.c, launch.c: starting a VMM ---------------------------------------------- */

must_check int cmdline_compose(char *ret, size_t size, const char *hostname, const char *append,
			       struct err *e);

enum { DISKS_MAX = 15 }; /* beside the image */

struct artefacts {
	int kernel, initrd, ndisks;
	int disk[DISKS_MAX + 1], ro[DISKS_MAX + 1]; /* disk[0] is the image */
	char vmm[4096], image[NAME_BYTES];
};

/* Opens everything that a box with these options needs. Close with artefacts_close(), also on failure. */
must_check int artefacts_open(struct artefacts *a, const conker_box_opts *o, struct err *e);
void artefacts_close(struct artefacts *a);
/* An image's file, checked to be a whole EROFS. */
must_check int image_open(const char *name, char ret_name[NAME_BYTES], struct err *e);
must_check int erofs_check(int fd, const char *what, struct err *e);

struct launched {
	int pidfd, owner,
		stderr_fd; /* the child, our end of the owner socket, what it complained */
};

must_check int launch(const struct artefacts *a, const conker_box_opts *o, const struct meta *m,
		      int dir, struct launched *ret, struct err *e);
void launched_close(struct launched *l);

/* ---- refs.c, box.c, life.c: the handle ---------------------------------------------------------------------------- */

enum chan_kind { CHAN_EXEC, CHAN_REQUEST };

struct chan { /* one conversation; embedded in conker_exec or struct request */
	struct chan *next;
	uint32_t number; /* 0: not in the table */
	enum chan_kind kind;
};

struct out { /* bytes the socket has not taken yet: buf[head..tail) */
	uint8_t *buf;
	size_t head, tail, cap;
};

enum { CHAN_BUCKETS = 64 };

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

	struct line_buf line; /* [leader] */
	struct vm_events events;
	int gone;      /* the VMM has ended */
	int lost;      /* positive errno once nothing can be run any more */
	int lost_told; /* conker_box_dispatch() said so */
	char reason[TEXT_BYTES];
};

enum src { SRC_WAKE, SRC_CONN, SRC_OWNER, SRC_VMM, SRC_GRACE };

/* -ECHILD after fork, -EINVAL for NULL, else 0 with the message cleared. */
must_check int box_enter(const conker_box *b, struct err **ret_e);
must_check int exec_enter(const conker_exec *x, struct err **ret_e);
void box_close_fds(conker_box *b);
conker_box *box_new(struct err *e); /* NULL: with e set, which is required */
must_check int box_watch(conker_box *b, int fd, enum src src, uint32_t events);
/* Unlocks, and frees the memory when nothing refers to it any more. Every unlock is this one. */
void box_unlock(conker_box *b);
/* Nothing can be run any more: every conversation ends. Only the first reason counts. [locked] */
void box_lose(conker_box *b, int code, const char *reason);
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

/* ---- wire.c: frames out and in ---------------------------------------------------------------------- */

enum {
	OUT_DATA_BYTES = 512 << 10,  /* stdin is refused when this much is buffered */
	OUT_START_BYTES = 8 << 20,   /* starts and requests likewise */
	OUT_CONTROL_BYTES = 9 << 20, /* signals, sizes and credit likewise */
};

must_check int wire_connect(conker_box *b, struct err *e);
must_check int wire_begin(conker_box *b); /* says Hello on b->conn, a connected stream socket */
void chan_add(conker_box *b, struct chan *c, enum chan_kind kind); /* [locked] */
void chan_del(conker_box *b, struct chan *c);                      /* [locked] */
struct chan *chan_find(conker_box *b, uint32_t number);            /* [locked] */
size_t wire_room(const conker_box *b, size_t limit); /* [locked] bytes below the limit */
/* Sends or buffers. -EAGAIN: more than limit would be buffered; -ENOMEM; -E2BIG. [locked] */
must_check int wire_send(conker_box *b, const Conker__ClientMsg *m, size_t limit);
void wire_flush(conker_box *b);       /* [locked] */
void wire_on_readable(conker_box *b); /* [leader] */
void wire_stop(conker_box *b);        /* [locked] no byte more in either direction */
void out_free(struct out *o);

/* ---- exec.c, start.c, flow.c: executions ---------------------------------------------------------------------- */

enum exec_fate { FATE_NONE, FATE_EXIT, FATE_LOST };

struct conker_exec {
	struct chan chan; /* holds a reference while in the table */
	conker_box *box;
	unsigned refs; /* the handle, the table, the ready list, a callback, a call that waits */
	conker_exec_cb cb;
	int cb_running, cb_freed;
	uint32_t flags, window;
	int freed; /* the handle is gone; its output is taken and dropped */
	int started;
	enum exec_fate fate; /* how it ended ... */
	int done;            /* ... and that the callback was told */
	uint64_t id;
	struct conker_exec *ready_next;
	int ready_queued;

	/* Output per stream, [0] stdout: what came, what the user has, what the guest knows of that. */
	uint64_t received[2], taken[2], credited[2];
	uint64_t stdin_credit;
	int stdin_closed, want_write, writable_due;

	conker_status status;
	int error;
	char step[STEP_BYTES], text[TEXT_BYTES];
};

void exec_ref(conker_exec *x); /* [locked] */
/* May drop the box's last reference: box_unlock() sees. [locked] */
void exec_unref(conker_exec *x);
/* Runs fn with the lock released. [locked][leader] */
void exec_call(conker_exec *e, enum conker_event ev, const void *data, size_t len);
/* Ends the conversation without an Exit. [locked] */
void exec_lose(conker_exec *e, int code, const char *step, const char *text);
void exec_queue(conker_exec *e);    /* [locked] */
void exec_run_ready(conker_box *b); /* [locked][leader] */
/* One message for an execution. 0 or -EPROTO with *ret_why. [locked][leader] */
must_check int exec_on_msg(conker_exec *e, const Conker__ServerMsg *m, const char **ret_why);
must_check int flow_on_output(conker_exec *e, const Conker__Output *o, const char **ret_why);
void flow_on_credit(conker_exec *e, uint32_t bytes); /* [locked] */
void flow_credit(conker_exec *e); /* [locked] tells the guest what was taken, when it is worth it */
void flow_writable(conker_exec *e); /* [locked] queues WRITABLE when it is due */
void flow_on_drain(conker_box *b);  /* [locked] the outgoing buffer has room again */
must_check int signal_check(int signo, int scope, struct err *e);
must_check int exec_signal(conker_exec *e, int signo, int scope, size_t limit); /* [locked] */

/* ---- request.c: question and answer ------------------------------------------------------------------ */

struct listing {
	struct listing *next;
	conker_exec_info info;
};

struct request {
	struct chan chan;
	int done, error; /* error: positive errno */
	char text[TEXT_BYTES];
	struct listing *list, **tail; /* of List */
	size_t list_bytes;
};

must_check int request_on_msg(struct request *q, const Conker__ServerMsg *m, const char **ret_why);
/* Sends m on a channel of its own and waits for the answer. [locked] */
must_check int request_run(conker_box *b, struct request *q, Conker__ClientMsg *m, int timeout_ms,
			   struct err *e);
void request_fini(struct request *q);

/* ---- tool.c: programs that make images ---------------------------------------------------------------- */

/* Runs a program of the host to its end. It works in the directory dir (or -1), whose descriptor, and any
 * flock on it, it keeps. 0; -ENOENT when it is not installed; -EINTR; or what its complaint amounts to,
 * with it as message. */
must_check int tool_run(const char *const *argv, int dir, struct err *e);
int tool_present(const char *name);
const char *tool_package(const char *name); /* the Debian package that has it */
/* Removes a directory and all below it, whatever the names. */
int tree_remove(int parent, const char *name);

#endif
