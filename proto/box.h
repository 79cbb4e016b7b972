/* SPDX-License-Identifier: Apache-2.0 */
/* box.h - what the files of a box mean to both, its VMM and the library.
 *
 * The VMM holds a POSIX lock on the file `lock` for its life. While it writes the machine to disk, and serves nobody, it
 * gives up the one byte LOCK_IDLE_BYTE of it: so that who has no answer can tell a box that is being written from one that
 * is stuck.
 *
 * A memory file is the guest's memory and MEMORY_TAIL_BYTES behind it.
 */
#ifndef PROTO_BOX_H
#define PROTO_BOX_H

enum {
	LOCK_IDLE_BYTE = 1,
	MEMORY_TAIL_BYTES = 4096,
};

#endif
