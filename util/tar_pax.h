/* SPDX-License-Identifier: Apache-2.0 */
/* tar_pax.h - for tar.c only: the parts of a tar_reader that extended headers fill in. All return 0 or -EINVAL. */
#ifndef UTIL_TAR_PAX_H
#define UTIL_TAR_PAX_H

#include "util/tar.h"

/* The records in r->extra. */
must_check int tar_pax(struct tar_reader *r);
/* The global records, which are there when an entry begins. */
must_check int tar_pax_global(struct tar_reader *r);
/* A name of len bytes, which is not empty, not too long, and has no NUL. */
must_check int tar_copy_name(char *to, const char *from, size_t len);
/* One more stretch of data at the end of the map, behind the others. */
must_check int tar_add_segment(struct tar_entry *e, uint64_t offset, uint64_t bytes);
/* The next number of a map in text: offset, bytes, offset, ... */
must_check int tar_map_number(struct tar_reader *r, uint64_t v);

#endif
