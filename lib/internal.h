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
#include "util/clean.h"
#include "util/err.h"
#include "util/util.h"

enum {
	BOX_DESCRIPTORS =
		64,      /* that to make, open or import one may take, at most: said in conker.h */
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
/* What kind of failure the error of this call is, for conker_errkind(). Returns r. */
int api_kind(enum conker_errkind kind, const char *step, int r);
/* Says of an -EMFILE which limit is short, and what is needed. Returns r. */
int api_descriptors(int r, struct err *e);
void api_callback_begin(void);
void api_callback_end(void);
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
/* Likewise what boxes keep on disk, in the directory sub of it, whose path is *ret; and of the cache. */
must_check int place_state(const char *sub, char *ret, size_t size, struct err *e);
must_check int place_cache_path(const char *sub, char *ret, size_t size, struct err *e);
must_check int place_cache(const char *sub, struct err *e);
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
	int dir;    /* of a tool: where it works, or -1 */
	int cgroup; /* of a VMM: the directory of the cgroup it is born in, or -1 */
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
	uint64_t life_ms; /* 0, or what was left of its life when it was suspended */
	int started, ready, over, stopping;
	enum conker_box_state end; /* when over */
	int error;                 /* positive errno of `failed`, else 0 */
	char detail[REASON_BYTES];
	char unsuspended[REASON_BYTES]; /* why it could not suspend itself the last time; "" */
	char unjailed[REASON_BYTES];    /* what the jail lacks: "LAYER (REASON), LAYER (REASON)" */
};

struct line_buf {
	size_t len;
	char buf[LINE_MAX_BYTES];
};

void events_line(struct vm_events *v, char *line);
/* Cuts bytes into lines and applies each; an overlong line is cut short. */
void events_feed(struct vm_events *v, struct line_buf *lb, const char *buf, size_t len);
/* The state file of the box in dirfd, from the beginning; as far as it can be read on failure. */
int events_load(struct vm_events *v, int dirfd);
/* "the guest powered off", ...; takes the panic message from the console in dirfd. */
void events_reason(const struct vm_events *v, int dirfd, char *ret, size_t size);

/* ---- console.c: the end of the console ------------------------------------------------------------ */

/* What a reason begins with when init told it: then the call trace of its end tells nothing more. */
#define INIT_GAVE_UP "its init gave up: "
/* The last lines, newest last, joined with " | ", at most size bytes; "" when there are none. */
void console_tail(int dirfd, char *ret, size_t size);
/* The line that says why the kernel panicked; else the last line. 1: its init ended, and these are init's words. */
int console_panic(int dirfd, char *ret, size_t size);
/* Why init powered the box off by itself, if it did: "the box was idle for 30.0 s"; else "". */
void console_farewell(int dirfd, char *ret, size_t size);

/* ---- registry.c: the directories ------------------------------------------------------------------ */

enum liveness {
	BOX_OVER,     /* nobody holds it */
	BOX_STARTING, /* its starter does, there is no VMM (yet, or any more) */
	BOX_RUNS,     /* its VMM holds the lock */
};

