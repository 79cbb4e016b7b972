/* SPDX-License-Identifier: Apache-2.0 */
/* describe.h - the two texts that go with an image: what it is made of, and what it says of itself.
 *
 * Lines of key=value between a first line that names the format and a last one with the SHA-256 of all before it, as the
 * tree's other files have them; a byte below space, DEL and '%' are written as %XX. README.md here has the keys.
 */
#ifndef IMAGE_DESCRIBE_H
#define IMAGE_DESCRIBE_H

#include <stdint.h>

#include "image/layer.h"
#include "image/meta.h"
#include "image/oci.h"

struct image_parts {
	const struct image *image;
	const struct image_want *want;
	const struct layer_result *layers; /* as many as the image has */
	const struct meta_result *meta;
	uint64_t entries_left_out;
};

/* Either text, allocated. NULL: no memory. */
must_check char *describe_manifest(const struct image_parts *p);
must_check char *describe_config(const struct image *i, const struct image_want *want);

#endif
