/* SPDX-License-Identifier: Apache-2.0 */
/* fakestore.h - images without an archive: what conker-image would have made, in a word. */
#ifndef TESTS_LIB_FAKESTORE_H
#define TESTS_LIB_FAKESTORE_H

#include "lib/images/store.h"

/* CONKER_IMAGES is an empty directory from now on, whose path is returned; CONKER_IMAGE_PROGRAM the one of this build. Ends with
 * fakevmm_clean(). */
const char *fakestore_use(void);
/* A program of the shell in place of conker-image. */
void fakestore_program(const char *script);

/* `out` of one's own directory, with an image of these layers, up to NULL: each "NAME" of two blocks; one that begins with '-'
 * is only spoken of, since it is in the store. config: lines, or NULL. */
void fakestore_out(const struct image_work *w, const char *const *layers, const char *config,
		   char ret_id[IMAGE_ID_BYTES]);
/* The same, published under a name: what publish() returned. */
int fakestore_publish(const char *name, const char *const *layers, char ret_id[IMAGE_ID_BYTES]);
/* The layer's file in the store. */
void fakestore_layer(const char *name, const char *suffix, char *ret, size_t size);
void fakestore_diff_id(const char *name, char ret[SHA256_TEXT_BYTES]);
/* Entries of a directory of the store, hidden ones too; -1: it is not there. */
int fakestore_count(const char *sub);

#endif
