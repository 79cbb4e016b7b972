/* SPDX-License-Identifier: Apache-2.0 */
/* defaults.h - what a box's image says of itself, below what the caller of an execution says; pure. */
#ifndef LIB_HANDLE_DEFAULTS_H
#define LIB_HANDLE_DEFAULTS_H

#include "lib/host/api.h"
#include "lib/images/images.h"

struct defaults { /* what they became; ends with defaults_fini() */
	const char **v;
	int make_cwd; /* the working directory is the image's */
};

/* Completes o: argv (see CONKER_EXEC_IMAGE_COMMAND), env, cwd, user, stop_signal. c may be NULL: an image that says nothing.
 * Strings stay who owns them. */
must_check int defaults_apply(struct defaults *d, const struct image_config *c, conker_exec_opts *o,
			      struct err *e);
void defaults_fini(struct defaults *d);

#endif
