/* SPDX-License-Identifier: Apache-2.0 */
/* index.h - the index of a layer: its entries without their data, so that an image can be made on a layer whose stream
 * nobody has any more.
 *
 * A file of this machine for this program: numbers are little-endian and lie as in memory. Made by us, it is read as
 * if it were a stranger's all the same.
 *
 *	head	"conker-layer-1\n", diff_id, sum, blocks of the data file, entries, bytes of the stream
 *	entry	struct record, path NUL, link NUL, attributes, extents; and so on
 *
 * The sum is the SHA-256 of the entries and then of the head with an empty sum: who opens an index knows that it is
 * whole, or gets -EBADMSG and makes the layer again.
 */
#ifndef IMAGE_INDEX_H
#define IMAGE_INDEX_H

#include <stdint.h>
#include <stdio.h>

#include "image/limits.h"
#include "image/tree.h"
#include "util/err.h"
#include "util/erofs.h"
#include "util/sha256.h"

#define INDEX_MAGIC "conker-layer-1\n"

struct index_head {
	char magic[16];
	char diff_id[SHA256_TEXT_BYTES], sum[SHA256_TEXT_BYTES];
	char reserved[6];
	uint64_t blocks, entries, stream_bytes;
};

struct index_out {
	FILE *f;
	struct sha256 sum;
	uint64_t entries;
};

struct index_in {
	FILE *f;
	struct index_head head;
	uint64_t left; /* entries */
	char path[TAR_NAME_BYTES], link[TAR_NAME_BYTES];
	uint8_t xattrs[EROFS_XATTRS_MAX];
	struct extent extents[LIMIT_CHUNKS];
};

/* Both take a descriptor over, also when they fail. */
must_check int index_create(struct index_out *x, int fd);
must_check int index_open(struct index_in *x, int fd, const char *diff_id);
void index_close(struct index_in *x);

must_check int index_put(struct index_out *x, const struct layer_entry *en);
/* Completes the file and closes it. */
must_check int index_end(struct index_out *x, struct index_head *head);
void index_drop(struct index_out *x);

/* The next entry, which lives in x until the next call. 1; 0: there are no more; -EBADMSG. */
must_check int index_next(struct index_in *x, struct layer_entry *ret);

#endif
