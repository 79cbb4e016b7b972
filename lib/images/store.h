/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - the store of images, as the files of this floor see it; README.md has the layout.
 *
 *	manifest.c  what an image is made of, as text and as a structure: pure
 *	names.c     from a name to an ID and back: pure, but for reading the link
 *	store.c     directories, the lock, somebody's own directory, links
 *	users.c     who uses an image
 *	survey.c    what there is, and what it takes on disk
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
/* Where its link is in the store, and what that says. */
enum { LINK_PATH_BYTES = sizeof("names/") + LINK_NAME_BYTES };
must_check int link_path(const char *name, char ret[LINK_PATH_BYTES]);
enum { LINK_TEXT_BYTES = sizeof("../made/") + IMAGE_ID_BYTES };
void link_text(const char *id, char ret[LINK_TEXT_BYTES]);
/* The ID in the link at path. -ENOENT: there is none, or it is no link of ours. */
must_check int link_read(int at, const char *path, char ret_id[IMAGE_ID_BYTES]);
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
/* And back. -EINVAL: it is none. */
must_check int former_read_name(const char *file, char ret[NAME_BYTES]);

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
/* fn for each entry of the directory, which need not be there, until it returns other than 0. -errno, or what fn returned. */
typedef int store_entry_fn(int dir, const char *file, void *arg);
must_check int store_walk(int store, const char *name, store_entry_fn *fn, void *arg);
enum { MADE_PATH_BYTES = sizeof("made/") + IMAGE_ID_BYTES };
void made_path(const char *id, char ret[MADE_PATH_BYTES]);

/* Somebody's own directory, in the store of the environment. Ends with work_end(), also on failure. */
must_check int work_begin(struct image_work *w, struct err *e);
void work_end(struct image_work *w);
/* Removes those that nobody holds. With the store locked. */
void works_sweep(int store);

/* ---- users.c ------------------------------------------------------------------------------------------- */

/* fn for each image that somebody uses, once for each user; links to nothing are swept. With the store locked. */
typedef void user_fn(const char *id, void *arg);
must_check int users_tell(int store, user_fn *fn, void *arg);

/* ---- survey.c ------------------------------------------------------------------------------------------ */

struct store_layer {
	char id[SHA256_TEXT_BYTES];
	uint64_t bytes; /* on disk */
	int64_t changed_s;
	uint32_t images, needed; /* that have it; of these, with a name or a user */
};

struct store_image {
	char id[IMAGE_ID_BYTES];
	char platform[72], digest[SHA256_TEXT_BYTES];
	uint64_t bytes; /* on disk, without its layers */
	int64_t created_s;
	uint32_t names, users;
	uint32_t in_all; /* layers, as its builder counts */
	uint32_t *layer; /* those that are here, in survey.layer */
	uint32_t nlayers;
};

struct store_name {
	char name[IMAGE_BYTES];
	char id[IMAGE_ID_BYTES]; /* "": a file of the former version */
	uint64_t bytes;          /* of such a file */
	int64_t created_s;
};

struct survey { /* what there is, each sorted */
	struct store_layer *layer;
	struct store_image *image;
	struct store_name *name; /* each with an image behind it */
	size_t nlayers, nimages, nnames;
	size_t room[3];
};

/* With the store locked. Ends with survey_free(), also on failure. */
must_check int survey_load(int store, struct survey *ret, struct err *e);
void survey_free(struct survey *s);
/* NULL: there is none. */
struct store_image *survey_image(const struct survey *s, const char *id);
/* What its files take, and of that what another image has too. */
void survey_bytes(const struct survey *s, const struct store_image *i, uint64_t *ret_bytes,
		  uint64_t *ret_shared);

/* ---- publish.c ----------------------------------------------------------------------------------------- */

#define WORK_OUT "out" /* in one's own directory: what conker-image made */

/* What lies in `out` is the image of that name from now on. -ERESTART, without a message: a layer that it is
 * made on is gone, or was damaged and is gone now; make it again. */
must_check int publish(const struct image_work *w, const char *name, struct err *e);
/* The image has that name from now on; another one that had it goes if nobody needs it. With the store locked. */
must_check int name_bind(const struct image_work *w, const char *name, const char *id,
			 struct err *e);
/* Keeps what layers are whole, for the next time. */
void publish_layers(const struct image_work *w);

/* ---- remove.c ------------------------------------------------------------------------------------------ */

/* All with the store locked. The image goes, with the layers that it alone has, if it has neither name nor user: 0; 1: it has
 * a user. */
must_check int image_collect(int store, const char *id, struct err *e);
/* conker_image_prune(), without blobs. */
must_check int images_prune(int store, int all, int64_t before_s, uint64_t *ret_bytes,
			    struct err *e);
/* Removes files of blobs/sha256; with remove 0: counts them only. */
must_check int blobs_prune(int store, int64_t before_s, int remove, uint64_t *ret_bytes);
/* A layer goes. The bytes on disk. */
uint64_t layer_drop(int store, const char *id);

/* ---- told.c -------------------------------------------------------------------------------------------- */

enum { TOLD_LINE_MAX_BYTES = 256 };

struct told { /* what conker-image says of its progress, in pieces */
	char line[TOLD_LINE_MAX_BYTES];
	size_t len;
};

/* Pure: bytes of its lines; what they say goes to ret, which may be changed several times. -EPROTO: they are none. */
must_check int told_feed(struct told *t, const char *buf, size_t len, conker_image_progress *ret);
/* Pure: its complaint, "EINVAL why": the errno of the word, *ret_why is the rest. A word that is not known is EIO's. */
must_check int told_error(const char *line, const char **ret_why);

/* ---- make.c -------------------------------------------------------------------------------------------- */

/* Runs conker-image on input (a file, a pipe, a directory with an OCI layout): `out` of one's own directory then has an image, or
 * what layers were whole. It may be called again. */
must_check int image_make(const struct image_work *w, int input, struct image_watch *watch,
			  struct err *e);

/* ---- pack.c -------------------------------------------------------------------------------------------- */

/* A directory of the host as an archive: a file without a name in one's own directory, a new fd at its beginning. Who is root keeps
 * owners; else all is root's. */
must_check int image_pack(const struct image_work *w, const char *path, struct image_watch *watch,
			  struct err *e);

/* ---- config.c ------------------------------------------------------------------------------------------- */

/* That of the image in dir; name: for messages. */
must_check int config_load(int dir, const char *name, struct image_config *ret, struct err *e);

#endif
