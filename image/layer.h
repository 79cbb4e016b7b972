/* SPDX-License-Identifier: Apache-2.0 */
/* layer.h - a layer's stream of tar taken apart: entries into the tree and the index, data into the data file.
 *
 * Nothing is created by the names that are in it. A path with ".." is refused, a leading '/' dropped; attributes of
 * namespaces other than user, trusted and security, and those of overlayfs, are left out and counted. Holes of a sparse
 * file stay holes: the file is kept in chunks of the smallest size of which LIMIT_CHUNKS make it up.
 */
#ifndef IMAGE_LAYER_H
#define IMAGE_LAYER_H

#include <stdint.h>

#include "image/data.h"
#include "image/index.h"
#include "image/inflate.h"
#include "image/limits.h"
#include "image/progress.h"
#include "image/tree.h"
#include "util/err.h"
#include "util/sha256.h"

struct layer_job {
	struct tree *tree;
	const struct limits *limits;
	struct progress *progress;
	uint64_t *bytes; /* of the streams of all layers so far */
	int data_fd;
	int index_fd; /* is taken over */
};

struct layer_result {
	char diff_id[SHA256_TEXT_BYTES], blob[SHA256_TEXT_BYTES];
	uint64_t blob_bytes, stream_bytes, blocks, xattrs_left_out;
};

/* Reads all of the span and applies it as the tree's present layer. What it makes is whole if 0 is returned and the
 * digests are those that the caller expects: he writes the diff_id into the index by that. Else -errno. */
must_check int layer_read(const struct layer_job *job, const struct span *from,
			  struct layer_result *ret, struct err *e);

/* Applies a layer that was read before. */
must_check int layer_apply(struct tree *t, struct index_in *x, struct err *e);

#endif
