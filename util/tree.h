/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h - trees of files to and from tar streams, on the host and in the box.
 *
 * Packing walks a tree by descriptors; what is moved under it meanwhile makes it read something else of the
 * same tree, never something outside. Files are read up to their end, whatever their file system calls their size (/proc
 * and /sys call it 0 and 4096); a large one that grows meanwhile ends where it did at first, one that shrinks is filled
 * up with zeros, which is told, and one that vanishes is left out. What the kernel itself shows in a directory of the
 * tree, as proc, sysfs and devtmpfs, is left out and told: it can be packed by its own path.
 *
 * Unpacking trusts no byte of the stream. Every path is taken apart (tar_clean()) and opened below the
 * directory given, component by component, without following any symbolic link, by openat2() where the kernel has
 * it; a symbolic link in the way of a directory is an error. Files are made new, under a name of their own (.conker-...),
 * and get theirs by rename() when they are complete: who is killed in between leaves nothing half under a name that
 * somebody asked for. Links are made, not followed.
 *
 * What cannot be taken along is counted, not fatal: sockets, device nodes where they are not wanted.
 *
 * Limits: TREE_DEPTH_MAX directories deep; names of TAR_NAME_BYTES; of the hard links of a tree the first
 * TREE_LINKS_MAX files with several names, the rest become copies. Extended attributes only by who packs (tree_before_fn). A directory's mode
 * and times are set when the stream leaves it; a stream that comes back to it changes its time.
 */
#ifndef UTIL_TREE_H
#define UTIL_TREE_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/err.h"
#include "util/util.h"

enum {
	TREE_DEPTH_MAX = 256,
	TREE_LINKS_MAX = 65536,
};

/* path: in the archive. bytes: of file contents so far. */
typedef void tree_progress_fn(uint64_t bytes, const char *path, void *arg);

struct tree_left_out {
	uint64_t count;
	char first[256]; /* its path, cut short */
};

/* ---- out ------------------------------------------------------------------------------------------ */

typedef int tree_put_fn(void *arg, const void *buf, size_t len); /* 0 or -errno, which ends it */

enum {
	TREE_FOLLOW = 1 << 0,   /* the top, if a symbolic link */
	TREE_ALL_ROOT = 1 << 1, /* all owners are 0 */
};
/* What goes in front of a file's or directory's head, whole blocks: a piece of the archive, which stays the giver's. -errno. */
typedef ssize_t tree_before_fn(int fd, const uint8_t **ret, void *arg);

struct tree_pack {
	const char *path; /* of this machine */
	const char *name; /* in the archive; "." is what unpacking under another name expects */
	int flags;
	tree_put_fn *put;
	tree_progress_fn *progress; /* or NULL */
	tree_before_fn *before;     /* or NULL */
	void *arg;
	struct tree_left_out left_out, shrank, mounts; /* returned */
};

/* Writes path as a whole tar stream. 0, or -errno with a message that names the file. */
must_check int tree_pack(struct tree_pack *p, struct err *e);
/* What the archive lacks, when it is whole otherwise: 0, -ESTALE (something shrank) or -EOPNOTSUPP (sockets), with a
 * message. */
must_check int tree_pack_lacks(const struct tree_pack *p, struct err *e);
/* What of the kernel's was left out, for people; "" if nothing was. */
void tree_pack_note(const struct tree_pack *p, char *ret, size_t size);

/* ---- in ------------------------------------------------------------------------------------------- */

enum {
	TREE_OWNERS = 1 << 0,
	TREE_NO_CLOBBER = 1 << 1, /* -EEXIST instead of replacing a file */
	TREE_DEVICES = 1 << 2,    /* make device nodes; else they are left out */
	TREE_NO_SETID = 1 << 3,   /* drop set-user-ID and set-group-ID bits */
	TREE_NO_OPENAT2 = 1 << 4, /* for tests: as on a kernel without it */
	TREE_ROOT_IS_DIR =
		1 << 5 /* -ENOTDIR if what the archive holds is not a directory with all in it */
};

struct tree_unpack;

struct tree_unpack_opts {
	int dir;            /* a directory; the caller keeps it open */
	const char *prefix; /* one name that all paths are put below, or "" */
	int flags;
	tree_progress_fn *progress; /* or NULL */
	void *arg;
};

/* NULL: no memory. */
struct tree_unpack *tree_unpack_new(const struct tree_unpack_opts *o);
/* The next bytes of the stream. 0, or -errno with a message; then only freeing it makes sense. */
must_check int tree_unpack_feed(struct tree_unpack *u, const void *buf, size_t len, struct err *e);
/* The stream is over; finishes the directories. -EINVAL: it is not whole. */
must_check int tree_unpack_end(struct tree_unpack *u, struct err *e);
const struct tree_left_out *tree_unpack_left_out(const struct tree_unpack *u);
/* Removes a file that is not complete. NULL is fine; returns NULL. */
struct tree_unpack *tree_unpack_free(struct tree_unpack *u);

/* ---- both ----------------------------------------------------------------------------------------- */

/* The last name of a path: "" for "/", "." and "..", else a name without a slash, of at most 255 bytes:
 * -ENAMETOOLONG. */
must_check int tree_leaf(const char *path, char ret[256]);
/* Opens the directory that path lies in, following links as the kernel does. A descriptor or -errno. */
must_check int tree_open_parent(const char *path);
/* What is to be replaced when somebody asks for a file called path: path, or if that is a symbolic link, what it leads
 * to, which only a path that the user named may do. -ENOENT: a link that leads nowhere, or to what has no name. */
must_check int tree_follow(const char *path, char ret[PATH_MAX]);
/* Whether path is or leads to something that is neither a file nor a directory, as a device or a FIFO: it is written
 * into, not replaced. */
must_check int tree_is_special(const char *path);
/* Opens it for writing, which for a FIFO waits until somebody reads. TREE_NO_CLOBBER: -EEXIST instead. */
must_check int tree_open_special(const char *path, int flags, struct err *e);
/* Where a copy goes, as cp decides it: dest is a directory: into it, called leaf; else it is called dest itself, or as
 * what dest leads to (tree_follow()). Returns the directory's descriptor, and the name below it; to *flags it adds what
 * a '/' at the end asks for. Not for what tree_is_special(). */
must_check int tree_destination(const char *dest, const char *leaf, char ret_name[256], int *flags);
/* As mkdir -p of everything above the last name of path. 0 or -errno. */
must_check int tree_make_parents(const char *path);
void tree_leave_out(struct tree_left_out *l, const char *path);
/* 0, or -EOPNOTSUPP with a message: sockets and device nodes. */
must_check int tree_lacks(const struct tree_left_out *l, struct err *e);
/* Whether files of this device are the kernel's own word (proc, sysfs, devtmpfs, ...), as /proc/self/mountinfo has it. */
must_check int tree_is_kernels(dev_t dev);

#endif
