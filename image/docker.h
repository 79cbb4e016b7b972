/* SPDX-License-Identifier: Apache-2.0 */
/* docker.h - an image out of what `docker save` and `podman save` write: a tar with manifest.json, a list of
 *
 *	{"Config": "HEX.json", "RepoTags": ["name:tag"], "Layers": ["HEX/layer.tar", ...]}
 *
 * The names are those of members: HEX/layer.tar, HEX.tar or blobs/sha256/HEX, where equal layers may be links to the
 * first. The configuration's name is its digest, and is checked; of the layers only their unpacked digests are told.
 * Since Docker 25 the archive is an OCI layout, too, and then read as one.
 */
#ifndef IMAGE_DOCKER_H
#define IMAGE_DOCKER_H

#include "image/archive.h"
#include "image/oci.h"
#include "util/err.h"

/* 0; -ENOENT without a message: not such an archive; or -errno. image_free() in either case. */
must_check int docker_open(const struct archive *a, const struct image_want *want,
			   struct image *ret, struct err *e);

#endif
