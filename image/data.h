/* SPDX-License-Identifier: Apache-2.0 */
/* data.h - the data file of a layer, being written: blocks of 4 KiB, in the order in which the stream has them.
 *
 * What is all zeros is not written: the file has a hole there, so that zeros of an archive cost no disk.
 */
#ifndef IMAGE_DATA_H
#define IMAGE_DATA_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/util.h"

enum { DATA_BUF_BYTES = 128 << 10 };

struct data {
	int fd;
	uint32_t blocks; /* that are taken */
	uint32_t blocks_max;
	uint64_t base; /* of buf in the file */
	size_t len;
	uint8_t buf[DATA_BUF_BYTES];
};

void data_init(struct data *d, int fd, uint64_t bytes_max);
/* The first of n more blocks. -EFBIG: the file would be too large. */
must_check int data_take(struct data *d, uint64_t n, uint32_t *ret_block);
/* Bytes of blocks that are taken, further on in the file each time. 0 or -errno. */
must_check int data_put(struct data *d, uint64_t at, const uint8_t *p, size_t len);
/* The file is complete. */
must_check int data_end(struct data *d);

#endif
