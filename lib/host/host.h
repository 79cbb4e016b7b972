/* SPDX-License-Identifier: Apache-2.0 */
/* host.h - places, processes and tools of the host. */
#ifndef LIB_HOST_HOST_H
#define LIB_HOST_HOST_H

#include <dirent.h>

#include "lib/host/api.h"

/* ---- place.c: where things are ------------------------------------------------------------------- */

must_check int place_boxes(struct err *e);  /* directory of boxes, made when missing; a new fd */
must_check int place_images(struct err *e); /* likewise of images */
/* Likewise what boxes keep on disk, in the directory sub of it, whose path is *ret; and of the cache. */
must_check int place_state(const char *sub, char *ret, size_t size, struct err *e);
must_check int place_cache_path(const char *sub, char *ret, size_t size, struct err *e);
must_check int place_cache(const char *sub, struct err *e);
must_check int place_vmm(char *ret, size_t size, struct err *e);           /* path of conker-vmm */
must_check int place_image_program(char *ret, size_t size, struct err *e); /* of conker-image */
must_check int place_guest(const char *file, struct err *e);               /* opened artefact */
must_check int place_guest_path(const char *file, char *ret, size_t size, struct err *e);

/* ---- dir.c: directories and small files -------------------------------------------------------------- */

/* NULL: errno says why. auto_dir closes it. */
DIR *dir_stream(int at, const char *name);
void dir_closep(DIR *const *d);
#define auto_dir cleanup_(dir_closep) DIR
/* Takes the directory's lock until the returned fd (a directory) is closed. */
must_check int dir_lock(int dir, struct err *e);
/* The beginning of a small file as a string without its last newline; "" when it cannot be read. */
const char *dir_slurp(int at, const char *file, char *buf, size_t size);
/* Removes the files of these names, up to NULL. 0, or -errno of the first that stays. */
int dir_unlink(int dir, const char *const *files);
/* What the files of these names, up to NULL, take on disk, and when the last was changed, unless NULL. */
uint64_t dir_disk_bytes(int dir, const char *const *files, int64_t *ret_changed_s);
/* Where the file behind fd is; "" when that cannot be told. */
int fd_path(int fd, char *ret, size_t size);
/* Removes a directory and all below it, whatever the names. */
int tree_remove(int parent, const char *name);

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
void isolation_check(struct doctor *d);
/* The rest of the report's first line that begins with the words key: 1, or 0 when there is none. */
int isolation_find(const char *report, const char *key, char *ret, size_t size);

#endif
