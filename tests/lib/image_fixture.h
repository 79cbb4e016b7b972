/* SPDX-License-Identifier: Apache-2.0 */
/* image_fixture.h - archives made in memory, and images made of them, for the tests of image/.
 *
 * A failed call of what is not under test is an assert(): fuzz targets use this, too.
 */
#ifndef TESTS_LIB_IMAGE_FIXTURE_H
#define TESTS_LIB_IMAGE_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "image/layer.h"
#include "image/meta.h"
#include "image/tree.h"
#include "util/err.h"

struct bytes { /* grows */
	uint8_t *p;
	size_t len, room;
};

void bytes_add(struct bytes *b, const void *p, size_t len);
void bytes_free(struct bytes *b);
/* A file without a name that has them, at its beginning. */
int bytes_file(const struct bytes *b);
void bytes_gzip(const struct bytes *from, struct bytes *to);
void bytes_zstd(const struct bytes *from, struct bytes *to);

struct tar_item {                /* an entry as a test writes it; what is 0 is left at a default */
	char type;               /* '0' file, '5' directory, ... */
	const char *name, *link; /* long ones go into a pax header */
	const void *data;
	size_t len;
	unsigned mode, uid, gid, major, minor;
	long mtime;
	const char *pax; /* records, as made by pax() */
	size_t pax_len;
};

void tar_put(struct bytes *b, const struct tar_item *t);
void tar_end(struct bytes *b);
/* A pax record appended to the text. */
void pax(struct bytes *b, const char *key, const void *value, size_t len);
/* Short forms. */
void tar_file(struct bytes *b, const char *name, const char *text);
void tar_dir(struct bytes *b, const char *name);
void tar_link(struct bytes *b, char type, const char *name, const char *to);

/* ---- an image of layers in memory -------------------------------------------------------------------------- */

enum { MADE_LAYERS_MAX = 40 };

struct made {
	struct tree tree;
	struct limits limits;
	struct progress progress;
	struct err e;
	uint64_t bytes;
	size_t n;
	struct layer_result layers[MADE_LAYERS_MAX];
	int data[MADE_LAYERS_MAX], index[MADE_LAYERS_MAX];
	struct meta_result meta;
	struct bytes disk; /* metadata and data */
};

void made_begin(struct made *m);
/* 0 or -errno, with m->e. */
int made_layer(struct made *m, const struct bytes *stream);
/* The layer again from its index, into another image. */
int made_layer_from(struct made *m, const struct made *from, size_t layer);
void made_disk(struct made *m);
void made_free(struct made *m);

#endif
