/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.h - what a box begins with, and what snapshots are made of, lowest first.
 *
 *	manifest.c  the manifest as text and as a structure: pure
 *	layer.c     files by identity and checksum; this host's identity
 *	suspended.c the files of a suspended box
 *	origin.c    what a box begins with, one that boots
 *	disk.c      disks: one writer or many readers; copies
 *	restore.c   one that goes on: from a directory to what a VMM needs
 *	snapshot.c  taking one
 *	birth.c     from what it begins with to a box that is ready
 *	suspend.c   a box that is its own snapshot
 *	template_list.c, template.c  snapshots that the library makes for itself
 *
 * A manifest is written when a box is born, into its directory: what it is made of can be told exactly then only,
 * when the files are open. A snapshot's is that one, completed.
 */
#ifndef LIB_BOX_SNAPSHOT_H
#define LIB_BOX_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/box/box.h"
#include "lib/host/launch.h"
#include "util/clock.h"
#include "util/sha256.h"

static inline int64_t clock_us(void)
{
	return (int64_t)(clock_now_ns() / 1000);
}

/* ---- manifest.c ------------------------------------------------------------------------------------- */

enum {
	MANIFEST_MAX_BYTES = 256 << 10,
	LAYER_PATH_BYTES = 4096,
	BOOT_BYTES = 40, /* a boot id, 36 characters */
};

/* A file that has these has not been changed; one that has others may have been. */
struct identity {
	uint64_t dev, ino, size_bytes, mtime_ns; /* mtime 0: of a file that was not complete yet */
};

struct layer {
	char *path; /* absolute; without a '/': in the snapshot's directory. NULL: there is none */
	struct identity is;
	char sum[SHA256_TEXT_BYTES]; /* "": not taken */
	int ro;
};

struct manifest {
	char version[32]; /* of conker */
	char name[NAME_BYTES], id[ID_BYTES], image[IMAGE_BYTES];
	char host[16];               /* kind of KVM */
	char cpu[SHA256_TEXT_BYTES]; /* what of its CPUID matters */
	char cpu_name[64];
	char boot[BOOT_BYTES]; /* of the host, when it was written */
	uint64_t memory_mib, cpus, flags, created_s, taken_s;
	uint64_t synced; /* all of it is on disk: it outlives a crash of the host */
	uint64_t idle_ms, idle_suspend_ms, life_ms;
	uint64_t disk_rate[2], vsock_rate[2], console_rate[2]; /* as conker_rate */
	char *append; /* the caller's words for the kernel */
	struct layer kernel, initrd, state, memory;
	struct layer disk[DISKS_MAX + 1]; /* disk[0]: the image */
	uint64_t ndisks;
};

/* Reads text, which it changes; *ret points into it. -EBADMSG: damaged, or of another format; nothing in *ret is
 * to be used then. Strings have no control characters but in paths and append. */
must_check int manifest_parse(char *text, size_t len, struct manifest *ret, struct err *e);
/* Writes all of it; the number of bytes, or -ENOSPC. */
must_check ssize_t manifest_print(const struct manifest *m, char *buf, size_t size);

/* A file with its name in dir, written beside and renamed. The memory behind what was loaded is *ret_text, to be
 * freed by the caller when *ret is of no use any more. */
must_check int manifest_save(int dir, const char *name, const struct manifest *m, struct err *e);
must_check int manifest_load(int dir, const char *name, struct manifest *ret, char **ret_text,
			     struct err *e);

/* ---- layer.c ---------------------------------------------------------------------------------------- */

must_check int identity_of(int fd, struct identity *ret);
int identity_same(const struct identity *a, const struct identity *b);
/* What a manifest says of the file fd. path is where it is found again; it is kept as a pointer. */
must_check int layer_of(int fd, char *path, int ro, struct layer *ret);
/* The checksum of a whole file, as text; known ones are kept in the cache by identity, so a large image is read
 * once. */
must_check int layer_sum(int fd, const struct identity *is, char ret[SHA256_TEXT_BYTES]);
/* Of a file of a snapshot itself: what is not zero of it, so that a copy without holes has the same. */
must_check int layer_sum_sparse(int fd, char ret[SHA256_TEXT_BYTES]);
/* Whether fd is the file that the manifest means: 0, -ESTALE: it is another one. Reads it only if its identity has
 * changed. */
must_check int layer_check(int fd, const struct layer *l);

/* The host's part of a manifest: what a snapshot depends on. A few microseconds. */
must_check int host_identify(struct manifest *ret);
/* The id of this boot of the host; "" when it cannot be told. */
void host_boot(char ret[BOOT_BYTES]);

/* ---- suspended.c ------------------------------------------------------------------------------------- */

/* Opens the two files that a VMM suspends the box into, with the manifest that will be theirs; what is in them is the
 * VMM's business. */
must_check int suspended_begin(int dir, const struct manifest *m, int ret[2], struct err *e);
/* Takes them away again, and the directory if nothing else is in it: only when no VMM has them, or will. */
void suspended_abandon(int dir);
/* Makes what a VMM has written what the box goes on with. 1: it can go on, the box is suspended; 0; -errno: that
 * cannot be told, or done. For boxes that are over, between registry_hold() and registry_release(). */
