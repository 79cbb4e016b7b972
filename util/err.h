/* SPDX-License-Identifier: Apache-2.0 */
/* err.h - one error value per operation: caller-owned, never allocated, nothing to free.
 *
 * Used on set-up and control paths, where a person reads the message; hot paths return a bare
 * -errno. NULL is allowed wherever a struct err * is taken: the caller then only wants the code.
 */
#ifndef UTIL_ERR_H
#define UTIL_ERR_H

enum { ERR_MSG_BYTES = 508 };

struct err {
	int code;                /* positive errno; 0: no error recorded */
	char msg[ERR_MSG_BYTES]; /* "outer: inner: cause", one line, no newline; fit for a terminal (clean.h) */
};

/* Records the error and returns -code, so that "return err_set(e, EINVAL, ...)" is the whole path. */
int err_set(struct err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), warn_unused_result));

/* As err_set() with code = errno, and its text appended: "open '/dev/kvm': Permission denied". */
int err_errno(struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), warn_unused_result));

/* Puts context in front of an error already recorded; returns r unchanged. */
int err_wrap(struct err *e, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), warn_unused_result));

#endif
