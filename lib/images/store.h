/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - the store of images, as the files of this floor see it; README.md has the layout.
 *
 *	manifest.c  what an image is made of, as text and as a structure: pure
 *	names.c     from a name to an ID and back: pure, but for reading the link
 *	store.c     directories, the lock, somebody's own directory, links
 *	users.c     who uses an image
 *	publish.c   what is made becomes an image of a name
 *	remove.c    what nobody needs goes
 *
 * The store is the user's own, but what lies in it may be anything: a copy of a copy, of another release, cut off by a
 * crash. Nothing in it is followed or believed before it was looked at; what is not understood is left where it is.
 */
#ifndef LIB_IMAGES_STORE_H
#define LIB_IMAGES_STORE_H

#include "lib/images/images.h"
#include "util/sha256.h"

/* ---- names.c ------------------------------------------------------------------------------------------- */

enum { LINK_NAME_BYTES = 256 }; /* of a name as a file: what file systems take, and a NUL */

/* The name as a file name: what a path, a terminal or this code itself might misread is %XX. -EINVAL, -ENAMETOOLONG. */
must_check int link_name(const char *name, char ret[LINK_NAME_BYTES]);
/* And back: -EINVAL: no name looks like that. */
must_check int link_read_name(const char *file, char ret[IMAGE_BYTES]);
/* Which image the name stands for. -ENOENT: none, or what is there is no link of ours. */
must_check int link_target(int store, const char *name, char ret_id[IMAGE_ID_BYTES]);
/* From what a user says to the name and the ID that are meant; "" as ID: a file of the former version, or the one that is
 * built in. -ENOENT, and then ret_name is what conker_image_pull() would get, or "". */
must_check int image_find(int store, const char *said, char ret_name[IMAGE_BYTES],
			  char ret_id[IMAGE_ID_BYTES], struct err *e);
/* The file of the former version in the store. */
#define FORMER_SUFFIX ".erofs"
enum { FORMER_BYTES = NAME_BYTES + 8 };
must_check int former_file(const char *name, char ret[FORMER_BYTES]);

/* ---- manifest.c ---------------------------------------------------------------------------------------- */

enum {
	IMAGE_LAYERS_MAX = 512,
	IMAGE_MANIFEST_MAX_BYTES = 256 << 10,
	IMAGE_CONFIG_MAX_BYTES = 8 << 20,
};

struct made_layer {
	char diff_id[SHA256_TEXT_BYTES], blob[SHA256_TEXT_BYTES]; /* blob "": not known */
	uint64_t stream_bytes, blob_bytes;
};

struct made_data {
	char diff_id[SHA256_TEXT_BYTES];
	uint64_t bytes;
};

struct made { /* the file `manifest` of an image */
	char id[IMAGE_ID_BYTES];
	char os[32], architecture[32];
	char manifest[SHA256_TEXT_BYTES], config[SHA256_TEXT_BYTES]; /* "": there was none */
	char meta_sum[SHA256_TEXT_BYTES];
	uint64_t meta_bytes, inodes, entries_left_out, attributes_left_out;
	uint32_t nlayers, ndata;
	struct made_layer layer[IMAGE_LAYERS_MAX];
	struct made_data data[IMAGE_LAYERS_MAX]; /* in the order of the disk */
};

/* Reads text, which it changes, and which has room for a NUL. -EBADMSG: damaged; -EPROTONOSUPPORT: of another release. */
must_check int made_parse(char *text, size_t len, struct made *ret, struct err *e);
/* That of the image in dir; id NULL, or what its sum has to be. */
must_check int made_load(int dir, const char *id, struct made *ret, struct err *e);

/* The last line of a text of ours, sum=SHA256 of all before it, is cut off; ret is that sum. -EBADMSG. */
must_check int text_check_sum(char *text, size_t len, char ret[SHA256_TEXT_BYTES]);
/* %XX becomes its byte, in place. -EBADMSG: no such, or a NUL. */
must_check int text_unescape(char *s);
/* A whole small file: *ret is to be freed, and has a NUL behind its bytes, which are returned. -EFBIG; -ELOOP: a link. */
must_check ssize_t text_load(int dir, const char *name, size_t max, char **ret, struct err *e);

/* ---- store.c ------------------------------------------------------------------------------------------- */

/* A directory of the store, made if missing; a new descriptor. A symbolic link is none. */
must_check int store_sub(int store, const char *name, struct err *e);
must_check int store_sub_there(int store, const char *name);
enum { MADE_PATH_BYTES = sizeof("made/") + IMAGE_ID_BYTES };
void made_path(const char *id, char ret[MADE_PATH_BYTES]);

#endif