must_check int suspended_settle(int dir, const struct vm_events *v);
/* The box runs again: its memory is not needed by name any more. */
void suspended_resumed(int dir);
/* Since when, and bytes on disk. */
void suspended_figures(int dir, int64_t *ret_since_s, uint64_t *ret_bytes);

/* ---- origin.c ---------------------------------------------------------------------------------------- */

struct origin { /* what a box begins with */
	struct artefacts files;
	struct manifest *m;   /* what they are; its strings lie in text */
	char *text, *paths;   /* paths: of a clone's own disks */
	int snapshot;         /* its directory, or -1: it boots */
	char from[256];       /* the snapshot, for people */
	int suspended;        /* the box's own, it was suspended; else it is a new one */
	uint64_t template_us; /* of the template that had to be made, or 0 */
};

/* Comes first: nothing is open yet, *m is empty. Ends with origin_close(), also on failure. */
must_check int origin_init(struct origin *a, struct err *e);
/* Opens what a box that boots is made of; what o leaves open becomes the default. */
must_check int origin_open_cold(struct origin *a, conker_box_opts *o, struct err *e);
void origin_close(struct origin *a);

/* ---- disk.c ------------------------------------------------------------------------------------------ */

/* No other box writes its disks, or reads one that it writes, for as long as any process has these descriptors.
 * -EBUSY, with who it is; -EINVAL: two of them are one. */
must_check int disks_lock(const struct origin *a, struct err *e);
/* Copies a disk, holes and all, by reference where the file system can: a new descriptor. */
must_check int disk_copy(int from, int to_dir, const char *to_name, struct err *e);

/* ---- restore.c --------------------------------------------------------------------------------------- */

/* Opens what a box needs to go on from the snapshot o->from: everything is checked, nothing runs. What o leaves open
 * becomes the snapshot's. -ESTALE: it does not fit; -EBADMSG: it is damaged. */
must_check int restore_open(struct origin *a, conker_box_opts *o, struct err *e);
/* The same of the suspended box with that name: its life and idle times go on, and there is nothing to be taken again. */
must_check int restore_open_suspended(struct origin *a, conker_box_opts *o, const char *name,
				      struct err *e);
/* Gives the new box in dir disks of its own, where the snapshot has some. */
must_check int restore_disks(struct origin *a, int dir, const char *id, struct err *e);

/* ---- snapshot.c -------------------------------------------------------------------------------------- */

/* Where a VMM is to write its state and memory. The files are asked for when the box is frozen: one that suspends itself
 * does not write its own any more then. */
struct snapshot_files {
	/* They stay the caller's; 0 or -errno. */
	int (*open)(void *user, int ret_fds[2], struct err *e);
	/* NULL, or called when nothing came of it, and only if the VMM does not write any more. Still frozen: nobody else
	 * begins another. */
	void (*failed)(void *user);
	void *user;
};

/* Has the box's VMM write its state and memory; with CONKER_SNAPSHOT_STOP it has ended on return. */
must_check int snapshot_take(const struct box *b, const struct snapshot_files *to, uint32_t flags,
			     conker_snapshot_result *ret, struct err *e);
/* What the box was born with, its image still the same. */
must_check int snapshot_manifest(const struct box *b, struct manifest *ret, char **ret_text,
				 struct err *e);
/* What the VMM answered. Pure; text is cleaned. 0 with *ret filled, or -errno. */
must_check int snapshot_answer(char *text, conker_snapshot_result *ret, struct err *e);

/* ---- birth.c ----------------------------------------------------------------------------------------- */

/* A line for o->log. */
__attribute__((format(printf, 2, 3))) void birth_log(const conker_box_opts *o, const char *fmt,
						     ...);
/* Starts the VMM of the box in b->dir, whose starter we are, and says what is to be said first. */
must_check int birth_launch(struct box *b, const conker_box_opts *o, struct origin *a,
			    struct err *e);
/* Waits until commands can be run in it; a detached one is then on its own. */
must_check int birth_await_ready(struct box *b, const conker_box_opts *o, const struct origin *a,
				 struct err *e);

/* ---- suspend.c --------------------------------------------------------------------------------------- */

/* Makes the suspended box of b->dir run again: b is then as after birth_await_ready(). -ERESTART: somebody else does, or
 * has. */
must_check int suspend_resume(struct box *b, struct err *e);
/* Waits until nobody suspends or resumes it any more: -ERESTART, look again. */
must_check int suspend_await(struct box *b, struct err *e);

/* ---- template.c -------------------------------------------------------------------------------------- */

enum { TEMPLATE_KEY_BYTES = 33 }; /* 32 hex digits */

/* Makes a box with these options, and leaves its snapshot in the new directory path. */
typedef int template_make_fn(const conker_box_opts *o, const char *path, struct err *e);
/* As restore_open(), from a template that fits o, which is made when there is none. */
must_check int template_open(struct origin *a, conker_box_opts *o, template_make_fn *make,
			     struct err *e);

/* ---- template_list.c --------------------------------------------------------------------------------- */

/* Whether a box can begin with what lies there. */
must_check int template_is_usable(const char *path);
/* The lock of a template in the directory of all, made if there is none, and held; how: as flock(). -EWOULDBLOCK, ... */
must_check int template_lock(int dir, const char *key, int how);
/* Removes those that no longer fit, but the newest few, and of the others those that are too many and were not used for
 * longest; never the one with that key. */
void template_prune(int dir, const char *key);

#endif
