/* SPDX-License-Identifier: Apache-2.0 */
/* api.h - what every call of the library begins and ends with: this thread's message, options that grow, and what all
 * floors measure with. The lowest header of the library.
 */
#ifndef LIB_HOST_API_H
#define LIB_HOST_API_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/conker.h"
#include "util/clean.h"
#include "util/cleanup.h"
#include "util/err.h"
#include "util/util.h"

enum {
	BOX_DESCRIPTORS =
		64,      /* that to make, open or import one may take, at most: said in conker.h */
	NAME_BYTES = 64, /* a box's name, or a local one of an image, with its NUL */
	IMAGE_BYTES = 256, /* any name of an image with its NUL: a whole reference, too */
	ID_BYTES = 16,     /* 12 hex digits and a NUL, rounded */
	REASON_BYTES = 256,
	TEXT_BYTES = 320, /* a failure's one line */
	STEP_BYTES = 32,
	LINE_MAX_BYTES = 512, /* longest event line that is understood */
};

/* ---- error.c: the message of this thread --------------------------------------------------------- */

/* To be called first by every public function: forgets the old message and returns where to put the
 * new one. */
struct err *api_enter(void);
/* A call that waits: -EDEADLK when inside a callback. */
must_check int api_may_wait(struct err *e);
/* What kind of failure the error of this call is, for conker_errkind(). Returns r. */
int api_kind(enum conker_errkind kind, const char *step, int r);
/* Says of an -EMFILE which limit is short, and what is needed. Returns r. */
int api_descriptors(int r, struct err *e);
void api_callback_begin(void);
void api_callback_end(void);
int64_t now_ms(void);

/* ---- opts.c: structures that grow ---------------------------------------------------------------- */

/* Reads a caller's structure that starts with its size into ours of the given size, zeroing what the
 * caller does not know. -EINVAL without a size; -E2BIG when a field that we do not know is set. */
must_check int opts_in(void *ret, size_t ret_size, const void *caller, struct err *e);
/* The other way: fills as much as the caller has room for, keeping its size field. */
void opts_out(void *caller, const void *ours, size_t ours_size);
must_check int name_check(const char *what, const char *name, struct err *e);

#endif
