/* SPDX-License-Identifier: Apache-2.0 */
/* fakefiles.h - the program for a box's files (proto/files.h) in a box that is not there: the real one, on files of
 * this machine, or one gone bad.
 *
 * It runs when its whole input is there, in a process of its own; at most 1 MiB of output. A path that begins with
 * "/fake/" is not the real one's:
 *	/fake/say/CODE/FILE	says what is in /FILE and ends with CODE
 *	/fake/complain/CODE/TEXT	TEXT to stderr, and CODE
 *	/fake/kill/SIGNO	is killed by it
 */
#ifndef TESTS_LIB_FAKEFILES_H
#define TESTS_LIB_FAKEFILES_H

#include <stddef.h>

#include "proto/codec.h"

struct fakefiles;

struct fakefiles_end {
	char *out;
	size_t out_len;
	char err[512];
	int code, signo;
};

struct fakefiles *fakefiles_new(const Conker__Start *s);
void fakefiles_input(struct fakefiles *f, const void *data, size_t len);
/* Runs it. out is the caller's to free. */
struct fakefiles_end fakefiles_run(struct fakefiles *f);
void fakefiles_free(struct fakefiles *f); /* NULL is fine */

#endif
