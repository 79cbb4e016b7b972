/* SPDX-License-Identifier: Apache-2.0 */
/* image_erofs.h - a reader of EROFS that shares nothing with the writer: what the tests believe of an image.
 *
 * It takes what image/ makes (blocks of 4 KiB, long inodes, flat, inline and chunks) and asserts every rule of the format
 * that a kernel relies on: places within the file, names in order, sizes that add up.
 */
#ifndef TESTS_LIB_IMAGE_EROFS_H
#define TESTS_LIB_IMAGE_EROFS_H

#include <stddef.h>
#include <stdint.h>

struct erofs_disk {
	const uint8_t *p;
	size_t len;
};

struct erofs_stat {
	uint64_t nid, size;
	uint32_t mode, uid, gid, nlink, rdev, layout;
	int64_t mtime_s;
	uint32_t mtime_ns;
};

/* Of a path from the root, no link followed. Whether it is there. */
int erofs_stat(const struct erofs_disk *d, const char *path, struct erofs_stat *ret);
/* The file's or link's bytes, up to room; how many. */
size_t erofs_read(const struct erofs_disk *d, const struct erofs_stat *s, void *buf, size_t room);
/* Whether the attribute "user.x" is there; its value. */
int erofs_getxattr(const struct erofs_disk *d, const struct erofs_stat *s, const char *name,
		   void *buf, size_t room, size_t *ret_len);
/* Walks all of it. Names seen. */
size_t erofs_check(const struct erofs_disk *d);
/* Super block. */
uint64_t erofs_root_nid(const struct erofs_disk *d);

#endif
