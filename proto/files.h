/* SPDX-License-Identifier: Apache-2.0 */
/* files.h - the program of init's own that works on a box's files: how it is called and what it says.
 *
 * An execution with Start.builtin and this argv:
 *
 *	FILES_PROGRAM OPERATION FLAGS PATH [MORE]	FLAGS: letters, or "-" for none
 *
 *	tar-in   conp   DEST [LEAF]	stdin: a tar stream. Without `c` it is unpacked into the directory
 *					DEST. With it, all paths are below one name: DEST/LEAF if DEST is a
 *					directory, else DEST. o: keep owners, n: replace nothing,
 *					p: make missing parents. With `c`, DEST may be a symbolic link to
 *					a file, or be (lead to) a device or a FIFO: one file's bytes are
 *					written into that
 *	tar-out  L      PATH NAME	stdout: PATH as a tar stream, called NAME in it; L: follow PATH. With
 *					ESTALE and EOPNOTSUPP it is whole all the same, but for the end of a
 *					file, or sockets; with status 0, a line on stderr says what else was
 *					left out
 *	read     -      PATH MAX	stdout: the file; EFBIG if it is larger than MAX bytes
 *	write    -      PATH MODE LEN	stdin: exactly LEN bytes, which replace the file at once, or are
 *					written into a device or a FIFO. MODE (octal) 0: 0644, or that of
 *					the file replaced
 *	stat     -      PATH		stdout: one ENTRY record
 *	list     -      PATH		stdout: an ENTRY record per name in the directory
 *	remove   r      PATH		r: a directory with all in it
 *	mkdir    p      PATH MODE	p: parents too, and an existing directory is fine
 *	rename   -      PATH TO
 *	watch    -      PATH		stdout: a READY record, then CHANGE records until it is killed
 *
 * The exit status is 0 or an errno, in which case stderr is one line that says what failed. Whoever starts
 * it takes what it writes for guest bytes like any others: a box's root may trace it.
 *
 * Records: 32-bit length of what follows, then FILES_FIXED_BYTES and the two strings, each with a NUL.
 * All numbers are little-endian.
 *
 *	offset  0 u8   kind		 4 u16  length of name without its NUL
 *	        1 u8   change		 6 u16  length of target likewise
 *	        2 u16  0		 8 u32  mode, uid, gid, nlink
 *	       24 u64  bytes, allocated bytes	40 i64  mtime in microseconds
 *
 * Pure: no descriptor, no clock.
 */
#ifndef PROTO_FILES_H
#define PROTO_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "util/util.h"

#define FILES_PROGRAM "conker-files"

enum {
	FILES_FIXED_BYTES = 48,
	FILES_STRING_MAX = 4096, /* name and target, without their NUL */
	FILES_RECORD_MAX = 4 + FILES_FIXED_BYTES + 2 * (FILES_STRING_MAX + 1),
};

enum files_kind { FILES_ENTRY = 1, FILES_READY, FILES_CHANGE };

enum files_change { /* as enum conker_change */
		    FILES_CREATED = 1,
		    FILES_MODIFIED,
		    FILES_REMOVED,
		    FILES_MOVED_FROM,
		    FILES_MOVED_TO,
		    FILES_OVERFLOW,
};

struct files_record {
	enum files_kind kind;
	enum files_change change; /* of FILES_CHANGE, else 0 */
	uint32_t mode, uid, gid, nlink;
	uint64_t bytes, allocated_bytes;
	int64_t mtime_us;
	const char *name, *target; /* never NULL; from files_take() they point into its bytes */
};

/* Writes a record; buf has room for FILES_RECORD_MAX. The bytes written, or -ENAMETOOLONG. */
must_check int files_put(const struct files_record *r, uint8_t *buf);

/* Reads the record at the front of (buf, len). 1 with *ret_used; 0: more bytes are needed, at most
 * FILES_RECORD_MAX in all; -EPROTO. */
must_check int files_take(const uint8_t *buf, size_t len, struct files_record *ret,
			  size_t *ret_used);

#endif
