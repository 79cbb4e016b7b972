/* SPDX-License-Identifier: Apache-2.0 */
/* door.h - what the jailed reader may have of the host, and who hands it out.
 *
 * The program is two processes. One reads a stranger's bytes: it is in the jail, has no path, no network and no rights,
 * and of the host the descriptors that it was born with. The other stays outside, sees no byte of the archive, and
 * answers requests over a socket pair, each a fixed structure with a verb and a name that is a digest in hex or one of a
 * few words. It opens a blob for reading, a new file for writing, and gives a whole file its name. So the reader needs no
 * system call with a path, and neither Landlock nor a mount namespace has to be there for it to be harmless; and when
 * it is killed, by the kernel, a limit or a user, somebody is left to remove what is half made.
 *
 *	reader			keeper
 *	verb, slot, name  -->
 *			  <--	0 and a descriptor, or -errno
 */
#ifndef IMAGE_DOOR_H
#define IMAGE_DOOR_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/err.h"
#include "util/sha256.h"
#include "util/util.h"

enum door_verb {
	DOOR_BLOB,  /* a blob of the layout, by its digest */
	DOOR_INDEX, /* index.json of the layout */
	DOOR_MARK,  /* oci-layout, the file that makes a directory one */
	DOOR_LAYER, /* the index of a layer that is there with its data, by its diff_id */
	DOOR_NEW, /* a new file in the work directory, in a slot; what was in the slot is removed */
	DOOR_TEMP, /* likewise without a name, for good */
	DOOR_KEEP, /* the file in the slot is whole, and gets its name */
	DOOR_VERBS,
};

enum door_slot { SLOT_DATA, SLOT_INDEX, SLOT_OTHER, SLOTS };

/* What a file is when it is whole; named by diff_id in front of the dot, or by itself. */
enum door_name { NAME_DATA, NAME_INDEX, NAME_META, NAME_CONFIG, NAME_MANIFEST, NAMES };

struct door_request {
	uint32_t verb, slot, name;
	char hex[SHA256_TEXT_BYTES]; /* "": none */
};

/* ---- the reader's side ------------------------------------------------------------------------------- */

/* A descriptor, 0 for DOOR_KEEP, or -errno. */
must_check int door_ask(int door, const struct door_request *q);

/* ---- the keeper's side ------------------------------------------------------------------------------- */

struct keeper {
	int door;
	int work;          /* directory; all new files are in it */
	int layout, blobs; /* directories, or -1; blobs: in place of those of the layout */
	int layers;        /* directory with indices of layers besides those in work, or -1 */
};

/* Serves until the reader `pid` has ended, or a signal of the set, which is blocked, ends both. Then nothing is left that is not whole. The exit status of
 * the program; if it was not the reader itself that told why, *e does. */
must_check int keeper_serve(const struct keeper *k, pid_t pid, const sigset_t *set, struct err *e);

#endif
