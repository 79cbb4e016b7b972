/* SPDX-License-Identifier: Apache-2.0 */
/* jail.h - what the reader gives up before it meets the first byte of an archive.
 *
 * Threat model: the archive takes the reader over, by a hole in zlib, zstd, jansson or here. What it then holds are the
 * archive itself, the files that it is writing, three descriptors for lines of text, and the door (door.h), through which
 * it gets more blobs and indices, and files in the work directory under names that are digests. No path (an empty root),
 * no network, no capability, another user if it was root, no memory beyond LIMIT_MEMORY_BYTES, and of the system calls
 * those of jail.c; any other ends it.
 *
 * A layer that the host does not offer is left out and said, a line "unjailed LAYER REASON" to `told`; or, with
 * JAIL_REQUIRED, the reason to fail.
 */
#ifndef IMAGE_JAIL_H
#define IMAGE_JAIL_H

#include <stddef.h>
#include <stdint.h>

#include "util/confine.h"
#include "util/err.h"
#include "util/util.h"

struct jail {
	enum jail_mode mode;
	int told;            /* -1: nobody listens */
	uint64_t file_bytes; /* that a file may have */
	struct err *e;
};

/* Keeps these n descriptors and closes all others. In a process of one thread. 0 or -errno. */
must_check int jail_enter(struct jail *j, int *keep, size_t n);

#endif
