/* SPDX-License-Identifier: Apache-2.0 */
/* images.h - what the floors above and the files of this one know of images. README.md has the store. */
#ifndef LIB_IMAGES_IMAGES_H
#define LIB_IMAGES_IMAGES_H

#include "lib/host/api.h"
#include "lib/host/host.h"

enum {
	IMAGE_ID_BYTES = 65,  /* 64 hex digits */
	IMAGE_PARTS_MAX = 513 /* files of one disk: metadata, and 512 layers */
};

/* ---- reference.c: Docker's reference syntax; pure ----------------------------------------------------- */

struct reference { /* whole: "docker.io/library/python:3.12-slim", "ghcr.io/a/b@sha256:..." */
	char full[IMAGE_BYTES];
	uint16_t repository_len; /* of full, up to the ':' or '@' */
	uint16_t domain_len;
	int has_digest; /* then it never means another image */
};

/* Docker's rules: a first component without '.', ':' and other than localhost is no domain, docker.io is; one component
 * there is of library; no tag and no digest is latest. 0, or -EINVAL with what is wrong. */
must_check int reference_parse(const char *text, struct reference *ret, struct err *e);

/* ---- fetch.c: registries ------------------------------------------------------------------------------- */

struct image_work { /* somebody's own directory in the store, flock'd */
	int store;
	int fd;
	char name[32];
};

struct image_watch {                /* progress and cancellation, see conker_image_opts */
	const conker_image_opts *o; /* never NULL */
	conker_image_progress now;
};

/* Tells it. 0, or -ECANCELED as its function asked. (Of a signal handler who polls hears.) */
must_check int image_tell(struct image_watch *w, struct err *e);

/* Gets what ref names in its registry: w->fd then has a directory "layout", an OCI layout of one manifest, the registry's own, whole
 * and by itself: nobody can prune what is in it. The store's blobs/ have the same blobs, of an interrupted call those that
 * are whole; what was there is not fetched again, and without a question to the registry if ref has a digest. */
must_check int fetch(const struct image_work *w, const struct reference *ref,
		     struct image_watch *watch, struct err *e);

/* Forgets the blobs of the layout, so that the next call fetches them again: one was not what its digest says. */
void fetch_distrust(const struct image_work *w);

/* ---- opened.c: from a name to a disk ------------------------------------------------------------------- */

struct opened_image {
	char name[IMAGE_BYTES];  /* as it is listed */
	char id[IMAGE_ID_BYTES]; /* "": one file, of the former version or built in */
	char path[4096];         /* of the file; or of made/ID */
	int nfds;
	int fd[IMAGE_PARTS_MAX]; /* in the order of the disk */
};

/* What --image means (README.md), its files open and checked to be whole. name NULL: the built-in one. */
must_check int image_open(const char *name, struct opened_image *ret, struct err *e);
/* The same by the path of made/ID, as a manifest of a box or snapshot has it. -ENOENT: it is not there any more. */
must_check int image_open_made(const char *path, struct opened_image *ret, struct err *e);
void image_close(struct opened_image *i);

/* path, the absolute one of a file or directory that is there, uses the image from now on, until it is gone: a path of one
 * image at a time. -ENOENT: path is not there (a link to nothing would be swept); or the image was removed since it was opened. */
must_check int image_used_by(const struct opened_image *i, const char *path, struct err *e);

/* ---- config.c: what an image says of itself; pure ------------------------------------------------------ */

struct image_config { /* lists end with NULL, and are never NULL; strings are in text */
	char *text;
	char **all; /* the lists, one behind the other */
	char **entrypoint, **cmd, **env, **ports, **labels;
	char **ignored;                                          /* what no box heeds */
	const char *workdir, *user, *created, *stop_signal_name; /* NULL: nothing said */
	int stop_signal; /* 0: nothing said, or nothing that is a signal */
};

/* The file `config` of an image (image/README.md has the format); text, which has room for a NUL, is changed, and is the
 * configuration's from now on, also on failure. -EBADMSG. */
must_check int image_config_parse(char *text, size_t len, struct image_config *ret, struct err *e);
/* That of an opened image; of one without a configuration all empty. */
must_check int image_config_load(const struct opened_image *i, struct image_config *ret,
				 struct err *e);
void image_config_free(struct image_config *c);

#endif
