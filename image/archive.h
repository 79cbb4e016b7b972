/* SPDX-License-Identifier: Apache-2.0 */
/* archive.h - a tar file that holds members which are looked up by name: an OCI layout, or what docker and podman save.
 *
 * Only headers are read, and what may be a member is remembered: files and links with short names. A link as a member
 * (docker saves equal layers as links to the first) is followed by its text alone, a few times at most. Of an archive that
 * is a plain root file system nothing is remembered beyond LIMIT_MEMBERS.
 */
#ifndef IMAGE_ARCHIVE_H
#define IMAGE_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "image/span.h"
#include "util/err.h"
#include "util/util.h"

enum { MEMBER_NAME_BYTES = 160 };

struct member {
	char name[MEMBER_NAME_BYTES], link[MEMBER_NAME_BYTES]; /* clean; link "": a file */
	uint64_t at, bytes;
};

struct archive {
	int fd;
	struct member *members;
	size_t n, room;
	int overflow; /* there were more */
};

/* 0 or -errno; archive_free() in either case. */
must_check int archive_scan(struct archive *a, int fd, struct err *e);
void archive_free(struct archive *a);
/* Of several of one name the last. NULL: there is none that is a file. */
must_check const struct member *archive_find(const struct archive *a, const char *name);
struct span archive_span(const struct archive *a, const struct member *m);

#endif