struct meta { /* the file `box` */
	char name[NAME_BYTES], id[ID_BYTES], image[NAME_BYTES], from[256];
	uint32_t memory_mib, cpus, flags;
	uint32_t idle_suspend_ms; /* 0: it does not suspend itself */
	uint32_t idle_timeout_ms, max_life_ms;
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
/* A liveness, or -errno: it cannot be told. */
must_check int registry_liveness(int dir, pid_t *ret_vmm);
/* The same. One that is BOX_OVER stays so, and is resumed by nobody, until registry_release(): a lock (auto_hold), which
 * is for short. */
must_check int registry_hold(int dir, pid_t *ret_vmm, int *ret_held);
void registry_release(const int *held);
#define auto_hold cleanup_(registry_release)
/* Opens a box's directory by name or id; -ENOENT. */
must_check int registry_open(const char *name, struct meta *ret, struct err *e);
/* Whether its VMM is writing the machine to disk, and therefore answers nobody. */
must_check int registry_is_writing(int dir);
/* Waits until nobody is just starting or resuming it. -EINTR */
must_check int registry_await_starter(int dir);
/* A pidfd of the process that holds the VMM's lock; -ESRCH: there is none. */
must_check int registry_vmm(int dir);
/* Kills whoever holds the VMM's lock and waits. 0, -ETIMEDOUT, or why it cannot be told who that is. */
must_check int registry_kill(int dir);
/* 0 or -errno: something of it is still there; a sweep takes it when nobody holds it any more. */
int registry_remove(const char *name, int dir);
/* Removes what dead starters left, then names of all boxes, sorted; *ret is an array of n names. */
must_check int registry_names(char (**ret)[NAME_BYTES], size_t *ret_n, struct err *e);
must_check int meta_load(int dir, struct meta *ret);
/* -errno: whether the box lives cannot be told; it is then filled as if it does. */
must_check int info_fill(conker_box_info *ret, const struct meta *m, const struct vm_events *v,
			 int dir);

/* ---- cgroup.c: the host's limits for a box's VMM ---------------------------------------------------- */

enum { CGROUP_BYTES = 512 }; /* a path, or why there is none */

/* The cgroup in which boxes get theirs, ready for it, and its path; or -errno with the reason why there is none. */
must_check int cgroup_parent(char ret_path[CGROUP_BYTES], struct err *e);
/* One for the box in the directory dir, with its limits set: a descriptor for struct spawn; or -errno, and then
 * cgroup_describe() tells why the box has to live without. */
must_check int cgroup_make(int dir, const struct meta *m);
/* There is none after all, because of that; removes it. */
void cgroup_none(int dir, const char *reason);
/* Its path, or "none: REASON"; "" for a box that is too young. */
void cgroup_describe(int dir, char *ret, size_t size);
/* Ends what is in it, and removes it. */
void cgroup_remove(int dir);

/* ---- cmdline.c, artefact.c, launch.c: starting a VMM ---------------------------------------------- */

/* Uses of o: idle_timeout_ms, idle_suspend_ms, max_life_ms, cmdline_append. */
must_check int cmdline_compose(char *ret, size_t size, const char *hostname,
			       const conker_box_opts *o, struct err *e);

enum { DISKS_MAX = 15 }; /* beside the image */

struct manifest;

struct artefacts {
	int kernel, initrd; /* of a box that boots ... */
	int state, memory;  /* ... and of one that goes on from a snapshot; the others are -1 */
	int suspended;      /* the box's own, it was suspended; else it is a new one */
	int suspend[2];     /* state and memory of a box that suspends itself, or -1 */
	int ndisks;
	int disk[DISKS_MAX + 1], ro[DISKS_MAX + 1]; /* disk[0] is the image */
	char vmm[4096], from[256];                  /* from: the snapshot, for people */
	int snapshot;                               /* its directory, or -1 */
	uint64_t template_us;                       /* of the template that had to be made, or 0 */
	struct manifest *m; /* what all this is (snapshot.h); its strings lie in text */
	char *text, *paths; /* paths: of a clone's own disks */
};

/* Comes first: nothing is open yet, *m is empty. Ends with artefacts_close(), also on failure. */
must_check int artefacts_init(struct artefacts *a, struct err *e);
/* Opens everything that a box with these options needs to boot. */
must_check int artefacts_open(struct artefacts *a, const conker_box_opts *o, struct err *e);
void artefacts_close(struct artefacts *a);
/* disk.c: no other box writes its disks, or reads one that it writes, for as long as any process has these
 * descriptors. -EBUSY, with who it is; -EINVAL: two of them are one. */
must_check int disks_lock(const struct artefacts *a, struct err *e);
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

/* ---- exec.c, start.c, view.c, flow.c, input.c, lines.c: executions -------------------------------------- */

enum exec_fate { FATE_NONE, FATE_EXIT, FATE_LOST, FATE_DETACHED };

enum {
	LINE_BYTES = 64 << 10,        /* a longer line comes in pieces */
	INPUT_QUEUE_BYTES = 64 << 20, /* conker_exec_write_all() refuses more */
};

struct input_block { /* one conker_exec_write_all() */
	struct input_block *next;
	uint64_t end; /* offset in stdin behind its last byte, once all of it was sent */
	size_t len, sent;
	uint8_t data[];
};

/* Bytes of stdin: queued here, sent to the guest, taken by the process. */
struct input {
	uint64_t credit;                   /* the guest takes this many more */
	uint64_t sent, taken;              /* ever */
	struct input_block *first, **last; /* not complete, oldest first */
	size_t queued_bytes;               /* of blocks, not sent yet */
	uint64_t tickets, completed;       /* given out; complete, in whatever way */
	uint64_t failed;                   /* the first ticket that failed; 0: none */
	int error;           /* why, and what a write says from now on: EPIPE or ESRCH */
	int held;            /* nothing is sent before Started says what may be */
	int closed, eof_due; /* by the user; EOF waits for the queue */
	int want_write, writable_due;
	uint64_t told; /* WRITTEN was delivered up to this ticket */
};

struct line { /* the beginning of a line that has no end yet */
	uint8_t *buf;
	size_t len;
	uint64_t offset, time_us;
};

struct conker_exec {
	struct chan chan; /* holds a reference while in the table */
	conker_box *box;
	unsigned refs; /* the handle, the table, the ready list, a callback, a call that waits */
	conker_exec_cb cb;
	int cb_running, cb_freed;
	uint32_t flags, window;
	int freed;   /* the handle is gone; its output is taken and dropped */
	int builtin; /* runs a program of init's own */
	int started, existing;
	int view;            /* by conker_exec_attach() */
	int owner;           /* freeing the handle kills it */
	int detaching;       /* Detach was sent */
	enum exec_fate fate; /* how it ended ... */
	int told;            /* ... that fn was told, and is not called again ... */
	int done;            /* ... and that free was called, too: those who wait may go */
	uint64_t id;
	struct conker_exec *ready_next;
	int ready_queued;

