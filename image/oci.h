/* SPDX-License-Identifier: Apache-2.0 */
/* oci.h - an image out of an OCI image layout: index.json, manifest, configuration, layers (image-spec 1.1).
 *
 *	oci-layout	marks the layout
 *	index.json	descriptors of manifests, or of further indices, by platform and by name
 *	blobs/sha256/	manifests, configurations, layers: each named by its digest
 *
 * A descriptor is {mediaType, digest, size}; what it leads to has this digest and size or is refused. The configuration
 * lists the digests of the unpacked layers (diff_ids), one for each layer.
 */
#ifndef IMAGE_OCI_H
#define IMAGE_OCI_H

#include <jansson.h>
#include <stdint.h>

#include "image/blobs.h"
#include "image/limits.h"
#include "util/err.h"
#include "util/sha256.h"

struct image_layer {
	char blob[SHA256_TEXT_BYTES];    /* "": not told */
	char diff_id[SHA256_TEXT_BYTES]; /* "": not told */
	int64_t bytes;                   /* of the blob; -1: not told */
	struct span
		from; /* of an archive that names its layers itself: bytes are there if it does */
};

struct image {
	char manifest[SHA256_TEXT_BYTES], config_sum[SHA256_TEXT_BYTES]; /* "": there is none */
	json_t *config;                                                  /* NULL: there is none */
	size_t n;
	struct image_layer layers[LIMIT_LAYERS];
};

struct image_want {
	const char *os, *arch, *variant; /* variant "": any */
	const char *ref; /* of several images the one of this name; NULL: there is one only */
};

/* Finds the manifest that is wanted. 0 or -errno; image_free() in either case. */
must_check int oci_open(const struct blobs *b, const struct image_want *want, struct image *ret,
			struct err *e);
void image_free(struct image *i);

/* What has to be fetched before oci_open() finds all of it, by an index or a manifest alone. Lines to fd: `manifest SHA256 BYTES` of
 * an index, which is to be asked again; `blob SHA256 BYTES` of a manifest, its configuration and its layers in their
 * order. -ENOEXEC: the index has none of the platform. */
must_check int oci_plan(const json_t *document, const struct image_want *want, int fd,
			struct err *e);

/* For docker.c too: the layers' diff_ids out of the configuration, and whether it is of the platform wanted. */
must_check int image_take_config(struct image *i, const struct image_want *want, struct err *e);

#endif
