/* SPDX-License-Identifier: Apache-2.0 */
/* meta.h - the tree of an image as the metadata of an EROFS file system (util/erofs.h), whose data are the data files of
 * its layers, one behind the other, after the metadata.
 *
 *	meta.erofs | data of the first layer | data of the next ... = the disk of the box
 */
#ifndef IMAGE_META_H
#define IMAGE_META_H

#include <stdint.h>

#include "image/tree.h"
#include "util/err.h"
#include "util/sha256.h"

struct meta_plan {
	const uint64_t *
		base; /* of each of the tree's layers, which count from 1: its first block among the data's */
	uint64_t data_blocks;
	uint8_t uuid[16];
};

struct meta_result {
	uint64_t bytes, inodes;
	char sum[SHA256_TEXT_BYTES];
};

/* To fd, from its beginning. 0 or -errno. The tree keeps the places of its inodes: once per tree. */
must_check int meta_write(struct tree *t, const struct meta_plan *plan, int fd,
			  struct meta_result *ret, struct err *e);

#endif