	/* Output per stream, [0] stdout: what came, what the user has, what the guest knows of that. */
	uint64_t received[2], taken[2], credited[2];
	uint64_t next[2]; /* offset that the next byte should have */
	int placed[2];    /* next is known */
	int takes[2];     /* the stream is wanted and exists */
	struct line line[2];
	uint64_t event_offset, event_time_us; /* of the output being delivered */
	struct input in;

	conker_status status;
	enum conker_errkind kind;
	int error;
	char step[STEP_BYTES], text[TEXT_BYTES];
};

void exec_ref(conker_exec *x); /* [locked] */
/* May drop the box's last reference: box_unlock() sees. [locked] */
void exec_unref(conker_exec *x);
/* Runs fn with the lock released. [locked][leader] */
void exec_call(conker_exec *e, enum conker_event ev, const conker_event_data *data);
/* Ends the conversation without an Exit. [locked] */
void exec_lose(conker_exec *e, enum conker_errkind kind, int code, const char *step,
	       const char *text);
/* A new execution's structure with the channel still closed; NULL: no memory. */
conker_exec *exec_new(conker_box *b, const conker_exec_cb *cb, uint32_t flags, uint32_t window);
/* Opens its channel with m, and hands it out. On failure it is freed. [locked] */
must_check int exec_open(conker_exec *x, Conker__ClientMsg *m, conker_exec **ret);
void exec_queue(conker_exec *e);    /* [locked] */
void exec_run_ready(conker_box *b); /* [locked][leader] */
/* One message for an execution. 0 or -EPROTO with *ret_why. [locked][leader] */
must_check int exec_on_msg(conker_exec *e, const Conker__ServerMsg *m, const char **ret_why);
must_check int flow_on_output(conker_exec *e, const Conker__Output *o, const char **ret_why);
must_check int flow_on_exit(conker_exec *e, const Conker__Exit *x, const char **ret_why);
void flow_credit(conker_exec *e); /* [locked] tells the guest what was taken, when it is worth it */
/* The guest took bytes of stdin, or will take none any more. 0 or -EPROTO. [locked][leader] */
must_check int input_on_credit(conker_exec *e, const Conker__Credit *c, const char **ret_why);
void input_on_started(conker_exec *e, const Conker__Started *s); /* [locked][leader] */
void input_pump(conker_exec *e); /* [locked] sends what is queued, queues WRITABLE when it is due */
void input_end(conker_exec *e, int error); /* [locked] nothing will be taken any more */
void input_tell(conker_exec *e);           /* [locked][leader] WRITTEN for what is complete */
void input_free(struct input *in);
/* Delivers output, cut into lines if that was asked for. [locked][leader] */
void lines_put(conker_exec *e, int i, const uint8_t *data, size_t len);
void lines_end(conker_exec *e, int i); /* what lacks its newline */
void flow_on_drain(conker_box *b);     /* [locked] the outgoing buffer has room again */
must_check int signal_check(int signo, int scope, struct err *e);
must_check int exec_signal(conker_exec *e, int signo, int scope, size_t limit); /* [locked] */

/* As conker_exec_start(), of a program of init's own (proto/files.h). On failure cb->free was not called. */
must_check int exec_start_builtin(conker_box *b, const conker_exec_opts *opts,
				  const conker_exec_cb *cb, conker_exec **ret, struct err *e);

/* ---- stream.c, files.c, copy.c: files of the box ---------------------------------------------------------- */

struct stream; /* the program of proto/files.h at work, for one call that waits */

enum { STREAM_INPUT = 1 << 0 /* it reads stdin */ };

/* argv: what follows FILES_PROGRAM, NULL-terminated. */
must_check int stream_open(conker_box *b, const char *const *argv, const char *user, int flags,
			   struct stream **ret, struct err *e);
/* Its next output: bytes, 0 at its end, -ETIMEDOUT (timeout_ms >= 0), -EINTR. */
must_check ssize_t stream_read(struct stream *s, void *buf, size_t len, int timeout_ms);
/* All of it as its input. 0, -EPIPE: it takes no more, and stream_finish() says why; -EINTR. */
must_check int stream_write(struct stream *s, const void *buf, size_t len);
/* Waits until fd can be read without blocking: 0; -EPIPE: it has ended; -EINTR. */
must_check int stream_await_fd(struct stream *s, int fd);
/* No more input; drops what it still says and waits for its end. 0, or why it failed, with message. */
must_check int stream_finish(struct stream *s, struct err *e);
/* The first line of what it said on its stderr; also of one that ended well. */
void stream_said(const struct stream *s, char ret[TEXT_BYTES]);
/* Ends it, letting it clean up if it still runs. NULL is fine; returns NULL. */
struct stream *stream_free(struct stream *s);

/* Begins every call of a box's files: 0, or what is wrong with the call. */
must_check int files_enter(conker_box *b, const char *path, struct err **ret_e);
/* Ends it: r, with the message of a local error as this thread's. */
must_check int files_leave(struct err *to, int r, struct err *from);

/* ---- forward.c: connections to TCP ports of the box ------------------------------------------------------ */

void forward_on_events(conker_box *b, uint32_t number); /* [leader] */

/* ---- request.c: question and answer ------------------------------------------------------------------ */

struct listing {
	struct listing *next;
	conker_exec_info info;
};

struct request {
	struct chan chan;
	int done, error;    /* error: positive errno */
	uint32_t host_port; /* of Freeze */
	char text[TEXT_BYTES];
	struct listing *list, **tail; /* of List */
	size_t list_bytes;
	conker_box_stats *stats; /* of Stats */
};

/* Fills the wire's reference from a user's, and points into it. -EINVAL: not one of the three, or no execution can have
 * such a name or key. */
must_check int ref_of(Conker__ExecRef *ret, const conker_exec_ref *ref, struct err *e);
/* Leaves the execution alone from now on. [locked] */
must_check int view_detach(conker_exec *e, size_t limit);
void usage_of(conker_usage *ret, const Conker__Usage *u);
void status_of(conker_status *ret, const Conker__Exit *x);

must_check int request_on_msg(struct request *q, const Conker__ServerMsg *m, const char **ret_why);
/* Sends m on a channel of its own and waits for the answer. [locked] */
must_check int request_run(conker_box *b, struct request *q, Conker__ClientMsg *m, int timeout_ms,
			   struct err *e);
void request_fini(struct request *q);

/* ---- freeze.c: around a snapshot -------------------------------------------------------------------------- */

/* Stops the box's processes until box_thaw() on the same handle; if its connection is lost, for five seconds more.
 * *ret_port, unless NULL: the host's vsock port of its connection, 0 if unknown. While it is frozen a start by
 * another handle waits, and one by this handle fails with EBUSY. -EBUSY: frozen already. */
must_check int box_freeze(conker_box *b, uint32_t *ret_port, struct err *e);
/* -EINVAL: not frozen (any more); -EPERM: by another connection. */
must_check int box_thaw(conker_box *b, struct err *e);
/* 1: it is not frozen, and has just been used; 0: it is, by somebody else. -ETIMEDOUT: its guest does not answer, or its
 * VMM is writing its memory; -errno. */
must_check int box_is_awake(conker_box *b, int timeout_ms, struct err *e);
/* To be called once, first, on a box restored from a snapshot: gives it the time of day, the handle's box name as
 * hostname and a new generation, and lets its processes run. The executions that had clients are detached. A new box
 * gets the life and idle times in o; NULL: it is the one it was, and keeps its own. -EINVAL: it is not frozen. */
must_check int box_resume(conker_box *b, const conker_box_opts *o, struct err *e);
/* The same without waiting for the answer: what is sent next is handled right behind it. */
must_check int box_resume_send(conker_box *b, const conker_box_opts *o, struct err *e);

/* ---- doctor.c, isolation.c: what this host can do ------------------------------------------------------ */

typedef void doctor_fn(enum conker_check verdict, const char *what, const char *found,
		       const char *advice, void *user);

struct doctor {
	doctor_fn *fn;
	void *user;
	int missing;
};

/* One check's outcome. The advice counts only when the verdict is not OK. */
void doctor_say(struct doctor *d, enum conker_check verdict, const char *what, const char *found,
		const char *advice);
/* The beginning of a small file as a string without its last newline; "" when it cannot be read. */
const char *doctor_slurp(const char *path, char *buf, size_t size);
void isolation_check(struct doctor *d);
/* The rest of the report's first line that begins with the words key: 1, or 0 when there is none. */
int isolation_find(const char *report, const char *key, char *ret, size_t size);

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
