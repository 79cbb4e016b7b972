/* SPDX-License-Identifier: Apache-2.0 */
/* make.h - an archive made into an image, in the jail: what it is, its layers, its metadata, its texts. */
#ifndef IMAGE_MAKE_H
#define IMAGE_MAKE_H

#include "image/limits.h"
#include "image/oci.h"
#include "image/progress.h"
#include "util/err.h"

struct make_job {
	int door;
	int input; /* an archive; -1: a directory, which the keeper has */
	struct image_want want;
	struct limits limits;
	struct progress progress;
};

/* 0, and all files are there under their names; or -errno. */
must_check int make_image(struct make_job *job, struct err *e);

#endif
