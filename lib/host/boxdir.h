/* SPDX-License-Identifier: Apache-2.0 */
/* boxdir.h - a box as a directory: what its VMM says there, who is alive, the limits that the host sets. */
#ifndef LIB_HOST_BOXDIR_H
#define LIB_HOST_BOXDIR_H

#include "lib/host/api.h"

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

/* ---- boxdir.c: its sockets ------------------------------------------------------------------------- */

/* The one of that name in the box's directory; through /proc, because a path may be longer than a socket's address.
 * A new descriptor, connected or listening; or -errno. */
must_check int boxdir_connect(int dir, const char *name, int type);
must_check int boxdir_listen(int dir, const char *name, int type);

/* ---- registry.c: the directories ------------------------------------------------------------------ */

enum liveness {
	BOX_OVER,     /* nobody holds it */
	BOX_STARTING, /* its starter does, there is no VMM (yet, or any more) */
	BOX_RUNS,     /* its VMM holds the lock */
};

struct meta { /* the file `box` */
	char name[NAME_BYTES], id[ID_BYTES], image[IMAGE_BYTES], from[256];
	uint32_t memory_mib, cpus, flags;
	uint32_t idle_suspend_ms; /* 0: it does not suspend itself */
	uint32_t idle_timeout_ms, max_life_ms;
	int64_t created_s;
};

struct birth {
	int dir;     /* the new box's directory */
	int starter; /* flock'd: the starter lives */
};

/* Says of the box in dir, which has that name, that it has it: -EEXIST. */
typedef int name_taken_fn(int dir, const char *name, struct err *e);
/* Makes the directory of a box; on success the box is STARTING and no sweeper touches it. */
must_check int registry_birth(struct meta *m, name_taken_fn *taken, struct birth *ret,
			      struct err *e);
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

/* ---- storage.c: what a box keeps on disk [dir: the box's] ------------------------------------------- */

/* Its directory there, made when it has none yet; a new descriptor. */
must_check int storage_make(int dir, const char *id, struct err *e);
/* The same if there is one; -ENOENT. */
must_check int storage_open(int dir);
/* Its path. */
must_check int storage_path(int dir, char *ret, size_t size);
/* Removes it and all in it; only if nothing is in it. */
void storage_remove(int dir);
void storage_remove_empty(int dir);
/* [storage: what storage_open() returned] 1: there is a file of that name, not empty; 0; -errno. */
must_check int storage_has(int storage, const char *name);
/* Whether there is something to go on with; what cannot be told is so. */
int storage_is_suspended(int dir);

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

#endif
