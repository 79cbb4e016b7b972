/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.h - what fetch.c is made of.
 *
 *	run.c		programs that work for an image
 *	skopeo.c	< run	the one that speaks to registries, and what its complaints amount to
 *	plan.c		< run	what an index or a manifest wants, told by conker-image
 *	blobs.c		blobs by digest: those of the store, and those of the layout
 */
#ifndef LIB_IMAGES_FETCH_H
#define LIB_IMAGES_FETCH_H

#include "lib/images/images.h"
#include "util/sha256.h"

/* ---- run.c --------------------------------------------------------------------------------------------- */

struct image_run {
	const char *const *argv;
	char *const *env; /* NULL: of ours nothing */
	int in, out;      /* -1: /dev/null */
	const int *fds;   /* its descriptors from 3 on */
	int nfds;
	/* Five times a second. Negative: the program is ended with all it started, and that is returned. */
	int (*tick)(void *arg, struct err *e);
	void *arg;
};

/* Runs it to its end. Its exit status, or 128 + signal, with what it said on standard error, at most 16 KiB, in *ret_said
 * (a new fd); or -errno: -ENOENT there is no such program, without a message; -EINTR; what tick returned. */
must_check int run_watched(const struct image_run *r, int *ret_said, struct err *e);
/* A file in memory for a program's output: what does not fit is not written. A new fd. */
must_check int run_output(size_t max, struct err *e);
/* What was written there, as a string that is to be freed; its length. */
must_check ssize_t run_output_take(int fd, char **ret, struct err *e);

/* ---- skopeo.c ------------------------------------------------------------------------------------------ */

struct skopeo {
	const struct image_work *w; /* its descriptor 3 */
	const struct reference *ref;
	int auth; /* a file of skopeo_auth(), its descriptor 4; or -1 */
	int (*tick)(void *arg, struct err *e);
	void *arg;
};

#define SKOPEO_WORK "/proc/self/fd/3"
#define SKOPEO_AUTH "/proc/self/fd/4"

/* A file, in memory and for nobody else's eyes, with credentials "USER:PASSWORD" for a registry. A new fd. */
must_check int skopeo_auth(const char *creds, const struct reference *ref, struct err *e);
/* skopeo with these arguments (up to NULL), its standard output to `out` (-1: nowhere). 0; or what its complaint amounts to, with
 * that and what to do about it as message. */
must_check int skopeo_run(const struct skopeo *s, const char *const *args, int out, struct err *e);
/* Pure: of what it said. */
must_check int skopeo_meaning(char *said, const struct reference *ref, int status, struct err *e);

/* ---- plan.c -------------------------------------------------------------------------------------------- */

enum { PLAN_BLOBS_MAX = 513 /* a configuration and 512 layers */ };

struct plan_blob {
	char hex[SHA256_TEXT_BYTES];
	uint64_t bytes;
	int kept; /* the store has it, or a link to it */
};

struct plan {
	char next[SHA256_TEXT_BYTES]; /* of an index: the manifest to be asked; else "" */
	size_t n;                     /* of a manifest: each blob once, the configuration first */
	struct plan_blob blob[PLAN_BLOBS_MAX];
	uint64_t total; /* bytes */
};

/* Of the index or manifest behind fd. */
must_check int plan_ask(int fd, const char *platform, int (*tick)(void *arg, struct err *e),
			void *arg, struct plan *ret, struct err *e);
/* Pure: conker-image's lines, which are changed. -EBADMSG. */
must_check int plan_parse(char *lines, struct plan *ret);

/* ---- blobs.c ------------------------------------------------------------------------------------------- */

enum { BLOB_SMALL_MAX = 4 << 20 /* an index, a manifest, a configuration */ };

struct blobs { /* directories with files that are named by their digest */
	int kept, layout;
};

must_check int blobs_open(const struct image_work *w, struct blobs *ret, struct err *e);
void blobs_close(struct blobs *b);
/* Bytes of a blob in one of the directories; -1: it is not there. */
int64_t blob_bytes(int dir, const char *hex);
/* Whether the layout has it, with so many bytes, from the store. There one of another size is removed. */
int blob_take(const struct blobs *b, const char *hex, uint64_t bytes);
/* The store has what the layout has. Nothing is wrong when that fails: it will be fetched again. */
void blob_keep(const struct blobs *b, const char *hex);
/* A small one into both. */
must_check int blob_put(const struct blobs *b, const char *hex, const char *data, size_t len,
			struct err *e);
/* An index or manifest of the store into the layout, if its digest is right: 1, else 0. */
int blob_take_checked(const struct blobs *b, const char *hex);

#endif
