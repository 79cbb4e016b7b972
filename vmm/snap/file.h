/* SPDX-License-Identifier: Apache-2.0 */
/* file.h - the state file of a snapshot, from outside: a header, and one state.proto Machine. Pure.
 *
 *   0   8   "cnkrsnap"
 *   8   4   version, little-endian: SNAP_VERSION
 *   12  4   bytes that follow the header, at most SNAP_BODY_MAX_BYTES
 *   16  8   FNV-1a of them: against damage, not against malice
 */
#ifndef VMM_SNAP_FILE_H
#define VMM_SNAP_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/util.h"

enum { SNAP_VERSION = 1, SNAP_HEADER_BYTES = 24, SNAP_BODY_MAX_BYTES = 16 << 20 };

/* FNV-1a, 64 bits. */
uint64_t snap_hash(const void *p, size_t len);

/* The header for this body. */
void snap_header(const void *body, size_t len, uint8_t ret[SNAP_HEADER_BYTES]);

/* Whether the len bytes at file are a whole, undamaged state file of a version we know. 0, or -EINVAL with the reason in
 * e. The body is then file + SNAP_HEADER_BYTES. */
must_check int snap_check(const uint8_t *file, size_t len, struct err *e);

#endif
